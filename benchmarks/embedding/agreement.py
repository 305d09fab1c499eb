"""Does the embedding rank pairs as J does, does it find the neighbours, and is its kernel positive?

    python benchmarks/embedding/agreement.py [--draws 4] [--cache FOLDER]

On 200 names, coloured things, counts and backgrounds: the whole matrix of J; Spearman of squared
distances with it over all pairs, for several pool sizes and lengths of the vector, with what a
prompt costs; recall of each prompt's ten nearest: of those by the whole matrix of one draw in what
`ConjureNeighbors` finds with that draw, which tells what the candidates lose, and of those by all
draws with one draw of another seed, to which its noise is added, with the predictions spent;
smallest eigenvalues of exp(-squared distance / median) and of exp(-J / median). Appends to
benchmarks/results/agreement.csv and neighbours.csv.
"""

import argparse
import random
import re
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from sklearn.neighbors import NearestNeighbors

sys.path.insert(0, str(Path(__file__).parents[1]))
from _results import append_row
from conjure_kernel import ConjureEmbedding, ConjureNeighbors, load_denoiser, pairwise_divergence

COLOURS = "red orange yellow green blue purple brown pink black white".split()
POOLS = [(4, 8, 1024), (16, 4, 1024), (16, 8, 1024), (16, 16, 1024), (64, 8, 1024)]
LENGTHS = [(16, 8, 128), (16, 8, 256), (16, 8, 512), (16, 8, 2048), (16, 8, None)]
K = 10  # neighbours


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--draws", type=int, default=4)
    options.add_argument("--cache", default="auto")
    given = options.parse_args()
    prompts, denoiser = mix(), load_denoiser("embedded")
    fixed = {"model": denoiser, "memory": given.cache, "verbose": 1}
    exact = pairwise_divergence(prompts, n_draws=given.draws, **fixed)
    upper = np.triu_indices(len(prompts), 1)
    noise = reliability(exact.draws[upper]) if given.draws > 1 else np.nan
    print(f"J with itself, other draws: Spearman {noise:.3f}", flush=True)
    for n_references, n_points, n_components in POOLS + LENGTHS:
        sizes = {"n_references": n_references, "n_points": n_points}
        sizes |= {"n_components": n_components, "n_blocks": min(8, n_points)}
        model = ConjureEmbedding(**fixed, **sizes)
        squares = pdist(model.fit_transform(prompts).astype(float), "sqeuclidean")
        row = {
            **sizes,
            "per_prompt": 10 * n_points,
            "spearman": round(float(spearmanr(squares, exact.values[upper])[0]), 4),
            "ratio": round(float(np.median(squares / exact.values[upper])), 3),
            "reliability_of_j": round(float(noise), 4),
        }
        print(row, flush=True)
        append_row("agreement", denoiser, **row)
    vectors = ConjureEmbedding(**fixed).fit_transform(prompts).astype(float)
    find_neighbors(exact, prompts, vectors, fixed)
    for name, matrix in (
        ("squared distances", squareform(pdist(vectors, "sqeuclidean"))),
        ("J", exact.values),
    ):
        values = np.linalg.eigvalsh(np.exp(-matrix / np.median(matrix[upper])))
        print(f"exp(-{name} / median): smallest eigenvalue {values[0] / values[-1]:.2e} relative")


def reliability(draws):
    """Spearman that J of all draws has with J of as many others, by Spearman and Brown."""
    half = draws.shape[1] // 2
    rho = spearmanr(draws[:, :half].mean(1), draws[:, half:].mean(1))[0]
    return 2 * rho / (1 + rho)


def find_neighbors(exact, prompts, vectors, fixed):
    """Recall of the nearest by one draw, and by all of them under another seed."""
    wholes = {"one draw": exact.draws[..., 0], "all draws": exact.values}
    search, sizes = NearestNeighbors().fit(vectors), (K, 2 * K, 3 * K, 5 * K)
    candidates = {n: search.kneighbors(n_neighbors=n, return_distance=False) for n in sizes}
    for seed, (name, whole) in enumerate(wholes.items()):
        true = nearest(whole, K)
        for n, near in candidates.items():
            print(f"{recall(true, near):.3f} of the nearest by {name} are among {n} candidates")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model = ConjureNeighbors(**fixed, n_neighbors=K, n_draws=1, random_state=seed)
            found = model.fit(prompts).kneighbors()[1]
        row = {
            "truth": name,
            "candidates": 5 * K,
            "recall": round(recall(true, found), 3),
            "pairs": model.divergences_.nnz // 2,
            "predictions": model.n_evaluations_,  # what the cache does not know
            "whole_matrix": len(prompts) ** 2 * 10 + len(prompts) * 10,  # one draw, 20 steps
        }
        print(row, flush=True)
        append_row("neighbours", fixed["model"], **row)


def nearest(matrix, k):
    """The k nearest others of each row."""
    return np.argsort(matrix + np.diag(np.full(len(matrix), np.inf)), axis=1)[:, :k]


def recall(true, found):
    """Share of the true neighbours that are found."""
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(true, found, strict=True)]))


def mix():
    """200 names, coloured things, counts and backgrounds of what the model was trained on."""
    lines = (Path(__file__).parents[2] / "training" / "concepts.txt").read_text().splitlines()
    items = [
        item for line in lines if line[:1] != "#" for item in line.partition("|")[2].split(";")
    ]
    names = [re.split("[>=]", item.strip())[0].strip().lower() for item in items]
    names = list(dict.fromkeys(name for name in names if name.isascii() and name))
    choose = random.Random(0)
    choose.shuffle(names)
    prompts = names[:110] + [f"a {choose.choice(COLOURS)} {name}" for name in names[110:140]]
    counts = [*("two", "three", "four")] * 10
    prompts += [f"{n} {name}s" for n, name in zip(counts, names[140:170], strict=True)]
    backgrounds = [f"a {name} on a {choose.choice(COLOURS)} background" for name in names[170:200]]
    return prompts + backgrounds


if __name__ == "__main__":
    main()
