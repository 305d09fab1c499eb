"""
Where do the meanings of two prompts part?
==========================================

The model predicts under both prompts at the same noisy points. Where its predictions differ, in
nats per pixel, the prompts mean different things; the sum over pixels and noise levels is J itself.
"""

import numpy as np

from conjure_kernel import explain
from conjure_kernel.plot import plot_explanation

MODEL = "embedded"  # or a hub id, or a folder made by save_pretrained

explanation = explain("strawberry", "tomato", model=MODEL)
heat = explanation.heat  # legs, draws, noise levels, then pixels
total = heat.sum((2, *range(3, heat.ndim))).mean()
J, error = explanation.divergence, explanation.standard_error
print(f"J = {J:.1f} ± {error:.1f} nats; all pixels: {total:.1f}")
assert np.isclose(total, J)

# %%
# The rows of the strip show what the model sees under each prompt on a chain of the other, from
# much noise on the left to little on the right, and between them where the predictions differ.
# Below is how much each noise level adds to J, and what becomes of the strawberry if the tomato
# takes over. In strong noise the two differ in the outline and in the green on top; later the model
# sees the same fruit under both, and the nats are spread over most pixels.

figure = plot_explanation(explanation)
