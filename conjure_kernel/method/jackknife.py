"""Monte Carlo errors of anything computed from draws: the delete-one-draw jackknife.

Pairs share trajectories, so the error of a mean, a rank correlation or a cluster score does not
follow from the standard errors of single entries. Instead, draw k of *every* prompt is left out at
once, as it is independent of the other draws; the figure is computed from the rest, for each k; and
its error follows from how much it moves (Efron & Stein 1981, "The jackknife estimate of variance").
"""

from __future__ import annotations

import numpy as np

__all__ = ["jackknife_se", "leave_one_out"]


def leave_one_out(draws: np.ndarray) -> np.ndarray:
    """Means over all draws but one: (..., K) -> (K, ...), entry k without draw k.

    Raises
    ------
    ValueError
        K is 1: nothing is left.
    """
    n_draws = draws.shape[-1]
    if n_draws < 2:
        raise ValueError(
            f"n_draws={n_draws}: expected at least 2, as each is left out once; raise n_draws."
        )
    others = (draws.sum(-1, keepdims=True) - draws) / (n_draws - 1)
    # Energies are at least 0; rounding of the difference may not make a mean negative.
    return np.moveaxis(np.where(draws.min(-1, keepdims=True) >= 0, others.clip(0), others), -1, 0)


def jackknife_se(replicates: np.ndarray) -> np.ndarray:
    """Standard error of a figure from its K values without one draw each: (K, ...) -> (...)."""
    n_draws = len(replicates)
    return np.sqrt((n_draws - 1) * np.var(replicates, axis=0))
