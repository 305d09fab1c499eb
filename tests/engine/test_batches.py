"""Network calls are full, fit into memory, and do not show in the result (R4, R5, R41)."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from conjure_kernel import pairwise_divergence
from conjure_kernel.engine import batches
from conjure_kernel.engine.batches import Batches, Block
from conjure_kernel.method import reverse
from worlds import N_DRAWS, SMALL, Counting, cold, make_world

MEMORY_ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 8 GB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 18 GB)"),
]


@pytest.fixture(autouse=True)
def forget_sizes(monkeypatch):
    monkeypatch.setattr(batches, "_FITTING", {})


def measure(world, prompts, **settings):
    return pairwise_divergence(prompts, model=world, **{"memory": None, **SMALL, **settings})


def block(target, n_rows):
    return Block(target, tuple(("source", k) for k in range(n_rows)))


# ---------------------------------------------------------------- the result does not show it


@pytest.mark.parametrize("w", [1.0, 3.0])
@pytest.mark.parametrize("sampler", ["sde", "ode"])
def test_batch_size_is_irrelevant(w, sampler):
    world, prompts = make_world()
    options = {"guidance_scale": w, "sampler": sampler}
    whole = measure(world, prompts, **options)
    for size in (1, 2, 7, 128):
        world.rows = 0
        some = measure(world, prompts, batch_size=size, **options)
        np.testing.assert_allclose(some.values, whole.values, rtol=1e-6)
        np.testing.assert_allclose(some.draws, whole.draws, rtol=1e-6)
        assert world.rows == cold(6, w)


@pytest.fixture
def noises(monkeypatch):
    """Record every noise that is drawn: {(prompt, draw, step): tensor}; each only once."""
    drawn, draw_one = {}, reverse.standard_normal

    def spy(shape, **names):
        name = tuple(names[part] for part in ("prompt", "draw", "chain", "step"))
        assert name not in drawn
        drawn[name] = noise = draw_one(shape, **names)
        return noise

    monkeypatch.setattr(reverse, "standard_normal", spy)
    return drawn


def test_noise_is_the_same_bit_for_bit(noises):
    world, prompts = make_world()
    measure(world, prompts)
    expected = dict(noises)
    assert len(expected) == 6 * N_DRAWS * 8  # the start, and all of S = 8 steps but the last
    others = [{"batch_size": size} for size in (1, 2, 7)] + [{"n_draws": 5}]
    for some, options in [(prompts, o) for o in others] + [(prompts[::-1], {}), (prompts[2:], {})]:
        noises.clear()
        measure(world, some, **options)
        asked = {place for place in expected if place[0] in some}
        assert asked <= set(noises)
        assert all(torch.equal(noises[place], expected[place]) for place in asked)
        assert len(asked) == len(noises) or "n_draws" in options


# ---------------------------------------------------------------- packing


def test_a_call_holds_neighbours_of_one_size_and_at_most_a_batch():
    world, _ = make_world()
    blocks = [block("a", 3), block("b", 3), block("c", 3), block("d", 2), block("e", 7)]
    calls = list(Batches(world, 7).pack(blocks))
    assert [[b.target for b in call] for call in calls] == [["a", "b"], ["c"], ["d"], ["e"]]


def test_a_model_of_one_prompt_a_call_gets_one():
    world, prompts = make_world()
    whole, world.n_predict = measure(world, prompts, n_draws=2), 0
    world.prompts_share_a_call = False
    assert list(map(len, Batches(world, 8).pack([block("a", 1), block("b", 1)]))) == [1, 1]
    asked, run = [], world.run

    def watch(task, prompts, rows_per_prompt, guidance_scale):
        asked.append(len(prompts))
        return run(task, prompts, rows_per_prompt, guidance_scale)

    world.run = watch
    np.testing.assert_allclose(measure(world, prompts, n_draws=2).values, whole.values, rtol=1e-6)
    assert set(asked) == {1}


def test_auto_size_follows_the_size_of_a_state():
    small, large = make_world()[0], make_world(n=1, dim=2**11)[0]
    assert Batches(small).size == 128
    assert Batches(large).size == 2**15 // 2**11


# ---------------------------------------------------------------- the best size


class Clocked(Counting):
    """A network call of n rows takes (100 + n) ms, ten times that above the knee."""

    clock = 0.0

    def _eps(self, prompts, x, alpha, sigma):
        self.clock += (0.1 + 0.001 * len(x)) * (10 if len(x) > self.knee else 1)
        return super()._eps(prompts, x, alpha, sigma)


@pytest.fixture
def clocked(monkeypatch):
    world, prompts = make_world(kind=Clocked)
    world.knee = 10**9
    monkeypatch.setattr(batches, "_BEST", {})
    monkeypatch.setattr(batches.time, "perf_counter", lambda: world.clock)
    monkeypatch.setattr(batches, "WORTH_A_SEARCH", 100)
    return world, prompts


@pytest.mark.parametrize(("knee", "size"), [(10**9, 2048), (32, 32), (100, 64)])
def test_the_best_size_is_the_smallest_of_nearly_the_best_rate(clocked, knee, size, tmp_path):
    world, prompts = clocked
    world.knee = knee
    some = Batches(world)
    some.tune_batch_size(prompts[0], 99, tmp_path)
    assert (some.size, world.rows) == (128, 0)  # not worth a search
    some.tune_batch_size(prompts[0], 100, tmp_path)
    assert some.size == size
    assert world.n_evaluations == 0


def test_the_best_size_is_found_once(clocked, tmp_path, monkeypatch):
    world, prompts = clocked
    world.knee = 32
    measure(world, prompts, memory=tmp_path)
    searched = world.rows - cold(6)
    assert searched > 100
    measure(world, prompts, memory=tmp_path, random_state=1)
    assert world.rows == searched + 2 * cold(6)
    batches._BEST.clear()  # another process
    measure(world, prompts, memory=tmp_path, random_state=2)
    assert world.rows == searched + 3 * cold(6)
    (file,) = tmp_path.rglob("batch_sizes.json")
    file.write_text("[")
    batches._BEST.clear()
    measure(world, prompts, memory=tmp_path, random_state=3)
    assert world.rows == 2 * searched + 4 * cold(6)
    assert json.loads(file.read_text()) == dict(batches._BEST)


def test_a_size_that_is_given_is_taken(clocked):
    world, prompts = clocked
    measure(world, prompts, batch_size=5)
    assert world.rows == cold(6)


def test_what_does_not_fit_ends_the_search(clocked):
    world, prompts = clocked
    world.limit = 100
    some = Batches(world)
    some.tune_batch_size(prompts[0], 100, None)
    assert some.size == 64


# ---------------------------------------------------------------- out of memory (R41)


@pytest.mark.parametrize("error", MEMORY_ERRORS, ids=lambda error: str(error)[:24])
@pytest.mark.parametrize("w", [1.0, 3.0])
def test_what_does_not_fit_is_halved_with_the_same_result(error, w):
    world, prompts = make_world()
    whole = measure(world, prompts, guidance_scale=w)
    world.limit, world.error = 5, error
    some = measure(world, prompts, guidance_scale=w)
    np.testing.assert_allclose(some.values, whole.values, rtol=1e-6)
    np.testing.assert_allclose(some.standard_errors, whole.standard_errors, rtol=1e-6)
    assert world.n_refused == 2  # 18 rows, 9 rows, then 4 fit: it is remembered


@pytest.mark.parametrize("limit", [12, 17])
def test_a_call_of_several_targets_is_halved_between_them(limit):
    world, prompts = make_world()
    whole = measure(world, prompts, n_draws=2)
    world.limit = limit  # traces of 12 rows fit, calls of two targets with 10 rows each do not
    some = measure(world, prompts, n_draws=2, batch_size=24)
    np.testing.assert_allclose(some.draws, whole.draws, rtol=1e-6)
    assert world.n_refused == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 11])
@pytest.mark.parametrize("size", [2, 3, 8, 128])
def test_no_row_is_lost_when_the_batch_shrinks(limit, size):
    world, prompts = make_world(n=4)
    whole = measure(world, prompts, n_draws=8)
    world.limit = limit
    some = measure(world, prompts, n_draws=8, batch_size=size)
    np.testing.assert_allclose(some.draws, whole.draws, rtol=1e-6)


def test_the_batch_that_fits_is_remembered_for_the_session():
    world, prompts = make_world()
    world.limit = 5
    measure(world, prompts)
    world.n_refused = 0
    measure(world, prompts, random_state=1)
    assert world.n_refused == 0
    assert Batches(world, 128).size == 4
    assert Batches(world, 2).size == 2
    assert Batches(make_world(seed=1)[0], 128).size == 128  # of this model only


def test_one_row_that_does_not_fit_is_an_error():
    world, prompts = make_world()
    world.limit, world.error = 0, MEMORY_ERRORS[0]
    with pytest.raises(torch.OutOfMemoryError, match=r"Tried to allocate 2\.00 GiB"):
        measure(world, prompts)


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 differ"), ValueError("no key")])
@pytest.mark.parametrize("limit", [0, 17])  # refused in a trace, or only in a prediction
def test_other_errors_are_not_retried(error, limit):
    world, prompts = make_world()
    world.limit, world.error = limit, error
    with pytest.raises(type(error), match=str(error)):
        measure(world, prompts, n_draws=2 if limit else 3, batch_size=24)
    assert world.n_refused == 1
