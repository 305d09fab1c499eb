"""The divergence matrix as a heat map, with its rows in the order of a dendrogram."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import PowerNorm
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from conjure_kernel.plot._style import COLOURS, GREY, INK, STYLE, check, new_axes
from conjure_kernel.plot.labels import shorten

__all__ = ["plot_matrix"]

VALUES_UP_TO = 12  # prompts: values in cells


@rc_context(STYLE)
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
    12 prompts the cells show values and standard errors. Where rows are narrow, every second or
    third prompt is named, or none.

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
    ax = new_axes(np.clip(0.125 * len(names), 4, 9)) if ax is None else ax
    order = _plot_tree(ax.inset_axes((-0.15, 0, 0.14, 1)), matrix)
    norm = PowerNorm(0.5, vmin=0, vmax=matrix.max() or 1)
    ordered = matrix[np.ix_(order, order)]
    image = ax.imshow(ordered, cmap=COLOURS, norm=norm)
    ax.set_title(f"Jeffreys divergence, {unit}", loc="left", x=-0.15)
    ax.apply_aspect()
    row = ax.get_window_extent().height * 72 / ax.figure.dpi / len(names)
    _name_rows(ax, [shorten(names, 26)[i] for i in order], row)
    if len(names) <= VALUES_UP_TO:
        _write_values(ax, ordered, errors[np.ix_(order, order)], row)
    place = ax.inset_axes((0, -0.055, 0.6, 0.02))
    ax.figure.colorbar(image, cax=place, orientation="horizontal").outline.set_visible(False)
    place.tick_params(length=2, width=0.5)
    return ax


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


def _name_rows(ax: Axes, names: list[str], row: float) -> None:
    """Name all rows, every second or third, or none, if a row is so many points high."""
    size = np.clip(0.8 * row, 6, 7.5)
    step = int(np.ceil(1.15 * size / row))
    rows = range(0, len(names), step) if step <= 3 else range(0)
    ax.yaxis.tick_right()
    ax.set_yticks(rows, [names[i] for i in rows], fontsize=size, parse_math=False)
    ax.tick_params(length=0 if step == 1 else 2, width=0.5, pad=3)
    ax.set_xticks([])
    ax.spines[:].set_visible(False)


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
