"""Correlations without each pair in turn, in O(n log n) or about that.

Leaving one pair out changes ranks in a way that is known, and changes the number of concordant
pairs by those with the pair that is left out.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

__all__ = ["DELETE_ONE"]


def _pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    n = len(x)
    x, y = x - x.mean(), y - y.mean()
    gone = n / (n - 1)
    xy, xx, yy = (a @ b - gone * a * b for a, b in ((x, y), (x, x), (y, y)))
    # What rounding leaves of a side that would be constant is not a variance.
    return _ratio(xy, np.where(xx > 1e-12 * (x @ x), xx, 0), np.where(yy > 1e-12 * (y @ y), yy, 0))


def _spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    n, (rx, ry) = len(x), (stats.rankdata(v) for v in (x, y))
    # Ranks fall by (1 + sign) / 2 of each gap to the pair that is left out.
    signs = (2 * n + 2 - 2 * rx - 2 * ry) + _concordance(rx, ry)
    moved = ((n - 1) + signs) / 4
    whole = n * (n + 1) / 2
    moved -= (whole - rx + _signed_sums(rx, ry)) / 2 + (whole - ry + _signed_sums(ry, rx)) / 2
    xy = rx @ ry - rx * ry + moved - (n - 1) * (n / 2) ** 2
    return _ratio(xy, _squares_left(rx), _squares_left(ry))


def _kendall(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    n, with_each = len(x), _concordance(x, y)
    left = with_each.sum() / 2 - with_each
    pairs = (n - 1) * (n - 2) / 2
    ties = [(t * (t - 1) / 2).sum() - (own - 1) for t, own in map(_tied, (x, y))]
    return _ratio(left, *(pairs - tied for tied in ties))


DELETE_ONE = {"spearman": _spearman, "pearson": _pearson, "kendall": _kendall}


def _ratio(xy: np.ndarray, xx: np.ndarray, yy: np.ndarray) -> np.ndarray:
    norm = np.sqrt(np.clip(xx, 0, None) * np.clip(yy, 0, None))
    return np.where(norm > 0, xy / np.where(norm > 0, norm, 1), np.nan).clip(-1, 1)


def _tied(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sizes of the groups of equal values, and of each value's own group."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return sizes.astype(float), sizes[group].astype(float)


def _squares_left(ranks: np.ndarray) -> np.ndarray:
    """Sum of squares of centred ranks of the others, for each value."""
    n, (sizes, own) = len(ranks) - 1, _tied(ranks)
    ties = (sizes**3 - sizes).sum() - (own**3 - own) + ((own - 1) ** 3 - (own - 1))
    return (n * (n**2 - 1.0) - ties) / 12


def _signed_sums(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Sum over i of values[i] * sign(by[i] - by[j]), for each j."""
    _, group = np.unique(by, return_inverse=True)
    upto = np.bincount(group, values).cumsum()
    below = np.concatenate([[0.0], upto[:-1]])
    return upto[-1] - upto[group] - below[group]


def _concordance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sum over i of sign(x[i] - x[j]) * sign(y[i] - y[j]), for each j."""
    return (
        _count_below(x, y) + _count_below(-x, -y) - _count_below(x, -y) - _count_below(-x, y)
    ).astype(float)


def _count_below(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How many i have x[i] < x[j] and y[i] < y[j], for each j: by merging halves of rising x."""
    n, (_, level) = len(x), np.unique(y, return_inverse=True)
    order = np.lexsort((-level, x))  # equal x stand by falling y, so that none counts another
    level, count, width = level[order], np.zeros(n, int), 1
    place = np.arange(n)
    while width < n:
        block, is_left = place // (2 * width), (place // width) % 2 == 0
        merged = np.argsort((block * n + level) * 2 + is_left, kind="stable")
        before = np.cumsum(is_left[merged]) - block[merged] * width
        count[merged] += np.where(is_left[merged], 0, before)
        width *= 2
    found = np.empty(n, int)
    found[order] = count
    return found
