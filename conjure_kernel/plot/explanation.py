"""Pictures of where two prompts differ: strip of noise levels, profile, morph."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from conjure_kernel._table import with_error
from conjure_kernel.plot._style import (
    COLOURS,
    INK,
    NARROW,
    Size,
    check_size,
    headline,
    inches,
    is_wide,
    name_ticks,
    new_axes,
)
from conjure_kernel.plot.fonts import drawing, short_names
from conjure_kernel.plot.relations import plot_profile

if TYPE_CHECKING:
    from conjure_kernel.engine.explanation import Explanation

__all__ = ["plot_explanation", "plot_morph", "plot_strip"]

PAD = 0.04  # between pictures, in widths of one
LEAST_CURVE = 0.7
SPACE = 0.85  # inches between the panels


@drawing()
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
    names, views = short_names(explanation.prompts, 30), explanation.views
    heat = explanation.heat[:, explanation.draw]
    is_map, n = heat.ndim == 4, explanation.grid.n_nodes
    norm = PowerNorm(0.5, vmin=0, vmax=heat.max() or 1)
    heading = _heading(inches(ax) / n) * n / inches(ax)
    y, ticks = 0.0, []
    for leg, name in enumerate(names):
        ax.text(0, y + 0.75 * heading, f"along a chain of “{name}”", va="bottom")
        y += heading
        rows = [(names[0], views[leg, 0]), (names[1], views[leg, 1])]
        if is_map:
            rows.insert(1, ("nats per pixel", heat[leg]))
        for label, pictures in rows:
            _plot_row(ax, pictures, y, norm)
            ticks.append((y + 0.5, label))
            y += 1
    _frame(ax, n, y)
    letters = 16 if is_wide(ax) else 12
    lines = [textwrap.fill(label, letters) for _, label in ticks]
    column = 72 * inches(ax) / n
    size = np.clip(0.8 * column / max(text.count("\n") + 1 for text in lines), 4.5, 7)
    name_ticks(ax.yaxis, [at for at, _ in ticks], lines, fontsize=size, linespacing=1.15)
    if is_map:
        place = ax.inset_axes((1.015, 0, 0.012, 1 - heading / y))
        bar = ax.figure.colorbar(ax.images[n], cax=place)
        bar.outline.set_visible(False)
        place.tick_params(length=2, width=0.5)
        place.set_title("nats", size=7, loc="left")
    return ax


@drawing()
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
    a, b = short_names(explanation.prompts, 30 if is_wide(ax) else 16)
    n = len(explanation.morph)
    heading = _heading(inches(ax) / (n - 1)) * n / inches(ax)
    _plot_row(ax, explanation.morph, heading, None)
    text = f"“{b}” takes over at log-SNR …"
    if is_wide(ax):
        text = f"where the chain of “{a}” ends if “{b}” takes over at log-SNR …"
    ax.text(0, 0.75 * heading, text, va="bottom")
    _frame(ax, n, 1 + heading)
    labels = [f"{level:.1f}" for level in explanation.switch_log_snr[:-1]] + ["never"]
    column = 72 * inches(ax) / n
    size = float(np.clip(column / 2.9, 5, 7))
    step = max(1, int(np.ceil(2.6 * size / column)))
    shown = [i for i in range(n) if (n - 1 - i) % step == 0]
    ax.set_xticks([i + 0.5 for i in shown], [labels[i] for i in shown], fontsize=size)
    ax.set_yticks([])
    return ax


@drawing()
def plot_explanation(explanation: Explanation, *, size: Size = None) -> Figure:
    """Strip, profile over the same noise levels and morph in one picture.

    Parameters
    ----------
    explanation : Explanation
        What `explain` returns.
    size : float or (float, float), optional
        Width, or width and height, in inches. Default: 10 wide, and as high as is needed.

    Returns
    -------
    figure : Figure
        A figure outside pyplot: `figure.savefig("explain.png")`.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, explain
    >>> world = GaussianDenoiser({"a dog": [0.7, 0.0], "a cat": [-0.4, 0.0]})
    >>> figure = plot_explanation(explain("a dog", "a cat", model=world))
    """
    width, height = check_size(size)
    left, right, curve = (1.25, 0.75, 1.35) if width >= NARROW else (0.7, 0.42, 0.9)
    n, rows = explanation.grid.n_nodes, 2 * (explanation.heat.ndim == 5) + 4
    across = width - left - right
    figure = Figure(figsize=(width, height or 1), dpi=160)
    top = headline(figure, _headline(explanation)) + 0.12
    between = top + SPACE
    if height is not None:
        curve, across = _fit(height, between, across, n, rows)
    strip = 2 * _heading(across / n) + rows * across / n
    morph = _heading(across / n) + across / (n + 1)
    tall = height or between + curve + strip + morph
    figure.set_size_inches(width, tall)
    figure.texts[0].set_y(1 - 0.1 / tall)

    def place(above: float, high: float) -> Axes:
        box = (left / width, 1 - (above + high) / tall, across / width, high / tall)
        return figure.add_axes(box)

    plot_strip(explanation, ax=place(top, strip))
    errors = explanation.profile_standard_errors
    profile = place(top + 0.15 + strip, curve)
    plot_profile(explanation.profile, explanation.grid, standard_errors=errors, ax=profile)
    profile.set_title("", loc="left")
    plot_morph(explanation, ax=place(tall - 0.25 - morph, morph))
    return figure


def _fit(height: float, between: float, across: float, n: int, rows: int) -> tuple[float, float]:
    """Height of the curve, and width of the pictures, that fill so many inches."""
    for widest in np.linspace(across, 0.12 * n, 60):
        pictures = 3 * _heading(widest / n) + rows * widest / n + widest / (n + 1)
        if pictures + LEAST_CURVE <= height - between:
            return height - between - pictures, float(widest)
    raise ValueError(
        f"size: expected a height of at least {between + pictures + LEAST_CURVE:.1f} inches for "
        f"{rows + 1} rows of pictures, got {height:g}; leave the height out."
    )


def _heading(column: float) -> float:
    """Inches of a line above pictures of such a width."""
    return float(np.clip(0.42 * column, 0.18, 0.34))


def _headline(explanation: Explanation) -> str:
    a, b = short_names(explanation.prompts, 40)
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
