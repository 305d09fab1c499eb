"""
Can a rating be told from the pictures that a prompt evokes?
============================================================

Kernel regression on single prompts: the kernel compares their pictures, the target is a rating of
each. **The ratings here are our own**, written down for this example from 0 ("nobody eats it") to
10 ("food"); put yours in their place.
"""

import numpy as np
from matplotlib import pyplot as plt
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from conjure_kernel import ConjureDistance

MODEL = "embedded"  # or a hub id, or a folder made by save_pretrained

OWN_RATINGS = {
    **{"dog": 0, "cat": 0, "lion": 0, "tiger": 0, "chicken": 7, "fish": 8, "shrimp": 8},
    **{"strawberry": 10, "tomato": 10, "lemon": 8, "orange": 10, "banana": 10, "cake": 10},
    **{"car": 0, "bus": 0, "truck": 0, "guitar": 0, "violin": 0, "sun": 0, "mushroom": 7},
}
prompts, ratings = np.array(list(OWN_RATINGS)), np.array(list(OWN_RATINGS.values()), float)

# %%
# The estimator is inside the pipeline, so in every fold the columns are the prompts that were
# learnt from, and none of those that are predicted.

pipeline = make_pipeline(
    ConjureDistance(MODEL, n_draws=2, output="kernel", psd="clip"),
    KernelRidge(alpha=0.1, kernel="precomputed"),
)
folds = KFold(5, shuffle=True, random_state=0)
predicted = cross_val_predict(pipeline, prompts, ratings, cv=folds)
r = np.corrcoef(ratings, predicted)[0, 1]

# %%
# As a control the same is done on shuffled ratings, twenty times; all of it reads the cache.

rng = np.random.default_rng(0)
control = []
for _ in range(20):
    shuffled = rng.permutation(ratings)
    guess = cross_val_predict(pipeline, prompts, shuffled, cv=folds)
    control.append(np.corrcoef(shuffled, guess)[0, 1])
print(f"correlation {r:.2f}; shuffled ratings: {np.mean(control):.2f}, largest {max(control):.2f}")

order = np.lexsort((predicted, ratings))
places = np.arange(len(prompts))
_, ax = plt.subplots(figsize=(6, 4.6), layout="constrained")
ax.hlines(places, predicted[order], ratings[order], color="#b8b8c0", lw=1)
ax.plot(ratings[order], places, "s", color="#c2571a", label="our rating")
ax.plot(predicted[order], places, "o", color="#0e6096", label="predicted, not having seen it")
ax.set_yticks(places, prompts[order])
ax.set_title(f"Is it food? Correlation {r:.2f}", loc="left")
ax.legend()
plt.show()

# %%
# Food is predicted above the other things: fruit looks like fruit. Only the mushroom, which looks
# like nothing else that is eaten here, is below the dog and the guitar.
