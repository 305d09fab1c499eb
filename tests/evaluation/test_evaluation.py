"""evaluate: what stands in the result, and errors (R47-R49)."""

import json

import numpy as np
import pytest
from scipy import stats

from conjure_kernel import evaluate
from conjure_kernel.evaluation import PairScores
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.scorers import ConjureScorer
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
    result = evaluate(noisy(pairs), pairs, name="noisy")
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
    result = evaluate(ConjureScorer(world, memory=None, **SMALL), pairs)
    assert result.similarities.argmax() == 0
    assert result.table[0]["spearman"] > 0.5
    assert result.n_evaluations == world.rows > 0
    assert result.provenance["scorer"]["fingerprint"] == world.fingerprint
    assert result.table[0]["spearman_draw_se"] >= 0


def test_missing_pairs_are_counted_and_left_out_everywhere(pairs):
    cut = np.arange(40) % 2 == 0
    scorer = noisy(pairs, missing=4, truncated=cut, replicates=np.tile(pairs.scores, (2, 3, 1)))
    result = evaluate(scorer, pairs)
    assert (result.n_missing, len(result.pairs)) == (4, 36)
    assert result.replicates.shape == (2, 3, 36)
    assert result.table.find(part="all")["n"] == 36
    assert result.table.find(part="truncated")["n"] == 18
    assert "36 pairs, 4 missing" in str(result)


def test_few_pairs_have_no_interval(pairs):
    few = pairs.take(range(9), "few")
    assert np.isnan(evaluate(noisy(few), few).table[0]["spearman_low"])
    ten = pairs.take(range(10), "ten")
    assert np.isfinite(evaluate(noisy(ten), ten).table[0]["spearman_low"])


def test_json_holds_table_pairs_and_provenance(pairs):
    back = json.loads(json.dumps(evaluate(noisy(pairs), pairs).to_dict()))
    assert back["table"][0]["n"] == 40
    assert back["pairs"]["text_a"] == pairs.left
    assert len(back["similarities"]) == 40
    assert "numpy" in str(back["provenance"]["versions"])


def test_plain_lists_and_errors(pairs):
    result = evaluate(noisy(pairs), pairs.pairs, pairs.scores)
    assert result.table[0]["n"] == 40
    with pytest.raises(ValueError, match="scores=None: expected a score for each pair"):
        evaluate(noisy(pairs), pairs.pairs)
    with pytest.raises(ValueError, match="as scores and corpora, got 40, 40, 3"):
        evaluate(noisy(pairs), pairs.pairs, [1, 2, 3])
    for odd in (1j * pairs.scores, ["x"] * 40, [[1]] * 40, None):
        with pytest.raises(ValueError, match=r"scores.*: expected .* numbers, one a pair"):
            ScoredPairs("odd", pairs.left, pairs.right, odd)
    with pytest.raises(ValueError, match="with 1 numbers not finite"):
        evaluate(noisy(pairs), pairs.pairs, [np.nan, *pairs.scores[1:]])
    with pytest.raises(ValueError, match="scores and corpora, got 40, 40, 40, 2"):
        evaluate(noisy(pairs), pairs.pairs, pairs.scores, corpora=["a", "b"])
    with pytest.raises(TypeError, match="scores, corpora: expected none with ScoredPairs"):
        evaluate(noisy(pairs), pairs, pairs.scores)
    with pytest.raises(ValueError, match=r"scorer: expected .*shape \(40,\).* got shape \(2,\)"):
        evaluate(lambda a, b: [1, 2], pairs)
    with pytest.raises(ValueError, match="scorer: expected finite similarities, got none for 40"):
        evaluate(lambda a, b: np.full(40, np.nan), pairs)
    spoilt, n_spoilt = np.where(pairs.scores > 1, np.nan, 0.5), int((pairs.scores > 1).sum())
    with pytest.raises(ValueError, match=f"with {n_spoilt} numbers not finite; drop those pairs"):
        ScoredPairs("t", pairs.left, pairs.right, spoilt)
