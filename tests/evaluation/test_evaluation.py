"""evaluate: what stands in the result, and errors (R47-R49)."""

import json

import numpy as np
import pytest
from scipy import stats

from conjure_kernel import evaluate
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.scorers import ConjureScorer, PairScores
from worlds import SMALL, make_world


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    left, right = ([f"{side} {i}" for i in range(40)] for side in "ab")
    return ScoredPairs("toys", left, right, rng.normal(size=40), ["x"] * 25 + ["y"] * 15)


def noisy(pairs, missing=0, **more):
    """A scorer that knows the human scores but for noise."""

    def scorer(left, right):
        values = pairs.scores + np.random.default_rng(1).normal(size=len(pairs))
        values[:missing] = np.nan
        return PairScores(values, **more) if more else values

    return scorer


def test_a_result_says_everything(pairs):
    result = evaluate(noisy(pairs), pairs, name="noisy", n_bootstrap=200)
    row = result.table.find(part="all")
    for statistic, test in (("spearman", stats.spearmanr), ("kendall", stats.kendalltau)):
        found = test(result.similarities, pairs.scores)
        assert row[statistic] == pytest.approx(found.statistic)
        assert row[f"{statistic}_p"] == pytest.approx(found.pvalue)
        assert row[f"{statistic}_low"] < row[statistic] < row[f"{statistic}_high"]
    assert {"mean", "wmean", "x", "y"} < {row["part"] for row in result.table.rows}
    text = str(result)
    assert "noisy on toys: 40 pairs, 0 missing" in text
    assert f"{row['spearman']:.3f} [{row['spearman_low']:.3f}, " in text
    assert list(result.to_pandas().columns[:4]) == ["kind", "part", "n", "spearman"]
    table = result.pairs_to_pandas()
    assert table["similarity"].tolist() == result.similarities.tolist()
    assert table["corpus"].tolist() == pairs.corpora


def test_identical_pairs_rank_on_top_and_a_turned_sign_shows():
    world, prompts = make_world(6)
    left = [prompts[0], *prompts[:5]]
    right = [prompts[0], *prompts[1:]]
    means = {p: np.asarray(world._of(p).means[0]) for p in prompts}
    people = [-np.linalg.norm(means[a] - means[b]) for a, b in zip(left, right, strict=True)]
    pairs = ScoredPairs("w", left, right, np.array(people))
    result = evaluate(ConjureScorer(world, memory=None, **SMALL), pairs, n_bootstrap=0)
    assert result.similarities.argmax() == 0
    assert result.table[0]["spearman"] > 0.5
    assert result.n_evaluations == world.rows > 0
    assert result.provenance["scorer"]["fingerprint"] == world.fingerprint
    assert result.table[0]["spearman_draw_se"] >= 0


def test_missing_pairs_are_counted_and_left_out_everywhere(pairs):
    cut = np.arange(40) % 2 == 0
    scorer = noisy(pairs, missing=4, truncated=cut, replicates=np.tile(pairs.scores, (3, 1)))
    result = evaluate(scorer, pairs, n_bootstrap=20)
    assert (result.n_missing, len(result.pairs)) == (4, 36)
    assert result.replicates.shape == (3, 36)
    assert result.table.find(part="all")["n"] == 36
    assert result.table.find(part="truncated")["n"] == 18
    assert "36 pairs, 4 missing" in str(result)


def test_few_pairs_have_no_interval(pairs):
    few = pairs.take(range(9), "few")
    assert np.isnan(evaluate(noisy(few), few, n_bootstrap=50).table[0]["spearman_low"])
    ten = pairs.take(range(10), "ten")
    assert np.isfinite(evaluate(noisy(ten), ten, n_bootstrap=50).table[0]["spearman_low"])


def test_the_seed_decides_the_intervals(pairs):
    a, b, c = (
        evaluate(noisy(pairs), pairs, n_bootstrap=50, random_state=s).table[0] for s in (0, 0, 1)
    )
    assert a == {**b, "spearman_draw_se": pytest.approx(np.nan, nan_ok=True)} or str(a) == str(b)
    assert str(a) != str(c)


def test_json_holds_table_pairs_and_provenance(pairs):
    back = json.loads(json.dumps(evaluate(noisy(pairs), pairs, n_bootstrap=9).to_dict()))
    assert back["table"][0]["n"] == 40
    assert back["pairs"]["text_a"] == pairs.left
    assert len(back["similarities"]) == 40
    assert back["provenance"]["n_bootstrap"] == 9


def test_plain_lists_and_errors(pairs):
    result = evaluate(noisy(pairs), pairs.pairs, pairs.scores, n_bootstrap=0)
    assert result.table[0]["n"] == 40
    with pytest.raises(ValueError, match="scores=None: expected a score for each pair"):
        evaluate(noisy(pairs), pairs.pairs)
    with pytest.raises(ValueError, match=r"scores: expected 40 finite numbers.*got shape \(3,\)"):
        evaluate(noisy(pairs), pairs.pairs, [1, 2, 3])
    with pytest.raises(ValueError, match="with 1 numbers not finite"):
        evaluate(noisy(pairs), pairs.pairs, [np.nan, *pairs.scores[1:]])
    with pytest.raises(ValueError, match="corpora: expected 40, one a pair, got 2"):
        evaluate(noisy(pairs), pairs.pairs, pairs.scores, corpora=["a", "b"])
    with pytest.raises(TypeError, match="scores, corpora: expected none with ScoredPairs"):
        evaluate(noisy(pairs), pairs, pairs.scores)
    with pytest.raises(ValueError, match=r"scorer: expected .*shape \(40,\).* got shape \(2,\)"):
        evaluate(lambda a, b: [1, 2], pairs)
    with pytest.raises(ValueError, match="n_bootstrap=-1"):
        evaluate(noisy(pairs), pairs, n_bootstrap=-1)
