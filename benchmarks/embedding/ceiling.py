"""How well can any pool rank pairs as J does?

    python benchmarks/embedding/ceiling.py

Asks each of 100 of the 200 prompts of agreement.py along one chain of every one of them, without a
sketch: the pooled divergence of any of these chains is a mean over them, and of a pair's own two it
is J of one draw. Spearman of the former with the latter over all pairs, for random pools of more
and more chains and for all 100, and at single noise levels for all of them. 100,000 predictions and
2 GB. Appends to benchmarks/results/ceiling.csv.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))
from agreement import mix

from _results import append_row
from conjure_kernel import load_denoiser
from conjure_kernel.method.reverse import ChainSettings

CHAINS = [1, 2, 4, 8, 16, 32, 64]
REPEATS = 20  # random pools of each size


def main() -> None:
    denoiser, prompts = load_denoiser("embedded").load(), some_of_each(mix())
    a, b = np.triu_indices(len(prompts), 1)
    gaps, pairs = measure_gaps(denoiser, prompts)[..., a, b], np.arange(len(a))
    own = (gaps[:, a, pairs] + gaps[:, b, pairs]) / 2
    random, found = np.random.default_rng(0), {}
    for n in CHAINS:
        pools = [random.choice(len(prompts), n, replace=False) for _ in range(REPEATS)]
        found[n] = [rank(gaps[:, pool].mean(1).sum(0), own.sum(0)) for pool in pools]
    found[len(prompts)] = [rank(gaps.mean(1).sum(0), own.sum(0))]
    for chains, ranks in found.items():
        row = {"chains": chains, "spearman": round(float(np.mean(ranks)), 4)}
        row |= {"deviation": round(float(np.std(ranks)), 4)}
        print(row, flush=True)
        append_row("ceiling", denoiser, **row)
    levels = [rank(*pair) for pair in zip(gaps.mean(1), own, strict=True)]
    print("at single levels, all of them:", np.round(levels, 2))


def some_of_each(prompts):
    """100 of the 200: names, coloured things, counts and backgrounds."""
    return prompts[:50] + prompts[110:126] + prompts[140:157] + prompts[170:187]


def measure_gaps(denoiser, prompts):
    """Weighted ||eps_a - eps_b||^2 at a chain of each prompt c: (T, n, n, n), axes t, c, a, b."""
    grid = denoiser.make_grid(10, substeps=2)
    chains = [denoiser.trace([prompt], [0], ChainSettings(grid))[0] for prompt in tqdm(prompts)]
    x = torch.stack([chain.x[0] for chain in chains], 1)
    with torch.no_grad():
        eps = [denoiser.predict_eps([p], x, grid).flatten(2).cpu() for p in tqdm(prompts)]
    eps = torch.stack(eps, 2)  # (T, c, a, D)
    gaps = torch.cdist(eps, eps, compute_mode="donot_use_mm_for_euclid_dist").square()
    return gaps.numpy() * grid.weights("jeffreys")[:, None, None, None]


def rank(a, b):
    return spearmanr(a, b)[0]


if __name__ == "__main__":
    main()
