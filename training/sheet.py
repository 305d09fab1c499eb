"""The contact sheet: what the model draws for 96 prompts, to be looked at."""

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
lighthouse; anvil; watering can; handcuffs; fireplace; bow tie; necklace; tow truck; unicycle;
binoculars; paper airplane; windmill; wine bottle; golf cart; piggy bank; tank; fan; bowling pin;
candy cane; harp; submarine; pillow; igloo; treasure map;
a red heart on a blue background; two bananas; a cat on a green background; three roses;
a small fish; an automobile; a dog left of a tree; teacher
"""


def draw_sheet(
    draw: Callable[[Sequence[str]], Tensor],
    path: Path,
    prompts: Sequence[str] | None = None,
    blind: bool = False,
    columns: int = 12,
) -> None:
    """Draw prompts (default: `PROMPTS`) with `draw` (pixels in [0, 1]) and write the sheet.

    A blind sheet has numbers from 1 on in the place of prompts.
    """
    import matplotlib.pyplot as plt

    prompts = [prompt.strip() for prompt in prompts or PROMPTS.split(";")]
    titles = [prompt if len(prompt) < 19 else prompt[:17] + "..." for prompt in prompts]
    if blind:
        titles = [str(i + 1) for i in range(len(prompts))]
    rows = -(-len(prompts) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.1 * columns, 1.25 * rows))
    for axis in axes.flat:
        axis.axis("off")
    for axis, title, pixels in zip(axes.flat, titles, draw(prompts), strict=False):
        axis.imshow(pixels.permute(1, 2, 0).float().clamp(0, 1).numpy(), interpolation="nearest")
        axis.set_title(title, fontsize=6.5, pad=2)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.97, 0.06, 0.18)
    figure.savefig(path, dpi=100)
    plt.close(figure)
