"""
Which prompts does a model picture alike?
=========================================

Sixteen prompts, all pairs of them: the matrix of divergences with its tree, and a map on which
prompts lie where their distances resemble the matrix. The images are the ends of the very
trajectories that were measured.
"""

from conjure_kernel import ConjureDistance
from conjure_kernel.plot import plot_overview

MODEL = "embedded"  # or a hub id, or a folder made by save_pretrained

PROMPTS = ["dog", "cat", "lion", "tiger", "strawberry", "tomato", "lemon", "orange"]
PROMPTS += ["car", "bus", "truck", "ambulance", "guitar", "violin", "sun", "moon"]

distance = ConjureDistance(MODEL, n_draws=2).fit(PROMPTS)
images = distance.conjure_images()[:, 0]

# %%
# Dark cells are pairs that the model pictures alike. Every number has a standard error; the largest
# here, relative to its divergence:

relative = distance.standard_errors_ / (distance.divergences_ + (distance.divergences_ == 0))
print(f"{relative.max():.0%}")

# %%
# The stress above the map says how much of the matrix does not fit into two dimensions; at 0 all of
# it would fit. Where matrix and map disagree, trust the matrix. Animals, vehicles, fruit and
# instruments lie together. The moon, half of it yellow, lies with the lemon and not with the sun,
# and the car, whose picture is the vaguest, is near to most.

figure = plot_overview(
    distance.divergences_, PROMPTS, images, standard_errors=distance.standard_errors_
)
