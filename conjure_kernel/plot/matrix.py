"""The divergence matrix as a heat map, with its rows in the order of a dendrogram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from conjure_kernel.plot._style import (
    COLOURS,
    GREY,
    INK,
    NARROW,
    Size,
    check,
    check_size,
    is_wide,
    name_ticks,
    new_axes,
)
from conjure_kernel.plot.fonts import drawing, short_names

__all__ = ["ROW", "matrix_figure", "name_room", "plot_matrix"]

VALUES_UP_TO = 12  # prompts: values in cells
SHOWN = (16, 26)  # letters of a name: narrow, wide
LEAST_TEXT = 5.0  # points of a name
ROW = 1.15 * LEAST_TEXT / 72 * 1.01  # inches of a row that has one
MOST_SIDE = 300 * ROW


@drawing()
def plot_matrix(
    divergences: np.ndarray,
    labels: Sequence[str],
    *,
    ax: Axes | None = None,
    standard_errors: np.ndarray | None = None,
    unit: str = "nats",
) -> Axes:
    """Heat map of a divergence matrix, with its rows in the order of the dendrogram beside them.

    The dendrogram is average linkage on sqrt(J), with its leaves in the order of least jumps. Up to
    12 prompts the cells show values and standard errors. A new figure grows until all rows have
    names, up to 300 of them. Where the rows of `ax` are too low, every second prompt or fewer are
    named, and a line below the names says so.

    Parameters
    ----------
    divergences : array of shape (n, n)
        Symmetric Jeffreys divergences with a zero diagonal.
    labels : sequence of str, length n
        One prompt a row; long ones are shortened with an ellipsis.
    ax : Axes, optional
        Where to plot, in its present size. Default: axes on a new pyplot figure.
    standard_errors : array of shape (n, n), optional
        Standard errors of the divergences, in the same unit; NaN where unknown. Default: unknown.
    unit : str, default "nats"
        Unit of the divergences, for the caption.

    Returns
    -------
    ax : Axes
        The heat map; the tree and the colour bar are its `child_axes`.

    Raises
    ------
    ValueError
        Divergences, labels and standard errors do not belong together.

    Examples
    --------
    >>> J = np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0]])
    >>> plot_matrix(J, ["dog", "cat", "car"]).get_title("left")
    'Jeffreys divergence, nats'
    """
    matrix, names, errors = check(divergences, labels, standard_errors)
    ax = (
        new_axes(np.clip(max(ROW, 0.125 - 0.0005 * len(names)) * len(names), 4, MOST_SIDE))
        if ax is None
        else ax
    )
    order = _plot_tree(ax.inset_axes((-0.15, 0, 0.14, 1)), matrix)
    norm = PowerNorm(0.5, vmin=0, vmax=matrix.max() or 1)
    ordered = matrix[np.ix_(order, order)]
    image = ax.imshow(ordered, cmap=COLOURS, norm=norm)
    ax.apply_aspect()
    row = ax.get_window_extent().height * 72 / ax.figure.dpi / len(names)
    short = short_names(names, SHOWN[is_wide(ax)])
    step = _name_rows(ax, [short[i] for i in order], row)
    if step > 1:
        ax.set_xlabel(f"1 row of {step} is named", x=1.02, ha="left", fontsize=6, labelpad=2)
    ax.set_title(f"Jeffreys divergence, {unit}", loc="left", x=-0.15)
    if len(names) <= VALUES_UP_TO:
        _write_values(ax, ordered, errors[np.ix_(order, order)], row)
    inch = 72 / (row * len(names))  # in heights of the matrix
    place = ax.inset_axes((0, -0.18 * inch, 0.6, 0.066 * inch))
    ax.figure.colorbar(image, cax=place, orientation="horizontal").outline.set_visible(False)
    place.tick_params(length=2, width=0.5)
    return ax


def matrix_figure(
    divergences: np.ndarray, labels: Sequence[str], *, size: Size = None, **shown: Any
) -> Figure:
    """`plot_matrix` in a figure of so many inches outside pyplot, or as large as names need."""
    side = _side_of(len(labels))
    width, height = check_size(size, 1.2 * side + name_room(labels, wide=True))
    room = name_room(labels, width >= NARROW)
    figure = Figure((width, height or (width - room) / 1.2 + 0.75), dpi=150)
    side = min((width - room) / 1.2, figure.get_figheight() - 0.75)
    box = np.array([0.05 * side + 0.15 * side, 0.4, side, side])
    ax = figure.add_axes(tuple(box / np.tile(figure.get_size_inches(), 2)))
    plot_matrix(divergences, labels, ax=ax, **shown)
    return figure


def name_room(names: Sequence[str], wide: bool) -> float:
    """Inches that the names of rows may take."""
    letters = max((len(name) for name in names), default=0)
    return 0.055 * min(letters, SHOWN[wide]) + 0.2


def _side_of(n: int) -> float:
    """Inches of a matrix whose rows all have names."""
    return float(np.clip(max(ROW, 0.125 - 0.0005 * n) * n, 4, MOST_SIDE))


def _plot_tree(ax: Axes, matrix: np.ndarray) -> np.ndarray:
    """Plot the dendrogram, root to the left; return the order of its leaves."""
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


def _name_rows(ax: Axes, names: list[str], row: float) -> int:
    """Name as many rows as have room, if a row is so many points high; return the step."""
    size = np.clip(0.8 * row, LEAST_TEXT, 7.5)
    step = max(1, int(np.ceil(1.15 * size / row - 1e-6)))
    rows = range(0, len(names), step)
    ax.yaxis.tick_right()
    name_ticks(ax.yaxis, rows, [names[i] for i in rows], fontsize=size)
    ax.tick_params(length=0 if step == 1 else 2, width=0.5, pad=3)
    ax.set_xticks([])
    ax.spines[:].set_visible(False)
    return step


def _write_values(ax: Axes, matrix: np.ndarray, errors: np.ndarray, row: float) -> None:
    """Write values and standard errors into the cells off the diagonal, if large enough to read."""
    cells = np.argwhere(~np.eye(len(matrix), dtype=bool))
    texts = [_number(matrix[i, j], errors[i, j]) for i, j in cells]
    longest = max((len(line) for text in texts for line in text.split("\n")), default=1)
    size = min(8.0, 1.4 * row / longest, row / 2.8)
    for (i, j), text in zip(cells, texts, strict=True) if size >= 4 else ():
        colour = "white" if matrix[i, j] < 0.17 * matrix.max() else INK
        ax.text(j, i, text, color=colour, size=size, ha="center", va="center")


def _number(value: float, error: float) -> str:
    """A value to the first digit of its standard error, which stands below it."""
    if not 0 < error < np.inf:
        return f"{value:.3g}"
    digits = max(0, -int(np.floor(np.log10(error))))
    return f"{value:.{digits}f}\n±{error:.{digits}f}"
