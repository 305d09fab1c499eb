"""`ConjureNeighbors`: a sparse graph of each prompt and the few nearest ones, by exact J."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import TransformerMixin, clone

from conjure_kernel._checks import check_choice, check_number, check_prompts
from conjure_kernel.engine.cost import Plan
from conjure_kernel.engine.parameters import ChainParameters, MeasurementParameters
from conjure_kernel.engine.plan import plan_candidates
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.engine.turns import turn
from conjure_kernel.estimators import candidates
from conjure_kernel.estimators.base import ModelEstimator, NamedByPrompts, TextInput
from conjure_kernel.estimators.embedding import ConjureEmbedding
from conjure_kernel.estimators.fitting import as_fitted, whole
from conjure_kernel.estimators.race import FIRST_LOOK, race

__all__ = ["CANDIDATES_PER_NEIGHBOR", "ConjureNeighbors"]

MODES = ("distance", "connectivity")
CANDIDATES_PER_NEIGHBOR = 5


@dataclass(kw_only=True, repr=False, eq=False)
class ConjureNeighbors(
    TextInput,
    NamedByPrompts,
    TransformerMixin,
    ModelEstimator,
    MeasurementParameters,
):
    """Nearest prompts by exact J, which is measured for a few candidates of each prompt only.

    The candidates are the prompts with the nearest vectors of a `ConjureEmbedding`. J of each is
    measured, with its error, and decides: all begin with 2 draws, and those whose interval says
    that they are not among the nearest get no more of the `n_draws`. The graph goes into `DBSCAN`
    or `Isomap` with metric="precomputed", and into `SpectralClustering` with
    affinity="precomputed_nearest_neighbors"; `HDBSCAN` and `UMAP` want
    `kneighbors_graph(symmetric=True)`.

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
batch_size, n_jobs, random_state, verbose, origin
        See `ConjureDistance`. With an origin the default embedding takes the largest cosines.

    Attributes
    ----------
    prompts_ : list of str
        The fitted prompts, one column each.
    embedding_ : ConjureEmbedding
        The fitted embedding that found the candidates.
    divergences_, standard_errors_ : csr_matrix of shape (n_prompts, n_prompts)
        J of each prompt (row) and its candidates, and the prompts that it is a candidate of, in
        nats or relative to the origin, and its Monte Carlo standard error. Candidates that dropped
        out have fewer draws.
    n_evaluations_, provenance_ : int, dict
        Noise predictions that `fit` cost; model, fingerprint, settings and versions.

    Notes
    -----
    n prompts cost about n * n_candidates * T * K noise predictions beside the embedding, twice that
    where few candidates are mutual, and less where many drop out; `plan` says it beforehand. Who
    stays has the J of `pairwise_divergence`. With `tol` nobody drops out.

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

    @whole
    def fit(self, X: Sequence[str], y: Any = None) -> ConjureNeighbors:
        """Find the candidates of each prompt, and measure its J with them.

        Parameters
        ----------
        X : sequence of str, length n_prompts > n_neighbors
        y : ignored

        Returns
        -------
        self : ConjureNeighbors
        """
        self.prompts_ = check_prompts(X)
        width = self._width(len(self.prompts_) - 1)
        denoiser = self._begin().denoiser
        self.embedding_ = self._unfitted_embedding().set_params(model=denoiser)  # loaded once
        with turn(denoiser):
            before = denoiser.n_evaluations
            self._vectors, self._n_candidates = self.embedding_.fit_transform(self.prompts_), width
            near = candidates.find_candidates(self._vectors, width)
            measured = race(self._engine, self.prompts_, self.prompts_, near, self.n_neighbors)
            self.provenance_ = provenance_of(self._engine, n_draws=measured.n_draws)
            self.divergences_ = candidates.both_ways(near, measured.values)
            self.standard_errors_ = candidates.both_ways(near, measured.standard_errors)
            self.n_evaluations_ = denoiser.n_evaluations - before
        return self

    def plan(self, prompts: Sequence[str]) -> Plan:
        """What `fit` of these prompts costs from an empty cache, with the vectors.

        It depends on how many candidates are mutual, and how early they drop out.

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
        >>> cost, actual = model.plan(world.prompts), model.fit(world.prompts).n_evaluations_
        >>> cost.n_predictions <= actual <= cost.most_predictions
        True
        """
        counts, unfitted = Counter(check_prompts(prompts)), clone(self)
        engine, width = unfitted.open_engine(), unfitted._width(counts.total() - 1)
        vectors = unfitted._unfitted_embedding().n_predictions(len(counts))
        pairs = candidates.count_pairs(list(counts.values()), width)
        # who is among the nearest does not drop out
        n_sure, _ = candidates.count_pairs(list(counts.values()), self.n_neighbors)
        return plan_candidates(engine, list(counts), pairs, width, vectors, (FIRST_LOOK, n_sure))

    @as_fitted
    def kneighbors(
        self,
        X: Sequence[str] | None = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
    ) -> Any:
        """Distances sqrt(J) to the nearest fitted prompts and their positions, nearest first.

        Parameters
        ----------
        X : sequence of str, length n, optional
            Default: the fitted prompts, which are then not their own neighbours.
        n_neighbors : int, optional
            At most the number of candidates. Default: that of the estimator.
        return_distance : bool, default True
            Whether the distances are returned, too.

        Returns
        -------
        distances, indices : float64 and int arrays of shape (n, n_neighbors)
            Or the indices alone.
        """
        n = self.n_neighbors if n_neighbors is None else n_neighbors
        n_known = self._n_candidates + (X is not None)
        if check_number(n, "n_neighbors", least=1, integer=True) > n_known:
            raise ValueError(
                f"n_neighbors={n}: expected at most {n_known}, as J of so many candidates is "
                "measured; raise n_candidates."
            )
        if X is None:
            divergences, own = self.divergences_, np.arange(len(self.prompts_))
        else:
            divergences, own = self._rows_of(check_prompts(X)), None
        values, indices = candidates.nearest(divergences, n, own)
        return (np.sqrt(values), indices) if return_distance else indices

    @as_fitted
    def kneighbors_graph(
        self,
        X: Sequence[str] | None = None,
        n_neighbors: int | None = None,
        mode: str = "distance",
        symmetric: bool = False,
    ) -> csr_matrix:
        """Graph of the nearest fitted prompts, with explicit zeros; each row by rising distance.

        Parameters
        ----------
        X, n_neighbors
            See `kneighbors`. A fitted prompt stands first in its own row, before its neighbours.
        mode : {"distance", "connectivity"}, default "distance"
            Entries are sqrt(J), or ones.
        symmetric : bool, default False
            Whether each edge stands in both triangles; only without X.

        Returns
        -------
        graph : csr_matrix of shape (n, n_prompts), float64
        """
        check_choice(mode, "mode", MODES)
        if symmetric and X is not None:
            raise ValueError("symmetric=True: expected no X, whose rows are no columns.")
        distances, indices = self.kneighbors(X, n_neighbors)
        if X is None:
            indices = np.hstack([np.arange(len(indices))[:, None], indices])
            distances = np.hstack([np.zeros((len(indices), 1)), distances])
        data = distances if mode == "distance" else np.ones_like(distances)
        graph = candidates.stack_rows(indices, data, len(self.prompts_))
        return candidates.symmetrize(graph) if symmetric else graph

    @as_fitted
    def transform(self, X: Sequence[str]) -> csr_matrix:
        """Graph of sqrt(J) from prompts to the nearest fitted ones.

        A fitted prompt has the row that `fit_transform` gave it.

        Parameters
        ----------
        X : sequence of str, length n_new

        Returns
        -------
        graph : csr_matrix of shape (n_new, n_prompts)
            n_neighbors + 1 entries in a row, as one may be the prompt itself; scikit-learn's
            `KNeighborsTransformer` does the same.
        """
        return self.kneighbors_graph(X, self.n_neighbors + 1)

    def fit_transform(self, X: Sequence[str], y: Any = None, **fit_params: Any) -> csr_matrix:
        """Fit, and return the square graph of each prompt: itself (0) and its n_neighbors."""
        return self.fit(X).kneighbors_graph()

    def set_params(self, **params: Any) -> ConjureNeighbors:
        """Set parameters, also those of the default embedding."""
        if self.embedding is None and any("embedding__" in name for name in params):
            self.embedding = self._default_embedding()
        return super().set_params(**params)

    def _default_embedding(self) -> ConjureEmbedding:
        own = {f.name: getattr(self, f.name) for f in fields(ChainParameters)}
        return ConjureEmbedding(**own, origin=self.origin, normalize=self.origin is not None)

    def _width(self, most: int) -> int:
        """Candidates of each prompt, checked."""
        least = check_number(self.n_neighbors, "n_neighbors", least=1, integer=True)
        if least > most:
            raise ValueError(
                f"n_neighbors={least}: expected at most {most}, the number of other prompts; pass "
                "more prompts, or lower n_neighbors."
            )
        wanted = CANDIDATES_PER_NEIGHBOR * least if self.n_candidates is None else self.n_candidates
        return min(check_number(wanted, "n_candidates", least=least, integer=True), most)

    def _unfitted_embedding(self) -> ConjureEmbedding:
        own = self._default_embedding().set_params(random_state=self._seed())
        model = own if self.embedding is None else clone(self.embedding)
        return model.set_params(device="auto", dtype="auto", model_kwargs=None)  # of the model here

    def _rows_of(self, prompts: list[str]) -> csr_matrix:
        """J of prompts and their candidates, (n, n_prompts); that of fitted ones is known."""
        place = {prompt: i for i, prompt in reversed(list(enumerate(self.prompts_)))}
        new = list(dict.fromkeys(prompt for prompt in prompts if prompt not in place))
        number = {prompt: i for i, prompt in enumerate(new)}
        measured = self._measure_new(new) if new else None
        columns, values = [], []
        for prompt in prompts:
            if prompt in place:
                row, own = self.divergences_[place[prompt]], [place[prompt]]
            else:
                row, own = measured[number[prompt]], []  # type: ignore[index]
            columns.append(np.r_[own, row.indices].astype(int))
            values.append(np.r_[np.zeros(len(own)), row.data])
        return candidates.stack_rows(columns, values, len(self.prompts_))

    def _measure_new(self, prompts: list[str]) -> csr_matrix:
        """J of new prompts and their candidates, (n_new, n_prompts)."""
        width = self._n_candidates + 1
        if getattr(self.embedding_.model, "left_behind", False):  # by a pickle
            self.embedding_.set_params(model=self.denoiser)
        near = candidates.find_candidates(self._vectors, width, self.embedding_.transform(prompts))
        k = min(self.n_neighbors + 1, width)  # one may be the prompt itself, but for its text
        values = race(self._fitted_engine(), prompts, self.prompts_, near, k).values
        return candidates.stack_rows(near, values.reshape(near.shape), len(self.prompts_))
