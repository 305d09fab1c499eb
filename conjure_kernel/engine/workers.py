"""Jobs, and who does them: this process, or joblib's workers on this machine or on others.

A job is work whose network calls are fixed beforehand, so that the numbers do not
depend on how many workers there are or which of them did it. Workers open the model by name, once
each, and return results; only the parent writes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple, Protocol

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import BACKENDS, get_active_backend

from conjure_kernel.engine.batches import Batches, Call
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.models.denoiser import Denoiser

__all__ = ["Job", "Replaying", "Tracing", "Workers", "is_shared_out", "same_answer"]

PROBE_TOLERANCE = 0.05
LARGEST_JOB = 8  # calls that share one shipment of a tile's states
MOST_DEATHS = 3  # of workers in a row, none of whom finished anything

# A worker holds on to its model between jobs, and does one job at a time: Dask has threads.
_HELD: dict[str, Denoiser] = {}
_BUSY = Lock()


class Job(Protocol):
    """Work of which every network call is fixed."""

    def do(self, batches: Batches, chain: ChainSettings) -> list:
        """Do it with a loaded model."""


class Tracing(NamedTuple):
    """Run the reverse chains of these prompts for these draws."""

    prompts: list[str]
    draws: range

    def do(self, batches: Batches, chain: ChainSettings) -> list:
        """Trajectory of each prompt."""
        return batches.trace(self.prompts, self.draws, chain)


class Replaying(NamedTuple):
    """Predict along states x, eps (T, R, *shape) of a tile."""

    x: torch.Tensor
    eps: torch.Tensor
    calls: list[Call]

    def do(self, batches: Batches, chain: ChainSettings) -> list:
        """Energies (R, T) of each call."""
        results = []
        for call in self.calls:
            rows = torch.from_numpy(call.places).to(self.x.device)
            x, eps = (states.index_select(1, rows) for states in (self.x, self.eps))
            targets = [block.target for block in call.blocks]
            results.append(batches.predict(targets, x, eps, chain).T.numpy())
        return results


@dataclass(frozen=True)
class Order:
    """What a worker needs besides the job."""

    denoiser: Denoiser
    chain: ChainSettings
    size: int
    fingerprint: str
    probe: tuple[float, ...] | None


class Workers:
    """Does jobs in this process, or shares them out through joblib.

    Parameters
    ----------
    batches : Batches
        Of the loaded model.
    chain : ChainSettings
    n_jobs : int, optional
        As everywhere in joblib: None is 1 unless `joblib.parallel_config` says otherwise.
    """

    def __init__(self, batches: Batches, chain: ChainSettings, n_jobs: int | None = None) -> None:
        self._batches, self._chain, self._n_jobs = batches, chain, n_jobs
        self.shared_out = is_shared_out(n_jobs, batches.denoiser)

    def split(
        self, x: torch.Tensor, eps: torch.Tensor, calls: Iterable[Call]
    ) -> Iterator[Replaying]:
        """Jobs along the states of a tile: here of one call, kept at once; elsewhere of a few."""
        if not self.shared_out:
            x, eps = (states.to(self._batches.denoiser.device) for states in (x, eps))
            yield from (Replaying(x, eps, [call]) for call in calls)
            return
        every = list(calls)
        size = max(1, min(LARGEST_JOB, len(every) // (4 * effective_n_jobs(self._n_jobs))))
        for start in range(0, len(every), size):
            yield Replaying(x, eps, every[start : start + size])

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, list]]:
        """Each job with its result, as they are done."""
        if self.shared_out:
            yield from self._share_out(dict(enumerate(jobs)))
            return
        for job in jobs:
            yield job, job.do(self._batches, self._chain)

    def _share_out(self, left: dict[int, Job]) -> Iterator[tuple[Job, list]]:
        denoiser, deaths = self._batches.denoiser, 0
        spent = denoiser.n_evaluations  # counted here: a worker may turn out to be this process
        order = Order(
            denoiser, self._chain, self._batches.size, denoiser.fingerprint, denoiser.probe
        )
        while left:
            parallel = Parallel(self._n_jobs, return_as="generator_unordered", batch_size=1)
            tasks = (delayed(_serve)(order, number, job) for number, job in list(left.items()))
            try:
                for number, result, n_evaluations in parallel(tasks):
                    denoiser.n_evaluations = spent = spent + n_evaluations
                    deaths = 0
                    yield left.pop(number), result
            except BrokenProcessPool as error:
                deaths += 1
                if deaths > MOST_DEATHS:
                    raise RuntimeError(
                        f"workers died {deaths} times in a row before any finished a job: most "
                        "likely memory ran out. Use fewer (n_jobs) or a smaller batch_size."
                    ) from error
                warnings.warn(
                    f"a worker died; the {len(left)} jobs that are left start anew.", stacklevel=5
                )


def is_shared_out(n_jobs: int | None, denoiser: Denoiser) -> bool:
    """Whether joblib's active backend brings processes other than this one.

    Threads share one model, which measures one thing at a time: they are not used.
    """
    backend, _ = get_active_backend()
    forks = isinstance(backend, BACKENDS.get("multiprocessing", ()))
    on_this_machine = forks or isinstance(backend, BACKENDS["loky"])
    threads = getattr(backend, "uses_threads", False)
    if threads or (on_this_machine and effective_n_jobs(n_jobs) == 1):
        return False
    if forks and torch.device(denoiser.device).type == "cuda":
        raise ValueError(
            "joblib's backend 'multiprocessing' forks, and CUDA does not survive a fork. Use the "
            "default, 'loky': one process for each GPU."
        )
    return True


def same_answer(probe: Sequence[float] | None, known: Sequence[float] | None) -> bool:
    """Whether two models of one fingerprint answer the fixed question alike."""
    return not (probe and known) or np.allclose(probe, known, atol=PROBE_TOLERANCE)


def _serve(order: Order, number: int, job: Job) -> tuple[int, list, int]:
    """What runs in a worker: the job's number, its result, and what it cost."""
    with _BUSY:
        denoiser = order.denoiser.load()
        _HELD.clear()
        _HELD[order.fingerprint] = denoiser
        same = denoiser.fingerprint == order.fingerprint
        if not (same and same_answer(denoiser.probe, order.probe)):
            raise ValueError(
                f"a worker's {denoiser!r} is another model than the parent's, or answers "
                "otherwise. Give all machines the same files and the same versions of torch and "
                "diffusers."
            )
        before = denoiser.n_evaluations
        result = job.do(Batches(denoiser, order.size), order.chain)
        return number, result, denoiser.n_evaluations - before
