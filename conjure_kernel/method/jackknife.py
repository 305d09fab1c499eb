"""Monte Carlo errors of anything computed from draws: the delete-one jackknife.

Pairs share trajectories, so the error of a mean, a rank correlation or a cluster score does not
follow from the standard errors of single entries. Instead, one part of *every* prompt's noise is
left out at once: chain g of draw k, which is independent of all others. The figure is computed from
the rest, for each of the K G parts, and its error follows from how much it moves (Efron & Stein
1981, "The jackknife estimate of variance"). The G chains of a draw serve different noise levels, so
that they are strata: their contributions add up.
"""

from __future__ import annotations

import numpy as np

__all__ = ["jackknife_se", "leave_one_out"]


def leave_one_out(draws: np.ndarray) -> np.ndarray:
    """Sums of the means over draws, with one part left out each: (..., K, G) -> (G, K, ...).

    Entry [g, k] is the sum over chains of their means over the draws, without draw k of chain g.

    Raises
    ------
    ValueError
        K is 1: nothing is left.
    """
    n_draws = draws.shape[-2]
    if n_draws < 2:
        raise ValueError(
            f"n_draws={n_draws}: expected at least 2, as each is left out once; raise n_draws."
        )
    means = draws.mean(-2)
    others = (draws.sum(-2, keepdims=True) - draws) / (n_draws - 1)
    # Energies are at least 0; rounding of the difference may not make a mean negative.
    others = np.where(draws.min(-2, keepdims=True) >= 0, others.clip(0), others)
    rest = means.sum(-1, keepdims=True) - means if means.shape[-1] > 1 else np.zeros_like(means)
    return np.moveaxis(others + rest[..., None, :], (-1, -2), (0, 1))


def jackknife_se(replicates: np.ndarray) -> np.ndarray:
    """Standard error of a figure from its values with one part left out: (G, K, ...) -> (...)."""
    n_draws = replicates.shape[1]
    return np.sqrt((n_draws - 1) * np.var(replicates, axis=1).sum(0))
