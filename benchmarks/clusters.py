"""Are everyday categories found? Adjusted Rand index of 60 prompts in 5 categories.

    python benchmarks/clusters.py [--model embedded] [--guidance 1] [--draws 2]

Spectral clustering on a kernel, and agglomerative clustering and HDBSCAN on a distance: of J, of R
(relative to the empty prompt), of the cosine of vectors seen from the empty prompt, and of the
cosine of the model's own text-encoder features, beside the expected score of shuffled labels.
Prints a Markdown table; nothing is tuned on the labels.
"""

import argparse
import time

import numpy as np
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, SpectralClustering
from sklearn.metrics import adjusted_rand_score

from conjure_kernel import ConjureEmbedding, load_denoiser, pairwise_divergence
from conjure_kernel.method.kernels import jeffreys_kernel, median_bandwidth
from conjure_kernel.models.pretrained.text_encoders import text_features

CATEGORIES = {
    "animals": "dog cat horse cow pig rabbit lion elephant penguin owl duck monkey",
    "food": "apple banana strawberry tomato carrot pizza hamburger cake bread cheese lemon grapes",
    "vehicles": "car bus truck train bicycle motorcycle airplane helicopter rocket sailboat "
    "ship taxi",
    "clothes": "shirt dress shoe boot hat jeans coat sock scarf gloves kimono sandal",
    "buildings": "house castle church hospital school bank hotel factory stadium mosque tower hut",
}


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--model", default="embedded")
    options.add_argument("--guidance", type=float, default=1.0)
    options.add_argument("--draws", type=int, default=2)
    options.add_argument("--cache", default="auto")
    given = options.parse_args()
    prompts = [word for words in CATEGORIES.values() for word in words.split()]
    labels = np.repeat(np.arange(len(CATEGORIES)), 12)
    start = time.perf_counter()
    model = load_denoiser(given.model)
    settings = {"guidance_scale": given.guidance, "memory": given.cache, "verbose": 1}
    relative = pairwise_divergence(
        prompts, model=model, n_draws=given.draws, origin="empty", **settings
    )
    vectors = ConjureEmbedding(model, origin="empty", normalize=True, **settings)
    unit = vectors.fit_transform(prompts).astype(float)
    spent = relative.n_evaluations + vectors.n_evaluations_
    print(f"{spent} predictions in {time.perf_counter() - start:.0f} s\n")
    squares = {
        "J": relative.pairs.values,
        "R": relative.values,
        "1 - cosine": distances_of(unit),
        "text encoder, 1 - cosine": distances_of(text_features(model.pipeline, prompts)),
    }
    rng = np.random.default_rng(0)
    names = [*squares, "shuffled labels (mean, 95 % below)"]
    print(f"| clustering | {' | '.join(names)} |")
    print("|---|" + "---|" * len(names))
    for name, cluster in METHODS.items():
        found = [cluster(matrix) for matrix in squares.values()]
        chance = [adjusted_rand_score(rng.permutation(labels), found[0]) for _ in range(1000)]
        row = [f"{adjusted_rand_score(labels, one):.3f}" for one in found]
        low = f"{np.mean(chance):.3f}, {np.quantile(chance, 0.95):.3f}"
        print(f"| {name} | {' | '.join(row)} | {low} |")
    count = {name: largest_hub(matrix) for name, matrix in squares.items()}
    print("\nMost prompts that have one prompt among their nearest 10: ", end="")
    print(", ".join(f"{n} ({name})" for name, n in count.items()))


def distances_of(unit):
    """1 - cosine of rows of length 1."""
    distances = np.clip(1 - unit @ unit.T, 0, None)
    np.fill_diagonal(distances, 0)
    return distances


def largest_hub(matrix, n_neighbors=10):
    """The largest number of rows that have one column among their nearest."""
    apart = matrix + np.diag(np.full(len(matrix), np.inf))
    return int(np.bincount(apart.argsort(1)[:, :n_neighbors].ravel()).max())


def spectral(divergences):
    kernel = jeffreys_kernel(divergences, median_bandwidth(divergences))
    model = SpectralClustering(len(CATEGORIES), affinity="precomputed", random_state=0)
    return model.fit_predict(kernel)


def agglomerative(divergences):
    model = AgglomerativeClustering(len(CATEGORIES), metric="precomputed", linkage="average")
    return model.fit_predict(np.sqrt(divergences))


def hdbscan(divergences):
    model = HDBSCAN(metric="precomputed", min_cluster_size=4, min_samples=1, copy=True)
    return model.fit_predict(np.sqrt(divergences))


METHODS = {
    "SpectralClustering on exp(-D / median)": spectral,
    "AgglomerativeClustering (average) on sqrt(D)": agglomerative,
    "HDBSCAN (4, 1) on sqrt(D)": hdbscan,
}


if __name__ == "__main__":
    main()
