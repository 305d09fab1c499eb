"""What a plan says is what the measurement then costs."""

from pathlib import Path

import numpy as np
import pytest

from conjure_kernel import (
    ConjureEmbedding,
    ConjureNeighbors,
    paired_divergence,
    pairwise_divergence,
)
from conjure_kernel.engine import batches
from conjure_kernel.engine.chains import VARIANCES
from conjure_kernel.engine.plan import plan
from worlds import N_DRAWS, N_STEPS, SMALL, SUBSTEPS, cold, make_world

K, T, S = N_DRAWS, N_STEPS, N_STEPS * SUBSTEPS


@pytest.fixture(autouse=True)
def one_timed_call(monkeypatch):
    monkeypatch.setattr(batches, "RATE_SECONDS", 1e-9)


@pytest.mark.parametrize("w", [1.0, 3.0])
def test_predictions_of_a_matrix(w, tmp_path):
    world, prompts = make_world(6)
    settings = {**SMALL, "model": world, "memory": tmp_path, "guidance_scale": w}
    pairwise_divergence(prompts[:4], **settings)
    spent, rows = world.n_evaluations, world.rows
    found = plan([*prompts, prompts[0]], **settings)
    assert (found.n_prompts, found.n_pairs) == (6, 15)
    assert found.n_cached == cold(4, w)
    assert found.n_predictions == found.most_predictions == cold(6, w) - cold(4, w)
    assert world.n_evaluations == spent  # timing is not measuring
    assert world.rows > rows
    assert pairwise_divergence(prompts, **settings).n_evaluations == found.n_predictions


def test_predictions_of_pairs():
    world, prompts = make_world(4)
    pairs = [(prompts[0], prompts[1]), (prompts[1], prompts[0]), (prompts[1], prompts[2])]
    settings = {**SMALL, "model": world, "memory": None}
    found = plan(pairs, pairs=True, **settings)
    assert (found.n_prompts, found.n_pairs) == (3, 2)
    assert found.n_predictions == paired_divergence(pairs, **settings).n_evaluations
    assert found.n_predictions == 3 * S * K + 4 * T * K


@pytest.mark.parametrize("n_draws", [3, 11])
def test_with_tol_the_cost_is_between_two_bounds(n_draws):
    world, prompts = make_world(4)
    settings = {**SMALL, "n_draws": n_draws, "model": world, "memory": None}
    found = plan(prompts, tol=0.12, max_draws=30, **settings)
    assert found.n_predictions == cold(4, n_draws={3: 6, 11: 12}[n_draws])
    assert found.most_predictions == cold(4, n_draws=30)
    assert found.most_seconds > found.seconds > 0
    assert f"{found.n_predictions:,} to {found.most_predictions:,}, as tol needs" in " ".join(
        str(found).split()
    )
    least = pairwise_divergence(prompts, tol=1e6, max_draws=30, **settings)
    assert least.n_evaluations == found.n_predictions
    with pytest.warns(UserWarning, match="6 of 6 pairs are above tol"):
        most = pairwise_divergence(prompts, tol=1e-6, max_draws=30, **settings)
    assert most.n_evaluations == found.most_predictions


def test_the_cheapest_number_of_chains_depends_on_the_number_of_prompts():
    """It has the least variance times predictions of a draw."""
    world, prompts = make_world(100, dim=1)
    settings = {"model": world, "memory": None, "check_steps": 0}
    for n, best in ((2, 2), (6, 3), (24, 5), (100, 5)):
        found = plan(prompts[:n], **settings)
        assert found.cheapest_chains == best
        assert (f"chains_per_draw={best} would need" in str(found)) == (best != 3)
        costs = {
            g: VARIANCES[g] * plan(prompts[:n], chains_per_draw=g, **settings).n_predictions
            for g in VARIANCES
        }
        assert min(costs, key=costs.get) == best
        assert found.cheapest_share == pytest.approx(costs[best] / costs[3])
    assert plan(prompts[:24], n_steps=2, **settings).cheapest_chains == 2
    for n in (2, 6):  # a pair has 2 prompts, however many pairs there are
        pairs = list(zip(prompts[:n:2], prompts[1:n:2], strict=True))
        assert plan(pairs, pairs=True, **settings).cheapest_chains == 2


VECTORS = {"n_references": 4, "n_points": 16, "n_steps": 3, "memory": None}


@pytest.mark.parametrize("embedding", [None, ConjureEmbedding(**VECTORS)])
@pytest.mark.parametrize("w", [1.0, 3.0])
def test_neighbours_cost_between_two_bounds(w, embedding):
    world, prompts = make_world(30)
    settings = {**SMALL, "n_draws": 2, "guidance_scale": w, "memory": None, "embedding": embedding}
    model = ConjureNeighbors(world, n_neighbors=2, n_candidates=4, **settings)
    found, spent = model.plan(prompts), world.n_evaluations
    assert spent == 0  # timing is not measuring
    assert (found.n_prompts, found.n_pairs) == (30, 120)
    assert found.most_predictions - found.n_predictions == 60 * 2 * T * 2
    actual = model.fit(prompts).n_evaluations_
    assert found.n_predictions < actual < found.most_predictions
    n_mutual = 120 - model.divergences_.nnz // 2
    assert actual == found.most_predictions - n_mutual * 2 * T * 2
    assert "as candidates are mutual; less what the cache has" in " ".join(str(found).split())


def test_neighbours_that_drop_out_cost_between_two_bounds():
    world, prompts = make_world(20, dim=1)
    settings = {**SMALL, "n_draws": 20, "memory": None}
    model = ConjureNeighbors(world, n_neighbors=1, n_candidates=8, **settings)
    found = model.plan(prompts)
    assert found.most_predictions - found.n_predictions == 2 * T * (160 * 20 - 80 * 2 - 10 * 18)
    actual = model.fit(prompts).n_evaluations_
    assert found.n_predictions < actual < found.most_predictions
    assert "as candidates are mutual and drop out; less what" in " ".join(str(found).split())


def test_neighbours_among_all_cost_what_they_must():
    world, prompts = make_world(6)
    settings = {**SMALL, "n_draws": 2}
    model = ConjureNeighbors(world, n_neighbors=5, memory=None, **settings)
    found = model.plan(prompts)
    assert found.n_predictions == found.most_predictions == model.fit(prompts).n_evaluations_
    with pytest.raises(ValueError, match="n_neighbors=5: expected at most 4"):
        model.plan(prompts[1:])


def test_disk(tmp_path):
    world, prompts = make_world(20, dim=40)
    settings = {**SMALL, "model": world, "memory": tmp_path}
    held = 0
    for n in (12, 20):
        found = plan(prompts[:n], **settings)
        pairwise_divergence(prompts[:n], **settings)
        files = [
            path for path in tmp_path.rglob("*") if path.suffix in (".energies", ".trajectory")
        ]
        before, held = held, sum(path.stat().st_size for path in files)
        assert found.disk_bytes == pytest.approx(held - before, rel=0.05)
        assert Path(found.location).parent == tmp_path


def test_without_a_cache_all_of_it_is_memory(tmp_path):
    world, prompts = make_world(6)
    here = plan(prompts, model=world, memory=None, **SMALL)
    there = plan(prompts, model=world, memory=tmp_path, **SMALL)
    assert (here.disk_bytes, here.location) == (0, None)
    assert here.memory_bytes == there.memory_bytes + there.disk_bytes
    assert "disk" not in str(here)
    energies = pairwise_divergence(prompts, model=world, memory=None, **SMALL).forward
    assert there.memory_bytes > 2 * energies.nbytes


def test_rows_of_a_call_are_those_that_there_will_be(monkeypatch):
    world, prompts = make_world(3)
    settings = {**SMALL, "model": world, "memory": None}
    assert plan(prompts, **settings, batch_size=7).batch_size == 7
    assert plan(prompts, **settings).batch_size == 6 * K  # all of the work
    world.prompts_share_a_call = False
    assert plan(prompts, **settings).batch_size == 3 * K  # that of a target


def test_rate_is_measured_here(monkeypatch):
    world, prompts = make_world(6)
    clock = iter(np.arange(0, 100, 0.5))
    monkeypatch.setattr(batches.time, "perf_counter", lambda: next(clock))
    found = plan(prompts, model=world, memory=None, batch_size=10, **SMALL)
    assert found.rate == 10 * T / 0.5
    assert found.seconds == cold(6) / found.rate
    assert (found.device, found.dtype, found.device_memory_bytes) == ("cpu", "float64", None)
    assert "timed now: cpu, float64, 10 rows a call" in " ".join(str(found).split())


def test_rows_that_do_not_fit_are_halved():
    world, prompts = make_world(6)
    world.limit = 5
    found = plan(prompts, model=world, memory=None, batch_size=16, **SMALL)
    assert (found.batch_size, world.n_refused) == (4, 2)


def test_nothing_to_do(tmp_path):
    world, prompts = make_world(4)
    settings = {**SMALL, "model": world, "memory": tmp_path}
    pairwise_divergence(prompts, **settings)
    rows = world.rows
    found = plan(prompts, **settings)
    assert (found.n_predictions, found.disk_bytes, found.seconds) == (0, 0, 0)
    assert found.n_cached == cold(4)
    assert (found.rate, world.rows) == (None, rows)
    assert "time" not in str(found)


def test_errors():
    world, prompts = make_world(2)
    with pytest.raises(TypeError, match="n_drawings: expected settings among"):
        plan(prompts, model=world, n_drawings=3)
    with pytest.raises(ValueError, match=r"prompts\[0\]='prompt 0': expected a pair"):
        plan(prompts, pairs=True, model=world)
