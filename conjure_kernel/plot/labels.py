"""Room for thumbnails and labels on a map, and prompts short enough for a label.

`fit_limits` frames the points, `spread` separates thumbnails that overlap, `place_labels` finds a
free place for each label, and `shorten` makes one short line of a prompt. Nothing is plotted here.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.distance import pdist, squareform

__all__ = ["fit_limits", "place_labels", "shorten", "spread"]


def shorten(names: list[str], width: int) -> list[str]:
    """One line for each prompt, cut at its end, or in its middle where two would look the same."""
    lines = [" ".join(name.split()) for name in names]
    cut = [line if len(line) <= width else f"{_head(line, width - 1)}…" for line in lines]
    count, half = Counter(c.rstrip("…") for c in cut), width // 2
    return [
        f"{_head(a, half - 1)}…{_head(a[::-1], half)[::-1]}" if a != c and count[c[:-1]] > 1 else c
        for a, c in zip(lines, cut, strict=True)
    ]


def fit_limits(points: np.ndarray, size: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Limits ((x0, y0), (x1, y1)) of a frame of `size` pixels, with one scale for both axes.

    All points lie at least `margin` pixels inside.
    """
    scale = (np.ptp(points, axis=0) / np.maximum(size - 2 * margin, 1)).max() or 1.0
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    return middle + scale * size * np.array([[-0.5], [0.5]])


def spread(centres: np.ndarray, size: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Centres (n, 2) of equal boxes, which are pushed away from each other until none overlap.

    Two boxes move along the axis on which they overlap less. `size` is (width, height), and no box
    leaves `frame`, ((x0, y0), (x1, y1)). Where there is no room, this gives up after 1000 rounds.
    """
    angle = 2.4 * np.arange(len(centres))  # separates boxes that lie exactly on each other
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

    `sizes` (n, 2) are the labels' widths and heights, `reach` is half a marker's side, and `others`
    are boxes of what has no label. The markers that stand most alone come first. Each takes the
    first place that is inside the frame and free of all markers, others and earlier labels.
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


def _head(line: str, width: int) -> str:
    """The first words that fit, or the first letters where that would lose more than a third."""
    words = line[: width + 1].rpartition(" ")[0]
    return (words if 3 * len(words) >= 2 * width else line[:width]).rstrip(" ,;:.")


def _places_round(centre: np.ndarray, half: np.ndarray, reach: float) -> np.ndarray:
    """Boxes around a marker: below, above, right and left of it, first centred, then shifted."""
    x, y = half + reach
    steps = [(0.0, -y), (0.0, y), (x, 0.0), (-x, 0.0)]
    for part in (0.5, 1.0):  # at 1 the box is flush with the marker's corner
        along_x, along_y = part * (half - reach)
        steps += [(sign * along_x, side * y) for side in (-1, 1) for sign in (1, -1)]
        steps += [(side * x, sign * along_y) for side in (1, -1) for sign in (1, -1)]
    steps += [(sign * half[0], side * y) for side in (-1, 1) for sign in (1, -1)]
    places = centre + np.array(steps)
    return np.hstack([places - half, places + half])
