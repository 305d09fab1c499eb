"""Tables of results: Markdown that folds errors into values, pandas, strict JSON."""

import json
import re

import numpy as np
import pytest

from conjure_kernel import (
    GaussianDenoiser,
    ablate,
    evaluate,
    explain,
    explain_words,
    model_agreement,
    paired_divergence,
    pairwise_divergence,
    plan,
    vividness,
)
from conjure_kernel._table import Shown, Table, jsonable
from conjure_kernel.evaluation import ConjureScorer, ScoredPairs

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
    assert "J in nats, 2 draws, 2 x 2" in page
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


@pytest.fixture(scope="module")
def results():
    """One result of each kind, with long prompts, and prompts of several lines."""
    names = ["", "a dog in the garden of a very long house", "two\nlines\x1b[31m", "日本の犬"]
    names += [f"prompt {i}" for i in range(13)]
    means = {name: [0.3 * i, 0.0] for i, name in enumerate(names)}
    world = GaussianDenoiser(means, {name: [1 + 0.1 * i, 1] for i, name in enumerate(names)})
    given = {"model": world, "memory": None, "n_steps": 4, "n_draws": 2}
    prompts, scores = names[1:], np.random.default_rng(0).normal(size=30)
    pairs = ScoredPairs("toys", (2 * prompts)[:30], (3 * prompts)[3:33], scores)
    few = GaussianDenoiser({text: [float(len(text))] for text in ("", "a", "cat", "a cat")})
    words = explain_words("a cat", model=few, shapley=True)
    scorer = ConjureScorer(**given)
    return [
        pairwise_divergence(prompts, **given),
        pairwise_divergence(prompts[:3], **given),
        paired_divergence(pairs.pairs, **given),
        pairwise_divergence(prompts, origin="empty", **given),
        vividness(prompts, **given),
        explain(*prompts[:2], **given),
        words,
        words.shapley,
        model_agreement(prompts, world, world, memory=None, n_steps=4, n_draws=2),
        plan(prompts, **given),
        pairs,
        evaluate(scorer, pairs),
        scorer(pairs.left, pairs.right),
        ablate(pairs, sweeps={"n_draws": [2, 4], "leg": ["jeffreys", "ab"]}, **given),
        pairwise_divergence(prompts[:3], **given).grid,
    ]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_each_result_prints_on_a_screen_with_its_figures(results):
    for result in results:
        text = repr(result)
        lines = text.splitlines()
        assert len(lines) <= 18, text
        assert max(map(len, lines)) <= 80, text
        assert "array(" not in text
        assert "\x1b" not in text
        assert re.search(r"\d", text)
    measured, *_, grid = results
    assert f"{measured.values[0, 1]:.3g} ± {measured.standard_errors[0, 1]:.2g}" in repr(measured)
    assert repr(measured).endswith("and 4 more")
    assert repr(grid) == "<Grid of 4 noise levels, 8 steps, log-SNR -8 to 8>"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_notebooks_see_tables_of_results(results):
    for result in results:
        if not hasattr(result, "_repr_html_"):
            assert len(repr(result).splitlines()) == 1
            continue
        page = result._repr_html_()
        assert page.count("<tr>") > 2 or "<span" in page


def test_a_text_keeps_to_its_cell_and_no_terminal_obeys_it():
    (*_, line) = str(Table([{"cluster": "red\x1b[31m\ntwo | three", "prompts": 3}])).splitlines()
    assert line == "| red [31m two \\| three | 3 |"


def test_no_row_is_told_to_be_hidden_that_is_not():
    pairs = ScoredPairs("few", ["a", "b"], ["c", "d"], [1.0, 2.5])
    assert (
        repr(pairs) == "few: 2 pairs of 4 texts, scores 1 to 2.5\n      score\na  c  1\nb  d  2.5"
    )
    assert repr(ScoredPairs("none", [], [], [])) == "none: 0 pairs of 0 texts"


def test_columns_of_wide_letters_stand_below_each_other():
    class Result(Shown):
        def _shown(self):
            words = ["dog", "\u72ac\u3068\u732b", "\U0001f436", "cafe\u0301", "\u72ac" * 30]
            return "words", ["", "J"], [[word, "1.0"] for word in words], len(words)

    lines = repr(Result()).splitlines()[1:]
    wide = {c for line in lines for c in line if c in "\u72ac\u3068\u732b\U0001f436"}
    before = [line[: line.index(end)] for line, end in zip(lines, "J11111", strict=True)]
    places = {len(text) + sum(c in wide for c in text) - text.count("\u0301") for text in before}
    assert places == {25}  # of 24 columns at most, and a space
    assert lines[-1].startswith("\u72ac" * 11 + "…")
