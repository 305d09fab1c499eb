"""Pictures of two models beside each other, and of the prompts on which they differ."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conjure_kernel._table import with_error
from conjure_kernel.plot._style import (
    BLUE,
    GREY,
    INK,
    NARROW,
    Size,
    check_size,
    new_figure,
)
from conjure_kernel.plot.fonts import drawing, readable, short_names

if TYPE_CHECKING:
    from conjure_kernel.estimators.drift import ConjureDrift
    from conjure_kernel.evaluation.agreement import Agreement

__all__ = ["plot_agreement", "plot_drift"]

COLUMNS = 4
MOST_SHOWN = 32  # characters of a prompt
CELL, TITLE, HEAD = 2.4, 0.36, 0.45  # inches
MOST_GAIN = 16  # by which differences of pictures are enlarged
ERROR, TRUE = "rank_difference_draw_se", 2  # of them a difference is more than noise


@drawing()
def plot_drift(
    drift: ConjureDrift, *, n_prompts: int = 12, names: Any = ("a", "b"), size: Size = None
) -> Figure:
    """The prompts on which two models differ most, with pictures of both from the same noise.

    Beside both pictures stands the second less the first: grey where they are equal, light where
    the second is lighter. All differences are enlarged alike, as much as the heading says.

    Parameters
    ----------
    drift : ConjureDrift
        A fitted estimator. The pictures are made here, by a chain of each model for each prompt.
    n_prompts : int, default 12
        Most prompts to show, those that drifted most first.
    names : two str, default ("a", "b")
        Names of the models.
    size : float or (float, float), optional
        Width, or width and height, in inches. Default: 2.4 for each of up to four prompts in a row.

    Returns
    -------
    figure : Figure
        A figure outside pyplot: `figure.savefig("drift.png")`.

    Examples
    --------
    >>> from conjure_kernel import ConjureDrift, GaussianDenoiser
    >>> base, tuned = GaussianDenoiser({"a dog": 0.7}), GaussianDenoiser({"a dog": 2.0})
    >>> figure = plot_drift(ConjureDrift(base, tuned, memory=None).fit(["a dog"]))
    """
    distinct = {row["prompt"]: row for row in drift.ranking().rows}
    rows = list(distinct.values())[:n_prompts]
    titles, names = short_names([row["prompt"] for row in rows], MOST_SHOWN), readable(names)
    images = drift.conjure_images([row["prompt"] for row in rows])[:, :, 0]
    width, height = check_size(size, CELL * min(COLUMNS, len(rows)))
    across = int(np.clip(width / 1.7, 1, min(COLUMNS, len(rows))))
    down = -(-len(rows) // across)
    tall = width / across * images.shape[2] / (3.2 * images.shape[3]) + TITLE
    figure = new_figure(width, height or HEAD + down * tall, dpi=150)
    differences, gain = _differences(*images.astype(int))
    text = f"Left: {names[0]}. Middle: {names[1]}. Right: the second less the first, × {gain:.2g}."
    figure.suptitle("\n".join(textwrap.wrap(text, int(17 * width))), fontsize=8, color=INK)
    gap = np.full((*images.shape[2:3], max(1, images.shape[3] // 16), 3), 255, np.uint8)
    for i, (row, title) in enumerate(zip(rows, titles, strict=True)):
        axes = figure.add_subplot(down, across, i + 1)
        strip = np.concatenate([images[0, i], gap, images[1, i], gap, differences[i]], 1)
        axes.imshow(strip, interpolation="nearest")
        j = with_error(row["divergence"], row["standard_error"])
        axes.set_title(f"{title}\nJ = {j}", fontsize=7)
        axes.axis("off")
    return figure


def _differences(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float]:
    """Pictures of b - a, grey where they are equal, and by how much they are enlarged."""
    most = max(float(np.percentile(np.abs(b - a), 99.5)), 127 / MOST_GAIN)
    return np.clip(127.5 + (b - a) * 127 / most, 0, 255).astype(np.uint8), 127 / most


@drawing()
def plot_agreement(
    agreement: Agreement,
    *,
    n_named: int = 10,
    names: Any = ("model a", "model b"),
    size: Size = None,
) -> Figure:
    """Ranks of all pairs in both models, beside a list of the pairs that differ most.

    Blue are the pairs whose ranks differ by more than two standard errors over draws, grey those
    whose difference may be noise. Without these errors all are blue.

    Parameters
    ----------
    agreement : Agreement
        What `model_agreement` returns.
    n_named : int, default 10
        Pairs to list.
    names : two str, default ("model a", "model b")
        Names of the models.
    size : float or (float, float), optional
        Width, or width and height, in inches. Default: 7.2 wide. Below 6 the list stands below.

    Returns
    -------
    figure : Figure
        A figure outside pyplot: `figure.savefig("agreement.png")`.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, model_agreement
    >>> world = GaussianDenoiser({"a dog": 0.0, "a cat": 0.4, "a car": 3.0})
    >>> figure = plot_agreement(model_agreement(world.prompts, world, world, memory=None))
    """
    rows = agreement.ranking().rows
    shown, names = rows[:n_named], readable(names)
    width, height = check_size(size, 7.2)
    listed = 0.28 + 0.145 * len(shown)
    if width >= NARROW:
        figure = new_figure(width, height or 4 / 7 * width, dpi=150)
        axes, side = figure.subplots(1, 2, width_ratios=(4, 3))
    else:
        figure = new_figure(width, height or width + listed, dpi=150)
        ratios = (max(0.5, (height or width + listed) - listed), listed)
        axes, side = figure.subplots(2, 1, height_ratios=ratios)
    _plot_ranks(axes, rows)
    axes.set(xlabel=f"rank of J, {names[0]}", ylabel=f"rank of J, {names[1]}")
    axes.set_box_aspect(1 if width >= NARROW else None)
    low, high = agreement.low, agreement.high
    span = f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else ""
    axes.set_title(f"{len(rows)} pairs: Spearman {agreement.spearman:.3f}{span}", loc="left")
    short = dict(zip(agreement.prompts, short_names(agreement.prompts, 20), strict=True))
    lines = ["Pairs that differ most, and both ranks:"]
    for i, row in enumerate(shown, 1):
        at, shift = (row["rank_a"], row["rank_b"]), {"xytext": (3, 2), "zorder": 4}
        axes.annotate(str(i), at, **shift, textcoords="offset points", fontsize=6, color=INK)
        pair = f"{short[row['prompt_a']]} / {short[row['prompt_b']]}"
        lines.append(f"{i}  {pair}: {row['rank_a']:.0f}, {row['rank_b']:.0f}")
    side.text(0, 1, "\n".join(lines), va="top", fontsize=6.5, linespacing=1.5)
    side.axis("off")
    return figure


def _plot_ranks(ax: Axes, rows: Sequence[dict[str, Any]]) -> None:
    """A dot for each pair, those in blue whose difference is more than noise."""
    n = len(rows)
    x, y, error = (np.array([r[k] for r in rows]) for k in ("rank_a", "rank_b", ERROR))
    ax.plot([1, n], [1, n], color=GREY, lw=0.5, zorder=1)
    style: dict[str, Any] = {"ls": "", "marker": "o", "mec": "white", "mew": 0.3}
    style["ms"] = float(np.clip(70 / n**0.5, 2.5, 6))
    noise = np.abs(x - y) <= TRUE * error
    ax.plot(x[noise], y[noise], **style, color=GREY, alpha=0.6, label="may be noise", zorder=2)
    text = f"ranks differ by more than {TRUE} s.e."
    ax.plot(x[~noise], y[~noise], **style, color=BLUE, alpha=0.85, label=text, zorder=3)
    if np.isfinite(error).any():
        style = {"framealpha": 0.85, "edgecolor": "none", "handletextpad": 0.2, "borderpad": 0.1}
        ax.legend(loc="upper left", fontsize=6, **style)
    ax.spines[["top", "right"]].set_visible(False)
