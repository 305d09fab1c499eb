"""Whether other noise, guidance or steps put the pairs of words into another order."""

from __future__ import annotations

from typing import Any

from conjure_kernel._table import Table
from conjure_kernel.engine.ledger import Requests, requests_of_matrix
from conjure_kernel.engine.pairwise import Measured, measure_matrix
from conjure_kernel.engine.parameters import ORIGINS
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.evaluation.agreement import agreement_of
from conjure_kernel.report.budget import left_out, most_within
from conjure_kernel.report.section import Bars, Section
from conjure_kernel.report.subject import Subject
from conjure_kernel.report.words import read_words

__all__ = ["compare_settings"]

TITLE = "How stable its order is"
LEAST_WORDS, MOST_WORDS = 5, 16
GUIDANCES = (3.0, 7.5)
RELATIVE: dict[str, Any] = {"origin": "empty"}


def compare_settings(subject: Subject, budget: float) -> Section:
    """Rank correlation of R of all pairs of some words with that under other settings."""
    every, variants = read_words().names, _variants(subject)

    def requests(n: int) -> Requests:
        return requests_of_matrix(every[:n], ORIGINS["empty"])

    every_run = ({}, *variants.values())
    prices = [subject.price(requests, **RELATIVE, **more) for more in every_run]

    def price(n: int) -> int:
        return sum(of_one(n) for of_one in prices)

    if (n := most_within(price, min(MOST_WORDS, len(every)), budget)) < LEAST_WORDS:
        return left_out("stability", TITLE, price(LEAST_WORDS), budget)
    words, engine = every[:n], subject.engine(**RELATIVE)
    base = measure_matrix(engine, words, words)
    rows = [_row(subject, words, base, name, more) for name, more in variants.items()]
    known = [row for row in rows if row["spearman"] is not None]
    found = (
        f"Spearman's correlation of the order of {n * (n - 1) // 2} pairs of {n} words with the "
        "order under other settings, whose noise is independent; the first row is the most that "
        "this many draws allow. ± is its standard error over draws, the interval is for other "
        "words like these."
    )
    bars = Bars(
        "Agreement with the order under the settings of this report",
        "Spearman",
        [(r["setting"], r["spearman"], r["spearman_low"], r["spearman_high"]) for r in known],
    )
    return Section(
        "stability",
        TITLE,
        found,
        {"n_words": n, "settings": rows},
        (("", Table(rows)),),
        (bars,),
        command=subject.command("matrix", words, "--origin", "empty", "-o", "matrix.csv"),
    )


def _variants(subject: Subject) -> dict[str, dict[str, Any]]:
    """Settings that are changed, by their names in the table."""
    n_steps = 2 * subject.engine().settings.n_steps
    now = subject.engine().settings.guidance_scale
    guided = {f"guidance {w:g}": {"guidance_scale": w} for w in GUIDANCES if w != now}
    return {"the same again": {}, f"{n_steps} steps": {"n_steps": n_steps}, **guided}


def _row(
    subject: Subject, words: list[str], base: Measured, name: str, more: dict[str, Any]
) -> dict[str, Any]:
    """A row of the table; without numbers where the model refuses the setting."""
    try:
        engine = subject.engine(role=1, **RELATIVE, **more)
        other = measure_matrix(engine, words, words)
    except (ValueError, FloatingPointError) as error:
        return {"setting": name, **dict.fromkeys(COLUMNS), "why not": str(error)}
    found = agreement_of(words, base, other, provenance_of(engine))
    values = (found.spearman, found.low, found.high, found.draw_se)
    return {"setting": name, **dict(zip(COLUMNS, values, strict=True)), "why not": ""}


COLUMNS = ("spearman", "spearman_low", "spearman_high", "spearman_draw_se")
