"""Correlations against scipy, and a bootstrap whose intervals hold the truth (R47-R49)."""

import numpy as np
import pytest
from scipy import stats

from conjure_kernel.evaluation.correlation import (
    correlate,
    interval,
    p_value,
    parts_of,
    resamples,
    tabulate,
)
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.method.jackknife import jackknife_se, leave_one_out

SCIPY = {"spearman": stats.spearmanr, "pearson": stats.pearsonr, "kendall": stats.kendalltau}


def pairs_of(scores, corpora=None, left=None, right=None):
    n = len(scores)
    left = left or [f"a {i}" for i in range(n)]
    right = right or [f"b {i}" for i in range(n)]
    return ScoredPairs("t", left, right, np.asarray(scores, float), corpora)


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


def test_pairs_without_common_texts_are_resampled_singly():
    left, right = list("abcdefgh"), list("ijklmnop")
    drawn = list(resamples(left, right, 2000, 0))
    assert {len(index) for index in drawn} == {8}
    times = np.array([np.bincount(index, minlength=8) for index in drawn])
    assert times.mean(0) == pytest.approx(1, abs=0.1)
    assert times.var(0) == pytest.approx(7 / 8, abs=0.12)


def test_texts_that_repeat_are_resampled_with_all_their_pairs():
    left, right = ["hub"] * 6 + ["x"], [*"abcdef", "y"]  # units: hub, and the pair (x, y)
    times = np.array([np.bincount(i, minlength=7) for i in resamples(left, right, 500, 1)])
    assert (times[:, :6] == times[:, :1]).all()
    assert set(times[:, 0]) == {0, 1, 2}
    assert (times[:, 0] + times[:, 6] == 2).all()
    both = ["hub", "rim", "hub", "rim"], ["rim", "a", "b", "c"]
    times = np.array([np.bincount(i, minlength=4) for i in resamples(*both, 500, 1)])
    assert (times[:, 0] == times[:, 1] * times[:, 2]).all()


def test_a_text_against_itself_is_one_pair_and_the_seed_draws():
    alone = [np.bincount(i, minlength=2) for i in resamples(["a", "b"], ["a", "c"], 50, 0)]
    assert {len(times) for times in alone} == {2}
    assert {int(times.sum()) for times in alone} == {2}
    first, again, other = (list(resamples([*"abcd"], [*"efgh"], 3, s)) for s in (0, 0, 1))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def cover(make, n_worlds=150):
    """Share of worlds whose interval holds the truth; and the share if pairs were resampled."""
    held = np.zeros(2)
    for seed in range(n_worlds):
        left, right, x, y, truth = make(np.random.default_rng(seed))
        single = [f"l{i}" for i in range(len(x))], [f"r{i}" for i in range(len(x))]
        for j, texts in enumerate([(left, right), single]):
            boot = [correlate("pearson", x[i], y[i]) for i in resamples(*texts, 200, seed)]
            low, high = interval(boot)
            held[j] += low <= truth <= high
    return held / n_worlds


@pytest.mark.slow
def test_intervals_cover_where_texts_repeat_and_a_bootstrap_of_pairs_does_not():
    def words(rng):  # everything about a pair comes from its words
        u, v = rng.normal(size=(2, 20))
        a, b = np.triu_indices(20, 1)
        x, y = u[a] + u[b], v[a] + v[b]
        return [f"w{i}" for i in a], [f"w{i}" for i in b], x, y, 0.0

    by_text, by_pair = cover(words)
    assert by_text > 0.85
    assert by_pair < 0.75


@pytest.mark.slow
def test_intervals_cover_where_texts_do_not_repeat():
    def sentences(rng):
        x = rng.normal(size=60)
        y = 0.5 * x + np.sqrt(0.75) * rng.normal(size=60)
        return [f"l{i}" for i in range(60)], [f"r{i}" for i in range(60)], x, y, 0.5

    assert 0.88 < cover(sentences)[0] < 0.99


def test_too_many_missing_resamples_make_no_interval():
    assert np.isnan(interval([np.nan] * 2 + [0.5] * 8)).all()
    assert interval([0.5] * 99 + [np.nan]) == (0.5, 0.5)
    assert np.isnan(interval([])).all()


def test_parts_and_both_means():
    rng = np.random.default_rng(0)
    scores, similarities = rng.normal(size=(2, 60))
    corpora = ["x"] * 40 + ["y"] * 20
    pairs = pairs_of(scores, corpora)
    table = tabulate(scores, similarities, parts_of(pairs), [])
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
    replicates = leave_one_out(draws)
    parts = parts_of(pairs_of(scores))
    row = tabulate(scores, draws.mean(1), parts, [], replicates)[0]
    by_hand = [stats.spearmanr(np.delete(draws, k, 1).mean(1), scores).statistic for k in range(5)]
    assert row["spearman_draw_se"] == pytest.approx(jackknife_se(np.array(by_hand)))
    assert np.isnan(tabulate(scores, draws.mean(1), parts, [])[0]["spearman_draw_se"])
