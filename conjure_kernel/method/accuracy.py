"""What a divergence means to a viewer: how well anyone can tell two prompts apart by one image."""

from __future__ import annotations

from typing import Any

import numpy as np

from conjure_kernel.method.grid import Grid

__all__ = ["accuracy_bound", "check_nats", "crossing", "divergence_for_accuracy"]


def accuracy_bound(divergence: Any) -> np.ndarray:
    """Largest accuracy with which any viewer can tell two prompts apart from one image.

    The image comes from either prompt with equal odds. Then `(2A - 1) log(A / (1 - A)) <= J`, which
    follows from J >= TV log((1 + TV) / (1 - TV)) and A = (1 + TV) / 2.

    Parameters
    ----------
    divergence : float or array
        J (half the sum of the legs), in nats and not relative to an origin; at least 0.

    Returns
    -------
    accuracy : array of the same shape
        The bound on A, in [0.5, 1).

    Examples
    --------
    >>> accuracy_bound([0.0, 0.5493, 4.503]).round(3)
    array([0.5 , 0.75, 0.99])
    """
    if np.iscomplexobj(divergence):
        raise ValueError("divergence: expected real numbers, got complex ones.")
    try:
        target = np.asarray(divergence, dtype=np.float64)
    except OverflowError:
        raise ValueError("divergence: expected numbers that a float can hold.") from None
    low, high = np.zeros_like(target), target + 2
    for _ in range(80):  # bisection on the logit L of A: tanh(L / 2) L = J
        middle = (low + high) / 2
        below = np.tanh(middle / 2) * middle < target
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 1 / (1 + np.exp(-(low + high) / 2))


def divergence_for_accuracy(accuracy: float) -> float:
    """Smallest J with which a viewer can reach this accuracy: the inverse of `accuracy_bound`.

    Parameters
    ----------
    accuracy : float
        A, in [0.5, 1).

    Returns
    -------
    divergence : float
        J (half the sum of the legs), in nats.

    Raises
    ------
    ValueError
        `accuracy` is outside that range.

    Examples
    --------
    >>> round(divergence_for_accuracy(0.75), 4)
    0.5493
    """
    if not 0.5 <= accuracy < 1:
        raise ValueError(f"accuracy={accuracy!r}: expected a number in [0.5, 1); choose e.g. 0.75.")
    return (2 * accuracy - 1) * float(np.log(accuracy / (1 - accuracy)))


def check_nats(weighting: str) -> None:
    """Raise a ValueError for a divergence that is not in nats, which a bound on accuracy needs."""
    if weighting != "jeffreys":
        raise ValueError(
            f"weighting={weighting!r}: expected 'jeffreys', as a bound on accuracy needs nats; "
            "measure with that weighting."
        )


def crossing(grid: Grid, profile: np.ndarray, threshold: float) -> np.ndarray:
    """Log-SNR at which the sum of profiles (..., T) from the noisy end reaches a threshold.

    NaN where it never does. The range must start where the model does, as what lies below counts.
    """
    if grid.n_lead:
        raise ValueError(
            f"log_snr_range={grid.log_snr_range}: expected a range that starts where the model "
            f"does, at log-SNR {grid.log_snr[0]:.3g}, as J below it is not measured but counts; "
            "leave the start of the range out."
        )
    edges = grid.log_snr_range[0] + np.cumsum(np.r_[0.0, grid.d_log_snr])
    rising = np.concatenate([np.zeros((*profile.shape[:-1], 1)), profile.cumsum(-1)], -1)
    flat = rising.reshape(-1, rising.shape[-1])
    crossings = [np.interp(threshold, row, edges, right=np.nan) for row in flat]
    return np.reshape(crossings, rising.shape[:-1])
