"""Are known groups of prompts found? Adjusted Rand index (ARI) and purity, as Markdown tables.

    python benchmarks/clusters.py [--model embedded] [--guidance 1] [--draws 2]
    python benchmarks/clusters.py --choose [--sets words kinds hypernyms colours forms]

The first: 60 prompts in 5 categories, and methods that are told the number. Spectral clustering on
a kernel, and agglomerative clustering and HDBSCAN on a distance: of J, of R (relative to the empty
prompt), of the cosine of vectors seen from the empty prompt, and of the cosine of the model's own
text-encoder features, beside the expected score of shuffled labels.

The second: methods that choose the number themselves, on five sets of prompts, from vectors. The
first two rows are what maps did before `find_clusters`. Purity is the share of prompts that are of
the commonest kind of their cluster. A prompt in no cluster is wrong in the purity, and a cluster of
its own in the ARI. The error is the standard deviation over 20 random halves of the prompts (a
delete-half jackknife). The neighbours and steps of `find_clusters` were chosen on three of the sets
(words, kinds, hypernyms), from values that hardly differed; nothing else is tuned on the labels.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import (
    HDBSCAN,
    AffinityPropagation,
    AgglomerativeClustering,
    KMeans,
    SpectralClustering,
)
from sklearn.metrics import adjusted_rand_score, euclidean_distances, silhouette_score

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `training`

from _results import markdown
from conjure_kernel import ConjureEmbedding, find_clusters, load_denoiser, pairwise_divergence
from conjure_kernel.method.kernels import jeffreys_kernel, median_bandwidth
from conjure_kernel.models.pretrained.text_encoders import text_features
from training.art import read_concepts
from training.scenes import with_article

CATEGORIES = {
    "animals": "dog cat horse cow pig rabbit lion elephant penguin owl duck monkey",
    "food": "apple banana strawberry tomato carrot pizza hamburger cake bread cheese lemon grapes",
    "vehicles": "car bus truck train bicycle motorcycle airplane helicopter rocket sailboat "
    "ship taxi",
    "clothes": "shirt dress shoe boot hat jeans coat sock scarf gloves kimono sandal",
    "buildings": "house castle church hospital school bank hotel factory stadium mosque tower hut",
}


MERGED = {
    "animal": "animals",
    "fruit": "fruit and vegetables",
    "vegetable": "fruit and vegetables",
    "vehicle": "vehicles",
    "boat": "vehicles",
    "aircraft": "vehicles",
    "clothing": "clothes",
    "shoe": "clothes",
    "building": "buildings",
}
COLOURS = "red green blue yellow purple pink black brown".split()
THINGS = "apple car dress house cat bird flower hat chair ball boat fish".split()
FORMED = (
    "dog lion elephant owl duck shark frog spider apple banana tomato carrot pizza cake guitar "
    "violin drum car bus bicycle airplane rocket sailboat castle church tent shirt dress boot hat "
    "umbrella rose cactus volcano rainbow moon hammer key candle camera"
).split()


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--model", default="embedded")
    options.add_argument("--guidance", type=float, default=1.0)
    options.add_argument("--draws", type=int, default=2)
    options.add_argument("--cache", default="auto")
    options.add_argument("--choose", action="store_true", help="methods choose the number")
    options.add_argument("--sets", nargs="+", choices=list(name_sets()), default=list(name_sets()))
    given = options.parse_args()
    choosing(given) if given.choose else told_the_number(given)


def told_the_number(given) -> None:
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
        "its own text encoder, 1 - cosine": distances_of(text_features(model.pipeline, prompts)),
    }
    rng = np.random.default_rng(0)
    rows, shuffled = [], []
    for name, cluster in METHODS.items():
        found = [cluster(matrix) for matrix in squares.values()]
        chance = [adjusted_rand_score(rng.permutation(labels), found[0]) for _ in range(1000)]
        rows.append([name, *(f"{adjusted_rand_score(labels, one):.3f}" for one in found)])
        shuffled.append(f"{np.mean(chance):.3f}, 95 % below {np.quantile(chance, 0.95):.3f}")
    print(
        f"{markdown(['clustering of', *squares], rows)}\n\nShuffled labels: {'; '.join(shuffled)}"
    )
    count = {name: largest_hub(matrix) for name, matrix in squares.items()}
    print("\nMost prompts that have one prompt among their nearest 10: ", end="")
    print(", ".join(f"{n} ({name})" for name, n in count.items()))


def name_sets():
    """Name of each set: prompts, and one or two lists of labels."""
    kind_of = {}
    for names, hypernyms in read_concepts().values():
        if short := [name for name in names if " " not in name]:
            kind_of.setdefault(short[0], hypernyms[0])
    count = Counter(kind_of.values())
    kinds = {name: MERGED[kind] for name, kind in kind_of.items() if kind in MERGED}
    hypernyms = {name: kind for name, kind in kind_of.items() if count[kind] >= 10}
    words = {word: kind for kind, words in CATEGORIES.items() for word in words.split()}
    painted = [(colour, thing) for colour in COLOURS for thing in THINGS]
    formed = {}
    for word in FORMED:
        a = with_article(word)
        for prompt in (word, a, f"a photo of {a}", f"a small {word}", f"two {word}s"):
            formed[prompt] = word
    return {
        "words": (list(words), {"kind": list(words.values())}),
        "kinds": (list(kinds), {"kind": list(kinds.values())}),
        "hypernyms": (list(hypernyms), {"hypernym": list(hypernyms.values())}),
        "colours": (
            [f"a {colour} {thing}" for colour, thing in painted],
            {"colour": [c for c, _ in painted], "thing": [t for _, t in painted]},
        ),
        "forms": (list(formed), {"thing": list(formed.values())}),
    }


def choosing(given) -> None:
    """A table for each set: methods that choose the number, by space."""
    model = load_denoiser(given.model)
    names, page = ["method"], {method: [] for method in CHOOSING}
    for name in given.sets:
        prompts, labellings = name_sets()[name]
        embedding = ConjureEmbedding(
            model, origin="empty", guidance_scale=given.guidance, memory=given.cache
        )
        vectors = embedding.fit_transform(prompts).astype(float)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        apart = euclidean_distances(vectors)
        spaces = {
            "sqrt(J)": apart,
            "sqrt(R)": apart / np.sqrt(lengths * lengths.T),
            "cosine": np.sqrt(2 * distances_of(vectors / lengths)),
            "text encoder": np.sqrt(2 * distances_of(text_features(model.pipeline, prompts))),
        }
        for by, labels in labellings.items():
            kinds = np.unique(labels, return_inverse=True)[1]
            print(f"\n{name}: {len(prompts)} prompts, {kinds.max() + 1} groups by {by}; ", end="")
            print(f"{embedding.n_evaluations_} predictions\n")
            print("| method | " + " | ".join(spaces) + " |\n|---|" + "---|" * len(spaces))
            for method, cluster in CHOOSING.items():
                cells = [cell(cluster, matrix, kinds) for matrix in spaces.values()]
                print(f"| {method} | {' | '.join(cells)} |", flush=True)
                if by == next(iter(labellings)):
                    page[method].append(cells[list(spaces).index("cosine")])
        groups = len({*next(iter(labellings.values()))})
        names.append(f"{name}: {groups} {next(iter(labellings))}s of {len(prompts)}")
    print(f"\nOn the cosine:\n\n{markdown(names, [[m, *found] for m, found in page.items()])}")


def cell(cluster, matrix, kinds, n_halves=20):
    """Text "ARI ± error, purity (clusters)", the error from halves of the prompts."""
    rng = np.random.default_rng(0)
    halves = [rng.permutation(len(kinds))[: len(kinds) // 2] for _ in range(n_halves)]
    error = np.std([scored(cluster(matrix[np.ix_(h, h)]), kinds[h])[0] for h in halves])
    labels = cluster(matrix)
    rand, pure = scored(labels, kinds)
    return f"{rand:.2f} ± {error:.2f}, {pure:.2f} ({labels.max() + 1})"


def scored(labels, kinds):
    """ARI, a prompt in no cluster being one of its own, and purity."""
    alone = np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels)
    common = sum(np.bincount(kinds[labels == c]).max() for c in range(labels.max() + 1))
    return adjusted_rand_score(kinds, alone), common / len(kinds)


def by_silhouette(distances, cuts):
    """The cut of the largest silhouette."""
    cuts = [cut for cut in cuts if 1 < len(set(cut)) < len(cut)]
    scores = [silhouette_score(distances, cut, metric="precomputed") for cut in cuts]
    return cuts[int(np.argmax(scores))] - cuts[0].min()


def linked(method, power=1, most=None):
    """Linkage of the distances to that power, cut at the largest silhouette."""

    def cluster(distances):
        links = linkage(squareform(distances**power, checks=False), method)
        numbers = range(2, (most or round(3 * np.sqrt(len(distances)))) + 1)
        return by_silhouette(distances, [fcluster(links, k, "maxclust") for k in numbers])

    return cluster


def k_means(distances):
    """K-means with 2 to 7 clusters on the principal coordinates of the distances."""
    centred = distances**2 - (distances**2).mean(0)
    values, axes = np.linalg.eigh(-(centred - centred.mean(1, keepdims=True)) / 2)
    places = (axes * np.sqrt(np.clip(values, 0, None)))[:, -100:]
    numbers = range(2, 8)
    cuts = [KMeans(k, n_init=4, random_state=0).fit_predict(places) for k in numbers]
    return by_silhouette(distances, cuts)


def eigengap(distances):
    """Spectral clustering of a graph of 7 nearest neighbours, the number by the eigengap."""
    apart = distances + np.diag(np.full(len(distances), np.inf))
    graph = np.zeros_like(distances)
    np.put_along_axis(graph, apart.argsort(1)[:, :7], 1, 1)
    graph = (graph + graph.T) / 2
    degrees = graph.sum(1)
    values = np.linalg.eigvalsh(graph / np.sqrt(np.outer(degrees, degrees)))[::-1]
    gaps = -np.diff(values[1 : round(3 * np.sqrt(len(graph))) + 1])
    model = SpectralClustering(int(gaps.argmax()) + 2, affinity="precomputed", random_state=0)
    return model.fit_predict(graph)


def affinity_propagation(distances):
    model = AffinityPropagation(affinity="precomputed", random_state=0)
    return model.fit_predict(-(distances**2))


def level(which):
    """One level of `find_clusters`."""

    def cluster(distances):
        prompts = [str(i) for i in range(len(distances))]
        return find_clusters(prompts, distances=distances).levels[which]

    return cluster


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

CHOOSING = {
    "average linkage, silhouette, at most 7": linked("average", most=7),
    "k-means, silhouette, at most 7": k_means,
    "average linkage of squares, silhouette": linked("average", 2),
    "Ward, silhouette": linked("ward"),
    "spectral, eigengap": eigengap,
    "affinity propagation": affinity_propagation,
    "HDBSCAN (4, 1)": lambda d: HDBSCAN(
        metric="precomputed", min_cluster_size=4, min_samples=1, copy=True
    ).fit_predict(d),
    "`find_clusters`, coarse": level(0),
    "`find_clusters`, fine": level(-1),
}


if __name__ == "__main__":
    main()
