"""Which columns of a file are the two texts and their score, and what the scores say."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from conjure_kernel._checks import PromptWarning, quote
from conjure_kernel.evaluation.delimited import DECIMAL, STS_B, as_number, is_missing, is_number
from conjure_kernel.evaluation.oddities import tell_first, tell_missing, tell_repeated
from conjure_kernel.evaluation.records import Records

__all__ = ["PairRows", "pairs_of", "texts_of"]

TEXTS = [
    ("sentence1", "sentence2"),
    ("word1", "word2"),
    ("text_a", "text_b"),
    ("sentence_a", "sentence_b"),
    ("prompt_a", "prompt_b"),
    ("word 1", "word 2"),
    ("text1", "text2"),
]
SCORES = ("score", "relatedness_score", "human (mean)", "simlex999", "similarity", "rating", "gold")
CORPORA = ("source", "dataset", "genre")
STS_B_NAMES = ("genre", "dataset", "year", "id", "score", "sentence1", "sentence2")  # the raw files


@dataclass(frozen=True)
class PairRows:
    """Pairs that have a score, how they were read, and how many have none."""

    left: list[str]
    right: list[str]
    scores: np.ndarray
    corpora: list[str] | None
    found: dict[str, Any]


def pairs_of(
    records: Records,
    columns: Sequence[str | int] | None = None,
    header: bool | None = None,
    score: str | None = None,
) -> PairRows:
    """Pairs and scores of a file's rows.

    Parameters
    ----------
    records : Records
    columns : (text_a, text_b, score), optional
        Names or places. Default: known names, or in a file without a header the only number of
        three columns.
    header : bool, optional
        Whether the first row holds names. Default: whether its score is no number.
    score : str, optional
        Name of the column of the score, instead of the third of `columns`.

    Raises
    ------
    ValueError, TypeError
        No such columns, a score that is no number, or a text that is missing; with the line.
    """
    empty = f"{records.name}: expected a header and one pair a line, got no pairs."
    if not records.rows:
        raise ValueError(empty)
    table, (a, b, place) = _place(records, columns, header, score)
    if not table.rows:
        raise ValueError(empty)
    kept = [i for i, row in enumerate(table.rows) if not is_missing(row[place])]
    values = [_number(table.rows[i][place], table, i, place) for i in kept]
    if columns is None and table.names is None and place == 0 and len(values) > 2:
        if [value - values[0] for value in values] == list(range(len(values))):
            raise ValueError(
                f"{table.name}: expected scores, got numbers of the rows in column 1; name both "
                "texts and the score with columns=..."
            )
    if columns is None and header is None and table.names is None and 0 in kept:
        tell_first(table, values)
    cells = [str(table.rows[i][place]).strip() for i in kept]
    commas = [cell for cell in cells if DECIMAL.fullmatch(cell)]
    if commas and (any("." in cell for cell in cells) or all(c[-4:-3] == "," for c in commas)):
        raise ValueError(
            f"{table.name}, {table.places[kept[cells.index(commas[0])]]}: {_label(table, place)}="
            f"{quote(commas[0])}: expected numbers written alike, got a comma that may stand "
            "before decimals or between thousands; write them with a point, and no other mark."
        )
    left, right = ([_text(table, i, side) for i in kept] for side in (a, b))
    names = [name.lower() for name in table.names or ()]
    corpus = next((names.index(c) for c in CORPORA if c in names), None)
    corpora = None
    if corpus is not None and corpus not in (a, b, place):
        corpora = [str(table.rows[i][corpus]) for i in kept]
    found = dict(table.found) | ({"decimal": ","} if commas else {})
    if n_missing := len(table.rows) - len(kept):
        found["without_score"] = n_missing
        tell_missing(table, kept)
    tell_repeated(table.name, left, right, values)
    return PairRows(left, right, np.array(values), corpora, found)


def rated(
    records: Records,
    columns: Sequence[str | int] | None,
    header: bool | None,
    scores: Sequence[str],
) -> Records:
    """The rows that have all of these scores, under their header; a warning counts the others."""
    tables = [_place(records, columns, header, score) for score in scores]
    table, places = tables[0][0], [place for _, (_, _, place) in tables]
    rows = enumerate(table.rows)
    kept = [i for i, row in rows if not any(is_missing(row[place]) for place in places)]
    if len(kept) == len(table.rows):
        return table
    tell_missing(table, kept)
    lines = [table.places[i] for i in kept]
    return replace(table, rows=[table.rows[i] for i in kept], places=lines)


def texts_of(
    records: Records, columns: Sequence[str | int] | None = None, header: bool | None = None
) -> tuple[list[str], list[str]]:
    """Both texts of each row of a file, without regard to scores.

    Parameters
    ----------
    records, columns, header
        Those of `pairs_of`, but for two columns. Default: known names; or in a file that has no
        header, as is said or as a number in its first row tells, the first two.

    Raises
    ------
    ValueError, TypeError
        No such columns, or a text that is missing; with the line.
    """
    if not records.rows:
        raise ValueError(f"{records.name}: expected one pair a line, got no pairs.")
    named = records if header is False else records.with_header()
    if columns is not None:
        if isinstance(columns, str) or len(columns) != 2:
            raise ValueError(f"columns={quote(columns)}: expected those of both texts.")
        table = records.with_header() if _has_header(records, columns, header) else records
        a, b = _different(table, columns)
    elif named.names and (known := _known(named, TEXTS)):
        table, (a, b) = named, known
    elif records.names is None and (header is False or any(map(is_number, records.rows[0]))):
        table = records
        places = [i for i, cell in enumerate(records.rows[0]) if not is_number(cell)]
        if len(places) < 2:
            raise ValueError(
                f"{records.name}: expected two texts a line; name them with columns=..."
            )
        a, b = (5, 6) if str(records.rows[0][0]).startswith(STS_B) else places[:2]
    else:
        raise ValueError(
            f"{records.name}: expected the columns "
            f"{' or '.join(', '.join(pair) for pair in TEXTS[:3])}, got "
            f"{', '.join(named.names or ())}; name two with columns=..., or pass header=False."
        )
    rows = range(len(table.rows))
    return [_text(table, i, a) for i in rows], [_text(table, i, b) for i in rows]


def _place(
    records: Records,
    columns: Sequence[str | int] | None,
    header: bool | None,
    score: str | None = None,
) -> tuple[Records, tuple[int, int, int]]:
    """The rows under their header, and the places of both texts and of the score."""
    if columns is not None and score is not None:
        columns = [*columns[:2], score]
    if columns is not None:
        if isinstance(columns, str) or len(columns) != 3:
            raise ValueError(f"columns={quote(columns)}: expected both texts and the score.")
        table = records.with_header() if _has_header(records, columns, header) else records
        a, b, place = _different(table, columns)
        return table, (a, b, place)
    named = records if header is False else records.with_header()
    names = SCORES if score is None else (score.lower(),)
    choices = [(*texts, name) for texts in TEXTS for name in names]
    if named.names and (known := _known(named, choices)):
        return named, known  # type: ignore[return-value]
    if score is None and records.names is None and header is not True and records.rows:
        if str(records.rows[0][0]).startswith(STS_B) and len(records.rows[0]) == 7:
            return replace(records, names=list(STS_B_NAMES)), (5, 6, 4)
        numbers = [i for i, cell in enumerate(records.rows[0]) if is_number(cell)]
        if len(records.rows[0]) == 3 and len(numbers) == 1:
            a, b = sorted({0, 1, 2} - {*numbers})
            return records, (a, b, numbers[0])
    choices = [(*texts, score or "score") for texts in TEXTS[:3]]
    wanted = " or ".join(", ".join(choice) for choice in choices)
    raise ValueError(
        f"{records.name}: expected the columns {wanted}, got {', '.join(named.names or ())}; name "
        "three of these with columns=..."
    )


def _different(table: Records, columns: Sequence[str | int]) -> list[int]:
    """Places of columns, no two of which are the same."""
    places = [table.column(key, "columns") for key in columns]
    if len({*places}) < len(places):
        raise ValueError(f"columns={quote(columns)}: expected different columns.")
    return places


def _has_header(records: Records, columns: Sequence[str | int], header: bool | None) -> bool:
    """Whether the first row is a header: as is said, or if a column is named, or has no number."""
    if records.names is not None or not records.rows or header is not None:
        return bool(header)
    places = [key for key in columns if isinstance(key, int) or key.isdecimal()]
    if len(places) < len(columns):
        return True
    if len(columns) < 3:
        return False
    cell = records.rows[0][records.column(columns[2], "columns")]
    return not (is_number(cell) or is_missing(cell) or re.search(r"\d", str(cell)))


def _known(table: Records, choices: Sequence[tuple[str, ...]]) -> tuple[int, ...] | None:
    names = [name.lower() for name in table.names or ()]
    found = [choice for choice in choices if {*choice} <= {*names}]
    if not found:
        return None
    if twice := [name for name in found[0] if names.count(name) > 1]:
        raise ValueError(
            f"columns={quote(twice[0])}: expected one column of that name in {table.name}, in any "
            f"case, got {names.count(twice[0])}; name its place."
        )
    if others := [name for name in dict.fromkeys(chain(*found)) if name not in found[0]]:
        warnings.warn(
            f"{table.name}: the columns {', '.join(found[0])} are read, and not "
            f"{', '.join(others)}; name others with columns=...",
            category=PromptWarning,
            stacklevel=5,
        )
    return tuple(names.index(name) for name in found[0])


def _number(cell: Any, table: Records, i: int, column: int) -> float:
    if not math.isfinite(number := as_number(cell)):
        raise ValueError(
            f"{table.name}, {table.places[i]}: {_label(table, column)}={quote(cell)}: expected a "
            "finite number; mend that row, or name another column."
        )
    return number


def _text(table: Records, i: int, column: int) -> str:
    cell = table.rows[i][column]
    if not isinstance(cell, str):
        raise TypeError(
            f"{table.name}, {table.places[i]}: {_label(table, column)}={quote(cell)}: expected a "
            "string; fill or drop that row."
        )
    if not cell.strip():
        raise ValueError(
            f"{table.name}, {table.places[i]}: {_label(table, column)}: expected a text, got an "
            "empty cell; fill or drop that row."
        )
    return cell.strip()


def _label(table: Records, column: int) -> str:
    return table.names[column] if table.names else f"column {column + 1}"
