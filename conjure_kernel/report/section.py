"""Sections of a report: what was found, with its figures, and how to find it again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from conjure_kernel._table import Table, jsonable

__all__ = ["Bars", "Pictures", "Section"]


@dataclass(frozen=True)
class Bars:
    """Values with intervals, to be drawn as bars.

    Attributes
    ----------
    title, unit : str
    rows : list of (label, value, low, high)
        `low` and `high` are the 95 % interval; NaN where there is none.
    """

    title: str
    unit: str
    rows: list[tuple[str, float, float, float]]


@dataclass(frozen=True)
class Pictures:
    """Pictures with their prompts below.

    Attributes
    ----------
    title : str
    rows : list of (prompt, uint8 array of shape (n, height, width, 3))
    """

    title: str
    rows: list[tuple[str, np.ndarray]]


@dataclass(frozen=True)
class Section:
    """What was found out in one way.

    Attributes
    ----------
    name, title : str
        For programs, and for people.
    found : str
        The result in a sentence or two; where the section is left out, why.
    facts : dict
        The result for programs, JSON-able.
    tables : tuple of (title, Table)
    bars : tuple of Bars
    pictures : tuple of Pictures
    frame : str
        A page of its own, to be shown within the report.
    command : str
        The command line that measures the same again.
    measured : bool
        Whether it was measured, not left out.
    warnings : tuple of str
        What was warned of while it was measured.
    n_predictions, seconds : int, float
        What it cost now, less what the cache had.
    """

    name: str
    title: str
    found: str
    facts: dict[str, Any] = field(default_factory=dict)
    tables: tuple[tuple[str, Table], ...] = ()
    bars: tuple[Bars, ...] = ()
    pictures: tuple[Pictures, ...] = ()
    frame: str = field(default="", repr=False)
    command: str = ""
    measured: bool = True
    warnings: tuple[str, ...] = ()
    n_predictions: int = 0
    seconds: float = 0.0

    def costing(self, n_predictions: int, seconds: float, warnings: tuple[str, ...]) -> Section:
        """The same section with what it cost, and what was warned of."""
        return replace(self, n_predictions=n_predictions, seconds=seconds, warnings=warnings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: everything but pictures and pages."""
        names = ("name", "title", "measured", "found", "facts", "command", "warnings")
        kept = {name: getattr(self, name) for name in (*names, "n_predictions", "seconds")}
        return jsonable({**kept, "tables": dict(self.tables)})
