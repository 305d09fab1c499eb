"""How many draws? Spread of Spearman over seeds for K = 1, 2, 4, 8, 16 draws.

    python benchmarks/scores/draws.py PAIRS.tsv [--known] [--pairs 60] [--seeds 10] [-o draws.png]

For each seed of the noise, J of the same pairs is measured with 16 draws; the first 1, 2, 4 and 8
of them cost nothing more. Per K: mean, standard deviation and range of Spearman
over the seeds, and the mean jackknife error that one run would have reported. Resumable.
"""

from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from _pairs import choose, make_parser, tell_cost
from conjure_kernel import paired_divergence
from conjure_kernel._table import Table
from conjure_kernel.evaluation.correlation import correlate, draw_error
from conjure_kernel.evaluation.scorers import score_divergence

DRAWS = (1, 2, 4, 8, 16)


def main() -> None:
    parser = make_parser(__doc__, 60)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("-o", "--output", default="draws.png")
    given = parser.parse_args()
    pairs = choose(given)
    settings = {"model": given.model, "memory": given.cache, "n_draws": DRAWS[-1], "verbose": 1}
    tell_cost(pairs, *({**settings, "random_state": seed} for seed in range(given.seeds)))
    values, errors = (np.full((len(DRAWS), given.seeds), np.nan) for _ in range(2))
    for seed in range(given.seeds):
        whole = paired_divergence(pairs.left, pairs.right, **settings, random_state=seed)
        for i, k in enumerate(DRAWS):
            part = replace(whole, forward=whole.forward[:, :k], backward=whole.backward[:, :k])
            scored = score_divergence(part)
            values[i, seed] = correlate("spearman", scored.similarities, pairs.scores)
            if k > 1:
                rho = partial(correlate, "spearman", pairs.scores)
                errors[i, seed] = draw_error(scored.replicates, rho)
    rows = [
        {
            "draws": k,
            "Spearman": float(of_k.mean()),
            "Spearman_low": float(of_k.min()),
            "Spearman_high": float(of_k.max()),
            "deviation over seeds": float(of_k.std(ddof=1)),
            "jackknife error": float(of_error.mean()),
        }
        for k, of_k, of_error in zip(DRAWS, values, errors, strict=True)
    ]
    print(Table(rows))
    figure = Figure((4, 2.6), layout="constrained")
    ax = figure.add_subplot()
    ax.plot(np.repeat(DRAWS, given.seeds), values.ravel(), "o", ms=3, color="#85858f")
    ax.plot(DRAWS, values.mean(1), color="#0e6096")
    ax.set_xscale("log", base=2)
    ax.set_xticks(DRAWS, [str(k) for k in DRAWS])
    ax.set_xlabel("draws K")
    ax.set_ylabel(f"Spearman, {given.seeds} seeds")
    figure.savefig(given.output, dpi=150)


if __name__ == "__main__":
    main()
