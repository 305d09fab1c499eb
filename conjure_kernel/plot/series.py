"""Pictures of checkpoints in a row: curves with bands, the worst collateral, and what they draw."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from conjure_kernel.method.training import COLLAPSED
from conjure_kernel.plot._style import BLUE, GREY, INK, NARROW, Size, check_size, new_figure
from conjure_kernel.plot.fonts import drawing, short_names

if TYPE_CHECKING:
    from conjure_kernel.estimators.series import Series

__all__ = ["plot_series", "series_page"]

ORANGE = "#b4540f"
LOOKS = {"target": (BLUE, "o"), "neighbours": (ORANGE, "s"), "held": (GREY, "^")}
WORST, PICTURED, MOST_SHOWN = 10, 3, 24
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #2b2b33; max-width: 70em; margin: 2em auto;
padding: 0 1em }} img {{ max-width: 100% }} div {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-size: 13px }} td, th {{ padding: .2em .7em; text-align:
right; border-bottom: 1px solid #ddd }} td:first-child, th:first-child {{ text-align: left }}
</style><h1>{title}</h1><img alt="{alt}" src="data:image/png;base64,{image}">{tables}</html>"""


@drawing()
def plot_series(series: Series, *, pictures: bool = True, size: Size = None) -> Figure:
    """Drift of each group of prompts, the state of the target, the worst collateral, and pictures.

    Parameters
    ----------
    series : Series
        What `ConjureDrift.fit_series` returns.
    pictures : bool, default True
        Whether pictures of the target and of the worst collateral are made here, by the base and
        by each checkpoint from the same noise.
    size : float or (float, float), optional
        Width, or width and height, in inches. Default: 7.4 wide. Below 6 the panels stand below
        each other.

    Returns
    -------
    figure : Figure
        A figure outside pyplot: `figure.savefig("run.png")`.

    Examples
    --------
    >>> from conjure_kernel import ConjureDrift, GaussianDenoiser
    >>> worlds = [GaussianDenoiser({"": 0.0, "a dog": 0.7 + s, "a cat": -0.4}) for s in range(3)]
    >>> drift = ConjureDrift(worlds[0], memory=None)
    >>> series = drift.fit_series(worlds[1:], ["a cat"], groups={"target": ["a dog"]})
    >>> figure = plot_series(series, pictures=False)
    """
    shown = _shown(series)
    width, height = check_size(size, 7.4)
    wide = width >= NARROW
    heights = (2.9 if wide else 6.6, 0.1 * width * len(shown))[: 1 + pictures]
    figure = new_figure(width, height or sum(heights), dpi=150)
    rows: Any = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    parts = rows[:, 0]
    drift, state, worst = (
        parts[0].subplots(1, 3, width_ratios=(1.25, 1.1, 1)) if wide else parts[0].subplots(3, 1)
    )
    _draw_drift(drift, series)
    _draw_state(state, series)
    _draw_worst(worst, series)
    if pictures:
        _draw_pictures(parts[1], series, shown)
    return figure


def series_page(series: Series, *, pictures: bool = True) -> str:
    """The picture of a series and its tables as one HTML page that loads nothing from elsewhere."""
    buffer = io.BytesIO()
    plot_series(series, pictures=pictures).savefig(buffer, format="png")
    tables = {
        "What can be read off it": series.verdicts(),
        "Means of groups, in nats": series.curves(),
        f"Collateral at {series.names[-1]}, in nats": series.collateral(),
    }
    parts = [_turning_line(series)]
    parts += [
        f"<h2>{html.escape(name)}</h2><div>{table._repr_html_()}</div>"
        for name, table in tables.items()
    ]
    groups = "; ".join(f"{name}: {', '.join(own)}" for name, own in series.groups.items())
    parts.append(f"<p>{html.escape(groups)}.</p>")
    title = f"{len(series.names)} checkpoints of {series.provenance.get('model', 'a model')}"
    return PAGE.format(
        title=html.escape(title),
        alt="Curves of drift, the state of the target and the worst collateral; tables follow.",
        image=base64.b64encode(buffer.getvalue()).decode(),
        tables="".join(parts),
    )


def _turning_line(series: Series) -> str:
    turning = series.turning
    if turning.first is None:
        return "<p>At no checkpoint does collateral grow faster than reach.</p>"
    sure = "no checkpoint is sure to" if turning.told is None else series.names[turning.told]
    name = html.escape(series.names[turning.first])
    return (
        f"<p>From {name} on, more training adds collateral faster than reach ({turning.share:.0%} "
        f"of the draws say so alone; by the interval: {html.escape(sure)}).</p>"
    )


def _draw_drift(axes: Axes, series: Series) -> None:
    """Mean drift from the base of each group, with bands."""
    x = np.arange(len(series.names))
    for group, (colour, mark) in LOOKS.items():
        rows = [row for row in series.curves().rows if row["group"] == group]
        if rows:
            value, low, high = (
                np.array([row[f"drift{end}"] for row in rows]) for end in ("", "_low", "_high")
            )
            axes.plot(x, value, color=colour, marker=mark, ms=3.5, lw=1.2, label=group)
            axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
    if (turning := series.turning).first is not None:
        axes.axvline(turning.first, color=INK, lw=0.8, ls=":")
        text = f"collateral grows\nfaster from here\n({turning.share:.0%} of draws)"
        axes.annotate(text, (turning.first, 0.03), xycoords=("data", "axes fraction"), fontsize=5.5)
    _stretch(axes, "y", series.curves().rows, "drift")
    axes.set_title("Drift from the base, nats", loc="left")
    axes.legend(fontsize=6, frameon=False, loc="upper left")
    _finish(axes, series)


def _draw_state(axes: Axes, series: Series) -> None:
    """Spread between draws and vividness of the target, in shares of the base's."""
    x, rows = np.arange(len(series.names)), series.verdicts().rows
    looks = {"spread": (INK, "o", "spread of its draws"), "vividness": (BLUE, "s", "vividness")}
    for shift, (name, (colour, mark, label)) in zip((-0.06, 0.06), looks.items(), strict=True):
        value, low, high = (
            np.array([row[f"{name}{end}"] for row in rows]) for end in ("", "_low", "_high")
        )
        ends = np.nan_to_num([value - low, high - value]).clip(0)
        axes.errorbar(
            x + shift, value, ends, color=colour, marker=mark, ms=3.5, lw=1, elinewidth=0.8,
            label=label,
        )  # fmt: skip
    axes.axhline(1, color=GREY, lw=0.6)
    axes.axhline(COLLAPSED, color=GREY, lw=0.6, ls=":")
    for i, row in enumerate(rows):
        if row["collapsed"]:
            axes.annotate("collapsed", (i, 0.02), xycoords=("data", "axes fraction"), fontsize=6,
                          ha="center")  # fmt: skip
    _stretch(axes, "y", rows, "spread")
    axes.set_title("Target, in shares of the base", loc="left")
    axes.legend(fontsize=6, frameon=False, loc="lower left")
    _finish(axes, series)


def _draw_worst(axes: Axes, series: Series) -> None:
    """Prompts that drifted most at the last checkpoint, with simultaneous intervals."""
    rows = series.collateral().rows[:WORST][::-1]
    for i, row in enumerate(rows):
        colour, mark = LOOKS[row["group"]]
        axes.plot([row["drift_low"], row["drift_high"]], [i, i], color=colour, lw=1)
        axes.plot(row["drift"], i, color=colour, marker=mark, ms=3.5)
    axes.set_yticks(range(len(rows)), short_names([row["prompt"] for row in rows], MOST_SHOWN))
    _stretch(axes, "x", rows, "drift")
    axes.set_title("Collateral, nats", loc="left")
    axes.set_xlabel(f"at {_short(series)[-1]}")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_pictures(figure: Any, series: Series, prompts: list[str]) -> None:
    images = series.conjure_images(prompts)[:, :, 0]
    grid = figure.subplots(len(prompts), len(images), squeeze=False)
    names = ["base", *_short(series)]
    for i, prompt in enumerate(short_names(prompts, MOST_SHOWN)):
        for j, name in enumerate(names):
            axes = grid[i, j]
            axes.imshow(images[j, i], interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if i == 0:
                axes.set_title(name, fontsize=6.5)
        grid[i, 0].set_ylabel(prompt, fontsize=6, rotation=0, ha="right", va="center")


def _stretch(axes: Axes, which: str, rows: list[dict[str, Any]], name: str) -> None:
    """Make a scale logarithmic, with plain numbers, unless nothing on it is positive."""
    if any(row[name] > 0 for row in rows):
        axes.set(**{f"{which}scale": "log"})
        scale = getattr(axes, f"{which}axis")
        scale.set_major_locator(LogLocator(subs=(1, 2, 5)))
        scale.set_major_formatter("{x:g}")
        scale.set_minor_formatter(NullFormatter())


def _shown(series: Series) -> list[str]:
    """Prompts to picture: the target, and what drifted most beside it at the last checkpoint."""
    worst = [row["prompt"] for row in series.collateral().rows]
    return [*series.groups["target"][:1], *worst][:PICTURED]


def _short(series: Series) -> list[str]:
    return short_names(series.names, 14)


def _finish(axes: Axes, series: Series) -> None:
    axes.set_xticks(range(len(series.names)), _short(series), rotation=30, ha="right")
    axes.spines[["top", "right"]].set_visible(False)
