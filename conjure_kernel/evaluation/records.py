"""Rows of a file as it comes: delimited text, JSON, JSON lines, parquet or a spreadsheet."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from conjure_kernel._checks import PromptWarning, check_choice, import_optional, quote
from conjure_kernel.evaluation.delimited import (
    DELIMITERS,
    QUOTES,
    check_equally_long,
    find_delimiter,
    split_fields,
)
from conjure_kernel.evaluation.encoding import decode, read_bytes

__all__ = ["Records", "read_records", "records_of_table"]


@dataclass(frozen=True)
class Records:
    """Rows of one file.

    Attributes
    ----------
    name : str
        The file, for messages.
    names : list of str, or None
        Columns; None where nothing says whether the first row is a header.
    rows : list of list
        Cells, all rows equally long.
    places : list of str
        Where each row stands, as "line 3".
    found : dict
        How the file was read: encoding, delimiter.
    """

    name: str
    names: list[str] | None
    rows: list[list[Any]]
    places: list[str]
    found: dict[str, Any] = field(default_factory=dict)

    def with_header(self) -> Records:
        """The first row taken for the names of the columns, if there are none."""
        if self.names is not None or not self.rows:
            return self
        names = [str(cell).strip() for cell in self.rows[0]]
        return replace(self, names=names, rows=self.rows[1:], places=self.places[1:])

    def column(self, key: str | int, parameter: str) -> int:
        """Place of a column: by its name, in any case, or by its place (a text counts from 1)."""
        names, width = self.names or [], len(self.rows[0]) if self.rows else 0
        lower = [name.lower() for name in names]
        if isinstance(key, str) and names.count(key) > 1:
            raise ValueError(
                f"{parameter}={quote(key)}: expected one column of that name in {self.name}, got "
                f"{names.count(key)}; name its place."
            )
        if isinstance(key, str) and key in names:
            return names.index(key)
        if isinstance(key, str) and lower.count(key.lower()) == 1:
            return lower.index(key.lower())
        place = int(key) - 1 if isinstance(key, str) and key.isdecimal() else key
        if isinstance(place, int) and 0 <= place < max(width, len(names)):
            return place
        known = ", ".join(map(repr, names)) or f"places 1 to {width}"
        raise ValueError(f"{parameter}={quote(key)}: expected a column of {self.name}: {known}.")


def read_records(
    source: str | Path,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    quoting: str = "auto",
    comment: str | None = None,
) -> Records:
    """Rows of a file; what it is, its name tells, without .gz.

    Parameters
    ----------
    source : str or path
        .json, .jsonl or .ndjson, .parquet, .xlsx, or delimited text; "-" is stdin.
    delimiter : str, optional
        A character, or "comma", "semicolon", "tab", "pipe" or "space". Default: a tab in .tsv,
        else the one by which all lines have equally many fields, and most of them.
    encoding : str, optional
        Default: it is found.
    quoting : {"auto", "none", '"', "'"}
        What encloses a field; "auto" is '"', and nothing where tabs or spaces separate.
    comment : str, optional
        Lines that begin so are left out.

    Raises
    ------
    ValueError
        The file is not what its name says, or its rows are not equally long.
    """
    check_choice(quoting, "quoting", QUOTES)
    path = Path(str(source).removesuffix(".gz"))
    name, data, kind = _name(source), read_bytes(source), path.suffix.lower()
    if kind in _PACKED:
        return _PACKED[kind](data, name)
    text, found = decode(data, name, encoding)
    if kind in _JSON:
        return replace(_JSON[kind](text, name), found={"encoding": found})
    if comment:
        kept = ("" if line.startswith(comment) else line for line in text.split("\n"))
        text = "\n".join(kept)  # a line that is left out still counts
    if delimiter is None and text[:4].lower() == "sep=":  # the first line, as spreadsheets write it
        delimiter, text = text[4:5], text[text.find("\n") :]
    given = DELIMITERS.get(delimiter, delimiter) if delimiter else None
    if given is not None and len(given) != 1:
        raise ValueError(
            f"delimiter={delimiter!r}: expected one character, or {', '.join(DELIMITERS)}."
        )
    by = given or ("\t" if kind == ".tsv" else find_delimiter(text, quoting))
    rows, lines = split_fields(text, by, quoting, name)
    rows = check_equally_long(rows, lines, by, name)
    _tell_long_fields(rows, lines, name)
    about = {"encoding": found} | ({} if by is None else {"delimiter": by})
    return Records(name, None, rows, [f"line {line}" for line in lines], about)


def records_of_table(table: Any) -> Records:
    """Rows of a DataFrame of pandas or polars, or a table of pyarrow."""
    names = [str(name) for name in getattr(table, "column_names", table.columns)]
    if hasattr(table, "to_pylist"):
        columns = [column.to_pylist() for column in table.itercolumns()]
    elif hasattr(table, "to_dicts"):
        columns = [table[name].to_list() for name in table.columns]
    else:
        whole = table.astype(object).where(table.notna(), None)
        columns = [whole.iloc[:, i].tolist() for i in range(len(names))]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Records("table", names, rows, [f"row {i}" for i in range(len(rows))])


def _tell_long_fields(rows: list[list[str]], lines: list[int], name: str) -> None:
    """Warn of fields of several lines, which a quote that is a letter may have made."""
    pairs = zip(rows, lines, strict=True)
    if long := [line for row, line in pairs if any("\n" in cell for cell in row)]:
        warnings.warn(
            f"{name}: {len(long)} rows hold a field of several lines (first in line "
            f"{long[0]}); pass quoting='none' if its quotes are letters.",
            category=PromptWarning,
            stacklevel=3,
        )


def _name(source: str | Path) -> str:
    return "stdin" if str(source) == "-" else f"'{source}'"


# ---------------------------------------------------------------- JSON


def _json_lines(text: str, name: str) -> Records:
    items, places = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            items.append(_parse(line, f"{name}, line {number}"))
            places.append(f"line {number}")
    return _of_items(items, places, name)


def _json(text: str, name: str) -> Records:
    whole = _parse(text, name)
    if isinstance(whole, dict):
        lists = {key: value for key, value in whole.items() if isinstance(value, list)}
        lengths = {len(value) for value in lists.values()}
        if len(lists) == 1 and not all(isinstance(x, str) for x in next(iter(lists.values()))):
            whole = next(iter(lists.values()))
        elif lists and len(lengths) == 1:
            whole = [
                dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)
            ]
    if not isinstance(whole, list):
        raise ValueError(f"{name}: expected a list of records or of texts, got {quote(whole)}.")
    return _of_items(whole, [f"record {i}" for i in range(1, len(whole) + 1)], name)


def _parse(text: str, place: str) -> Any:
    def record(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(items)) < len(items):
            keys = [key for key, _ in items]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"{place}: expected each key once in a record, got {twice!r} again.")
        return found

    try:
        return json.loads(text, object_pairs_hook=record)
    except json.JSONDecodeError as error:
        where = "" if "line" in place else f", line {error.lineno}"
        raise ValueError(
            f"{place}{where}: expected JSON, got another text ({error.msg})."
        ) from None


def _of_items(items: list[Any], places: list[str], name: str) -> Records:
    """Records of objects, whose nested keys become paths as "a.b", or of plain texts."""
    flat = [dict(_paths(item)) for item in items]
    names = list(dict.fromkeys(key for item in flat for key in item))
    return Records(name, names, [[item.get(key) for key in names] for item in flat], places)


def _paths(item: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    if not isinstance(item, dict):
        yield path or "text", item
        return
    for key, value in item.items():
        yield from _paths(value, f"{path}.{key}" if path else str(key))


# ---------------------------------------------------------------- tables


def _table(reader: str, **options: Any) -> Callable[[bytes, str], Records]:
    def read(data: bytes, name: str) -> Records:
        pd = import_optional("pandas", "tables", name)
        try:
            table = getattr(pd, reader)(io.BytesIO(data), **options)
            if isinstance(table, dict):
                table = _first_sheet(table, name)
        except ImportError as error:
            raise ImportError(f'{name}: {error}; pip install "conjure-kernel[tables]".') from error
        except Exception as error:  # whatever the parsers raise
            raise ValueError(
                f"{name}: cannot be read ({type(error).__name__}: {error})."
            ) from error
        found = records_of_table(table)
        places = [f"row {i + 1}" for i in range(len(table))]
        names = None if "header" in options else found.names
        return replace(found, name=name, names=names, places=places)

    return read


def _first_sheet(sheets: dict[str, Any], name: str) -> Any:
    """The first sheet that is not empty; the others are told."""
    filled = [sheet for sheet, table in sheets.items() if len(table)] or list(sheets)
    if others := filled[1:]:
        warnings.warn(
            f"{name}: the sheet {quote(filled[0])} is read, and not {', '.join(map(quote, others))}"
            "; save another one as a file of its own.",
            category=PromptWarning,
            stacklevel=2,
        )
    return sheets[filled[0]]


# A cell that says "NA" or "null" is a text.
_EXCEL: dict[str, Any] = {"header": None, "sheet_name": None, "keep_default_na": False}
_EXCEL["na_values"] = [""]
_PACKED = {".parquet": _table("read_parquet"), ".xlsx": _table("read_excel", **_EXCEL)}
_JSON: dict[str, Callable[[str, str], Records]] = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
