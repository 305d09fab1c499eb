"""Columns of the user's table by which the page colours prompts: numbers or categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["describe_columns", "is_missing"]


def describe_columns(columns: Mapping[str, Sequence[Any]] | None, n: int) -> list[dict[str, Any]]:
    """The columns as the page reads them; what is missing is null."""
    return [_describe(str(name), values, n) for name, values in (columns or {}).items()]


def _describe(name: str, values: Sequence[Any], n: int) -> dict[str, Any]:
    cells = list(values)
    if len(cells) != n:
        raise ValueError(
            f"columns: expected {n} values of {name!r}, one for each prompt, got {len(cells)}."
        )
    cells = [None if is_missing(cell) else cell for cell in cells]
    known = [cell for cell in cells if cell is not None]
    if all(_is_number(cell) for cell in known):
        numbers = [None if cell is None else float(cell) for cell in cells]
        return {"name": name, "kind": "number", "values": numbers}
    texts = [None if cell is None else str(cell) for cell in cells]
    shown = [text for text in texts if text is not None]
    found, counts = np.unique(np.array(shown, dtype=object), return_counts=True)
    names = [str(found[i]) for i in np.argsort(-counts, kind="stable")]
    place = {text: i for i, text in enumerate(names)}
    codes = [None if text is None else place[text] for text in texts]
    return {"name": name, "kind": "category", "values": codes, "names": names}


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float | np.integer | np.floating) and not isinstance(cell, bool)


def is_missing(cell: Any) -> bool:
    """None, NaN, infinity and what pandas and NumPy write for a missing value."""
    return (
        cell is None
        or type(cell).__name__ in ("NAType", "NaTType")
        or (isinstance(cell, np.datetime64 | np.timedelta64) and bool(np.isnat(cell)))
        or (isinstance(cell, float | np.floating) and not np.isfinite(cell))
    )
