"""The page of a report, made by `page.html`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from conjure_kernel._table import Table, jsonable
from conjure_kernel.plot.thumbnail import data_uri
from conjure_kernel.report.section import Bars, Pictures, Section

__all__ = ["render"]

OPEN_ROWS = 20  # of a table that stands open


def render(model: str, sections: Sequence[Section], budget: int, provenance: Any) -> str:
    """One HTML page about a model, which loads nothing from elsewhere."""
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(_part("page.html"))
    return template.render(
        model=model,
        budget=budget,
        n_made=sum(section.n_predictions for section in sections),
        css=_part("page.css"),
        sections=[_shown(section) for section in sections],
        costs=Table([_cost(section) for section in sections])._repr_html_(),
        provenance=json.dumps(jsonable(provenance), indent=1),
    )


def _shown(section: Section) -> dict[str, Any]:
    """What the template needs of a section."""
    return {
        "section": section,
        "tables": [
            (title, table._repr_html_(), len(table) > OPEN_ROWS, len(table))
            for title, table in section.tables
        ],
        "bars": [_bars(bars) for bars in section.bars],
        "pictures": [_pictures(pictures) for pictures in section.pictures],
    }


def _bars(bars: Bars) -> dict[str, Any]:
    """Bars in percent of the widest, from the smallest value below 0, or 0."""
    values = [v for _, *numbers in bars.rows for v in numbers if v == v]
    low, high = min([0.0, *values]), max([0.0, *values])
    width = (high - low) or 1.0

    def at(value: float) -> float:
        return round(100 * (value - low) / width, 2)

    rows = [
        {
            "label": label,
            "value": value,
            "text": f"{value:.3g}" + (f" ({least:.3g} to {most:.3g})" if least == least else ""),
            "start": min(at(0), at(value)),
            "length": abs(at(value) - at(0)),
            "span": (at(least), at(most)) if least == least else None,
        }
        for label, value, least, most in bars.rows
    ]
    return {"title": bars.title, "unit": bars.unit, "rows": rows}


def _pictures(pictures: Pictures) -> dict[str, Any]:
    rows = [(prompt, [data_uri(picture) for picture in few]) for prompt, few in pictures.rows]
    return {"title": pictures.title, "rows": rows}


def _cost(section: Section) -> dict[str, Any]:
    state = "measured" if section.measured else "left out"
    return {
        "section": section.title,
        "state": state,
        "noise predictions": f"{section.n_predictions:,}",
        "seconds": f"{section.seconds:.1f}",
    }


def _part(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")
