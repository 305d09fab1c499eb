"""Pictures of a divergence matrix: heat map with dendrogram, map of thumbnails, and both in one.

J is the Jeffreys divergence: half the sum of both legs, in nats unless told otherwise. Tree, map
and colour scale all run with sqrt(J). Layer 5, the only file that imports matplotlib; the geometry
of the map is in `_layout`. Fonts are the user's; nothing is left changed in `rcParams`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.text import Text
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

import conjure_kernel._layout as geometry
from conjure_kernel._checks import check_prompts, check_square
from conjure_kernel._layout import check_coordinates, layout, stress

__all__ = ["drawn_labels", "layout", "plot_map", "plot_matrix", "plot_overview", "stress"]

INK, GREY, BLUE = "#2b2b33", "#85858f", "#0e6096"
# Dark is near. Equal steps of lightness in OKLab, hence perceptually uniform.
HUES = "#2f215b #2b3f7c #0e6096 #0082a5 #13a0a6 #63baa7 #9ed1ae #d1e7c1 #fbfdde"
COLOURS = LinearSegmentedColormap.from_list("conjure", HUES.split())
STYLE: dict[str, Any] = {"axes.facecolor": "white", "figure.facecolor": "white"}
STYLE |= {"font.size": 7.5, "axes.titlesize": 9, "xtick.labelsize": 7, "axes.grid": False}
STYLE |= dict.fromkeys(["text.color", "axes.titlecolor", "xtick.color", "ytick.color"], INK)
VALUES_UP_TO, ROOMY_UP_TO = 12, 30  # prompts: values in cells; room for text under thumbnails
LABEL_GID = "conjure-kernel-label"


@rc_context(STYLE)
def plot_matrix(
    divergences: np.ndarray,
    labels: Sequence[str],
    *,
    ax: Axes | None = None,
    standard_errors: np.ndarray | None = None,
    unit: str = "nats",
) -> Axes:
    """Heat map of a divergence matrix, its rows in the order of a dendrogram drawn beside them.

    Average linkage on sqrt(J), leaves in the order of least jumps. Up to 12 prompts the cells show
    values and standard errors. Narrow rows: every second or third prompt is named, then none.

    Parameters
    ----------
    divergences : array of shape (n, n)
        Symmetric Jeffreys divergences with a zero diagonal.
    labels : sequence of str, length n
        One prompt a row; long ones are shortened with an ellipsis.
    ax : Axes, optional
        Where to draw, as large as it is now; by default a new pyplot figure.
    standard_errors : array of shape (n, n), optional
        Of the divergences and in their unit; NaN where unknown.
    unit : str
        Unit of the divergences, for the caption.

    Returns
    -------
    ax : Axes
        The heat map; the tree and the colour bar are its `child_axes`.
    """
    matrix, names, errors = _check(divergences, labels, standard_errors)
    ax = _new_axes(np.clip(0.125 * len(names), 4, 9)) if ax is None else ax
    order = _draw_tree(ax.inset_axes((-0.15, 0, 0.14, 1)), matrix)
    norm = PowerNorm(0.5, vmin=0, vmax=matrix.max() or 1)
    ordered = matrix[np.ix_(order, order)]
    image = ax.imshow(ordered, cmap=COLOURS, norm=norm)
    ax.set_title(f"Jeffreys divergence, {unit}", loc="left", x=-0.15)
    ax.apply_aspect()
    row = ax.get_window_extent().height * 72 / ax.figure.dpi / len(names)
    _name_rows(ax, [geometry.shorten(names, 26)[i] for i in order], row)
    if len(names) <= VALUES_UP_TO:
        _write_values(ax, ordered, errors[np.ix_(order, order)], row)
    place = ax.inset_axes((0, -0.055, 0.6, 0.02))
    ax.figure.colorbar(image, cax=place, orientation="horizontal").outline.set_visible(False)
    place.tick_params(length=2, width=0.5)
    return ax


@rc_context(STYLE)
def plot_map(
    coordinates: np.ndarray,
    labels: Sequence[str],
    *,
    images: np.ndarray | None = None,
    ax: Axes | None = None,
    stress: float | None = None,
) -> Axes:
    """Map of prompts shown by their images, with those labels that find room beside them.

    No label covers a marker or another label. Thumbnails shrink as prompts multiply and are pushed
    out of each other; a thin line leads from those that moved far to their true place. All this
    holds for the axes as large as they are now: lay the figure out before.

    Parameters
    ----------
    coordinates : array of shape (n, 2)
        From `layout`.
    labels : sequence of str, length n
        Prompts; long ones take two lines and are shortened with an ellipsis.
    images : uint8 array of shape (n, height, width, 3), optional
        What each prompt conjures; without images prompts are dots.
    ax : Axes, optional
        Where to draw; by default a new pyplot figure.
    stress : float, optional
        Of the layout, for the caption.

    Returns
    -------
    ax : Axes
        `drawn_labels(ax)` are the labels that found room.
    """
    names = check_prompts(labels, "labels")
    points = check_coordinates(coordinates, len(names))
    pictures = None if images is None else _check_images(images, len(names))
    ax = _new_axes(5) if ax is None else ax
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(color="#dcdce2", linewidth=0.6)
    ax.set_title("Map of √J" + ("" if stress is None else f", stress {stress:.2f}"), loc="left")
    pixel, size = ax.figure.dpi / 72, np.array(ax.get_window_extent().size)
    room = np.sqrt(size.prod() / len(names)) / pixel
    side = 4.0 if pictures is None else float(np.clip(0.36 * room, 6, 52))
    low, high = geometry.fit_limits(points, size, (side / 2 + np.array([18, 14])) * pixel)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    ax.set_aspect("equal", adjustable="datalim")
    if pictures is None:
        ax.plot(*points.T, "o", ms=side, color=BLUE, mec="white", mew=0.4)
        offsets = np.zeros_like(points)
    else:
        offsets = _draw_pictures(ax, points, pictures, side)
    _draw_labels(ax, geometry.shorten(names, 30), points, offsets, side / 2 + 1)
    return ax


def drawn_labels(ax: Axes) -> list[Text]:
    """Labels that `plot_map` found room for on these axes, as matplotlib texts."""
    return [text for text in ax.texts if text.get_gid() == LABEL_GID]


@rc_context(STYLE)
def plot_overview(
    divergences: np.ndarray,
    labels: Sequence[str],
    images: np.ndarray | None = None,
    *,
    standard_errors: np.ndarray | None = None,
    method: str = "mds",
    title: str | None = None,
) -> Figure:
    """Two panels: (a) the matrix with its tree, (b) the map with its stress.

    Parameters are those of `plot_matrix`, `plot_map` and `layout`; `title` is drawn above both.

    Returns
    -------
    figure : Figure
        10 inches wide and outside pyplot: `figure.savefig("map.png")`.
    """
    matrix, names, errors = _check(divergences, labels, standard_errors)
    points = layout(matrix, method=method)
    height = 4.0 if title is None else 4.35
    figure = Figure(figsize=(10, height), dpi=180)
    left = figure.add_axes((0.067, 0.38 / height, 0.33, 3.3 / height))
    plot_matrix(matrix, names, ax=left, standard_errors=errors)
    start = figure.get_tightbbox().x1 / 10 + 0.025
    right = figure.add_axes((start, 0.1 / height, 0.99 - start, 3.58 / height))
    plot_map(points, names, images=images, ax=right, stress=stress(matrix, points))
    for letter, ax in (("a", left), ("b", right)):
        ax.set_title(rf"$\bf{{({letter})}}$  {ax.get_title('left')}", loc="left")
    figure.text(0.0175, 1 - 0.1 / height, title or "", size=12, va="top", parse_math=False)
    return figure


def _check(
    divergences: np.ndarray, labels: Sequence[str], standard_errors: np.ndarray | None
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Matrix, names and standard errors (NaN where unknown) that belong together."""
    matrix, names = check_square(divergences, "divergences"), check_prompts(labels, "labels")
    if matrix.trace() > 0:
        raise ValueError(f"divergences: trace {matrix.trace():.6g} came, 0 is needed. A kernel?")
    if len(names) != len(matrix):
        raise ValueError(f"labels: {len(names)} came, {len(matrix)} are needed, one a row.")
    errors = np.array(matrix * np.nan if standard_errors is None else standard_errors, dtype=float)
    if errors.shape != matrix.shape:
        raise ValueError(f"standard_errors: shape {errors.shape} came, {matrix.shape} is needed.")
    return matrix, names, errors


def _check_images(images: np.ndarray, n: int) -> np.ndarray:
    rgb = np.asarray(images)
    if rgb.ndim != 4 or rgb.shape[::3] != (n, 3) or rgb.dtype != np.uint8:
        came = f"{rgb.dtype} {rgb.shape}"
        raise ValueError(f"images: {came} came, uint8 ({n}, height, width, 3) is needed.")
    return rgb


def _new_axes(side: float) -> Axes:
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(1.65 * side, 1.25 * side), dpi=150)
    return figure.add_axes((0.12, 0.12, 0.62, 0.8))


def _draw_tree(ax: Axes, matrix: np.ndarray) -> np.ndarray:
    """Draw the dendrogram, root to the left; return the order of its leaves."""
    n = len(matrix)
    ax.set_axis_off()
    ax.set_ylim(n - 0.5, -0.5)
    if n == 1:
        return np.zeros(1, dtype=int)
    links = linkage(squareform(np.sqrt(matrix), checks=False), "average", optimal_ordering=n <= 300)
    tree = dendrogram(links, no_plot=True)
    lines = np.stack([-np.array(tree["dcoord"]), (np.array(tree["icoord"]) - 5) / 10], axis=-1)
    ax.add_collection(LineCollection(list(lines), colors=GREY, linewidths=0.7))
    ax.set_xlim(-1.02 * (links[-1, 2] or 1), 0)
    return np.array(tree["leaves"])


def _name_rows(ax: Axes, names: list[str], row: float) -> None:
    """Prompts as tick labels on rows of so many points: all, every second or third, or none."""
    size = np.clip(0.8 * row, 6, 7.5)
    step = int(np.ceil(1.15 * size / row))
    rows = range(0, len(names), step) if step <= 3 else range(0)
    ax.yaxis.tick_right()
    ax.set_yticks(rows, [names[i] for i in rows], fontsize=size, parse_math=False)
    ax.tick_params(length=0 if step == 1 else 2, width=0.5, pad=3)
    ax.set_xticks([])
    ax.spines[:].set_visible(False)


def _write_values(ax: Axes, matrix: np.ndarray, errors: np.ndarray, row: float) -> None:
    """Values and standard errors in the cells off the diagonal, unless too small to read."""
    cells = np.argwhere(~np.eye(len(matrix), dtype=bool))
    texts = [_number(matrix[i, j], errors[i, j]) for i, j in cells]
    longest = max((len(line) for text in texts for line in text.split("\n")), default=1)
    size = min(8.0, 1.4 * row / longest, row / 2.8)
    for (i, j), text in zip(cells, texts, strict=True) if size >= 4 else ():
        colour = "white" if matrix[i, j] < 0.17 * matrix.max() else INK
        ax.text(j, i, text, color=colour, size=size, ha="center", va="center")


def _number(value: float, error: float) -> str:
    """Value to the first digit of its standard error, with that below."""
    if not 0 < error < np.inf:
        return f"{value:.3g}"
    digits = max(0, -int(np.floor(np.log10(error))))
    return f"{value:.{digits}f}\n±{error:.{digits}f}"


def _draw_pictures(ax: Axes, points: np.ndarray, pictures: np.ndarray, side: float) -> np.ndarray:
    """Draw thumbnails `side` points wide; return how far each was moved, in points (n, 2)."""
    pixel, true = ax.figure.dpi / 72, ax.transData.transform(points)
    room = side + np.array([2, 18 if len(points) <= ROOMY_UP_TO else 2])
    frame = ax.get_window_extent().get_points()
    offsets = (geometry.spread(true, room * pixel, frame) - true) / pixel
    far = np.abs(offsets).max(axis=1) > 0.75 * side
    ax.plot(*points[far].T, "o", ms=2, color=GREY)
    for point, offset, picture, moved in zip(points, offsets, pictures, far, strict=True):
        image = OffsetImage(picture, zoom=side / max(picture.shape[:2]))
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6} if moved else None
        box = AnnotationBbox(image, point, offset, boxcoords="offset points", arrowprops=line)
        box.patch.set(edgecolor="white", linewidth=0.6, boxstyle="square,pad=0")
        ax.add_artist(box)
    return offsets


def _draw_labels(
    ax: Axes, names: list[str], points: np.ndarray, offsets: np.ndarray, reach: float
) -> None:
    """Labels beside markers that lie `offsets` from their points and reach so far (typographic)."""
    pixel = ax.figure.dpi / 72
    style: dict[str, Any] = {"size": 6.8, "ha": "center", "va": "center", "linespacing": 1.0}
    style |= {"textcoords": "offset points", "parse_math": False, "gid": LABEL_GID}
    style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0}
    pairs = zip([textwrap.fill(name, 18) for name in names], points, strict=True)
    texts = [ax.annotate(lines, point, (0, 0), **style) for lines, point in pairs]
    true = ax.transData.transform(points)
    ruler = RendererAgg(1, 1, ax.figure.dpi)
    sizes = np.array([text.get_window_extent(ruler).size for text in texts])
    sizes = sizes * [1.17, 1.07] + pixel  # at 90 dots an inch text is up to a sixth wider
    frame = ax.get_window_extent().get_points()
    boxes = geometry.place_labels(sizes, true + offsets * pixel, reach * pixel, frame)
    for text, point, box in zip(texts, true, boxes, strict=True):
        text.set_position(((box[:2] + box[2:]) / 2 - point) / pixel)
        if np.isnan(box).any():
            text.remove()
