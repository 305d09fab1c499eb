"""`ConjureNeighbors`: a sparse graph of each prompt and the few nearest ones, by exact J."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from conjure_kernel._checks import check_choice, check_number, check_prompts
from conjure_kernel.engine.pairwise import measure_pairs
from conjure_kernel.engine.parameters import ChainParameters, ModelParameter, Parameters
from conjure_kernel.engine.plan import Plan, plan_candidates
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.estimators.base import ModelEstimator, TextInput
from conjure_kernel.estimators.candidates import find_candidates, nearest
from conjure_kernel.estimators.embedding import ConjureEmbedding

__all__ = ["CANDIDATES_PER_NEIGHBOR", "ConjureNeighbors"]

MODES = ("distance", "connectivity")
CANDIDATES_PER_NEIGHBOR = 5


@dataclass(kw_only=True, repr=False, eq=False)
class ConjureNeighbors(
    TextInput,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ModelEstimator,
    ModelParameter,
    Parameters,
):
    """Nearest prompts by exact J, which is measured for a few candidates of each prompt only.

    The candidates are the prompts with the nearest vectors of a `ConjureEmbedding`. J of each of
    them is measured, with its error, and decides. The graph goes into
    `SpectralClustering(affinity="precomputed_nearest_neighbors")`, and into `DBSCAN` or `Isomap`
    with metric="precomputed". `HDBSCAN` and `UMAP` want it symmetric: `graph.maximum(graph.T)`.

    Parameters
    ----------
    model : str, path, diffusers pipeline or Denoiser, default "embedded"
        What `load_denoiser` takes.
    n_neighbors : int, default 15
        Neighbours of a prompt, without the prompt itself.
    n_candidates : int, optional
        Prompts whose J is measured for each prompt. Default: 5 * n_neighbors.
    embedding : ConjureEmbedding, optional
        The embedding that finds the candidates, with its own settings but with the model given
        here. Default: one with the settings given here.
    model_kwargs, n_steps, n_draws, tol, max_draws, guidance_scale, weighting, sampler, substeps, \
nodes, log_snr_range, shared_noise, chains_per_draw, check_steps, memory, device, dtype, \
batch_size, n_jobs, random_state, verbose
        See `ConjureDistance`.

    Attributes
    ----------
    prompts_ : list of str
        The fitted prompts, one column each.
    embedding_ : ConjureEmbedding
        The fitted embedding that found the candidates.
    divergences_, standard_errors_ : csr_matrix of shape (n_prompts, n_prompts)
        J of each prompt and its candidates, in nats, in both triangles, and its Monte Carlo
        standard error.
    n_evaluations_, provenance_ : int, dict
        Noise predictions that `fit` cost; model, fingerprint, settings and versions.

    Notes
    -----
    n prompts cost about n * n_candidates * T * K noise predictions beside the embedding, and twice
    that where few candidates are mutual; `plan` says it beforehand. docs/embedding.md measures how
    many true neighbours the candidates miss.

    Examples
    --------
    >>> from conjure_kernel import ConjureNeighbors, GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": 0.7, "a wolf": 0.6, "a cat": -0.4, "a car": 3.0})
    >>> model = ConjureNeighbors(world, n_neighbors=1, memory=None).fit(world.prompts)
    >>> [world.prompts[i] for i in model.kneighbors()[1][:, 0]]
    ['a wolf', 'a dog', 'a wolf', 'a dog']
    >>> model.kneighbors_graph().nnz  # each prompt and its neighbour
    8
    """

    n_neighbors: int = 15
    n_candidates: int | None = None
    embedding: ConjureEmbedding | None = None

    def fit(self, prompts: Sequence[str], y: Any = None) -> ConjureNeighbors:
        """Find the candidates of each prompt, and measure its J with them.

        Parameters
        ----------
        prompts : sequence of str, length n_prompts > n_neighbors
        y : ignored

        Returns
        -------
        self : ConjureNeighbors
        """
        self.prompts_ = check_prompts(prompts)
        width = self._width(len(self.prompts_) - 1)
        engine = self._begin()
        before = engine.denoiser.n_evaluations
        self._vectors, self._n_candidates = self._fit_embedding(), width
        candidates = find_candidates(self._vectors, width)
        pairs = np.stack([np.repeat(np.arange(len(candidates)), width), candidates.ravel()])
        self._measure_both_ways(np.unique(np.sort(pairs, axis=0), axis=1))
        self.n_evaluations_ = engine.denoiser.n_evaluations - before
        self._n_features_out = len(self.prompts_)
        return self

    def plan(self, prompts: Sequence[str]) -> Plan:
        """What `fit` of these prompts costs from an empty cache, with the vectors.

        Which pairs are candidates is known only after the vectors are made. There are between
        n_prompts * n_candidates / 2 pairs, if all candidates are mutual, and twice as many.

        Parameters
        ----------
        prompts : sequence of str

        Returns
        -------
        plan : Plan

        Examples
        --------
        >>> from conjure_kernel import ConjureNeighbors, GaussianDenoiser
        >>> world = GaussianDenoiser({f"prompt {i}": i for i in range(30)})
        >>> model = ConjureNeighbors(world, n_neighbors=2, memory=None)
        >>> cost = model.plan(world.prompts)
        >>> actual = model.fit(world.prompts).n_evaluations_
        >>> cost.n_predictions <= actual <= cost.most_predictions
        True
        """
        distinct, unfitted = list(dict.fromkeys(check_prompts(prompts))), clone(self)
        n, engine = len(distinct), unfitted.open_engine()
        width, vectors = unfitted._width(n - 1), unfitted._unfitted_embedding().n_predictions(n)
        n_pairs = (-(-n * width // 2), min(n * width, n * (n - 1) // 2))
        return plan_candidates(engine, distinct, n_pairs, width, vectors)

    def kneighbors(
        self, prompts: Sequence[str] | None = None, n_neighbors: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distances sqrt(J) to the nearest fitted prompts and their positions, nearest first.

        Parameters
        ----------
        prompts : sequence of str, length n, optional
            Default: the fitted prompts, which are then not their own neighbours.
        n_neighbors : int, optional
            At most the number of candidates. Default: that of the estimator.

        Returns
        -------
        distances, indices : float64 and int arrays of shape (n, n_neighbors)
        """
        check_is_fitted(self)
        n = self.n_neighbors if n_neighbors is None else n_neighbors
        n_known = self._n_candidates + (prompts is not None)
        if check_number(n, "n_neighbors", least=1, integer=True) > n_known:
            raise ValueError(
                f"n_neighbors={n}: expected at most {n_known}, as J of so many candidates is "
                "measured; raise n_candidates."
            )
        if prompts is None:
            divergences, own = self.divergences_, np.arange(len(self.prompts_))
        else:
            divergences, own = self._rows_of(check_prompts(prompts)), None
        values, indices = nearest(divergences, n, own)
        return np.sqrt(values), indices

    def kneighbors_graph(
        self,
        prompts: Sequence[str] | None = None,
        n_neighbors: int | None = None,
        mode: str = "distance",
    ) -> csr_matrix:
        """Graph of the nearest fitted prompts, with explicit zeros; each row by rising distance.

        Parameters
        ----------
        prompts, n_neighbors
            See `kneighbors`. A fitted prompt stands first in its own row, before its neighbours.
        mode : {"distance", "connectivity"}, default "distance"
            Entries are sqrt(J), or ones.

        Returns
        -------
        graph : csr_matrix of shape (n, n_prompts), float64
        """
        check_choice(mode, "mode", MODES)
        distances, indices = self.kneighbors(prompts, n_neighbors)
        if prompts is None:
            own = np.arange(len(indices))[:, None]
            distances = np.hstack([np.zeros((len(own), 1)), distances])
            indices = np.hstack([own, indices])
        data = distances if mode == "distance" else np.ones_like(distances)
        starts = np.arange(0, indices.size + 1, indices.shape[1])
        shape = (len(indices), len(self.prompts_))
        return csr_matrix((data.ravel(), indices.ravel(), starts), shape=shape)

    def transform(self, prompts: Sequence[str]) -> csr_matrix:
        """Graph of sqrt(J) from prompts to the nearest fitted ones.

        A fitted prompt has the row that `fit_transform` gave it.

        Parameters
        ----------
        prompts : sequence of str, length n_new

        Returns
        -------
        graph : csr_matrix of shape (n_new, n_prompts)
            n_neighbors + 1 entries in a row, as one may be the prompt itself; scikit-learn's
            `KNeighborsTransformer` does the same.
        """
        check_is_fitted(self)
        return self.kneighbors_graph(prompts, self.n_neighbors + 1)

    def fit_transform(self, prompts: Sequence[str], y: Any = None, **fit_params: Any) -> csr_matrix:
        """Fit, and return the square graph of each prompt: itself (0) and its n_neighbors."""
        return self.fit(prompts).kneighbors_graph()

    def _width(self, most: int) -> int:
        """Candidates of each prompt, checked."""
        least = check_number(self.n_neighbors, "n_neighbors", least=1, integer=True)
        if least > most:
            raise ValueError(
                f"n_neighbors={least}: expected at most {most}, the number of other prompts; pass "
                "more prompts, or lower n_neighbors."
            )
        if self.n_candidates is None:
            return min(CANDIDATES_PER_NEIGHBOR * least, most)
        return min(check_number(self.n_candidates, "n_candidates", least=least, integer=True), most)

    def _unfitted_embedding(self) -> ConjureEmbedding:
        if self.embedding is None:
            shared = {f.name: getattr(self, f.name) for f in fields(ChainParameters)}
            model = ConjureEmbedding(**{**shared, "random_state": self.seed_})
        else:
            model = clone(self.embedding)
        return model.set_params(device="auto", dtype="auto", model_kwargs=None)  # of the model here

    def _fit_embedding(self) -> np.ndarray:
        self.embedding_ = self._unfitted_embedding().set_params(model=self.denoiser)  # loaded once
        return self.embedding_.fit_transform(self.prompts_)

    def _measure_both_ways(self, pairs: np.ndarray) -> None:
        """J and its error of pairs (2, n) of positions, i < j, into both triangles."""
        left, right = ([self.prompts_[i] for i in side] for side in pairs)
        measured = measure_pairs(self._engine, left, right)
        self.provenance_ = provenance_of(self._engine, n_draws=measured.n_draws)
        n, (i, j) = len(self.prompts_), pairs
        places = np.r_[i, j], np.r_[j, i]
        self.divergences_, self.standard_errors_ = (
            csr_matrix((np.r_[values, values], places), shape=(n, n))
            for values in (measured.values, measured.standard_errors)
        )

    def _rows_of(self, prompts: list[str]) -> csr_matrix:
        """J of prompts and their candidates, (n, n_prompts); that of fitted ones is known."""
        place = {prompt: i for i, prompt in reversed(list(enumerate(self.prompts_)))}
        new = list(dict.fromkeys(prompt for prompt in prompts if prompt not in place))
        number = {prompt: i for i, prompt in enumerate(new)}
        measured = self._measure_new(new) if new else None
        columns, values = [], []
        for prompt in prompts:
            if prompt in place:
                known, i, own = self.divergences_, place[prompt], [place[prompt]]
            else:
                known, i, own = measured, number[prompt], []
            inside = slice(known.indptr[i], known.indptr[i + 1])
            columns.append(np.r_[own, known.indices[inside]].astype(int))
            values.append(np.r_[np.zeros(len(own)), known.data[inside]])
        starts = np.cumsum([0, *map(len, columns)])
        shape = (len(prompts), len(self.prompts_))
        return csr_matrix((np.concatenate(values), np.concatenate(columns), starts), shape=shape)

    def _measure_new(self, prompts: list[str]) -> csr_matrix:
        """J of new prompts and their candidates, (n_new, n_prompts)."""
        width = self._n_candidates + 1
        candidates = find_candidates(self._vectors, width, self.embedding_.transform(prompts))
        columns = candidates.ravel()
        left = [prompt for prompt in prompts for _ in range(width)]
        right = [self.prompts_[j] for j in columns]
        values = measure_pairs(self._fitted_engine(), left, right).values
        starts, shape = np.arange(0, len(columns) + 1, width), (len(prompts), len(self.prompts_))
        return csr_matrix((values, columns, starts), shape=shape)
