"""What a fit leaves: the identity of its model, all of its settings, or nothing at all."""

from __future__ import annotations

import copy
import pickle
import threading
from itertools import pairwise

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline

import pipelines
import worlds
from conjure_kernel import (
    ConjureDistance,
    ConjureDrift,
    ConjureEmbedding,
    ConjureKernel,
    ConjureNeighbors,
    ConjurePairs,
    GaussianDenoiser,
    ImageDistance,
)
from worlds import SMALL, make_world

PROMPTS = [f"prompt {i}" for i in range(5)]
PAIRS = list(pairwise(PROMPTS))
TINY = {**SMALL, "memory": None}
VECTORS = {"n_steps": 4, "memory": None, "n_components": 24}


def world(seed=0):
    rng = np.random.default_rng(seed)
    return GaussianDenoiser({p: rng.normal(size=3) for p in ["", *PROMPTS, "new"]})


def fitted(kind, model):
    if kind is ConjurePairs:
        return ConjurePairs(model, **TINY).fit(PAIRS)
    if kind is ConjureNeighbors:
        return ConjureNeighbors(model, n_neighbors=2, **TINY).fit(PROMPTS)
    settings = VECTORS if kind is ConjureEmbedding else TINY
    return kind(model, **settings).fit(PROMPTS)


ALL = [ConjureDistance, ConjureEmbedding, ConjureNeighbors, ConjurePairs]


# ---------------------------------------------------------------- whose numbers they are


def test_hashes_tell_models_apart_and_leave_counters_out():
    used = world()
    ConjureDistance(used, **TINY).fit(PROMPTS)
    assert joblib.hash(used) == joblib.hash(world())
    assert joblib.hash(pickle.loads(pickle.dumps(used))) == joblib.hash(used)
    assert joblib.hash(used) != joblib.hash(world(1))


def test_a_pipeline_with_memory_keeps_checkpoints_apart(tmp_path):
    """It returned another checkpoint's matrix, as all pipelines were pickled alike."""
    pipes = [pipelines.stable_diffusion(), pipelines.stable_diffusion()]
    for parameter in pipes[1].unet.parameters():
        parameter.data *= 1.5
    steps = [("d", ConjureDistance(**{**TINY, "n_steps": 2})), ("last", "passthrough")]
    found = []
    for pipe in (*pipes, pipes[0]):
        chain = Pipeline(steps, memory=str(tmp_path)).set_params(d__model=pipe)
        found.append(chain.fit_transform(["a dog", "a cat"])[0, 1])
    assert found[0] == found[2] != found[1]


def test_a_folder_that_gets_another_model_is_another_model(tmp_path):
    pipelines.stable_diffusion().save_pretrained(tmp_path / "m")
    model = ConjureDistance(str(tmp_path / "m"), **{**TINY, "n_steps": 2})
    before, whole = joblib.hash(clone(model)), model.fit(["a dog", "a cat"])
    assert joblib.hash(clone(model)) == before
    frozen, weights = pickle.dumps(whole), pickle.dumps(model.denoiser)
    other = pipelines.stable_diffusion()
    for parameter in other.unet.parameters():
        parameter.data *= 1.5
    other.save_pretrained(tmp_path / "m")
    assert joblib.hash(clone(model)) != before
    known = model.provenance_["fingerprint"]
    thawed = pickle.loads(frozen)
    assert thawed.transform(["a dog"]).shape == (1, 2)
    with pytest.raises(ValueError, match=rf"fingerprint {known}, got another one, [0-9a-f]+"):
        thawed.transform(["a bus"])
    with pytest.raises(ValueError, match=rf"fingerprint {known}, got another one, [0-9a-f]+"):
        pickle.loads(weights)


def test_a_search_over_models_scores_each_and_leaves_the_user_s_own_alone():
    base, tuned = (ConjureDistance(world(seed), **TINY) for seed in (0, 1))
    kernel = ConjureKernel(base, bandwidth=1.0)
    assert clone(kernel).distance is not base
    assert clone(kernel) == kernel != ConjureKernel(tuned, bandwidth=1.0)
    process = GaussianProcessRegressor(kernel, alpha=0.1, optimizer=None)
    grid = {"kernel__distance": [base, tuned], "kernel__distance__weighting": ["noise"]}
    search = GridSearchCV(process, grid, cv=KFold(2), scoring="neg_mean_squared_error")
    scores = search.fit(PROMPTS, np.arange(5.0)).cv_results_["mean_test_score"]
    assert scores[0] != scores[1]
    assert base.weighting == tuned.weighting == "jeffreys"


def test_callables_and_models_are_shared_by_clones_and_copies():
    class Client:
        def __init__(self):
            self.lock = threading.Lock()

        def __call__(self, prompt, n):
            return np.zeros((n, 4, 4, 3), np.uint8)

    client, pipe = Client(), pipelines.stable_diffusion()
    images, model = ImageDistance(client), ConjureDistance(pipe)
    for twin in (clone, copy.copy, copy.deepcopy):
        assert twin(images).generate is client
        assert twin(model).model is pipe


# ---------------------------------------------------------------- what travels


@pytest.mark.parametrize("kind", ALL)
def test_what_was_measured_travels_and_is_not_measured_again(kind):
    model = fitted(kind, world())
    inputs = PAIRS if kind is ConjurePairs else PROMPTS
    model.transform(inputs)
    thawed = pickle.loads(pickle.dumps(model))
    expected, found = (np.asarray(m.transform(inputs)) for m in (model, thawed))
    if kind is ConjureNeighbors:
        expected, found = model.transform(inputs).toarray(), thawed.transform(inputs).toarray()
    np.testing.assert_array_equal(found, expected)
    assert thawed.denoiser.n_evaluations == 0


def found_by(model):
    """What a fitted estimator finds of its own inputs, as an array."""
    if isinstance(model, ConjureDrift):
        return [row["divergence"] for row in model.ranking().rows]
    if isinstance(model, GaussianProcessRegressor):
        return model.predict(PROMPTS)
    matrix = model.transform(PAIRS if isinstance(model, ConjurePairs) else PROMPTS)
    return matrix.toarray() if isinstance(model, ConjureNeighbors) else matrix


@pytest.mark.parametrize("kind", [*ALL, ConjureDrift, ConjureKernel, ImageDistance])
def test_dumps_of_skops_are_read_again(kind):
    skops = pytest.importorskip("skops.io")
    if kind is ConjureKernel:
        kernel = ConjureKernel(ConjureDistance(world(), **TINY), bandwidth=1.0)
        process = GaussianProcessRegressor(kernel, alpha=0.1, optimizer=None)
        model = process.fit(PROMPTS, np.arange(5.0))
    elif kind is ConjureDrift:
        model = ConjureDrift(world(), world(1), **TINY).fit(PROMPTS)
    elif kind is ImageDistance:
        model = ImageDistance(worlds.shade, metric="kid", n_images=8).fit(PROMPTS)
    else:
        model = fitted(kind, world())
    data = skops.dumps(model)
    again = skops.loads(data, trusted=skops.get_untrusted_types(data=data))
    np.testing.assert_allclose(found_by(again), found_by(model))


def test_neighbors_of_a_pipeline_can_be_pickled():
    pipe = pipelines.stable_diffusion()
    settings = {**TINY, "n_steps": 2, "n_draws": 2}
    model = ConjureNeighbors(pipe, n_neighbors=1, **settings).fit(["a dog", "a cat", "a bus"])
    thawed = pickle.loads(pickle.dumps(model))
    assert (thawed.kneighbors_graph() != model.kneighbors_graph()).nnz == 0
    thawed.set_params(model=pipe)
    (there, found), (here, wanted) = (m.kneighbors(["a tram"]) for m in (thawed, model))
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(there, here, rtol=1e-3)


# ---------------------------------------------------------------- whole or not at all


@pytest.mark.parametrize("kind", [*ALL, ConjureDrift])
@pytest.mark.parametrize("error", [FloatingPointError, KeyboardInterrupt])
def test_a_fit_that_fails_leaves_what_was(kind, error, monkeypatch):
    model = kind(world(), **(VECTORS if kind is ConjureEmbedding else TINY))
    inputs = PAIRS if kind is ConjurePairs else PROMPTS
    if kind is ConjureNeighbors:
        model.set_params(n_neighbors=2)
    if kind is ConjureDrift:
        model.set_params(model_b=world(1))

    def fail(*args, **kwargs):
        raise error

    def fails(model):
        with monkeypatch.context() as patch:
            patch.setattr(GaussianDenoiser, "predict", fail)
            patch.setattr(GaussianDenoiser, "replay", fail)
            patch.setattr(GaussianDenoiser, "trace", fail)
            with pytest.raises(error):
                model.fit(inputs)

    fails(model)
    assert not [name for name in vars(model) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        model.conjure_images() if kind is ConjureDrift else model.transform(inputs)
    before = dict(vars(model.fit(inputs)))
    model.set_params(n_steps=6, weighting="noise")
    fails(model)
    after = vars(model)
    assert all(after[name] is before[name] for name in before if name.endswith("_"))


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("travels", [False, True])
def test_a_fit_keeps_its_settings_until_the_next_one(kind, travels):
    model = fitted(kind, world())
    new = [("new", "prompt 0")] if kind is ConjurePairs else ["new", "prompt 0"]
    expected = model.transform(new)
    model.set_params(n_steps=7, weighting="noise", random_state=5)
    if kind is ConjureDistance:
        model.set_params(output="divergence")
    found = (pickle.loads(pickle.dumps(model)) if travels else model).transform(new)
    if kind is ConjureNeighbors:
        expected, found = expected.toarray(), found.toarray()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    model.fit(PAIRS if kind is ConjurePairs else PROMPTS)
    again = model.transform(new)
    again = again.toarray() if kind is ConjureNeighbors else again
    assert not np.allclose(again, expected)


def test_tests_of_worlds_that_count_are_fitted_too():
    counting, prompts = make_world(4)
    model = ConjureDistance(counting, **TINY).fit(prompts)
    assert pickle.loads(pickle.dumps(model)).provenance_ == model.provenance_
