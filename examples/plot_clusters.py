"""
Can clusters of prompts be found from their pictures alone?
===========================================================

Texts go in and labels come out: the estimator is the first step of a scikit-learn ``Pipeline``, and
after it comes any method that takes a precomputed kernel. The sixteen prompts belong to five kinds;
the pipeline is told how many there are, and nothing else.
"""

import numpy as np
from matplotlib import pyplot as plt
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline

from conjure_kernel import ConjureDistance, find_clusters

MODEL = "embedded"  # or a hub id, or a folder made by save_pretrained

KINDS = {
    "animals": ["dog", "cat", "lion", "tiger"],
    "fruit": ["strawberry", "tomato", "lemon", "orange"],
    "vehicles": ["car", "bus", "truck", "ambulance"],
    "instruments": ["guitar", "violin"],
    "sky": ["sun", "moon"],
}
PROMPTS = [prompt for kind in KINDS.values() for prompt in kind]
TRUTH = [kind for kind, prompts in KINDS.items() for _ in prompts]

# %%
# ``affinity="precomputed"`` is needed: left out, SpectralClustering builds a kernel of its own on
# the rows of what it is given.

pipeline = make_pipeline(
    ConjureDistance(MODEL, n_draws=2, output="kernel", psd="clip"),
    SpectralClustering(len(KINDS), affinity="precomputed", random_state=0),
)
clusters = pipeline.fit_predict(PROMPTS)
for cluster in range(len(KINDS)):
    print(", ".join(np.array(PROMPTS)[clusters == cluster]))

# %%
# The adjusted Rand index is 1 if clusters and kinds are the same, and 0 on average by chance.
# Beside it, as a control, the index of 1,000 shuffles of the same labels.

score = adjusted_rand_score(TRUTH, clusters)
rng = np.random.default_rng(0)
shuffled = [adjusted_rand_score(TRUTH, rng.permutation(clusters)) for _ in range(1000)]

_, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.hist(shuffled, bins=30, color="#85858f", label="shuffled labels")
ax.axvline(score, color="#0e6096", lw=2, label=f"pipeline: {score:.2f}")
ax.set(xlabel="adjusted Rand index", ylabel="shuffles")
ax.legend()
plt.show()

# %%
# The five kinds are found. The sun and the moon are not drawn alike; theirs is what the others
# leave.

# %%
# Nothing needs to be told: ``find_clusters`` chooses the number, says which prompts belong to none,
# and names the clusters, here by the kinds, which it is given for names alone. Two instruments are
# too few for it, as is the sky: it joins each of so few prompts with four others. So the moon comes
# to the fruit and the violin to the car, and two prompts belong to no cluster.

found = find_clusters(
    PROMPTS,
    distances=pipeline[0].divergences_,
    hypernyms=dict(zip(PROMPTS, TRUTH, strict=True)),
)
print(found)
for cluster, name in enumerate(found.names[0]):
    print(f"{name}:", ", ".join(np.array(PROMPTS)[found.levels[0] == cluster]))
