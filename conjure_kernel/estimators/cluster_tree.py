"""A tree of clusters: Ward's method on the diffusion map of a graph of nearest neighbours.

Spectral clustering whose last step is Ward's and not k-means, so that a finer level divides the
clusters of a coarser one and nothing is drawn at random. Each prompt is joined with its nearest
ones; a random walker on that graph soon has visited its own cluster, and late the others. The
number of clusters is that of the largest modularity: of the edges within clusters, beyond those
that chance would put there.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, ward
from scipy.linalg import eigh
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import LinearOperator, eigsh

__all__ = ["ClusterTree"]

MOST_NEIGHBORS = 7  # edges of a prompt
WALK = 4  # steps of the random walker
MOST_COMPONENTS = 50  # of the diffusion map
DENSE = 500  # prompts up to which all eigenvectors are computed


class ClusterTree:
    """All cuts of n points, from their distances (n, n), which are only compared."""

    def __init__(self, distances: np.ndarray) -> None:
        n = len(distances)
        self.most = max(2, min(n // 2, round(3 * np.sqrt(n))))
        self.graph = _graph(distances, min(MOST_NEIGHBORS, max(2, round(np.sqrt(n)))))
        self.points = _diffusion_map(self.graph, min(self.most, MOST_COMPONENTS))
        self.links = ward(self.points)

    def cut(self, n_clusters: int) -> np.ndarray:
        """Labels of so many clusters, or of fewer where points coincide."""
        return fcluster(self.links, n_clusters, "maxclust") - 1

    def best(self, resolution: float, least: int = 1) -> np.ndarray:
        """Labels of the cut into at least `least` clusters of the largest modularity.

        The larger the resolution, the more and the smaller the clusters; at 1 the modularity of a
        single cluster is 0.
        """
        cuts = [self.cut(k) for k in range(least, max(least, self.most) + 1)]
        return cuts[int(np.argmax([self.modularity(cut, resolution) for cut in cuts]))]

    def modularity(self, labels: np.ndarray, resolution: float = 1.0) -> float:
        """Share of the edges that lie within clusters, less `resolution` times that by chance."""
        edges = self.graph.tocoo()
        degrees = self.graph.sum(1)
        within = edges.data[labels[edges.row] == labels[edges.col]].sum()
        expected = np.bincount(labels, degrees) / degrees.sum()
        return float(within / degrees.sum() - resolution * (expected**2).sum())

    def strays(self, labels: np.ndarray) -> np.ndarray:
        """Which nodes have less than half of their (possible) edges within their cluster."""
        edges = self.graph.tocoo()
        inner = labels[edges.row] == labels[edges.col]
        within = np.bincount(edges.row[inner], edges.data[inner], minlength=len(labels))
        possible = np.minimum(np.bincount(labels)[labels] - 1, self.graph.sum(1))
        return within < possible / 2


def _graph(distances: np.ndarray, n_neighbors: int) -> csr_array:
    """Symmetric graph: 1 where both are among the other's nearest, 1/2 where one is."""
    n = len(distances)
    apart = distances.copy()
    np.fill_diagonal(apart, np.inf)
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :n_neighbors]
    rows = np.repeat(np.arange(n), n_neighbors)
    graph = coo_array((np.ones(rows.size), (rows, nearest.ravel())), shape=(n, n)).tocsr()
    return (graph + graph.T) / 2


def _diffusion_map(graph: csr_array, n_components: int) -> np.ndarray:
    """Where a random walker from each node is likely to be: a direction per node.

    The stationary distribution, which says nothing, is taken out before and not as the first
    eigenvector: a graph of several parts has several of its kind.
    """
    n = graph.shape[0]
    roots = np.sqrt(graph.sum(1))
    scale = csr_array((1 / roots, (np.arange(n), np.arange(n))))
    walk, still = scale @ graph @ scale, roots / np.linalg.norm(roots)
    k = min(n_components, n - 1)
    if n <= DENSE:
        values, vectors = eigh(walk.toarray() - np.outer(still, still))
        values, vectors = values[-k:], vectors[:, -k:]
    else:
        operator = LinearOperator(
            (n, n), matvec=lambda x: walk @ x - still * (still @ x), dtype=float
        )
        start = np.cos(np.arange(n))  # any fixed vector, that results repeat
        values, vectors = eigsh(operator, k, which="LA", v0=start)
    points = vectors / roots[:, None] * np.clip(values, 0, None) ** WALK
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(lengths > 0, lengths, 1)
