"""Tables of results: Markdown that folds errors into values, pandas, strict JSON."""

import json

import numpy as np
import pytest

from conjure_kernel import GaussianDenoiser, paired_divergence, pairwise_divergence
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
    with pytest.raises(KeyError, match="part='d': expected the values of a row"):
        table.find(part="d")
    assert list(table.to_pandas().columns) == list(ROWS[0])


def test_json_is_strict():
    value = {"t": Table(ROWS), 1: (np.float32(2), np.nan, np.arange(2)), "x": slice(2)}
    text = json.dumps(jsonable(value), allow_nan=False)
    back = json.loads(text)
    assert back["t"][1]["rho_low"] is None
    assert back["1"] == [2.0, None, [0, 1]]


def test_a_notebook_sees_escaped_tables():
    page = Table([{**ROWS[0], "part": "<b>|"}])._repr_html_()
    assert "<td>&lt;b&gt;|</td><td>12</td><td>0.500 [0.250, 0.750] (p &lt; 1e-4)</td>" in page


def test_a_notebook_sees_divergences_with_their_errors():
    world = GaussianDenoiser({"<script>": 0.7, "a cat": -0.4})
    prompts, settings = ["<script>", "a cat"], {"model": world, "memory": None}
    measured = pairwise_divergence(prompts, **settings)
    page = measured._repr_html_()
    assert "<script>" not in page
    assert "J in nats, 2 x 2" in page
    cell = f"<td>{measured.values[0, 1]:.3g} ± {measured.standard_errors[0, 1]:.2g}</td>"
    assert page.count(cell) == 2
    assert "caption" not in page
    many = paired_divergence([tuple(prompts)] * 13, **settings)._repr_html_()
    assert many.count(cell) == 12
    assert "The first 12" in many


def test_latex_has_the_cells_of_markdown_with_its_own_signs_escaped():
    rows = [{"part": "50 % of a_b & {c}\\d|e", "n": 3, "x": 0.5, "x_low": 0.25, "x_high": 0.75}]
    lines = Table(rows).to_latex().splitlines()
    assert lines[:2] == [r"\begin{tabular}{lrr}", r"\toprule"]
    assert lines[2] == r"part & n & x \\"
    assert lines[4].startswith(r"50 \% of a\_b \& \{c\}\textbackslash{}d|e & 3 & 0.5")
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
