"""Where imagery is right and text wrong, and the other way round, with pictures.

    python benchmarks/scores/imagery_or_text.py PAIRS.tsv [--known] [--show 10] [-o PAGE.md]

Rule, fixed before looking: the human scores, -log R (J relative to the empty prompt) and the cosine
of the text encoder are turned into ranks from 0 to 1 over all pairs of the set; a pair's error is
the distance of a rank from the human one. Imagery is right and text wrong where imagery errs by at
most 0.15 and text by more; of these the pairs with the largest (text error - imagery error) are
shown. The same the other way round. Then the pairs whose rank the origin moved most, from -log J to
-log R, towards people or away. Writes a page of three tables, and figures with a picture of each
text. Resumable.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata

from _pairs import choose, make_parser, tell_cost
from conjure_kernel import evaluate
from conjure_kernel._table import Table
from conjure_kernel.engine.opening import open_engine
from conjure_kernel.evaluation.scorers import ConjureScorer, TextEncoderScorer

RIGHT = 0.15  # error of a rank
TITLES = {"imagery": "Imagery right, text wrong", "text": "Text right, imagery wrong"}
TITLES |= {"moved": "What the origin moves most"}
COLUMNS = ("people", "imagery", "text", "imagery by J")


def main() -> None:
    parser = make_parser(__doc__, 5000)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--show", type=int, default=10)
    parser.add_argument("-o", "--output", type=Path, default="imagery_or_text.md")
    given = parser.parse_args()
    pairs = choose(given)
    settings = {"model": given.model, "n_draws": given.draws, "memory": given.cache}
    tell_cost(pairs, settings)
    relative, plain = (ConjureScorer(origin=o, verbose=1, **settings) for o in ("empty", None))
    scorers = relative, TextEncoderScorer(given.model), plain
    found = [evaluate(scorer, pairs).similarities for scorer in scorers]
    ranks = [(rankdata(x) - 1) / (len(pairs) - 1) for x in (pairs.scores, *found)]
    page = [f"{pairs.name}: {len(pairs)} pairs ({pairs.provenance.get('subset', 'all')})"]
    for side, places in chosen(*ranks, given.show).items():
        rows = [
            {"a": pairs.left[i], "b": pairs.right[i]}
            | {name: float(r[i]) for name, r in zip(COLUMNS, ranks, strict=True)}
            for i in places
        ]
        image = given.output.with_name(f"{given.output.stem}_{side}.png")
        draw(open_engine(settings), [pairs.pairs[i] for i in places], image)
        page += [f"## {TITLES[side]}", Table(rows).to_markdown()]
        page += [f"![A picture of each text, a pair a column]({image.name})"]
    given.output.write_text("\n\n".join(page) + "\n", encoding="utf-8")
    print("\n\n".join(page))


def chosen(people, imagery, text, before, n):
    """Places of the pairs where only imagery is right, where only text is, and that have moved."""
    errors = {"imagery": np.abs(imagery - people), "text": np.abs(text - people)}
    found = {}
    for side, other in (("imagery", "text"), ("text", "imagery")):
        right = (errors[side] <= RIGHT) & (errors[other] > RIGHT)
        order = np.argsort(errors[side] - errors[other], kind="stable")
        found[side] = order[right[order]][:n]
    return {**found, "moved": np.argsort(-np.abs(imagery - before), kind="stable")[:n]}


def draw(engine, pairs, path):
    """Two rows of pictures, a column for each pair."""
    if not pairs:
        return
    figure = Figure((1.1 * len(pairs), 2.7), layout="constrained")
    axes = figure.subplots(2, len(pairs), squeeze=False)
    for column, pair in zip(axes.T, pairs, strict=True):
        for ax, picture, text in zip(column, engine.images(pair)[:, 0], pair, strict=True):
            ax.imshow(picture)
            ax.set_title(text if len(text) < 20 else f"{text[:18]}…", fontsize=8)
            ax.axis("off")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
