"""From divergences to kernels: bandwidth, exp(-J / h), and what to do when it is not a kernel.

J is no squared Euclidean distance, so `exp(-J / h)` can have negative eigenvalues: they are
reported, and clipped on request by one linear map that serves fitted and new prompts alike.
`FittedKernel` keeps what the fitted prompts decide.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from conjure_kernel._checks import ConjureWarning

__all__ = ["PSD", "FittedKernel", "UnitKernel", "check_psd", "jeffreys_kernel", "median_bandwidth"]
__all__ += ["psd_projection", "resolve_bandwidth", "smallest_eigenvalue", "warn_if_flat"]

PSD = ("warn", "clip", "raise")
NEGLIGIBLE = 1e-8
FLAT_RANGE = (1e-3, 0.999)


@dataclass(frozen=True)
class FittedKernel:
    """The kernel exp(-J / h) of fitted prompts, and how it is expressed for new ones.

    Attributes
    ----------
    bandwidth : float
        h, in the unit of the divergences.
    min_eigenvalue : float
        The smallest eigenvalue of the fitted prompts' matrix, before any repair.
    projection : array of shape (n, n), or None
        The linear map that repairs rows; None where none is wanted or needed.
    complaint : str
        What is wrong with rows for methods that need a positive semi-definite kernel.
    """

    bandwidth: float
    min_eigenvalue: float
    projection: np.ndarray | None = None
    complaint: str = ""

    @classmethod
    def fit(cls, divergences: np.ndarray, bandwidth: float | str, psd: str) -> FittedKernel:
        """Fit the kernel to the matrix J of the fitted prompts.

        Parameters
        ----------
        divergences : array of shape (n, n)
            J, in nats.
        bandwidth : "median" or float
            h, or the median of the positive divergences.
        psd : {"warn", "clip", "raise"}
            What is done where the smallest eigenvalue is below -1e-8 of the trace: a complaint,
            a projection or an error.

        Raises
        ------
        ValueError
            The matrix is not positive semi-definite, and `psd` is "raise".
        """
        width = resolve_bandwidth(divergences, bandwidth)
        kernel = jeffreys_kernel(divergences, width)
        warn_if_flat(kernel, divergences, width)
        smallest, projection = check_psd(kernel, psd)
        fine = projection is not None or smallest >= -NEGLIGIBLE * len(kernel)
        return cls(width, smallest, projection, "" if fine else _not_psd(smallest, len(kernel)))

    def rows(self, divergences: np.ndarray) -> np.ndarray:
        """Kernel rows (m, n) of prompts whose divergences from the fitted ones are given."""
        kernel = jeffreys_kernel(divergences, self.bandwidth)
        return kernel if self.projection is None else kernel @ self.projection


@dataclass(frozen=True)
class UnitKernel:
    """exp(-J / h) made positive semi-definite with a unit diagonal, for Gaussian processes.

    Negative eigenvalues are dropped, which raises the diagonal, and the diagonal is scaled back
    to 1. A new prompt's row is first moved to the nearest row with which the fitted matrix would
    stay positive semi-definite, if the new diagonal entry were as large as the largest of its own;
    then it goes through the same map.

    Attributes
    ----------
    bandwidth : float
        h, in the unit of the divergences.
    values, vectors : arrays of shape (n,) and (n, n)
        Eigenvalues of exp(-J / h), negative ones too, and eigenvectors in columns.
    diagonal : array of shape (n,)
        The diagonal of the clipped matrix before it is scaled; at least 1.
    """

    bandwidth: float
    values: np.ndarray
    vectors: np.ndarray
    diagonal: np.ndarray

    @classmethod
    def fit(cls, divergences: np.ndarray, bandwidth: float) -> UnitKernel:
        """Fit the kernel to the matrix J (n, n) of the fitted prompts."""
        values, vectors = np.linalg.eigh(jeffreys_kernel(divergences, bandwidth))
        return cls(bandwidth, values, vectors, (vectors**2 * values.clip(0)).sum(1))

    @property
    def matrix(self) -> np.ndarray:
        """Kernel matrix of the fitted prompts, (n, n); its diagonal is 1."""
        kernel = self.scaled((self.vectors * self.values.clip(0)) @ self.vectors.T)
        np.fill_diagonal(kernel, 1)
        return kernel

    def rows(self, divergences: np.ndarray) -> np.ndarray:
        """Kernel rows (m, n) of prompts whose divergences from the fitted ones are given."""
        kept = self.values > NEGLIGIBLE**1.5 * self.values[-1]
        values, vectors = self.values[kept], self.vectors[:, kept]
        coordinates = jeffreys_kernel(divergences, self.bandwidth) @ vectors
        coordinates = nearest_in_ellipsoid(coordinates, values, self.diagonal.max())
        own = np.maximum(1, (coordinates**2 / values).sum(1))
        return self.scaled(coordinates @ vectors.T, own)

    def scaled(self, matrix: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """A matrix over the fitted prompts, divided by the roots of both diagonals."""
        rows = self.diagonal if rows is None else rows
        return matrix * (rows**-0.5)[:, None] * self.diagonal**-0.5


def nearest_in_ellipsoid(points: np.ndarray, squares: np.ndarray, radius: float) -> np.ndarray:
    """Move each point c (m, k) to the nearest x with sum of x^2 / squares at most `radius`.

    x_j = c_j s_j / (s_j + mu), with the smallest mu >= 0 that is enough, found by bisection.
    """
    outside = (points**2 / squares).sum(1) > radius
    if not outside.any():
        return points
    moved, far = points.copy(), points[outside]
    # At mu the sum is below |c|^2 max(s) / mu^2, so this one is enough.
    low = np.zeros((len(far), 1))
    high = np.sqrt((far**2).sum(1, keepdims=True) * squares.max() / radius) + squares.max()
    for _ in range(100):
        middle = (low + high) / 2
        x = far * squares / (squares + middle)
        wide = (x**2 / squares).sum(1, keepdims=True) > radius
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    moved[outside] = far * squares / (squares + high)
    return moved


def resolve_bandwidth(divergences: np.ndarray, bandwidth: float | str) -> float:
    """Return the number that is given, or `median_bandwidth` where it is "median"."""
    return median_bandwidth(divergences) if bandwidth == "median" else float(bandwidth)


def median_bandwidth(divergences: np.ndarray) -> float:
    """Median of the positive off-diagonal divergences; 1 if there is none."""
    above = np.triu_indices_from(divergences, 1)
    positive = divergences[above][divergences[above] > 0]
    return float(np.median(positive)) if positive.size else 1.0


def jeffreys_kernel(divergences: np.ndarray, bandwidth: float) -> np.ndarray:
    """exp(-J / h), in (0, 1]; exactly 1 where J is 0."""
    return np.exp(-divergences / bandwidth)


def warn_if_flat(kernel: np.ndarray, divergences: np.ndarray, bandwidth: float) -> None:
    """Warn where the kernel matrix of the fitted prompts is nearly the identity or constant."""
    apart = np.triu(divergences > 0, 1)  # equal prompts say nothing about the bandwidth
    if not apart.any():
        return
    middle = float(np.median(kernel[apart]))
    if not FLAT_RANGE[0] <= middle <= FLAT_RANGE[1]:
        looks = "the identity" if middle < FLAT_RANGE[0] else "constant"
        usable = median_bandwidth(divergences)
        warnings.warn(
            f"bandwidth={bandwidth:.4g}: the kernel is nearly {looks} (median similarity "
            f'{middle:.2g}); try bandwidth="median", here {usable:.4g}.',
            category=ConjureWarning,
            stacklevel=3,
        )


def psd_projection(kernel: np.ndarray) -> np.ndarray:
    """Projection P (n, n) onto the eigenvectors of positive eigenvalue.

    `kernel @ P` is the nearest positive semi-definite matrix; the rows `k` of new prompts become
    `k @ P`, the same linear map, so that fitted and new prompts are treated alike (Chen et al.
    2009, "Similarity-based classification", JMLR 10, section 2.2).
    """
    eigenvalues, vectors = np.linalg.eigh(kernel)
    kept = vectors[:, eigenvalues > 0]
    return kept @ kept.T


def check_psd(kernel: np.ndarray, psd: str) -> tuple[float, np.ndarray | None]:
    """Return the smallest eigenvalue, and the projection if `psd="clip"` and it is needed.

    Where the smallest eigenvalue is below -1e-8 of the trace, "raise" raises a ValueError.
    """
    smallest = smallest_eigenvalue(kernel)
    if smallest >= -NEGLIGIBLE * np.trace(kernel):
        return smallest, None
    if psd == "raise":
        raise ValueError(_not_psd(smallest, len(kernel)))
    return smallest, psd_projection(kernel) if psd == "clip" else None


def _not_psd(smallest: float, n: int) -> str:
    return (
        f"the kernel of {n} prompts is not positive semi-definite: smallest eigenvalue "
        f'{smallest:.3g}, trace {n}; pass psd="clip" for methods that need it (SVMs, Gaussian '
        'processes, KernelPCA), and psd="warn" for those that do not, as spectral clustering.'
    )


def smallest_eigenvalue(kernel: np.ndarray) -> float:
    """Smallest eigenvalue of a symmetric kernel matrix."""
    return float(np.linalg.eigvalsh(kernel)[0])
