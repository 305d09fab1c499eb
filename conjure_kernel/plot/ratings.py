"""Ratings against similarity, pair by pair, and the pairs on which they disagree most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conjure_kernel._checks import check_number
from conjure_kernel.plot._style import BLUE, GREY, INK, NARROW, Size, check_size, new_figure
from conjure_kernel.plot.fonts import drawing, readable, short_names

if TYPE_CHECKING:
    from conjure_kernel.evaluation.evaluation import Evaluation

__all__ = ["check_listed", "plot_ratings"]

ACROSS, SIDE, ROW, LIST = 3, 2.8, 0.62, 3.4  # panels in a row; inches
LONGEST = 34  # characters of a text in the list
FEW = 200  # pairs above which dots get smaller
MOST_LISTED = 300  # pairs; a picture of more than 65,535 pixels cannot be written


@drawing()
def plot_ratings(
    results: Sequence[Evaluation],
    *,
    n_worst: int = 5,
    images: Mapping[str, np.ndarray] | None = None,
    size: Size = None,
) -> Figure:
    """Scatter of the human score of each pair against its similarity, a panel for each scorer.

    Parameters
    ----------
    results : sequence of Evaluation
        What `evaluate` returned. Of one result alone, the pairs that disagree most are listed.
    n_worst : int, default 5
        How many pairs are numbered: those whose place by similarity is furthest from that by score
        (`disagreements`). A list has at most 300.
    images : mapping of text to uint8 array (height, width, 3), optional
        Pictures for the list.
    size : float or (float, float), optional
        Width, or width and height, in inches. Default: 2.8 for each of up to three panels in a
        row. Below 6 the list stands below.

    Returns
    -------
    figure : Figure
        A figure outside pyplot: `figure.savefig("ratings.png")`.

    Examples
    --------
    >>> from conjure_kernel import evaluate
    >>> pairs = [("a", "aa"), ("a", "bb"), ("b", "ab"), ("c", "ccc")]
    >>> letters = lambda left, right: [len(set(a) & set(b)) for a, b in zip(left, right)]
    >>> figure = plot_ratings([evaluate(letters, pairs, [4, 0, 2, 5])])
    """
    from conjure_kernel.evaluation.summary import disagreements

    n_worst = check_number(n_worst, "n_worst", least=0, integer=True)
    if len(results) == 1:
        check_listed(n_worst, len(results[0].pairs))
    worst = [disagreements(result, n_worst).rows for result in results]
    if len(results) > 1 or not worst[0]:
        width, height = check_size(size, SIDE * min(ACROSS, len(results)))
        across = int(np.clip(width / 2, 1, min(ACROSS, len(results))))
        down = -(-len(results) // across)
        figure = new_figure(width, height or down * width / across, dpi=150)
        panels = [figure.add_subplot(down, across, i + 1) for i in range(len(results))]
    else:
        width, height = check_size(size, 1.3 * SIDE + LIST)
        tall = ROW * (len(worst[0]) + 1)
        sides: Any
        if width >= NARROW:
            figure = new_figure(width, height or max(1.3 * SIDE, tall), dpi=150)
            sides = figure.subfigures(1, 2, width_ratios=(1.3 * SIDE, LIST))
        else:
            figure = new_figure(width, height or 0.9 * width + tall, dpi=150)
            sides = figure.subfigures(2, 1, height_ratios=(0.9 * width, tall))
        panels = [sides[0].add_subplot()]
        _list(sides[1], worst[0], images or {})
    for axes, result, rows in zip(panels, results, worst, strict=True):
        _scatter(axes, result, rows)
    return figure


def check_listed(n_worst: int, n_pairs: int) -> None:
    """Raise a ValueError for more pairs than a picture has room for in its list."""
    if min(n_worst, n_pairs) > MOST_LISTED:
        raise ValueError(
            f"n_worst={n_worst}: expected at most {MOST_LISTED} pairs in a picture; lower it, or "
            "write a table (.md, .tex or .json), which lists them all."
        )


def _scatter(axes: Axes, result: Evaluation, worst: Sequence[dict[str, Any]]) -> None:
    """Translucent dots, the line through them, and the numbers of the worst pairs."""
    from conjure_kernel.evaluation.summary import regression

    x, y = result.similarities, result.pairs.scores
    size = 3.5 if len(x) <= FEW else 2.0
    axes.plot(x, y, "o", color=BLUE, ms=size, alpha=0.45, mew=0)
    fit, whole = regression(result)[0], result.table.find(part="all")
    if np.isfinite(fit["slope"]):
        ends = np.array([x.min(), x.max()])
        axes.plot(ends, fit["intercept"] + fit["slope"] * ends, color=GREY, lw=0.8, zorder=0)
    for number, row in enumerate(worst, 1):
        at = (row["similarity"], row["score"])
        axes.plot(*at, "o", mfc="none", mec=INK, ms=size + 2.5, mew=0.7)
        axes.annotate(str(number), at, (3, 3), textcoords="offset points", color=INK)
    axes.set_title(
        f"{len(x)} pairs: Spearman {whole['spearman']:.2f}, R² {fit['r2']:.2f}", loc="left"
    )
    axes.set(xlabel=f"similarity, {readable([result.name])[0]}", ylabel="human score")
    axes.spines[["top", "right"]].set_visible(False)


def _list(figure: Any, worst: Sequence[dict[str, Any]], images: Mapping[str, np.ndarray]) -> None:
    """The worst pairs, each with its pictures and both places."""
    names = short_names([row[side] for row in worst for side in ("text_a", "text_b")], LONGEST)
    grid = figure.subplots(len(worst), 3, width_ratios=(1, 1, 4.6), squeeze=False)
    figure.suptitle("Furthest apart in place (1 is most alike)", fontsize=7.5, color=INK)
    for number, (row, cells) in enumerate(zip(worst, grid, strict=True), 1):
        for cell, side in zip(cells, ("text_a", "text_b"), strict=False):
            if (picture := images.get(row[side])) is not None:
                cell.imshow(picture, interpolation="nearest")
        places = f"by people {row['place by score']}, here {row['place by similarity']}"
        left, right = names[2 * number - 2 : 2 * number]
        text = f"{number}  {left}\n    {right}\n    {places}"
        cells[2].text(0, 0.5, text, va="center", fontsize=6.5, parse_math=False)
        for cell in cells:
            cell.axis("off")
