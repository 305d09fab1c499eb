"""Matrix and map in one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conjure_kernel.plot._style import NARROW, Size, check, check_size, headline
from conjure_kernel.plot.coordinates import layout, position_errors, stress
from conjure_kernel.plot.fonts import drawing, readable
from conjure_kernel.plot.maps import plot_map
from conjure_kernel.plot.matrix import ROW, name_room, plot_matrix

__all__ = ["plot_overview"]

HEAD, FOOT = 0.32, 0.38  # inches above a panel, and below the matrix
ASIDE = 0.33  # side of the matrix in widths, where the map stands right of it
TREE = 0.16  # width of the tree in sides of the matrix


@drawing()
def plot_overview(
    divergences: np.ndarray,
    labels: Sequence[str],
    images: np.ndarray | None = None,
    *,
    standard_errors: np.ndarray | None = None,
    replicates: np.ndarray | None = None,
    method: str = "mds",
    unit: str = "nats",
    title: str | None = None,
    size: Size = None,
) -> Figure:
    """Two panels: (a) the matrix with its tree, (b) the map with its stress.

    Parameters
    ----------
    divergences : array of shape (n, n)
        Symmetric Jeffreys divergences with a zero diagonal, in nats.
    labels : sequence of str, length n
        The prompts.
    images : uint8 array of shape (n, height, width, 3), optional
        What each prompt conjures. Default: prompts are dots on the map.
    standard_errors : array of shape (n, n), optional
        Standard errors of the divergences, in nats. Default: unknown.
    replicates : array of shape (G, K, n, n), optional
        `Divergence.replicates`: an "mds" map shows the uncertainty of its positions.
        Default: it does not.
    method : {"mds", "umap"}, default "mds"
        See `layout`.
    unit : str, default "nats"
        The unit of the divergences, as in `plot_matrix`.
    title : str, optional
        Text above both panels. Default: none.
    size : float or (float, float), optional
        Width, or width and height, in inches. Default: 10 wide, and as high as the names of the
        matrix need. Below 6 inches the panels stand above each other.

    Returns
    -------
    figure : Figure
        A figure outside pyplot: `figure.savefig("map.png")`.

    Examples
    --------
    >>> J = np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0]])
    >>> figure = plot_overview(J, ["dog", "cat", "car"])
    >>> float(figure.get_figwidth())
    10.0
    """
    matrix, names, errors = check(divergences, labels, standard_errors)
    names, (title,) = readable(names), readable([title or ""])
    points = layout(matrix, method=method)
    spread = None
    if replicates is not None and method == "mds":
        spread = position_errors(replicates, points)
    figure, left, place_map = _panels(check_size(size), names, title)
    plot_matrix(matrix, names, ax=left, standard_errors=errors, unit=unit)
    right = place_map()
    plot_map(points, names, images=images, errors=spread, ax=right, stress=stress(matrix, points))
    for letter, ax in (("a", left), ("b", right)):
        _letter(ax, letter)
    return figure


def _panels(
    size: tuple[float, float | None], names: list[str], title: str
) -> tuple[Figure, Axes, Callable[[], Axes]]:
    """Figure, axes of the matrix, and what makes those of the map, once the matrix has its names.

    All is in inches. The map stands right of the matrix, or below it where the figure is narrow, or
    where the rows of the matrix would be too low for names.
    """
    width, height = size
    above = HEAD + (0.35 if title else 0)
    aside, rows = ASIDE * width, ROW * len(names)
    below = width < NARROW or rows > (aside if height is None else height - above - FOOT)
    if below:
        widest = (0.98 * width - name_room(names, width >= NARROW)) / (1 + TREE)
        side = min(widest, max(rows, 0.45 * width))
        if height is not None:
            side = min(widest, 0.55 * (height - above - FOOT))
    else:
        side = aside if height is None else min(aside, height - above - FOOT)
    floor = FOOT + 0.8 * width if below else 0.0
    tall = above + side + (floor if below else FOOT) if height is None else height
    figure = Figure(figsize=(width, tall), dpi=180)
    if title:
        headline(figure, title, most_lines=1)
    left = 0.02 * width + TREE * side
    matrix = figure.add_axes((left / width, 1 - (above + side) / tall, side / width, side / tall))

    def place_map() -> Axes:
        if below:
            top = tall - above - side - FOOT - HEAD
            return figure.add_axes((0.015, 0.1 / tall, 0.97, (top - 0.1) / tall))
        start = figure.get_tightbbox().x1 / width + 0.25 / width
        return figure.add_axes((start, 0.1 / tall, 0.99 - start, 1 - (above + 0.1) / tall))

    return figure, matrix, place_map


def _letter(ax: Axes, letter: str) -> None:
    """Put a bold letter before the title of a panel."""
    text = ax.get_title("left").replace("$", r"\$")
    ax.set_title(rf"$\bf{{({letter})}}$  {text}", loc="left", parse_math=True)
