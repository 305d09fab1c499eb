"""Picture of what each word of a prompt does: nats, noise levels, pixels, and images without it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from conjure_kernel.plot._style import BLUE, COLOURS, GREY, INK, STYLE
from conjure_kernel.plot.labels import shorten

if TYPE_CHECKING:
    from conjure_kernel.engine.words import WordExplanation

__all__ = ["plot_words"]

WIDTH, LEFT, TOP, BOTTOM = 10.0, 1.25, 1.0, 0.55  # inches
ROW = 0.75  # inches; a word has one
PAD = 0.04  # around a picture, in rows


@rc_context(STYLE)
def plot_words(explanation: WordExplanation, *, draw: int = 0) -> Figure:
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

    Returns
    -------
    figure : Figure
        10 inches wide and outside pyplot: `figure.savefig("words.png")`.

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
    height = TOP + BOTTOM + ROW * len(explanation.words)
    figure = Figure(figsize=(WIDTH, height), dpi=160)

    def place(left: float, width: float, above: int = 0) -> Axes:
        tall = ROW * (len(explanation.words) + above)
        return figure.add_axes((left / WIDTH, BOTTOM / height, width / WIDTH, tall / height))

    columns = 1 + (explanation.maps.ndim == 3)
    pictures = columns * ROW
    levels = WIDTH - LEFT - 2.6 - pictures - 0.95
    _plot_nats(place(LEFT, 2.4), explanation)
    _plot_levels(place(LEFT + 2.6, levels), explanation)
    _plot_pictures(place(LEFT + 2.8 + levels, pictures), explanation, draw)
    title = "\n".join(textwrap.wrap(f"“{explanation.prompt}”, word by word", 110)[:2])
    at = (0.0125, 1 - 0.1 / height)
    figure.text(*at, title, size=11, va="top", parse_math=False)
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
    names = [textwrap.fill(name, 16) for name in shorten(list(explanation.words), 30)]
    ax.set_yticks(np.arange(n) + 0.5, names, parse_math=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelcolor=INK)
    if len(bars) > 1:
        ax.legend(loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=2, frameon=False, fontsize=7)
    else:
        ax.set_title(bars[0][3], loc="left", size=7.5)


def _plot_levels(ax: Axes, explanation: WordExplanation) -> None:
    """Nats per unit of log-SNR, a row for each word; each row has a scale of its own."""
    widths = np.asarray(explanation.grid.d_log_snr)
    rates = explanation.profile / widths
    edges = explanation.grid.log_snr_range[0] + np.r_[0, np.cumsum(widths)]
    most = np.maximum(rates.max(1, keepdims=True), np.finfo(float).tiny)
    for i, row in enumerate(rates / most):
        floor = i + 0.95
        ax.stairs(floor - 0.85 * row, edges, baseline=floor, fill=True, color=BLUE, alpha=0.35)
    ax.set(ylim=(len(rates), 0), xlim=(edges[0], edges[-1]), xlabel="log-SNR: layout to detail")
    ax.set_title("noise levels (each row to its own scale)", loc="left", size=7.5)
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=2, width=0.5)


def _plot_pictures(ax: Axes, explanation: WordExplanation, draw: int) -> None:
    """Maps of the words, and images of the prompt and of it without each word."""
    maps, n = explanation.maps, len(explanation.words)
    columns = 1 + (maps.ndim == 3)
    if maps.ndim == 3:
        norm = PowerNorm(0.5, vmin=0, vmax=maps.max() or 1)
        for i, heat in enumerate(maps):
            _put(ax, heat, 0, i, cmap=COLOURS, norm=norm)
        bar = ax.figure.colorbar(ax.images[0], cax=ax.inset_axes((1.06, 0, 0.05, 1 - 0.3 / n)))
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=2, width=0.5)
        bar.ax.set_title("nats", size=7, loc="left")
        ax.text(0.5, -0.05, "where", ha="center", va="bottom", size=7.5)
    ax.text(columns - 1.1, -0.5, "the prompt", ha="right", va="center", size=7.5)
    for i, picture in enumerate(explanation.images[:, draw]):
        _put(ax, picture, columns - 1, i - 1, clip_on=False)
    ax.text(columns - 0.5, n + 0.05, "without it", ha="center", va="top", size=7.5)
    ax.set(xlim=(0, columns), ylim=(n, 0), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _put(ax: Axes, picture: np.ndarray, x: int, y: int, **how: Any) -> None:
    extent = (x + PAD, x + 1 - PAD, y + 1 - PAD, y + PAD)
    ax.imshow(picture, extent=extent, interpolation="nearest", aspect="auto", **how)
