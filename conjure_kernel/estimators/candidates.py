"""Candidates for the nearest neighbours of prompts, and the nearest among measured ones."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors

__all__ = ["find_candidates", "nearest"]


def find_candidates(vectors: np.ndarray, n: int, queries: np.ndarray | None = None) -> np.ndarray:
    """Positions (n_queries, n) of the vectors that are nearest to each query, nearest first.

    Vectors have the shape (n_prompts, d), queries (n_queries, d). Without queries each vector is
    one, and is not its own neighbour.
    """
    search = NearestNeighbors(n_neighbors=n).fit(vectors)
    return search.kneighbors(queries, return_distance=False)


def nearest(
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
