"""What a measurement will cost, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from conjure_kernel._checks import check_pairs, check_prompts
from conjure_kernel.engine.engine import Engine, Requests
from conjure_kernel.engine.opening import open_engine
from conjure_kernel.engine.pairwise import requests_of_pairs
from conjure_kernel.engine.stopping import LEAST_DRAWS

__all__ = ["Plan", "duration", "plan", "plan_candidates"]

FILE_BYTES, DIGEST_BYTES = 1800, 32  # beside the numbers: of a prompt's two files, of a target


@dataclass(frozen=True, repr=False)
class Plan:
    """What a measurement will cost; prints as a few lines.

    Attributes
    ----------
    n_prompts, n_pairs : int
        Distinct ones; of neighbours, at most so many pairs.
    n_predictions : int
        Noise predictions still to be made; with `tol`, for the draws that every pair starts from;
        of neighbours, if all are mutual.
    most_predictions : int
        With `tol`, if every pair needs `max_draws`; of neighbours, if none are mutual; else
        `n_predictions`.
    n_cached : int or None
        Predictions that the cache saves; of neighbours not known, and not taken off.
    disk_bytes : int
        What the cache grows by, at most.
    location : str or None
        Of the cache; None keeps everything in memory.
    memory_bytes : int
        Of the results in this process, about, beside the model and its batch.
    rate : float or None
        Predictions per second, measured just now; None, as what follows, if nothing is to be done.
    batch_size, device, dtype : int, str, str
        Rows a network call, and what `rate` was measured on.
    device_memory_bytes : int or None
        Peak on a GPU while `rate` was measured, model included; None elsewhere.
    depends_on : str
        What decides between `n_predictions` and `most_predictions`, in words.
    """

    n_prompts: int
    n_pairs: int
    n_predictions: int
    most_predictions: int
    n_cached: int | None
    disk_bytes: int
    location: str | None
    memory_bytes: int
    rate: float | None = None
    batch_size: int | None = None
    device: str | None = None
    dtype: str | None = None
    device_memory_bytes: int | None = None
    depends_on: str = "tol needs"

    @property
    def seconds(self) -> float:
        """Time of `n_predictions` at `rate`, in one process."""
        return self.n_predictions / self.rate if self.rate else 0.0

    @property
    def most_seconds(self) -> float:
        """Time of `most_predictions`."""
        return self.most_predictions / self.rate if self.rate else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**asdict(self), "seconds": self.seconds, "most_seconds": self.most_seconds}

    def __repr__(self) -> str:
        work, time = f"{self.n_predictions:,}", f"about {duration(self.seconds)}"
        if self.most_predictions > self.n_predictions:
            work += f" to {self.most_predictions:,}, as {self.depends_on}"
            time += f", at most {duration(self.most_seconds)}"
        known = self.n_cached is not None
        cached = f"the cache has {self.n_cached:,}" if known else "less what the cache has"
        lines = {
            "prompts": f"{self.n_prompts:,}, {self.n_pairs:,} pairs",
            "noise predictions": f"{work}; {cached}",
        }
        if self.rate:
            here = f"{self.device}, {self.dtype}, {self.batch_size} rows a call"
            lines["time"] = f"{time}, at {self.rate:,.0f} a second (timed now: {here})"
        if self.location:
            lines["disk"] = f"{_size(self.disk_bytes)} more in {self.location}"
        lines["memory"] = f"{_size(self.memory_bytes)}, beside the model"
        if self.device_memory_bytes is not None:
            lines["GPU memory"] = f"{_size(self.device_memory_bytes)}, model included"
        return "\n".join(f"{name:19}{text}" for name, text in lines.items())


def plan(prompts: Sequence[Any], *, pairs: bool = False, **settings: Any) -> Plan:
    """What `pairwise_divergence` or `ConjureDistance` would cost now, with these settings.

    What the cache holds is counted as done. Where something is to be done, the model is loaded and
    timed for a few seconds, in this process: more processes (`n_jobs`) are not counted.

    Parameters
    ----------
    prompts : sequence of str, or of (text_a, text_b)
        All pairs of prompts; with `pairs`, those that `paired_divergence` would measure.
    pairs : bool
        Whether `prompts` are pairs.
    **settings
        As of `pairwise_divergence`.

    Returns
    -------
    plan : Plan

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4, "a car": 3.0})
    >>> plan(world.prompts, model=world, memory=None).n_predictions
    480
    """
    engine = open_engine(settings)
    requests, settled = _requests(prompts, pairs), engine.settings
    least = most = engine.n_draws
    if engine.tol is not None:
        least, most = max(LEAST_DRAWS, least + least % 2), engine.max_draws
    if engine.cost(requests, _every(requests, most)):
        engine.load()  # one that answers otherwise than it did has files of its own
    work = {k: engine.lacking(requests, _every(requests, k)) for k in (least, most)}
    now, at_most = (settled.n_predictions(*work[k]) for k in (least, most))
    n_others = sum(source != t for source, targets in requests.items() for t in targets)
    n_entries, widest = (f(map(len, requests.values())) for f in (sum, max))
    root = engine.root
    disk = _disk_bytes(engine, *work[most], most) if at_most else 0
    return Plan(
        n_prompts=len(requests),
        n_pairs=n_others // 2,
        n_predictions=now,
        most_predictions=at_most,
        n_cached=settled.n_predictions(least * len(requests), least * n_others) - now,
        disk_bytes=0 if root is None else disk,
        location=None if root is None else str(root),
        memory_bytes=_result_bytes(n_entries, settled.n_steps, most) + disk * (root is None),
        **(_timing(engine, next(iter(requests)), work[most], most * widest) if at_most else {}),
    )


def plan_candidates(
    engine: Engine,
    prompts: Sequence[str],
    n_pairs: tuple[int, int],
    width: int,
    n_predictions: int,
) -> Plan:
    """Cost of J of some pairs of prompts: the fewest and the most there can be.

    Parameters
    ----------
    engine : Engine
    prompts : sequence of str
        Distinct.
    n_pairs : (int, int)
    width : int
        Pairs of each prompt.
    n_predictions : int
        Of what comes before.
    """
    n_draws, settings, root = engine.n_draws, engine.settings, engine.root
    work = [(len(prompts) * n_draws, 2 * n * n_draws) for n in n_pairs]
    least, most = (n_predictions + settings.n_predictions(*part) for part in work)
    engine.load()
    disk = _disk_bytes(engine, *work[1], n_draws)
    memory = _result_bytes(2 * n_pairs[1], settings.n_steps, n_draws)
    return Plan(
        n_prompts=len(prompts),
        n_pairs=n_pairs[1],
        n_predictions=least,
        most_predictions=most,
        n_cached=None,
        disk_bytes=0 if root is None else disk,
        location=None if root is None else str(root),
        memory_bytes=memory + disk * (root is None),
        depends_on="candidates are mutual",
        **_timing(engine, prompts[0], work[1], n_draws * width),
    )


def duration(seconds: float) -> str:
    """In the largest unit of which there are two."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{round(seconds / size)} {unit}"
    return f"{max(1, round(seconds))} s"


def _requests(prompts: Sequence[Any], pairs: bool) -> Requests:
    if pairs:
        return requests_of_pairs(*check_pairs(prompts, "prompts"))
    distinct = list(dict.fromkeys(check_prompts(prompts)))
    return dict.fromkeys(distinct, distinct)


def _every(requests: Requests, n_draws: int) -> dict[str, np.ndarray]:
    """All of so many draws."""
    return {s: np.broadcast_to(True, (len(ts), n_draws)) for s, ts in requests.items()}


def _timing(engine: Engine, prompt: str, work: tuple[int, int], n_rows: int) -> dict[str, Any]:
    """Rate of calls as full as the work makes them (`n_rows`: of one target), and where."""
    denoiser = engine.denoiser
    together = work[1] if denoiser.prompts_share_a_call else 0
    on_gpu = torch.device(denoiser.device).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(denoiser.device)
    total = engine.settings.n_predictions(*work)
    rate, size = engine.rate(prompt, total, max(together, n_rows))
    peak = torch.cuda.max_memory_allocated(denoiser.device) if on_gpu else None
    return {
        "rate": rate,
        "batch_size": size,
        "device": str(denoiser.device),
        "dtype": str(denoiser.dtype).removeprefix("torch."),
        "device_memory_bytes": peak,
    }


def _disk_bytes(engine: Engine, n_chains: int, n_replays: int, n_draws: int) -> int:
    """Trajectories (x, eps, x0) and energies, those of a chain under its own prompt included."""
    denoiser, n_nodes = engine.denoiser, engine.settings.n_steps
    x, eps = denoiser.dtype.itemsize, denoiser.state_dtype.itemsize
    chain = int(np.prod(denoiser.shape)) * (n_nodes * (x + eps) + eps)
    energies = (n_replays + n_chains) * (4 * n_nodes + DIGEST_BYTES / n_draws)
    return round(n_chains * (chain + FILE_BYTES / n_draws) + energies)


def _result_bytes(n_entries: int, n_nodes: int, n_draws: int) -> int:
    """Energies of both legs in float32; their draws, J and its errors in float64."""
    return n_entries * (8 * n_nodes * n_draws + 8 * (2 * n_draws + 6))


def _size(n_bytes: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes / 1e3:.3g} kB"
