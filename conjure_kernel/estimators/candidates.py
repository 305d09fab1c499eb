"""Candidates for the nearest neighbours of prompts, and the nearest among measured ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors

__all__ = ["both_ways", "find_candidates", "nearest", "pairs_of", "stack_rows", "symmetrize"]


def find_candidates(vectors: np.ndarray, n: int, queries: np.ndarray | None = None) -> np.ndarray:
    """Positions (n_queries, n) of the vectors that are nearest to each query, nearest first.

    Vectors have the shape (n_prompts, d), queries (n_queries, d). Without queries each vector is
    one, and is not its own neighbour.
    """
    search = NearestNeighbors(n_neighbors=n).fit(vectors)
    return search.kneighbors(queries, return_distance=False)


def pairs_of(candidates: np.ndarray) -> np.ndarray:
    """Pairs (2, n) of each row and its candidates, i < j, each once."""
    rows = np.repeat(np.arange(len(candidates)), candidates.shape[1])
    return np.unique(np.sort([rows, candidates.ravel()], axis=0), axis=1)


def both_ways(pairs: np.ndarray, values: np.ndarray, n: int) -> csr_matrix:
    """Matrix (n, n) with the value of each pair in both triangles."""
    i, j = pairs
    return csr_matrix((np.r_[values, values], (np.r_[i, j], np.r_[j, i])), shape=(n, n))


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


def stack_rows(
    columns: Sequence[np.ndarray] | np.ndarray,
    values: Sequence[np.ndarray] | np.ndarray,
    n_columns: int,
) -> csr_matrix:
    """Sparse matrix of these columns and values of each row, in their order."""
    data, indices = np.concatenate(values), np.concatenate(columns)
    starts = np.cumsum([0, *map(len, columns)])
    return csr_matrix((data, indices, starts), shape=(len(columns), n_columns))


def symmetrize(graph: csr_matrix) -> csr_matrix:
    """The graph with each edge in both triangles and explicit zeros; each row by rising value.

    `graph.maximum(graph.T)` would lose the edges of equal prompts, as they are zeros.
    """
    half = graph.tocoo()
    ends = np.stack([np.r_[half.row, half.col], np.r_[half.col, half.row]])
    (rows, columns), first = np.unique(ends, axis=1, return_index=True)
    values = np.r_[half.data, half.data][first]
    order = np.lexsort((columns, values, rows))
    starts = np.searchsorted(rows[order], np.arange(graph.shape[0] + 1))
    return csr_matrix((values[order], columns[order], starts), shape=graph.shape)
