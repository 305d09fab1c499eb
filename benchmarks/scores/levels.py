"""Which noise levels carry meaning? Fixed bands, and weights learnt from other texts.

    python benchmarks/scores/levels.py FOLDER [--only MEN,SimLex999] [--all]

Pairs of known words of each set (--all: of all words). Each band of noise levels has its own
similarity -log R, J over J from the empty prompt at the same levels: halves, thirds, and all but
the last. "Ridge" is a ridge on the ten similarities of single levels, and "ridge on legs" one on
the 20 columns of ConjurePairs(features="profile", origin="empty"); what a pair gets is learnt from
pairs that share no text with it (`combine`, TextKFold). Each is compared with -log R over all
levels. The rule was fixed before looking: another default needs an interval above 0 on both sets.
Resumable.
"""

import numpy as np

from _pairs import TITLES, known_words, tell_cost
from _results import markdown, with_interval
from conjure_kernel import ConjurePairs, TextKFold, compare, evaluate, load_pairs, paired_divergence
from conjure_kernel._table import Table
from conjure_kernel.evaluation import combine, score_divergence
from human_scores import options

ALL = "all"


def main() -> None:
    parser = options()
    parser.description = __doc__
    parser.add_argument("--all", action="store_true", help="pairs of all words")
    parser.set_defaults(only=["MEN", "SimLex999"], draws=2)
    given = parser.parse_args()
    settings = {"model": given.model, "n_draws": given.draws, "memory": given.cache}
    settings["origin"] = "empty"
    rows = []
    for name in given.only:
        pairs = load_pairs(given.folder / f"{name}.tsv")
        if not given.all:
            pairs = pairs.within(known_words(), "both words name a concept")
        print(name, end=": ")
        tell_cost(pairs, settings)
        results = evaluated(pairs, settings, given.seed)
        rows += [row_of(name, result, results[0]) for result in results]
        print(f"\n{Table(rows[-len(results) :])}\n", flush=True)
    print(f"{Table(rows)}\n\n{page(rows, given.only)}")


def page(rows, sets):
    """The table of the docs: a row for each choice of levels, two columns for each set."""
    names, lines = ["levels, noisiest first"], {}
    for name in sets:
        own = [
            row for row in rows if row["pairs"] == name and not row["levels"].startswith("level ")
        ]
        names += [f"{TITLES.get(name, name)}, {own[0]['n']} pairs", "minus all"]
        for row in own:
            gap = "" if row is own[0] else with_interval(row, "minus all", 3)
            lines.setdefault(row["levels"], []).extend([f"{row['spearman']:.3f}", gap])
    return markdown(names, [[levels, *cells] for levels, cells in lines.items()])


def evaluated(pairs, settings, seed):
    """Evaluations of all levels, of the bands, and of what is learnt."""
    measured = paired_divergence(pairs.left, pairs.right, **settings)
    n = measured.pairs.grid.n_nodes

    def of(levels, name):
        return evaluate(lambda a, b: score_divergence(measured, levels=levels), pairs, name=name)

    third = -(-n // 3)
    cuts = {ALL: (0, n), "noisier half": (0, n // 2), "finer half": (n // 2, n)}
    cuts |= {"noisiest third": (0, third), "middle third": (third, n - third)}
    cuts |= {"finest third": (n - third, n), "all but the last": (0, n - 1)}
    results = [of(slice(*cut), f"{name} ({cut[0]} to {cut[1] - 1})") for name, cut in cuts.items()]
    single = [of(slice(t, t + 1), f"level {t}") for t in range(n)]
    columns = -ConjurePairs(features="profile", **settings).fit_transform(pairs.pairs)
    legs = [evaluate(lambda a, b, x=x: x, pairs, name=str(i)) for i, x in enumerate(columns.T)]
    folds = {"cv": TextKFold(5, random_state=seed)}
    learnt = [combine(single, name="ridge", **folds), combine(legs, name="ridge on legs", **folds)]
    weights = np.mean(learnt[0].provenance["scorer"]["learnt"], axis=0)
    print("weights of the ridge, noisiest first:", weights.round(3))
    return [*results, *learnt, *single]


def row_of(name, result, whole):
    """Spearman of a result, and its difference from that of all levels."""
    facts = result.table[0]
    row = {"pairs": name, "n": facts["n"], "levels": result.name}
    row |= {key: value for key, value in facts.items() if key.startswith("spearman")}
    found = {} if result is whole else compare([result, whole])[0]
    for part in ("", "_low", "_high", "_p", "_draw_se"):
        row[f"minus all{part}"] = found.get(f"difference{part}", float("nan"))
    return row


if __name__ == "__main__":
    main()
