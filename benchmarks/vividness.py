"""Is a name more vivid than what it is called in general, and that than an abstract word?

    python benchmarks/vividness.py [--words 100] [--draws 2]

Vividness is KL(P_y || P_empty). Names and hypernyms are those of training/concepts.txt, the world
of the embedded model; the abstract words are listed here. The rule was written down before it was
measured: names above hypernyms above abstract words. For each two groups the table says how often
a word of the first is more vivid than one of the second, with a 95 % interval by a bootstrap over
words, and how often more vivid by two standard errors.
"""

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np

from conjure_kernel import vividness

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `training`

ABSTRACT = """
ability advice anger attitude belief blame chance choice comfort concept courage custom debt delay
desire doubt duty effort envy error excuse failure faith fame fate freedom grief guilt habit honour
hope idea insight irony justice luck mercy method mood notion opinion patience pride reason rumour
scope skill thought truth virtue
""".split()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--words", type=int, default=100, help="of each group at most")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--cache", default="auto")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    groups = {"names": names(), "hypernyms": hypernyms(), "abstract": ABSTRACT}
    chosen = {
        group: sorted(rng.permutation(sorted(words))[: given.words].tolist())
        for group, words in groups.items()
    }
    settings = {"model": given.model, "n_draws": given.draws, "memory": given.cache}
    found = {
        group: vividness(words, random_state=given.seed, verbose=1, **settings)
        for group, words in chosen.items()
    }
    print(
        "| words | n | median, nats | 5 % | 95 % | most and least vivid |\n"
        "|---|--:|--:|--:|--:|---|"
    )
    for group, measured in found.items():
        low, middle, high = np.quantile(measured.values, [0.05, 0.5, 0.95])
        order = np.argsort(-measured.values)
        ends = [", ".join(measured.prompts[i] for i in part) for part in (order[:3], order[-3:])]
        n = len(order)
        print(
            f"| {group} | {n} | {middle:.1f} | {low:.1f} | {high:.1f} | {ends[0]} ... {ends[1]} |"
        )
    print("\n| more vivid | share of pairs | by two standard errors |\n|---|--:|--:|")
    for first, second in itertools.combinations(found, 2):
        a, b = found[first], found[second]
        share = above(a.values, b.values)
        resampled = [
            above(rng.choice(a.values, len(a.values)), rng.choice(b.values, len(b.values)))
            for _ in range(2000)
        ]
        low, high = np.quantile(resampled, [0.025, 0.975])
        gap = a.values[:, None] - b.values
        error = np.hypot(a.standard_errors[:, None], b.standard_errors)
        clear = (gap > 2 * error).mean()
        print(f"| {first}, {second} | {share:.2f} ({low:.2f} to {high:.2f}) | {clear:.2f} |")


def above(a, b):
    """Share of pairs in which an entry of a is larger than one of b; ties count half."""
    return float((a[:, None] > b).mean() + (a[:, None] == b).mean() / 2)


def names():
    """First names of all concepts that are not hypernyms of others, too."""
    from training.art import read_concepts

    return {names[0] for names, _ in read_concepts().values()} - hypernyms()


def hypernyms():
    """What concepts are called in general."""
    from training.art import read_concepts

    return {kind for _, kinds in read_concepts().values() for kind in kinds}


if __name__ == "__main__":
    main()
