"""What does the race of candidates save? Recall of the ten nearest, and predictions.

    python benchmarks/embedding/race.py [--prompts 60] [--draws 8] [--truth 8] [--model embedded]

The truth is J of the whole matrix from later draws than those of the estimates. For each number of
draws: recall of each prompt's ten nearest among 50 candidates, and predictions from an empty cache
beside the vectors', if all candidates get them, and if those drop out whose interval says so.
`--model gaussian` measures a closed-form world in eight dimensions, whose J is known.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from agreement import K, mix, nearest, recall

from _results import append_row
from conjure_kernel import (
    ConjureEmbedding,
    ConjureNeighbors,
    GaussianDenoiser,
    load_denoiser,
    pairwise_divergence,
)
from conjure_kernel.estimators import candidates, race


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--prompts", type=int, default=60)
    options.add_argument("--draws", type=int, default=8)
    options.add_argument("--truth", type=int, default=8)
    options.add_argument("--model", default="embedded")
    options.add_argument("--cache", default="auto")
    given = options.parse_args()
    warnings.simplefilter("ignore")
    if given.model == "gaussian":
        prompts, model = gaussians(given.prompts)
    else:
        prompts, model = mix()[: given.prompts], load_denoiser(given.model)
    fixed = {"model": model, "memory": None if given.model == "gaussian" else given.cache}
    whole = pairwise_divergence(prompts, n_draws=given.draws + given.truth, **fixed)
    true = nearest(whole.draws[..., given.draws :].mean(-1), K)
    if given.model == "gaussian":
        exact = [[exact_of(model, a, b, whole) for b in prompts] for a in prompts]
        true = nearest(np.array(exact), K)
    near = ConjureEmbedding(**fixed).fit_transform(prompts)
    near = candidates.find_candidates(near, min(5 * K, len(prompts) - 1))
    print("| draws | recall, all | predictions | recall, race | predictions |")
    print("|--:|--:|--:|--:|--:|")
    for n_draws in range(2, given.draws + 1, 2):
        engine = ConjureNeighbors(**fixed, n_draws=n_draws).open_engine()
        row = {"model": given.model, "prompts": len(prompts), "draws": n_draws}
        for name, kept in (("all", len(near[0])), ("race", K)):
            found = race.race(engine, prompts, prompts, near, kept)
            used = found.draws_used.reshape(near.shape)
            values = candidates.both_ways(near, found.values)
            _, best = candidates.nearest(values, K, np.arange(len(prompts)))
            row |= {f"recall_{name}": recall(true, best)}
            row |= {f"predictions_{name}": predictions(engine, near, used)}
        append_row("race", None, **row)
        cells = [row[f"{figure}_{name}"] for name in ("all", "race") for figure in FIGURES]
        print("| {} | {:.3f} | {:,} | {:.3f} | {:,} |".format(n_draws, *cells), flush=True)


FIGURES = ("recall", "predictions")


def predictions(engine, near, used) -> int:
    """Those of the chains and replays of these draws (n, m) of each row and its candidates."""
    both = candidates.both_ways(near, used.ravel()).toarray()
    both = np.maximum(both, both.T)
    return engine.n_predictions(int(both.max(1).sum()), int(both.sum()))


def exact_of(model, a, b, whole):
    return 0.0 if a == b else model.exact(a, b, whole.grid.log_snr_range).jeffreys


def gaussians(n):
    """n Gaussians around eight centres in eight dimensions."""
    rng = np.random.default_rng(0)
    centres = 0.8 * rng.normal(size=(8, 8))
    names = [f"prompt {i}" for i in range(n)]
    means = centres[rng.integers(8, size=n)] + 0.35 * rng.normal(size=(n, 8))
    variances = np.exp(0.4 * rng.normal(size=(n, 8)))
    parts = (dict(zip(names, part, strict=True)) for part in (means, variances))
    return names, GaussianDenoiser(*parts)


if __name__ == "__main__":
    main()
