"""Agreement with human similarity scores: one table over several files of scored pairs.

    python benchmarks/scores/human_scores.py FOLDER [--only MEN,RG65] [--pairs 500] [--draws 2]

FOLDER holds MEN.tsv, SimLex999.tsv, WS353.tsv, RG65.tsv, STSB.test.tsv and SICKR.test.tsv (header
word1 word2 score, or sentence1 sentence2 score). Word sets are taken whole, and again with only the
pairs whose words are names in training/concepts.txt, which the embedded model was taught; sentence
sets by --pairs and --seed. -log J and -log R (relative to the empty prompt), the cosine of vectors,
the model's own text encoder and, on request, four distances of --images N images a text, and
--sentence-transformers NAME. With --baselines-only no diffusion model is loaded. Resumable through
the cache.
"""

import argparse
from pathlib import Path

from _pairs import TITLES, known_words, tell_cost
from _results import markdown, with_interval
from conjure_kernel import compare, evaluate, load_pairs
from conjure_kernel._table import Table
from conjure_kernel.estimators.images import METRICS
from conjure_kernel.evaluation.cosine import CosineScorer
from conjure_kernel.evaluation.scorers import (
    ConjureScorer,
    ImageScorer,
    SentenceTransformerScorer,
    TextEncoderScorer,
)

SETS = ("MEN", "SimLex999", "WS353", "RG65", "STSB.test", "SICKR.test")


def main() -> None:
    given = options().parse_args()
    settings = {"model": given.model, "n_draws": given.draws, "memory": given.cache, "verbose": 1}
    scorers = [SentenceTransformerScorer(name) for name in given.sentence_transformers]
    if not given.baselines_only:
        images = {**settings, "n_images": given.images}
        images.pop("n_draws")
        own = [ConjureScorer(origin=None, **settings), ConjureScorer(**settings)]
        cosine = CosineScorer(given.model, memory=given.cache)
        scorers = [*own, cosine, TextEncoderScorer(given.model), *scorers]
        if given.images:
            scorers += [ImageScorer(s, **images) for s in METRICS]
    rows, page = [], []
    for name, pairs in chosen_pairs(given):
        if not given.baselines_only:
            print(name, end=": ")
            tell_cost(pairs, settings)
        results = [evaluate(s, pairs) for s in scorers]
        gaps = {}
        if len(results) > 1:
            found = compare(results).rows
            gaps = {row["b"]: row for row in found if row["a"] == results[0].name}
        rows += [row_of(name, result, gaps.get(result.name, {})) for result in results]
        print(f"\n{Table(rows[-len(results) :])}\n", flush=True)
        shown = [with_interval(result.table.find(part="all"), "spearman") for result in results]
        page.append([TITLES.get(name, name), f"{len(pairs):,}", *shown])
    names = [scorer.name for scorer in scorers]
    if not given.baselines_only:
        names[2:4] = ["cosine of vectors", "its own text encoder"]
    print(f"{Table(rows)}\n\n{markdown(['pairs', 'n', *names], page)}")


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SETS))
    parser.add_argument("--pairs", type=int, default=500, help="of each set of sentences; 0: all")
    parser.add_argument("--words", type=int, default=0, help="pairs of each word set; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--images", metavar="N", type=int, default=0, help="of each text")
    parser.add_argument("--sentence-transformers", action="append", default=[], metavar="NAME")
    parser.add_argument("--baselines-only", action="store_true")
    parser.add_argument("--cache", default="auto")
    return parser


def chosen_pairs(given):
    """Yield (name, pairs): word sets whole and with known words, sentence sets by seed."""
    for name in given.only:
        pairs = load_pairs(given.folder / f"{name}.tsv")
        words = all(len(text.split()) == 1 for text in pairs.left[:50])
        limit = given.words if words else given.pairs
        yield name, pairs.sample(limit, given.seed) if limit else pairs
        if words and not given.baselines_only:
            known = pairs.within(known_words(), "both words name a concept")
            yield f"{name}, known", known.sample(limit, given.seed) if limit else known


def row_of(name, result, gap):
    facts = result.table.find(part="all")
    row = {"pairs": name, "scorer": result.name}
    row |= {k: v for k, v in facts.items() if k not in ("kind", "part")}
    for part in ("", "_low", "_high", "_p", "_draw_se"):
        row[f"J minus this{part}"] = gap.get(f"difference{part}", float("nan"))
    return {**row, "seconds": f"{result.seconds:.0f}"}


if __name__ == "__main__":
    main()
