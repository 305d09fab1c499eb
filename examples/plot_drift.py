"""
Does erasing one concept touch its neighbours?
==============================================

A copy of the model is edited so that "strawberry" conjures a lemon. The drift of a prompt is J
between model and copy under that prompt. It has a standard error, so prompts can be ranked by how
much the edit changed them. The edit holds three of the prompts below in place, and is told nothing
of three others.
"""

import copy

import torch

from conjure_kernel import ConjureDrift, load_denoiser
from conjure_kernel.plot import plot_drift

MODEL = "embedded"  # or a hub id, or a folder, of a Stable Diffusion

ERASED, INSTEAD = "strawberry", "lemon"
HELD = ["tomato", "dog", "car"]
PROMPTS = [ERASED, INSTEAD, *HELD, "red apple", "cherries", "moon"]

# %%
# The edit is the closed form of Gandikota et al. (2024), "Unified concept editing in diffusion
# models": where the network reads the text, one matrix takes the vectors of the erased prompt to
# those of the other, and leaves the vectors of held ones alone as well as least squares can.

model = load_denoiser(MODEL, dtype="float32", device="cpu").load()


@torch.no_grad()
def read(*texts):
    return model.pipeline.encode_prompt(list(texts), "cpu", 1, False)[0].flatten(0, 1)


old, new, held = read(ERASED), read(INSTEAD), read(*HELD)
unit = torch.eye(old.shape[1])
gram = old.T @ old + held.T @ held + 0.1 * unit
edit = unit + (new - old).T @ old @ torch.linalg.inv(gram)

edited = copy.copy(model.pipeline)
edited.unet = copy.deepcopy(model.pipeline.unet)
for name, layer in edited.unet.named_modules():
    if name.endswith(("attn2.to_k", "attn2.to_v")):
        layer.weight.data = layer.weight.data @ edit

# %%
# Each model predicts along the other's trajectories. Prompts that the edit did not touch have a
# drift near 0.

drift = ConjureDrift(model, edited).fit(PROMPTS)
for row in drift.ranking().rows:
    print("{prompt:11}{divergence:6.2f} ± {standard_error:.2f}".format(**row))

# %%
# Model and copy start from the same noise. The strawberry has become a lemon, and the prompts that
# were held are as they were. Red apple and cherries, of which the edit was told nothing, drift two
# fifths as far, and the apple turns green and yellow. The lemon and the moon, which were not held
# either, drift a tenth as far.

figure = plot_drift(drift, names=("the model", "its edited copy"))
