"""Candidates for the nearest neighbours of prompts, and the nearest among measured ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors

__all__ = ["both_ways", "count_pairs", "find_candidates", "nearest", "stack_rows", "symmetrize"]


def find_candidates(vectors: np.ndarray, n: int, queries: np.ndarray | None = None) -> np.ndarray:
    """Positions (n_queries, n) of the vectors that are nearest to each query, nearest first.

    Vectors have the shape (n_prompts, d), queries (n_queries, d). Without queries each vector is
    one, and is not its own neighbour.
    """
    search = NearestNeighbors(n_neighbors=n).fit(vectors)
    return search.kneighbors(queries, return_distance=False)


def count_pairs(counts: Sequence[int], width: int) -> tuple[int, int]:
    """Least and most pairs of prompts and their `width` candidates, for prompts that come so often.

    The first candidates of a prompt are its own copies, and those of another one come together.
    """
    least, most = 0, 0
    for count, n in Counter(counts).items():
        others = np.sort(list((Counter(counts) - Counter([count])).elements())).astype(int)
        if (left := width - (count - 1)) > 0 and len(others):
            few, many = (np.cumsum(o).searchsorted(left) + 1 for o in (others[::-1], others))
            least, most = least + n * int(few), most + n * int(many)
    return -(-least // 2), min(most, len(counts) * (len(counts) - 1) // 2)


def both_ways(near: np.ndarray, values: np.ndarray) -> csr_matrix:
    """Matrix (n, n) of the values (n * m,) of each row and its candidates near (n, m).

    A row also has the prompts of which it is a candidate itself, with the values of their rows.
    """
    n, m = near.shape
    rows, columns = np.repeat(np.arange(n), m), near.ravel()
    ends = np.stack([np.r_[rows, columns], np.r_[columns, rows]])
    (rows, columns), first = np.unique(ends, axis=1, return_index=True)  # a row's own come first
    return csr_matrix((np.r_[values, values][first], (rows, columns)), (n, n))


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
    edges = np.sort([half.row, half.col], axis=0)
    (i, j), edge = np.unique(edges, axis=1, return_inverse=True)
    # Where both rows have an edge, their values may differ in the number of draws.
    values = np.bincount(edge, half.data) / np.bincount(edge)
    apart = i != j
    rows, columns = np.r_[i, j[apart]], np.r_[j, i[apart]]
    values = np.r_[values, values[apart]]
    order = np.lexsort((columns, values, rows))
    starts = np.searchsorted(rows[order], np.arange(graph.shape[0] + 1))
    return csr_matrix((values[order], columns[order], starts), shape=graph.shape)
