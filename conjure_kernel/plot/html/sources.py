"""Where the distances of a map come from: a matrix of all pairs, or a vector per prompt."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from conjure_kernel.plot.coordinates import (
    layout,
    layout_vectors,
    principal_components,
    representatives,
    stress,
)

__all__ = ["Matrix", "Source", "Vectors", "pack"]

SAMPLE = 1000  # vectors by which a layout or a clustering is judged


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

    def cluster(self, most: int) -> np.ndarray:
        """Average linkage on sqrt(J), cut into 2 to `most` clusters of the best silhouette."""
        from scipy.cluster.hierarchy import fcluster, linkage
        from scipy.spatial.distance import squareform
        from sklearn.metrics import silhouette_score

        n = len(self.distances)
        if n < 4 or not self.distances.any():
            return np.zeros(n, dtype=int)
        links = linkage(squareform(self.distances, checks=False), "average")
        cuts = [fcluster(links, k, "maxclust") for k in range(2, min(most, n - 1) + 1)]
        cuts = [cut for cut in cuts if 1 < len(set(cut)) < n]
        scored = [silhouette_score(self.distances, cut, metric="precomputed") for cut in cuts]
        return cuts[int(np.argmax(scored))] if cuts else np.zeros(n, dtype=int)

    def middle(self, members: np.ndarray) -> tuple[int, ...]:
        """The three most central of some prompts, the medoid first."""
        order = self.squares[np.ix_(members, members)].sum(1).argsort(kind="stable")
        return tuple(members[order[:3]].tolist())

    def nearest(self, n_neighbors: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, distances and standard errors of each prompt's neighbours, nearest first."""
        apart = self.distances + np.diag(np.full(len(self.distances), np.inf))
        nearest = np.argsort(apart, axis=1, kind="stable")[:, :n_neighbors]
        both = self.distances, self.errors
        distances, errors = (np.take_along_axis(matrix, nearest, 1) for matrix in both)
        return nearest, distances, errors

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
        self.reduced, share = principal_components(vectors)
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

    def cluster(self, most: int) -> np.ndarray:
        """k-means with 2 to `most` clusters, those of the best silhouette on a sample."""
        from sklearn.cluster import KMeans
        from sklearn.metrics import silhouette_score

        n, kept = len(self.reduced), self._sample()
        n_distinct = len(np.unique(self.reduced[kept], axis=0))
        cuts = [
            KMeans(k, n_init=4, random_state=0).fit_predict(self.reduced)
            for k in range(2, min(most, n_distinct - 1) + 1)
        ]
        cuts = [cut for cut in cuts if len(set(cut[kept])) > 1]
        scored = [silhouette_score(self.reduced[kept], cut[kept]) for cut in cuts]
        return cuts[int(np.argmax(scored))] if cuts else np.zeros(n, dtype=int)

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
