"""Are everyday categories found? Adjusted Rand index of 60 prompts in 5 categories.

    python benchmarks/clusters.py [--model embedded] [--guidance 1] [--draws 4]

Spectral clustering on the kernel and agglomerative clustering and HDBSCAN on the distance, next to
the same clusterings on the cosine of the model's own text-encoder features, and to the expected
score of shuffled labels. Prints a Markdown table; nothing is tuned on the labels.
"""

import argparse
import time

import numpy as np
import torch
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, SpectralClustering
from sklearn.metrics import adjusted_rand_score

from conjure_kernel import load_denoiser, pairwise_divergence
from conjure_kernel.method.kernels import jeffreys_kernel, median_bandwidth

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
    options.add_argument("--draws", type=int, default=4)
    options.add_argument("--cache", default="auto")
    given = options.parse_args()
    prompts = [word for words in CATEGORIES.values() for word in words.split()]
    labels = np.repeat(np.arange(len(CATEGORIES)), 12)
    start = time.perf_counter()
    model = load_denoiser(given.model)
    measured = pairwise_divergence(
        prompts,
        model=model,
        guidance_scale=given.guidance,
        n_draws=given.draws,
        memory=given.cache,
        verbose=1,
    )
    print(f"{measured.n_evaluations} predictions in {time.perf_counter() - start:.0f} s\n")
    text = text_distances(model, prompts)
    rng = np.random.default_rng(0)
    print("| clustering | images, J | text encoder, cosine | shuffled labels (mean, 95 % below) |")
    print("|---|---|---|---|")
    for name, cluster in METHODS.items():
        found = cluster(measured.values)
        chance = [adjusted_rand_score(rng.permutation(labels), found) for _ in range(1000)]
        row = [adjusted_rand_score(labels, found), adjusted_rand_score(labels, cluster(text))]
        low = f"{np.mean(chance):.3f}, {np.quantile(chance, 0.95):.3f}"
        print(f"| {name} | {row[0]:.3f} | {row[1]:.3f} | {low} |")


def text_distances(model, prompts):
    """Squared distances 2 (1 - cosine) of the mean text-encoder features, without the padding."""
    tokenizer, encoder = model.pipeline.tokenizer, model.pipeline.text_encoder
    tokens = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
    with torch.no_grad():
        hidden = encoder(input_ids=tokens.input_ids.to(encoder.device)).last_hidden_state.cpu()
    mask = tokens.attention_mask.clone()
    mask[:, 0] = 0
    mask[torch.arange(len(mask)), tokens.attention_mask.sum(1) - 1] = 0  # the end token
    features = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    unit = torch.nn.functional.normalize(features, dim=1).double().numpy()
    distances = np.clip(2 - 2 * unit @ unit.T, 0, None)
    np.fill_diagonal(distances, 0)
    return distances


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
    "SpectralClustering on exp(-J / median)": spectral,
    "AgglomerativeClustering (average) on sqrt(J)": agglomerative,
    "HDBSCAN (4, 1) on sqrt(J)": hdbscan,
}


if __name__ == "__main__":
    main()
