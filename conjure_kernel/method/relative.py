"""Divergences relative to an origin: how far apart two prompts are, in units of what they say.

Vivid prompts are far from everything, and vague ones near to everything. Divided by how far both
are from an origin o that says nothing in particular (the empty prompt), J tells meanings apart from
vividness::

    R(a, b) = J(a, b) / sqrt(J(a, o) J(b, o))

R is 0 for a prompt and itself, and 1 where two prompts are as far apart as each is from the origin.
All three use the same chains of a, of b and of o, so that their errors partly cancel: the error of
log R (by the delta method) is that of a sum over chains, whose draws are independent, of

    a:  KL(a || b) / 2 J(a, b) - KL(a || o) / 4 J(a, o)
    b:  KL(b || a) / 2 J(a, b) - KL(b || o) / 4 J(b, o)
    o:  - KL(o || a) / 4 J(a, o) - KL(o || b) / 4 J(b, o)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from conjure_kernel._checks import quote
from conjure_kernel._table import Sheet, divergence_sheet
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.draws import mean_of, ratio
from conjure_kernel.method.exports import LongTable
from conjure_kernel.method.grid import Grid
from conjure_kernel.method.interval import positive_interval

__all__ = ["LEAST", "RelativeDivergence"]

# Below so many nats no viewer tells a prompt from the origin in more than 51.2 % of cases.
LEAST = 1e-3


@dataclass(frozen=True, repr=False)
class RelativeDivergence(LongTable):
    r"""Jeffreys divergences in units of what both prompts are away from the empty prompt.

    .. math:: R(a, b) = J(a, b) / \sqrt{J(a, o) \, J(b, o)}

    Attributes
    ----------
    pairs : Divergence
        J of the pairs, (n_a, n_b), or (n_pairs,) if paired: draws, profile and all else that is not
        relative.
    left, right : Divergence
        J of each row and of each column (or of both sides of each pair) from the origin.

    Raises
    ------
    ValueError
        A prompt conjures what the origin does: below 1e-3 nats there is no ratio.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, pairwise_divergence
    >>> world = GaussianDenoiser({"": 0.0, "a dog": 1.0, "a cat": 0.8, "a car": -1.0})
    >>> settings = {"model": world, "memory": None, "origin": "empty"}
    >>> pairwise_divergence(["a dog", "a cat", "a car"], **settings).values.round(2)
    array([[0.  , 0.05, 4.  ],
           [0.05, 0.  , 4.05],
           [4.  , 4.05, 0.  ]])
    """

    pairs: Divergence
    left: Divergence
    right: Divergence

    def __post_init__(self) -> None:
        for side in (self.left, self.right):
            nats = side.values
            if side.weighting != "jeffreys":
                nats = replace(side, weighting="jeffreys").values
            if (same := nats < LEAST).any():
                prompt = side.prompts_a[int(np.flatnonzero(same)[0])]
                raise ValueError(
                    f"origin: expected prompts that conjure something else than the empty prompt, "
                    f"got {quote(prompt)} at {nats[same][0]:.2g} nats from it; leave it out, or "
                    "use origin=None."
                )

    @property
    def prompts_a(self) -> list[str]:
        """Rows of the matrix, or left sides of the pairs."""
        return self.pairs.prompts_a

    @property
    def prompts_b(self) -> list[str]:
        """Columns of the matrix, or right sides of the pairs."""
        return self.pairs.prompts_b

    @property
    def paired(self) -> bool:
        """Whether entries belong to pairs rather than to a matrix."""
        return self.pairs.paired

    @property
    def n_draws(self) -> int:
        """Number of draws, K, of the pair that has most of them."""
        return self.pairs.n_draws

    @property
    def n_evaluations(self) -> int:
        """Noise predictions that the measurement cost."""
        return self.pairs.n_evaluations

    @property
    def grid(self) -> Grid:
        """Noise levels and quadrature weights."""
        return self.pairs.grid

    @property
    def weighting(self) -> str:
        """How energies are summed; R has no unit under any weighting."""
        return self.pairs.weighting

    @property
    def step_error(self) -> float:
        """Estimated relative error of J (not of R) from the finite number of steps."""
        return self.pairs.step_error

    @property
    def draw_weights(self) -> np.ndarray | None:
        """Weight of each draw where pairs have different numbers of draws; see `Divergence`."""
        return self.pairs.draw_weights

    @property
    def legs(self) -> tuple[np.ndarray, np.ndarray]:
        """KL(P_a || P_b) and KL(P_b || P_a), in nats: not relative."""
        return self.pairs.legs

    @property
    def values(self) -> np.ndarray:
        """R; at least 0."""
        return self.pairs.values / self.unit(self.left.values, self.right.values)

    @property
    def distances(self) -> np.ndarray:
        """sqrt(R)."""
        return np.sqrt(self.values)

    @property
    def standard_errors(self) -> np.ndarray:
        """Monte Carlo standard error of R; NaN with one draw."""
        return self.values * np.sqrt(self._parts[1].sum((-1, -2)))

    @property
    def distance_standard_errors(self) -> np.ndarray:
        """Standard error of sqrt(R), by the delta method."""
        return ratio(self.standard_errors, 2 * self.distances)

    @property
    def replicates(self) -> np.ndarray:
        """R without one chain of one draw of every prompt, (G, K, ...), for `jackknife_se`."""
        sides = [side.replicates for side in (self.left, self.right)]
        return self.pairs.replicates / self.unit(*sides)

    @property
    def level_ratios(self) -> tuple[np.ndarray, np.ndarray]:
        """Both legs of each noise level over the same level's J from the origin, each (..., T).

        Each level has a unit of its own, so that they do not add up to R.
        """
        left, right = self.left.profile, self.right.profile
        unit = np.sqrt(left * right if self.pairs.paired else left[:, None] * right)
        forward, backward = self.pairs.leg_profiles
        return ratio(forward, unit), ratio(backward, unit)

    def interval(
        self, level: float = 0.95, *, steps: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Confidence interval of R, on the log scale: see `Divergence.interval`.

        Parameters
        ----------
        level : float
            Coverage, strictly between 0 and 1.
        steps : bool
            Whether the interval is widened by the `step_error` of the numerator and of the
            denominator, to both sides.

        Returns
        -------
        low, high : arrays of the shape of `values`
            Above 0 where R is; NaN with one draw.

        Raises
        ------
        ValueError
            `level` is not between 0 and 1.
        """
        scales, variances = self._parts
        left, right = self.left.draws_used, self.right.draws_used
        others = np.minimum(left if self.pairs.paired else left[:, None], right)
        used = np.minimum(self.pairs.draws_used, others)
        low, high = positive_interval(self.values, scales, variances, used, level)
        widening = (1 + (np.nan_to_num(self.pairs.step_error) if steps else 0.0)) ** 2
        return low / widening, high * widening

    def numbers(self) -> dict[str, np.ndarray]:
        """What is known of each pair, by name: arrays of the shape of `values`.

        R with its standard error and 95 % interval, its root, and J with both legs, in nats.
        """
        (low, high), (forward, backward) = self.interval(), self.legs
        return {
            "relative_divergence": self.values,
            "standard_error": self.standard_errors,
            "low": low,
            "high": high,
            "relative_distance": self.distances,
            "divergence": self.pairs.values,
            "kl_ab": forward,
            "kl_ba": backward,
        }

    def _shown(self) -> Sheet:
        sides, name = (self.prompts_a, self.prompts_b), "J relative to the empty prompt"
        return divergence_sheet(*sides, self.values, self.standard_errors, name)

    def unit(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """sqrt(J(a, o) J(b, o)) of each pair from those of both sides, (..., n) each."""
        return np.sqrt(left * right if self.pairs.paired else left[..., None] * right[..., None, :])

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Scales of the independent parts of R and variances of those of log R, (..., G, P).

        P is 3, for the chains of a, of b and of the origin; or 1 where all share their noise.
        """
        pairs, left, right = (_Legs.of(side) for side in (self.pairs, self.left, self.right))
        shared = self.pairs.shared_noise
        if self.pairs.paired:
            return _parts(pairs, left, right, shared)
        # One row of the matrix at a time: copies of everything need not fit.
        rows = [
            _parts(pairs.at(i), left.at(slice(i, i + 1)), right, shared)
            for i in range(len(self.prompts_a))
        ]
        scales, variances = (np.stack(part) for part in zip(*rows, strict=True))
        return scales, variances


class _Legs(NamedTuple):
    """J of n pairs, draws (n, K, G) of both legs, NaN if unused, and weights (n, K) or None."""

    values: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def of(cls, measured: Divergence) -> _Legs:
        """Those of a divergence; of a matrix with another axis in front."""
        return cls(measured.values, *measured.chain_draws, measured.draw_weights)

    def at(self, index: Any) -> _Legs:
        """Those at an index of the first axis."""
        parts = (None if part is None else part[index] for part in self)
        return _Legs(*parts)  # type: ignore[arg-type]

    @property
    def n_used(self) -> Any:
        """Number of draws of each pair."""
        return self.forward.shape[-2] if self.weights is None else (self.weights > 0).sum(-1)

    def shares(self, leg: np.ndarray, root: bool) -> tuple[np.ndarray, np.ndarray]:
        """Part of log J, or of its half, in each chain (n, G), and what each draw adds (n, K, G).

        What a draw adds is its distance from the mean times its weight.
        """
        means = mean_of(leg.swapaxes(-1, -2), self.weights)
        weights = 1 / leg.shape[-2] if self.weights is None else self.weights[..., None]
        added = np.nan_to_num(weights * (leg - means[..., None, :]))
        unit = (4 if root else 2) * self.values[..., None]
        return ratio(means, unit), ratio(added, unit[..., None])


def _parts(
    pairs: _Legs, left: _Legs, right: _Legs, shared_noise: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Scales and variances, (n, G, P), of the independent parts of log R of n pairs."""
    a, b = (pairs.shares(leg, root=False) for leg in (pairs.forward, pairs.backward))
    from_a, to_a = (left.shares(leg, root=True) for leg in (left.forward, left.backward))
    from_b, to_b = (right.shares(leg, root=True) for leg in (right.forward, right.backward))
    scales = [a[0] + from_a[0], b[0] + from_b[0], to_a[0] + to_b[0]]
    added = [a[1] - from_a[1], b[1] - from_b[1], to_a[1] + to_b[1]]
    if shared_noise:
        scales, added = [sum(scales)], [a[1] + b[1] - from_a[1] - from_b[1] - added[2]]
    n_used = np.minimum(pairs.n_used, np.minimum(left.n_used, right.n_used))
    with np.errstate(divide="ignore", invalid="ignore"):
        bessel = np.where(n_used > 1, n_used / (n_used - 1.0), np.nan)
    variances = [np.square(part).sum(-2) * bessel[..., None] for part in added]
    return np.stack(scales, -1), np.stack(variances, -1)
