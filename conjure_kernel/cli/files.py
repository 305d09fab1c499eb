"""Files of the command line: it reads matrices, and writes tables and pictures with provenance.

Outputs are written beside their place and renamed, so a failure leaves the old file.
"""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import tempfile
import uuid
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conjure_kernel._checks import import_optional
from conjure_kernel._table import Table, jsonable
from conjure_kernel.cache.folder import replace
from conjure_kernel.cli.options import UNWRITTEN, say
from conjure_kernel.cli.pictures import PICTURES

if TYPE_CHECKING:
    from conjure_kernel.engine.explanation import Explanation
    from conjure_kernel.engine.pairwise import Measured
    from conjure_kernel.engine.words import WordExplanation

__all__ = ["PAPER", "PICTURES", "ROWS", "TABLES", "check_output", "read_matrix", "rows_of"]
__all__ += [
    "write_explanation",
    "write_figure",
    "write_frame",
    "write_output",
    "write_page",
    "write_rows",
    "write_table",
    "write_tables",
]

PAPER = (".md", ".tex")
ROWS = (".csv", *PAPER)
TABLES = (".npz", ".parquet", *ROWS)
EXPLAINED = ("prompts", "divergence", "standard_error", "heat", "views", "morph", "switch_log_snr")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def check_output(path: Path, endings: Sequence[str], force: bool) -> None:
    """Raise an error, before any work, if an output could not be written after it."""
    if path.suffix.lower() not in endings:
        raise ValueError(f"'{path}': expected a name that ends in {', '.join(endings)}.")
    for target in _targets(path):
        if target.is_dir():
            raise ValueError(f"'{target}': expected the name of a file, got a folder.")
        if target.exists() and not target.is_file():
            raise ValueError(f"'{target}': expected the name of a file, got a pipe or a device.")
        if target.exists() and not force:
            raise ValueError(
                f"'{target}': expected a new file, got one that exists; pass --force to overwrite."
            )
    folder = Path(os.path.realpath(path)).parent
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(
            f"'{path}': expected a folder that can be written to, got '{folder}' "
            f"({error.strerror}); make it, or name another one."
        ) from error
    if path.suffix.lower() == ".parquet":
        for package in ("pandas", "pyarrow"):
            import_optional(package, "tables", f"'{path}'")


def write_output(path: Path, data: bytes) -> None:
    """Write a file that was asked for; where that fails, another one, and say where it is.

    What a symbolic link points to is written, and a file that is overwritten keeps its mode.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        replace(target, data, durable=True, mode=mode)
    except OSError as error:
        fallback = _write_elsewhere(path, data)
        if fallback is None:
            raise
        UNWRITTEN.append(str(path))
        say(f"'{path}': cannot be written ({error.strerror}); the result is in '{fallback}'.")


def _write_elsewhere(path: Path, data: bytes) -> Path | None:
    """Write a file into the first folder that takes it, and return its path."""
    for folder in (tempfile.gettempdir(), os.path.expanduser("~"), os.curdir):
        other = Path(folder, f"conjure-{uuid.uuid4().hex[:8]}{path.suffix}").absolute()
        with suppress(OSError):
            replace(other, data, durable=True)
            return other
    return None


def write_table(
    path: Path,
    measured: Measured,
    provenance: dict[str, Any],
    images: np.ndarray | None = None,
) -> None:
    """Write a matrix as .npz (with images), .csv (provenance in .csv.json), .md, .tex, .parquet."""
    buffer, facts = io.BytesIO(), json.dumps(provenance, indent=1)
    kind = path.suffix.lower()
    if kind == ".npz":
        pictures: dict[str, Any] = {} if images is None else {"images": images}
        np.savez_compressed(
            buffer,
            prompts=np.array(measured.prompts_a),
            divergences=measured.values,
            standard_errors=measured.standard_errors,
            kl=measured.legs[0],
            provenance=np.array(facts),
            **pictures,
        )
    elif kind == ".csv":
        table = measured.columns()
        columns = [np.asarray(column, dtype=object) for column in table.values()]
        buffer.write(_csv([list(table), *zip(*columns, strict=True)]))
    elif kind in PAPER:
        return write_tables(path, [Table(rows_of(measured))], provenance)
    else:
        return write_frame(path, measured.to_pandas(), provenance)
    write_output(path, buffer.getvalue())
    for sidecar in _targets(path)[1:]:
        write_output(sidecar, facts.encode())


def rows_of(measured: Measured) -> list[dict[str, Any]]:
    """A row for each pair, or each cell, of plain Python values."""
    long = {n: np.asarray(column, object).tolist() for n, column in measured.columns().items()}
    return [dict(zip(long, row, strict=True)) for row in zip(*long.values(), strict=True)]


def write_frame(path: Path, frame: Any, provenance: dict[str, Any]) -> None:
    """Write a DataFrame as .parquet, the provenance in its attrs."""
    buffer = io.BytesIO()
    frame.attrs = json.loads(json.dumps(provenance))
    frame.to_parquet(buffer)
    write_output(path, buffer.getvalue())


def write_rows(path: Path, rows: Sequence[dict[str, Any]], provenance: dict[str, Any]) -> None:
    """Write rows of equal names as .csv, the provenance in .csv.json, or as .md or .tex."""
    if path.suffix.lower() in PAPER:
        return write_tables(path, [Table(rows)], provenance)
    write_output(path, _csv([list(rows[0]), *(list(row.values()) for row in rows)]))
    write_output(_targets(path)[1], json.dumps(provenance, indent=1).encode())


def write_tables(path: Path, tables: Sequence[Table], provenance: dict[str, Any]) -> None:
    """Write tables for a paper as .md or .tex, the provenance in a comment at the end."""
    facts = json.dumps(jsonable(provenance))
    if path.suffix.lower() == ".tex":
        parts = [*(table.to_latex() for table in tables), f"% {facts}"]
    else:
        parts = [*(table.to_markdown() for table in tables), f"<!-- {facts.replace('-->', '')} -->"]
    write_output(path, ("\n\n".join(parts) + "\n").encode())


def read_matrix(source: str) -> dict[str, Any]:
    """Arguments for `html_map` and `plot_overview` from what `conjure matrix` wrote as .npz."""
    try:
        with open(source, "rb") as whole, np.load(whole, allow_pickle=False) as file:
            return {
                "divergences": file["divergences"],
                "labels": [str(prompt) for prompt in file["prompts"]],
                "standard_errors": file["standard_errors"],
                "images": file["images"] if "images" in file else None,
                "provenance": json.loads(str(file["provenance"])),
            }
    except OSError:
        raise
    except Exception as error:  # a file that is no matrix may raise anything
        raise ValueError(
            f"{source!r}: expected a matrix that `conjure matrix -o NAME.npz` wrote, got another "
            f"file ({type(error).__name__}: {error})."
        ) from error


def write_page(path: Path, page: str) -> None:
    """Write an HTML page."""
    write_output(path, page.encode("utf-8"))


def write_explanation(
    path: Path,
    explanation: Explanation | WordExplanation,
    names: Sequence[str] = EXPLAINED,
    **more: Any,
) -> None:
    """Write these arrays of an explanation, and more of them, as .npz."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: np.asarray(getattr(explanation, name)) for name in names}
    np.savez_compressed(
        buffer,
        **arrays,
        log_snr=explanation.grid.node_log_snr,
        profile=explanation.profile,
        profile_standard_errors=explanation.profile_standard_errors,
        provenance=np.array(json.dumps(explanation.provenance, indent=1)),
        **more,
    )
    write_output(path, buffer.getvalue())


def write_figure(
    path: Path,
    args: Namespace,
    provenance: dict[str, Any],
    plot: Callable[..., Any],
    *shown: Any,
    **more: Any,
) -> None:
    """Plot and write a figure as the options say, its provenance in the file's own metadata."""
    from conjure_kernel.plot import font_context

    buffer, kind = io.BytesIO(), path.suffix.lower()
    metadata = {PICTURES[kind]: json.dumps(provenance)}
    with font_context(args.font) if args.font else nullcontext():
        figure = plot(*shown, **more, size=args.size)
        figure.savefig(buffer, format=kind[1:], dpi=args.dpi or "figure", metadata=metadata)
    write_output(path, buffer.getvalue())


def _csv(lines: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([map(_harmless, line) for line in lines])
    return text.getvalue().encode()


def _harmless(cell: Any) -> Any:
    """A cell with an apostrophe before what a spreadsheet would run as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _targets(path: Path) -> list[Path]:
    return [path, Path(f"{path}.json")] if path.suffix.lower() == ".csv" else [path]
