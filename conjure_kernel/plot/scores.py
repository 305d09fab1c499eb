"""Pictures of agreement with human scores: dots with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from conjure_kernel._table import Table
from conjure_kernel.plot._style import (
    BLUE,
    GREY,
    INK,
    NARROW,
    Size,
    check_size,
    name_ticks,
    new_figure,
)
from conjure_kernel.plot.fonts import drawing, short_names

if TYPE_CHECKING:
    from conjure_kernel.evaluation.evaluation import Evaluation

__all__ = ["plot_ablation", "plot_evaluations"]

ROW, HEAD, PANEL = 0.24, 0.6, 2.1  # inches
AXIS = "Spearman's correlation with human scores"


@drawing()
def plot_evaluations(results: Sequence[Evaluation], *, size: Size = None) -> Figure:
    """Spearman of several scorers on the same pairs, part by part.

    Thin lines are 95 % intervals for other texts like these, thick ones two standard errors over
    draws.

    Parameters
    ----------
    results : sequence of Evaluation
        What `evaluate` returned, of the same pairs.
    size : float or (float, float), optional
        Width, or width and height, in inches. Default: 7.5 wide, and as high as is needed.

    Returns
    -------
    figure : Figure
        A figure outside pyplot: `figure.savefig("scores.png")`.

    Examples
    --------
    >>> from conjure_kernel import evaluate
    >>> pairs = [("a", "aa"), ("a", "bb"), ("b", "ab"), ("c", "ccc")]
    >>> letters = lambda left, right: [len(set(a) & set(b)) for a, b in zip(left, right)]
    >>> figure = plot_evaluations([evaluate(letters, pairs, [4, 0, 2, 5])])
    """
    width, height = check_size(size, 7.5)
    parts = [row["part"] for row in results[0].table.rows]
    short = short_names(parts, 24 if width >= NARROW else 12)
    rows = [
        (f"{name}, n = {row['n']}" if i == 0 else "", result.name, row)
        for part, name in zip(parts, short, strict=True)
        for i, result in enumerate(results)
        for row in [_row_of(result, part)]
        if row is not None
    ]
    names = list(dict.fromkeys(result.name for result in results))
    hues = dict(zip(names, _colours(len(names)), strict=True))
    entries = dict(zip(short_names(names, 40), hues.values(), strict=True)) if len(hues) > 1 else {}
    figure, (axes,) = _figure(width, height, 1, len(rows), entries)
    for name, colour in hues.items():
        chosen = [i for i, row in enumerate(rows) if row[1] == name]
        _dots(axes, chosen, [rows[i][2] for i in chosen], colour)
    _finish(axes, [row[0] for row in rows], *short_names([results[0].task], int(11 * width)))
    return figure


@drawing()
def plot_ablation(table: Table, *, size: Size = None) -> Figure:
    """Spearman for each value of each setting, a panel per setting, with the base in blue.

    Parameters
    ----------
    table : Table
        `ablate(...).table`.
    size : float or (float, float), optional
        Width, or width and height, in inches. Default: 2.1 for each of up to four panels in a row.

    Returns
    -------
    figure : Figure
        A figure outside pyplot: `figure.savefig("ablation.png")`.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, ablate
    >>> from conjure_kernel.evaluation.datasets import ScoredPairs
    >>> world = GaussianDenoiser({"a": 0.7, "b": -0.4, "c": 3.0})
    >>> pairs = ScoredPairs("toy", ["a", "a", "b"], ["b", "c", "c"], np.array([5.0, 2.0, 1.0]))
    >>> ablation = ablate(pairs, sweeps={"n_draws": [2, 4]}, model=world, memory=None)
    >>> figure = plot_ablation(ablation.table)
    """
    panels = {k: list(rows) for k, rows in groupby(table.rows, key=lambda row: row["setting"])}
    width, height = check_size(size, max(4.2, PANEL * min(len(panels), 4)))
    entries = {"the base": BLUE, "one setting changed": GREY}
    most = max(map(len, panels.values()))
    figure, axes = _figure(width, height, len(panels), most, entries)
    low = min(row["spearman_low"] for row in table.rows)
    high = max(row["spearman_high"] for row in table.rows)
    for ax, (setting, rows) in zip(axes, panels.items(), strict=True):
        for i, row in enumerate(rows):
            _dots(ax, [i], [row], BLUE if row["base"] else GREY)
        _finish(ax, short_names([row["value"] for row in rows], 14), setting.replace("_", " "))
        if np.isfinite([low, high]).all():
            ax.set_xlim(low - 0.02, high + 0.02)
    return figure


def _row_of(result: Evaluation, part: str) -> dict[str, Any] | None:
    return next((row for row in result.table.rows if row["part"] == part), None)


def _figure(
    width: float, height: float | None, n_panels: int, n_rows: int, entries: dict[str, str]
) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, with a legend of colours and of both lines below them."""
    across = int(np.clip(width / 1.6, 1, min(4, n_panels)))
    down = -(-n_panels // across)
    marks = [
        Line2D([], [], marker="o", ls="", ms=4.5, color=c, label=n) for n, c in entries.items()
    ]
    for weight, text in ((1, "95 % interval, for other texts"), (3, "± 2 s.e. over draws")):
        marks.append(Line2D([], [], color=GREY, lw=weight, label=text))
    columns = max(1, min(len(marks), int(width / 1.85)))
    lines = -(-len(marks) // columns)
    figure = new_figure(width, height or down * (HEAD + ROW * n_rows) + 0.16 * lines + 0.2)
    style: dict[str, Any] = {"frameon": False, "fontsize": 7, "handletextpad": 0.5}
    figure.legend(handles=marks, loc="outside lower left", ncols=columns, **style)
    axes = [figure.add_subplot(down, across, i + 1) for i in range(n_panels)]
    for ax in axes[-across:]:
        ax.set_xlabel(AXIS if n_panels == 1 else AXIS.partition(" with")[0])
    return figure, axes


def _colours(n: int) -> list[str]:
    """Colours that differ in lightness as well."""
    hues = [BLUE, "#d1741f", "#2f215b", "#63baa7", GREY, "#a03050", INK]
    return [hues[i % len(hues)] for i in range(n)]


def _dots(ax: Axes, places: Sequence[int], rows: Sequence[dict[str, Any]], colour: str) -> None:
    for place, row in zip(places, rows, strict=True):
        ax.plot([row["spearman_low"], row["spearman_high"]], [place] * 2, color=colour, lw=1)
        reach = 2 * row["spearman_draw_se"]
        ends = [row["spearman"] - reach, row["spearman"] + reach]
        ax.plot(ends, [place] * 2, color=colour, lw=3, solid_capstyle="butt")
    values = [row["spearman"] for row in rows]
    ax.plot(values, places, "o", color=colour, ms=4.5)


def _finish(ax: Axes, names: Sequence[str], title: str) -> None:
    name_ticks(ax.yaxis, range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.axvline(0, color=GREY, lw=0.5, zorder=0)
    ax.set_title(title, loc="left")
    ax.tick_params(length=2, width=0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
