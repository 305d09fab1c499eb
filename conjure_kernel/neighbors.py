"""`ConjureNeighbors`: prompts in, a sparse graph of exact divergences out. Layer 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from conjure_kernel._checks import check_choice, check_number, check_prompts
from conjure_kernel.embedding import ConjureEmbedding
from conjure_kernel.estimator import ModelEstimator
from conjure_kernel.opening import resolve_seed
from conjure_kernel.pairwise import measure_pairs

__all__ = ["ConjureNeighbors"]

SHARED = ["n_steps", "guidance_scale", "weighting", "sampler", "substeps", "nodes", "log_snr_range"]
SHARED += ["memory", "batch_size", "n_jobs", "verbose"]
MODES = ("distance", "connectivity")


class ConjureNeighbors(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ModelEstimator):
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
    that where few candidates are mutual: `planner.plan_neighbors` says it beforehand. Which true
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

    def __init__(
        self,
        model: Any = "embedded",
        *,
        n_neighbors: int = 15,
        n_candidates: int | None = None,
        embedding: ConjureEmbedding | None = None,
        model_kwargs: dict[str, Any] | None = None,
        n_steps: int = 10,
        n_draws: int = 4,
        guidance_scale: float = 1.0,
        weighting: str = "jeffreys",
        sampler: str = "sde",
        substeps: int = 2,
        nodes: str = "log_snr",
        log_snr_range: tuple[float, float] | None = None,
        memory: Any = "auto",
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int | str = "auto",
        n_jobs: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.n_neighbors = n_neighbors
        self.n_candidates = n_candidates
        self.embedding = embedding
        self.model_kwargs = model_kwargs
        self.n_steps = n_steps
        self.n_draws = n_draws
        self.guidance_scale = guidance_scale
        self.weighting = weighting
        self.sampler = sampler
        self.substeps = substeps
        self.nodes = nodes
        self.log_snr_range = log_snr_range
        self.memory = memory
        self.device = device
        self.dtype = dtype
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

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
            settings: dict[str, Any] = {name: getattr(self, name) for name in SHARED}
            return ConjureEmbedding(random_state=self.seed_, **settings)
        loaded = {"device": "auto", "dtype": "auto", "model_kwargs": None}
        return clone(self.embedding).set_params(**loaded)

    def _fit_embedding(self) -> np.ndarray:
        self.embedding_ = self._unfitted_embedding().set_params(model=self.denoiser)  # loaded once
        return self.embedding_.fit_transform(self.prompts_)

    def _measure_both_ways(self, pairs: np.ndarray) -> None:
        """J and its error of pairs (2, n) of positions, i < j, into both triangles."""
        left, right = ([self.prompts_[i] for i in side] for side in pairs)
        measured = measure_pairs(self._engine, self.weighting, left, right)
        self.provenance_ = self._provenance(measured)
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
        values = measure_pairs(self._reopened(), self.weighting, left, right).values
        starts, shape = np.arange(0, found.size + 1, width), (len(prompts), len(self.prompts_))
        return csr_matrix((values, found.ravel(), starts), shape=shape)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags


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
