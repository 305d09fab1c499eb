"""Whether other noise, guidance or steps put the pairs of words into another order."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from conjure_kernel._table import Table
from conjure_kernel.evaluation.correlation import correlate, draw_error, interval_of
from conjure_kernel.evaluation.uncertainty import Pairing
from conjure_kernel.method.blocks import cosine_replicates, cosines
from conjure_kernel.report.budget import left_out, most_within
from conjure_kernel.report.section import Bars, Section
from conjure_kernel.report.subject import VECTORS, Subject
from conjure_kernel.report.words import read_words

__all__ = ["compare_settings"]

TITLE = "How stable its order is"
LEAST_WORDS, MOST_WORDS = 8, 40
GUIDANCES = (3.0, 7.5)
COLUMNS = ("spearman", "spearman_low", "spearman_high", "spearman_draw_se")


def compare_settings(subject: Subject, budget: float) -> Section:
    """Rank correlation of the cosines of all pairs of some words with those of other settings."""
    every, base = read_words().names, subject.embedding()
    variants = _variants(subject)
    models = [base, *(subject.embedding(**more) for more in variants.values())]

    def price(n: int) -> int:
        return sum(model.n_predictions(n) for model in models) if n else 0

    if (n := most_within(price, min(MOST_WORDS, len(every)), budget)) < LEAST_WORDS:
        return left_out("stability", TITLE, price(LEAST_WORDS), budget)
    words = every[:n]
    vectors = base.fit_transform(words)
    found = partial(_row, subject, words, vectors, base.references_)
    rows = [found(name, more) for name, more in variants.items()]
    bars = Bars(
        "Agreement with the order under the settings of this report",
        "Spearman",
        [(r["setting"], *(r[c] for c in COLUMNS[:3])) for r in rows if r["spearman"] is not None],
    )
    return Section(
        "stability",
        TITLE,
        f"Spearman's correlation of the cosines of {n * (n - 1) // 2} pairs of {n} words with "
        "those under other settings, whose noise is independent; the first row is the most that "
        "this much noise allows. ± is its standard error over draws, the interval is for other "
        "words like these.",
        {"n_words": n, "settings": rows},
        (("", Table(rows)),),
        (bars,),
        command=subject.command("embed", words, *VECTORS),
    )


def _variants(subject: Subject) -> dict[str, dict[str, Any]]:
    """Settings that are changed, by their names in the table; each has noise of its own."""
    now, seed = subject.engine().settings, subject.given.get("random_state", 0)
    guided = {
        f"guidance {w:g}": {"guidance_scale": w} for w in GUIDANCES if w != now.guidance_scale
    }
    twice = {"n_steps": 2 * now.n_steps}
    variants: dict[str, dict[str, Any]]
    variants = {"the same again": {}, f"{twice['n_steps']} steps": twice, **guided}
    other = seed + 1 if isinstance(seed, int) else None
    return {name: {**more, "random_state": other} for name, more in variants.items()}


def _row(
    subject: Subject,
    words: list[str],
    vectors: np.ndarray,
    references: list[str],
    name: str,
    more: dict[str, Any],
) -> dict[str, Any]:
    """A row of the table; without numbers where the model refuses the setting."""
    try:
        other = subject.embedding(references=references, **more)
        found = _agreement(words, vectors, other.fit_transform(words), other.n_blocks)
    except (ValueError, FloatingPointError) as error:
        return {"setting": name, **dict.fromkeys(COLUMNS), "why not": str(error)}
    return {"setting": name, **dict(zip(COLUMNS, found, strict=True)), "why not": ""}


def _agreement(
    words: list[str], vectors: np.ndarray, others: np.ndarray, n_blocks: int
) -> tuple[float, float, float, float]:
    """Spearman of the cosines of all pairs, its interval, and its standard error over draws."""
    i, j = np.triu_indices(len(words), 1)
    x, y = cosines(vectors[i], vectors[j]), cosines(others[i], others[j])
    pairing = Pairing.of([words[k] for k in i], [words[k] for k in j])
    low, high, _ = interval_of("spearman", x, y, pairing)
    sides = ((vectors, y), (others, x))
    parts = [
        draw_error(
            cosine_replicates(rows[i], rows[j], n_blocks), partial(correlate, "spearman", fixed)
        )
        for rows, fixed in sides
    ]
    return float(correlate("spearman", x, y)), low, high, float(np.hypot(*parts))
