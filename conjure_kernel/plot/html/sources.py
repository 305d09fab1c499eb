"""Where the distances of a map come from: a matrix of all pairs, or a vector per prompt."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from conjure_kernel.estimators.clusters import Clusters, find_clusters
from conjure_kernel.plot.canvas import neighbors_of
from conjure_kernel.plot.coordinates import (
    layout,
    layout_vectors,
    principal_components,
    representatives,
    stress,
)

__all__ = ["Matrix", "Source", "Vectors", "pack"]

LEAST_COMPONENTS = 64
NUMBERS = 250_000  # of principal components in the file, 1.3 MB; more where prompts are very many
SAMPLE = 1000  # vectors by which a layout is judged


class Matrix:
    """J of all pairs (n, n), with standard errors."""

    def __init__(self, divergences: np.ndarray, errors: np.ndarray) -> None:
        self.squares, self.distances = divergences, np.sqrt(divergences)
        self.errors = errors / (2 * np.where(self.distances > 0, self.distances, np.nan))
        self.measure, self.note = "√J", ""

    def layout(self) -> np.ndarray:
        """Default coordinates (n, 2)."""
        return layout(self.squares)

    def stress(self, points: np.ndarray) -> float:
        """Stress of a layout."""
        return stress(self.squares, points)

    def representatives(self, points: np.ndarray) -> np.ndarray:
        """Positions of a few prompts that represent all."""
        return representatives(points)

    def clusters(self, names: list[str]) -> Clusters:
        """Clusters that are found by default."""
        return find_clusters(names, distances=self.distances)

    def middle(self, members: np.ndarray) -> tuple[int, ...]:
        """The three most central of some prompts, the medoid first."""
        order = self.squares[np.ix_(members, members)].sum(1).argsort(kind="stable")
        return tuple(members[order[:3]].tolist())

    def nearest(self, n_neighbors: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, distances and standard errors of each prompt's neighbours, nearest first."""
        nearest = self.near(n_neighbors, None)
        both = self.distances, self.errors
        distances, errors = (np.take_along_axis(matrix, nearest, 1) for matrix in both)
        return nearest, distances, errors

    def near(self, n_neighbors: int, n_first: int | None) -> np.ndarray:
        """Positions of each prompt's neighbours among the first."""
        apart = self.distances + np.diag(np.full(len(self.distances), np.inf))
        return np.argsort(apart[:, :n_first], axis=1, kind="stable")[:, :n_neighbors]

    def data(self) -> dict[str, Any]:
        """The data from which the page computes distances."""
        known = {"errors": pack(self.errors)} if np.isfinite(self.errors).any() else {}
        return {"distances": pack(self.distances), **known}


class Vectors:
    """Vectors (n, d) whose squared distances estimate J; the page gets principal components.

    Of vectors of unit length the cosine is shown, as 1 - cosine: half their squared distance.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self.rows = vectors
        most = max(LEAST_COMPONENTS, NUMBERS // len(vectors))
        self.reduced, share = principal_components(vectors, most)
        self.errors = np.full((1, 1), np.nan)
        self.unit = bool(np.allclose((vectors.astype(float) ** 2).sum(1), 1, atol=1e-3))
        self.measure = "1 − cosine" if self.unit else "√J"
        self.note = (
            f"Those from a pinned prompt are computed from {self.reduced.shape[1]} principal "
            f"components, with {share:.0%} of the variance."
        )

    def layout(self) -> np.ndarray:
        """Default coordinates (n, 2)."""
        return layout_vectors(self.reduced)

    def stress(self, points: np.ndarray) -> float:
        """Stress of a layout, on a sample of the prompts."""
        from scipy.spatial.distance import cdist

        kept = self._sample()
        rows = self.rows[kept].astype(np.float64)
        return stress(cdist(rows, rows, "sqeuclidean"), points[kept])

    def representatives(self, points: np.ndarray) -> np.ndarray:
        """Positions of a few prompts that represent all."""
        return representatives(self.reduced)

    def clusters(self, names: list[str]) -> Clusters:
        """Clusters that are found by default."""
        return find_clusters(names, vectors=self.rows)

    def middle(self, members: np.ndarray) -> tuple[int, ...]:
        """The three of some prompts that are nearest to their mean, the medoid first."""
        rows = self.reduced[members]
        order = ((rows - rows.mean(0)) ** 2).sum(1).argsort(kind="stable")
        return tuple(members[order[:3]].tolist())

    def nearest(self, n_neighbors: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, distances and (unknown) errors of each prompt's neighbours, nearest first."""
        from sklearn.neighbors import NearestNeighbors

        if not n_neighbors:
            return np.zeros((len(self.rows), 0), int), *np.full((2, len(self.rows), 0), np.nan)
        fitted = NearestNeighbors(n_neighbors=n_neighbors).fit(self.rows)
        distances, nearest = fitted.kneighbors()
        distances = distances**2 / 2 if self.unit else distances
        return nearest, distances, np.full(nearest.shape, np.nan)

    def near(self, n_neighbors: int, n_first: int | None) -> np.ndarray:
        """Positions of each prompt's neighbours among the first."""
        return neighbors_of(self.rows, n_neighbors, n_first)

    def data(self) -> dict[str, Any]:
        """The data from which the page computes distances."""
        return {"vectors": pack(self.reduced), "unit_length": self.unit}

    def _sample(self) -> np.ndarray:
        n = len(self.rows)
        return np.sort(np.random.default_rng(0).permutation(n)[:SAMPLE])


Source = Matrix | Vectors


def pack(matrix: np.ndarray, kind: str = "<f4") -> str:
    """Numbers as the page reads them."""
    return base64.b64encode(np.ascontiguousarray(matrix, kind).tobytes()).decode()
