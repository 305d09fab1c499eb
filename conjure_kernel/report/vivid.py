"""How much words pin the picture down, and whether that tells a name from what it is a kind of."""

from __future__ import annotations

import numpy as np

from conjure_kernel._table import Table
from conjure_kernel.engine.ledger import requests_of_pairs
from conjure_kernel.engine.parameters import ORIGINS
from conjure_kernel.engine.vividness import Vividness, vividness
from conjure_kernel.report.budget import left_out, most_within
from conjure_kernel.report.section import Bars, Section
from conjure_kernel.report.subject import Subject
from conjure_kernel.report.words import Words, read_words

__all__ = ["rank_vividness"]

TITLE = "How vivid words are"
LEAST_WORDS = 12
SHOWN = 8  # words at either end
RESAMPLED = 2000


def rank_vividness(subject: Subject, budget: float) -> Section:
    """Vividness of as many words as the budget allows, and how it orders names and hypernyms."""
    words = read_words()
    every, empty = words.mixed(), ORIGINS["empty"]
    price = subject.price(lambda n: requests_of_pairs(every[:n], [empty] * n))
    if (n := most_within(price, len(every), budget)) < LEAST_WORDS:
        return left_out("vividness", TITLE, price(LEAST_WORDS), budget)
    measured = vividness(every[:n], **subject.settings)
    order = np.argsort(-measured.values, kind="stable")
    rows = [{name: column[i] for name, column in measured.columns().items()} for i in order]
    table = Table([{**row, "vividness": float(row["vividness"])} for row in rows])
    low, high = measured.interval()
    ends = [*order[:SHOWN], *order[-SHOWN:]] if n > 2 * SHOWN else list(order)
    bars = Bars(
        "The most and the least vivid of them",
        "nats",
        [(every[i], float(measured.values[i]), float(low[i]), float(high[i])) for i in ends],
    )
    groups, direction = _groups(words, measured), _direction(words, measured)
    found = (
        f"{n} words by their divergence from the empty prompt, which says how much of the picture "
        f"they settle: from “{every[order[0]]}” ({measured.values[order[0]]:.3g} nats) to "
        f"“{every[order[-1]]}” ({measured.values[order[-1]]:.3g}). {_tell(direction)}"
    )
    return Section(
        "vividness",
        TITLE,
        found,
        {"n_words": n, "groups": groups.rows, "direction": direction},
        (("Medians of the groups", groups), ("All words", table)),
        (bars,),
        command=subject.command("vividness", every[:n]),
    )


def _groups(words: Words, measured: Vividness) -> Table:
    """Medians of names, hypernyms and words that nobody can draw."""
    value = dict(zip(measured.prompts, measured.values.tolist(), strict=True))
    groups = {
        "names of things": words.names,
        "what these are called in general": list(dict.fromkeys(words.hypernyms.values())),
        "abstract words": words.abstract,
    }
    rows = []
    for name, members in groups.items():
        known = sorted(value[word] for word in members if word in value)
        if known:
            low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
            numbers = {"median, nats": middle, "lower quartile": low, "upper quartile": high}
            rows.append({"group": name, "words": len(known), **map_floats(numbers)})
    return Table(rows)


def map_floats(numbers: dict[str, np.floating]) -> dict[str, float]:
    """The same numbers as plain ones."""
    return {name: float(value) for name, value in numbers.items()}


def _direction(words: Words, measured: Vividness) -> dict[str, float]:
    """Share of names that are more vivid than their hypernym, with a 95 % interval.

    The interval is from a bootstrap over kinds, each with all its names.
    """
    value = dict(zip(measured.prompts, measured.values.tolist(), strict=True))
    kinds: dict[str, list[bool]] = {}
    for name, kind in words.hypernyms.items():
        if name in value and kind in value:
            kinds.setdefault(kind, []).append(value[name] > value[kind])
    right = np.array([sum(kind) for kind in kinds.values()])
    pairs = np.array([len(kind) for kind in kinds.values()])
    if not len(pairs):
        return {"n_pairs": 0, "share": np.nan, "low": np.nan, "high": np.nan}
    chosen = np.random.default_rng(0).integers(len(pairs), size=(RESAMPLED, len(pairs)))
    resampled = right[chosen].sum(1) / pairs[chosen].sum(1)
    low, high = np.quantile(resampled, [0.025, 0.975]) if len(pairs) > 4 else (np.nan, np.nan)
    share = float(right.sum() / pairs.sum())
    return {"n_pairs": int(pairs.sum()), "share": share, "low": float(low), "high": float(high)}


def _tell(direction: dict[str, float]) -> str:
    if not direction["n_pairs"]:
        return ""
    interval = ""
    if np.isfinite(direction["low"]):
        interval = f" (95 % interval {direction['low']:.0%} to {direction['high']:.0%})"
    return (
        f"Of {direction['n_pairs']} names {direction['share']:.0%}{interval} are more vivid than "
        "what they are called in general, as “dog” should be more than “animal”."
    )
