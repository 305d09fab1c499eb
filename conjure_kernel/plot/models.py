"""Pictures of two models beside each other, and of the prompts on which they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from conjure_kernel._table import with_error
from conjure_kernel.plot._style import BLUE, GREY, INK, STYLE, new_figure
from conjure_kernel.plot.labels import shorten

if TYPE_CHECKING:
    from conjure_kernel.estimators.drift import ConjureDrift
    from conjure_kernel.evaluation.agreement import Agreement

__all__ = ["plot_agreement", "plot_drift"]

COLUMNS = 4
MOST_SHOWN = 32  # characters of a prompt
WIDTH, HEIGHT, HEAD = 1.9, 1.3, 0.5  # inches


@rc_context(STYLE)
def plot_drift(drift: ConjureDrift, *, n_prompts: int = 12, names: Any = ("a", "b")) -> Figure:
    """The prompts on which two models differ most, with pictures of both from the same noise.

    Parameters
    ----------
    drift : ConjureDrift
        A fitted estimator. The pictures are made here, by a chain of each model for each prompt.
    n_prompts : int, default 12
        Most prompts to show, those that drifted most first.
    names : two str, default ("a", "b")
        Names of the models.

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
    titles = shorten([row["prompt"] for row in rows], MOST_SHOWN)
    images = drift.conjure_images([row["prompt"] for row in rows])[:, :, 0]
    across = min(COLUMNS, len(rows))
    down = -(-len(rows) // across)
    figure = new_figure(across * WIDTH, HEAD + down * HEIGHT, dpi=150)
    figure.suptitle(f"Left: {names[0]}. Right: {names[1]}.", fontsize=9, color=INK)
    gap = np.full((*images.shape[2:3], max(1, images.shape[3] // 16), 3), 255, np.uint8)
    for i, (row, title) in enumerate(zip(rows, titles, strict=True)):
        axes = figure.add_subplot(down, across, i + 1)
        axes.imshow(np.concatenate([images[0, i], gap, images[1, i]], 1), interpolation="nearest")
        j = with_error(row["divergence"], row["standard_error"])
        axes.set_title(f"{title}\nJ = {j}", fontsize=7)
        axes.axis("off")
    return figure


@rc_context(STYLE)
def plot_agreement(
    agreement: Agreement, *, n_named: int = 10, names: Any = ("model a", "model b")
) -> Figure:
    """Ranks of all pairs in both models, beside a list of the pairs that differ most.

    Parameters
    ----------
    agreement : Agreement
        What `model_agreement` returns.
    n_named : int, default 10
        Pairs to list.
    names : two str, default ("model a", "model b")
        Names of the models.

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
    figure = new_figure(7.2, 4.0, dpi=150)
    axes, side = figure.subplots(1, 2, width_ratios=(4, 3))
    x, y = (np.array([row[f"rank_{m}"] for row in rows]) for m in "ab")
    axes.plot([1, len(rows)], [1, len(rows)], color=GREY, lw=0.5)
    axes.plot(x, y, "o", color=BLUE, ms=2, alpha=0.5, mew=0)
    axes.set(xlabel=f"rank of J, {names[0]}", ylabel=f"rank of J, {names[1]}", aspect="equal")
    low, high = agreement.low, agreement.high
    span = f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else ""
    axes.set_title(f"{len(rows)} pairs: Spearman {agreement.spearman:.3f}{span}", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    short = dict(zip(agreement.prompts, shorten(agreement.prompts, MOST_SHOWN), strict=True))
    lines = ["Pairs that differ most, and both ranks:", ""]
    for i, row in enumerate(rows[:n_named], 1):
        axes.annotate(str(i), (row["rank_a"], row["rank_b"]), fontsize=6, color=INK)
        pair = f"{short[row['prompt_a']]} / {short[row['prompt_b']]}"
        lines.append(f"{i}  {pair}: {row['rank_a']:.0f}, {row['rank_b']:.0f}")
    side.text(0, 1, "\n".join(lines), va="top", fontsize=6.5, linespacing=1.6)
    side.axis("off")
    return figure
