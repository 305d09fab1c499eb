"""Fields of delimited text: which delimiter it has, what its quotes mean, and even rows."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from typing import Any

__all__ = ["DECIMAL", "DELIMITERS", "QUOTES", "STS_B", "as_number", "check_equally_long"]
__all__ += ["find_delimiter", "is_enclosed", "is_missing", "is_number", "split_fields"]

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "space": " "}
QUOTES = ("auto", "none", '"', "'")
MISSING = {"", "na", "n/a", "nan", "none", "null", "-", "?", "."}
DECIMAL = re.compile(r"[-+]?\d+,\d+")
LONGEST_FIELD = 2**31 - 1
STS_B = "main-"  # begins each line of the raw files, some of which hold a licence at their end


def find_delimiter(text: str, quoting: str) -> str | None:
    """The delimiter by which all lines have equally many fields; None where there is one field."""
    if text.startswith(STS_B):
        return "\t"
    widths = {}
    for by in (",", ";", "\t", "|", " "):
        try:
            rows, _ = split_fields(text, by, quoting, "")
        except ValueError:
            continue
        counts = {len(row) for row in rows}
        # Spaces separate texts of one word, as in lists of words, and nothing else.
        if len(counts) == 1 and (width := counts.pop()) >= (3 if by == " " else 2):
            widths[by] = width
    if any(by != " " for by in widths):
        widths.pop(" ", None)
    if widths:
        return max(widths, key=lambda by: widths[by])
    first = Counter(next((line for line in text.split("\n") if line.strip()), ""))
    best = max((",", ";", "\t", "|"), key=lambda by: first[by])
    return best if first[best] else None


def split_fields(
    text: str, by: str | None, quoting: str, name: str
) -> tuple[list[list[str]], list[int]]:
    """Fields of each line that is not empty, and the number of the line where they begin."""
    csv.field_size_limit(LONGEST_FIELD)
    literal = quoting == "none" or (quoting == "auto" and by in ("\t", " "))
    if literal and quoting == "auto" and _has_csv_quotes(text, by):
        literal = False
    if by is not None and quoting == "auto" and _all_quoted(text, by, "'"):
        literal, quoting = False, "'"
    how: dict[str, Any] = {"delimiter": by or "\x1f", "strict": True}
    if literal:
        how["quoting"] = csv.QUOTE_NONE
    else:
        how |= {"quotechar": '"' if quoting == "auto" else quoting, "skipinitialspace": True}
    rows: list[list[str]] = []
    lines: list[int] = []
    reader, line = csv.reader(io.StringIO(text), **how), 1
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise ValueError(
                f"{name}, line {line}: expected quotes around whole fields, and doubled within, "
                f"got others ({error}); pass quoting='none' where quotes are letters."
            ) from None
        if fields is None:
            return rows, lines
        if any(cell.strip() for cell in fields):
            rows.append(fields)
            lines.append(line)
        line = reader.line_num + 1


def _has_csv_quotes(text: str, by: str | None) -> bool:
    """Whether all quotes enclose whole fields, and no chance can have put them there.

    Some are doubled within, as pandas writes them; or just the fields with a comma have them, as
    spreadsheets write them; or all texts, as R does. In a published file a text may have a quote
    of its own, or begin and end with one.
    """
    fields = [cell for line in text.split("\n") for cell in line.split(by)]
    quoted = [cell for cell in fields if '"' in cell]
    if not quoted or not all(is_enclosed(cell, '"') for cell in quoted):
        return False
    by_commas = all(("," in cell) == ('"' in cell) for cell in fields if not is_number(cell))
    return any('""' in cell[1:-1] for cell in quoted) or by_commas or _all_quoted(text, by)


def _all_quoted(text: str, by: str | None, quote: str = '"') -> bool:
    """Whether every text, but perhaps the names of the columns, is in quotes."""
    lines = [line for line in text.split("\n") if line.strip()]
    cells = [cell.strip() for line in lines[1:] or lines for cell in line.split(by)]
    texts = [cell for cell in cells if not (is_missing(cell) or is_number(cell))]
    return bool(texts) and all(is_enclosed(cell, quote) for cell in texts)


def is_enclosed(cell: str, quote: str) -> bool:
    """Whether a cell begins and ends with a quote, and those within are doubled."""
    within = cell[1:-1].replace(2 * quote, "")
    return len(cell) > 1 and cell[0] == cell[-1] == quote and quote not in within


def check_equally_long(
    rows: list[list[str]], lines: list[int], by: str | None, name: str
) -> list[list[str]]:
    """The rows, if they have as many fields as the first."""
    width = len(rows[0]) if rows else 0
    for row, line in zip(rows, lines, strict=True):
        if len(row) != width and not (row[0].startswith(STS_B) and len(row) >= 7):
            raise ValueError(
                f"{name}, line {line}: expected {width} fields, as in line {lines[0]} "
                f"({', '.join(rows[0])}), got {len(row)}; quote fields that hold {by!r}, or pass "
                "quoting='none' where quotes are letters, or another delimiter."
            )
    return [row[:7] for row in rows] if len({*map(len, rows)}) > 1 else rows


def is_missing(cell: Any) -> bool:
    """Whether a cell says that it has no value."""
    return cell is None or str(cell).strip().lower() in MISSING


def is_number(cell: Any) -> bool:
    """Whether a cell is a finite number."""
    return math.isfinite(as_number(cell))


def as_number(cell: Any) -> float:
    """The number of a cell, also with a decimal comma; NaN where it is none."""
    text = str(cell).strip().replace("_", "?")  # which Python takes for nothing
    try:
        return float(text.replace(",", ".") if DECIMAL.fullmatch(text) else text)
    except ValueError:
        return math.nan
