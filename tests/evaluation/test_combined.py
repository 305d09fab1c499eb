"""combine: text and imagery as one scorer, learnt from pairs of other texts."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from conjure_kernel import TextKFold, compare, evaluate
from conjure_kernel.evaluation import PairScores, ScoredPairs, combine
from conjure_kernel.method.jackknife import leave_one_out

RNG = np.random.default_rng(0)
N = 160
WORDS = RNG.integers(60, size=(2, N))
WORDS[1] = (WORDS[0] + 1 + WORDS[1] % 59) % 60
LEFT, RIGHT = ([f"w{i}" for i in side] for side in WORDS)
SCORES = RNG.normal(size=N)
PAIRS = ScoredPairs("t", LEFT, RIGHT, SCORES)


def result(similarities, name, pairs=PAIRS, replicates=None):
    return evaluate(lambda a, b: PairScores(similarities, replicates), pairs, name=name)


def noisy(seed, noise=1.0):
    return SCORES + noise * np.random.default_rng(seed).normal(size=N)


TEXT, IMAGERY = result(noisy(1), "text"), result(noisy(2, 2), "imagery")
NOISE = result(np.random.default_rng(3).normal(size=N), "noise")


@pytest.mark.parametrize("how", ["ridge", "rank"])
def test_what_both_know_adds_up(how):
    both = combine([TEXT, result(noisy(4), "imagery")], how)
    assert both.name == f"text + imagery ({how})"
    assert compare([both, TEXT])[0]["difference_low"] > 0


def test_the_ridge_leaves_out_what_knows_nothing_and_turns_what_is_upside_down():
    weights = np.array(combine([TEXT, NOISE]).provenance["scorer"]["learnt"])
    assert (weights[:, 0] > 0.8).all()
    np.testing.assert_allclose(np.abs(weights).sum(1), 1)
    turned = result(-IMAGERY.similarities, "turned")
    plain, other = combine([TEXT, IMAGERY]), combine([TEXT, turned])
    np.testing.assert_allclose(plain.similarities, other.similarities)


@pytest.mark.parametrize("how", ["ridge", "gate"])
def test_no_score_of_a_pair_or_of_its_texts_reaches_it(how):
    changed, folds = 0, TextKFold(3)
    before = combine([TEXT, IMAGERY], how, cv=folds)
    for train, test in folds.split(PAIRS.pairs):
        other = SCORES.copy()
        away = np.setdiff1d(np.arange(N), train)  # all that share a block with the test side
        other[away] = np.random.default_rng(1).permutation(other[away]) - 9 * other[away]
        pairs = replace(PAIRS, scores=other)
        after = combine([replace(r, pairs=pairs) for r in (TEXT, IMAGERY)], how, cv=folds)
        np.testing.assert_array_equal(after.similarities[test], before.similarities[test])
        changed += (after.similarities != before.similarities).sum()
    assert changed > 0


def test_one_that_knows_nothing_hardly_ever_gains():
    """A gain whose interval leaves out 0 is found in at most about 2.5 % of sets."""
    found = []
    for seed in range(25):
        y, text, noise = np.random.default_rng(seed).normal(size=(3, 80))
        pairs = ScoredPairs("t", LEFT[:80], RIGHT[:80], y)
        both = [replace(TEXT, pairs=pairs, similarities=x) for x in (y + text, noise)]
        found.append(compare([combine(both), both[0]])[0]["difference_low"] > 0)
    assert sum(found) <= 2


def test_ranks_are_averaged_and_learn_nothing():
    both = combine([TEXT, IMAGERY], "rank", name="both")
    ranks = [stats.rankdata(r.similarities) for r in (TEXT, IMAGERY)]
    np.testing.assert_allclose(both.similarities, np.mean(ranks, axis=0))
    assert (both.name, both.provenance["scorer"]["learnt"]) == ("both", [None])


def test_among_related_pairs_the_second_decides():
    far = np.median(TEXT.similarities)
    related = TEXT.similarities > far
    # In the upper half only imagery knows; below it imagery is noise.
    imagery = np.where(related, SCORES, NOISE.similarities)
    scores = np.where(related, 10 + SCORES, TEXT.similarities)
    pairs = replace(PAIRS, scores=scores)
    text, seen = result(TEXT.similarities, "text", pairs), result(imagery, "imagery", pairs)
    gated = combine([text, seen], "gate")
    assert set(gated.provenance["scorer"]["learnt"]) == {0.5}
    assert gated.similarities[related].min() > gated.similarities[~related].max()
    for inside, decides in ((related, imagery), (~related, text.similarities)):
        order = stats.spearmanr(gated.similarities[inside], decides[inside]).statistic
        assert order == pytest.approx(1)
    assert compare([gated, text])[0]["difference_low"] > 0
    # Where only the upper tenth is imagery's, the gate rises.
    top = stats.rankdata(text.similarities) > 0.9 * N
    pairs = replace(PAIRS, scores=np.where(top, 10 + SCORES, TEXT.similarities))
    few = combine([replace(r, pairs=pairs) for r in (text, seen)], "gate")
    assert np.mean(few.provenance["scorer"]["learnt"]) > 0.8


def test_draws_go_through_with_what_is_learnt_held_fixed():
    draws = noisy(5)[:, None] + np.random.default_rng(6).normal(size=(N, 4))
    rows = leave_one_out(draws[..., None])
    seen = result(draws.mean(1), "imagery", replicates=rows)
    ranked = combine([TEXT, seen], "rank")
    text = stats.rankdata(TEXT.similarities)
    expected = [(text + stats.rankdata(row)) / 2 for row in rows[0]]
    np.testing.assert_allclose(ranked.replicates, [expected])
    ridge = combine([TEXT, seen])
    np.testing.assert_allclose(ridge.replicates.mean((0, 1)), ridge.similarities)
    assert 0 < ridge.table[0]["spearman_draw_se"] < seen.table[0]["spearman_draw_se"]
    assert combine([TEXT, NOISE]).replicates is None
    other = result(draws[:, 1:].mean(1), "three", replicates=leave_one_out(draws[:, 1:, None]))
    unknown = combine([seen, other])
    assert np.isnan(unknown.replicates).all()
    assert np.isnan(unknown.table[0]["spearman_draw_se"])


def test_pairs_that_one_cannot_score_are_counted():
    gap = result(np.where(np.arange(N) < 5, np.nan, IMAGERY.similarities), "gap")
    both = combine([TEXT, gap])
    assert (len(both.pairs), both.n_missing) == (N - 5, 5)


def test_what_cannot_be_combined_is_refused():
    with pytest.raises(ValueError, match="how='mean'"):
        combine([TEXT, IMAGERY], "mean")
    for wrong in ([TEXT], None):
        with pytest.raises(ValueError, match=r"expected at least two evaluations for how='ridge'"):
            combine(wrong)
    with pytest.raises(ValueError, match="expected two evaluations for how='gate'"):
        combine([TEXT, IMAGERY, NOISE], "gate")
    few = PAIRS.take(range(12), "few")
    small = [replace(r, pairs=few, similarities=r.similarities[:12]) for r in (TEXT, IMAGERY)]
    with pytest.raises(ValueError, match="expected at least 10 training pairs in each fold, got"):
        combine(small)
    assert len(combine(small, "rank").pairs) == 12
