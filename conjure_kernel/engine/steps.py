"""How far the finite number of steps moves J: a few pairs again, with half of the steps.

The chains of the check take every second step, driven by the same noise, so that little of the
difference is Monte Carlo noise. With steps twice as long the error is several times as large: a
share of the difference estimates the error of the measurement itself (Richardson extrapolation).
What the noise levels leave out of the integral is estimated from the slopes of the profile at the
ends of the range (Euler-Maclaurin, for the midpoint rule).
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from conjure_kernel._checks import AccuracyWarning
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.ledger import Requests, requests_of_pairs
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.draws import leg_draws
from conjure_kernel.method.grid import Grid

__all__ = ["check_cost", "checked_steps"]

DRAWS = 2  # of each pair
FEWEST_STEPS = 4
LARGE = 0.05
# The error falls by 4 (second order) to 8 where the step is halved, as benchmarks/closed_form.py
# shows: what a step twice as long adds, over 4, is the error that is left.
GAIN = 4
# Where half the steps move J by more than this, its error does not fall by GAIN yet: the whole
# change is told.
COARSE = 0.2


def checked_steps(engine: Engine, measured: Divergence) -> Divergence:
    """The measurement with its `step_error`; a warning tells where it is large."""
    if not engine.check_steps or len(measured.grid.log_snr) < FEWEST_STEPS:
        return measured
    if not (chosen := _choose(measured, engine.check_steps)):
        return measured
    before, coarse = engine.denoiser.n_evaluations, _coarse(engine)
    thin = _energies(coarse, *_texts(measured, chosen))
    spent = engine.denoiser.n_evaluations - before
    error, noise = _relative_error(measured, chosen, thin, coarse.grid.node_log_snr)
    if error - noise > LARGE:
        settings = engine.settings
        warnings.warn(
            f"n_steps={settings.n_steps}, substeps={settings.substeps}: so few steps may move J by "
            f"about {error:.0%} (`step_error`, estimated from {len(chosen)} pairs); raise n_steps "
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


def _relative_error(
    measured: Divergence, chosen: list[tuple[int, ...]], thin: np.ndarray, levels: np.ndarray
) -> tuple[float, float]:
    """Estimated relative error of J, over all pairs, and the Monte Carlo error of the estimate."""
    grid, weights = measured.grid, measured.grid.weights(measured.weighting)
    common, n_draws = np.isin(grid.node_log_snr, levels), thin.shape[2]
    both = (measured.forward, measured.backward)
    full = np.array([[leg[place][:n_draws, common] for place in chosen] for leg in both])
    fine, coarse = (leg_draws(e, weights[common]) for e in (full, thin))  # (2, n_pairs, K)
    changes = (coarse - fine) / fine.mean((0, 2))[:, None]
    if abs(changes.mean()) < COARSE:
        changes /= GAIN
    profile = np.array([measured.profile[place] for place in chosen])
    quadrature = float(_quadrature_error(profile, grid).mean())
    noise = float(changes.std() / np.sqrt(max(1, changes.size - 1)))
    return abs(float(changes.mean())) + quadrature, noise


def _quadrature_error(profile: np.ndarray, grid: Grid) -> np.ndarray:
    """Estimated relative errors (n_pairs,) of the sum over noise levels, for profiles (n, T)."""
    if profile.shape[1] < 3:
        return np.zeros(len(profile))
    density = profile / grid.d_log_snr
    bend = (density[:, -1] - density[:, -2]) - (density[:, 1] - density[:, 0])
    return np.abs(grid.d_log_snr.mean() / 24 * bend) / profile.sum(1)
