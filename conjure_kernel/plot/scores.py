"""Pictures of agreement with human scores: dots with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conjure_kernel._table import Table
from conjure_kernel.plot._style import BLUE, GREY, INK, STYLE, new_figure

if TYPE_CHECKING:
    from conjure_kernel.evaluation.evaluation import Evaluation

__all__ = ["plot_ablation", "plot_evaluations"]

ROW, HEAD = 0.24, 0.75  # inches


@rc_context(STYLE)
def plot_evaluations(results: Sequence[Evaluation]) -> Figure:
    """Spearman of several scorers on the same pairs, part by part.

    Thin lines are 95 % intervals for other texts like these, thick ones two standard errors over
    draws.

    Parameters
    ----------
    results : sequence of Evaluation
        What `evaluate` returned, of the same pairs.

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
    parts = [row["part"] for row in results[0].table.rows]
    rows = [
        (f"{part}, n = {row['n']}" if i == 0 else "", result.name, row)
        for part in parts
        for i, result in enumerate(results)
        for row in [_row_of(result, part)]
        if row is not None
    ]
    figure, (axes,) = _figure(1, len(rows))
    names = list(dict.fromkeys(result.name for result in results))
    for name, colour in zip(names, _colours(len(names)), strict=True):
        chosen = [i for i, row in enumerate(rows) if row[1] == name]
        _dots(axes, chosen, [rows[i][2] for i in chosen], colour, name)
    _finish(axes, [row[0] for row in rows], f"Spearman with human scores: {results[0].task}")
    if len(names) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


@rc_context(STYLE)
def plot_ablation(table: Table) -> Figure:
    """Spearman for each value of each setting, a panel per setting, with the base in blue.

    Parameters
    ----------
    table : Table
        `ablate(...).table`.

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
    figure, axes = _figure(len(panels), max(map(len, panels.values())))
    low = min(row["spearman_low"] for row in table.rows)
    high = max(row["spearman_high"] for row in table.rows)
    for ax, (setting, rows) in zip(axes, panels.items(), strict=True):
        for i, row in enumerate(rows):
            _dots(ax, [i], [row], BLUE if row["base"] else GREY, None)
        _finish(ax, [row["value"] for row in rows], setting.replace("_", " "))
        if np.isfinite([low, high]).all():
            ax.set_xlim(low - 0.02, high + 0.02)
    return figure


def _row_of(result: Evaluation, part: str) -> dict[str, Any] | None:
    return next((row for row in result.table.rows if row["part"] == part), None)


def _figure(n_panels: int, n_rows: int) -> tuple[Figure, list[Axes]]:
    width = 7.5 if n_panels == 1 else 2.1 * min(n_panels, 4)
    down = -(-n_panels // 4)
    figure = new_figure(width, down * (HEAD + ROW * n_rows))
    axes = [figure.add_subplot(down, min(n_panels, 4), i + 1) for i in range(n_panels)]
    return figure, axes


def _colours(n: int) -> list[str]:
    """Colours that differ in lightness as well."""
    hues = [BLUE, "#d1741f", "#2f215b", "#63baa7", GREY, "#a03050", INK]
    return [hues[i % len(hues)] for i in range(n)]


def _dots(
    ax: Axes, places: Sequence[int], rows: Sequence[dict[str, Any]], colour: str, label: str | None
) -> None:
    for place, row in zip(places, rows, strict=True):
        ax.plot([row["spearman_low"], row["spearman_high"]], [place] * 2, color=colour, lw=1)
        reach = 2 * row["spearman_draw_se"]
        ends = [row["spearman"] - reach, row["spearman"] + reach]
        ax.plot(ends, [place] * 2, color=colour, lw=3, solid_capstyle="butt")
    values = [row["spearman"] for row in rows]
    ax.plot(values, places, "o", color=colour, ms=4.5, label=label)


def _finish(ax: Axes, names: Sequence[str], title: str) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.axvline(0, color=GREY, lw=0.5, zorder=0)
    ax.set_title(title, loc="left")
    ax.tick_params(length=2, width=0.5)
    ax.spines[["top", "right", "left"]].set_visible(False)
