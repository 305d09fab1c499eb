"""Places of equal size for the pictures of a map, which fill the canvas; what is near stays near.

Everything is in the unit of a cell of a grid, so that pictures of side 1 never overlap.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment, quadratic_assignment
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from conjure_kernel._checks import check_coordinates, check_number, check_vectors

__all__ = ["neighbors_of", "spread_evenly"]

TOGETHER = 1000  # points that are assigned at once, which takes a matrix of them and the cells
EXCHANGED = 700  # points among which neighbours are brought together, which takes cubic time
WIDTH = 1.25  # cells at which being neighbours is worth e^-0.5 of what it is at 0


def spread_evenly(
    coordinates: np.ndarray,
    near: np.ndarray | None = None,
    *,
    aspect: float = 1.5,
    free: float = 0.1,
    n_first: int | None = None,
) -> np.ndarray:
    """Move the points of a map onto the cells of a grid that fills a canvas.

    The map is stretched onto the canvas, half by its values and half by its ranks along each axis,
    and goes to the cells with the least sum of squared ways. Up to 700 points then change cells as
    long as that brings them nearer to those that are `near` (a quadratic assignment, by FAQ:
    Vogelstein et al. 2015).

    Parameters
    ----------
    coordinates : array of shape (n, 2)
        Points from `layout` or `layout_vectors`.
    near : int array of shape (n, k), optional
        Positions of the k prompts nearest to each, by J or by vectors; 10 are enough. Default: the
        map alone decides.
    aspect : float, default 1.5
        Width of the canvas divided by its height, both in cells.
    free : float, default 0.1
        Share of cells that stay empty, at least; from 0 to below 1.
    n_first : int, optional
        Points that are moved together. Each of the others then goes to the free cell nearest to
        the middle of those of the first that are `near`, or to a new row where none is free, so
        that places stay when points are added. Default: all.

    Returns
    -------
    places : float64 array of shape (n, 2)
        Centres of cells, in the unit of a cell. The canvas begins at (0, 0), and its height and
        width are integers.

    Examples
    --------
    >>> points = np.array([[0.0, 0.0], [0.1, 5.0], [9.0, 0.1], [9.0, 9.0]])
    >>> spread_evenly(points, aspect=1, free=0).tolist()
    [[0.5, 0.5], [0.5, 1.5], [1.5, 0.5], [1.5, 1.5]]
    """
    check_number(aspect, "aspect", least=0, exclusive=True)
    check_number(free, "free", least=0)
    if free >= 1:
        raise ValueError(f"free={free}: expected a share below 1, got one that leaves no cell.")
    points, n = check_coordinates(coordinates, len(coordinates)), len(coordinates)
    first = n if n_first is None else check_number(n_first, "n_first", least=1, integer=True)
    if near is not None:
        near = _check_near(near, n, min(n, first))
    if first < n:
        if near is None:
            raise ValueError(f"n_first={n_first}: expected `near` with it, got none; pass both.")
        return _join(points, near, first, aspect, free)
    columns, rows = _shape(n / (1 - free), aspect)
    extent = np.ptp(points, axis=0)
    values = (points - points.min(axis=0)) / np.where(extent > 0, extent, 1)
    ranks = (rankdata(points, axis=0) - 0.5) / n
    wanted = (values + ranks) / 2 * [columns, rows]
    places = _assign(wanted, np.array([0, 0]), columns, rows)
    if near is None or n > EXCHANGED or n < 3:
        return places
    return _exchange(places, near, columns, rows)


def _join(
    points: np.ndarray, near: np.ndarray, n_first: int, aspect: float, free: float
) -> np.ndarray:
    """Places of the first points, and then of the others, one by one."""
    places = spread_evenly(points[:n_first], near[:n_first], aspect=aspect, free=free)
    columns, rows = (places.max(axis=0) + 0.5).astype(int)
    for row in near[n_first:]:
        rows += len(places) == columns * rows
        taken = np.ravel_multi_index((places - 0.5).astype(int).T, (columns, rows))
        empty = np.delete(_cells(columns, rows), taken, axis=0)
        ways = ((empty - places[row].mean(axis=0)) ** 2).sum(axis=1)
        places = np.vstack([places, empty[ways.argmin()]])
    return places


def neighbors_of(vectors: np.ndarray, n: int, n_first: int | None = None) -> np.ndarray:
    """Positions (n_prompts, at most n) of the vectors nearest to each, other ones among the first.

    Parameters
    ----------
    vectors : array of shape (n_prompts, d)
        Vectors from `ConjureEmbedding`.
    n : int
        Neighbours that are wanted.
    n_first : int, optional
        As in `spread_evenly`: neighbours are among these alone. Default: among all.

    Returns
    -------
    near : int array of shape (n_prompts, k)
        Nearest first.

    Examples
    --------
    >>> neighbors_of(np.array([[0.0], [1.0], [3.0], [2.9]]), 1).ravel()
    array([1, 0, 3, 2])
    """
    from sklearn.neighbors import NearestNeighbors

    rows = check_vectors(vectors)
    check_number(n, "n", least=1, integer=True)
    if n_first is not None:
        check_number(n_first, "n_first", least=1, integer=True)
    first = rows[:n_first]
    search = NearestNeighbors(n_neighbors=min(n, max(1, len(first) - 1))).fit(first)
    if len(first) < 2:
        return np.zeros((len(rows), 1), dtype=int)
    near = search.kneighbors(return_distance=False)
    if len(first) == len(rows):
        return near
    return np.concatenate([near, search.kneighbors(rows[n_first:], return_distance=False)])


def _shape(n_cells: float, aspect: float) -> tuple[int, int]:
    """Columns and rows of a grid of at least so many cells, and few more."""
    rows = max(1, round(math.sqrt(n_cells / aspect)))
    fewest = [rows, rows + 1, rows - 1] if rows >= 8 else [rows]  # where that changes little
    sizes = [(math.ceil(n_cells / n_rows - 1e-9), n_rows) for n_rows in fewest]
    return min(sizes, key=math.prod)


def _check_near(near: np.ndarray, n: int, first: int) -> np.ndarray:
    rows = np.asarray(near)
    if rows.ndim != 2 or len(rows) != n or rows.dtype.kind not in "iu":
        raise ValueError(
            f"near: expected integers of shape ({n}, k), got {rows.dtype} of shape {rows.shape}."
        )
    if rows.size and not 0 <= rows.min() <= rows.max() < first:
        raise ValueError(
            f"near: expected positions from 0 to {first - 1}, got {rows.min()} to {rows.max()}."
        )
    return rows


def _assign(wanted: np.ndarray, corner: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """Cells for points, of a grid that is halved until each part has few enough of them."""
    n, size = len(wanted), np.array([columns, rows])
    if n <= TOGETHER:
        cells = _cells(columns, rows) + corner
        return cells[linear_sum_assignment(cdist(wanted, cells, "sqeuclidean"))[1]]
    axis = int(size.argmax())
    first, second = size.copy(), size.copy()
    first[axis] //= 2
    second[axis] -= first[axis]
    order = wanted[:, axis].argsort(kind="stable")
    parts = np.split(order, [round(n * first[axis] / size[axis])])
    places = np.empty_like(wanted)
    places[parts[0]] = _assign(wanted[parts[0]], corner, *first)
    shift = np.where(np.arange(2) == axis, first, 0)
    places[parts[1]] = _assign(wanted[parts[1]], corner + shift, *second)
    return places


def _cells(columns: int, rows: int) -> np.ndarray:
    """Centres (columns * rows, 2) of the cells of a grid."""
    return np.moveaxis(np.indices((columns, rows)), 0, -1).reshape(-1, 2) + 0.5


def _exchange(places: np.ndarray, near: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """Let points change cells, so that those which are near come together."""
    cells, n = _cells(columns, rows), len(places)
    linked = np.zeros((len(cells), len(cells)))
    linked[np.arange(n)[:, None], near] = 0.5
    linked += linked.T
    np.fill_diagonal(linked, 0)
    together = np.exp(-cdist(cells, cells, "sqeuclidean") / (2 * WIDTH**2))
    taken = np.ravel_multi_index((places - 0.5).astype(int).T, (columns, rows))
    start = np.eye(len(cells))[[*taken, *np.setdiff1d(np.arange(len(cells)), taken)]]
    options: dict[str, Any] = {"maximize": True, "P0": start, "maxiter": 30, "tol": 0.003}
    options["rng"] = np.random.default_rng(0)  # else numpy's own, which users may have seeded
    found = quadratic_assignment(linked, together, method="faq", options=options)
    return cells[found.col_ind[:n]]
