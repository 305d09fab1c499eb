"""Where imagery is right and text wrong, and the other way round, with pictures.

    python benchmarks/scores/imagery_or_text.py PAIRS.tsv [--pairs 500] [--show 10] [-o FILE.png]

Rule, fixed before looking: the human scores, -log J and the cosine of the text encoder are turned
into ranks from 0 to 1 over all pairs of the set; a pair's error is the distance of a rank from the
human one; shown are the pairs with the largest (text error - imagery error), and with the smallest.
"""

import argparse

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata

from conjure_kernel import evaluate, load_pairs
from conjure_kernel._table import Table
from conjure_kernel.opening import open_engine
from conjure_kernel.pairwise import requests_of_pairs
from conjure_kernel.scorers import ConjureScorer, TextEncoderScorer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("task")
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=10)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--cache", default="auto")
    parser.add_argument("-o", "--output", default="imagery_or_text.png")
    given = parser.parse_args()
    pairs = load_pairs(given.task).sample(given.pairs, given.seed)
    settings = {"model": given.model, "n_draws": given.draws, "memory": given.cache}
    engine, _ = open_engine(settings)
    cost = engine.cost(requests_of_pairs(pairs.left, pairs.right))
    print(f"{len(pairs)} pairs: {cost:,} noise predictions to come", flush=True)
    scorers = ConjureScorer(verbose=1, **settings), TextEncoderScorer(given.model)
    results = [evaluate(scorer, pairs, n_bootstrap=0) for scorer in scorers]
    people, imagery, text = (
        (rankdata(x) - 1) / (len(pairs) - 1)
        for x in (pairs.scores, *(result.similarities for result in results))
    )
    gain = np.abs(text - people) - np.abs(imagery - people)
    order = np.argsort(-gain)
    chosen = {"imagery": order[: given.show], "text": order[::-1][: given.show]}
    rows = [
        {
            "right": side,
            "a": pairs.left[i],
            "b": pairs.right[i],
            "people": float(people[i]),
            "imagery": float(imagery[i]),
            "text": float(text[i]),
        }
        for side, places in chosen.items()
        for i in places
    ]
    print(Table(rows))
    figure = Figure((7, 1.0 * given.show), layout="constrained")
    axes = figure.subplots(given.show, 4, squeeze=False)
    for column, places in enumerate(chosen.values()):
        for row, i in enumerate(places):
            pictures = engine.images([pairs.left[i], pairs.right[i]])[:, 0]
            words = (pairs.left[i], pairs.right[i])
            for j, (picture, word) in enumerate(zip(pictures, words, strict=True)):
                ax = axes[row, 2 * column + j]
                ax.imshow(picture)
                ax.set_title(word[:28], fontsize=6)
                ax.axis("off")
    figure.suptitle("imagery right, text wrong   |   text right, imagery wrong", fontsize=8)
    figure.savefig(given.output, dpi=150)


if __name__ == "__main__":
    main()
