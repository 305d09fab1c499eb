"""What do several chains a draw bring? Variance of J at equal network calls, pair by pair.

    python benchmarks/interleaving.py [--prompts 24] [--draws 600] [--words-draws 30] [--out FILE]

Draw k compares node t along chain (k, t mod G), with G = `chains_per_draw`. A chain costs S
predictions to trace and lends its T nodes to all targets, so that a draw of n prompts costs
n (n - 1) T + n G S predictions. The nodes' own laws are the same for all G, and only the parts of a
draw that lie on one chain are correlated. So a run of whole chains tells the variance for each G.

For the embedded model and three worlds of Gaussians: median and 5 to 95 % of pairs of

    variance of J with one chain / with G, each times the predictions of its draw, in sets of n

and then J of the engine itself at G = 3 less that of whole chains, 200 draws each, in standard
errors: normal numbers of variance 1 where neither is biased.
"""

import argparse
import csv
import warnings
from pathlib import Path

import numpy as np

from _results import WORDS
from conjure_kernel import GaussianDenoiser, load_denoiser, pairwise_divergence
from conjure_kernel.method.draws import chain_draws
from conjure_kernel.method.schedule import VariancePreserving

CHAINS, SETS = (2, 3, 5), (2, 24, 100)
ENGINE_DRAWS = 200


def worlds(n: int, n_draws: int, n_word_draws: int):
    """Name, model, prompts and draws of each world."""
    for dimensions in (1, 4, 32):
        rng = np.random.default_rng(dimensions)
        names = [f"prompt {i}" for i in range(n)]
        means = rng.normal(size=(n, dimensions)) / np.sqrt(dimensions)
        variances = np.exp(rng.normal(size=(n, dimensions)) * 0.7)
        model = GaussianDenoiser(
            dict(zip(names, means, strict=True)),
            dict(zip(names, variances, strict=True)),
            schedule=VariancePreserving.scaled_linear(),
        )
        yield f"Gaussians, {dimensions}-D", model, names, n_draws
    every = np.random.default_rng(0).permutation(WORDS)
    yield "embedded model", load_denoiser("embedded"), sorted(every[:n].tolist()), n_word_draws


def variance(measured, n_chains: int) -> np.ndarray:
    """Variance of one draw of J of each pair, if chains took turns; (n_pairs,)."""
    above = np.triu_indices(len(measured.prompts_a), 1)
    weights, total = measured.grid.weights(), 0.0
    for leg in (measured.forward, measured.backward):
        total = total + chain_draws(leg[above], weights, n_chains).var(-2, ddof=1).sum(-1) / 4
    return total


def cost(n_prompts: int, n_chains: int, grid) -> int:
    """Predictions of one draw of a matrix."""
    return n_prompts * ((n_prompts - 1) * grid.n_nodes + n_chains * len(grid.log_snr))


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--prompts", type=int, default=24)
    options.add_argument("--draws", type=int, default=600, help="chains of a Gaussian prompt")
    options.add_argument("--words-draws", type=int, default=30, help="chains of a word")
    options.add_argument("--out", type=Path, help="CSV file")
    given = options.parse_args()
    warnings.simplefilter("ignore")
    fixed, rows = {"memory": None, "check_steps": 0, "verbose": 1}, []
    heads = "".join(f" n = {n} |" for n in SETS)
    print(f"| world | G |{heads} per replay |\n|---|--:|" + "--:|" * (len(SETS) + 1))
    for name, model, prompts, n_draws in worlds(given.prompts, given.draws, given.words_draws):
        settings = {"model": model, **fixed}
        whole = pairwise_divergence(prompts, chains_per_draw=1, n_draws=n_draws, **settings)
        before = variance(whole, 1)
        for n_chains in CHAINS:
            ratio, cells = before / variance(whole, n_chains), []
            for n in SETS:
                calls = cost(n, 1, whole.grid) / cost(n, n_chains, whole.grid)
                low, middle, high = np.quantile(calls * ratio, (0.05, 0.5, 0.95))
                cells.append(f" {middle:.2f} ({low:.2f} to {high:.2f}) |")
                rows.append({"world": name, "chains": n_chains, "prompts": n, "median": middle})
                rows[-1] |= {"low": low, "high": high}
            print(f"| {name} | {n_chains} |{''.join(cells)} {np.median(ratio):.2f} |", flush=True)
    print("\nBias: J of the engine at G = 3 less J of whole chains, in standard errors")
    for name, model, prompts, _ in worlds(given.prompts, 0, 0):
        some, settings = prompts[:4], {"model": model, **fixed}
        old = pairwise_divergence(some, chains_per_draw=1, n_draws=ENGINE_DRAWS, **settings)
        settings["random_state"] = 1  # noise of its own
        new = pairwise_divergence(some, chains_per_draw=3, n_draws=ENGINE_DRAWS, **settings)
        above = np.triu_indices(len(some), 1)
        error = np.hypot(old.standard_errors, new.standard_errors)[above]
        gap = (new.values - old.values)[above]
        share = gap.sum() / old.values[above].sum()
        print(f"{name}: {np.round(gap / error, 1)}; in all {share:+.2%}", flush=True)
    if given.out:
        with given.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
