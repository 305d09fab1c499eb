"""Does imagery add to text? Several files of scored pairs, text and imagery alone and together.

    python benchmarks/scores/together.py FOLDER [--only MEN,RG65] [--sentence-transformers NAME]

FOLDER, the sets and the choice of pairs are those of human_scores.py. First table: Spearman with
people of -log J, of -log R (J relative to the empty prompt), of the cosine of vectors from the
empty prompt, of the model's own text encoder (and of a sentence transformer, on request), and of
text and imagery together: a ridge on the cosine of the text encoder and one of the three, learnt
from pairs that share no text with the pair that it serves (`combine`). Second table, the question
with intervals, a row per imagery: its partial correlation with people given the text encoder, and
how much the ridge, the mean of ranks and imagery gated by text gain over the text encoder alone.
Resumable.
"""

import time

import numpy as np

from _pairs import TITLES, tell_cost
from _results import markdown, with_interval
from conjure_kernel import compare, evaluate
from conjure_kernel._table import Table
from conjure_kernel.evaluation import (
    ConjureScorer,
    CosineScorer,
    SentenceTransformerScorer,
    TextEncoderScorer,
    combine,
    partial_agreement,
)
from human_scores import chosen_pairs, options


def main() -> None:
    parser = options()
    parser.description = __doc__
    parser.set_defaults(draws=2)
    given = parser.parse_args()
    settings = {"model": given.model, "n_draws": given.draws, "memory": given.cache}
    encoders = [TextEncoderScorer(given.model)]
    encoders += [SentenceTransformerScorer(name) for name in given.sentence_transformers]
    seers = [ConjureScorer(origin=origin, **settings) for origin in (None, "empty")]
    seers.append(CosineScorer(given.model, memory=given.cache))
    alone, added, page = [], [], []
    for name, pairs in chosen_pairs(given):
        print(name, end=": ")
        tell_cost(pairs, {**settings, "origin": "empty"})
        start = time.perf_counter()
        imagery = [evaluate(scorer, pairs) for scorer in seers]
        text = [evaluate(scorer, pairs) for scorer in encoders]
        facts = {"pairs": name, "n": len(pairs), "texts": len({*pairs.left, *pairs.right})}
        for one in [*imagery, *text]:
            facts |= part(one.table[0], "spearman", one.name)
        for one in text:
            for seen in imagery:
                both = together([one, seen], "ridge")
                facts |= part(both and both.table[0], "spearman", f"{one.name} + {seen.name}")
                row = {"pairs": name, "n": len(pairs), "text": one.name, "imagery": seen.name}
                added.append({**row, **gains(one, seen, both)})
        alone.append(facts)
        page.append(page_row(name, len(pairs), text[0], added[-len(seers) * len(text) :], facts))
        last = Table(alone[-1:]), Table(added[-len(seers) * len(text) :])
        print(f"\n{last[0]}\n\n{last[1]}\n{time.perf_counter() - start:.0f} s", flush=True)
    names = ["pairs", "n", "text", *(f"text and {s.name}" for s in seers[:2])]
    names += [f"{s.name} given text" for s in seers[:2]]
    print(f"\n{Table(alone)}\n\n{Table(added)}\n\n{markdown(names, page)}")


def page_row(name, n, text, added, facts):
    """What the docs show of a set: text alone, with J and with R, and what these add."""
    both = [facts[f"{text.name} + {row['imagery']}"] for row in added[:2]]
    given = [with_interval(row, "given text") for row in added[:2]]
    ridges = ["" if np.isnan(value) else f"{value:.3f}" for value in both]
    return [
        TITLES.get(name, name),
        f"{n:,}",
        with_interval(text.table[0], "spearman"),
        *ridges,
        *given,
    ]


def together(results, how):
    """Text and imagery together; None where there are too few pairs to learn from."""
    try:
        return combine(results, how)
    except ValueError as error:
        print(f"({how}: {error})")
        return None


def gains(text, imagery, ridge):
    """Partial correlation of imagery given text, and what three ways together gain over text."""
    row = part(partial_agreement(imagery, text)[0], "partial", "given text")
    learnt = [[np.nan, np.nan]] if ridge is None else ridge.provenance["scorer"]["learnt"]
    row["weight of imagery"] = float(np.mean(learnt, axis=0)[1])
    ways = {"ridge": ridge, **{how: together([text, imagery], how) for how in ("rank", "gate")}}
    for how, both in ways.items():
        row |= part(both and compare([both, text])[0], "difference", f"{how} - text")
    return row


def part(row, column, name):
    """A column of a row of a table, with its interval, p-value and error, under another name."""
    ends = ("", "_low", "_high", "_p", "_draw_se")
    return {f"{name}{end}": (row or {}).get(f"{column}{end}", np.nan) for end in ends}


if __name__ == "__main__":
    main()
