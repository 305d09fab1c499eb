"""contrast: better at looks than at meaning, and more so than another scorer."""

import numpy as np
import pytest
from scipy import stats

from conjure_kernel._table import Table
from conjure_kernel.evaluation import Evaluation, PairScores, ScoredPairs, contrast, evaluate
from conjure_kernel.method.jackknife import jackknife_se, leave_one_out

RNG = np.random.default_rng(0)
N = 150
LEFT, RIGHT = ([f"{side} {i}" for i in range(N)] for side in "ab")
SHAPE, COLOUR, FOOD = RNG.normal(size=(3, N))


def result(name, similarities, scores, texts=(LEFT, RIGHT), replicates=None):
    """An evaluation without its table, which `contrast` does not read."""
    pairs = ScoredPairs("t", *map(list, texts), scores)
    return Evaluation(name, "t", Table([]), pairs, np.asarray(similarities), replicates)


def noisy(signal, seed, noise=0.5):
    return signal + noise * np.random.default_rng(seed).normal(size=np.shape(signal))


def rho(x, y):
    return stats.spearmanr(x, y).statistic


def test_imagery_that_sees_looks_is_told_from_text_that_does_not():
    imagery, text = noisy(SHAPE + COLOUR + FOOD, 1), noisy(0.3 * SHAPE + FOOD, 2)
    scorers = {"imagery": imagery, "text": text}
    looks = [result(n, x, y) for n, x in scorers.items() for y in (SHAPE, COLOUR)]
    means = [result(n, x, FOOD) for n, x in scorers.items()]
    table = contrast(looks, means)
    assert [row["scorer"] for row in table.rows] == ["imagery", "text", "imagery minus text"]
    of_looks = {n: np.mean([rho(x, SHAPE), rho(x, COLOUR)]) for n, x in scorers.items()}
    for name, x in scorers.items():
        row = table.find(scorer=name)
        assert row["spearman looks"] == pytest.approx(of_looks[name])
        assert row["contrast"] == pytest.approx(of_looks[name] - rho(x, FOOD))
    row = table[2]
    assert row["contrast"] == pytest.approx(table[0]["contrast"] - table[1]["contrast"])
    assert 0 < row["contrast_low"] < row["contrast"] < row["contrast_high"]
    assert row["contrast_p"] < 1e-4
    assert (row["n"], np.isnan(row["contrast_draw_se"])) == (N, True)
    twin = [result("twin", noisy(SHAPE + COLOUR + FOOD, 3), y) for y in (SHAPE, COLOUR, FOOD)]
    same = contrast([*looks[:2], *twin[:2]], [means[0], twin[2]])[2]
    assert same["contrast_low"] < 0 < same["contrast_high"]


def test_the_interval_holds_the_truth_also_where_texts_repeat():
    """About 95 %; ten texts in all 45 pairs, half of each variance from them."""
    i, j = np.triu_indices(10, 1)
    texts = [[f"w{k}" for k in side] for side in (i, j)]
    # looks, means, x, z
    cov = np.array([[1, 0.4, 0.6, 0.3], [0.4, 1, 0.3, 0.3], [0.6, 0.3, 1, 0.5], [0.3, 0.3, 0.5, 1]])
    ranks = 6 / np.pi * np.arcsin(cov / 2)
    truths = ranks[0, 2] - ranks[1, 2], ranks[0, 2] - ranks[1, 2] - ranks[0, 3] + ranks[1, 3]
    root, rng, held, plain = np.linalg.cholesky(cov), np.random.default_rng(5), [], []
    for _ in range(80):
        words, own = root @ rng.normal(size=(4, 10)), root @ rng.normal(size=(4, 45))
        looks, means, x, z = (words[:, i] + words[:, j]) / 2 + own / np.sqrt(2)
        two = {"x": x, "z": z}
        kinds = [[result(n, s, y, texts) for n, s in two.items()] for y in (looks, means)]
        rows = contrast(*kinds).rows
        held.append(
            [
                r["contrast_low"] < t < r["contrast_high"]
                for r, t in zip(rows[::2], truths, strict=True)
            ]
        )
        apart = [[result("x", x, y, (LEFT[:45], RIGHT[:45]))] for y in (looks, means)]
        row = contrast(*apart)[0]
        plain.append(row["contrast_low"] < truths[0] < row["contrast_high"])
    assert (np.mean(held, axis=0) > 0.88).all()
    assert np.mean(plain) < np.mean(held, axis=0)[0]


def test_draw_errors_leave_a_draw_out_of_all_correlations_at_once():
    draws = noisy(np.repeat(SHAPE[:, None], 4, axis=1), 4, 2)
    rows = leave_one_out(draws[..., None])
    looks, means = ([result("x", draws.mean(1), y, replicates=rows)] for y in (SHAPE, FOOD))
    moved = np.array([[rho(row, SHAPE) - rho(row, FOOD) for row in rows[0]]])
    assert contrast(looks, means)[0]["contrast_draw_se"] == pytest.approx(jackknife_se(moved))


def test_pairs_that_one_scorer_lacks_are_left_out_of_all():
    known = np.where(np.arange(N) < 7, np.nan, SHAPE)
    looks = [
        evaluate(lambda a, b: PairScores(known), ScoredPairs("t", LEFT, RIGHT, SHAPE), name="x"),
        result("y", FOOD, SHAPE),
    ]
    table = contrast(looks, [result("x", SHAPE, FOOD), result("y", FOOD, FOOD)])
    assert [row["n"] for row in table.rows] == [N - 7] * 3
    assert table[0]["spearman looks"] == pytest.approx(1)


def test_what_does_not_belong_together_is_refused():
    x, y = result("x", SHAPE, COLOUR), result("x", SHAPE, FOOD)
    for wrong in ([], None, x):
        with pytest.raises(ValueError, match=r"means=.*: expected at least one evaluation"):
            contrast([x], wrong)
    with pytest.raises(ValueError, match=r"same scorers in both, got \['x'\] and \['z'\]"):
        contrast([x], [result("z", SHAPE, FOOD)])
    with pytest.raises(ValueError, match=r"one scorer of each name, got different .* from 'x'"):
        contrast([x], [result("x", FOOD, FOOD)])
    with pytest.raises(ValueError, match="expected pairs in common, got none"):
        contrast([x], [result("x", SHAPE, FOOD, (RIGHT, LEFT))])
    with pytest.raises(TypeError, match="expected what evaluate returns, got int"):
        contrast([x], [3])
    with pytest.raises(ValueError, match="statistic='rho'"):
        contrast([x], [y], statistic="rho")
