"""Picture of what each word of a prompt does: nats, noise levels, pixels, and images without it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from conjure_kernel.plot._style import (
    BLUE,
    COLOURS,
    GREY,
    INK,
    NARROW,
    Size,
    check_size,
    headline,
    inches,
    is_wide,
    name_ticks,
)
from conjure_kernel.plot.fonts import drawing, readable, short_names

if TYPE_CHECKING:
    from conjure_kernel.engine.words import WordExplanation

__all__ = ["plot_words"]

SIZE = (6, 7.5)  # points of what stands above the columns: narrow, wide
BOTTOM = 0.55  # inches below the rows
ROW = 0.75  # inches; a word has one
PAD = 0.04  # around a picture, in rows


@drawing()
def plot_words(explanation: WordExplanation, *, draw: int = 0, size: Size = None) -> Figure:
    """A row for each word: its nats, the noise levels and pixels that hold them, and images.

    Bars are J of the prompt and the prompt without the word, with standard errors, and below them
    Shapley values if there are any. Words act where pixels are light; all maps have one scale. At
    the right are images of the prompt (first row) and of the prompt without each word, from the
    same noise. A state without a known grid of pixels has no maps.

    Parameters
    ----------
    explanation : WordExplanation
        What `explain_words` returns.
    draw : int
        The draw, from 0, whose images are shown; all else is over all draws.
    size : float or (float, float), optional
        Width, or width and height, in inches. Default: 10 wide, and as high as is needed.

    Returns
    -------
    figure : Figure
        A figure outside pyplot: `figure.savefig("words.png")`.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, explain_words
    >>> world = GaussianDenoiser({"": [0, 0], "red": [2, 0], "heart": [0, 3], "red heart": [2, 3]})
    >>> figure = plot_words(explain_words("red heart", model=world))
    """
    if not 0 <= draw < explanation.heat.shape[1]:
        raise ValueError(
            f"draw={draw}: expected one of 0 to {explanation.heat.shape[1] - 1}; raise n_draws, or "
            "choose one of these."
        )
    width, height = check_size(size)
    n, columns = len(explanation.words), 1 + (explanation.maps.ndim == 3)
    wide = width >= NARROW
    left, gap, scale = (1.25, 0.2, 0.95) if wide else (0.7, 0.1, 0.42)
    figure = Figure(figsize=(width, height or 1), dpi=160)
    (prompt,) = readable([explanation.prompt])
    top = headline(figure, f"“{prompt}”, word by word") + 0.75
    row = min(ROW, (width - left - scale) / (columns + (6.5 if wide else 4.6)))
    if height is not None:
        row = max(0.1, min(row, (height - top - BOTTOM) / n))
    tall = height or top + BOTTOM + row * n
    figure.set_size_inches(width, tall)
    figure.texts[0].set_y(1 - 0.1 / tall)

    def place(start: float, across: float) -> Axes:
        at = (start / width, 1 - (top + row * n) / tall, across / width, row * n / tall)
        return figure.add_axes(at)

    pictures = columns * row
    curves = width - left - 2 * gap - pictures - (scale if columns > 1 else 0.1)
    nats = (0.45 if wide else 0.5) * curves
    _plot_nats(place(left, nats), explanation)
    _plot_levels(place(left + nats + gap, curves - nats), explanation)
    _plot_pictures(place(left + curves + 2 * gap, pictures), explanation, draw)
    return figure


def _plot_nats(ax: Axes, explanation: WordExplanation) -> None:
    """Bars of J and, if there are any, of Shapley values, with standard errors."""
    n = len(explanation.words)
    bars = [(explanation.divergences, explanation.standard_errors, BLUE, "J without the word")]
    if (shapley := explanation.shapley) is not None:
        bars.append((shapley.values, shapley.standard_errors, GREY, "Shapley value"))
    tall = 0.7 / len(bars)
    for i, (values, errors, colour, label) in enumerate(bars):
        y = np.arange(n) + 0.5 + (i - (len(bars) - 1) / 2) * tall
        how: dict[str, Any] = {"ecolor": INK, "error_kw": {"elinewidth": 0.8}}
        ax.barh(y, values, 0.9 * tall, color=colour, xerr=np.nan_to_num(errors), label=label, **how)
    ax.set(ylim=(n, 0), xlabel="nats")
    ax.axvline(0, color=INK, linewidth=0.5)
    wide = is_wide(ax)
    names = short_names(explanation.words, 30 if wide else 20)
    names = [textwrap.fill(name, 16 if wide else 10) for name in names]
    name_ticks(ax.yaxis, np.arange(n) + 0.5, names)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelcolor=INK)
    if len(bars) > 1:
        side_by_side = inches(ax) >= 2.2
        above = 0 if side_by_side else 0.34 / (inches(ax) * ax.bbox.height / ax.bbox.width)
        how = {"ncols": 1 + side_by_side, "frameon": False, "fontsize": SIZE[side_by_side]}
        ax.legend(loc="lower left", bbox_to_anchor=(-0.03, 1 + above), borderaxespad=0, **how)
    else:
        ax.set_title(bars[0][3], loc="left", size=SIZE[wide])


def _plot_levels(ax: Axes, explanation: WordExplanation) -> None:
    """Nats per unit of log-SNR, a row for each word; each row has a scale of its own."""
    widths = np.asarray(explanation.grid.d_log_snr)
    rates = explanation.profile / widths
    edges = explanation.grid.log_snr_range[0] + np.r_[0, np.cumsum(widths)]
    most = np.maximum(rates.max(1, keepdims=True), np.finfo(float).tiny)
    for i, row in enumerate(rates / most):
        floor = i + 0.95
        ax.stairs(floor - 0.85 * row, edges, baseline=floor, fill=True, color=BLUE, alpha=0.35)
    wide = inches(ax) >= 2.7
    ax.set(ylim=(len(rates), 0), xlim=(edges[0], edges[-1]))
    ax.set_xlabel("log-SNR: layout to detail" if wide else "log-SNR")
    title = "nats per unit of log-SNR (each row to its own scale)"
    ax.set_title(
        title if wide else "nats per unit\nof log-SNR,\nown scales", loc="left", size=SIZE[wide]
    )
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=2, width=0.5)


def _plot_pictures(ax: Axes, explanation: WordExplanation, draw: int) -> None:
    """Maps of the words, and images of the prompt and of it without each word."""
    maps, n = explanation.maps, len(explanation.words)
    columns, size = 1 + (maps.ndim == 3), SIZE[is_wide(ax)]
    if maps.ndim == 3:
        norm = PowerNorm(0.5, vmin=0, vmax=maps.max() or 1)
        for i, heat in enumerate(maps):
            _put(ax, heat, 0, i, cmap=COLOURS, norm=norm)
        bar = ax.figure.colorbar(ax.images[0], cax=ax.inset_axes((1.06, 0, 0.05, 1 - 0.3 / n)))
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=2, width=0.5)
        bar.ax.set_title("nats", size=size, loc="left")
        ax.text(0.5, -0.05, "where", ha="center", va="bottom", size=size)
    ax.text(columns - 1.1, -0.5, "the prompt", ha="right", va="center", size=size)
    for i, picture in enumerate(explanation.images[:, draw]):
        _put(ax, picture, columns - 1, i - 1, clip_on=False)
    ax.text(columns - 0.5, n + 0.05, "without it", ha="center", va="top", size=size)
    ax.set(xlim=(0, columns), ylim=(n, 0), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _put(ax: Axes, picture: np.ndarray, x: int, y: int, **how: Any) -> None:
    extent = (x + PAD, x + 1 - PAD, y + 1 - PAD, y + PAD)
    ax.imshow(picture, extent=extent, interpolation="nearest", aspect="auto", **how)
