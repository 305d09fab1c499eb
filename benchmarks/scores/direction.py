"""Do the two legs tell which of two words is the broader one?

    python benchmarks/scores/direction.py [--pairs 300] [--worst 15] [-o direction.md]

Pairs (word, hypernym) are those of training/concepts.txt, the world of the embedded model, drawn by
--seed. A broad word evokes what a narrow one does and more, so that KL(word || hypernym) should be
the smaller leg: the sign of their difference is the guess, 50 % is chance. The interval is
for other words and hypernyms like these. "Clear" pairs differ by more than two standard errors over
draws. "By vividness" guesses without a look at the pair: the word that is nearer to the empty
prompt is the broader one. Resumable.
"""

import argparse
from pathlib import Path

import numpy as np

from _pairs import tell_cost
from conjure_kernel import paired_divergence, vividness
from conjure_kernel._table import Table
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.uncertainty import FEWEST, Pairing, estimate, leave_out
from conjure_kernel.method.jackknife import jackknife_se, leave_one_out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worst", type=int, default=15)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--cache", default="auto")
    parser.add_argument("-o", "--output", type=Path, default="direction.md")
    given = parser.parse_args()
    pairs = hypernyms().sample(given.pairs, given.seed)
    settings = {"model": given.model, "n_draws": given.draws, "memory": given.cache, "verbose": 1}
    settings["guidance_scale"] = given.guidance
    tell_cost(pairs, settings)
    measured = paired_divergence(pairs.left, pairs.right, **settings)
    forward, backward = measured.legs
    chains = measured.chain_draws
    error = jackknife_se(leave_one_out(chains[0] - chains[1]))
    gap = np.log(backward / forward)
    clear = np.abs(backward - forward) > 2 * error
    vivid = vividness([*pairs.left, *pairs.right], **settings).values
    by_vividness = np.log(vivid[: len(pairs)] / vivid[len(pairs) :])
    broader = np.array(pairs.right)
    rows = [row("all", pairs, gap), row("clear", pairs, gap, clear)]
    rows += [row("all, by vividness", pairs, by_vividness)]
    kinds = sorted(set(pairs.right), key=lambda kind: -(broader == kind).sum())
    rows += [row(kind, pairs, gap, broader == kind) for kind in kinds]
    worst = [
        {"word": word, "hypernym": kind, "KL word, hypernym": a, "KL hypernym, word": b}
        for i in np.argsort(gap)[: given.worst]
        for (word, kind), a, b in [(pairs.pairs[i], float(forward[i]), float(backward[i]))]
    ]
    page = f"{Table(rows)}\n\nFurthest from right:\n\n{Table(worst)}\n"
    given.output.write_text(page, encoding="utf-8")
    print(page)


def hypernyms():
    """Every (name, hypernym) of the embedded model's world, as pairs without scores."""
    from training.art import read_concepts

    found = dict.fromkeys(
        (names[0], kind) for names, kinds in read_concepts().values() for kind in kinds
    )
    left, right = zip(*((name, kind) for name, kind in found if name != kind), strict=True)
    return ScoredPairs("hypernyms", list(left), list(right), np.zeros(len(left)))


def row(part, pairs, gap, inside=slice(None)):
    """Accuracy of the guess on a part of the pairs."""
    left, right = np.array(pairs.left)[inside], np.array(pairs.right)[inside]
    right_guess = (gap[inside] > 0).astype(float)
    found = {"hypernyms": part, "n": len(left), "accuracy": float(right_guess.mean())}
    if len(left) >= FEWEST and 0 < found["accuracy"] < 1:  # else nothing says how far off it is
        pairing = Pairing.of(left, right)
        values = leave_out(lambda guesses: float(guesses.mean()), pairing, [right_guess])
        low, high, _ = estimate(values, pairing, correlation=False)
        found |= {"accuracy_low": max(low, 0.0), "accuracy_high": min(high, 1.0)}
    return found


if __name__ == "__main__":
    main()
