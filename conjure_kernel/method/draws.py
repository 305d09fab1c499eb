"""Means and variances over Monte Carlo draws, of which some may not be used."""

from __future__ import annotations

import numpy as np

__all__ = ["chain_draws", "leg_draws", "mean_of", "ratio", "variance_of"]


def leg_draws(energies: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Directed KL of every draw, in nats: energies (..., K, T) -> float64 (..., K)."""
    return chain_draws(energies, weights, 1)[..., 0]


def chain_draws(energies: np.ndarray, weights: np.ndarray, n_chains: int) -> np.ndarray:
    """The part of each of a draw's G chains in it: energies (..., K, T) -> float64 (..., K, G)."""
    # One leading row at a time: float64 copies of everything need not fit.
    if energies.ndim > 3:
        return np.stack([chain_draws(row, weights, n_chains) for row in energies])
    weighted = energies * weights
    return np.stack([weighted[..., g::n_chains].sum(-1) for g in range(n_chains)], -1)


def mean_of(draws: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean over the draws of an array (..., K) or (..., T, K), with weights (..., K) if any."""
    if weights is None:
        return draws.mean(-1, dtype=float)
    weights = _stretched(weights, draws.ndim)
    return np.where(weights > 0, weights * draws, 0.0).sum(-1)


def variance_of(draws: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Variance of that mean; NaN with one draw."""
    n_draws = draws.shape[-1]
    if n_draws == 1:
        return np.full(draws.shape[:-1], np.nan)
    if weights is None:
        return draws.var(-1, ddof=1, dtype=np.float64) / n_draws
    stretched = _stretched(weights, draws.ndim)
    spread = np.where(stretched > 0, draws - mean_of(draws, weights)[..., None], 0.0)
    n_used = (stretched > 0).sum(-1)
    return np.square(spread).sum(-1) / (n_used - 1) * np.square(stretched).sum(-1)


def ratio(over: np.ndarray, under: np.ndarray, empty: float = 0.0) -> np.ndarray:
    """Quotient with `empty` for 0 / 0 (a prompt against itself)."""
    return np.where(under == 0, empty, over / np.where(under == 0, 1.0, under))


def _stretched(weights: np.ndarray, n_axes: int) -> np.ndarray:
    """Weights (..., K) in a shape that multiplies draws of n_axes axes, (..., K) or (..., T, K)."""
    return weights if weights.ndim == n_axes else weights[..., None, :]
