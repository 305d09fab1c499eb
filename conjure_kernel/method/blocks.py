"""Distances and cosines of vectors that are made of independent blocks, and their errors.

The vectors of an embedding consist of B blocks that share neither draws nor components. A sum over
components is a sum over blocks, so that their spread gives the error of a distance, and leaving one
out at a time that of a cosine.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conjure_kernel.method.draws import ratio
from conjure_kernel.method.jackknife import jackknife_se

__all__ = ["cosine_errors", "cosine_replicates", "cosines", "distance_errors", "unit_replicates"]


def distance_errors(left: np.ndarray, right: np.ndarray, n_blocks: int) -> np.ndarray:
    """Standard error of |left - right| of vectors (n, D); NaN where it is 0, or with one block."""
    if n_blocks == 1:
        return np.full(len(left), np.nan)
    squares = _sums(left - right, left - right, n_blocks)
    error = np.sqrt(n_blocks) * squares.std(1, ddof=1)
    return ratio(error, 2 * np.sqrt(squares.sum(1)), empty=np.nan)


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Cosine of each pair of vectors (n, D); 0 where one has no length."""
    return _cosines(*(_sums(a, b, 1).sum(1) for a, b in _products(left, right)))


def cosine_replicates(left: np.ndarray, right: np.ndarray, n_blocks: int) -> np.ndarray:
    """Cosines without one block, (1, B, n), of which `jackknife_se` gives the error."""
    sums = [_sums(a, b, n_blocks).T for a, b in _products(left, right)]
    return _cosines(*(part.sum(0) - part for part in sums))[None]


def cosine_errors(left: np.ndarray, right: np.ndarray, n_blocks: int) -> np.ndarray:
    """Standard error of the cosine of each pair of vectors (n, D); NaN with one block."""
    if n_blocks == 1:
        return np.full(len(left), np.nan)
    return jackknife_se(cosine_replicates(left, right, n_blocks))


def unit_replicates(vectors: np.ndarray, n_blocks: int) -> Iterator[np.ndarray]:
    """Vectors of length 1 from vectors (n, D), without one block each; 0 where nothing is left."""
    for block in np.split(np.arange(vectors.shape[1]), n_blocks):
        rest = np.delete(vectors, block, axis=1)
        yield ratio(rest, np.linalg.norm(rest, axis=1, keepdims=True))


def _products(left: np.ndarray, right: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(left, right), (left, left), (right, right)]


def _sums(left: np.ndarray, right: np.ndarray, n_blocks: int) -> np.ndarray:
    """Scalar product of each pair of vectors by blocks, (n, B)."""
    return np.multiply(left, right, dtype=float).reshape(len(left), n_blocks, -1).sum(2)


def _cosines(products: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return ratio(products, np.sqrt(left * right)).clip(-1, 1)
