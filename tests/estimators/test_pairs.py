"""ConjurePairs: features of pairs, their cost, and the scikit-learn contract (R10-R15, R50)."""

import copy
import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.isotonic import IsotonicRegression
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from conjure_kernel import ConjurePairs, TextKFold, paired_divergence
from worlds import N_DRAWS, N_STEPS, SMALL, SUBSTEPS, Counting, make_world

T, K, S = N_STEPS, N_DRAWS, N_STEPS * SUBSTEPS


def estimator(world, memory=None, **options):
    return ConjurePairs(world, memory=memory, **{**SMALL, **options})


@pytest.fixture
def scored():
    """All pairs of sixteen prompts of one covariance, scored by how near their means are."""
    rng = np.random.default_rng(1)
    prompts = [f"prompt {i}" for i in range(16)]
    means = dict(zip(prompts, rng.normal(size=(16, 2)), strict=True))
    world = Counting(means, 0.5)
    pairs = list(itertools.combinations(prompts, 2))
    return world, pairs, np.array([-np.linalg.norm(means[a] - means[b]) for a, b in pairs])


# ---------------------------------------------------------------- features


def test_log_divergence_and_what_fit_keeps(scored):
    world, pairs, _ = scored
    model = estimator(world)
    features = model.fit_transform(pairs)
    measured = paired_divergence(pairs, model=world, memory=None, **SMALL)
    np.testing.assert_allclose(features[:, 0], np.log(measured.values), rtol=1e-6)
    np.testing.assert_allclose(model.divergences_, measured.values, rtol=1e-6)
    np.testing.assert_allclose(model.standard_errors_, measured.standard_errors, rtol=1e-5)
    assert model.truncated_.tolist() == [False] * 120
    assert model.provenance_["n_draws"] == K
    assert model.provenance_["fingerprint"] == world.fingerprint


def test_profile_holds_both_legs_level_by_level():
    world, prompts = make_world()
    pairs = [(a, b) for a in prompts for b in prompts if a < b]
    features = estimator(world, features="profile").fit_transform(pairs)
    measured = paired_divergence(pairs, model=world, memory=None, **SMALL)
    assert features.shape == (15, 2 * T)
    forward, backward = measured.legs
    np.testing.assert_allclose(np.exp(features[:, :T]).sum(1), forward, rtol=1e-5)
    np.testing.assert_allclose(np.exp(features[:, T:]).sum(1), backward, rtol=1e-5)
    assert not np.allclose(forward, backward)


def test_turning_a_pair_round_swaps_the_legs(scored):
    world, pairs, _ = scored
    model = estimator(world, features="profile")
    there, back = model.fit_transform(pairs), model.transform([(b, a) for a, b in pairs])
    np.testing.assert_allclose(there, np.roll(back, T, axis=1), rtol=1e-6)


@pytest.mark.parametrize("features", ["log_divergence", "profile"])
def test_a_text_against_itself_has_a_finite_least_feature(scored, features):
    world, pairs, _ = scored
    model = estimator(world, features=features)
    least = model.fit_transform([(pairs[0][0],) * 2, *pairs])
    assert np.isfinite(least).all()
    assert (least[0] <= least[1:].min()).all()


@pytest.mark.filterwarnings("ignore:.* pairs are above tol")
@pytest.mark.parametrize("features", ["log_divergence", "profile"])
def test_draws_follow_tol(features):
    world, prompts = make_world()
    pairs = list(itertools.combinations(prompts, 2))
    found = estimator(world, features=features, tol=0.1).fit_transform(pairs)
    measured = paired_divergence(pairs, model=world, memory=None, tol=0.1, **SMALL)
    assert len(set(measured.draws_used)) > 1
    expected = np.stack(measured.leg_profiles, 1).reshape(len(pairs), -1)
    if features == "log_divergence":
        expected = measured.values[:, None]
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-6)


@pytest.mark.slow
def test_workers_find_the_same(scored):
    world, pairs, _ = scored
    alone = estimator(world).fit_transform(pairs[:3])
    assert np.array_equal(estimator(world, n_jobs=2).fit_transform(pairs[:3]), alone)


# ---------------------------------------------------------------- cost


def test_only_the_pairs_asked_for_are_measured_and_texts_share_trajectories():
    world, prompts = make_world(4)
    pairs = [tuple(prompts[:2]), (prompts[1], prompts[2]), (prompts[1], prompts[0])]
    model = estimator(world).fit(pairs)
    assert model.n_evaluations_ == world.rows == 3 * S * K + 4 * T * K
    model.transform(pairs[1:])
    assert world.rows == model.n_evaluations_
    model.transform([(prompts[0], prompts[2])])
    assert world.rows - model.n_evaluations_ == 2 * T * K


def test_a_search_measures_each_pair_once(scored, tmp_path):
    world, pairs, scores = scored
    pipeline = make_pipeline(estimator(world, tmp_path), KernelRidge(kernel="rbf"))
    grid = {"kernelridge__alpha": [0.1, 1, 10]}
    folds, scoring = TextKFold(4), "neg_mean_squared_error"
    GridSearchCV(pipeline, grid, cv=folds, scoring=scoring).fit(pairs, scores)
    distinct = len({frozenset(pair) for pair in pairs})
    texts = len({text for pair in pairs for text in pair})
    assert world.rows == texts * S * K + 2 * distinct * T * K


# ---------------------------------------------------------------- scikit-learn


def test_regressions_find_the_scores(scored, tmp_path):
    world, pairs, scores = scored
    for regressor in (
        IsotonicRegression(increasing=False, out_of_bounds="clip"),
        make_pipeline(StandardScaler(), KernelRidge(kernel="rbf", alpha=0.1)),
    ):
        pipeline = make_pipeline(estimator(world, tmp_path), regressor)
        found = cross_val_predict(pipeline, pairs, scores, cv=TextKFold(4))
        assert np.corrcoef(found, scores)[0, 1] > 0.6
        shuffled = np.random.default_rng(0).permutation(scores)
        found = cross_val_predict(pipeline, pairs, shuffled, cv=TextKFold(4))
        assert np.corrcoef(found, shuffled)[0, 1] < 0.4


def test_every_form_of_pairs_gives_the_same(scored, tmp_path):
    world, pairs, _ = scored
    model = estimator(world, tmp_path)
    expected = model.fit_transform(pairs)
    for form in (list(map(list, pairs)), np.array(pairs), pd.DataFrame(pairs, columns=["a", "b"])):
        assert np.array_equal(model.fit_transform(form), expected)


def test_set_output_and_names(scored):
    world, pairs, _ = scored
    model = estimator(world, features="profile").set_output(transform="pandas")
    table = model.fit_transform(pairs)
    assert list(table.columns[:2]) == ["log_kl_ab_0", "log_kl_ab_1"]
    assert list(table.columns[T : T + 1]) == ["log_kl_ba_0"]
    table = estimator(world).set_output(transform="pandas").fit_transform(pairs)
    assert list(table.columns) == ["log_divergence"]


def test_tags_say_text():
    tags = get_tags(ConjurePairs()).input_tags
    assert (tags.string, tags.two_d_array) == (True, False)


def test_clones_pickles_and_copies_carry_no_weights(scored):
    world, pairs, _ = scored
    model = estimator(world)
    features = model.fit_transform(pairs)
    assert clone(model).model is world
    assert copy.deepcopy(model).model is world
    spent = world.rows
    assert np.array_equal(copy.deepcopy(model).transform(pairs), features)
    assert world.rows == spent
    assert len(pickle.dumps(ConjurePairs().set_params(**{"n_draws": 2}))) < 1e4


def test_fit_writes_no_constructor_parameter(scored):
    world, pairs, _ = scored
    model = estimator(world, random_state=np.int64(3))
    before = model.get_params(deep=False)
    model.fit(pairs).transform(pairs)
    assert all(model.get_params(deep=False)[name] is value for name, value in before.items())


def test_errors(scored):
    world, pairs, _ = scored
    with pytest.raises(NotFittedError):
        estimator(world).transform(pairs)
    with pytest.raises(ValueError, match="features='legs': expected one of 'log_divergence'"):
        estimator(world, features="legs").fit(pairs)
    with pytest.raises(ValueError, match=r"pairs\[1\]='b': expected a pair"):
        estimator(world).fit([("a", "b"), "b"])


@pytest.mark.parametrize("features", ["log_divergence", "profile"])
def test_an_origin_makes_features_relative(features):
    world, prompts = make_world(4)
    pairs = list(itertools.pairwise(prompts))
    options = {"memory": None, **SMALL}
    model = ConjurePairs(world, features=features, origin="empty", **options)
    found = model.fit_transform(pairs[:2])
    several = [*pairs, *((p, "") for pair in pairs for p in pair)]
    plain = paired_divergence(several, model=world, **options)
    if features == "log_divergence":
        unit = np.sqrt(plain.values[3::2] * plain.values[4::2])
        expected = np.log(plain.values[:3] / unit)[:, None]
    else:
        unit = np.sqrt(plain.profile[3::2] * plain.profile[4::2])
        expected = np.log(np.hstack([leg[:3] / unit for leg in plain.leg_profiles]))
    np.testing.assert_allclose(found, expected[:2], rtol=1e-6)
    np.testing.assert_allclose(model.transform(pairs), expected, rtol=1e-6)
    assert len(model.get_feature_names_out()) == found.shape[1]
