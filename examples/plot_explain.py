"""
Where do the meanings of two prompts part?
==========================================

Both prompts are asked at the same noisy points. Where their answers differ, in nats per pixel, is
where the model sees a difference; summed over pixels and noise levels it is the divergence itself.
"""

import numpy as np

from conjure_kernel import explain
from conjure_kernel.plot import plot_explanation

MODEL = "embedded"  # or a hub id, or a folder made by save_pretrained

found = explain("strawberry", "tomato", model=MODEL)
total = found.heat.sum((2, *range(3, found.heat.ndim))).mean()
print(f"J = {found.divergence:.1f} ± {found.standard_error:.1f} nats; all pixels: {total:.1f}")
assert np.isclose(total, found.divergence)

# %%
# Rows of the strip: what each prompt sees on a chain of the other, from much noise on the left to
# little on the right; between them where the answers differ. Below: how much each noise level adds
# to J, and what becomes of the strawberry if the tomato takes over. The two part over the outline
# and the stalk, at middling noise; what comes later is detail that neither disputes.

figure = plot_explanation(found)
