"""TextKFold: no text on both sides, every pair tested once (R50)."""

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GridSearchCV, cross_val_predict

from conjure_kernel import TextKFold

LOOSE = [(f"a{i}", f"b{i}") for i in range(20)]
CHAIN = [(str(i % 30), str((i + 1 + i // 30) % 30)) for i in range(300)]
MIXED = [*LOOSE, *CHAIN]


def texts(pairs, indices):
    return {text for i in indices for text in pairs[i]}


@pytest.mark.parametrize("pairs", [LOOSE, CHAIN, MIXED], ids=["loose", "chain", "mixed"])
def test_no_text_is_on_both_sides_and_every_pair_is_tested_once(pairs):
    folds = list(TextKFold(5).split(pairs))
    for train, test in folds:
        assert len(train)
        assert len(test)
        assert not texts(pairs, train) & texts(pairs, test)
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == list(range(len(pairs)))
    assert len(folds) == TextKFold(5).get_n_splits(pairs)


def test_texts_that_do_not_repeat_lose_no_training_pair():
    folds = list(TextKFold(5).split(LOOSE))
    assert [len(train) + len(test) for train, test in folds] == [20] * 5
    assert {len(test) for _, test in folds} == {4}


def test_texts_that_hang_together_are_tested_by_pairs_of_blocks():
    assert len(list(TextKFold(5).split(CHAIN))) == 15


def test_the_seed_deals():
    first, again, other = (list(TextKFold(5, random_state=s).split(CHAIN)) for s in (0, 0, 1))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, other, strict=False))


def test_scikit_learn_takes_it():
    y = np.arange(len(MIXED), dtype=float)
    predicted = cross_val_predict(DummyRegressor(), MIXED, y, cv=TextKFold(4))
    for train, test in TextKFold(4).split(MIXED):
        assert predicted[test] == pytest.approx(y[train].mean())
    GridSearchCV(DummyRegressor(), {"strategy": ["mean"]}, cv=TextKFold(4)).fit(MIXED, y)


def test_errors():
    with pytest.raises(ValueError, match="n_splits=2: expected an integer of at least 3"):
        TextKFold(2)
    with pytest.raises(
        ValueError,
        match="n_splits=3: expected training pairs in every",
    ):
        list(TextKFold(3).split([("a", "b"), ("b", "c"), ("c", "a")]))
    with pytest.raises(ValueError, match="X=None: expected pairs"):
        TextKFold().get_n_splits()


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0), 3])
def test_the_number_of_folds_is_that_of_the_folds(random_state):
    pairs = CHAIN[:60]
    for _ in range(10):
        folds = TextKFold(5, random_state=random_state)
        first, second = list(folds.split(X=pairs)), list(folds.split(pairs))
        assert len(first) == folds.get_n_splits(X=pairs)
        for (_, test), (_, again) in zip(first, second, strict=True):
            np.testing.assert_array_equal(test, again)


def test_a_text_that_says_what_it_is():
    assert repr(TextKFold(4, random_state=2)) == "TextKFold(n_splits=4, random_state=2)"
