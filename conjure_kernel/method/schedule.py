"""Noise schedules, and the noise levels at which a chain is run and measured.

A Gaussian forward process is `x_t = alpha x_0 + sigma eps`; its clock is the log-SNR
`lambda = log(alpha^2 / sigma^2)`. `VariancePreserving`, `FlowMatching` and EDM's `Preconditioned`
translate between model time and log-SNR; `make_grid` chooses the T nodes and their quadrature
weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from conjure_kernel._checks import check_choice

__all__ = ["NODES", "WEIGHTINGS", "FlowMatching", "Grid", "Preconditioned", "Schedule"]
__all__ += ["VariancePreserving", "common_range", "make_grid"]

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


class FlowMatching(Schedule):
    """x_t = (1 - s) x_0 + s eps with model time s * n_times (rectified flow)."""

    def __init__(self, n_times: int = 1000) -> None:
        self.n_times = n_times

    @property
    def log_snr_range(self) -> tuple[float, float]:  # noqa: D102
        return -np.inf, np.inf

    def time(self, log_snr: np.ndarray) -> np.ndarray:  # noqa: D102
        return self.n_times * self.alpha_sigma(log_snr)[1]

    def log_snr(self, time: np.ndarray) -> np.ndarray:  # noqa: D102
        s = np.asarray(time, dtype=np.float64) / self.n_times
        return 2 * (np.log1p(-s) - np.log(s))

    def alpha_sigma(self, log_snr: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: D102
        half = np.asarray(log_snr, dtype=np.float64) / 2
        return 1 / (1 + np.exp(-half)), 1 / (1 + np.exp(half))


@dataclass(frozen=True)
class Grid:
    """The noise levels of a chain, noisiest first: S steps, of which T are nodes.

    Attributes
    ----------
    times, log_snr, alpha, sigma : arrays of shape (S,)
        Model time, log-SNR and both amplitudes of every step of the chain.
    is_node : bool array of shape (S,)
        The steps at which predictions are compared.
    d_log_snr : array of shape (T,)
        Width of each node's interval: the quadrature weights of the integral over log-SNR.
    time_share : array of shape (T,)
        Share of model time in each node's interval; sums to 1.
    log_snr_range : (float, float)
        The range that the intervals cover.
    """

    times: np.ndarray
    log_snr: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray
    is_node: np.ndarray
    d_log_snr: np.ndarray
    time_share: np.ndarray
    log_snr_range: tuple[float, float]

    @property
    def n_nodes(self) -> int:
        """Number of nodes, T."""
        return len(self.d_log_snr)

    @property
    def node_log_snr(self) -> np.ndarray:
        """Log-SNR of each node, shape (T,), ascending."""
        return self.log_snr[self.is_node]

    def weights(self, weighting: str = "jeffreys") -> np.ndarray:
        """Weight of each node's energy in a KL leg, shape (T,): one of the `WEIGHTINGS`."""
        check_choice(weighting, "weighting", tuple(WEIGHTINGS))
        return WEIGHTINGS[weighting](self)

    def nodes_only(self) -> Grid:
        """The same measurement with the nodes as its only steps, which are those of a replay."""
        return self.only(self.is_node)

    def only(self, steps: np.ndarray | slice) -> Grid:
        """The same measurement with these steps of the chain alone."""
        names = ("times", "log_snr", "alpha", "sigma", "is_node")
        return replace(self, **{name: getattr(self, name)[steps] for name in names})

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON; `from_dict` restores the grid exactly."""
        return {name: np.asarray(value).tolist() for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Grid:
        """Grid from what `to_dict` returned."""
        arrays = {k: np.asarray(v) for k, v in fields.items() if k != "log_snr_range"}
        low, high = fields["log_snr_range"]
        return cls(**arrays, log_snr_range=(low, high))


WEIGHTINGS: dict[str, Callable[[Grid], np.ndarray]] = {
    "jeffreys": lambda grid: grid.d_log_snr / 2,  # nats
    # Squared score differences, uniform in model time: the paper's g = 1.
    "paper": lambda grid: grid.time_share / grid.sigma[grid.is_node] ** 2,
    "noise": lambda grid: grid.time_share,  # squared noise differences, uniform in model time
}


class _Axis(NamedTuple):
    """The scale on which nodes are evenly spaced: maps to and from it, and its value at a level."""

    to_time: Callable[[np.ndarray], np.ndarray]
    to_log_snr: Callable[[np.ndarray], np.ndarray]
    from_log_snr: Callable[[np.ndarray], np.ndarray]
    at: Callable[[np.ndarray, np.ndarray], np.ndarray]  # (times, log_snr)


NODES: dict[str, Callable[[Schedule], _Axis]] = {
    "log_snr": lambda schedule: _Axis(
        schedule.time, np.asarray, np.asarray, lambda times, log_snr: log_snr
    ),
    "timesteps": lambda schedule: _Axis(
        np.asarray, schedule.log_snr, schedule.time, lambda times, log_snr: times
    ),
}


def make_grid(
    schedule: Schedule,
    n_steps: int,
    *,
    substeps: int = 1,
    log_snr_range: tuple[float, float] | None = None,
    nodes: str = "log_snr",
    snap: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Grid:
    """Place nodes at the midpoints of T equal intervals, in log-SNR or in model time.

    Parameters
    ----------
    schedule : Schedule
        Translates log-SNR to model time.
    n_steps, substeps : int
        Number of nodes, T, and steps of the chain per node; with 2 the chain starts at the noisy
        end of the range.
    log_snr_range : (float, float), optional
        Default: the schedule's own, clipped to [-8, 8].
    nodes : {"log_snr", "timesteps"}
        The scale on which the intervals are equal.
    snap : callable, optional
        Rounds model times to those that the network can represent; log-SNR and weights follow.
    """
    low, high = _resolve_range(schedule, log_snr_range)
    axis = NODES[check_choice(nodes, "nodes", tuple(NODES))](schedule)
    ends = axis.from_log_snr(np.array([low, high]))
    offsets = ((substeps / 2) % 1 + np.arange(substeps)) / substeps
    position = (np.arange(n_steps)[:, None] + offsets).ravel() / n_steps
    times = axis.to_time(ends[0] + (ends[1] - ends[0]) * position)
    times = times if snap is None else snap(times)
    log_snr = schedule.log_snr(times)
    if not (np.diff(log_snr) > 0).all():
        raise ValueError(
            f"n_steps={n_steps}: expected noise levels that the network's dtype can tell apart; "
            'use fewer steps, substeps=1 or dtype="float32".'
        )
    is_node = np.tile(np.arange(substeps) == substeps // 2, n_steps)
    centre = axis.at(times, log_snr)[is_node]
    edges = np.concatenate([ends[:1], (centre[1:] + centre[:-1]) / 2, ends[1:]])
    edge_times = axis.to_time(edges)
    share = np.diff(edge_times) / (edge_times[-1] - edge_times[0])
    widths = np.diff(axis.to_log_snr(edges))
    alpha, sigma = schedule.alpha_sigma(log_snr)
    levels = {"times": times, "log_snr": log_snr, "alpha": alpha, "sigma": sigma}
    return Grid(
        **levels, is_node=is_node, d_log_snr=widths, time_share=share, log_snr_range=(low, high)
    )


def common_range(
    schedules: Sequence[Schedule], log_snr_range: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Log-SNR range that all these models know, within the given range or else [-8, 8]."""
    known = [_resolve_range(schedule, log_snr_range) for schedule in schedules]
    low, high = max(low for low, _ in known), min(high for _, high in known)
    if low >= high:
        raise ValueError(
            f"log_snr_range={log_snr_range!r}: expected a range in common, got {known}, which do "
            "not overlap; choose other models."
        )
    return low, high


def _resolve_range(schedule: Schedule, given: tuple[float, float] | None) -> tuple[float, float]:
    own_low, own_high = schedule.log_snr_range
    if given is None:
        return max(own_low, WIDEST_RANGE[0]), min(own_high, WIDEST_RANGE[1])
    low, high = (float(end) for end in given)
    slack = 1e-6 * (1 + abs(low) + abs(high))
    if low < own_low - slack or high > own_high + slack:
        raise ValueError(
            f"log_snr_range={given!r}: expected a part of [{own_low:.4g}, {own_high:.4g}], "
            "which is all that this model knows; choose a range within it."
        )
    return max(low, own_low), min(high, own_high)
