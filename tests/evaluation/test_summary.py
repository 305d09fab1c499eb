"""Evaluations side by side, as regressions, and the pairs on which they disagree."""

import numpy as np
import pytest
from scipy import stats

from conjure_kernel import evaluate
from conjure_kernel.evaluation import compare, disagreements, regression, summarize

RNG = np.random.default_rng(0)
N = 120
PAIRS = [(f"text {2 * i}", f"text {2 * i + 1}") for i in range(N)]
X = RNG.normal(size=N)
Y = 3 * X + 1 + RNG.normal(size=N)


def evaluation(values, scores=Y, name="x", pairs=PAIRS):
    return evaluate(lambda left, right: np.array(values, float), pairs, scores, name=name)


def test_a_summary_has_a_row_each_and_differences_from_the_first():
    results = [evaluation(X, name="a"), evaluation(X + RNG.normal(size=N), name="b")]
    first, second = summarize(results)
    whole = results[1].table.find(part="all")
    for name in ("spearman", "spearman_low", "kendall_p", "pearson_high"):
        assert second[name] == whole[name]
    assert np.isnan(first["difference"])
    (paired,) = compare(results)
    assert second["difference"] == pytest.approx(-paired["difference"])
    assert second["difference_low"] == pytest.approx(-paired["difference_high"])
    assert second["difference_p"] == pytest.approx(paired["difference_p"])
    assert summarize(results).to_markdown().count("\n") == 3


def test_a_regression_finds_the_line():
    (row,) = regression(evaluation(X))
    wanted = stats.linregress(X, Y)
    assert (row["slope"], row["intercept"]) == pytest.approx((wanted.slope, wanted.intercept))
    assert row["r2"] == pytest.approx(wanted.rvalue**2)
    assert row["slope_low"] < 3 < row["slope_high"]
    half = (row["slope_high"] - row["slope_low"]) / 2
    assert half == pytest.approx(stats.t.ppf(0.975, N - 2) * wanted.stderr, rel=0.25)
    assert row["r2_line"] == pytest.approx(row["r2"], abs=0.05)
    assert row["r2_line"] < row["r2"]


def test_a_kernel_sees_what_a_line_does_not():
    (row,) = regression(evaluation(X, X**2))
    assert row["r2_line"] < 0.1
    assert row["r2_kernel"] > 0.7


def test_noise_predicts_nothing_of_unseen_texts():
    (row,) = regression(evaluation(RNG.normal(size=N)))
    assert row["r2_line"] < 0.1
    assert row["r2_kernel"] < 0.1


def test_what_cannot_be_regressed_is_nan():
    star = [("centre", f"text {i}") for i in range(N)]
    (row,) = regression(evaluation(X, pairs=star))
    assert np.isfinite(row["slope"])
    assert np.isnan([row["r2_line"], row["r2_kernel"]]).all()
    with pytest.warns(UserWarning, match="no correlation"):
        constant = evaluation(np.ones(N))
    assert np.isnan(regression(constant)[0]["slope"])
    (two,) = regression(evaluation(X[:2], Y[:2], pairs=PAIRS[:2]))  # any line goes through two
    assert np.isnan([two["slope"], two["r2"]]).all()


def test_disagreements_are_those_furthest_apart_in_place():
    scores = np.arange(6.0)
    similarities = np.array([9.0, 1, 2, 3, 4, 4])
    result = evaluation(similarities, scores, pairs=PAIRS[:6])
    rows = disagreements(result, 2).rows
    assert (rows[0]["text_a"], rows[0]["text_b"]) == PAIRS[0]
    assert (rows[0]["place by score"], rows[0]["place by similarity"]) == ("6", "1")
    assert rows[1]["place by similarity"] == "6" or len(rows) == 2
    assert len(disagreements(result, 100)) == 6
    assert len(disagreements(result, 0)) == 0
    with pytest.raises(ValueError, match="n=-1"):
        disagreements(result, -1)
