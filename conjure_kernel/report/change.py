"""What changed against another model."""

from __future__ import annotations

from typing import Any

import numpy as np

from conjure_kernel.engine.ledger import requests_of_pairs
from conjure_kernel.engine.steps import most_left
from conjure_kernel.estimators.drift import ConjureDrift
from conjure_kernel.models.group import SIDES
from conjure_kernel.report.budget import left_out, most_within
from conjure_kernel.report.section import Bars, Pictures, Section
from conjure_kernel.report.subject import OPEN, Subject
from conjure_kernel.report.words import read_words

__all__ = ["tell_change"]

TITLE = "What changed against the other model"
LEAST_WORDS = 5
SHOWN, PICTURED = 10, 4


def tell_change(subject: Subject, other: Subject, budget: float) -> Section:
    """Drift from another model under as many words as the budget allows, largest first."""
    every, drift = read_words().mixed(), _drift(subject, other)
    engine = _drift(subject, other, memory=None).open_engine()

    def price(n: int) -> int:
        a, b = ([side + word for word in every[:n]] for side in SIDES[:2])
        return most_left(engine, requests_of_pairs(a, b)) if n else 0

    if (n := most_within(price, len(every), budget)) < LEAST_WORDS:
        return left_out("change", TITLE, price(LEAST_WORDS), budget)
    ranking = drift.fit(every[:n]).ranking()
    first, last = ranking[0], ranking[len(ranking) - 1]
    found = (
        f"J between {other.name} (model A) and {subject.name} (model B) under {n} words, in nats: "
        f"most under “{first['prompt']}” ({first['divergence']:.3g} ± "
        f"{first['standard_error']:.2g}), least under “{last['prompt']}” "
        f"({last['divergence']:.3g} ± {last['standard_error']:.2g}). Rounding alone moves a model "
        "a little: compare with its drift from itself in another dtype."
    )
    bars = Bars(
        "Words that drifted most",
        "nats",
        [(r["prompt"], r["divergence"], r["low"], r["high"]) for r in ranking.rows[:SHOWN]],
    )
    median = float(np.median(drift.divergences_))
    return Section(
        "change",
        TITLE,
        found,
        {"n_words": n, "against": other.name, "median": median},
        (("All words", ranking),),
        (bars,),
        _pictures(drift, [row["prompt"] for row in ranking.rows[:PICTURED]]),
        command=other.command("drift", every[:n], "--model", subject.name),
    )


def _drift(subject: Subject, other: Subject, **more: Any) -> ConjureDrift:
    settings: dict[str, Any] = {**subject.given, **OPEN, **more}
    del settings["model"]
    return ConjureDrift(other.denoiser, subject.denoiser, **settings)


def _pictures(drift: ConjureDrift, words: list[str]) -> tuple[Pictures, ...]:
    """Pictures of both models; nothing where one of them makes none."""
    try:
        a, b = drift.conjure_images(words, 3)
    except ValueError:
        return ()
    rows = [
        (f"{word} ({side})", few)
        for word, *both in zip(words, a, b, strict=True)
        for side, few in zip("AB", both, strict=True)
    ]
    return (Pictures("Both models from the same noise, where they drifted most", rows),)
