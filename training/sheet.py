"""The contact sheet: what the model draws for 72 prompts, to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

PROMPTS = """
dog; puppy; cat; lion; elephant; horse; penguin; owl; fish; shark; butterfly; spider;
rose; sunflower; tree; cactus; red apple; banana; grapes; strawberry; carrot; tomato; pizza;
hamburger; ice cream; cake; cup of coffee; beer; spoon; mountain; beach; castle; house; church;
train; bus; car; bicycle; sailboat; airplane; rocket; moon; sun; rainbow; snowman; umbrella;
football; basketball; teddy bear; shirt; dress; shoe; hat; crown; guitar; piano; telephone;
computer; camera; book; pencil; key; hammer; chair;
a red heart on a blue background; two bananas; a cat on a green background; three roses;
a small fish; an automobile; a dog left of a tree; teacher
"""


def draw_sheet(draw: Callable[[Sequence[str]], Tensor], path: Path, columns: int = 12) -> None:
    """Draw the prompts with `draw` (pixels in [0, 1]) and write the sheet to `path`."""
    import matplotlib.pyplot as plt

    prompts = [prompt.strip() for prompt in PROMPTS.split(";")]
    rows = -(-len(prompts) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.1 * columns, 1.25 * rows))
    for axis in axes.flat:
        axis.axis("off")
    for axis, prompt, pixels in zip(axes.flat, prompts, draw(prompts), strict=False):
        axis.imshow(pixels.permute(1, 2, 0).float().clamp(0, 1), interpolation="nearest")
        axis.set_title(prompt if len(prompt) < 19 else prompt[:17] + "...", fontsize=6.5, pad=2)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.97, 0.06, 0.18)
    figure.savefig(path, dpi=100)
    plt.close(figure)
