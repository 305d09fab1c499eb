"""The cache seen from the estimator: what hits, what misses, what a bad disk does (R26-R33)."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import unicodedata
import warnings
from pathlib import Path

import diffusers
import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from conjure_kernel import (
    ConjureDistance,
    ConjureEmbedding,
    ConjureNeighbors,
    ConjurePairs,
    GaussianDenoiser,
    pairwise_divergence,
)
from conjure_kernel.cache.store import cache_info, clear_cache
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.settings import Settings
from conjure_kernel.method.schedule import VariancePreserving
from worlds import N_DRAWS, SMALL, Counting, cold, make_world


def estimator(world, memory, **options):
    return ConjureDistance(world, memory=memory, **{**SMALL, **options})


# ---------------------------------------------------------------- misses

CHANGES = {
    "n_steps": 5,
    "substeps": 3,
    "sampler": "ode",
    "guidance_scale": 2.0,
    "log_snr_range": (-4.0, 4.0),
    "nodes": "timesteps",
    "seed": 1,
    "shared_noise": True,
    "chains_per_draw": 2,
    "role": 1,
    "thin": True,
    "fingerprint": "another world",
    "dtype": torch.float32,
}


def curved_world(seed=0):
    """World whose model time is not linear in log-SNR."""
    world, prompts = make_world(3, seed=seed)
    world.schedule = VariancePreserving.scaled_linear()
    return world, prompts


def change(field, value):
    """A denoiser and settings with one field of the key changed."""
    world, _ = curved_world(seed=1 if field == "fingerprint" else 0)
    if field == "dtype":
        world.dtype = value
    fields = {field: value} if hasattr(Settings, field) else {}
    return world, Settings(**{"n_steps": 4, "chains_per_draw": 1, **fields})


def test_every_field_of_the_key_is_changed_below():
    world, _ = make_world(3)
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert set(Settings().key(world)) == fields | {"fingerprint", "dtype"} == set(CHANGES)


@pytest.mark.parametrize(("field", "value"), CHANGES.items())
def test_changing_any_field_of_the_key_is_a_miss_and_both_are_kept(field, value, tmp_path):
    world, prompts = curved_world()
    other, changed = change(field, value)
    square = {prompt: prompts for prompt in prompts}
    runs = [(world, Settings(n_steps=4, chains_per_draw=1)), (other, changed)]
    keys = [settings.key(model) for model, settings in runs]
    assert [name for name in keys[0] if keys[0][name] != keys[1][name]] == [field]
    found = []
    for model, settings in runs * 2:
        engine = Engine(model, settings, n_draws=N_DRAWS, memory=tmp_path)
        found.append([known.energies for known in engine.measure(square).values()])
        assert model.rows == engine.n_predictions(3 * N_DRAWS, 6 * N_DRAWS)
    assert all(map(np.array_equal, found[:2], found[2:]))
    if field != "dtype":  # a closed form is float64 whatever it is called
        assert np.shape(found[0]) != np.shape(found[1]) or not np.allclose(*found[:2], rtol=1e-3)


def test_changed_weights_are_a_miss(tmp_path):
    worlds = [Counting({"a": 0.0, "b": 1.0}, variance) for variance in (1.0, 1.0, 1.1)]
    for world in worlds:
        estimator(world, tmp_path).fit(["a", "b"])
    assert [world.rows for world in worlds] == [cold(2), 0, cold(2)]


# ---------------------------------------------------------------- hits


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 1},
        {"verbose": 1},
        {"n_draws": 2},
        {"weighting": "noise"},
        {"output": "kl"},
        {"output": "kernel"},
        {"output": "kernel", "bandwidth": 3.0, "psd": "clip"},
        {"random_state": np.int64(0)},
        {"guidance_scale": 1},
        {"log_snr_range": None},
    ],
    ids=str,
)
def test_what_changes_no_energy_is_a_hit(options, tmp_path):
    world, prompts = make_world()
    estimator(world, tmp_path).fit(prompts)
    model = estimator(make_world()[0], tmp_path, **options).fit(prompts)
    assert model.model.rows == model.n_evaluations_ == 0


@pytest.mark.parametrize("place", [str, Path, joblib.Memory, "moved", "auto"])
def test_the_folder_may_be_named_and_moved_at_will(place, tmp_path, monkeypatch):
    world, prompts = make_world()
    folder = tmp_path / "cache"
    before = estimator(world, folder).fit_transform(prompts)
    world.rows = 0
    if place == "moved":
        memory = shutil.move(folder, tmp_path / "elsewhere")
    elif place == "auto":
        monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(folder))
        memory = "auto"
    else:
        memory = place(folder) if place is not joblib.Memory else place(folder, verbose=0)
    assert np.array_equal(estimator(world, memory).fit_transform(prompts), before)
    assert world.rows == 0


def test_every_container_and_order_of_the_same_texts_is_a_hit(tmp_path):
    world, prompts = make_world()
    model = estimator(world, tmp_path)
    square = model.fit_transform(prompts)
    world.rows = 0
    same = [
        tuple(prompts),
        np.array(prompts),
        np.array(prompts, dtype=object),
        pd.Series(prompts, index=range(10, 16)),
        pd.Series(prompts, dtype="category"),
        pd.DataFrame({"prompt": prompts}),
        np.array(prompts)[:, None],
        map(str, prompts),
    ]
    for given in same:
        assert np.array_equal(model.fit_transform(given), square)
    assert np.array_equal(model.fit_transform(prompts[::-1]), square[::-1, ::-1])
    assert np.array_equal(model.fit_transform(prompts[2:4] * 2)[:2, :2], square[2:4, 2:4])
    assert world.rows == 0


def test_texts_of_one_normal_form_are_one_prompt(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert composed != decomposed
    world = Counting({composed: 0.0, "tea": 1.0})
    assert estimator(world, tmp_path).fit_transform([composed, decomposed, "tea"])[0, 1] == 0
    assert world.rows == cold(2)


def test_a_warm_run_loads_no_model(tmp_path, monkeypatch):
    prompts = ["a photo of a cat", "a red car", "the sea"]
    options = {"memory": tmp_path, "n_steps": 3, "n_draws": 2, "check_steps": 0}
    cold_matrix = ConjureDistance("embedded", **options).fit_transform(prompts)

    def refuse(*args, **options):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", refuse)
    model = ConjureDistance("embedded", **options)
    assert np.array_equal(model.fit_transform(prompts), cold_matrix)
    assert np.array_equal(model.transform(prompts[:2]), cold_matrix[:2])
    assert pairwise_divergence(prompts, **options).n_evaluations == model.n_evaluations_ == 0
    assert model.truncated_.tolist() == [False] * 3
    with pytest.raises(AssertionError, match="the model was loaded"):
        model.transform(["something new"])


# ---------------------------------------------------------------- the disk


def test_two_hundred_prompts_are_a_bounded_number_of_files(tmp_path):
    world = GaussianDenoiser(np.random.default_rng(0).normal(size=(200, 2)))
    settings = {"n_steps": 2, "n_draws": 2, "check_steps": 0}
    ConjureDistance(world, memory=tmp_path, **settings).fit(world.prompts)
    names = [path for path in tmp_path.rglob("*") if path.is_file()]
    data = [path for path in names if path.parent.name != "locks"]
    # Energies and a trajectory each; key.json, run.facts and batch_sizes.json.
    assert len(data) == 2 * 200 + 3
    assert len(names) - len(data) <= 512
    info = cache_info(tmp_path)
    assert (info.n_models, info.n_runs, info.n_prompts) == (1, 1, 200)


@pytest.mark.parametrize("bad", ["a file in the way", "read-only"])
def test_a_disk_that_cannot_be_written_costs_one_warning_and_no_value(bad, tmp_path, monkeypatch):
    world, prompts = make_world()
    expected = estimator(world, None).fit_transform(prompts)
    folder = tmp_path / "cache"
    if bad == "read-only":

        def refuse(path, *args, **kwargs):
            raise PermissionError(f"[Errno 13] Permission denied: '{path}'")

        monkeypatch.setattr(os, "replace", refuse)
    else:
        folder.write_text("not a folder")
    world.rows, model = 0, estimator(world, folder)
    with pytest.warns(UserWarning, match=r"cache.* cannot be written .*keeps the values") as caught:
        matrix = model.fit_transform(prompts)
    assert len(caught) == 1
    assert np.array_equal(matrix, expected)
    assert np.array_equal(model.transform(prompts), expected)
    assert world.rows == cold(6)


UNUSABLE = {
    "a file in the way": lambda folder: (folder.write_text(""), folder)[1],
    "a name that is too long": lambda folder: folder / ("x" * 300),
}
ESTIMATORS = [ConjureDistance, ConjureEmbedding, ConjureNeighbors, ConjurePairs]


@pytest.mark.parametrize("bad", UNUSABLE)
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_an_unusable_folder_is_one_warning_in_every_estimator(kind, bad, tmp_path):
    world, prompts = make_world()
    data = list(itertools.pairwise(prompts)) if kind is ConjurePairs else prompts
    more = {"n_neighbors": 2} if kind is ConjureNeighbors else {}
    model = kind(world, memory=UNUSABLE[bad](tmp_path / "cache"), n_steps=4, **more)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit_transform(data)
    about = [str(w.message) for w in caught if "step_error" not in str(w.message)]
    assert len(about) == 1
    assert "cannot be " in about[0]


def test_a_user_without_a_home_folder_has_one_warning(monkeypatch):
    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("CONJURE_KERNEL_CACHE", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    world, prompts = make_world()
    with pytest.warns(UserWarning, match="this user has none: nothing is kept on disk") as caught:
        estimator(world, "auto").fit(prompts)
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="set CONJURE_KERNEL_CACHE"):
        assert cache_info().location is None


def test_what_is_computed_outlives_a_cache_that_is_cleared_meanwhile(tmp_path, monkeypatch):
    world, prompts = make_world()
    expected = estimator(world, None).fit_transform(prompts)
    estimator(world, tmp_path).fit(prompts[:3])
    fill = Engine._fill

    def fill_and_clear(engine, wave):
        fill(engine, wave)
        clear_cache(tmp_path)

    monkeypatch.setattr(Engine, "_fill", fill_and_clear)
    matrix = estimator(world, tmp_path, batch_size=3).fit_transform(prompts)
    np.testing.assert_allclose(matrix, expected, rtol=1e-5)


def test_a_damaged_file_is_reported_and_made_anew(tmp_path):
    world, prompts = make_world()
    expected = estimator(world, tmp_path).fit_transform(prompts)
    for kind in ("*.energies", "*.trajectory"):
        path = min(tmp_path.rglob(kind))
        path.write_bytes(path.read_bytes()[:100])
    world.rows = 0
    with pytest.warns(
        UserWarning, match=r"\.(energies|trajectory) cannot be read .*computed again"
    ):
        matrix = estimator(world, tmp_path).fit_transform(prompts)
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)
    assert 0 < world.rows <= cold(6) - cold(5)


def test_a_size_limit_evicts_trajectories_and_keeps_every_value(tmp_path, monkeypatch):
    world, prompts = make_world()
    expected = estimator(world, tmp_path).fit_transform(prompts)
    monkeypatch.setenv("CONJURE_KERNEL_CACHE_LIMIT", "20kB")
    model = estimator(world, tmp_path, n_draws=N_DRAWS + 1).fit(prompts)  # trims at its end
    assert cache_info(tmp_path).trajectory_bytes + cache_info(tmp_path).energy_bytes <= 20_000
    assert cache_info(tmp_path).n_prompts == 6
    world.rows = 0
    assert np.array_equal(estimator(world, tmp_path).fit_transform(prompts), expected)
    assert np.array_equal(model.transform(prompts), np.sqrt(model.divergences_))
    assert world.rows == 0
