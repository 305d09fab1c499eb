"""Does the embedding rank pairs as J does, does it find the neighbours, and is its kernel positive?

    python benchmarks/embedding/agreement.py [--prompts 200] [--draws 4] [--cache FOLDER]

On a mix of names, coloured things, counts and backgrounds: the whole matrix of J, n_draws draws;
Spearman of squared distances with it over all pairs, for several pool sizes and lengths of the
vector, with what a prompt costs; recall of each prompt's ten nearest by J among the neighbours that
`ConjureNeighbors` finds with one draw, and the predictions that it spends; smallest eigenvalues of
exp(-squared distance / median) and of exp(-J / median). Appends to
benchmarks/results/agreement.csv.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parents[1]))
from _results import WORDS, append_row
from conjure_kernel import ConjureEmbedding, ConjureNeighbors, load_denoiser, pairwise_divergence

COLOURS = "red orange yellow green blue purple brown pink black white".split()
POOLS = [(4, 8, 1024), (16, 4, 1024), (16, 8, 1024), (16, 16, 1024), (64, 8, 1024)]
LENGTHS = [(16, 8, 128), (16, 8, 256), (16, 8, 512), (16, 8, 2048), (16, 8, None)]
K = 10  # neighbours


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--prompts", type=int, default=200)
    options.add_argument("--draws", type=int, default=4)
    options.add_argument("--cache", default="auto")
    given = options.parse_args()
    prompts, denoiser = mix(given.prompts), load_denoiser("embedded")
    fixed = {"model": denoiser, "memory": given.cache, "verbose": 1}
    exact = pairwise_divergence(prompts, n_draws=given.draws, **fixed)
    upper = np.triu_indices(len(prompts), 1)
    noise = reliability(exact.draws[upper])
    print(f"J with itself, other draws: Spearman {noise:.3f}", flush=True)
    for n_references, n_points, n_components in POOLS + LENGTHS:
        sizes = {"n_references": n_references, "n_points": n_points}
        sizes |= {"n_components": n_components, "n_blocks": min(8, n_points)}
        model = ConjureEmbedding(**fixed, **sizes)
        squares = pdist(model.fit_transform(prompts).astype(float), "sqeuclidean")
        row = {
            **sizes,
            "per_prompt": 10 * n_points,
            "spearman": round(spearmanr(squares, exact.values[upper])[0], 4),
            "ratio": round(float(np.median(squares / exact.values[upper])), 3),
            "reliability_of_j": round(noise, 4),
        }
        print(row, flush=True)
        append_row("agreement", denoiser, **row)
    find_neighbours(exact.values, prompts, fixed)
    vectors = ConjureEmbedding(**fixed).fit_transform(prompts).astype(float)
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


def find_neighbours(exact, prompts, fixed):
    """Recall of the true neighbours by J."""
    apart = exact + np.diag(np.full(len(exact), np.inf))
    true = np.argsort(apart, axis=1)[:, :K]
    whole = len(prompts) ** 2 * 10 + len(prompts) * 10  # one draw, twice as many steps
    for n_candidates in (K, 3 * K, 5 * K):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model = ConjureNeighbors(
                **{**fixed, "memory": None}, n_neighbors=K, n_candidates=n_candidates, n_draws=1
            ).fit(prompts)
        _, found = model.kneighbors()
        candidates = [set(model.divergences_[i].indices) for i in range(len(prompts))]
        row = {
            "candidates": n_candidates,
            "recall": round(recall(true, found), 3),
            "among_candidates": round(recall(true, candidates), 3),
            "predictions": model.n_evaluations_,
            "whole_matrix": whole,
        }
        print(row, flush=True)
        append_row("neighbours", fixed["model"], **row)


def recall(true, found):
    """Share of the true neighbours that are found."""
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(true, found, strict=True)]))


def mix(n):
    """Names, coloured things, counts and backgrounds, in equal parts but for more names."""
    random = np.random.default_rng(0)
    every = [f"a {word}" for word in WORDS[: n // 2]]
    for i, word in enumerate(random.permutation(WORDS)[: n - len(every)]):
        colour = random.choice(COLOURS)
        kinds = (f"a {colour} {word}", f"three {word}", f"a {word} on a {colour} background")
        every.append(kinds[i % 3])
    return every


if __name__ == "__main__":
    main()
