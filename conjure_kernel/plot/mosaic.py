"""The map of hundreds of prompts: images side by side, which fill the picture."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from conjure_kernel._checks import check_coordinates
from conjure_kernel.estimators.clusters import Clusters
from conjure_kernel.plot._style import (
    INK,
    Size,
    check_images,
    check_labels,
    check_size,
    text_sizes,
)
from conjure_kernel.plot.canvas import spread_evenly
from conjure_kernel.plot.fonts import drawing, readable, short_names

__all__ = ["plot_mosaic"]

SIDE, GAP = 0.82, 0.03  # of an image, and above and below it, in widths of a cell
LABEL, MOST_POINTS = 0.155, 8.0  # size of a label, in widths of a cell, and at most
HEIGHT = SIDE + 2 * GAP + 1.4 * LABEL  # of a cell, in its widths
LETTER = 0.47  # least width of a letter in a label, in sizes of its font; wider ones are scaled
NAME_POINTS = 11.5
STROKE = [withStroke(linewidth=2.5, foreground="white")]
GOLDEN = 0.381966


@drawing()
def plot_mosaic(
    coordinates: np.ndarray,
    labels: Sequence[str],
    images: np.ndarray,
    *,
    near: np.ndarray | None = None,
    clusters: Clusters | None = None,
    n_first: int | None = None,
    size: Size = None,
) -> Figure:
    """Images of equal size that fill a picture; what is near on the map is near here, too.

    Parameters
    ----------
    coordinates : array of shape (n, 2)
        Points from `layout` or `layout_vectors`.
    labels : sequence of str, length n
        Prompts, below their images as far as there is room.
    images : uint8 array of shape (n, height, width, 3)
        What each prompt conjures.
    near, n_first : int array of shape (n, k), int, optional
        The prompts nearest to each, and the number of those that were placed together, as in
        `spread_evenly`.
    clusters : Clusters, optional
        Those of `find_clusters`. The first level gives labels their colours, and has its names
        written over the images. Default: none.
    size : float or (float, float), optional
        Most inches of its width, or of its width and height; one of them is less, as cells have
        one shape. Default: 12 and 8.

    Returns
    -------
    figure : Figure
        Outside pyplot: `figure.savefig("map.png")`.

    Examples
    --------
    >>> points, images = np.eye(3)[:, :2], np.full((3, 8, 8, 3), 200, np.uint8)
    >>> figure = plot_mosaic(points, ["dog", "cat", "car"], images)
    >>> len(figure.axes[0].images)
    3
    """
    names = check_labels(labels, len(labels))
    pictures = check_images(images, len(names))
    points = check_coordinates(coordinates, len(names))
    level = np.full(len(names), -1) if clusters is None else clusters.levels[0]
    if len(level) != len(names):
        raise ValueError(
            f"clusters: expected levels of {len(names)} prompts, got {len(level)}; find them of "
            "the prompts that are shown."
        )
    wide, high = check_size(size, 12.0)
    high = wide / 1.5 if high is None else high
    aspect = wide / high * HEIGHT
    places = spread_evenly(points, near, aspect=aspect, free=0, n_first=n_first)
    columns, rows = places.max(axis=0) + 0.5
    scale = min(wide / columns, high / rows / HEIGHT)
    figure = Figure((scale * columns, scale * rows * HEIGHT), dpi=150)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    tops = (places[:, 1] + 0.5) * HEIGHT - GAP
    for x, top, picture in zip(places[:, 0], tops, pictures, strict=True):
        height, width = np.array(picture.shape[:2]) / max(picture.shape[:2]) * SIDE
        extent = (x - width / 2, x + width / 2, top - height, top)
        ax.imshow(picture, extent=extent, interpolation="lanczos", aspect="auto")
    ax.set(xlim=(0, columns), ylim=(0, rows * HEIGHT))
    font = min(MOST_POINTS, LABEL * 72 * scale)
    shown = short_names(names, max(3, int(72 * scale / (LETTER * font))))
    style: dict[str, Any] = {"size": font, "ha": "center", "va": "top", "parse_math": False}
    texts = [
        ax.text(x, top - SIDE - GAP, name, color=_colour(kind), **style)
        for x, top, name, kind in zip(places[:, 0], tops, shown, level, strict=True)
    ]
    wide_as = text_sizes(ax, texts)[:, 0] / (0.95 * figure.dpi * scale)
    for text, share in zip(texts, wide_as, strict=True):
        text.set_fontsize(font / max(1, share))
    if clusters is not None:
        _plot_names(figure, texts, places * [1, HEIGHT], level, readable(clusters.names[0]))
    return figure


def _plot_names(
    figure: Figure, texts: list[Text], places: np.ndarray, level: np.ndarray, names: Sequence[str]
) -> None:
    """Write the names of clusters where most of their images are, without overlaps."""
    (ax,) = figure.axes
    taken: list[Any] = []
    for kind, name in enumerate(names):
        own = places[level == kind]
        crowd = np.exp(-((own[:, None] - own) ** 2).sum(-1) / 4).sum(1)
        text = ax.text(0, 0, name, size=NAME_POINTS, weight="bold", color=_colour(kind))
        text.set(ha="center", va="center", path_effects=STROKE, zorder=9, parse_math=False)
        for place in own[np.argsort(-crowd, kind="stable")]:
            text.set_position((place[0], place[1] + HEIGHT / 2))
            box = text.get_window_extent().expanded(1.05, 1.1)
            frame = figure.bbox
            inside = frame.x0 < box.x0 and box.x1 < frame.x1 and box.y1 < frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
        else:
            text.remove()
    for text in texts:
        box = text.get_window_extent()
        text.set_visible(not any(box.overlaps(other) for other in taken))


def _colour(kind: int) -> Any:
    """A dark colour for each cluster, as far as possible from those of the clusters before it."""
    return INK if kind < 0 else colorsys.hls_to_rgb(GOLDEN * kind % 1, 0.33, 0.75)
