"""Prompts and pairs that a command reads: lists as published, tables and records."""

from __future__ import annotations

import re
import warnings
from argparse import Namespace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conjure_kernel._checks import PromptWarning, check_prompts, quote

if TYPE_CHECKING:
    from conjure_kernel.evaluation.records import Records

__all__ = ["listed_names", "listed_prompts", "read_colours", "read_prompts", "reading_of"]

NAMES = ("prompt", "prompts", "text", "caption")  # columns that need no --column
SIGNS = {"a bullet or a number": re.compile(r"^([-*•]|\d+[.)])\s"), "a comma": re.compile(",$")}
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx")


def reading_of(args: Namespace) -> dict[str, Any]:
    """How a command reads its file: the arguments of `read_records`."""
    given = {"delimiter": args.delimiter, "encoding": args.encoding, "comment": args.comment}
    return {**given, "quoting": args.quote}


def listed_names() -> dict[str, str]:
    """The names in the package, each with what it is a kind of."""
    text = (files("conjure_kernel.cli") / "names.tsv").read_text("utf-8")
    return dict(line.split("\t") for line in text.splitlines()[1:])


def listed_prompts() -> list[str]:
    """The short list in the package."""
    return (files("conjure_kernel.cli") / "prompts.txt").read_text("utf-8").splitlines()


def read_prompts(args: Namespace) -> list[str]:
    """Prompts of a file: one a line, or a column; "-" is stdin, None the names in the package.

    Space around prompts, and lines of nothing else, are left out, and quotes around every line.
    """
    source, column = args.prompts, args.column
    if source is None:
        if column is not None:
            raise ValueError(f"--column={column!r}: expected a file with it, got no FILE.")
        return list(listed_names())
    name = "stdin" if source == "-" else repr(source)
    is_table = Path(source.removesuffix(".gz")).suffix.lower() in TABLES
    if column is not None or is_table or args.delimiter:
        cells = _column_of(args)
    else:
        cells = _lines_of(source, name, args)
    if not (prompts := [cell.strip() for cell in cells if cell.strip()]):
        raise ValueError(f"{name}: expected prompts, one a line, got none.")
    return check_prompts(prompts, name)


def read_colours(args: Namespace, prompts: list[str]) -> dict[str, list[Any]]:
    """The columns that --colour names: for each prompt the value of the first row that has it."""
    from conjure_kernel.evaluation.records import read_records

    if not args.colour:
        return {}
    if args.prompts in (None, "-") or args.prompts.lower().endswith(".npz"):
        raise ValueError(
            f"--colour={args.colour[0]!r}: expected a table as FILE, of which it is a column."
        )
    records = read_records(args.prompts, **reading_of(args)).with_header()
    own = records.column(_guess(records) if args.column is None else args.column, "--column")
    row_of: dict[str, list[Any]] = {}
    for row in records.rows:
        if isinstance(row[own], str) and row[own].strip():
            row_of.setdefault(check_prompts([row[own].strip()])[0], row)
    columns = {}
    for name in args.colour:
        place = records.column(name, "--colour")
        columns[name] = _numbers([row_of[prompt][place] for prompt in prompts])
    return columns


def _numbers(cells: list[Any]) -> list[Any]:
    """Cells as numbers, where all that are not empty are some; else as they are."""
    texts = [cell.strip() if isinstance(cell, str) else cell for cell in cells]
    kept = [None if text == "" else text for text in texts]
    try:
        return [None if cell is None else float(cell) for cell in kept]
    except (TypeError, ValueError):
        return kept


def _column_of(args: Namespace) -> list[str]:
    """The texts of one column; cells that are missing are empty."""
    from conjure_kernel.evaluation.records import read_records

    records = read_records(args.prompts, **reading_of(args))
    if not args.no_header:
        records = records.with_header()
    if not records.rows:
        raise ValueError(f"{records.name}: expected prompts, one a line, got none.")
    place = records.column(_guess(records) if args.column is None else args.column, "--column")
    cells = [row[place] for row in records.rows]
    for cell, where in zip(cells, records.places, strict=True):
        if not isinstance(cell, str) and cell is not None:
            raise ValueError(f"{records.name}, {where}: expected a text, got {cell!r}.")
    empty = [i for i, cell in enumerate(cells) if not (cell or "").strip()]
    if empty and len(empty) < len(cells):
        first = ", ".join(records.places[i] for i in empty[:3])
        warnings.warn(
            f"{records.name}: {len(empty)} of {len(cells)} rows have no text and are left out "
            f"({first}{', ...' if len(empty) > 3 else ''}).",
            category=PromptWarning,
            stacklevel=3,
        )
    return [cell or "" for cell in cells]


def _guess(records: Records) -> str | int:
    """The column of prompts, where there can be no other."""
    names = records.names or []
    known = [name for name in names if name.lower() in NAMES]
    if len(known) == 1:
        return known[0]
    if len(names) == 1:
        warnings.warn(
            f"{records.name}: the first line, {quote(names[0])}, is taken for the name of the "
            "column; pass --no-header if it is a prompt.",
            category=PromptWarning,
            stacklevel=2,
        )
    if len(names) == 1 or (not names and len(records.rows[0]) == 1):
        return 0
    raise ValueError(
        f"{records.name}: expected --column with a table; pass one of "
        f"{', '.join(map(repr, names)) or 'its places, from 1'}."
    )


def _lines_of(source: str, name: str, args: Namespace) -> list[str]:
    """The lines of a text; where all are in quotes, without them."""
    from conjure_kernel.evaluation.delimited import is_enclosed
    from conjure_kernel.evaluation.encoding import decode, read_bytes

    text, _ = decode(read_bytes(source), name, args.encoding)
    lines = [line.strip() for line in text.split("\n")]
    kept = [x for x in lines if x and not (args.comment and x.startswith(args.comment))]
    if args.quote != "none":
        for quote in ('"', "'"):
            if all(is_enclosed(line, quote) for line in kept):
                return [line[1:-1].replace(2 * quote, quote) for line in kept]
    for what, sign in SIGNS.items():
        if len(kept) > 1 and all(map(sign.search, kept[:-1])):
            warnings.warn(
                f"{name}: all lines have {what}, which is read as a part of each prompt; take it "
                "out if it is none.",
                category=PromptWarning,
                stacklevel=3,
            )
    return kept
