"""Noise schedules, and the noise levels at which a chain is run and measured.

A Gaussian forward process is `x_t = alpha x_0 + sigma eps`; its clock is the log-SNR
`lambda = log(alpha^2 / sigma^2)`. `VariancePreserving`, `VarianceExploding`, `FlowMatching` and
EDM's `Preconditioned` translate between model time and log-SNR.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

__all__ = ["FlowMatching", "Preconditioned", "Schedule", "VarianceExploding"]
__all__ += ["VariancePreserving"]

WIDEST_RANGE = (-8.0, 8.0)


class Schedule(ABC):
    """The law of a forward process: model time <-> log-SNR <-> (alpha, sigma)."""

    @property
    @abstractmethod
    def log_snr_range(self) -> tuple[float, float]:
        """Smallest and largest log-SNR that the model was trained on."""

    @abstractmethod
    def time(self, log_snr: np.ndarray) -> np.ndarray:
        """Model time at each log-SNR, in the unit that the network expects."""

    @abstractmethod
    def log_snr(self, time: np.ndarray) -> np.ndarray:
        """Log-SNR at each model time."""

    @abstractmethod
    def alpha_sigma(self, log_snr: Any) -> tuple[np.ndarray, np.ndarray]:
        """Signal and noise amplitudes at each log-SNR."""


class _Tabulated(Schedule):
    """Log-SNR known at rising `times` and interpolated in between."""

    times: np.ndarray
    table: np.ndarray

    @property
    def log_snr_range(self) -> tuple[float, float]:
        return float(self.table[-1]), float(self.table[0])

    def time(self, log_snr: np.ndarray) -> np.ndarray:
        return np.interp(log_snr, self.table[::-1], self.times[::-1])

    def log_snr(self, time: np.ndarray) -> np.ndarray:
        return np.interp(time, self.times, self.table)


class VariancePreserving(_Tabulated):
    """alpha^2 + sigma^2 = 1, known at integer model times; log-SNR is interpolated in between.

    Parameters
    ----------
    alphas_cumprod : array of shape (n_times,)
        alpha^2 at model times 0, 1, ...; decreasing. Times of zero or infinite SNR are left out.
    """

    def __init__(self, alphas_cumprod: np.ndarray) -> None:
        alpha2 = np.asarray(alphas_cumprod, dtype=np.float64)
        usable = np.flatnonzero((alpha2 > 0) & (alpha2 < 1))
        alpha2 = alpha2[usable]
        self.times = usable.astype(np.float64)
        self.table = np.log(alpha2) - np.log1p(-alpha2)

    @classmethod
    def scaled_linear(
        cls, start: float = 0.00085, end: float = 0.012, n_times: int = 1000
    ) -> VariancePreserving:
        """Stable Diffusion's schedule: betas linear in their square roots."""
        return cls(np.cumprod(1 - np.linspace(start**0.5, end**0.5, n_times) ** 2))

    @classmethod
    def log_linear(
        cls, low: float = WIDEST_RANGE[0], high: float = WIDEST_RANGE[1], n_times: int = 1000
    ) -> VariancePreserving:
        """Log-SNR falling linearly in model time from `high` to `low`."""
        return cls(1 / (1 + np.exp(-np.linspace(high, low, n_times))))

    def alpha_sigma(self, log_snr: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: D102
        log_snr = np.asarray(log_snr, dtype=np.float64)
        return 1 / np.sqrt(1 + np.exp(-log_snr)), 1 / np.sqrt(1 + np.exp(log_snr))


class Preconditioned(_Tabulated):
    """EDM's x_t = (x_0 + s eps) / sqrt(s^2 + sigma_data^2), with rising `noise` s at `times`."""

    def __init__(self, noise: np.ndarray, times: np.ndarray, sigma_data: float) -> None:
        self.times, self.table, self.sigma_data = times, -2 * np.log(noise), sigma_data

    def alpha_sigma(self, log_snr: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: D102
        noise = np.exp(-np.asarray(log_snr, dtype=np.float64) / 2)
        size = np.hypot(noise, self.sigma_data)
        return 1 / size, noise / size


class VarianceExploding(Schedule):
    """x_t = x_0 + s eps, with s from `least` to `most`; model time is s / (1 + s)."""

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most

    @property
    def log_snr_range(self) -> tuple[float, float]:  # noqa: D102
        return -2 * float(np.log(self.most)), -2 * float(np.log(self.least))

    def time(self, log_snr: np.ndarray) -> np.ndarray:  # noqa: D102
        return 1 / (1 + np.exp(np.asarray(log_snr, dtype=np.float64) / 2))

    def log_snr(self, time: np.ndarray) -> np.ndarray:  # noqa: D102
        time = np.asarray(time, dtype=np.float64)
        return 2 * (np.log1p(-time) - np.log(time))

    def alpha_sigma(self, log_snr: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: D102
        noise = np.exp(-np.asarray(log_snr, dtype=np.float64) / 2)
        return np.ones_like(noise), noise


class FlowMatching(Schedule):
    """x_t = (1 - s) x_0 + s eps with model time s * n_times (rectified flow), or (1 - s) * n_times.

    Parameters
    ----------
    n_times : int
        Model time at one end.
    inverted : bool
        Whether that is the end of data and not that of noise.
    """

    def __init__(self, n_times: int = 1000, inverted: bool = False) -> None:
        self.n_times, self.inverted = n_times, inverted

    @property
    def log_snr_range(self) -> tuple[float, float]:  # noqa: D102
        return -np.inf, np.inf

    def time(self, log_snr: np.ndarray) -> np.ndarray:  # noqa: D102
        alpha, sigma = self.alpha_sigma(log_snr)
        return self.n_times * (alpha if self.inverted else sigma)

    def log_snr(self, time: np.ndarray) -> np.ndarray:  # noqa: D102
        s = np.asarray(time, dtype=np.float64) / self.n_times
        return 2 * (np.log1p(-s) - np.log(s)) * (-1 if self.inverted else 1)

    def alpha_sigma(self, log_snr: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: D102
        half = np.asarray(log_snr, dtype=np.float64) / 2
        return 1 / (1 + np.exp(-half)), 1 / (1 + np.exp(half))
