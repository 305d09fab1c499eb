"""Jobs, which are done by this process or by joblib's workers on this machine or on others.

The network calls of a job are fixed beforehand, so that the numbers do not depend on how many
workers there are or on which of them does the job. Each worker opens the model by name, once, and
returns results; only the parent writes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from threading import Lock
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import BACKENDS, get_active_backend

from conjure_kernel._checks import ConjureWarning
from conjure_kernel.engine.batches import Batches, Call
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.probe import same_answer

__all__ = ["Job", "Replaying", "Tracing", "Workers", "is_shared_out"]

LARGEST_JOB = 8  # calls that share one shipment of a tile's states
CALLS_AT_ONCE = 4  # jobs a worker, where the backend returns all results together
MOST_DEATHS = 3  # of workers in a row, before any of them finishes a job

# A worker keeps its model between jobs, and does one job at a time, as Dask's workers have threads.
_HELD: dict[str, Denoiser] = {}
_BUSY = Lock()


class Job(Protocol):
    """Work whose network calls are all fixed."""

    def do(self, batches: Batches, chain: ChainSettings) -> list:
        """Do the work with a loaded model and return its results."""


class Tracing(NamedTuple):
    """Job that runs the reverse chains of these prompts for these draws."""

    prompts: list[str]
    draws: range

    def do(self, batches: Batches, chain: ChainSettings) -> list:
        """Trajectory of each prompt."""
        return batches.trace(self.prompts, self.draws, chain)


class Replaying(NamedTuple):
    """Job that predicts along the states x, eps (T, R, *shape) of a tile."""

    x: torch.Tensor
    eps: torch.Tensor
    calls: list[Call]

    def do(self, batches: Batches, chain: ChainSettings) -> list:
        """Energies (R, T) of each call."""
        results = []
        for call in self.calls:
            rows = torch.tensor(call.places).to(self.x.device)
            x, eps = (states.index_select(1, rows) for states in (self.x, self.eps))
            targets = [block.target for block in call.blocks]
            results.append(batches.predict(targets, x, eps, chain).T.numpy())
        return results


class Workers:
    """Those who do the jobs: this process, or the workers of joblib.

    Parameters
    ----------
    batches : Batches
        The calls of the loaded model.
    chain : ChainSettings
        How its chains are run.
    n_jobs : int, optional
        Number of workers, in joblib's convention: None is 1 unless `joblib.parallel_config` sets
        another number.
    """

    def __init__(self, batches: Batches, chain: ChainSettings, n_jobs: int | None = None) -> None:
        self._batches, self._chain, self._n_jobs = batches, chain, n_jobs
        self.shared_out = is_shared_out(n_jobs)

    @property
    def n_bytes(self) -> int:
        """Size of a draw's states and predictions."""
        return 8 * int(np.prod(self._batches.denoiser.shape)) * self._chain.grid.n_nodes

    def split(
        self, x: torch.Tensor, eps: torch.Tensor, calls: Iterable[Call]
    ) -> Iterator[Replaying]:
        """Jobs along the states of a tile: of one call each in this process, else of a few."""
        if not self.shared_out:
            x, eps = (states.to(self._batches.denoiser.device) for states in (x, eps))
            yield from (Replaying(x, eps, [call]) for call in calls)
            return
        every = list(calls)
        size = max(1, min(LARGEST_JOB, len(every) // (4 * effective_n_jobs(self._n_jobs))))
        for start in range(0, len(every), size):
            yield Replaying(x, eps, every[start : start + size])

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, list]]:
        """Do the jobs; yield each with its result when it is done."""
        if self.shared_out:
            yield from self._share_out(dict(enumerate(jobs)))
            return
        for job in jobs:
            yield job, job.do(self._batches, self._chain)

    def _share_out(self, left: dict[int, Job]) -> Iterator[tuple[Job, list]]:
        denoiser, deaths = self._batches.denoiser, 0
        # Counted here, as a worker may be this process after all. The attribute is set before any
        # job, as the object must not get a new one while another thread pickles it.
        denoiser.n_evaluations = spent = denoiser.n_evaluations
        order: dict[str, Any] = {
            "denoiser": denoiser,
            "chain": self._chain,
            "size": self._batches.size,
            "fingerprint": denoiser.fingerprint,
            "probe": denoiser.probe,
        }
        while left:
            tasks = [delayed(_serve)(number, job, **order) for number, job in left.items()]
            try:
                for number, result, n_evaluations in _in_parallel(tasks, self._n_jobs):
                    denoiser.n_evaluations = spent = spent + n_evaluations
                    deaths = 0
                    yield left.pop(number), result
            except BrokenProcessPool as error:
                deaths += 1
                if deaths > MOST_DEATHS:
                    raise RuntimeError(
                        f"n_jobs={self._n_jobs}: workers died {deaths} times in a row before any "
                        "finished a job, most likely because memory ran out; use fewer workers or "
                        "a smaller batch_size."
                    ) from error
                text = f"a worker died: the {len(left)} jobs that are left start again."
                warnings.warn(text, ConjureWarning, stacklevel=5)


def _in_parallel(tasks: list, n_jobs: int | None) -> Iterator[tuple[int, list, int]]:
    """Results of tasks: each when it is done or, where the backend cannot, some at a time."""
    # joblib says when it replaces a worker that grew by 300 MB, as by a model. It does so in a
    # thread, which that warning as an error would end, and all would wait for ever.
    warnings.filterwarnings("ignore", "A worker stopped while", UserWarning)
    backend, _ = get_active_backend()
    if n_jobs is None and effective_n_jobs(None) == 1:
        n_jobs = -1  # of a backend that has other machines
    options: dict[str, Any] = {"n_jobs": n_jobs, "batch_size": 1}
    if backend.supports_return_generator:
        yield from Parallel(return_as="generator_unordered", **options)(tasks)
        return
    size = CALLS_AT_ONCE * effective_n_jobs(n_jobs)
    with Parallel(**options) as parallel:
        for start in range(0, len(tasks), size):
            yield from parallel(tasks[start : start + size])


def is_shared_out(n_jobs: int | None) -> bool:
    """Tell whether joblib's active backend has processes other than this one.

    Threads are not used: they share one model, which does one measurement at a time.
    """
    backend, _ = get_active_backend()
    loky, forking = (BACKENDS.get(name) for name in ("loky", "multiprocessing"))
    on_this_machine = type(backend) in (loky, forking)
    threads = getattr(backend, "uses_threads", False)
    if threads or (on_this_machine and effective_n_jobs(n_jobs) == 1):
        return False
    if type(backend) is forking:
        raise ValueError(
            "backend='multiprocessing': expected one that does not fork, as the threads of torch "
            "and CUDA do not survive that; use joblib's default, 'loky'."
        )
    return True


def _serve(
    number: int,
    job: Job,
    *,
    denoiser: Denoiser,
    chain: ChainSettings,
    size: int,
    fingerprint: str,
    probe: tuple[float, ...] | None,
) -> tuple[int, list, int]:
    """Do a job in a worker; return its number, its result, and the predictions that it cost."""
    with _BUSY:
        denoiser = denoiser.load()
        _HELD.clear()
        _HELD[fingerprint] = denoiser
        if denoiser.fingerprint != fingerprint or not same_answer(
            denoiser.probe, probe, denoiser.dtype
        ):
            raise ValueError(
                f"a worker's {denoiser!r}: expected the parent's model, got other weights or "
                "other predictions; give all machines the same files and the same versions of "
                "torch and diffusers."
            )
        before = denoiser.n_evaluations
        result = job.do(Batches(denoiser, size), chain)
        return number, result, denoiser.n_evaluations - before
