"""`ConjureNeighbors`: prompts in, a sparse graph of exact divergences out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_is_fitted

from conjure_kernel._checks import check_choice, check_number, check_prompts
from conjure_kernel.engine.opening import resolve_seed
from conjure_kernel.engine.pairwise import measure_pairs
from conjure_kernel.engine.parameters import ChainParameters, ModelParameter, Parameters
from conjure_kernel.engine.plan import Plan, plan_candidates
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.estimators.base import ModelEstimator, TextInput
from conjure_kernel.estimators.embedding import ConjureEmbedding

__all__ = ["ConjureNeighbors"]

MODES = ("distance", "connectivity")


@dataclass(kw_only=True, repr=False, eq=False)
class ConjureNeighbors(
    TextInput,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ModelEstimator,
    ModelParameter,
    Parameters,
):
    """Nearest prompts by exact J, measured for a few candidates of each only.

    Candidates are the nearest vectors of a `ConjureEmbedding`; J of each of them, with its error,
    decides. The graph goes before `SpectralClustering(affinity="precomputed_nearest_neighbors")`,
    and `DBSCAN` or `Isomap` with metric="precomputed"; `HDBSCAN` and `UMAP`, too, but want it
    symmetric: `graph.maximum(graph.T)`.

    Parameters
    ----------
    model : str, path, diffusers pipeline or Denoiser, default "embedded"
        What `load_denoiser` takes.
    n_neighbors : int, default 15
        Neighbours of a prompt, itself not counted.
    n_candidates : int, optional
        Prompts whose J is measured for each; default 5 * n_neighbors.
    embedding : ConjureEmbedding, optional
        What finds the candidates; its own settings are kept, the model is this one. Default: one
        with the settings given here.
    model_kwargs, n_steps, n_draws, guidance_scale, weighting, sampler, substeps, nodes, \
log_snr_range, memory, device, dtype, batch_size, n_jobs, random_state, verbose
        As of `ConjureDistance`.

    Attributes
    ----------
    prompts_ : list of str
        The fitted prompts, one column each.
    embedding_ : ConjureEmbedding
        Fitted.
    divergences_, standard_errors_ : csr_matrix of shape (n_prompts, n_prompts)
        J of all candidates, of either side, and its Monte Carlo standard error.
    n_evaluations_, provenance_ : int, dict
        Noise predictions that `fit` cost; model, fingerprint, settings and versions.

    Notes
    -----
    n prompts cost about n * n_candidates * T * K noise predictions beside the embedding, twice
    that where few candidates are mutual: `plan` says it beforehand. Which true
    neighbours the candidates miss is measured in docs/embedding.md.

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
        """Find candidates, and measure J of each prompt and its own.

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
        self.seed_ = resolve_seed(self.random_state)
        self._engine = self._open()
        before = self.denoiser.n_evaluations
        vectors = self._fit_embedding()
        self._search = NearestNeighbors(n_neighbors=width).fit(vectors)
        found = self._search.kneighbors(return_distance=False)
        pairs = np.stack([np.repeat(np.arange(len(found)), width), found.ravel()])
        self._measure_both_ways(np.unique(np.sort(pairs, axis=0), axis=1))
        self.n_evaluations_ = self.denoiser.n_evaluations - before
        self._n_features_out = len(self.prompts_)
        return self

    def plan(self, prompts: Sequence[str]) -> Plan:
        """What `fit` of these prompts costs, vectors included, when the cache knows nothing of it.

        Which pairs are candidates is known only once there are vectors: between half as many as
        prompts times candidates, if all are mutual, and all of them.

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
        n, engine = len(distinct), unfitted._open()
        width, vectors = unfitted._width(n - 1), unfitted._unfitted_embedding().n_predictions(n)
        n_pairs = (-(-n * width // 2), min(n * width, n * (n - 1) // 2))
        return plan_candidates(engine, distinct, n_pairs, width, vectors)

    def kneighbors(
        self, prompts: Sequence[str] | None = None, n_neighbors: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distances sqrt(J) to, and positions of, the nearest fitted prompts, nearest first.

        Parameters
        ----------
        prompts : sequence of str, optional
            Default: the fitted ones, which are then not their own neighbours.
        n_neighbors : int, optional
            At most the number of candidates.

        Returns
        -------
        distances, indices : arrays of shape (n, n_neighbors)
        """
        check_is_fitted(self)
        n = self.n_neighbors if n_neighbors is None else n_neighbors
        n_known = self._search.n_neighbors + (prompts is not None)
        if check_number(n, "n_neighbors", least=1, integer=True) > n_known:
            raise ValueError(
                f"n_neighbors={n}: J of {n_known} candidates is measured. Raise n_candidates."
            )
        if prompts is None:
            divergences, own = self.divergences_, np.arange(len(self.prompts_))
        else:
            divergences, own = self._measure_new(check_prompts(prompts)), None
        values, indices = _nearest(divergences, n, own)
        return np.sqrt(values), indices

    def kneighbors_graph(
        self,
        prompts: Sequence[str] | None = None,
        n_neighbors: int | None = None,
        mode: str = "distance",
    ) -> csr_matrix:
        """Graph of the nearest fitted prompts, rows by rising distance, explicit zeros kept.

        Parameters
        ----------
        prompts, n_neighbors
            As of `kneighbors`. A fitted prompt comes first in its own row, beside its neighbours.
        mode : {"distance", "connectivity"}
            sqrt(J), or ones.

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
        """Graph (n_new, n_prompts) of sqrt(J) to the nearest fitted prompts.

        As scikit-learn's `KNeighborsTransformer` gives it: n_neighbors + 1 in a row, as one may be
        the prompt itself.
        """
        check_is_fitted(self)
        return self.kneighbors_graph(prompts, self.n_neighbors + 1)

    def fit_transform(self, prompts: Sequence[str], y: Any = None, **fit_params: Any) -> csr_matrix:
        """Fit, and return the square graph: each prompt itself (0) and its n_neighbors."""
        return self.fit(prompts).kneighbors_graph()

    def _width(self, most: int) -> int:
        """Candidates of each prompt, checked."""
        least = check_number(self.n_neighbors, "n_neighbors", least=1, integer=True)
        if least > most:
            raise ValueError(f"n_neighbors={least}: there are {most} other prompts to choose from.")
        if self.n_candidates is None:
            return min(5 * least, most)
        wanted = check_number(self.n_candidates, "n_candidates", least=least, integer=True)
        return min(wanted, most)

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

    def _measure_new(self, prompts: list[str]) -> csr_matrix:
        """J of new prompts and their candidates, (n_new, n_prompts)."""
        width = self._search.n_neighbors + 1
        vectors = self.embedding_.transform(prompts)
        found = self._search.kneighbors(vectors, width, return_distance=False)
        left = [prompt for prompt in prompts for _ in range(width)]
        right = [self.prompts_[j] for j in found.ravel()]
        values = measure_pairs(self._reopened(), left, right).values
        starts, shape = np.arange(0, found.size + 1, width), (len(prompts), len(self.prompts_))
        return csr_matrix((values, found.ravel(), starts), shape=shape)


def _nearest(
    divergences: csr_matrix, n: int, own: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Smallest n values of each row and their columns, rising; a row leaves `own` out."""
    rows = np.repeat(np.arange(divergences.shape[0]), np.diff(divergences.indptr))
    keep = slice(None) if own is None else divergences.indices != own[rows]
    rows, columns, values = rows[keep], divergences.indices[keep], divergences.data[keep]
    order = np.lexsort((columns, values, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    first = rank < n
    return values[first].reshape(-1, n), columns[first].reshape(-1, n)
