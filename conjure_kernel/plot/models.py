"""Two models beside each other: the prompts on which they part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from conjure_kernel.plot._style import INK, STYLE

if TYPE_CHECKING:
    from conjure_kernel.drift import ConjureDrift

__all__ = ["plot_drift"]

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


def _short(prompt: str) -> str:
    return prompt if len(prompt) <= 32 else f"{prompt[:31]}…"
