"""Confidence intervals of positive figures from a few skewed draws."""

from __future__ import annotations

from numbers import Real

import numpy as np
from scipy import special

from conjure_kernel._checks import quote
from conjure_kernel.method.draws import ratio

__all__ = ["freedom_of", "positive_interval", "total_of"]


def positive_interval(
    values: np.ndarray,
    means: np.ndarray,
    variances: np.ndarray,
    n_draws: np.ndarray,
    level: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Interval v exp(+- t r) of positive figures v whose logarithm is a sum of independent parts.

    r^2 is the sum of V + K V^2 / (2 m^2) over the parts, of which V is the variance, and m the mean
    of the positive draws that make the part; for a sum v both are relative to v. The second term is
    the error of V itself: positive draws are skewed, and where the large ones are missing V is too
    small, too; it is that of log-normal draws (Cox's method; Land 1972). The degrees of freedom of
    t are the geometric mean of Satterthwaite's, which are too few where there are few draws, and of
    their upper bound.

    Parameters
    ----------
    values : array of shape (...)
        The figures v.
    means, variances : arrays of shape (..., G, L)
        Those of the parts of log v: G chains of L legs.
    n_draws : int array of shape (...)
        Of each part.
    level : float
        Coverage, strictly between 0 and 1.

    Raises
    ------
    ValueError
        `level` is not between 0 and 1.
    """
    if not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"level={quote(level)}: expected a number between 0 and 1, as 0.95.")
    skew = total_of(ratio(variances, means) ** 2) * n_draws / 2
    quantile = special.stdtrit(freedom_of(variances, n_draws), (1 + level) / 2)
    factor = np.exp(quantile * np.sqrt(total_of(variances) + skew))
    return values / factor, values * factor


def freedom_of(variances: np.ndarray, n_draws: np.ndarray) -> np.ndarray:
    """Degrees of freedom of the sum of these variances (..., G, L) of means of n draws; (...)."""
    few, n_parts = np.where(n_draws > 1, n_draws - 1.0, np.nan), np.prod(variances.shape[-2:])
    spread = ratio(total_of(variances**2), total_of(variances) ** 2, empty=1.0)
    return few * np.sqrt(n_parts / spread)


def total_of(parts: np.ndarray) -> np.ndarray:
    """Sum of parts (..., G, L), both legs of a chain first: swapped prompts change no bit."""
    return parts.sum(-1).sum(-1)
