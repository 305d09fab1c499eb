"""Monte Carlo errors of anything computed from draws: the delete-one-draw jackknife.

Pairs share trajectories, so the error of a mean, a rank correlation or a cluster score does not
follow from the standard errors of single entries. Leave out draw k of *every* prompt at once, which
are independent of the other draws, compute the figure anew, and see how much it moves (Efron &
Stein 1981, "The jackknife estimate of variance").
"""

from __future__ import annotations

import numpy as np
from scipy import stats

__all__ = ["jackknife_interval", "jackknife_se", "leave_one_out"]


def leave_one_out(draws: np.ndarray) -> np.ndarray:
    """Means over all draws but one: (..., K) -> (K, ...), entry k without draw k; needs K > 1."""
    n_draws = draws.shape[-1]
    if n_draws < 2:
        raise ValueError(f"{n_draws} draw: nothing is left without it. Raise n_draws to 2 or more.")
    others = (draws.sum(-1, keepdims=True) - draws) / (n_draws - 1)
    # Energies are at least 0; rounding of the difference may not make a mean negative.
    return np.moveaxis(np.where(draws.min(-1, keepdims=True) >= 0, others.clip(0), others), -1, 0)


def jackknife_se(replicates: np.ndarray) -> np.ndarray:
    """Standard error of a figure from its K values with one draw left out, (K, ...) -> (...)."""
    n_draws = len(replicates)
    return np.sqrt((n_draws - 1) * np.var(replicates, axis=0))


def jackknife_interval(
    value: float, replicates: np.ndarray, level: float = 0.95
) -> tuple[float, float]:
    """Confidence interval value +- t se, with K - 1 degrees of freedom."""
    reach = stats.t.ppf((1 + level) / 2, len(replicates) - 1) * float(jackknife_se(replicates))
    return value - reach, value + reach
