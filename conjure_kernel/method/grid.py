"""The noise levels at which a chain is run and measured, and the weights of their energies.

`make_grid` chooses the T nodes and the S steps of a chain; `WEIGHTINGS` are the ways to sum the
energies of the nodes, `NODES` the scales on which the nodes are evenly spaced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from conjure_kernel._checks import check_choice
from conjure_kernel.method.schedule import WIDEST_RANGE, Schedule

__all__ = ["NODES", "WEIGHTINGS", "Grid", "common_range", "make_grid", "with_lead_in"]

SLACK = 1e-6  # relative, of log-SNRs


@dataclass(frozen=True, repr=False)
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
    n_lead : int
        Steps before that range: a chain starts where the model does, at pure noise, wherever the
        measurement does.
    every : array
        Log-SNR of all steps of the chain, where this grid is one that leaves some out (`thinned`);
        else empty.
    """

    times: np.ndarray
    log_snr: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray
    is_node: np.ndarray
    d_log_snr: np.ndarray
    time_share: np.ndarray
    log_snr_range: tuple[float, float]
    n_lead: int = 0
    every: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __repr__(self) -> str:
        low, high = self.log_snr_range
        n, size = self.n_nodes, len(self.log_snr)
        return f"<Grid of {n} noise levels, {size} steps, log-SNR {low:.3g} to {high:.3g}>"

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

    def thinned(self) -> Grid:
        """The start and every second step, the first node among them, with the nodes that remain.

        For an odd number of steps per node every second node remains.
        """
        first = int(np.argmax(self.is_node))
        kept = np.arange(len(self.log_snr)) % 2 == first % 2
        kept[0] = True
        nodes = kept[self.is_node]
        widths = {"d_log_snr": self.d_log_snr[nodes], "time_share": self.time_share[nodes]}
        n_lead = int(kept[: self.n_lead].sum())
        return replace(self.only(kept), **widths, n_lead=n_lead, every=self.log_snr)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON; `from_dict` restores the grid exactly."""
        return {name: np.asarray(value).tolist() for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Grid:
        """Grid from what `to_dict` returned."""
        plain = {"log_snr_range": tuple(fields["log_snr_range"]), "n_lead": fields["n_lead"]}
        arrays = {k: np.asarray(v, dtype=None if v else float) for k, v in fields.items()}
        return cls(**{**arrays, **plain})


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
    grid = Grid(times, log_snr, alpha, sigma, is_node, widths, share, (low, high))
    return with_lead_in(grid, schedule, snap)


def with_lead_in(
    grid: Grid, schedule: Schedule, snap: Callable[[np.ndarray], np.ndarray] | None = None
) -> Grid:
    """The grid with steps of equal length from a schedule's own noisy end to its range."""
    grid, (low, high) = replace(grid.only(slice(grid.n_lead, None)), n_lead=0), grid.log_snr_range
    start, first = _resolve_range(schedule, None)[0], grid.log_snr[0]
    if low <= start + SLACK * (1 + abs(start)):
        return grid
    n_lead = max(1, math.ceil((first - start) * len(grid.log_snr) / (high - low) - SLACK))
    times = schedule.time(np.linspace(start, first, n_lead + 1)[:-1])
    times = times if snap is None else snap(times)
    log_snr = schedule.log_snr(times)
    alpha, sigma = schedule.alpha_sigma(log_snr)
    return replace(
        grid,
        times=np.r_[times, grid.times],
        log_snr=np.r_[log_snr, grid.log_snr],
        alpha=np.r_[alpha, grid.alpha],
        sigma=np.r_[sigma, grid.sigma],
        is_node=np.r_[np.zeros(n_lead, bool), grid.is_node],
        n_lead=n_lead,
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
    slack = SLACK * (1 + abs(low) + abs(high))
    if low < own_low - slack or high > own_high + slack:
        raise ValueError(
            f"log_snr_range={given!r}: expected a part of [{own_low:.4g}, {own_high:.4g}], "
            "which is all that this model knows; choose a range within it."
        )
    return max(low, own_low), min(high, own_high)
