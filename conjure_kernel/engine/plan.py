"""The cost of a measurement, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from conjure_kernel._checks import check_pairs, check_prompts
from conjure_kernel.engine.chains import cheapest_chains
from conjure_kernel.engine.engine import Engine, Requests
from conjure_kernel.engine.ledger import requests_of_matrix, requests_of_pairs
from conjure_kernel.engine.opening import open_engine
from conjure_kernel.engine.steps import check_cost
from conjure_kernel.engine.stopping import fewest_draws

__all__ = ["Plan", "duration", "plan", "plan_candidates"]

FILE_BYTES, DIGEST_BYTES = 768, 32  # beside the numbers: in a prompt's two files, for a target


@dataclass(frozen=True, repr=False)
class Plan:
    """The cost of a measurement; it prints as a few lines.

    Attributes
    ----------
    n_prompts, n_pairs : int
        Numbers of distinct prompts and pairs; for neighbours, the largest possible number of pairs.
    n_predictions : int
        Noise predictions still to be made. With `tol`, those for the draws with which every pair
        starts; for neighbours, those needed if all candidates are mutual and drop out early.
    most_predictions : int
        With `tol`, the predictions needed if every pair takes `max_draws`; for neighbours, if no
        candidates are mutual or drop out; else `n_predictions`.
    n_cached : int or None
        Predictions that the cache saves. For neighbours it is not known, and the cache is not
        deducted.
    disk_bytes : int
        By how much the cache grows at most.
    location : str or None
        The folder of the cache; None keeps everything in memory.
    memory_bytes : int
        About how much memory the results take in this process, beside the model and its batch.
    cheapest_chains, cheapest_share : int, float
        The `chains_per_draw` with the fewest predictions for one error of J, from an empty cache,
        and these in shares of those with the number that is set. The variances behind it are those
        of the embedded model.
    rate : float or None
        Predictions per second, measured just now. If nothing is to be done, it is None, and so are
        the attributes that follow.
    batch_size, device, dtype : int, str, str
        Rows a network call, and the device and dtype for which `rate` was measured.
    device_memory_bytes : int or None
        Peak memory on a GPU while `rate` was measured, with the model; None on other devices.
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
    cheapest_chains: int
    cheapest_share: float
    rate: float | None = None
    batch_size: int | None = None
    device: str | None = None
    dtype: str | None = None
    device_memory_bytes: int | None = None
    depends_on: str = "tol needs"

    @property
    def seconds(self) -> float:
        """Time that `n_predictions` take at `rate` in one process."""
        return self.n_predictions / self.rate if self.rate else 0.0

    @property
    def most_seconds(self) -> float:
        """Time that `most_predictions` take at `rate` in one process."""
        return self.most_predictions / self.rate if self.rate else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All attributes and times, JSON-able."""
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
        if round(self.cheapest_share, 2) < 1:
            lines["chains a draw"] = (
                f"chains_per_draw={self.cheapest_chains} would need {self.cheapest_share:.2f} of "
                "the predictions for the same error"
            )
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
    """What `pairwise_divergence` or `ConjureDistance` would cost now with these settings.

    What the cache holds counts as done. Where something is to be done, the model is loaded and
    timed for a few seconds in this process; further processes (`n_jobs`) are not counted.

    Parameters
    ----------
    prompts : sequence of str, or of (text_a, text_b)
        The prompts, of which all pairs are measured; with `pairs`, the pairs.
    pairs : bool
        Whether `prompts` are pairs, as `paired_divergence` takes them.
    **settings
        The settings of `pairwise_divergence`.

    Returns
    -------
    plan : Plan

    Raises
    ------
    ValueError, TypeError
        A prompt or a setting is not valid.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4, "a car": 3.0})
    >>> plan(world.prompts, model=world, memory=None).n_predictions
    798
    """
    engine = open_engine(settings)
    requests, n_predictions = _requests(engine, prompts, pairs), engine.n_predictions
    least, most = _draws(engine)
    if engine.cost(requests, _every(requests, most)):
        engine.load()  # a model whose predictions have changed has files of its own
    work = {k: engine.lacking(requests, _every(requests, k)) for k in (least, most)}
    check = check_cost(engine, requests) if any(work[most]) else 0
    now, at_most = (n_predictions(*work[k]) + check for k in (least, most))
    n_others = sum(source != t for source, targets in requests.items() for t in targets)
    n_entries, widest = (f(map(len, requests.values())) for f in (sum, max))
    disk = _disk_bytes(engine, *work[most], most) if at_most else 0
    return Plan(
        n_prompts=len(requests),
        n_pairs=n_others // 2,
        n_predictions=now,
        most_predictions=at_most,
        n_cached=n_predictions(least * len(requests), least * n_others) + check - now,
        **_storage(engine, disk, _result_bytes(n_entries, engine.settings.n_steps, most)),
        **cheapest_chains(engine, len(requests), n_others // 2),
        **(_timing(engine, next(iter(requests)), work[most], most * widest) if at_most else {}),
    )


def plan_candidates(
    engine: Engine,
    prompts: Sequence[str],
    n_pairs: tuple[int, int],
    width: int,
    n_predictions: int,
    race: tuple[int, int],
) -> Plan:
    """Cost of J of some pairs of prompts, between their smallest and their largest number.

    Parameters
    ----------
    engine : Engine
    prompts : sequence of str
        The distinct prompts.
    n_pairs : (int, int)
        The smallest and the largest possible number of pairs.
    width : int
        Pairs of each prompt.
    n_predictions : int
        Predictions that are made before J is measured.
    race : (int, int)
        Draws with which every pair begins, and pairs at least that have the engine's.

    Returns
    -------
    plan : Plan
    """
    n, settings, (n_draws, most_draws) = len(prompts), engine.settings, _draws(engine)
    first = n_draws if engine.tol is not None else min(race[0], n_draws)
    origin = 0 if engine.origin is None else n  # so many pairs more
    chains = n + (origin > 0)
    work = [
        (chains * n_draws, 2 * ((n_pairs[0] - race[1]) * first + (race[1] + origin) * n_draws)),
        (chains * most_draws, 2 * (n_pairs[1] + origin) * most_draws),
    ]
    n_predictions += check_cost(engine, requests_of_matrix(prompts, engine.origin))
    least, most = (n_predictions + engine.n_predictions(*part) for part in work)
    engine.load()
    disk = _disk_bytes(engine, *work[1], most_draws)
    memory = _result_bytes(2 * n_pairs[1], settings.n_steps, most_draws)
    return Plan(
        n_prompts=n,
        n_pairs=n_pairs[1],
        n_predictions=least,
        most_predictions=most,
        n_cached=None,
        **_storage(engine, disk, memory),
        **cheapest_chains(engine, n, n_pairs[1]),
        depends_on="candidates are mutual" + " and drop out" * (first < n_draws),
        **_timing(engine, prompts[0], work[1], most_draws * width),
    )


def duration(seconds: float) -> str:
    """Write a time in hours or minutes if there are at least two of them, else in seconds."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{round(seconds / size)} {unit}"
    return f"{max(1, round(seconds))} s"


def _requests(engine: Engine, prompts: Sequence[Any], pairs: bool) -> Requests:
    if pairs:
        return requests_of_pairs(*check_pairs(prompts, "prompts"), engine.origin)
    return requests_of_matrix(check_prompts(prompts), engine.origin)


def _every(requests: Requests, n_draws: int) -> dict[str, np.ndarray]:
    """Bool array (n_targets, n_draws) of each source that wants all draws."""
    return {s: np.broadcast_to(True, (len(ts), n_draws)) for s, ts in requests.items()}


def _draws(engine: Engine) -> tuple[int, int]:
    """Draws of a pair, at least and at most."""
    if engine.tol is None:
        return engine.n_draws, engine.n_draws
    return max(fewest_draws(engine.settings), engine.n_draws + engine.n_draws % 2), engine.max_draws


def _storage(engine: Engine, disk_bytes: int, result_bytes: int) -> dict[str, Any]:
    """Where a plan's values are kept: on disk, or without a cache in memory beside the results."""
    if engine.root is None:
        return {"disk_bytes": 0, "location": None, "memory_bytes": result_bytes + disk_bytes}
    location = str(engine.root)
    return {"disk_bytes": disk_bytes, "location": location, "memory_bytes": result_bytes}


def _timing(engine: Engine, prompt: str, work: tuple[int, int], n_rows: int) -> dict[str, Any]:
    """Rate of calls that are as full as the work makes them, of which one target has n_rows."""
    denoiser = engine.denoiser
    together = work[1] if denoiser.prompts_share_a_call else 0
    on_gpu = torch.device(denoiser.device).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(denoiser.device)
    total = engine.n_predictions(*work)
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
    """Size of trajectories (x, eps, x0) and of energies, also those under a chain's own prompt."""
    denoiser, n_nodes = engine.denoiser, engine.settings.n_steps
    x, eps = denoiser.dtype.itemsize, denoiser.state_dtype.itemsize
    chain = int(np.prod(denoiser.shape)) * (n_nodes * (x + eps) + eps)
    energies = (n_replays + n_chains) * (4 * n_nodes + DIGEST_BYTES / n_draws)
    return round(n_chains * (chain + FILE_BYTES / n_draws) + energies)


def _result_bytes(n_entries: int, n_nodes: int, n_draws: int) -> int:
    """Size of both legs' energies in float32, and of their draws, J and its errors in float64."""
    return n_entries * (8 * n_nodes * n_draws + 8 * (2 * n_draws + 6))


def _size(n_bytes: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes / 1e3:.3g} kB"
