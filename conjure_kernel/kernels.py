"""From divergences to kernels: bandwidth, exp(-J / h), and what to do when it is not a kernel.

J is no squared Euclidean distance, so `exp(-J / h)` can have negative eigenvalues: they are
reported, and clipped on request by one linear map that serves fitted and new prompts alike.
Layer 1, numpy only.
"""

from __future__ import annotations

import warnings

import numpy as np

__all__ = ["clipping_map", "jeffreys_kernel", "median_bandwidth", "smallest_eigenvalue"]

NEGLIGIBLE = 1e-8
FLAT_RANGE = (1e-3, 0.999)


def median_bandwidth(divergences: np.ndarray) -> float:
    """Median of the positive off-diagonal divergences; 1 if there is none."""
    above = np.triu_indices_from(divergences, 1)
    positive = divergences[above][divergences[above] > 0]
    return float(np.median(positive)) if positive.size else 1.0


def jeffreys_kernel(divergences: np.ndarray, bandwidth: float) -> np.ndarray:
    """exp(-J / h), in (0, 1]; exactly 1 where J is 0."""
    return np.exp(-divergences / bandwidth)


def warn_if_flat(kernel: np.ndarray, divergences: np.ndarray, bandwidth: float) -> None:
    """Warn about a kernel that is nearly the identity or nearly constant (fitted, square)."""
    apart = np.triu(divergences > 0, 1)  # equal prompts say nothing about the bandwidth
    if not apart.any():
        return
    middle = float(np.median(kernel[apart]))
    if not FLAT_RANGE[0] <= middle <= FLAT_RANGE[1]:
        looks = "the identity" if middle < FLAT_RANGE[0] else "constant"
        usable = median_bandwidth(divergences)
        warnings.warn(
            f"bandwidth={bandwidth:.4g}: the kernel is nearly {looks} (median similarity "
            f'{middle:.2g}). Try bandwidth="median", here {usable:.4g}.',
            stacklevel=3,
        )


def smallest_eigenvalue(kernel: np.ndarray) -> float:
    """Smallest eigenvalue of a symmetric kernel matrix."""
    return float(np.linalg.eigvalsh(kernel)[0])


def clipping_map(kernel: np.ndarray) -> np.ndarray:
    """Projection P (n, n) onto the eigenvectors of positive eigenvalue.

    `kernel @ P` is the nearest positive semi-definite matrix; the rows `k` of new prompts become
    `k @ P`, the same linear map, so that fitted and new prompts are treated alike (Chen et al.
    2009, "Similarity-based classification", JMLR 10, section 2.2).
    """
    eigenvalues, vectors = np.linalg.eigh(kernel)
    kept = vectors[:, eigenvalues > 0]
    return kept @ kept.T


def handle_negative(kernel: np.ndarray, psd: str) -> tuple[float, np.ndarray | None]:
    """Smallest eigenvalue, and the clipping map if `psd="clip"` and it is needed.

    "warn" warns and "raise" raises where the smallest eigenvalue is below -1e-8 of the trace.
    """
    smallest = smallest_eigenvalue(kernel)
    if smallest >= -NEGLIGIBLE * np.trace(kernel):
        return smallest, None
    if psd == "clip":
        return smallest, clipping_map(kernel)
    message = (
        f"the kernel is not positive semi-definite here: smallest eigenvalue {smallest:.3g}, "
        f'trace {np.trace(kernel):.3g}. Use psd="clip" for methods that need it '
        "(SVMs, Gaussian processes, KernelPCA), or ignore it for spectral clustering."
    )
    if psd == "raise":
        raise ValueError(message)
    warnings.warn(message, stacklevel=3)
    return smallest, None
