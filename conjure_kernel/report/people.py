"""Agreement with people, given scores of pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import rankdata

from conjure_kernel._table import Table
from conjure_kernel.engine.ledger import Requests, requests_of_pairs
from conjure_kernel.engine.parameters import ORIGINS
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.evaluation import Evaluation, evaluate
from conjure_kernel.evaluation.scorers import ConjureScorer
from conjure_kernel.report.budget import left_out, most_within
from conjure_kernel.report.section import Pictures, Section
from conjure_kernel.report.subject import Subject

__all__ = ["agree_with_people"]

TITLE = "Whether it agrees with people"
LEAST_PAIRS = 10
SHOWN = 8  # pairs that differ most
PICTURED = 4


def agree_with_people(subject: Subject, pairs: ScoredPairs, source: str, budget: float) -> Section:
    """Correlation of -log R with human scores, and the pairs on which both differ most."""

    def requests(n: int) -> Requests:
        some = pairs.sample(n)
        return requests_of_pairs(some.left, some.right, ORIGINS["empty"])

    price = subject.price(requests, origin="empty")
    if (n := most_within(price, len(pairs), budget)) < min(LEAST_PAIRS, len(pairs)):
        return left_out("people", TITLE, price(min(LEAST_PAIRS, len(pairs))), budget)
    chosen = pairs.sample(n)
    result = evaluate(ConjureScorer(origin="empty", **subject.settings), chosen)
    row = result.table.find(part="all")
    differing = _differing(result)
    some = f"{n} of its {len(pairs)} pairs" if n < len(pairs) else f"{n} pairs"
    interval = ""
    if np.isfinite(row["spearman_low"]):
        interval = f" (95 % interval {row['spearman_low']:.2f} to {row['spearman_high']:.2f})"
    found = f"On {some} of {pairs.name}, Spearman's correlation of people's scores and -log R "
    if np.isfinite(row["spearman"]):
        found += f"is {row['spearman']:.2f}{interval or ', with no interval of so few'}."
    else:
        found += "cannot be told of so few, or of scores that are all equal."
    more = ("--pairs", str(n)) if n < len(pairs) else ()
    return Section(
        "people",
        TITLE,
        found,
        {"n_pairs": n, "task": pairs.name, **row},
        (("", result.table), ("Pairs that differ most: shares of pairs below them", differing)),
        pictures=_pictures(subject, differing),
        command=subject.command("evaluate", (), source, *more),
    )


def _differing(result: Evaluation) -> Table:
    """Pairs whose rank by people and by the model differ most, as shares of pairs below them."""
    scores, similarities = result.pairs.scores, result.similarities
    people, model = (rankdata(x) / len(x) for x in (scores, similarities))
    order = np.argsort(-np.abs(people - model), kind="stable")[:SHOWN]
    rows: list[dict[str, Any]] = [
        {
            "a": result.pairs.left[i],
            "b": result.pairs.right[i],
            "people": float(people[i]),
            "model": float(model[i]),
        }
        for i in order
    ]
    return Table(rows)


def _pictures(subject: Subject, differing: Table) -> tuple[Pictures, ...]:
    """What both texts of the first pairs conjure; nothing of a model that makes no pictures."""
    texts = [text for row in differing.rows[:PICTURED] for text in (row["a"], row["b"])]
    texts = list(dict.fromkeys(texts))
    try:
        images = subject.engine().images(texts, 3)
    except ValueError:
        return ()
    rows = list(zip(texts, images, strict=True))
    return (Pictures("What the texts of these pairs conjure", rows),)
