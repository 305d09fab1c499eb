"""What do the intervals of `evaluate` and its comparisons cover? Simulated scores of pairs.

    python benchmarks/interval_coverage.py [--repetitions 1000] [--designs "one hub,chain"]

A pair's human score y and the similarities x and x' of two scorers are normal. A share of their
variance (0, 0.5 or 0.9) comes from the two texts of the pair, the rest from the pair itself. x
correlates with y as given (0, 0.3, 0.6, 0.9), x' half as much, in both parts alike, so that the
true Pearson and Spearman correlations are known. Each repetition draws other texts. Per design,
share and correlation: how many of 100 "95 %" intervals hold the truth, for Spearman, for Pearson,
for the difference of the Spearman correlations of x and x' (`compare`), for the partial correlation
of x given x' (`partial_agreement`), and, with scores of another kind, with which both correlate
half as much as x with y, for what x is better at y than at these, and x' is not (`contrast`).
Appends to benchmarks/results/interval_coverage.csv.

Designs: all texts distinct; one hub with 60 partners; 3 hubs with 20 partners each; 6 hubs with 15;
all pairs of 15 and of 30 texts; a chain; 12 blocks of all pairs of 4 texts; 200 random pairs of 80.
"""

import argparse

import numpy as np

from _results import append_row
from conjure_kernel._table import Table
from conjure_kernel.evaluation.comparison import partial_correlation
from conjure_kernel.evaluation.correlation import leave_out_correlation
from conjure_kernel.evaluation.uncertainty import Pairing, estimate, estimate_difference

SHARES = (0.0, 0.5, 0.9)  # of the variance that comes from texts
CORRELATIONS = (0.0, 0.3, 0.6, 0.9)
FIGURES = ("Spearman", "Pearson", "difference", "partial", "contrast")
KINDS, SCORERS = 0.4, 0.5  # correlations of both kinds of scores, and of both scorers


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
    """Whether the intervals of the figures of one simulated set of pairs hold the truth."""
    half = rho / 2
    true = [[1, KINDS, rho, half], [KINDS, 1, half, half], [rho, half, 1, SCORERS]]
    true = np.array([*true, [half, half, SCORERS, 1]])
    y, other_y, x, other = simulate(a, b, share, true, rng)
    pairing = Pairing.of(*(np.char.mod("%04d", side) for side in (a, b)))
    pearson = leave_out_correlation("pearson", x, y, pairing)
    sides = ((x, y), (other, y), (x, other), (x, other_y), (other, other_y))
    found = [leave_out_correlation("spearman", *two, pairing) for two in sides]
    ranks = [rank(true[at]) for at in ((0, 2), (0, 3), (2, 3), (1, 2), (1, 3))]
    intervals = [
        estimate(found[0], pairing),
        estimate(pearson, pairing),
        estimate_difference(*found[:2], pairing),
        estimate(partial_correlation(*found[:3]), pairing),
        estimate(contrast(*found), pairing, correlation=False),
    ]
    truths = (ranks[0], rho, ranks[0] - ranks[1], partial_correlation(*ranks[:3]), contrast(*ranks))
    return [one.low <= truth <= one.high for one, truth in zip(intervals, truths, strict=True)]


def contrast(xy, other_y, between, x_means, other_means):
    """Difference of differences, of correlations with y and with the other kind of scores."""
    return (xy - x_means) - (other_y - other_means)


def simulate(a, b, share, true, rng):
    """Columns (m, n) of pairs, normal with variance 1 and these correlations (m, m)."""
    root, m = np.linalg.cholesky(true), len(true)
    texts, pairs = (root @ rng.normal(size=(m, n)) for n in (max(a.max(), b.max()) + 1, len(a)))
    return np.sqrt(share / 2) * (texts[:, a] + texts[:, b]) + np.sqrt(1 - share) * pairs


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
