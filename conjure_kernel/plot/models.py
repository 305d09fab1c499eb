"""Two models beside each other: the prompts on which they part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from conjure_kernel.plot._style import BLUE, GREY, INK, STYLE

if TYPE_CHECKING:
    from conjure_kernel.estimators.drift import ConjureDrift
    from conjure_kernel.evaluation.comparison import Agreement

__all__ = ["plot_agreement", "plot_drift"]

COLUMNS = 4
WIDTH, HEIGHT, HEAD = 1.9, 1.3, 0.5  # inches


@rc_context(STYLE)
def plot_drift(drift: ConjureDrift, *, n_prompts: int = 12, names: Any = ("a", "b")) -> Figure:
    """The prompts on which two models differ most, with a picture of each from the same noise.

    Parameters
    ----------
    drift : ConjureDrift
        Fitted. The pictures are conjured here, a chain of each model for every prompt drawn.
    n_prompts : int
        At most so many, most drifted first.
    names : two str
        Of the models.

    Returns
    -------
    figure : Figure

    Examples
    --------
    >>> from conjure_kernel import ConjureDrift, GaussianDenoiser
    >>> base, tuned = GaussianDenoiser({"a dog": 0.7}), GaussianDenoiser({"a dog": 2.0})
    >>> figure = plot_drift(ConjureDrift(base, tuned, memory=None).fit(["a dog"]))
    """
    unique = {row["prompt"]: row for row in drift.ranking().rows}
    rows = list(unique.values())[:n_prompts]
    images = drift.conjure_images([row["prompt"] for row in rows])[:, :, 0]
    across = min(COLUMNS, len(rows))
    down = -(-len(rows) // across)
    figure = Figure((across * WIDTH, HEAD + down * HEIGHT), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"Left: {names[0]}. Right: {names[1]}.", fontsize=9, color=INK)
    gap = np.full((*images.shape[2:3], max(1, images.shape[3] // 16), 3), 255, np.uint8)
    for i, row in enumerate(rows):
        axes = figure.add_subplot(down, across, i + 1)
        axes.imshow(np.concatenate([images[0, i], gap, images[1, i]], 1), interpolation="nearest")
        error = row["standard_error"]
        spread = f" ± {error:.2g}" if np.isfinite(error) else ""
        axes.set_title(f"{_short(row['prompt'])}\nJ = {row['divergence']:.3g}{spread}", fontsize=7)
        axes.axis("off")
    return figure


@rc_context(STYLE)
def plot_agreement(
    agreement: Agreement, *, n_named: int = 10, names: Any = ("model a", "model b")
) -> Figure:
    """Ranks of all pairs in both models; those that differ most are named beside.

    Parameters
    ----------
    agreement : Agreement
    n_named : int
        Pairs to name.
    names : two str
        Of the models.

    Returns
    -------
    figure : Figure

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, model_agreement
    >>> world = GaussianDenoiser({"a dog": 0.0, "a cat": 0.4, "a car": 3.0})
    >>> figure = plot_agreement(model_agreement(world.prompts, world, world, memory=None))
    """
    rows = agreement.ranking().rows
    figure = Figure((7.2, 4.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes, side = figure.subplots(1, 2, width_ratios=(4, 3))
    x, y = (np.array([row[f"rank_{m}"] for row in rows]) for m in "ab")
    axes.plot([1, len(rows)], [1, len(rows)], color=GREY, lw=0.5)
    axes.plot(x, y, "o", color=BLUE, ms=2, alpha=0.5, mew=0)
    axes.set(xlabel=f"rank of J, {names[0]}", ylabel=f"rank of J, {names[1]}", aspect="equal")
    low, high = agreement.low, agreement.high
    span = f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else ""
    axes.set_title(f"{len(rows)} pairs: Spearman {agreement.spearman:.3f}{span}", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    lines = ["Differ most (rank in either):", ""]
    for i, row in enumerate(rows[:n_named], 1):
        axes.annotate(str(i), (row["rank_a"], row["rank_b"]), fontsize=6, color=INK)
        pair = f"{_short(row['prompt_a'])} / {_short(row['prompt_b'])}"
        lines.append(f"{i}  {pair}: {row['rank_a']:.0f}, {row['rank_b']:.0f}")
    side.text(0, 1, "\n".join(lines), va="top", fontsize=6.5, linespacing=1.6)
    side.axis("off")
    return figure


def _short(prompt: str) -> str:
    return prompt if len(prompt) <= 32 else f"{prompt[:31]}…"
