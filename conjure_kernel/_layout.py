"""Geometry of a map of prompts: where points, thumbnails and labels go, and how far to trust it.

`layout`, `stress` and `position_errors` (public through `plot`) are about points whose distances
resemble sqrt(J); `fit_limits`, `spread`, `place_labels` and `shorten` give thumbnails and labels
their room. Layer 4, no drawing; scikit-learn and umap are imported where they are used.
"""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import KDTree
from scipy.spatial.distance import pdist, squareform

from conjure_kernel._checks import check_choice, check_square

__all__ = [
    "check_coordinates",
    "fit_limits",
    "layout",
    "place_labels",
    "position_errors",
    "principal_axes",
    "shorten",
    "spread",
    "stress",
]

RandomState = int | np.random.RandomState | None
FEWEST_FOR_UMAP = 5
MANY = 200  # prompts from which one random start is enough


def layout(
    divergences: np.ndarray, *, method: str = "mds", random_state: RandomState = 0
) -> np.ndarray:
    """Points in the plane whose distances resemble sqrt(J).

    Parameters
    ----------
    divergences : array of shape (n, n)
        Symmetric Jeffreys divergences.
    method : {"mds", "umap"}
        "mds" minimises the squared errors of all distances: the best of a classical and a few
        random starts. "umap" starts there and keeps neighbourhoods; its distances mean little.
        It needs five prompts: with fewer it warns and falls back to "mds".
    random_state : int, RandomState or None
        The same seed gives the same coordinates on the same machine.

    Returns
    -------
    coordinates : ndarray of shape (n, 2)
        Centred, greatest extent along the first axis. In the unit of sqrt(J) for "mds", in none
        for "umap".

    Examples
    --------
    >>> J = np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0]])
    >>> points = layout(J)
    >>> points.shape
    (3, 2)
    """
    distances = np.sqrt(check_square(divergences, "divergences"))
    check_choice(method, "method", ("mds", "umap"))
    coordinates = _mds(distances, random_state)
    if method == "umap" and len(distances) < FEWEST_FOR_UMAP:
        warnings.warn(
            f'method="umap" needs {FEWEST_FOR_UMAP} prompts, {len(distances)} came: "mds" is used.',
            stacklevel=2,
        )
    elif method == "umap" and distances.any():
        coordinates = _umap(distances, coordinates, random_state)
    return principal_axes(coordinates)


def stress(divergences: np.ndarray, coordinates: np.ndarray) -> float:
    r"""Kruskal's stress-1 of a layout of sqrt(J), at the layout's best scale.

    .. math:: \min_c \sqrt{\sum_{a<b} (c \sqrt{J_{ab}} - d_{ab})^2 / \sum_{a<b} d_{ab}^2}

    Parameters
    ----------
    divergences : array of shape (n, n)
        Symmetric Jeffreys divergences.
    coordinates : array of shape (n, 2)
        The layout, with distances d; neither its unit nor its scale matters.

    Returns
    -------
    stress : float
        0 (all distances right) to 1. 0.05 is good, 0.1 fair; above 0.2 distances mislead.

    Examples
    --------
    >>> J = np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0]])
    >>> round(stress(J, layout(J)), 3)  # three distances always fit
    0.0
    """
    matrix = check_square(divergences, "divergences")
    wanted = squareform(np.sqrt(matrix), checks=False)
    drawn = pdist(check_coordinates(coordinates, len(matrix)))
    if not wanted.any() or not drawn.any():
        return float(wanted.any() or drawn.any())
    wanted *= (wanted @ drawn) / (wanted @ wanted)
    return float(np.sqrt(np.sum((wanted - drawn) ** 2) / np.sum(drawn**2)))


def position_errors(draws: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Standard errors of the positions on a map, from the Monte Carlo draws of its divergences.

    Delete-one-draw jackknife: the layout is made anew without each draw, from where it was, and
    turned back onto the whole. What a map cannot show of the distances (its stress) is not in it.

    Parameters
    ----------
    draws : array of shape (n, n, K)
        J of every draw: `Divergence.draws`; at least two.
    coordinates : array of shape (n, 2)
        `layout` of their mean, with method "mds".

    Returns
    -------
    errors : ndarray of shape (n, 2)
        In the unit of the coordinates.

    Examples
    --------
    >>> J = np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0]])
    >>> draws = np.stack([J, 1.2 * J], -1)
    >>> position_errors(draws, layout(draws.mean(-1))).shape
    (3, 2)
    """
    from sklearn.manifold import smacof

    values = np.asarray(draws, dtype=np.float64)
    n_draws = values.shape[-1] if values.ndim == 3 else 0
    if n_draws < 2:
        raise ValueError(f"draws: shape {values.shape} came, (n, n, K) with K > 1 is needed.")
    points = check_coordinates(coordinates, len(values))
    total, turned = values.sum(-1), []
    centre = points.mean(0)
    for k in range(n_draws):
        left = np.sqrt(np.maximum((total - values[..., k]) / (n_draws - 1), 0))
        near = {"init": points, "n_init": 1, "eps": 1e-9, "max_iter": 1000}
        moved = smacof((left + left.T) / 2, **near)[0]
        moved -= moved.mean(0)
        turned.append(moved @ orthogonal_procrustes(moved, points - centre)[0])
    return np.sqrt((n_draws - 1) * np.var(turned, axis=0))


def check_coordinates(coordinates: np.ndarray, n: int) -> np.ndarray:
    """Float64 copy of n finite points in the plane."""
    points = np.array(coordinates, dtype=np.float64)
    if points.shape != (n, 2):
        raise ValueError(f"coordinates: shape {points.shape} came, ({n}, 2) is needed.")
    if not np.isfinite(points).all():
        raise ValueError("coordinates hold NaN or infinity: drop those prompts first.")
    return points


def shorten(names: list[str], width: int) -> list[str]:
    """One line each, cut at the end, or in the middle where only the ends tell prompts apart."""
    lines = [" ".join(name.split()) for name in names]
    cut = [line if len(line) <= width else f"{_head(line, width - 1)}…" for line in lines]
    count, half = Counter(c.rstrip("…") for c in cut), width // 2
    return [
        f"{_head(a, half - 1)}…{_head(a[::-1], half)[::-1]}" if a != c and count[c[:-1]] > 1 else c
        for a, c in zip(lines, cut, strict=True)
    ]


def _head(line: str, width: int) -> str:
    """First words that fit, or first letters where that would lose more than a third."""
    words = line[: width + 1].rpartition(" ")[0]
    return (words if 3 * len(words) >= 2 * width else line[:width]).rstrip(" ,;:.")


def fit_limits(points: np.ndarray, size: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Limits ((x0, y0), (x1, y1)) of a frame of so many pixels, with one scale for both axes.

    All points lie at least `margin` pixels inside.
    """
    scale = (np.ptp(points, axis=0) / np.maximum(size - 2 * margin, 1)).max() or 1.0
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    return middle + scale * size * np.array([[-0.5], [0.5]])


def spread(centres: np.ndarray, size: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Centres (n, 2) of equal boxes, each pushed out of its neighbours until none overlap.

    A pair parts along the axis where it overlaps less. `size` is (width, height), `frame` the
    ((x0, y0), (x1, y1)) that no box leaves. Gives up after 1000 rounds where there is no room.
    """
    angle = 2.4 * np.arange(len(centres))  # parts boxes that lie exactly on each other
    places = centres / size + 1e-3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for _ in range(1000):  # in units of a box
        near = KDTree(places).query_pairs(0.999, p=np.inf, output_type="ndarray")
        if not len(near):
            break
        gap = places[near[:, 0]] - places[near[:, 1]]
        overlap = 1 - np.abs(gap)
        push = 0.6 * np.sign(gap) * overlap * (overlap == overlap.min(axis=1, keepdims=True))
        step = np.zeros_like(places)
        np.add.at(step, near[:, 0], push)
        np.add.at(step, near[:, 1], -push)
        places += np.clip(step, -0.2, 0.2)
        places = np.clip(places, frame[0] / size + 0.5, frame[1] / size - 0.5)
    return places * size


def place_labels(
    sizes: np.ndarray,
    centres: np.ndarray,
    reach: float,
    frame: np.ndarray,
    others: np.ndarray | None = None,
) -> np.ndarray:
    """Boxes (n, 4) of labels beside their markers as x0, y0, x1, y1; NaN where there is no room.

    `sizes` (n, 2) are the labels' widths and heights, `reach` is half a marker's side, `others`
    are boxes of what has no label. Loneliest markers choose first; each takes the first place that
    is inside the frame and clear of all markers and others and of the labels placed before.
    """
    boxes = np.full((len(centres), 4), np.nan)
    side = 0.999 * reach  # a label may touch its own marker, whatever the rounding
    taken = np.hstack([centres - side, centres + side])
    taken = taken if others is None else np.vstack([taken, others])
    apart = squareform(pdist(centres)) + np.diag(np.full(len(centres), np.inf))
    for i in np.argsort(-apart.min(axis=1), kind="stable"):
        options = _places_round(centres[i], sizes[i] / 2, reach)
        inside = np.hstack([options[:, :2] >= frame[0], options[:, 2:] <= frame[1]]).all(axis=1)
        clear = (options[:, None, :2] >= taken[:, 2:]) | (options[:, None, 2:] <= taken[:, :2])
        free = np.flatnonzero(inside & np.all(np.any(clear, axis=-1), axis=1))
        if len(free):
            boxes[i] = options[free[0]]
            taken = np.vstack([taken, boxes[i]])
    return boxes


def _places_round(centre: np.ndarray, half: np.ndarray, reach: float) -> np.ndarray:
    """Boxes round a marker: below, above, right, left, each centred first, then shifted along."""
    x, y = half + reach
    steps = [(0.0, -y), (0.0, y), (x, 0.0), (-x, 0.0)]
    for part in (0.5, 1.0):  # at 1 the box is flush with the marker's corner
        along_x, along_y = part * (half - reach)
        steps += [(sign * along_x, side * y) for side in (-1, 1) for sign in (1, -1)]
        steps += [(side * x, sign * along_y) for side in (1, -1) for sign in (1, -1)]
    steps += [(sign * half[0], side * y) for side in (-1, 1) for sign in (1, -1)]
    places = centre + np.array(steps)
    return np.hstack([places - half, places + half])


def _mds(distances: np.ndarray, random_state: RandomState) -> np.ndarray:
    """Points of least stress that SMACOF finds from the classical solution and random starts."""
    from sklearn.manifold import smacof

    n, scale = len(distances), distances.mean()
    if scale == 0:
        return np.zeros((n, 2))
    scaled = distances / scale
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ scaled**2 @ centring)
    classical = (vectors * np.sqrt(np.maximum(values, 0)))[:, :-3:-1]
    runs = [
        smacof(scaled, init=classical, n_init=1),
        smacof(scaled, n_init=4 if n < MANY else 1, random_state=random_state),
    ]
    return scale * min(runs, key=lambda run: run[1])[0]


def _umap(distances: np.ndarray, start: np.ndarray, random_state: RandomState) -> np.ndarray:
    from umap import UMAP

    with warnings.catch_warnings():  # our users never asked for an inverse
        warnings.filterwarnings("ignore", message=".*inverse_transform will be unavailable")
        reducer = UMAP(
            n_neighbors=min(15, len(distances) - 1),
            metric="precomputed",
            init=start,
            random_state=random_state,
            n_jobs=1,  # anything else is overridden, with a warning
        )
        return np.asarray(reducer.fit_transform(distances), dtype=np.float64)


def principal_axes(coordinates: np.ndarray) -> np.ndarray:
    """Centred, turned to the axes of greatest extent, each with its farthest point positive."""
    centred = coordinates - coordinates.mean(axis=0)
    turned = centred @ np.linalg.svd(centred.T @ centred)[0]
    farthest = turned[np.abs(turned).argmax(axis=0), [0, 1]]
    return turned * np.where(farthest < 0, -1.0, 1.0)
