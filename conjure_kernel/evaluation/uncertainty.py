"""How far a figure computed from pairs may be off: a jackknife that knows which pairs share texts.

The question is what the figure would have been for other texts like these, and so for other pairs.
Pairs that share a text are not independent, so both each pair and each text (with all its pairs)
are left out in turn. With theta the figure, z = atanh(theta) for correlations, else z = theta::

    phi_e = (n - 1) (z - z without pair e), centred
    s_v   = n sqrt((E - 1) / E) (z - z without all pairs of text v); phi_e for a text in one pair
    Var(n z) = sum_v s_v^2 - sum_e phi_e^2 of pairs of two texts, at least sum_e phi_e^2

where n is the number of pairs and E the effective number of texts, 1 / sum of squared shares (the
share of a text goes with the square of its number of pairs). A text that is in every pair cannot be
another one: it counts as fixed, and the figure is one about this text. The variance of each s_v^2
gives the degrees of freedom. A difference of two correlations has the range that it takes on the
ellipse of both z. `benchmarks/interval_coverage.py` simulates what the intervals cover.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import stats

from conjure_kernel.estimators.folds import number_texts

__all__ = ["FEWEST", "Estimate", "Pairing", "estimate", "estimate_difference", "leave_out"]

FEWEST = 10  # different pairs that an interval needs
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Pairing:
    """Which of some pairs are the same two texts, and which share a text.

    Attributes
    ----------
    a, b : int arrays of shape (n,)
        Numbers of the two texts of each pair.
    n_texts : int
        Of the whole list; not all need be in these pairs.
    unit : int array of shape (n,)
        Number of the different pair that each pair is: (a, b) and (b, a) are one.
    n_units : int
        Different pairs of the whole list.
    """

    a: np.ndarray
    b: np.ndarray
    n_texts: int
    unit: np.ndarray
    n_units: int

    @classmethod
    def of(cls, left: Sequence[str], right: Sequence[str]) -> Pairing:
        """Pairing of two lists of texts."""
        n_texts, a, b = number_texts(left, right)
        low, high = np.minimum(a, b), np.maximum(a, b)
        _, unit = np.unique(low * n_texts + high, return_inverse=True)
        return cls(low, high, n_texts, unit, int(unit.max()) + 1)

    def within(self, rows: np.ndarray) -> Pairing:
        """Pairing of some of the pairs, with the numbers of the whole list."""
        return Pairing(self.a[rows], self.b[rows], self.n_texts, self.unit[rows], self.n_units)

    @property
    def n_different(self) -> int:
        """Number of different pairs."""
        return int((self.sizes > 0).sum())

    @cached_property
    def sizes(self) -> np.ndarray:
        """How often each different pair occurs, (n_units,)."""
        return np.bincount(self.unit, minlength=self.n_units)

    @cached_property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Texts of each different pair that occurs, two arrays (n_units,); else 0."""
        first, second = np.zeros((2, self.n_units), int)
        first[self.unit], second[self.unit] = self.a, self.b
        return first, second

    @cached_property
    def degree(self) -> np.ndarray:
        """Pairs of each text, (n_texts,)."""
        return self.sum_over_texts(self.sizes).astype(int)

    @cached_property
    def n_partners(self) -> np.ndarray:
        """Different pairs of each text, (n_texts,)."""
        return self.sum_over_texts((self.sizes > 0).astype(float)).astype(int)

    @property
    def fixed(self) -> np.ndarray:
        """Texts that are in every pair, bool (n_texts,)."""
        return self.degree == len(self.a)

    @property
    def repeats(self) -> bool:
        """Whether a text or a pair occurs several times."""
        return bool((self.n_partners > 1).any() or (self.sizes > 1).any())

    @property
    def n_effective(self) -> float:
        """Effective number of free texts, at least 1."""
        squares = np.where(self.fixed, 0, self.degree).astype(float) ** 2
        return float(squares.sum() ** 2 / (squares**2).sum()) if squares.any() else 1.0

    def sum_over_texts(self, values: np.ndarray) -> np.ndarray:
        """Sum of the values (n_units,) of each text's different pairs, (n_texts,)."""
        first, second = self.ends
        total = np.bincount(first, values * (self.sizes > 0), self.n_texts)
        apart = (first != second) & (self.sizes > 0)
        return total + np.bincount(second[apart], values[apart], self.n_texts)


class Estimate(NamedTuple):
    """An interval and a p-value of 0, both NaN where there are too few pairs."""

    low: float
    high: float
    p: float


def leave_out(
    figure: Callable[..., float],
    pairing: Pairing,
    columns: Sequence[np.ndarray],
    without_each: np.ndarray | None = None,
) -> np.ndarray:
    """A figure of all pairs, without each different pair and without each text.

    Parameters
    ----------
    figure : callable
        Takes the columns, arrays of shape (n,), and returns a number.
    pairing : Pairing
    columns : sequence of arrays of shape (n,)
    without_each : array of shape (n,), optional
        The figure without each pair, where there is a fast way. Default: it is computed.

    Returns
    -------
    values : array of shape (1 + n_units + n_texts,)
        The figure itself stands for a pair or a text that does not occur, and for a fixed text. All
        figures of one list of pairs are aligned, so that arithmetic on them is that on figures.
    """
    value = figure(*columns)
    without_pairs = np.full(pairing.n_units, value)
    without_texts = np.full(pairing.n_texts, value)
    single = pairing.sizes[pairing.unit] == 1
    if without_each is not None:
        without_pairs[pairing.unit[single]] = without_each[single]
    todo = pairing.sizes > (1 if without_each is not None else 0)
    for unit, rows in _groups(pairing.unit, todo):
        without_pairs[unit] = _without(figure, columns, rows)
    first, second = pairing.ends
    lone = (pairing.n_partners == 1) & ~pairing.fixed
    for ends in (first, second):
        at = (pairing.sizes > 0) & lone[ends]
        without_texts[ends[at]] = without_pairs[at]
    shared = (pairing.n_partners > 1) & ~pairing.fixed
    apart = pairing.a != pairing.b
    texts = np.concatenate([pairing.a, pairing.b[apart]])
    rows_of = np.concatenate([np.arange(len(pairing.a)), np.flatnonzero(apart)])
    for text, places in _groups(texts, shared):
        without_texts[text] = _without(figure, columns, rows_of[places])
    return np.concatenate([[value], without_pairs, without_texts])


def estimate(
    values: np.ndarray, pairing: Pairing, *, correlation: bool = True, level: float = LEVEL
) -> Estimate:
    """Interval of a figure, and the two-sided p-value of 0.

    Parameters
    ----------
    values : array of shape (1 + n_units + n_texts,)
        What `leave_out` returns, or arithmetic on it.
    pairing : Pairing
    correlation : bool
        Whether the figure is a correlation, whose errors are taken on the scale of atanh.
    level : float
        Coverage.
    """
    if pairing.n_different < FEWEST or not np.isfinite(values[0]):
        return Estimate(np.nan, np.nan, np.nan)
    scale = _atanh(values, len(pairing.a)) if correlation else values
    error, freedom = _spread(scale, pairing)
    if not np.isfinite(error):
        return Estimate(np.nan, np.nan, np.nan)
    if correlation and abs(values[0]) == 1:  # no pair could show that it is less
        error = max(error, max(min(len(pairing.a), pairing.n_effective) - 3, 1) ** -0.5)
    reach = stats.t.ppf((1 + level) / 2, freedom) * error
    low, high = scale[0] - reach, scale[0] + reach
    if correlation:
        low, high = min(np.tanh(low), values[0]), max(np.tanh(high), values[0])
    ratio = abs(scale[0]) / error if error > 0 else np.inf if scale[0] else 0.0
    return Estimate(float(low), float(high), float(2 * stats.t.sf(ratio, freedom)))


def estimate_difference(
    first: np.ndarray, second: np.ndarray, pairing: Pairing, level: float = LEVEL
) -> Estimate:
    """Interval of the difference of two correlations of the same pairs, and the p-value of 0.

    Both z are taken as normal together. The interval has the smallest and the largest difference of
    correlations within t standard errors of them, in whatever direction; it includes 0 where
    z_1 - z_2 is within t of its own standard errors.

    Parameters
    ----------
    first, second : arrays of shape (1 + n_units + n_texts,)
        What `leave_out` returns of each.
    pairing : Pairing
    level : float
        Coverage.
    """
    if pairing.n_different < FEWEST or not np.isfinite([first[0], second[0]]).all():
        return Estimate(np.nan, np.nan, np.nan)
    z = [_atanh(values, len(pairing.a)) for values in (first, second)]
    (a, _), (b, _), (error, freedom) = (_spread(v, pairing) for v in (*z, z[0] - z[1]))
    if not np.isfinite(a + b + error):
        return Estimate(np.nan, np.nan, np.nan)
    common = np.clip((a**2 + b**2 - error**2) / (2 * a * b), -1, 1) if a * b * error > 0 else 1.0
    reach = stats.t.ppf((1 + level) / 2, freedom)
    angle = np.linspace(0, 2 * np.pi, 721)
    along, across = np.cos(angle), np.sqrt(1 - common**2) * np.sin(angle)
    gaps = np.tanh(z[0][0] + reach * a * along)
    gaps = gaps - np.tanh(z[1][0] + reach * b * (common * along + across))
    gap = float(first[0] - second[0])
    low, high = min(gaps.min(), gap), max(gaps.max(), gap)
    ratio = abs(z[0][0] - z[1][0]) / error if error > 0 else np.inf if gap else 0.0
    return Estimate(float(low), float(high), float(2 * stats.t.sf(ratio, freedom)))


def _atanh(values: np.ndarray, n: int) -> np.ndarray:
    """Fisher's scale; a rank correlation of 1 is taken as half a step below it."""
    below = np.abs(values[np.abs(values) < 1])
    most = max(1 - 6 / (n * (n**2 - 1.0)), below.max(initial=0.0))
    return np.arctanh(np.clip(values, -most, most))


def _spread(z: np.ndarray, pairing: Pairing) -> tuple[float, float]:
    """Standard error of a figure, and its degrees of freedom."""
    n, sizes, fixed = len(pairing.a), pairing.sizes, pairing.fixed
    without_pairs, without_texts = z[1 : 1 + pairing.n_units], z[1 + pairing.n_units :]
    phi = (n - sizes) * (z[0] - without_pairs)
    phi -= sizes * phi.sum() / n
    own, effective = pairing.sum_over_texts(phi**2), pairing.n_effective
    s = n * np.sqrt((effective - 1) / effective) * (z[0] - without_texts)
    plain = (pairing.n_partners == 1) | ~np.isfinite(without_texts)
    s = np.where(plain, pairing.sum_over_texts(phi), s)[~fixed]
    first, second = pairing.ends
    two = ~fixed[first] & ~fixed[second] & (first != second)
    none = fixed[first] & fixed[second]
    least = (phi**2).sum()
    variance = max((s**2).sum() - (phi[two] ** 2).sum() + (phi[none] ** 2).sum(), least)
    shared = np.maximum(s**2 - own[~fixed], 0)
    spread = (shared**2).sum() + (phi**4).sum() / 3
    freedom = variance**2 / spread if spread > 0 else np.inf
    return float(np.sqrt(variance) / n), float(max(freedom, effective - 1, 1))


def _groups(numbers: np.ndarray, wanted: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Each wanted number and the places where it stands."""
    order = np.argsort(numbers, kind="stable")
    found, starts = np.unique(numbers[order], return_index=True)
    parts = np.split(order, starts[1:])
    return [(int(k), part) for k, part in zip(found, parts, strict=True) if wanted[k]]


def _without(
    figure: Callable[..., float], columns: Sequence[np.ndarray], rows: np.ndarray
) -> float:
    """The figure without some pairs; NaN where fewer than 4 are left."""
    keep = np.ones(len(columns[0]), bool)
    keep[rows] = False
    return figure(*(column[keep] for column in columns)) if keep.sum() > 3 else np.nan
