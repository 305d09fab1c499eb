"""From energies to divergences: KL legs, Jeffreys, their errors, profiles and what they mean.

An energy is `e[a, b, k, t] = ||eps_a - eps_b||^2` at node t of draw k of a's chain. With node
weights w_t (by default half the width in log-SNR)::

    KL(P_a || P_b) = mean_k sum_t w_t e[a, b, k, t]
    J(a, b)        = [ KL(P_a || P_b) + KL(P_b || P_a) ] / 2

J is half the sum, in nats: the convention of Liu & Soatto, arXiv 2410.16431. Other texts call the
sum itself Jeffreys.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from conjure_kernel._checks import check_choice
from conjure_kernel.method.accuracy import check_nats, crossing, divergence_for_accuracy
from conjure_kernel.method.draws import chain_draws, mean_of, ratio, variance_of
from conjure_kernel.method.exports import Exports
from conjure_kernel.method.grid import WEIGHTINGS, Grid
from conjure_kernel.method.interval import positive_interval
from conjure_kernel.method.jackknife import leave_one_out

__all__ = ["Divergence"]


@dataclass(frozen=True, repr=False)
class Divergence(Exports):
    """Jeffreys divergences with their uncertainty.

    Attributes
    ----------
    prompts_a, prompts_b : list of str
        Rows and columns of a matrix (`paired=False`), or the two sides of each pair.
    forward, backward : arrays of shape (n_a, n_b, K, T), or (n_pairs, K, T) if paired
        Energies of a's chains under b, and of b's chains under a, entry for entry.
    grid : Grid
        Noise levels and quadrature weights.
    weighting : {"jeffreys", "paper", "noise"}
        How the energies of noise levels are summed; only "jeffreys" is in nats.
    paired : bool
        Whether entries belong to pairs rather than to a matrix.
    n_evaluations : int
        Noise predictions that this call cost (0 from a warm cache).
    draw_weights : array of shape (..., K), optional
        Weight of each draw in the mean where pairs have different numbers of draws (`tol=`); 0
        where a draw is not used. Default: 1 / K.
    n_chains : int
        Chains of each draw, G: node t lies on chain t modulo G, so that the G groups of nodes are
        independent.
    shared_noise : bool
        Whether both prompts of a pair share their noise, which correlates the two legs.
    step_error : float
        Estimated relative error of J from the finite number of steps and noise levels; NaN where it
        was not estimated (`check_steps=0`, or no two different prompts).

    Notes
    -----
    Standard errors are Monte Carlo errors over the K draws; the bias of a finite number of steps
    is not in them, but `step_error` estimates it. Pairs share trajectories, so the errors of
    different entries are correlated: take the error of a mean or a difference of entries from
    `replicates`, not from variances.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, pairwise_divergence
    >>> world = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4}, {"a dog": 0.5, "a cat": 1.3})
    >>> measured = pairwise_divergence(["a dog", "a cat"], model=world, memory=None)
    >>> measured.values.shape, measured.profile.shape
    ((2, 2), (2, 2, 10))
    >>> low, high = measured.interval()
    >>> bool(low[0, 1] < measured.values[0, 1] < high[0, 1])
    True
    """

    prompts_a: list[str]
    prompts_b: list[str]
    forward: np.ndarray
    backward: np.ndarray
    grid: Grid
    weighting: str = "jeffreys"
    paired: bool = False
    n_evaluations: int = 0
    draw_weights: np.ndarray | None = None
    n_chains: int = 1
    shared_noise: bool = False
    step_error: float = np.nan

    def __post_init__(self) -> None:
        check_choice(self.weighting, "weighting", tuple(WEIGHTINGS))

    @property
    def unit(self) -> str:
        """What follows a name: " in nats", or the weighting of a unit that has no name."""
        return " in nats" if self.weighting == "jeffreys" else f', weighting="{self.weighting}"'

    @property
    def n_draws(self) -> int:
        """Number of draws, K, of the pair that has most of them."""
        return self.forward.shape[-2]

    @property
    def draws_used(self) -> np.ndarray:
        """Number of draws of each pair: K, unless `tol` chose it."""
        if self.draw_weights is None:
            return np.full(self.forward.shape[:-2], self.n_draws)
        return (self.draw_weights > 0).sum(-1)

    @cached_property
    def chain_draws(self) -> tuple[np.ndarray, np.ndarray]:
        """Parts of independent chains in both legs, each (..., K, G), in nats; NaN if unused."""
        weights = self.grid.weights(self.weighting)
        both = [chain_draws(e, weights, self.n_chains) for e in (self.forward, self.backward)]
        if self.draw_weights is not None:
            used = self.draw_weights[..., None] > 0
            both = [np.where(used, leg, np.nan) for leg in both]
        return both[0], both[1]

    @property
    def leg_draws(self) -> tuple[np.ndarray, np.ndarray]:
        """KL(P_a || P_b) and KL(P_b || P_a) of every draw, (..., K), in nats; NaN if unused."""
        forward, backward = self.chain_draws
        return forward.sum(-1), backward.sum(-1)

    @property
    def draws(self) -> np.ndarray:
        """J of every draw, (..., K), in nats; NaN if unused."""
        forward, backward = self.leg_draws
        return (forward + backward) / 2

    @property
    def replicates(self) -> np.ndarray:
        """J without one chain of one draw, (G, K, ...): `jackknife_se` of what is made of it."""
        forward, backward = self.chain_draws
        return leave_one_out((forward + backward) / 2)

    @property
    def legs(self) -> tuple[np.ndarray, np.ndarray]:
        """KL(P_a || P_b) and KL(P_b || P_a), in nats."""
        forward, backward = self.leg_draws
        return mean_of(forward, self.draw_weights), mean_of(backward, self.draw_weights)

    @property
    def values(self) -> np.ndarray:
        """J in nats, half the sum of the legs; at least 0."""
        forward, backward = self.legs
        return (forward + backward) / 2

    @property
    def standard_errors(self) -> np.ndarray:
        """Monte Carlo standard error of J, in nats; NaN with one draw."""
        return np.sqrt(self._parts[1].sum(-1).sum(-1))

    @property
    def distances(self) -> np.ndarray:
        """sqrt(J)."""
        return np.sqrt(self.values)

    @property
    def distance_standard_errors(self) -> np.ndarray:
        """Standard error of sqrt(J), by the delta method: se / (2 sqrt J)."""
        return ratio(self.standard_errors, 2 * self.distances)

    def interval(
        self, level: float = 0.95, *, steps: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Confidence interval of J: J exp(+- t r), with r the relative standard error.

        It is taken on the log scale because J is positive and skewed, and r is enlarged by what
        skewed draws hide where they are few; see `method/interval.py`. The interval covers the
        estimator's own limit, which differs from the integral by the error of a finite number of
        steps.

        Parameters
        ----------
        level : float
            Coverage, strictly between 0 and 1.
        steps : bool
            Whether the interval is widened by `step_error` to both sides.

        Returns
        -------
        low, high : arrays of the shape of `values`
            In nats, above 0 where J is; NaN with one draw.

        Raises
        ------
        ValueError
            `level` is not between 0 and 1.
        """
        values, (means, variances) = self.values, self._parts
        unit = values[..., None, None]
        parts = ratio(means, unit), ratio(variances, unit**2)
        low, high = positive_interval(values, *parts, self.draws_used, level)
        widening = 1 + (np.nan_to_num(self.step_error) if steps else 0.0)
        return low / widening, high * widening

    @property
    def profile(self) -> np.ndarray:
        """Part of J that each node holds, (..., T), noisiest first; sums to J."""
        profile = mean_of(self.forward.swapaxes(-1, -2), self.draw_weights)
        # In place: it is the largest array.
        profile += mean_of(self.backward.swapaxes(-1, -2), self.draw_weights)
        profile *= self.grid.weights(self.weighting) / 2
        return profile

    @property
    def leg_profiles(self) -> tuple[np.ndarray, np.ndarray]:
        """Part of KL(P_a || P_b) and of KL(P_b || P_a) that each node holds, each (..., T)."""
        weights, both = self.grid.weights(self.weighting), (self.forward, self.backward)
        forward, backward = (mean_of(e.swapaxes(-1, -2), self.draw_weights) * weights for e in both)
        return forward, backward

    @property
    def last_share(self) -> float:
        """Share of the sum of all J that the last noise level holds, in [0, 1]."""
        legs, total = (self.forward, self.backward), self.values.sum()
        last = sum(mean_of(e[..., -1], self.draw_weights).sum() for e in legs) / 2
        return float(last * self.grid.weights(self.weighting)[-1] / total) if total else 0.0

    @property
    def profile_standard_errors(self) -> np.ndarray:
        """Monte Carlo standard error of the profile, (..., T); NaN with one draw."""
        legs = [self.forward, self.backward]
        if self.shared_noise:
            legs = [self.forward + self.backward]
        variance = sum(variance_of(e.swapaxes(-1, -2), self.draw_weights) for e in legs)
        return self.grid.weights(self.weighting) * np.sqrt(variance / 4)

    @property
    def cumulative(self) -> np.ndarray:
        """Divergence of the images blurred to the end of each node's interval, (..., T)."""
        return self.profile.cumsum(-1)

    def detection_log_snr(self, accuracy: float = 0.75) -> np.ndarray:
        """Log-SNR below which no viewer tells a from b with this accuracy; NaN if none does.

        This is where the cumulative profile crosses `divergence_for_accuracy(accuracy)`. It hardly
        depends on where the log-SNR range is cut off.

        Parameters
        ----------
        accuracy : float
            In [0.5, 1).

        Returns
        -------
        log_snr : array of the shape of `values`

        Raises
        ------
        ValueError
            `accuracy` is outside that range, J is not in nats, or log_snr_range starts late.
        """
        check_nats(self.weighting)
        return crossing(self.grid, self.profile, divergence_for_accuracy(accuracy))

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances of the independent parts of J, (..., G, legs); 1 leg if shared."""
        legs = list(self.chain_draws)
        if self.shared_noise:
            legs = [legs[0] + legs[1]]
        parts = [leg.swapaxes(-1, -2) / 2 for leg in legs]
        return (
            np.stack([mean_of(part, self.draw_weights) for part in parts], -1),
            np.stack([variance_of(part, self.draw_weights) for part in parts], -1),
        )
