"""Matrix and map in one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from conjure_kernel.plot._style import STYLE, check
from conjure_kernel.plot.coordinates import layout, position_errors, stress
from conjure_kernel.plot.maps import plot_map
from conjure_kernel.plot.matrix import plot_matrix

__all__ = ["plot_overview"]


@rc_context(STYLE)
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

    Returns
    -------
    figure : Figure
        10 inches wide and outside pyplot: `figure.savefig("map.png")`.

    Examples
    --------
    >>> J = np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0]])
    >>> figure = plot_overview(J, ["dog", "cat", "car"])
    >>> float(figure.get_figwidth())
    10.0
    """
    matrix, names, errors = check(divergences, labels, standard_errors)
    points = layout(matrix, method=method)
    spread = None
    if replicates is not None and method == "mds":
        spread = position_errors(replicates, points)
    height = 4.0 if title is None else 4.35
    figure = Figure(figsize=(10, height), dpi=180)
    left = figure.add_axes((0.067, 0.38 / height, 0.33, 3.3 / height))
    plot_matrix(matrix, names, ax=left, standard_errors=errors, unit=unit)
    start = figure.get_tightbbox().x1 / 10 + 0.025
    right = figure.add_axes((start, 0.1 / height, 0.99 - start, 3.58 / height))
    plot_map(points, names, images=images, errors=spread, ax=right, stress=stress(matrix, points))
    for letter, ax in (("a", left), ("b", right)):
        ax.set_title(rf"$\bf{{({letter})}}$  {ax.get_title('left')}", loc="left")
    figure.text(0.0175, 1 - 0.1 / height, title or "", size=12, va="top", parse_math=False)
    return figure
