"""More workers, the same numbers: loky, Dask, killed workers, GPUs (R44)."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import torch
from joblib.parallel import SequentialBackend

import worlds
from conjure_kernel import load_denoiser, pairwise_divergence
from conjure_kernel.engine import workers
from conjure_kernel.engine.batches import Batches
from conjure_kernel.models.pretrained import load
from mortal import Doomed, Growing, Mortal
from worlds import SMALL, cold, make_world, rows_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
N = 8
RUN = {**SMALL, "memory": None, "batch_size": 7}


def measure(world, prompts, **settings):
    return pairwise_divergence(prompts, model=world, **{**RUN, **settings})


@pytest.fixture(scope="module")
def whole():
    """What one process finds."""
    world, prompts = make_world(N)
    return measure(world, prompts)


def mortal(tmp_path, kind=Mortal):
    world, prompts = make_world(N, kind=kind)
    world.log, world.grave, world.parent = tmp_path / "rows.log", tmp_path / "grave", os.getpid()
    return world, prompts


def pids(log):
    return {line.split()[0] for line in log.read_text().splitlines()}


# ---------------------------------------------------------------- loky


def test_loky_workers_find_the_same_bits(whole, tmp_path):
    world, prompts = make_world(N)
    world.log = tmp_path / "rows.log"
    shared = measure(world, prompts, n_jobs=2)
    np.testing.assert_array_equal(shared.forward, whole.forward)
    assert shared.n_evaluations == rows_of(world.log) == cold(N)
    assert world.rows == 0  # all of it in the workers
    assert len(pids(world.log)) > 1


def test_only_the_parent_writes_and_a_second_run_is_free(whole, tmp_path):
    world, prompts = make_world(N)
    first = measure(world, prompts, n_jobs=2, memory=tmp_path)
    again = measure(world, prompts, memory=tmp_path)
    assert (first.n_evaluations, again.n_evaluations) == (cold(N), 0)
    np.testing.assert_array_equal(again.forward, whole.forward)


def test_a_killed_loky_worker_costs_its_job_only(whole, tmp_path):
    world, prompts = mortal(tmp_path)
    with pytest.warns(UserWarning, match=r"a worker died: the \d+ jobs that are left start again"):
        shared = measure(world, prompts, n_jobs=2)
    assert world.grave.exists()
    np.testing.assert_array_equal(shared.forward, whole.forward)
    assert rows_of(world.log) < 1.5 * cold(N)


def test_workers_that_joblib_replaces_end_nothing_where_warnings_are_errors(whole, tmp_path):
    world, prompts = mortal(tmp_path, kind=Growing)
    with warnings.catch_warnings(action="error"):
        shared = measure(world, prompts, n_jobs=2)
    np.testing.assert_array_equal(shared.forward, whole.forward)
    assert len(pids(world.log)) > 2


@pytest.mark.filterwarnings("ignore:a worker died")
def test_workers_that_always_die_are_an_error(monkeypatch):
    world, prompts = make_world(N, kind=Doomed)
    world.parent = os.getpid()
    monkeypatch.setattr(workers, "MOST_DEATHS", 1)
    with pytest.raises(RuntimeError, match=r"workers died 2 times in a row.*smaller batch_size"):
        measure(world, prompts, n_jobs=2)


def test_the_embedded_model_is_opened_once_a_worker():
    prompts = ["a dog", "a cat", "a red car"]
    settings = {"n_steps": 2, "n_draws": 2, "batch_size": 2}
    alone = pairwise_divergence(prompts, memory=None, **settings)
    shared = pairwise_divergence(prompts, memory=None, n_jobs=2, **settings)
    np.testing.assert_allclose(shared.values, alone.values, rtol=1e-4)
    assert shared.n_evaluations == alone.n_evaluations


def test_a_pickled_model_is_opened_once_a_process():
    whole = load_denoiser("embedded")
    first, second = (pickle.loads(pickle.dumps(whole)) for _ in range(2))
    assert first is second is not whole
    assert first.dtype == whole.dtype


# ---------------------------------------------------------------- Dask


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    # Three, so that two are left when one is killed: joblib does the work of a single one here.
    options = {"n_workers": 3, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(processes=True, silence_logs=50, **options) as made:
        with distributed.Client(made) as client:
            yield client


@pytest.mark.parametrize("kill", [False, True])
def test_dask_workers_find_the_same_bits(whole, cluster, kill, tmp_path):
    world, prompts = mortal(tmp_path)
    if not kill:
        world.grave.touch()
    with joblib.parallel_config(backend="dask"):
        shared = measure(world, prompts)
    assert world.grave.exists()
    np.testing.assert_array_equal(shared.forward, whole.forward)
    assert world.rows == 0
    assert len(pids(world.log)) > 1
    assert kill or rows_of(world.log) == cold(N)


# ---------------------------------------------------------------- Ray

RAY = """
import joblib, numpy as np, ray
from ray.util.joblib import register_ray
from conjure_kernel import pairwise_divergence
from worlds import make_world

world, prompts = make_world(5)
settings = {"model": world, "memory": None, "n_steps": 4, "n_draws": 2, "batch_size": 7}
alone = pairwise_divergence(prompts, **settings)
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
register_ray()
world.rows = 0
with joblib.parallel_config(backend="ray"):
    shared = pairwise_divergence(prompts, **settings)
assert np.array_equal(shared.forward, alone.forward)
assert shared.n_evaluations == alone.n_evaluations
assert world.rows == 0, "all of it in the workers"
"""


def test_ray_workers_find_the_same_bits(tmp_path):
    pytest.importorskip("ray")
    # In a process of its own, as Ray starts a cluster and listens to signals.
    paths = [str(path) for path in (Path(__file__).parents[2], Path(worlds.__file__).parent)]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-W", "ignore", "-c", RAY]
    options = {"capture_output": True, "text": True, "timeout": 300}
    done = subprocess.run(command, env=environment, cwd=tmp_path, check=False, **options)
    assert done.returncode == 0, done.stderr[-2000:]


# ---------------------------------------------------------------- who shares, and what is refused


@pytest.mark.parametrize("backend", ["threading", "sequential"])
def test_threads_are_not_used(backend, whole):
    world, prompts = make_world(N)
    with joblib.parallel_config(backend=backend, n_jobs=2 if backend == "threading" else None):
        found = measure(world, prompts)
    np.testing.assert_array_equal(found.forward, whole.forward)
    assert world.rows == cold(N)


def test_a_backend_that_forks_is_refused():
    world, prompts = make_world(2)
    with joblib.parallel_config(backend="multiprocessing", n_jobs=2):
        with pytest.raises(ValueError, match=r"backend='multiprocessing': .* do not survive"):
            measure(world, prompts)
        assert measure(world, prompts, n_jobs=1).n_evaluations == cold(2)


@pytest.mark.parametrize("n_jobs", [0, 1.5, "2"])
def test_a_wrong_number_of_workers(n_jobs):
    world, prompts = make_world(2)
    with pytest.raises(ValueError, match=f"n_jobs={n_jobs!r}: expected None or an integer"):
        measure(world, prompts, n_jobs=n_jobs)


def test_a_worker_with_another_model_is_refused():
    world, _ = make_world(2)
    other, _ = make_world(2, seed=1)
    model = {"denoiser": other, "fingerprint": world.fingerprint, "probe": None}
    with pytest.raises(ValueError, match="expected the parent's model, got other weights"):
        workers._serve(0, None, **model, chain=None, size=7)


def test_each_worker_takes_a_gpu_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr(load.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(load, "_TAKEN", [])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    name = "get_device_properties"
    monkeypatch.setattr(torch.cuda, name, lambda i: SimpleNamespace(uuid=f"GPU-{i}"))
    assert [load._own_device("auto") for _ in range(2)] == ["cuda:0", "cuda:1"]
    assert load._own_device("auto") == f"cuda:{os.getpid() % 2}"  # more workers than GPUs
    assert load._own_device("cuda:7") == "cuda:7"
    load._TAKEN.pop(0).release()  # that worker ended
    assert load._own_device("auto") == "cuda:0"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert load._own_device("auto") == "auto"


class Here(SequentialBackend):
    """A backend that seems to be elsewhere, but does all jobs in this process."""

    uses_threads = False


joblib.register_parallel_backend("here", Here)


def test_what_a_worker_in_this_process_does_is_counted_once(whole):
    """joblib does a single worker's jobs where it stands, whatever the backend."""
    world, prompts = make_world(N)
    with joblib.parallel_config(backend="here"):
        found = measure(world, prompts, n_jobs=1)
    assert found.n_evaluations == world.rows == cold(N)


def test_no_attribute_is_added_to_a_model_while_jobs_are_pickled():
    """Pickling fails where another thread changes the size of an object's dictionary."""
    world, _ = make_world(2)
    sizes = []

    class Look:
        def do(self, batches, chain):
            sizes.append(len(vars(world)))
            return []

    assert "n_evaluations" not in vars(world)
    with joblib.parallel_config(backend="here"):
        assert len([*workers.Workers(Batches(world), None, 1).run([Look(), Look()])]) == 2
    assert sizes[0] == sizes[1] == len(vars(world))
