"""`ConjureEmbedding`: a plain vector for each prompt, in linear time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from conjure_kernel._checks import check_choice, check_number, check_prompts
from conjure_kernel.engine import pool as pools
from conjure_kernel.engine.parameters import (
    ChainParameters,
    ModelParameter,
    OriginParameter,
    PoolParameters,
    prompt_of_origin,
)
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.engine.settings import Settings
from conjure_kernel.engine.turns import turn
from conjure_kernel.estimators.base import ModelEstimator, TextInput
from conjure_kernel.estimators.fitting import as_fitted, whole
from conjure_kernel.estimators.vectors import PooledVectors, normalized
from conjure_kernel.method import blocks
from conjure_kernel.method.grid import WEIGHTINGS

__all__ = ["ConjureEmbedding"]


@dataclass(kw_only=True, repr=False, eq=False)
class ConjureEmbedding(
    TextInput,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    PooledVectors,
    ModelEstimator,
    PoolParameters,
    OriginParameter,
    ModelParameter,
    ChainParameters,
):
    r"""Vectors of prompts by the images that they evoke, at a cost of O(n) for n prompts.

    All prompts are scored on one pool of noisy points from the chains of a few reference prompts.
    Squared Euclidean distances of the vectors estimate the pooled divergence, in nats:

    .. math:: {\|\phi(a) - \phi(b)\|}^2 \approx \tfrac{1}{2} \int E_{x_t \sim pool}
              {\| \epsilon_a(x_t) - \epsilon_b(x_t) \|}^2 d\lambda

    Parameters
    ----------
    model : str, path, diffusers pipeline or Denoiser, default "embedded"
        What `load_denoiser` takes.
    n_components : int or None, default 1024
        Length of a vector, a multiple of `n_blocks`. The sketch gives a squared distance a relative
        error of sqrt(2 / n_components). None keeps every entry of every prediction, which is exact
        and for small models only.
    n_references : int, default 16
        Prompts whose chains make the pool. If `fit` is given more, it draws some at random.
    references : sequence of str, optional
        Prompts whose chains make the pool, in the place of a choice: `references_` of an earlier
        fit with the same settings gives prompts of today vectors that belong to those of then.
        Default: `fit` chooses.
    n_points : int, default 8
        Noisy points at each noise level, a multiple of `n_blocks`; the references take turns. A
        prompt costs n_steps * n_points noise predictions.
    n_blocks : int, default 8
        Parts of the vector that share neither draws nor components; the spread over them gives
        the standard error.
    origin : {None, "empty"}, default None
        "empty" subtracts the vector of the empty prompt, so that a vector is the direction in which
        guidance pulls, and cosines are similarities: see `similarity`.
    normalize : bool, default False
        Whether vectors have length 1, for tools that take scalar products; only with an origin.
    model_kwargs, n_steps, guidance_scale, weighting, sampler, substeps, nodes, log_snr_range
        See `ConjureDistance`.
    memory, device, dtype, batch_size, n_jobs, random_state, verbose
        See `ConjureDistance`.

    Attributes
    ----------
    references_ : list of str
        The prompts whose chains make the pool.
    n_evaluations_, provenance_ : int, dict
        Noise predictions that `fit` or `fit_transform` cost; model, fingerprint, settings and
        versions.

    Notes
    -----
    The pooled divergence is J(a, b) if one half of the pool is from a's chains and the other from
    b's. Over a mixed set of prompts its ranks are near those of J, but it is no bound of J.
    Standard errors are those of the draws and of the sketch, not of the choice of references.
    `exp(-gamma * squared distance)` is positive definite, and so is the matrix of cosines,
    `vectors @ vectors.T` of normalized vectors.

    Examples
    --------
    >>> from conjure_kernel import ConjureEmbedding, GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": [0.7, 0.0], "a cat": [-0.4, 0.0]})
    >>> vectors = ConjureEmbedding(world, memory=None).fit_transform(["a dog", "a cat"])
    >>> vectors.shape, vectors.dtype
    ((2, 1024), dtype('float32'))
    >>> round(float(((vectors[0] - vectors[1]) ** 2).sum()), 1)  # J is 0.605
    0.6
    """

    references: Sequence[str] | None = None
    normalize: bool = False

    @whole
    def fit(self, X: Sequence[str], y: Any = None) -> ConjureEmbedding:
        """Draw references among the prompts, if none are given, and run their chains.

        Parameters
        ----------
        X : sequence of str, length n_prompts
        y : ignored

        Returns
        -------
        self : ConjureEmbedding
        """
        distinct = list(dict.fromkeys(check_prompts(X)))
        self._check_parameters()
        engine = self._begin()
        self._check_memory(len(distinct))
        with turn(engine.denoiser):
            before = engine.denoiser.n_evaluations
            self.references_ = self._given_references() or pools.choose_references(
                distinct, self.n_references, self.seed_
            )
            self._n_features_out = self._fitted_pool().n_components
            self.n_evaluations_ = engine.denoiser.n_evaluations - before
        self.provenance_ = provenance_of(
            engine,
            n_draws=self._n_draws(len(self.references_)),
            references=self.references_,
            n_points=self.n_points,
            n_blocks=self.n_blocks,
            n_components=self.n_components,
            normalize=bool(self.normalize),
        )
        return self

    def n_predictions(self, n_prompts: int, n_images: int = 0) -> int:
        """Most noise predictions of `fit_transform`, from an empty cache.

        Parameters
        ----------
        n_prompts : int
        n_images : int, default 0
            Images of each prompt that `conjure_images` is to make, too.

        Returns
        -------
        n_predictions : int
            To run the references' chains, and make vectors and images.
        """
        self._check_parameters()
        n_references = len(self._given_references()) or min(self.n_references, n_prompts)
        lengths, w = (self.n_steps, self.substeps), self.guidance_scale
        settings = Settings(*lengths, guidance_scale=w, chains_per_draw=1)
        n_vectors = n_prompts + (self.origin is not None)
        n_chains = n_references * self._n_draws(n_references) + n_images * n_prompts
        return settings.n_predictions(n_chains, n_vectors * self.n_points)

    @as_fitted
    def transform(self, X: Sequence[str]) -> np.ndarray:
        """Vectors of any prompts; a prompt that has a vector on this pool costs nothing.

        Parameters
        ----------
        X : sequence of str, length n

        Returns
        -------
        vectors : float32 array of shape (n, n_components)
        """
        checked = check_prompts(X)
        self._check_memory(len(checked))
        vectors = self._embed(checked)
        return normalized(vectors, checked, self.weighting) if self.normalize else vectors

    def fit_transform(self, X: Sequence[str], y: Any = None, **fit_params: Any) -> np.ndarray:
        """Fit, and return the vectors of the prompts."""
        with turn(denoiser := self.fit(X).denoiser):
            before = denoiser.n_evaluations
            vectors = self.transform(X)
            self.n_evaluations_ += denoiser.n_evaluations - before
        return vectors

    @as_fitted
    def distance_standard_error(self, a: Sequence[str], b: Sequence[str]) -> np.ndarray:
        """Standard error of the Euclidean distance of a[i] from b[i], from draws and sketch.

        Parameters
        ----------
        a, b : sequences of str, length n

        Returns
        -------
        errors : float64 array of shape (n,)
            In the unit of the distance before vectors are normalized, sqrt(nats); NaN for equal
            prompts, and with one block.
        """
        left, right = self._embed_pairs(a, b)
        return blocks.distance_errors(left, right, self.n_blocks)

    @as_fitted
    def similarity(self, a: Sequence[str], b: Sequence[str]) -> np.ndarray:
        """Cosine of the vectors of a[i] and b[i], seen from the empty prompt; in [-1, 1].

        Over the points x of the pool, it is the cosine of the directions in which guidance pulls,
        eps(x | a) - eps(x | "") and eps(x | b) - eps(x | "").

        Parameters
        ----------
        a, b : sequences of str, length n

        Returns
        -------
        similarities : float64 array of shape (n,)

        Raises
        ------
        ValueError
            There is no origin, or a prompt conjures what the origin does.
        """
        return blocks.cosines(*self._embed_pairs(a, b, directed=True))

    @as_fitted
    def similarity_standard_error(self, a: Sequence[str], b: Sequence[str]) -> np.ndarray:
        """Standard error of `similarity`, from draws and sketch, by leaving out one block each.

        Parameters
        ----------
        a, b : sequences of str, length n

        Returns
        -------
        errors : float64 array of shape (n,)
            NaN with one block. An interval takes the t quantile of n_blocks - 1 degrees of freedom:
            at 8 blocks 95 % are 2.36 errors to both sides.
        """
        left, right = self._embed_pairs(a, b, directed=True)
        return blocks.cosine_errors(left, right, self.n_blocks)

    def _given_references(self) -> list[str]:
        """The references that were given; none if they are to be chosen."""
        if self.references is None:
            return []
        return list(dict.fromkeys(check_prompts(self.references, "references")))

    @as_fitted
    def vividness(self, X: Sequence[str]) -> np.ndarray:
        """Pooled divergence (n,) of prompts from the empty one in nats: squared lengths."""
        if self.origin is None:
            raise ValueError('origin=None: expected "empty", from which vividness is measured.')
        return (self._embed(check_prompts(X)).astype(float) ** 2).sum(1)

    def _check_parameters(self) -> None:
        check_choice(self.weighting, "weighting", tuple(WEIGHTINGS))
        prompt_of_origin(self.origin)
        if not isinstance(self.normalize, bool | np.bool_):
            raise ValueError(f"normalize={self.normalize!r}: expected True or False.")
        if self.normalize and self.origin is None:
            raise ValueError(
                f"normalize={self.normalize}: expected False without an origin, from which vectors "
                'have no direction; pass origin="empty", too.'
            )
        for name in ("n_references", "n_points", "n_blocks", "n_components"):
            if (value := getattr(self, name)) is not None or name != "n_components":
                check_number(value, name, least=1, integer=True)
        for name in ("n_points", "n_components"):
            value = getattr(self, name)
            if value is not None and value % self.n_blocks:
                raise ValueError(
                    f"{name}={value}: expected a multiple of n_blocks={self.n_blocks}; "
                    "change one of them."
                )

    def _embed_pairs(self, a: Any, b: Any, directed: bool = False) -> list[np.ndarray]:
        """Vectors of both sides; `directed`: each with a direction, seen from the origin."""
        sides = check_prompts(a, "a"), check_prompts(b, "b")
        if len(sides[0]) != len(sides[1]):
            raise ValueError(
                f"a and b: expected equally many prompts, got {len(sides[0])} and "
                f"{len(sides[1])}; pass both sides of each pair."
            )
        if directed and self.origin is None:
            raise ValueError('origin=None: expected "empty", from which vectors have a direction.')
        both = [self._embed(side) for side in sides]
        if directed:
            for side, vectors in zip(sides, both, strict=True):
                normalized(vectors, side, self.weighting)
        return both
