"""Pictures of where two prompts differ: strip of noise levels, profile, morph."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from conjure_kernel._table import with_error
from conjure_kernel.plot._style import COLOURS, INK, STYLE, new_axes
from conjure_kernel.plot.labels import shorten
from conjure_kernel.plot.relations import plot_profile

if TYPE_CHECKING:
    from conjure_kernel.engine.explanation import Explanation

__all__ = ["plot_explanation", "plot_morph", "plot_strip"]

PAD = 0.04  # between pictures, in widths of one
HEADING = 0.42


@rc_context(STYLE)
def plot_strip(explanation: Explanation, *, ax: Axes | None = None) -> Axes:
    """What each prompt predicts at the same noisy points, level by level, and where they differ.

    The upper rows follow one chain of a: the clean image predicted under a, the nats per pixel
    between both predictions, and the clean image predicted under b. The lower rows follow the
    chain of b. The prompts differ where pixels are light; the sum over pixels and levels is the leg
    of that chain.

    Parameters
    ----------
    explanation : Explanation
        What `explain` returns.
    ax : Axes, optional
        Where to plot. Default: axes on a new pyplot figure.

    Returns
    -------
    ax : Axes
        One column per noise level, noisiest first; the colour bar is in its `child_axes`.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, explain
    >>> world = GaussianDenoiser({"a dog": [0.7, 0.0], "a cat": [-0.4, 0.0]})
    >>> ax = plot_strip(explain("a dog", "a cat", model=world))
    """
    ax = new_axes(5) if ax is None else ax
    names, views = shorten(list(explanation.prompts), 30), explanation.views
    heat = explanation.heat[:, explanation.draw]
    is_map, n = heat.ndim == 4, explanation.grid.n_nodes
    norm = PowerNorm(0.5, vmin=0, vmax=heat.max() or 1)
    y, ticks = 0.0, []
    for leg, name in enumerate(names):
        ax.text(0, y + HEADING - 0.1, f"along a chain of “{name}”", va="bottom", parse_math=False)
        y += HEADING
        rows = [(names[0], views[leg, 0]), (names[1], views[leg, 1])]
        if is_map:
            rows.insert(1, ("nats per pixel", heat[leg]))
        for label, pictures in rows:
            _plot_row(ax, pictures, y, norm)
            ticks.append((y + 0.5, textwrap.fill(label, 16)))
            y += 1
    _frame(ax, n, y)
    ax.set_yticks([at for at, _ in ticks], [text for _, text in ticks], parse_math=False)
    if is_map:
        place = ax.inset_axes((1.015, 0, 0.012, 1 - HEADING / y))
        bar = ax.figure.colorbar(ax.images[n], cax=place)
        bar.outline.set_visible(False)
        place.tick_params(length=2, width=0.5)
        place.set_title("nats", size=7, loc="left")
    return ax


@rc_context(STYLE)
def plot_morph(explanation: Explanation, *, ax: Axes | None = None) -> Axes:
    """Where a chain of a ends if b takes over at each noise level, from all of b to all of a.

    Parameters
    ----------
    explanation : Explanation
        What `explain` returns.
    ax : Axes, optional
        Where to plot. Default: axes on a new pyplot figure.

    Returns
    -------
    ax : Axes
        T + 1 pictures; ticks are the log-SNR at which b takes over.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, explain
    >>> world = GaussianDenoiser({"a dog": [0.7, 0.0], "a cat": [-0.4, 0.0]})
    >>> ax = plot_morph(explain("a dog", "a cat", model=world))
    """
    ax = new_axes(5) if ax is None else ax
    a, b = shorten(list(explanation.prompts), 30)
    n = len(explanation.morph)
    _plot_row(ax, explanation.morph, HEADING, None)
    text = f"where the chain of “{a}” ends if “{b}” takes over at log-SNR …"
    ax.text(0, HEADING - 0.1, text, va="bottom", parse_math=False)
    _frame(ax, n, 1 + HEADING)
    labels = [f"{level:.1f}" for level in explanation.switch_log_snr[:-1]]
    ax.set_xticks(np.arange(n) + 0.5, [*labels, "never"])
    ax.set_yticks([])
    return ax


@rc_context(STYLE)
def plot_explanation(explanation: Explanation) -> Figure:
    """Strip, profile over the same noise levels and morph in one picture.

    Parameters
    ----------
    explanation : Explanation
        What `explain` returns.

    Returns
    -------
    figure : Figure
        10 inches wide and outside pyplot: `figure.savefig("explain.png")`.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, explain
    >>> world = GaussianDenoiser({"a dog": [0.7, 0.0], "a cat": [-0.4, 0.0]})
    >>> figure = plot_explanation(explain("a dog", "a cat", model=world))
    """
    n = explanation.grid.n_nodes
    rows = 2 * (explanation.heat.ndim == 5) + 4 + 2 * HEADING
    left, width = 1.25, 8.0
    strip = rows * width / n
    morph = (1 + HEADING) * width / (n + 1)
    height = 2.4 + strip + morph + 0.25
    figure = Figure(figsize=(10, height), dpi=160)

    def place(top: float, tall: float) -> Axes:
        box = (left / 10, 1 - (top + tall) / height, width / 10, tall / height)
        return figure.add_axes(box)

    plot_strip(explanation, ax=place(0.45, strip))
    errors = explanation.profile_standard_errors
    profile = place(0.6 + strip, 1.35)
    plot_profile(explanation.profile, explanation.grid, standard_errors=errors, ax=profile)
    profile.set_title("", loc="left")
    plot_morph(explanation, ax=place(2.4 + strip, morph))
    figure.text(0.0125, 1 - 0.1 / height, _headline(explanation), size=11, va="top")
    return figure


def _headline(explanation: Explanation) -> str:
    a, b = (name.replace("$", r"\$") for name in shorten(list(explanation.prompts), 40))
    j = with_error(explanation.divergence, explanation.standard_error)
    return f"“{a}” and “{b}”: J = {j} nats"


def _plot_row(ax: Axes, pictures: np.ndarray, y: float, norm: PowerNorm | None) -> None:
    """Plot a row of pictures (n, H, W, 3), or of heat maps (n, h, w) on one scale."""
    for i, picture in enumerate(pictures):
        extent = (i + PAD, i + 1 - PAD, y + 1 - PAD, y + PAD)
        how: dict[str, Any] = {} if picture.ndim == 3 else {"cmap": COLOURS, "norm": norm}
        ax.imshow(picture, extent=extent, interpolation="nearest", **how)


def _frame(ax: Axes, n: int, height: float) -> None:
    ax.set(xlim=(0, n), ylim=(height, 0), aspect="equal", xticks=[])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelcolor=INK)
