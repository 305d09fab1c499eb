"""compare and rank_agreement: paired differences, and two models on the same pairs (R52)."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from conjure_kernel import compare, evaluate, rank_agreement
from conjure_kernel.evaluation import PairScores, partial_agreement
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.scorers import ConjureScorer
from conjure_kernel.method.jackknife import jackknife_se, leave_one_out
from worlds import make_world

RNG = np.random.default_rng(0)
N = 120
SCORES = RNG.normal(size=N)
LEFT, RIGHT = ([f"{side} {i}" for i in range(N)] for side in "ab")
PAIRS = ScoredPairs("t", LEFT, RIGHT, SCORES)


def result(noise, seed, name, pairs=PAIRS, draws=None, missing=()):
    rng = np.random.default_rng(seed)
    values = pairs.scores + noise * rng.normal(size=len(pairs))
    values[list(missing)] = np.nan
    replicates = None
    if draws:
        of_draws = values[:, None] + rng.normal(size=(len(pairs), draws))
        replicates = leave_one_out(of_draws[..., None])
    return evaluate(lambda a, b: PairScores(values, replicates), pairs, name=name)


def test_a_better_scorer_is_told_from_a_worse_one_and_equals_are_not():
    good, bad, like_good = result(0.5, 1, "good"), result(3, 2, "bad"), result(0.5, 3, "like good")
    table = compare([good, bad, like_good])
    assert [(row["a"], row["b"]) for row in table.rows] == [
        ("good", "bad"),
        ("good", "like good"),
        ("bad", "like good"),
    ]
    row = table[0]
    expected = [stats.spearmanr(r.similarities, SCORES).statistic for r in (good, bad)]
    assert row["difference"] == pytest.approx(expected[0] - expected[1])
    assert 0 < row["difference_low"] < row["difference"] < row["difference_high"]
    assert row["difference_p"] < 0.05 < table[1]["difference_p"]
    assert table[1]["difference_low"] < 0 < table[1]["difference_high"]
    assert table[2]["difference_high"] < 0


def test_pairing_narrows_the_interval():
    base = result(1, 1, "base")
    twin = evaluate(lambda a, b: base.similarities + 1e-3 * SCORES, PAIRS, name="twin")
    other = result(1, 9, "other")
    narrow, wide = (compare([base, r])[0] for r in (twin, other))
    spans = [row["difference_high"] - row["difference_low"] for row in (narrow, wide)]
    assert spans[0] < spans[1] / 5


def test_draw_errors_of_a_difference():
    a, b, plain = result(1, 1, "a", draws=5), result(1, 2, "b", draws=5), result(1, 3, "plain")
    other = result(1, 4, "other", draws=7)
    rho = {
        r.name: np.array([[stats.spearmanr(w, SCORES).statistic for w in r.replicates[0]]])
        for r in (a, b, other)
    }
    found = {(r["a"], r["b"]): r["difference_draw_se"] for r in compare([a, b, plain, other]).rows}
    assert found["a", "b"] == pytest.approx(jackknife_se(rho["a"] - rho["b"]))
    assert found["a", "plain"] == pytest.approx(jackknife_se(rho["a"]))
    apart = np.hypot(jackknife_se(rho["a"]), jackknife_se(rho["other"]))
    assert found["a", "other"] == pytest.approx(apart)


def test_pairs_that_one_cannot_score_are_left_out_for_both():
    table = compare([result(1, 1, "a", missing=[0, 5]), result(1, 2, "b", missing=[7])])
    assert table[0]["n"] == N - 3


def test_other_pairs_are_refused():
    other = ScoredPairs("o", RIGHT, LEFT, SCORES)
    with pytest.raises(ValueError, match="results: expected pairs in common, got none"):
        compare([result(1, 1, "a"), result(1, 1, "b", other)])
    turned = PAIRS.take(range(N)[::-1], "turned")
    with pytest.raises(
        ValueError, match="results: expected the same pairs in one order, got different"
    ):
        compare([result(1, 1, "a"), result(1, 1, "b", turned)])
    with pytest.raises(ValueError, match=r"results=\[.*: expected at least two evaluations"):
        compare([result(1, 1, "a")])
    for odd in (None, 3, {}):
        with pytest.raises(ValueError, match=r"results=.*: expected at least two evaluations"):
            compare(odd)
        with pytest.raises(TypeError, match="results: expected what evaluate returns, got"):
            rank_agreement(odd, result(1, 1, "a"))
    with pytest.raises(ValueError, match="statistic='rho'"):
        compare([result(1, 1, "a")] * 2, statistic="rho")


def test_rank_agreement_is_that_of_the_models_with_each_other():
    a, b = result(0.5, 1, "a"), result(0.5, 2, "b")
    table = rank_agreement(a, b)
    row = table.find(statistic="spearman")
    expected = stats.spearmanr(a.similarities, b.similarities)
    assert row["agreement"] == pytest.approx(expected.statistic)
    assert row["agreement_p"] == pytest.approx(expected.pvalue)
    assert row["agreement_low"] < row["agreement"] < row["agreement_high"]
    assert rank_agreement(a, a)[0]["agreement"] == pytest.approx(1)
    assert [r["statistic"] for r in table.rows] == ["spearman", "pearson", "kendall"]


def test_p_values_can_be_as_small_as_they_are_and_heed_repeated_texts():
    """A bootstrap of 1,000 had p of at least 0.002; texts that repeat make it larger."""
    texts = np.random.default_rng(0).integers(12, size=(2, N))
    texts[1] = (texts[0] + 1 + texts[1] % 11) % 12
    words = ScoredPairs("w", *([f"w{i}" for i in side] for side in texts), SCORES)
    for pairs, most in ((PAIRS, 1e-9), (words, 1e-3)):
        good, bad = result(0.1, 1, "good", pairs), result(9, 2, "bad", pairs)
        row = compare([good, bad])[0]
        assert 0 < row["difference_p"] < most
        table = rank_agreement(good, result(0.1, 3, "like good", pairs))
        assert 0 < table[0]["agreement_p"] < most


def test_a_constant_scorer_is_told():
    flat = evaluate_flat()
    with pytest.warns(UserWarning, match=r"all 120 similarities of flat are 1: a correlation"):
        row = compare([result(1, 1, "a"), flat])[0]
    assert np.isnan([row["difference"], row["difference_low"], row["difference_p"]]).all()
    with pytest.warns(UserWarning, match=r"all 120 similarities of flat are 1"):
        assert np.isnan(rank_agreement(result(1, 1, "a"), flat)[1]["agreement"])


def evaluate_flat():
    with pytest.warns(UserWarning, match="1 of 1 parts have no correlation"):
        return evaluate(lambda a, b: np.ones(len(a)), PAIRS, name="flat")


def test_the_noise_of_one_draw_is_unknown_and_not_nothing():
    world, prompts = make_world(6)
    pairs = [(a, b) for i, a in enumerate(prompts) for b in prompts[:i]]
    scores, options = list(range(len(pairs))), {"memory": None, "check_steps": 0, "n_steps": 4}
    with pytest.warns(UserWarning, match="n_draws=1"):
        one = evaluate(ConjureScorer(world, n_draws=1, **options), pairs, scores)
    four = evaluate(ConjureScorer(world, n_draws=4, **options), pairs, scores)
    assert np.isnan(one.table[0]["spearman_draw_se"])
    assert four.table[0]["spearman_draw_se"] > 0
    assert np.isnan(compare([one, four])[0]["difference_draw_se"])


def test_partial_agreement_is_that_of_what_the_other_leaves_over():
    x, z = result(1, 1, "x", draws=5), result(1, 2, "z")
    table = partial_agreement(x, z)
    assert [row["statistic"] for row in table.rows] == ["spearman", "pearson", "kendall"]
    for row, scale in zip(table.rows, (stats.rankdata, np.asarray), strict=False):
        a, b, y = (scale(v) for v in (x.similarities, z.similarities, SCORES))
        left = [v - np.polyval(np.polyfit(b, v, 1), b) for v in (a, y)]
        assert row["partial"] == pytest.approx(np.corrcoef(*left)[0, 1])
        assert 0 < row["partial_low"] < row["partial"] < row["partial_high"]
        assert row["partial_p"] < 1e-4
    moved = [[partial_agreement(at(x, w), z)[0]["partial"] for w in x.replicates[0]]]
    assert table[0]["partial_draw_se"] == pytest.approx(jackknife_se(np.array(moved)))


def at(evaluation, similarities):
    """The same evaluation with other similarities, and without draws."""
    return replace(evaluation, similarities=similarities, replicates=None)


def test_a_noisy_copy_adds_nothing():
    """95 % of intervals hold 0, also with ten texts in all pairs."""
    i, j = np.triu_indices(10, 1)
    texts, rng, held = [[f"w{k}" for k in side] for side in (i, j)], np.random.default_rng(7), []
    base = result(1, 1, "base")
    for _ in range(60):
        words, own = rng.normal(size=(3, 10)), rng.normal(size=(3, len(i)))
        y, noise_z, noise_x = (words[:, i] + words[:, j]) / 2 + own / np.sqrt(2)
        pairs, z = ScoredPairs("t", *texts, y), y + noise_z
        two = (replace(base, pairs=pairs, similarities=s) for s in (z + noise_x, z))
        row = partial_agreement(*two)[1]
        held.append(row["partial_low"] < 0 < row["partial_high"])
    assert 0.88 < np.mean(held) < 1


def test_nothing_is_left_where_the_other_tells_all():
    x = result(1, 1, "x")
    assert np.isnan(partial_agreement(x, x)[0]["partial"])
    with pytest.warns(UserWarning, match=r"all 120 similarities of flat are 1"):
        assert np.isnan(partial_agreement(x, evaluate_flat())[0]["partial"])
