"""Fields of delimited text: which delimiter it has, what its quotes mean, and even rows."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import Any

__all__ = ["DELIMITERS", "QUOTES", "STS_B", "check_equally_long", "find_delimiter", "split_fields"]

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "space": " "}
QUOTES = ("auto", "none", '"', "'")
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
    """Whether all quotes enclose whole fields, and some are doubled within, as pandas writes them.

    In a published file a text may have a quote of its own, or begin and end with one.
    """
    fields = [cell for line in text.split("\n") for cell in line.split(by) if '"' in cell]
    inner = [cell[1:-1] for cell in fields if len(cell) > 1 and cell[0] == cell[-1] == '"']
    whole = len(inner) == len(fields) and not any('"' in x.replace('""', "") for x in inner)
    return whole and any('""' in cell for cell in inner)


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
