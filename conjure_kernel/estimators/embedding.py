"""`ConjureEmbedding`: a plain vector for each prompt, in linear time."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from conjure_kernel import _checks
from conjure_kernel._checks import PromptWarning, check_choice, check_number, check_prompts, quote
from conjure_kernel.cache.vectors import VectorStore
from conjure_kernel.engine import pool as pools
from conjure_kernel.engine.engine import FLUSH_SECONDS
from conjure_kernel.engine.parameters import ChainParameters, ModelParameter
from conjure_kernel.engine.pool import Pool
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.engine.settings import Settings
from conjure_kernel.engine.turns import in_turn, turn
from conjure_kernel.estimators.base import ModelEstimator, TextInput
from conjure_kernel.estimators.fitting import as_fitted, whole
from conjure_kernel.method.grid import WEIGHTINGS

__all__ = ["ConjureEmbedding"]

COMPONENT_BYTES, POINT_BYTES = 32.0, 16.0  # in calls, cache and result; of the smallest model


@dataclass(kw_only=True, repr=False, eq=False)
class ConjureEmbedding(
    TextInput,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ModelEstimator,
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
        Prompts whose chains make the pool. If `fit` is given more, it chooses among at most 256 of
        them as k-means++ chooses its seeds: each next one y with a probability proportional to
        KL(r || y) from the nearest reference r so far.
    n_points : int, default 8
        Noisy points at each noise level, a multiple of `n_blocks`; the references take turns. A
        prompt costs n_steps * n_points noise predictions.
    n_blocks : int, default 8
        Parts of the vector that share neither draws nor components; the spread over them gives
        the standard error.
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
    `exp(-gamma * squared distance)` is positive definite.

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

    _pool = cast("Pool | None", None)  # an annotation would make these parameters
    _vectors = cast("VectorStore | None", None)

    n_components: int | None = 1024
    n_references: int = 16
    n_points: int = 8
    n_blocks: int = 8

    @whole
    def fit(self, X: Sequence[str], y: Any = None) -> ConjureEmbedding:
        """Choose references among the prompts and run their chains.

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
            self.references_ = pools.choose_references(
                engine, distinct, self.n_references, self.seed_
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
        )
        return self

    def n_predictions(self, n_prompts: int) -> int:
        """Most noise predictions of `fit_transform`, from an empty cache.

        Parameters
        ----------
        n_prompts : int

        Returns
        -------
        n_predictions : int
            To choose references, run their chains and make vectors.
        """
        self._check_parameters()
        n_references = min(self.n_references, n_prompts)
        n_tried = min(n_prompts, pools.MOST_CANDIDATES) - 1 if n_prompts > n_references else 0
        lengths, w = (self.n_steps, self.substeps), self.guidance_scale
        settings = Settings(*lengths, guidance_scale=w, chains_per_draw=1)
        n_replays = n_tried * (n_references - 1) + n_prompts * self.n_points
        return settings.n_predictions(n_references * self._n_draws(n_references), n_replays)

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
        return self._embed(checked)

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
            In the unit of the distance, sqrt(nats); NaN for equal prompts, and with one block.
        """
        left, right = check_prompts(a, "a"), check_prompts(b, "b")
        if len(left) != len(right):
            raise ValueError(
                f"a and b: expected equally many prompts, got {len(left)} and {len(right)}; "
                "pass both sides of each pair."
            )
        gaps = self._embed(left).astype(np.float64) - self._embed(right)
        squares = (gaps.reshape(len(left), self.n_blocks, -1) ** 2).sum(2)
        if self.n_blocks == 1:
            return np.full(len(left), np.nan)
        error = np.sqrt(self.n_blocks) * squares.std(1, ddof=1)
        with np.errstate(invalid="ignore"):
            return error / (2 * np.sqrt(squares.sum(1)))

    def _check_parameters(self) -> None:
        check_choice(self.weighting, "weighting", tuple(WEIGHTINGS))
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

    def _check_memory(self, n_prompts: int) -> None:
        width, n_points = self.n_components or 0, self.n_points
        n_bytes = COMPONENT_BYTES * n_prompts * width + POINT_BYTES * n_points * self.n_steps
        text = f"n_components={width}, n_points={n_points}, {n_prompts} prompts"
        _checks.check_memory(n_bytes, text)

    def _n_draws(self, n_references: int) -> int:
        """Draws that the pool needs of each reference."""
        return pools.n_draws_needed(n_references, self.n_points, self.n_blocks)

    def _fitted_pool(self) -> Pool:
        """The pool of the references' chains, which are kept or run again from their seeds."""
        if self._pool is None:
            engine = self._fitted_engine()
            n_draws = self._n_draws(len(self.references_))
            every = np.ones((1, n_draws), bool)
            engine.measure(
                {p: [p] for p in self.references_}, dict.fromkeys(self.references_, every)
            )
            self._pool = pools.make_pool(
                engine.trajectories(self.references_, n_draws),
                engine.settings.chain(engine.grid),
                engine.grid.weights(self.weighting),
                n_points=self.n_points,
                n_blocks=self.n_blocks,
                n_components=self.n_components,
            )
        return self._pool

    def _fitted_vectors(self) -> VectorStore:
        """What is kept of the vectors of this pool."""
        sizes = [self.n_points, self.n_blocks, self.n_components, self.weighting]
        text = json.dumps([self.references_, *sizes]).encode()
        name = hashlib.blake2b(text, digest_size=16).hexdigest()
        store, known = self._fitted_engine().store, self._vectors
        if known is None or (known.run, known.pool) != (store.name, name):
            known = self._vectors = VectorStore(store, name, self.n_components)
        return known

    @in_turn
    def _embed(self, prompts: list[str]) -> np.ndarray:
        store, distinct = self._fitted_vectors(), list(dict.fromkeys(prompts))
        if any(prompt not in store for prompt in distinct):
            store = self._make_vectors(distinct)
        if cut := [prompt for prompt in distinct if store.truncated(prompt)]:
            text = (
                f"{len(cut)} of {len(prompts)} prompts are longer than every text encoder of this "
            )
            text += f"model reads and were cut, e.g. {quote(cut[0])}; shorten them."
            self._fitted_engine().tell(text, PromptWarning)
        return np.stack([store[prompt] for prompt in prompts])

    def _make_vectors(self, prompts: list[str]) -> VectorStore:
        """Score unknown prompts on the pool, and keep what is done even if this is interrupted."""
        pool, engine, flushed = self._fitted_pool(), self._fitted_engine(), time.monotonic()
        engine.load()  # a model that predicts differently than before has files of its own
        store = self._fitted_vectors()
        missing = [prompt for prompt in prompts if prompt not in store]
        work = engine.do(pool.jobs(missing, engine.batches), pool.n_predictions * len(missing))
        try:
            for job, (vectors, readings) in work:
                store.add(job.prompts, vectors, [reading.truncated for reading in readings])
                if time.monotonic() - flushed > FLUSH_SECONDS:
                    store.flush()
                    flushed = time.monotonic()
        finally:
            store.flush()
        return store

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        on_disk = self.memory is not None and self.random_state is not None
        gone = {"_pool", "_vectors"} if on_disk else {"_pool"}
        return {name: value for name, value in state.items() if name not in gone}
