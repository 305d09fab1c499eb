"""The cost of a measurement, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from conjure_kernel._checks import check_pairs, check_prompts
from conjure_kernel.engine.chains import cheapest_chains
from conjure_kernel.engine.cost import Plan
from conjure_kernel.engine.engine import Engine, Requests
from conjure_kernel.engine.ledger import requests_of_matrix, requests_of_pairs
from conjure_kernel.engine.opening import open_engine
from conjure_kernel.engine.steps import check_cost
from conjure_kernel.engine.stopping import fewest_draws

__all__ = ["plan", "plan_candidates", "plan_work"]

FILE_BYTES, DIGEST_BYTES = 768, 32  # beside the numbers: in a prompt's two files, for a target


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


def plan_work(
    engine: Engine, prompts: Sequence[str], n_pairs: int, work: tuple[int, int], n_checks: int
) -> Plan:
    """Cost of so many chains and replays, and of predictions for the checks of steps.

    The cache is deducted from them already; the model is loaded and timed if there are any.
    """
    total = engine.n_predictions(*work) + n_checks
    if total:
        engine.load()
    disk = _disk_bytes(engine, *work, engine.n_draws) if total else 0
    memory = _result_bytes(2 * n_pairs, engine.settings.n_steps, engine.n_draws)
    return Plan(
        n_prompts=len(prompts),
        n_pairs=n_pairs,
        n_predictions=total,
        most_predictions=total,
        n_cached=None,
        **_storage(engine, disk, memory),
        **cheapest_chains(engine, len(prompts), n_pairs),
        **(_timing(engine, prompts[0], work, engine.n_draws) if total else {}),
    )


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
