"""What do the intervals of `evaluate` and `compare` cover? Simulated scores of pairs.

    python benchmarks/interval_coverage.py [--repetitions 1000] [--designs "one hub,chain"]

A pair's human score y and the similarities x and x' of two scorers are normal. A share of their
variance (0, 0.5 or 0.9) comes from the two texts of the pair, the rest from the pair itself. x
correlates with y as given (0, 0.3, 0.6, 0.9), x' half as much, in both parts alike, so that the
true Pearson and Spearman correlations are known. Each repetition draws other texts. Per design,
share and correlation: how many of 100 "95 %" intervals hold the truth, for Spearman, for Pearson
and for the difference of the Spearman correlations of x and x'. Appends to
benchmarks/results/interval_coverage.csv.

Designs: all texts distinct; one hub with 60 partners; 3 hubs with 20 partners each; 6 hubs with 15;
all pairs of 15 and of 30 texts; a chain; 12 blocks of all pairs of 4 texts; 200 random pairs of 80.
"""

import argparse

import numpy as np

from _results import append_row
from conjure_kernel._table import Table
from conjure_kernel.evaluation.correlation import leave_out_correlation
from conjure_kernel.evaluation.uncertainty import Pairing, estimate, estimate_difference

SHARES = (0.0, 0.5, 0.9)  # of the variance that comes from texts
CORRELATIONS = (0.0, 0.3, 0.6, 0.9)
FIGURES = ("Spearman", "Pearson", "difference")


def main(arguments=None) -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--repetitions", type=int, default=1000)
    options.add_argument("--designs", type=lambda text: text.split(","), default=list(DESIGNS))
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args(arguments)
    rows = []
    for name in given.designs:
        for share in SHARES:
            for rho in CORRELATIONS:
                cell = (list(DESIGNS).index(name), SHARES.index(share), CORRELATIONS.index(rho))
                rng = np.random.default_rng([given.seed, *cell])
                held = [
                    repeat(*DESIGNS[name](rng), share, rho, rng) for _ in range(given.repetitions)
                ]
                facts = {"design": name, "share": share, "correlation": rho}
                covered = dict(zip(FIGURES, 100 * np.mean(held, axis=0), strict=True))
                rows.append({**facts, **covered})
                n_pairs = len(DESIGNS[name](rng)[0])
                append_row(
                    "interval_coverage",
                    **facts,
                    pairs=n_pairs,
                    repetitions=given.repetitions,
                    **covered,
                )
        print(f"\n{Table([row for row in rows if row['design'] == name])}", flush=True)
    print(f"\n{Table([summary(name, rows) for name in given.designs])}")


def repeat(a, b, share, rho, rng):
    """Whether the intervals of the three figures of one simulated set of pairs hold the truth."""
    y, x, other = simulate(a, b, share, (rho, rho / 2), rng)
    pairing = Pairing.of(*(np.char.mod("%04d", side) for side in (a, b)))
    spearman, pearson = (leave_out_correlation(s, x, y, pairing) for s in ("spearman", "pearson"))
    others = leave_out_correlation("spearman", other, y, pairing)
    truths = (rank(rho), rho, rank(rho) - rank(rho / 2))
    found = estimate(spearman, pairing), estimate(pearson, pairing)
    found += (estimate_difference(spearman, others, pairing),)
    return [one.low <= truth <= one.high for one, truth in zip(found, truths, strict=True)]


def simulate(a, b, share, correlations, rng):
    """Scores y (n,) and similarities of scorers with these correlations, normal with variance 1."""

    def part(size):
        y = rng.normal(size=size)
        noises = rng.normal(size=(len(correlations), size))
        return [
            y,
            *(r * y + np.sqrt(1 - r**2) * z for r, z in zip(correlations, noises, strict=True)),
        ]

    texts, pairs = part(max(a.max(), b.max()) + 1), part(len(a))
    weight = np.sqrt(share / 2)
    return [
        weight * (u[a] + u[b]) + np.sqrt(1 - share) * e for u, e in zip(texts, pairs, strict=True)
    ]


def rank(rho):
    """Spearman's correlation of normal variables with the Pearson correlation rho."""
    return 6 / np.pi * np.arcsin(rho / 2)


def summary(name, rows):
    of_design = [row for row in rows if row["design"] == name]
    facts = {"design": name}
    for figure in FIGURES:
        values = [row[figure] for row in of_design]
        facts |= {figure: f"{min(values):.1f} to {max(values):.1f}, mean {np.mean(values):.1f}"}
    return facts


def hubs(n, partners):
    """n texts in `partners` pairs each, the partners all distinct."""
    a = np.repeat(np.arange(n), partners)
    return a, n + np.arange(len(a))


def blocks(n, size):
    """All pairs within each of n blocks of texts."""
    i, j = np.triu_indices(size, 1)
    first = size * np.arange(n)[:, None]
    return (first + i).ravel(), (first + j).ravel()


def random_pairs(rng, n_pairs, n_texts):
    i, j = np.triu_indices(n_texts, 1)
    chosen = rng.choice(len(i), n_pairs, replace=False)
    return i[chosen], j[chosen]


DESIGNS = {
    "distinct": lambda rng: (np.arange(60), np.arange(60, 120)),
    "one hub": lambda rng: hubs(1, 60),
    "3 hubs": lambda rng: hubs(3, 20),
    "6 hubs": lambda rng: hubs(6, 15),
    "all pairs of 15": lambda rng: blocks(1, 15),
    "all pairs of 30": lambda rng: blocks(1, 30),
    "chain": lambda rng: (np.arange(60), np.arange(1, 61)),
    "blocks of 4": lambda rng: blocks(12, 4),
    "random": lambda rng: random_pairs(rng, 200, 80),
}


if __name__ == "__main__":
    main()
