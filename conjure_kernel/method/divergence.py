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
from typing import Any

import numpy as np
from scipy import stats

from conjure_kernel._checks import check_choice, import_optional
from conjure_kernel._table import divergence_html
from conjure_kernel.method.accuracy import divergence_for_accuracy
from conjure_kernel.method.schedule import WEIGHTINGS, Grid

__all__ = ["Divergence", "leg_draws"]


def leg_draws(energies: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Directed KL of every draw, in nats: energies (..., K, T) -> float64 (..., K)."""
    # One leading row at a time: float64 copies of everything need not fit.
    if energies.ndim > 3:
        return np.stack([leg_draws(row, weights) for row in energies])
    return (energies * weights).sum(-1)


@dataclass(frozen=True)
class Divergence:
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

    Notes
    -----
    Standard errors are Monte Carlo errors over the K draws; the bias of a finite number of steps
    is not in them. Pairs share trajectories, so the errors of different entries are correlated:
    take the error of a mean or a difference of entries from `draws`, not by adding variances.

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

    def __post_init__(self) -> None:
        check_choice(self.weighting, "weighting", tuple(WEIGHTINGS))

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
    def leg_draws(self) -> tuple[np.ndarray, np.ndarray]:
        """KL(P_a || P_b) and KL(P_b || P_a) of every draw, (..., K), in nats; NaN if unused."""
        weights = self.grid.weights(self.weighting)
        forward, backward = leg_draws(self.forward, weights), leg_draws(self.backward, weights)
        if self.draw_weights is None:
            return forward, backward
        used = self.draw_weights > 0
        return np.where(used, forward, np.nan), np.where(used, backward, np.nan)

    @property
    def draws(self) -> np.ndarray:
        """J of every draw, (..., K): for jackknife errors of anything computed from a matrix."""
        forward, backward = self.leg_draws
        return (forward + backward) / 2

    @property
    def legs(self) -> tuple[np.ndarray, np.ndarray]:
        """KL(P_a || P_b) and KL(P_b || P_a), in nats."""
        forward, backward = self.leg_draws
        return self._mean(forward), self._mean(backward)

    @property
    def values(self) -> np.ndarray:
        """J in nats, half the sum of the legs; at least 0."""
        forward, backward = self.legs
        return (forward + backward) / 2

    @property
    def standard_errors(self) -> np.ndarray:
        """Monte Carlo standard error of J, in nats; NaN with one draw."""
        variance = sum(self._variance(leg) for leg in self.leg_draws)
        return np.sqrt(variance / 4)

    @property
    def distances(self) -> np.ndarray:
        """sqrt(J)."""
        return np.sqrt(self.values)

    @property
    def distance_standard_errors(self) -> np.ndarray:
        """Standard error of sqrt(J), by the delta method: se / (2 sqrt J)."""
        return _ratio(self.standard_errors, 2 * self.distances)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Confidence interval of J: J exp(+- t se / J), Welch degrees of freedom.

        It is taken on the log scale because J is positive and skewed. It covers the estimator's own
        limit, which differs from the integral by the discretisation bias.

        Parameters
        ----------
        level : float
            Coverage, between 0 and 1.

        Returns
        -------
        low, high : arrays of the shape of `values`
            In nats, above 0 where J is; NaN with one draw.
        """
        forward, backward = (self._variance(leg) for leg in self.leg_draws)
        squares = _ratio(forward**2 + backward**2, (forward + backward) ** 2, empty=1.0)
        freedom = (self.draws_used - 1) / squares if self.n_draws > 1 else np.nan
        quantile = stats.t.ppf((1 + level) / 2, freedom)
        values = self.values
        factor = np.exp(quantile * _ratio(self.standard_errors, values))
        return values / factor, values * factor

    @property
    def profile(self) -> np.ndarray:
        """Part of J that each node holds, (..., T), noisiest first; sums to J."""
        profile = self._mean(self.forward.swapaxes(-1, -2))
        profile += self._mean(self.backward.swapaxes(-1, -2))  # in place: it is the largest array
        profile *= self.grid.weights(self.weighting) / 2
        return profile

    @property
    def leg_profiles(self) -> tuple[np.ndarray, np.ndarray]:
        """Part of KL(P_a || P_b) and of KL(P_b || P_a) that each node holds, each (..., T)."""
        weights, both = self.grid.weights(self.weighting), (self.forward, self.backward)
        forward, backward = (self._mean(e.swapaxes(-1, -2)) * weights for e in both)
        return forward, backward

    @property
    def last_share(self) -> float:
        """Share of the sum of all J that the last noise level holds, in [0, 1]."""
        last = sum(self._mean(e[..., -1]).sum() for e in (self.forward, self.backward)) / 2
        total = self.values.sum()
        return float(last * self.grid.weights(self.weighting)[-1] / total) if total else 0.0

    @property
    def profile_standard_errors(self) -> np.ndarray:
        """Monte Carlo standard error of the profile, (..., T); NaN with one draw."""
        both = (self.forward, self.backward)
        variance = sum(self._variance(e.swapaxes(-1, -2)) for e in both)
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
            `accuracy` is outside that range, or the weighting is not in nats.
        """
        if self.weighting != "jeffreys":
            raise ValueError(
                f"weighting={self.weighting!r}: expected 'jeffreys', as a bound on accuracy needs "
                "nats; measure with that weighting."
            )
        threshold = divergence_for_accuracy(accuracy)
        edges = self.grid.log_snr_range[0] + np.cumsum(np.r_[0.0, self.grid.d_log_snr])
        rising = np.concatenate([np.zeros((*self.profile.shape[:-1], 1)), self.cumulative], -1)
        flat = rising.reshape(-1, rising.shape[-1])
        crossings = [np.interp(threshold, row, edges, right=np.nan) for row in flat]
        return np.reshape(crossings, rising.shape[:-1])

    def _mean(self, draws: np.ndarray) -> np.ndarray:
        """Mean over the draws of an array (..., K) or (..., T, K)."""
        if self.draw_weights is None:
            return draws.mean(-1, dtype=float)
        draw_weights = _stretched(self.draw_weights, draws.ndim)
        return np.where(draw_weights > 0, draw_weights * draws, 0.0).sum(-1)

    def _variance(self, draws: np.ndarray) -> np.ndarray:
        """Variance of that mean; NaN with one draw."""
        if self.n_draws == 1:
            return np.full(draws.shape[:-1], np.nan)
        if self.draw_weights is None:
            return draws.var(-1, ddof=1, dtype=np.float64) / self.n_draws
        draw_weights = _stretched(self.draw_weights, draws.ndim)
        spread = np.where(draw_weights > 0, draws - self._mean(draws)[..., None], 0.0)
        n_draws = (draw_weights > 0).sum(-1)
        return np.square(spread).sum(-1) / (n_draws - 1) * np.square(draw_weights).sum(-1)

    def numbers(self) -> dict[str, np.ndarray]:
        """What is known of each pair, by name: arrays of the shape of `values`.

        J, its standard error and 95 % interval and both legs, in nats, then sqrt(J): "divergence",
        "standard_error", "low", "high", "kl_ab", "kl_ba" and "distance".
        """
        (low, high), (forward, backward) = self.interval(), self.legs
        return {
            "divergence": self.values,
            "standard_error": self.standard_errors,
            "low": low,
            "high": high,
            "kl_ab": forward,
            "kl_ba": backward,
            "distance": self.distances,
        }

    def columns(self) -> dict[str, Any]:
        """Long table by columns: the prompts and `numbers`, one entry per pair or cell."""
        a, b = self.prompts_a, self.prompts_b
        if not self.paired:
            a, b = [x for x in a for _ in b], [y for _ in a for y in b]
        flat = {name: np.ravel(array) for name, array in self.numbers().items()}
        return {"prompt_a": a, "prompt_b": b, **flat}

    def to_pandas(self) -> Any:
        """`columns` as a pandas DataFrame."""
        return import_optional("pandas", "tables", "to_pandas").DataFrame(self.columns())

    def _repr_html_(self) -> str:
        return divergence_html(self.prompts_a, self.prompts_b, self.values, self.standard_errors)


def _stretched(draw_weights: np.ndarray, n_axes: int) -> np.ndarray:
    """Weights (..., K) in a shape that multiplies draws of n_axes axes, (..., K) or (..., T, K)."""
    return draw_weights if draw_weights.ndim == n_axes else draw_weights[..., None, :]


def _ratio(over: np.ndarray, under: np.ndarray, empty: float = 0.0) -> np.ndarray:
    """Quotient with `empty` for 0 / 0 (a prompt against itself)."""
    return np.where(under == 0, empty, over / np.where(under == 0, 1.0, under))
