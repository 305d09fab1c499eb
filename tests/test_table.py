"""Tables of results: Markdown that folds errors into values, pandas, strict JSON."""

import json

import numpy as np
import pytest

from conjure_kernel._table import Table, jsonable

ROWS = [
    {"part": "a|b", "n": 12, "rho": 0.5, "rho_low": 0.25, "rho_high": 0.75, "rho_p": 2e-5},
    {"part": "c", "n": 3, "rho": -0.125, "rho_low": np.nan, "rho_high": np.nan, "rho_p": 0.031},
]


def test_markdown_folds_and_leaves_out_what_is_unknown():
    rows = [{**row, "rho_draw_se": 0.01, "empty": np.nan} for row in ROWS]
    assert Table(rows).to_markdown().splitlines() == [
        "| part | n | rho |",
        "| --- | --- | --- |",
        "| a\\|b | 12 | 0.500 [0.250, 0.750] ± 0.010 (p < 1e-4) |",
        "| c | 3 | -0.125 ± 0.010 (p 0.031) |",
    ]
    assert "Table of 2 rows" in repr(Table(ROWS))


def test_rows_are_found_and_pandas_keeps_all_columns():
    table = Table(ROWS)
    assert table.find(part="c", n=3)["rho"] == -0.125
    with pytest.raises(KeyError, match="no row has"):
        table.find(part="d")
    assert list(table.to_pandas().columns) == list(ROWS[0])


def test_json_is_strict():
    value = {"t": Table(ROWS), 1: (np.float32(2), np.nan, np.arange(2)), "x": slice(2)}
    text = json.dumps(jsonable(value), allow_nan=False)
    back = json.loads(text)
    assert back["t"][1]["rho_low"] is None
    assert back["1"] == [2.0, None, [0, 1]]
