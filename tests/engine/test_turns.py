"""Threads that share models, estimators and pipelines: no error, no wrong value, no wrong count."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone

import pipelines
from conjure_kernel import ConjureDistance, ConjureEmbedding, ConjureNeighbors, load_denoiser
from worlds import SMALL, cold, make_world

TINY = {**SMALL, "memory": None}


def in_threads(work, n, n_threads=3):
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(work, range(n)))


def test_threads_share_one_fitted_estimator():
    world, prompts = make_world(6)
    model = ConjureDistance(world, **TINY).fit(prompts[:3])
    expected = clone(model).fit(prompts[:3]).transform(prompts[3:])

    def work(i):
        return model.transform([prompts[3 + i % 3]])[0]

    for i, row in enumerate(in_threads(work, 24)):
        np.testing.assert_allclose(row, expected[i % 3], rtol=1e-4)


def test_threads_that_share_a_model_count_their_own_predictions():
    world, prompts = make_world(5)
    kinds = [
        (ConjureDistance(world, **TINY), 5),
        (ConjureEmbedding(world, n_steps=4, memory=None, n_components=24), 5),
        (ConjureNeighbors(world, n_neighbors=2, **TINY), 5),
    ]
    alone = [clone(model).fit(prompts).n_evaluations_ for model, _ in kinds]
    assert alone[0] == cold(5)
    counts = in_threads(lambda i: clone(kinds[i % 3][0]).fit(prompts).n_evaluations_, 24)
    assert counts == alone * 8


def test_loading_in_threads_leaves_new_modules_on_the_cpu(tmp_path):
    """Accelerate's patch of torch stayed, and every new layer of the process was on "meta"."""
    pipelines.stable_diffusion().save_pretrained(tmp_path)

    def work(_):
        load_denoiser(str(tmp_path))
        return torch.nn.Linear(2, 2).weight.device.type

    in_threads(work, 9)
    assert torch.nn.Linear(2, 2).weight.device.type == "cpu"


@pytest.mark.slow
def test_fifty_rounds_of_everything_in_three_threads(tmp_path):
    pipe = pipelines.stable_diffusion()
    pipe.save_pretrained(tmp_path)
    prompts, options = ["a dog", "a cat"], {**TINY, "n_steps": 2, "n_draws": 2}
    shared = ConjureDistance(pipe, **options).fit(prompts)
    expected = [shared.divergences_, shared.transform(["a red bus"])]

    def work(i):
        if i % 10 == 0:
            load_denoiser(str(tmp_path))
        model = clone(shared).fit(prompts)
        thawed = pickle.loads(pickle.dumps(shared)).set_params(model=pipe)
        new = thawed if i % 5 == 0 else shared
        return [model.divergences_, new.transform(["a red bus"])]

    for found in in_threads(work, 50):
        for mine, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=1e-3, atol=1e-6)
