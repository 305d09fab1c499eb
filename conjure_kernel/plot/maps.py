"""The map of prompts: points whose distances resemble sqrt(J), with the images they conjure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.text import Text

from conjure_kernel._checks import check_coordinates, check_prompts
from conjure_kernel.plot._style import (
    BLUE,
    GREY,
    INK,
    WIDER,
    Size,
    check_images,
    check_size,
    fit_axes,
    new_axes,
    text_sizes,
)
from conjure_kernel.plot.fonts import drawing, short_names
from conjure_kernel.plot.labels import place_labels, spread

__all__ = ["map_figure", "placed_labels", "plot_map"]

ROOMY_UP_TO = 30  # prompts: room for text under thumbnails
APART = np.array([6.0, 2.0])  # points between two labels, so that they do not read as one
LABEL_GID = "conjure-kernel-label"


@drawing()
def plot_map(
    coordinates: np.ndarray,
    labels: Sequence[str],
    *,
    images: np.ndarray | None = None,
    errors: np.ndarray | None = None,
    ax: Axes | None = None,
    stress: float | None = None,
) -> Axes:
    """Map of prompts, shown by their images and by the labels that have room beside them.

    No label covers a marker or another label. The more prompts, the smaller are the thumbnails;
    those that would overlap are moved apart, and a thin line leads from one that moved far to its
    true place. All this holds for the present size of the axes, so lay out the figure before.

    Parameters
    ----------
    coordinates : array of shape (n, 2)
        Points from `layout`.
    labels : sequence of str, length n
        Prompts; long ones take two lines and are shortened with an ellipsis.
    images : uint8 array of shape (n, height, width, 3), optional
        What each prompt conjures. Default: prompts are dots.
    errors : array of shape (n, 2), optional
        Standard errors from `position_errors`, in the unit of the coordinates, shown as bars of ±
        one standard error along each axis: below and left of an image, across a dot. Default: no
        bars.
    ax : Axes, optional
        Where to plot. Default: axes on a new pyplot figure.
    stress : float, optional
        Stress of the layout, for the caption. Default: it is not mentioned.

    Returns
    -------
    ax : Axes
        `placed_labels(ax)` are the labels that have room.

    Raises
    ------
    ValueError
        Coordinates, labels, images and errors are not of equally many prompts.

    Examples
    --------
    >>> points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> ax = plot_map(points, ["dog", "cat", "car"])
    >>> [text.get_text() for text in placed_labels(ax)]
    ['dog', 'cat', 'car']
    """
    names = check_prompts(labels, "labels")
    points = check_coordinates(coordinates, len(names))
    pictures = None if images is None else check_images(images, len(names))
    ax = new_axes(5) if ax is None else ax
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(color="#dcdce2", linewidth=0.6)
    caption = "Map of √J" + ("" if stress is None else f", stress {stress:.2f}")
    ax.set_title(caption + ("" if errors is None else ", bars ± 1 s.e."), loc="left")
    pixel, size = ax.figure.dpi / 72, np.array(ax.get_window_extent().size)
    room = np.sqrt(size.prod() / len(names)) / pixel
    side = 4.0 if pictures is None else float(np.clip(0.36 * room, 6, 52))
    fit_axes(ax, points, (side / 2 + np.array([18, 14])) * pixel)
    if pictures is None:
        ax.plot(*points.T, "o", ms=side, color=BLUE, mec="white", mew=0.4)
        offsets = np.zeros_like(points)
    else:
        offsets = _plot_thumbnails(ax, points, pictures, side)
    beside = 0.0 if pictures is None else side / 2 + 1.5
    if errors is not None:
        _plot_errors(ax, points, offsets, np.asarray(errors, dtype=float), beside)
    _plot_labels(ax, short_names(names, 30), points, offsets, max(side / 2 + 1, beside + 1.5))
    return ax


def placed_labels(ax: Axes) -> list[Text]:
    """The labels for which `plot_map` had room on these axes.

    Parameters
    ----------
    ax : Axes
        What `plot_map` returned.

    Returns
    -------
    labels : list of matplotlib Text

    Examples
    --------
    >>> ax = plot_map(np.array([[0.0, 0.0], [1.0, 0.0]]), ["dog", "cat"])
    >>> len(placed_labels(ax))
    2
    """
    return [text for text in ax.texts if text.get_gid() == LABEL_GID]


def _plot_thumbnails(ax: Axes, points: np.ndarray, pictures: np.ndarray, side: float) -> np.ndarray:
    """Plot thumbnails `side` points wide; return how far each was moved, in points (n, 2)."""
    pixel, true = ax.figure.dpi / 72, ax.transData.transform(points)
    room = side + np.array([2, 18 if len(points) <= ROOMY_UP_TO else 2])
    frame = ax.get_window_extent().get_points()
    offsets = (spread(true, room * pixel, frame) - true) / pixel
    far = np.abs(offsets).max(axis=1) > 0.75 * side
    ax.plot(*points[far].T, "o", ms=2, color=GREY)
    for point, offset, picture, moved in zip(points, offsets, pictures, far, strict=True):
        image = OffsetImage(picture, zoom=side / max(picture.shape[:2]))
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6} if moved else None
        box = AnnotationBbox(image, point, offset, boxcoords="offset points", arrowprops=line)
        box.patch.set(edgecolor="white", linewidth=0.6, boxstyle="square,pad=0")
        ax.add_artist(box)
    return offsets


def _plot_errors(
    ax: Axes, points: np.ndarray, offsets: np.ndarray, errors: np.ndarray, beside: float
) -> None:
    """Plot bars of one standard error, `beside` points below and left of the markers' centres."""
    if errors.shape != points.shape:
        raise ValueError(
            f"errors: expected the shape {points.shape} of the coordinates, got {errors.shape}."
        )
    pixel = ax.figure.dpi / 72
    centres = ax.transData.transform(points) + offsets * pixel
    for axis, name in enumerate(("xerr", "yerr")):
        shift = np.where(np.arange(2) == axis, 0, beside * pixel)
        x, y = ax.transData.inverted().transform(centres - shift).T
        for colour, width, order in (("white", 1.6, 6), (INK, 0.6, 7)):
            style: dict[str, Any] = {"ecolor": colour, "elinewidth": width, "zorder": order}
            style[name] = errors[:, axis]
            ax.errorbar(x, y, fmt="none", **style)


def _plot_labels(
    ax: Axes, names: list[str], points: np.ndarray, offsets: np.ndarray, reach: float
) -> None:
    """Plot labels beside markers; offset from their points and reach of markers are in points."""
    pixel = ax.figure.dpi / 72
    style: dict[str, Any] = {"size": 6.8, "ha": "center", "va": "center", "linespacing": 1.0}
    style |= {"textcoords": "offset points", "parse_math": False, "gid": LABEL_GID}
    style["zorder"] = 8
    style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0}
    pairs = zip([textwrap.fill(name, 18) for name in names], points, strict=True)
    texts = [ax.annotate(lines, point, (0, 0), **style) for lines, point in pairs]
    true = ax.transData.transform(points)
    sizes = text_sizes(ax, texts) * [WIDER, 1.07] + pixel
    frame = ax.get_window_extent().get_points()
    sizes += APART * pixel
    boxes = place_labels(sizes, true + offsets * pixel, reach * pixel, frame)
    for text, point, box in zip(texts, true, boxes, strict=True):
        text.set_position(((box[:2] + box[2:]) / 2 - point) / pixel)
        if np.isnan(box).any():
            text.remove()


def map_figure(coordinates: np.ndarray, labels: Sequence[str], *, size: Size = None) -> Figure:
    """`plot_map` of the dots of vectors, in a figure of so many inches outside pyplot."""
    width, height = check_size(size, 8.0)
    tall = height or 0.75 * width
    figure = Figure((width, tall), dpi=150)
    ax = plot_map(coordinates, labels, ax=figure.add_axes((0.015, 0.02, 0.97, 1 - 0.4 / tall)))
    ax.set_title("Map of vectors", loc="left")  # whose distances may be those of cosines
    return figure
