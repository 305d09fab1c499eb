"""How far the finite number of steps moves J: a few pairs again, with half of the steps.

The chains of the check take every second step, driven by the same noise, so that little of the
difference is Monte Carlo noise. With steps twice as long the error is several times as large: a
share of the difference estimates the error of the measurement itself (Richardson extrapolation).
Both directed divergences are judged on their own, as their errors may cancel, and the largest error
of the pairs is told. What the noise levels leave out of the integral depends on their spacing, and
on the slopes of the profile at the ends of the range (Euler-Maclaurin, for the midpoint rule).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np

from conjure_kernel._checks import AccuracyWarning
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.ledger import Requests, requests_of_pairs
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.draws import chain_draws, leg_draws, ratio
from conjure_kernel.method.grid import Grid
from conjure_kernel.method.reverse import SAMPLERS

__all__ = ["check_cost", "checked_steps", "most_left"]

DRAWS = 2  # of each pair
FEWEST_STEPS = 4
LARGE = 0.05
# Where half the steps move J by more than this, or chains are guided, its error need not fall by
# 2^order yet: the whole change is told.
COARSE = 0.2


def checked_steps(engine: Engine, measured: Divergence) -> Divergence:
    """The measurement with its `step_error`; a warning tells where it is large."""
    if not engine.check_steps or not (chosen := _choose(measured, engine.check_steps)):
        return measured
    before, profile, settings = engine.denoiser.n_evaluations, measured.profile, engine.settings
    errors = sure = _quadrature_errors(np.array([profile[p] for p in chosen]), measured.grid)
    if len(measured.grid.log_snr) >= FEWEST_STEPS:
        coarse = _coarse(engine)
        thin = _energies(coarse, *_texts(measured, chosen))
        gain = 2 ** SAMPLERS[settings.sampler].order if settings.guidance_scale == 1 else 1
        of_chain = _chain_errors(measured, chosen, thin, coarse.grid.node_log_snr, gain)
        errors, sure = errors + of_chain[0], sure + of_chain[1]
    error, spent = float(errors.max()), engine.denoiser.n_evaluations - before
    if sure.max() > LARGE:
        warnings.warn(
            f"n_steps={settings.n_steps}, substeps={settings.substeps}: so few steps may move J by "
            f"up to {error:.0%} (`step_error`, estimated from {len(chosen)} pairs); raise n_steps "
            "or substeps.",
            category=AccuracyWarning,
            stacklevel=5,
        )
    n_evaluations = measured.n_evaluations + spent
    return replace(measured, step_error=error, n_evaluations=n_evaluations)


def check_cost(engine: Engine, requests: Requests) -> int:
    """Noise predictions of the check of a measurement from an empty cache, at most."""
    settings = engine.settings
    if not engine.check_steps or settings.n_steps * settings.substeps < FEWEST_STEPS:
        return 0
    n_pairs = sum(s != t for s, targets in requests.items() for t in targets) // 2
    n_pairs, coarse = min(engine.check_steps, n_pairs), _coarse(engine)
    n_texts = min(2 * n_pairs, len(requests))
    return coarse.n_predictions(n_texts * coarse.n_draws, 2 * n_pairs * coarse.n_draws)


def most_left(engine: Engine, requests: Requests) -> int:
    """Noise predictions that a measurement still makes, with those of the check, at most."""
    missing = engine.cost(requests)
    return missing + check_cost(engine, requests) if missing else 0


def _coarse(engine: Engine) -> Engine:
    return engine.variant(replace(engine.settings, thin=True), min(DRAWS, engine.n_draws))


def _choose(measured: Divergence, n: int) -> list[tuple[int, ...]]:
    """Places of n pairs of different texts, from small J to the largest."""
    values, names = measured.values, (measured.prompts_a, measured.prompts_b)
    apart = values > 0
    if not measured.paired and names[0] == names[1]:
        apart &= np.triu(np.ones(values.shape, bool), 1)
    places = np.argwhere(apart)
    order = np.argsort(values[apart], kind="stable")
    ranks = np.unique(np.ceil(np.arange(1, n + 1) / max(n, 1) * len(order)).astype(int)) - 1
    return [tuple(places[order[rank]]) for rank in ranks[ranks >= 0]]


def _texts(measured: Divergence, chosen: list[tuple[int, ...]]) -> tuple[list[str], list[str]]:
    left, right = zip(*((place[0], place[-1]) for place in chosen), strict=True)
    return [measured.prompts_a[i] for i in left], [measured.prompts_b[j] for j in right]


def _energies(engine: Engine, left: list[str], right: list[str]) -> np.ndarray:
    """Energies (2, n_pairs, K, T) of both legs."""
    requests = requests_of_pairs(left, right)
    known = engine.measure(requests)

    def leg(source: str, target: str) -> np.ndarray:
        return known[source].energies[requests[source].index(target)]

    pairs = list(zip(left, right, strict=True))
    return np.array([[leg(a, b) for a, b in pairs], [leg(b, a) for a, b in pairs]])


def _chain_errors(
    measured: Divergence,
    chosen: list[tuple[int, ...]],
    thin: np.ndarray,
    levels: np.ndarray,
    gain: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Estimated relative errors of J from the steps, and what is sure of them, each (n_pairs,)."""
    both, n_draws = (measured.forward, measured.backward), thin.shape[2]
    full = np.array([[leg[place][:n_draws] for place in chosen] for leg in both])
    common, gap = np.isin(measured.grid.node_log_snr, levels), np.zeros_like(full)
    gap[..., common] = thin - full[..., common]
    weights = measured.grid.weights(measured.weighting) * common
    changes = chain_draws(gap, weights, measured.n_chains)  # (2, n_pairs, K, G)
    legs = leg_draws(full, weights).mean(2)
    noise = changes.var(2, ddof=1).sum(-1) / n_draws if n_draws > 1 else np.zeros_like(legs)
    moved, noise = ratio(changes.sum(-1).mean(2), legs), ratio(noise, legs**2)
    sure = np.clip(np.abs(moved) - 2 * np.sqrt(noise), 0, None)
    left = np.where(sure < COARSE, 1 / gain, 1.0) * ratio(legs, legs.sum(0))
    likely = np.sqrt(np.clip(moved**2 - noise, 0, None))
    return (left * likely).sum(0), (left * sure).sum(0)


def _quadrature_errors(profile: np.ndarray, grid: Grid) -> np.ndarray:
    """Estimated relative errors (n_pairs,) of the sum over noise levels, for profiles (n, T).

    Two Gaussians of one covariance have the narrowest profile, alpha^2 sigma^2: levels of width h
    miss its integral by a share of at most 2 z / sinh(z), z = 2 pi^2 / h (Poisson's summation).
    """
    width = grid.d_log_snr
    z = np.minimum(2 * math.pi**2 / width, 700.0)
    share, density = profile / profile.sum(1, keepdims=True), profile / width
    missed = (share * np.minimum(2 * z / np.sinh(z), 1)).sum(1)
    if profile.shape[1] < 3:
        return missed
    slope = 2 * np.diff(density, axis=1) / (width[1:] + width[:-1])
    bend = width[-1] ** 2 * slope[:, -1] - width[0] ** 2 * slope[:, 0]
    return missed + np.abs(bend) / 24 / profile.sum(1)
