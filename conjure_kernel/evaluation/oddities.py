"""What is odd about a file of scored pairs, as warnings."""

from __future__ import annotations

import warnings

from conjure_kernel._checks import PromptWarning, quote
from conjure_kernel.evaluation.records import Records

__all__ = ["tell_first", "tell_missing", "tell_repeated"]

FAR = 10  # times the largest score of all others


def tell_first(table: Records, scores: list[float]) -> None:
    """Warn of a first row whose score is far off, as a year is in a header w1, w2, 2019."""
    first, *others = scores
    if len(others) > 1 and first > FAR * max(map(abs, others)) > 0:
        cells = ",".join(map(str, table.rows[0]))
        warnings.warn(
            f"{table.name}, {table.places[0]}: {quote(cells)} is read as a pair, and its score is "
            f"more than {FAR} times all others; if the row is a header, name its columns with "
            "columns=...",
            category=PromptWarning,
            stacklevel=4,
        )


def tell_missing(table: Records, kept: list[int]) -> None:
    """Warn of rows that are left out as they have no score; an error where none has one."""
    left_out = sorted({*range(len(table.rows))} - {*kept})
    if not kept:
        raise ValueError(f"{table.name}: expected pairs with a score, got {len(left_out)} without.")
    first = ", ".join(table.places[i] for i in left_out[:3])
    warnings.warn(
        f"{table.name}: {len(left_out)} of {len(table.rows)} pairs have no score and are left out "
        f"({first}{', ...' if len(left_out) > 3 else ''}).",
        category=PromptWarning,
        stacklevel=4,
    )


def tell_repeated(name: str, left: list[str], right: list[str], scores: list[float]) -> None:
    """Warn of pairs, in either order, that come again with another score."""
    known: dict[frozenset[str], set[float]] = {}
    for a, b, score in zip(left, right, scores, strict=True):
        known.setdefault(frozenset((a, b)), set()).add(score)
    if differing := [pair for pair, found in known.items() if len(found) > 1]:
        first = " | ".join(sorted(differing[0]))
        warnings.warn(
            f"{name}: {len(differing)} pairs come again with another score, such as "
            f"{quote(first)}; all are kept.",
            category=PromptWarning,
            stacklevel=4,
        )
