"""Exactly what is missing is computed, each thing once, whatever interrupts (R30, R39)."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import conjure_kernel
from conjure_kernel import AccuracyWarning, ConjureDistance, ConjureWarning
from conjure_kernel.engine import engine as energies
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.ledger import Ledger
from conjure_kernel.engine.settings import Settings
from worlds import N_DRAWS, N_STEPS, SMALL, SUBSTEPS, Counting, cold, make_world, rows_of

T, K, S = N_STEPS, N_DRAWS, N_STEPS * SUBSTEPS
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
GUIDANCE = pytest.mark.parametrize("w", [1.0, 3.0])


def engine_of(world, memory, w=1.0, n_draws=K, **options):
    settings = Settings(n_steps=T, substeps=SUBSTEPS, guidance_scale=w, chains_per_draw=1)
    return Engine(world, settings, n_draws=n_draws, memory=memory, **options)


def square(prompts):
    return {prompt: prompts for prompt in prompts}


def spend(world, requests, memory, **options):
    """What `measure` really costs; the prediction and the denoiser's own count must agree."""
    engine = engine_of(world, memory, **options)
    predicted, rows, own = engine.cost(requests), world.rows, world.n_evaluations
    engine.measure(requests)
    assert world.rows - rows == world.n_evaluations - own == predicted
    assert engine.cost(requests) == 0
    return predicted


def energies_of(world, requests, memory, **options):
    known = engine_of(world, memory, **options).measure(requests)
    assert list(known) == list(requests)
    return np.stack([row.energies for row in known.values()])


# ---------------------------------------------------------------- how much


@GUIDANCE
@pytest.mark.parametrize("n", [1, 2, 6])
def test_a_cold_matrix_costs_what_the_design_says(n, w, tmp_path):
    world, prompts = make_world(n)
    spent = spend(world, square(prompts), tmp_path, w=w)
    assert spent == n * n * T * K + (n * (S - T) * K if w == 1 else 2 * n * S * K) == cold(n, w)
    assert spend(world, square(prompts), tmp_path, w=w) == 0


@GUIDANCE
def test_one_more_prompt_costs_its_trace_and_its_row_and_column(w, tmp_path):
    world, prompts = make_world(6)
    spend(world, square(prompts[:5]), tmp_path, w=w)
    trace = S * K if w == 1 else 2 * S * K + T * K  # guided: two a step, and its own at the nodes
    assert spend(world, square(prompts), tmp_path, w=w) == trace + 2 * 5 * T * K
    assert trace + 2 * 5 * T * K == cold(6, w) - cold(5, w)


@GUIDANCE
def test_more_draws_cost_only_the_new_ones(w, tmp_path):
    world, prompts = make_world()
    first = energies_of(world, square(prompts), tmp_path, w=w, n_draws=2)
    spent = spend(world, square(prompts), tmp_path, w=w, n_draws=5)
    assert spent == cold(6, w, n_draws=5) - cold(6, w, n_draws=2)
    assert spend(world, square(prompts), tmp_path, w=w, n_draws=3) == 0
    more = energies_of(world, square(prompts), tmp_path, w=w, n_draws=5)
    np.testing.assert_array_equal(more[:, :, :2], first)
    fresh = energies_of(world, square(prompts), None, w=w, n_draws=5)
    np.testing.assert_allclose(more, fresh, rtol=1e-5)


def test_requests_need_not_be_square(tmp_path):
    world, prompts = make_world()
    a, b, c, *_ = prompts
    assert spend(world, {a: [b, c]}, tmp_path) == S * K + 2 * T * K  # b and c need no trajectory
    assert spend(world, {a: [c, b], b: [a]}, tmp_path) == S * K + T * K
    assert spend(world, {c: [c]}, tmp_path) == S * K


def test_order_of_targets_is_the_order_asked_for(tmp_path):
    world, prompts = make_world()
    forth = energies_of(world, square(prompts), tmp_path)
    back = energies_of(world, {p: prompts[::-1] for p in prompts}, tmp_path)
    np.testing.assert_array_equal(back, forth[:, ::-1])
    assert (forth[range(6), range(6)] == 0).all()
    assert (forth.sum((2, 3)) > 0).sum() == 6 * 5


def test_an_evicted_trajectory_is_made_again_only_if_needed(tmp_path, monkeypatch):
    world, prompts = make_world()
    before = energies_of(world, square(prompts[:5]), tmp_path)
    monkeypatch.setenv("CONJURE_KERNEL_CACHE_LIMIT", "1GB")
    for path in tmp_path.rglob("*.trajectory"):
        path.unlink()
    assert spend(world, square(prompts[:5]), tmp_path) == 0
    spent = spend(world, square(prompts), tmp_path)
    assert spent == 6 * S * K + 2 * 5 * T * K
    after = energies_of(world, square(prompts), tmp_path)[:5, :5]
    np.testing.assert_array_equal(after, before)


# ---------------------------------------------------------------- interruptions


class Interrupted(Counting):
    """Ctrl-C comes in the middle of a call, when so many rows have gone through."""

    stop_at = 10**9

    def _eps(self, prompts, x, alpha, sigma):
        if self.rows >= self.stop_at:
            raise KeyboardInterrupt
        return super()._eps(prompts, x, alpha, sigma)


@GUIDANCE
@pytest.mark.parametrize("share", [0.02, 0.2, 0.6, 0.9])
def test_what_was_finished_before_ctrl_c_is_kept(w, share, tmp_path):
    world, prompts = make_world(kind=Interrupted)
    world.stop_at = share * cold(6, w)
    with pytest.raises(KeyboardInterrupt):
        energies_of(world, square(prompts), tmp_path, w=w, batch_size=6 * K)
    wasted = 6 * K * (T if share > 0.5 else 2 * S + T)  # at most the call that was interrupted
    world.stop_at, before = 10**9, world.rows
    rest = spend(world, square(prompts), tmp_path, w=w)
    assert cold(6, w) - before <= rest <= cold(6, w) - before + wasted
    resumed = energies_of(world, square(prompts), tmp_path, w=w)
    np.testing.assert_allclose(resumed, energies_of(world, square(prompts), None, w=w), rtol=1e-5)


class Slow(Counting):
    def _eps(self, prompts, x, alpha, sigma):
        time.sleep(0.002)
        return super()._eps(prompts, x, alpha, sigma)


def start(function, *args):
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
        process = context.Process(target=function, args=args)
        process.start()
    return process


def child(world, prompts, memory, answer=None):
    torch.set_num_threads(1)
    found = energies_of(world, square(prompts), memory, batch_size=K)
    if answer is not None:
        np.save(answer, found)


@forks
def test_a_killed_process_leaves_what_it_finished(tmp_path):
    world, prompts = make_world(kind=Slow)
    process = start(child, world, prompts, tmp_path)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob("*.energies"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert spend(world, square(prompts), tmp_path) <= cold(6) - 2 * (S * K + 5 * T * K)
    resumed = energies_of(world, square(prompts), tmp_path)
    np.testing.assert_allclose(resumed, energies_of(world, square(prompts), None), rtol=1e-5)


@forks
def test_four_processes_compute_once_and_agree(tmp_path):
    world, prompts = make_world(kind=Slow)
    world.log = tmp_path / "rows.log"
    answers = [tmp_path / f"{i}.npy" for i in range(4)]
    processes = [start(child, world, prompts, tmp_path / "cache", answer) for answer in answers]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert rows_of(world.log) == cold(6)
    first, *others = map(np.load, answers)
    assert all(np.array_equal(first, other) for other in others)
    np.testing.assert_allclose(first, energies_of(world, square(prompts), None), rtol=1e-5)


def test_what_another_process_did_meanwhile_is_not_done_again(tmp_path):
    """It came between the look at what is missing and the lock; trajectories were evicted."""
    other = engine_of(make_world()[0], tmp_path)

    class SlowToLoad(Counting):
        def load(self):
            other.measure(square(prompts))
            for path in tmp_path.rglob("*.trajectory"):
                path.unlink()
            return super().load()

    world, prompts = make_world(kind=SlowToLoad)
    engine = engine_of(world, tmp_path)
    assert all(engine.measure(square(prompts)).values())
    assert other.denoiser.rows == cold(6)
    assert world.rows == 0


@pytest.mark.parametrize("method", ["missing", "count"])
def test_what_another_process_finished_between_two_looks_is_found(method, tmp_path, monkeypatch):
    """It came after the look at what is known: before, or after, the one at what is missing."""
    world, prompts = make_world()
    engine, other = engine_of(world, tmp_path), engine_of(make_world()[0], tmp_path)
    look = getattr(Ledger, method)

    def late_look(self, wanted):
        monkeypatch.undo()
        other.measure(square(prompts))
        return look(self, wanted)

    monkeypatch.setattr(Ledger, method, late_look)
    assert list(engine.measure(square(prompts))) == prompts
    assert world.rows == 0


# ---------------------------------------------------------------- another behaviour


class Probed(Counting):
    """Of one fingerprint whatever it answers, as a patched library would be."""

    fingerprint = "0" * 32


def make_probe(seed):
    return tuple(np.random.default_rng(seed).normal(size=96))


def test_a_model_whose_predictions_have_changed_is_never_mixed_in(tmp_path):
    (old, prompts), (new, _) = make_world(kind=Probed), make_world(kind=Probed, seed=1)
    old.probe, new.probe = make_probe(0), make_probe(1)
    before = energies_of(old, square(prompts[:5]), tmp_path)
    with pytest.warns(UserWarning, match="predictions have changed since this cache was filled"):
        mixed = energies_of(new, square(prompts), tmp_path)
    assert new.rows == cold(6)
    np.testing.assert_allclose(mixed, energies_of(new, square(prompts), None), rtol=1e-5)
    with pytest.warns(UserWarning, match="predictions have changed"):
        again = energies_of(new, square(prompts), tmp_path)
    assert new.rows == 2 * cold(6)  # the second time for memory=None
    np.testing.assert_array_equal(again, mixed)
    part = {prompts[0]: prompts[:5], "": prompts[:5]}  # of which the old model knew one whole row
    with pytest.warns(UserWarning, match="predictions have changed"):
        mixed = energies_of(new, part, tmp_path)
    np.testing.assert_allclose(mixed, energies_of(new, part, None), rtol=1e-5)
    np.testing.assert_array_equal(energies_of(old, square(prompts[:5]), tmp_path), before)


def test_a_probe_within_tolerance_or_of_old_is_the_same_model(tmp_path):
    world, prompts = make_world(kind=Probed)
    near = tuple(value + 1e-3 for value in make_probe(0))
    for n, probe in ((3, None), (4, make_probe(0)), (5, near)):
        world.probe = probe
        assert spend(world, square(prompts[:n]), tmp_path) == cold(n) - (n > 3) * cold(n - 1)


def test_progress_counts_up_to_the_cost(monkeypatch, capsys):
    bars = []

    class Bar(energies.Progress):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            bars.append(self)

    monkeypatch.setattr(energies, "Progress", Bar)
    world, prompts = make_world()
    for w in (1.0, 3.0):
        engine_of(world, None, w=w, verbose=1).measure(square(prompts))
        assert bars[-1].n == bars[-1].total == cold(6, w)
    assert "/720" in capsys.readouterr().err
    engine_of(world, None).measure(square(prompts))
    assert capsys.readouterr().err == ""


def test_warnings_have_kinds_and_come_once_a_fit():
    world, prompts = make_world(4)
    model = ConjureDistance(world, **{**SMALL, "n_draws": 1, "memory": None})
    with pytest.warns(AccuracyWarning, match="n_draws=1"):
        model.fit(prompts[:3])
    model.transform(prompts)  # warnings are errors here
    with pytest.warns(AccuracyWarning, match="n_draws=1"):
        model.fit(prompts[:3])
    assert issubclass(AccuracyWarning, ConjureWarning)
    assert issubclass(ConjureWarning, UserWarning)


def test_every_warning_has_a_kind():
    folder = Path(conjure_kernel.__file__).parent
    for path in folder.rglob("*.py"):
        for call in path.read_text("utf-8").split("warnings.warn(")[1:]:
            assert re.search(r"\b\w*Warning\b|\bcategory\b", call[: call.find("stacklevel")]), path
