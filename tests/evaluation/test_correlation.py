"""Correlations against scipy, in all parts, with their errors (R47-R49)."""

import numpy as np
import pytest
from scipy import stats

from conjure_kernel.evaluation.correlation import (
    correlate,
    p_value,
    parts_of,
    tabulate,
    warn_of_constants,
)
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.uncertainty import Pairing
from conjure_kernel.method.jackknife import jackknife_se, leave_one_out

SCIPY = {"spearman": stats.spearmanr, "pearson": stats.pearsonr, "kendall": stats.kendalltau}


def pairs_of(scores, corpora=None, left=None, right=None):
    n = len(scores)
    left = left or [f"a {i}" for i in range(n)]
    right = right or [f"b {i}" for i in range(n)]
    return ScoredPairs("t", left, right, np.asarray(scores, float), corpora)


def table_of(scores, similarities, pairs, replicates=None):
    pairing = Pairing.of(pairs.left, pairs.right)
    return tabulate(scores, similarities, pairing, parts_of(pairs), replicates)


@pytest.mark.parametrize("statistic", SCIPY)
def test_values_and_p_values_are_scipys(statistic):
    rng = np.random.default_rng(0)
    x, y = rng.integers(6, size=40).astype(float), rng.normal(size=40)
    found = SCIPY[statistic](x, y)
    assert correlate(statistic, x, y) == pytest.approx(found.statistic, abs=1e-12)
    assert p_value(statistic, x, y) == pytest.approx(found.pvalue)


@pytest.mark.parametrize("statistic", SCIPY)
def test_nothing_to_correlate_is_nan(statistic):
    assert np.isnan(correlate(statistic, np.ones(20), np.arange(20.0)))
    assert np.isnan(correlate(statistic, np.arange(2.0), np.arange(2.0)))
    assert np.isnan(p_value(statistic, np.ones(2), np.ones(2)))


@pytest.mark.parametrize("statistic", SCIPY)
def test_constants_have_no_correlation_for_whatever_rounding(statistic):
    """Pearson of two constants was -1, and of a constant against scores 0."""
    same, spread = np.full(30, 0.1), np.arange(30.0)
    almost = same * (1 + 1e-16 * np.arange(30))
    for x, y in ((same, same), (same, spread), (spread, same), (almost, spread)):
        assert np.isnan(correlate(statistic, x, y))
        assert np.isnan(p_value(statistic, x, y))


def test_constants_are_told_once_with_the_reason():
    scores = np.arange(40.0)
    pairs = pairs_of(scores, ["x"] * 20 + ["y"] * 20)
    similarities = np.r_[np.full(20, 0.5), scores[20:]]
    with pytest.warns(UserWarning, match="have no correlation") as caught:
        table = table_of(scores, similarities, pairs)
    (warning,) = caught
    assert str(warning.message) == (
        "1 of 3 parts have no correlation (NaN), as values are all equal: the similarities of 'x'; "
        "check them."
    )
    assert np.isnan([table.find(part="x")[name] for name in SCIPY]).all()
    assert np.isfinite([table.find(part="all")[name] for name in SCIPY]).all()
    with pytest.warns(UserWarning, match="all 3 b are 2: a correlation is not defined there"):
        warn_of_constants({"a": np.arange(3.0), "b": np.full(3, 2.0)})


def test_parts_and_both_means():
    rng = np.random.default_rng(0)
    scores, similarities = rng.normal(size=(2, 60))
    corpora = ["x"] * 40 + ["y"] * 20
    pairs = pairs_of(scores, corpora)
    table = table_of(scores, similarities, pairs)
    x = stats.spearmanr(scores[:40], similarities[:40]).statistic
    y = stats.spearmanr(scores[40:], similarities[40:]).statistic
    assert [row["part"] for row in table.rows] == ["all", "mean", "wmean", "x", "y"]
    assert table.find(part="x")["spearman"] == pytest.approx(x)
    assert table.find(part="mean")["spearman"] == pytest.approx((x + y) / 2)
    assert table.find(part="wmean")["spearman"] == pytest.approx((2 * x + y) / 3)
    whole = stats.spearmanr(scores, similarities).statistic
    assert table.find(part="all")["spearman"] == pytest.approx(whole)
    assert [row["n"] for row in table.rows] == [60, 60, 60, 40, 20]


def test_strata_of_length_and_truncation_split_the_pairs():
    left = ["w " * (1 + i % 9) for i in range(45)]
    pairs = pairs_of(np.arange(45.0), left=left)
    truncated = np.arange(45) % 9 > 6
    parts = parts_of(pairs, truncated)
    lengths = [mask for (kind, _), mask in parts.items() if kind == "length"]
    assert len(lengths) == 3
    assert (np.sum(lengths, 0) == 1).all()
    assert (parts["truncation", "truncated"] == truncated).all()
    assert ("length", "2 to 4 words") in parts
    assert not [
        k for k, _ in parts_of(pairs_of(np.arange(9)), np.zeros(9, bool)) if k != "aggregate"
    ]


def test_draw_errors_are_the_jackknife_of_the_statistic():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=30)
    draws = scores[:, None] + rng.normal(size=(30, 5))
    replicates = leave_one_out(draws[..., None])
    pairs = pairs_of(scores)
    row = table_of(scores, draws.mean(1), pairs, replicates)[0]
    by_hand = [stats.spearmanr(np.delete(draws, k, 1).mean(1), scores).statistic for k in range(5)]
    assert row["spearman_draw_se"] == pytest.approx(jackknife_se(np.array([by_hand])))
    assert np.isnan(table_of(scores, draws.mean(1), pairs)[0]["spearman_draw_se"])


def test_a_mean_over_corpora_has_the_interval_of_a_mean():
    rng = np.random.default_rng(0)
    widths = []
    for n in (20, 60, 200):
        scores = rng.normal(size=3 * n)
        pairs = pairs_of(scores, list(np.repeat(["x", "y", "z"], n)))
        table = table_of(scores, scores + rng.normal(size=3 * n), pairs)
        rows = {part: table.find(part=part) for part in ("mean", "wmean", "x", "y", "z")}
        width = {p: row["pearson_high"] - row["pearson_low"] for p, row in rows.items()}
        single = np.mean([width[part] for part in "xyz"])
        assert width["mean"] == pytest.approx(single / np.sqrt(3), rel=0.35)
        assert width["wmean"] == pytest.approx(width["mean"], rel=0.05)
        assert rows["mean"]["pearson_p"] < 1e-3
        widths.append(width["mean"])
    assert widths[0] > widths[1] > widths[2]


def test_a_corpus_of_few_pairs_leaves_its_mean_without_an_interval():
    scores, similarities = np.random.default_rng(0).normal(size=(2, 29))
    table = table_of(scores, similarities, pairs_of(scores, ["x"] * 20 + ["y"] * 9))
    assert np.isnan([table.find(part=p)["kendall_low"] for p in ("y", "mean", "wmean")]).all()
    assert np.isfinite([table.find(part=p)["kendall_low"] for p in ("x", "all")]).all()
    assert np.isfinite(table.find(part="mean")["kendall"])
