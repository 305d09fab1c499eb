"""Files of the command line: prompts in; tables, pictures and their provenance out.

Outputs are written to one side and renamed, so a failure leaves the old file.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conjure_kernel._checks import import_optional
from conjure_kernel.cache.folder import replace
from conjure_kernel.method.divergence import Divergence

if TYPE_CHECKING:
    from conjure_kernel.engine.explanation import Explanation

__all__ = ["PICTURES", "TABLES", "check_output", "read_matrix", "read_prompts"]
__all__ += [
    "write_explanation",
    "write_figure",
    "write_page",
    "write_rows",
    "write_table",
    "write_vectors",
]

TABLES = (".npz", ".csv", ".parquet")
PICTURES = {".png": "Description", ".svg": "Description", ".pdf": "Subject"}  # for the provenance


def read_prompts(source: str | None, column: str | None = None) -> list[str]:
    """Prompts of a file, one a line or a CSV column; "-" is stdin, None the bundled list.

    Space around a prompt, and what is then empty, is left out.
    """
    if source is None:
        if column is not None:
            raise ValueError(f"--column {column}: name the CSV file, too.")
        text = (files("conjure_kernel.cli") / "prompts.txt").read_text("utf-8")
        return text.splitlines()
    text, name = _read_text(source), "stdin" if source == "-" else repr(source)
    lines = text.split("\n") if column is None else _read_column(text, column, name)
    if column is None and source.lower().endswith(".csv"):
        found = ", ".join(map(repr, next(csv.reader(io.StringIO(text)), [])))
        raise ValueError(f"{name}: pass --column NAME to read a CSV file. Its first line: {found}.")
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise ValueError(f"{name} holds no prompts: one a line is needed.")
    return prompts


def check_output(path: Path, endings: Sequence[str], force: bool) -> None:
    """Refuse, before any work, an output that could not be written after it."""
    if path.suffix.lower() not in endings:
        raise ValueError(f"'{path}': expected a name that ends in {', '.join(endings)}.")
    for target in _targets(path):
        if target.is_dir():
            raise ValueError(f"'{target}' is a folder: expected the name of a file.")
        if target.exists() and not force:
            raise ValueError(f"'{target}' exists: pass --force to overwrite it.")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise ValueError(f"'{path}': cannot write in that folder ({error.strerror}).") from error
    if path.suffix.lower() == ".parquet":
        for package in ("pandas", "pyarrow"):
            import_optional(package, "tables", f"'{path}'")


def write_table(
    path: Path,
    measured: Divergence,
    provenance: dict[str, Any],
    images: np.ndarray | None = None,
) -> None:
    """Write a matrix as .npz (with images), .csv (provenance in .csv.json) or .parquet."""
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
        table = _columns(measured)
        buffer.write(_csv([list(table), *zip(*table.values(), strict=True)]))
    else:
        frame = measured.to_pandas()
        frame.attrs = json.loads(facts)
        frame.to_parquet(buffer)
    replace(path, buffer.getvalue())
    for sidecar in _targets(path)[1:]:
        replace(sidecar, facts.encode())


def write_vectors(
    path: Path, prompts: Sequence[str], vectors: np.ndarray, provenance: dict[str, Any]
) -> None:
    """Write vectors (n, n_components) as .npz or .parquet."""
    buffer, facts = io.BytesIO(), json.dumps(provenance, indent=1)
    if path.suffix.lower() == ".npz":
        np.savez_compressed(
            buffer,
            prompts=np.array(prompts),
            vectors=vectors,
            references=np.array(provenance["references"]),
            provenance=np.array(facts),
        )
    else:
        pd = import_optional("pandas", "tables", f"'{path}'")

        columns = [f"x{i}" for i in range(vectors.shape[1])]
        frame = pd.DataFrame(vectors, index=pd.Index(prompts, name="prompt"), columns=columns)
        frame.attrs = json.loads(facts)
        frame.to_parquet(buffer)
    replace(path, buffer.getvalue())


def write_rows(path: Path, rows: Sequence[dict[str, Any]], provenance: dict[str, Any]) -> None:
    """Write rows of equal names as .csv, the provenance in .csv.json."""
    replace(path, _csv([list(rows[0]), *(list(row.values()) for row in rows)]))
    replace(_targets(path)[1], json.dumps(provenance, indent=1).encode())


def read_matrix(source: str) -> dict[str, Any]:
    """What `html_map` and `plot_overview` need, of a matrix that `conjure matrix` wrote as .npz."""
    try:
        with np.load(source, allow_pickle=False) as file:
            return {
                "divergences": file["divergences"],
                "labels": [str(prompt) for prompt in file["prompts"]],
                "standard_errors": file["standard_errors"],
                "images": file["images"] if "images" in file else None,
                "provenance": json.loads(str(file["provenance"])),
            }
    except (KeyError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(
            f"{source!r} is no matrix: a file that `conjure matrix -o NAME.npz` wrote is needed "
            f"({error})."
        ) from error


def write_page(path: Path, page: str) -> None:
    """Write an HTML page."""
    replace(path, page.encode("utf-8"))


def write_explanation(path: Path, found: Explanation) -> None:
    """Write an explanation's arrays as .npz."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        prompts=np.array(found.prompts),
        divergence=found.divergence,
        standard_error=found.standard_error,
        log_snr=found.grid.node_log_snr,
        profile=found.profile,
        profile_standard_errors=found.profile_standard_errors,
        heat=found.heat,
        views=found.views,
        morph=found.morph,
        switch_log_snr=found.switch_log_snr,
        provenance=np.array(json.dumps(found.provenance, indent=1)),
    )
    replace(path, buffer.getvalue())


def write_figure(path: Path, figure: Any, provenance: dict[str, Any]) -> None:
    """Write a matplotlib figure, its provenance in the file's own metadata."""
    buffer, kind = io.BytesIO(), path.suffix.lower()
    metadata = {PICTURES[kind]: json.dumps(provenance)}
    figure.savefig(buffer, format=kind[1:], metadata=metadata)
    replace(path, buffer.getvalue())


def _read_text(source: str) -> str:
    data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        name = "stdin" if source == "-" else repr(source)
        bad = f"byte {data[error.start]:#04x} in line {line}"
        raise ValueError(f"{name} is not UTF-8 ({bad}): save it as UTF-8.") from None


def _read_column(text: str, column: str, name: str) -> list[str]:
    rows = csv.DictReader(io.StringIO(text))
    if column not in (rows.fieldnames or ()):
        found = ", ".join(map(repr, rows.fieldnames or ()))
        raise ValueError(f"{name} has no column {column!r}. Its columns: {found}.")
    return [row[column] or "" for row in rows]


def _columns(measured: Divergence) -> dict[str, list[Any]]:
    """Columns of `Divergence.to_pandas`, without pandas."""
    n, (low, high) = len(measured.prompts_a), measured.interval()
    numbers = {
        "divergence": measured.values,
        "standard_error": measured.standard_errors,
        "low": low,
        "high": high,
        "kl_ab": measured.legs[0],
        "kl_ba": measured.legs[1],
        "distance": measured.distances,
    }
    left = [prompt for prompt in measured.prompts_a for _ in range(n)]
    table: dict[str, list[Any]] = {"prompt_a": left, "prompt_b": measured.prompts_b * n}
    return table | {name: array.ravel().tolist() for name, array in numbers.items()}


def _csv(lines: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _targets(path: Path) -> list[Path]:
    return [path, Path(f"{path}.json")] if path.suffix.lower() == ".csv" else [path]
