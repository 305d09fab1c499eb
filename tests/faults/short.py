"""The short form of the fault tests: a few seeded rounds of each kind; `make faults` plays many."""

from __future__ import annotations

import json
import os
import random
import warnings

import numpy as np
import pytest

import faults
from conjure_kernel.cache.container import Label, dump
from conjure_kernel.cache.folder import BATCH_SIZES
from conjure_kernel.cache.records import dump_row, load_row
from conjure_kernel.engine import batches
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.settings import Settings
from worlds import make_world

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def assert_fine(score, rounds):
    assert (score.rounds, score.wrong, score.crashes) == (rounds, 0, [])


def play(round_, n):
    score = faults.Score()
    for seed in range(n):
        score.add(round_(seed))
    return score


@pytest.mark.parametrize("n_others", [0, 1])
def test_kills_lose_little_and_nothing_is_false(n_others, tmp_path):
    score = play(lambda seed: faults.kill_round(faults.fresh(tmp_path), seed, n_others), 6)
    assert_fine(score, 6)
    assert max(score.lost) < 5


def test_a_kill_of_a_process_with_workers_loses_little(tmp_path):
    score = play(lambda seed: faults.kill_round(faults.fresh(tmp_path), seed, n_jobs=2), 1)
    assert_fine(score, 1)
    assert max(score.lost) < 5


def test_processes_survive_clears_and_evictions(tmp_path):
    assert_fine(play(lambda seed: faults.race_round(faults.fresh(tmp_path), seed), 4), 4)


def test_a_disk_that_fills_up_costs_no_value(tmp_path):
    assert_fine(play(lambda seed: faults.full_disk_round(faults.fresh(tmp_path), seed), 6), 6)


@pytest.mark.parametrize("damage", [faults.flip, faults.tear])
def test_damaged_files_are_set_aside(damage, tmp_path):
    expected, rng = faults.filled(tmp_path), random.Random(0)
    score = play(lambda _: faults.damage_round(tmp_path, rng, expected, damage), 100)
    assert_fine(score, 100)


# ---------------------------------------------------------------- files that are made on purpose


def label_of(path):
    return Label("energies", path.parent.parent.name, path.stem)


def a_row_with(value):
    def craft(path):
        row = load_row(path, label_of(path))
        row.values[1, 0, -1] = value  # at one node
        path.write_bytes(dump_row(row, label_of(path)))

    craft.__name__ = f"a row with {value}"
    return craft


def vectors_with(change):
    def craft(path):
        label = Label("vectors", path.parents[2].name, path.parent.name)
        names = np.array([b"0" * 32, b"1" * 32])
        arrays = {"names": names, "vectors": np.ones((2, 24), "f4"), "truncated": np.zeros(2, bool)}
        path.write_bytes(dump(label, {}, {**arrays, **change}))

    return craft


def empty_facts(path):
    path.write_bytes(b"{}")


def another_kind(path):
    path.write_bytes(dump(label_of(path)._replace(kind="trajectory"), {}, {}))


CRAFTED = {
    "NaN at one node": ("energies", a_row_with(np.nan)),
    "infinity": ("energies", a_row_with(np.inf)),
    "negative": ("energies", a_row_with(-1.0)),
    "another kind": ("energies", another_kind),
    "facts {}": ("facts", empty_facts),
    "NaN in vectors": ("vectors", vectors_with({"vectors": np.full((2, 24), np.nan, "f4")})),
    "infinite vectors": ("vectors", vectors_with({"vectors": np.full((2, 24), np.inf, "f4")})),
    "wrong width": ("vectors", vectors_with({"vectors": np.ones((2, 23), "f4")})),
    "too few names": ("vectors", vectors_with({"names": np.array([b"0" * 32])})),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_file_that_cannot_be_true_is_set_aside(name, tmp_path):
    expected, (kind, craft) = faults.filled(tmp_path), CRAFTED[name]
    path = faults.files_of(tmp_path, kind)[0]
    craft(path)
    assert faults.same(faults.measure(tmp_path), expected[0])
    assert faults.same(faults.embed(tmp_path), expected[1])
    assert path.with_name(f"{path.name}.damaged").exists()


CHANGED = [{"seed": 1}, {"guidance_scale": 2.0}, {"log_snr_range": (-4.0, 4.0)}]


@pytest.mark.parametrize("changed", CHANGED, ids=str)
def test_files_of_another_run_renamed_into_this_one_are_refused(changed, tmp_path):
    world, prompts = make_world(4)
    square, found = {p: prompts for p in prompts}, []
    for settings in (Settings(n_steps=4), Settings(n_steps=4, **changed)):
        engine = Engine(world, settings, n_draws=2, memory=tmp_path)
        found.append(engine.measure(square)[prompts[0]].energies)
    mine, other = Engine(world, Settings(n_steps=4), memory=tmp_path).store, engine.store
    for path in other.location.rglob("*"):
        if path.suffix in (".energies", ".trajectory", ".facts"):
            path.replace(mine.location / path.relative_to(other.location))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        again = Engine(world, Settings(n_steps=4), n_draws=2, memory=tmp_path).measure(square)
    np.testing.assert_allclose(again[prompts[0]].energies, found[0], rtol=1e-5)
    assert all("expected the key" in str(warning.message) for warning in caught)
    assert len({str(warning.message) for warning in caught}) >= 5


@pytest.mark.parametrize("size", [0, -5, 10**9, True, "8", None, 2.5])
def test_a_batch_size_that_cannot_be_true_is_measured_again(size, tmp_path, monkeypatch):
    world, prompts = make_world(3)
    monkeypatch.setattr(batches, "WORTH_A_SEARCH", 0)
    monkeypatch.setattr(batches.Batches, "_search", lambda self, prompt: 7)
    for text in (json.dumps({batches._describe(world): size}), "[" * 10**5, "[]", "\xff"):
        monkeypatch.setattr(batches, "_BEST", {})
        (tmp_path / BATCH_SIZES).write_text(text, encoding="latin-1")
        tuned = batches.Batches(world)
        tuned.tune_batch_size(prompts[0], 10**6, tmp_path)
        assert tuned.size == 7
