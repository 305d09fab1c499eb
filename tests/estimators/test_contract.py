"""The scikit-learn contract: parameters, clones, pickles, tags, pipelines, searches (R10-R14)."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

import pipelines
from conjure_kernel import ConjureDistance
from worlds import N_DRAWS, N_STEPS, SMALL, SUBSTEPS, cold, make_world, rows_of

T, K, S = N_STEPS, N_DRAWS, N_STEPS * SUBSTEPS
FOLDS = KFold(3)


def estimator(world, memory=None, **options):
    return ConjureDistance(world, memory=memory, **{**SMALL, **options})


def regression(world, memory, **options):
    kernel = estimator(world, memory, output="kernel", psd="clip", **options)
    return make_pipeline(kernel, KernelRidge(alpha=0.01, kernel="precomputed"))


@pytest.fixture
def scored():
    """Twelve prompts with scores that follow from what they evoke."""
    world, prompts = make_world(12)
    scores = np.array([float(world._of(prompt).means[0, 0]) for prompt in prompts])
    return world, prompts, scores


# ---------------------------------------------------------------- parameters and state


def test_fit_writes_no_constructor_parameter():
    world, prompts = make_world()
    model = estimator(world, random_state=np.int64(3), model_kwargs={}, log_snr_range=[-6, 6])
    before = model.get_params(deep=False)
    model.fit(prompts).transform(prompts)
    after = model.get_params(deep=False)
    assert all(after[name] is value for name, value in before.items())


def test_fit_is_idempotent_and_equals_fit_transform():
    world, prompts = make_world()
    model = estimator(world)
    square = model.fit_transform(prompts)
    assert np.array_equal(model.fit(prompts).transform(prompts), square)
    assert model.fit(prompts) is model
    assert model.fit(prompts[:2]).transform(prompts).shape == (6, 2)


def test_tags_say_text_and_not_pairwise():
    tags = get_tags(estimator(None)).input_tags
    assert (tags.string, tags.one_d_array, tags.two_d_array) == (True, True, False)
    assert not tags.pairwise
    assert not get_tags(regression(None, None)).input_tags.pairwise


def test_not_fitted():
    world, prompts = make_world()
    model = estimator(world)
    for call in (model.transform, model.conjure_images):
        with pytest.raises(NotFittedError, match="ConjureDistance instance is not fitted yet"):
            call(prompts)
    with pytest.raises(NotFittedError, match="ConjureDistance"):
        model.get_feature_names_out()


def test_feature_names_and_pandas_output():
    world, prompts = make_world()
    model = estimator(world).set_output(transform="pandas")
    table = model.fit_transform(pd.Series(prompts, index=list("uvwxyz")))
    assert model.get_feature_names_out().tolist() == table.columns.tolist() == prompts
    assert table.index.tolist() == list("uvwxyz")
    assert np.array_equal(table.to_numpy(), estimator(world).fit_transform(prompts))
    assert isinstance(clone(model).fit_transform(prompts), pd.DataFrame)
    with config_context(transform_output="pandas"):
        assert estimator(world).fit(prompts).transform(prompts[:2]).shape == (2, 6)


def test_columns_of_equal_prompts_have_names_of_their_own():
    world = make_world(3)[0]
    model = estimator(world).fit(["prompt 0", "prompt 1", "prompt 0", "prompt 0"])
    names = ["prompt 0", "prompt 1", "prompt 0 (2)", "prompt 0 (3)"]
    assert model.get_feature_names_out().tolist() == names


def test_metadata_routing_takes_no_prompts_for_metadata():
    with config_context(enable_metadata_routing=True):
        requests = estimator(make_world(2)[0]).get_metadata_routing()
        assert "prompts" not in str(requests)
        assert not any(requests._serialize().get(name) for name in ("fit", "transform"))


def test_clone_shares_the_model_and_nothing_fitted():
    world, prompts = make_world()
    model = estimator(world, log_snr_range=[-6, 6]).fit(prompts)
    twin = clone(model)
    assert twin.model is world
    assert not hasattr(twin, "prompts_")
    assert not hasattr(twin, "_engine")
    assert twin.log_snr_range == model.log_snr_range
    assert twin.log_snr_range is not model.log_snr_range
    assert np.array_equal(twin.fit_transform(prompts), model.transform(prompts))
    assert clone(make_pipeline(model)).steps[0][1].model is world


@pytest.mark.parametrize("memory", [True, False], ids=["disk", "memory"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_work_and_carry_no_weights(memory, copied, tmp_path):
    world, prompts = make_world()
    model = estimator(world, tmp_path if memory else None).fit(prompts[:5])
    n_bytes = sum(v.nbytes for v in vars(model).values() if isinstance(v, np.ndarray))
    assert len(pickle.dumps(model)) < 1_000_000 + n_bytes
    twin = copied(model)
    assert np.array_equal(twin.divergences_, model.divergences_)
    np.testing.assert_allclose(twin.transform(prompts), model.transform(prompts), rtol=1e-6)
    twin.fit(prompts[:2])
    assert model.prompts_ == prompts[:5]
    if memory:
        assert twin.n_evaluations_ == 0


# ---------------------------------------------------------------- pipelines and searches


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_folds_are_right_for_every_container_and_number_of_workers(n_jobs, scored, tmp_path):
    world, prompts, scores = scored
    model = regression(world, tmp_path)
    truth = np.full(12, np.nan)
    for train, test in FOLDS.split(prompts):  # the same by hand, columns from the train rows only
        a, b = ([prompts[i] for i in rows] for rows in (train, test))
        conjure = clone(model.steps[0][1])
        ridge = clone(model.steps[1][1]).fit(conjure.fit_transform(a), scores[train])
        truth[test] = ridge.predict(conjure.transform(b))
    assert np.corrcoef(truth, scores)[0, 1] > 0.5
    containers = [prompts, np.array(prompts, dtype=object), np.array(prompts), pd.Series(prompts)]
    for given in containers:
        options = {"cv": FOLDS, "n_jobs": n_jobs}
        predicted = cross_val_predict(model, given, scores, **options)
        np.testing.assert_allclose(predicted, truth, rtol=1e-9)
        errors = cross_val_score(model, given, scores, scoring="neg_mean_squared_error", **options)
        expected = [-np.mean((truth - scores)[test] ** 2) for _, test in FOLDS.split(prompts)]
        np.testing.assert_allclose(errors, expected, rtol=1e-9)


def test_rows_of_the_test_fold_are_never_columns(scored):
    world, prompts, scores = scored
    found = cross_validate(
        regression(world, None), prompts, scores, cv=FOLDS, return_estimator=True
    )
    for (train, _), fitted in zip(FOLDS.split(prompts), found["estimator"], strict=True):
        assert fitted.steps[0][1].prompts_ == [prompts[i] for i in train]
        assert fitted.steps[1][1].X_fit_.shape == (8, 8)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_search_evaluates_no_pair_twice(n_jobs, scored, tmp_path):
    world, prompts, scores = scored
    world.log = tmp_path / "rows.log"
    grid = {
        "conjuredistance__bandwidth": ["median", 1.0, 4.0],
        "conjuredistance__weighting": ["jeffreys", "noise"],
        "kernelridge__alpha": [0.01, 0.1],
    }
    model = regression(world, tmp_path / "cache")
    search = GridSearchCV(model, grid, cv=FOLDS, n_jobs=n_jobs).fit(prompts, scores)
    assert rows_of(world.log) == cold(12)
    assert search.best_estimator_.steps[0][1].n_evaluations_ == 0
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_without_memory_every_fit_pays_for_itself(scored):
    world, prompts, scores = scored
    grid = {"conjuredistance__bandwidth": ["median", 4.0]}
    GridSearchCV(regression(world, None), grid, cv=FOLDS).fit(prompts, scores)
    a_fold = cold(8) + 4 * (S * K + 2 * 8 * T * K)
    assert world.rows == 2 * 3 * a_fold + cold(12)


def test_text_pipeline_inside_a_target_transformer(scored):
    world, prompts, scores = scored
    model = TransformedTargetRegressor(regression(world, None), func=np.exp, inverse_func=np.log)
    assert model.fit(prompts, scores).predict(prompts[:3]).shape == (3,)


def test_a_pipeline_object_and_worker_processes_are_refused_with_advice(tmp_path):
    pipe = pipelines.stable_diffusion()
    prompts, scores = ["a cat", "a dog", "blue house", "red car"], np.arange(4.0)
    model = regression(pipe, tmp_path, n_steps=1, n_draws=2)
    assert clone(model).steps[0][1].model is pipe
    search = GridSearchCV(model, {"kernelridge__alpha": [0.1]}, cv=2, error_score="raise")
    with pytest.raises(ValueError, match=r"left behind.*save_pretrained.*n_jobs=1"):
        clone(search).set_params(n_jobs=2).fit(prompts, scores)
    fitted = search.fit(prompts, scores)
    assert fitted.best_estimator_.steps[0][1].model is pipe
