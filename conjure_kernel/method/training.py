"""What to read off checkpoints in a row: figures of several prompts with intervals, and rules.

Every figure is made of J of many prompts and checkpoints that share trajectories. Its error is that
of a jackknife over the draws (`method/jackknife.py`), so that it heeds what they share; the factor
of its interval is Student's with G (K - 1) degrees of freedom, as each of the G chains of K draws
is left out on its own. Positive figures have their interval on the log scale. A verdict is None
where its interval does not decide.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from conjure_kernel.method.jackknife import jackknife_se

__all__ = ["COLLAPSED", "Figure", "estimate", "ranks", "spread_replicates", "told", "turning_point"]

COLLAPSED = 0.5  # of the spread between the base's draws


class Figure(NamedTuple):
    """A figure with its standard error over draws and its interval; NaN where there is one draw."""

    value: np.ndarray
    standard_error: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def named(self, name: str) -> dict[str, float]:
        """The value of one figure and its interval, as columns of a `Table`."""
        low, high = float(self.low), float(self.high)
        return {name: float(self.value), f"{name}_low": low, f"{name}_high": high}


class Turning(NamedTuple):
    """From which checkpoint on more training costs more than it brings; see `turning_point`."""

    first: int | None
    told: int | None
    share: float
    excess: Figure


def estimate(
    value: np.ndarray | float,
    replicates: np.ndarray,
    level: float = 0.95,
    *,
    positive: bool = True,
    family: int = 1,
) -> Figure:
    """Figures and their intervals from values with one chain of one draw left out each.

    Parameters
    ----------
    value : array of shape (...)
    replicates : array of shape (G, K, ...)
        See `Divergence.replicates`.
    level : float
        Coverage, strictly between 0 and 1.
    positive : bool
        Whether the interval is taken on the log scale.
    family : int
        Number of figures whose intervals are to hold together (Bonferroni).
    """
    value = np.asarray(value, dtype=float)
    n_chains, n_draws = replicates.shape[:2]
    quantile = stats.t.ppf(1 - (1 - level) / family / 2, n_chains * (n_draws - 1))
    if not positive:
        error = jackknife_se(replicates)
        return Figure(value, error, value - quantile * error, value + quantile * error)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = jackknife_se(np.log(replicates))
    relative = np.where(value > 0, relative, 0.0)
    factor = np.exp(quantile * relative)
    return Figure(value, value * relative, value / factor, value * factor)


def told(figure: Figure, threshold: float | np.ndarray, above: bool = True) -> bool | None:
    """Whether one figure is above (or below) a threshold; None where its interval holds it."""
    if not np.isfinite(figure.low):
        return None
    if figure.low > threshold:
        return above
    return not above if figure.high < threshold else None


def ranks(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and most rank (1 is the largest) that intervals (n,) leave each figure."""
    beaten_by = (low[None, :] > high[:, None]).sum(1)
    beats = (high[None, :] < low[:, None]).sum(1)
    return 1 + beaten_by, len(low) - beats


def turning_point(
    reach: np.ndarray, collateral: np.ndarray, replicates: tuple[np.ndarray, np.ndarray]
) -> Turning:
    """First of n checkpoints from which more training adds collateral faster than reach.

    Parameters
    ----------
    reach, collateral : arrays of shape (n,)
        Mean drift from the base of the target's prompts and of the others, in nats.
    replicates : two arrays of shape (G, K, n)
        Both with one chain of one draw left out.

    Returns
    -------
    turning : Turning
        `first` is the first checkpoint after which collateral grows by more nats than reach, and
        `share` the share of the draws each of which alone names the same one. `told` is the first
        after which the interval of the excess is above 0, where all n - 1 intervals hold together.
        `excess` is growth of collateral less growth of reach, each (n - 1,).
    """

    def excess(reach: np.ndarray, collateral: np.ndarray) -> np.ndarray:
        return np.diff(collateral - reach, axis=-1)

    gained, parts = excess(reach, collateral), excess(*replicates)
    figure = estimate(gained, parts, positive=False, family=max(1, gained.shape[-1]))
    # What each draw alone gives, as means are linear.
    alone = gained + (parts.shape[1] - 1) * (gained - parts).sum(0)
    first = int(_first(gained > 0))
    sure = int(_first(figure.low > 0))
    return Turning(
        None if first < 0 else first,
        None if sure < 0 else sure,
        float((_first(alone > 0) == first).mean()),
        figure,
    )


def spread_replicates(states: np.ndarray) -> tuple[float, np.ndarray]:
    """Spread between draws: the variance over draws (K, G, d), summed over d and over the chains G.

    Returns
    -------
    spread, replicates : float, array of shape (G, K)
        The second with one chain of one draw left out, NaN where that leaves one draw alone.
    """
    n_draws, n_chains = states.shape[:2]
    spreads = states.var(0, ddof=1).sum(-1)
    parts = np.full((n_chains, n_draws), np.nan)
    for k in range(n_draws if n_draws > 2 else 0):
        left = np.delete(states, k, 0).var(0, ddof=1).sum(-1)
        parts[:, k] = spreads.sum() - spreads + left
    return float(spreads.sum()), parts


def _first(where: np.ndarray) -> np.ndarray:
    """Index of the first True along the last axis; -1 where there is none."""
    if not where.shape[-1]:
        return np.full(where.shape[:-1], -1)
    return np.where(where.any(-1), where.argmax(-1), -1)
