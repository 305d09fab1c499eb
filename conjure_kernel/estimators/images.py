"""Distances of two sets of images by their features: baselines that need no diffusion.

`frechet` and `gaussian_jeffreys` summarise each set by a Gaussian with a shrunk covariance (Ledoit
& Wolf 2004), as sets are small; `kid` and `mmd` compare the sets themselves, with the cubic kernel
of KID (Binkowski et al. 2018) or a Gaussian one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import cdist, pdist
from sklearn.covariance import ledoit_wolf

from conjure_kernel._checks import check_choice, check_number

__all__ = ["METRICS", "Gaussian", "check_features", "fit_gaussian", "frechet", "kid"]
__all__ += ["gaussian_jeffreys", "median_distance", "metric_bandwidth", "mmd", "pixel_features"]
__all__ += ["set_distances", "without_groups"]

GROUPS = 8  # of images, left out one at a time for a standard error
MEDIAN_OF = 1000  # images
NARROWEST = 1e-6  # variance, relative to what sets two Gaussians apart


class Gaussian(NamedTuple):
    """Mean (d,) and covariance (d, d) of the features of a set of images."""

    mean: np.ndarray
    covariance: np.ndarray


def pixel_features(images: np.ndarray, side: int = 8) -> np.ndarray:
    """Images shrunk to side x side pixels by area means.

    The simplest features, which need no second network; those of a network see more.

    Parameters
    ----------
    images : uint8 array of shape (n, height, width, channels)
    side : int, default 8
        At most the height and the width.

    Returns
    -------
    features : float64 array of shape (n, side * side * channels)
        In [0, 1].
    """
    n, height, width, channels = images.shape
    if height < side or width < side:
        raise ValueError(
            f"images: expected at least {side} x {side} pixels, got {height} x {width}; "
            "pass other features."
        )
    rows, columns = (np.linspace(0, size, side + 1).round().astype(int) for size in (height, width))
    summed = np.add.reduceat(images.astype(np.float64), rows[:-1], axis=1)
    summed = np.add.reduceat(summed, columns[:-1], axis=2)
    areas = np.diff(rows)[:, None, None] * np.diff(columns)[:, None]
    return (summed / areas / 255).reshape(n, side * side * channels)


def fit_gaussian(features: np.ndarray) -> Gaussian:
    """Gaussian of features (n, d), n >= 2, its covariance shrunk towards a multiple of I."""
    features = np.asarray(features, dtype=np.float64)
    _check_sizes(features)
    return Gaussian(features.mean(0), ledoit_wolf(features)[0])


def frechet(p: Gaussian, q: Gaussian) -> float:
    """Frechet distance, squared: |m - n|^2 + tr(S + R - 2 (S R)^(1/2)); FID on its features."""
    p, q = _in_double(p), _in_double(q)
    values, vectors = np.linalg.eigh(p.covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ q.covariance @ root).clip(0)).sum()
    gap = p.mean - q.mean
    apart = gap @ gap + np.trace(p.covariance) + np.trace(q.covariance) - 2 * cross
    return max(0.0, float(apart))


def gaussian_jeffreys(p: Gaussian, q: Gaussian) -> float:
    """Half the sum of both KL divergences of two Gaussians, in nats.

    Standard deviations count as at least a thousandth of what sets the two apart (both variances
    and the gap of the means), so that the result is finite where all images of a set are equal.
    """
    p, q = _with_width(_in_double(p), _in_double(q))
    gap = p.mean - q.mean
    if not gap.any() and np.array_equal(p.covariance, q.covariance):
        return 0.0
    mixed = np.linalg.solve(p.covariance, q.covariance), np.linalg.solve(q.covariance, p.covariance)
    means = gap @ np.linalg.solve(p.covariance, gap) + gap @ np.linalg.solve(q.covariance, gap)
    apart = np.trace(mixed[0]) + np.trace(mixed[1]) - 2 * len(gap) + means
    return max(0.0, float(apart) / 4)


def kid(x: np.ndarray, y: np.ndarray) -> float:
    """Squared MMD of features (n, d) and (m, d) with the kernel (x . y / d + 1)^3, unbiased."""
    x, y = (np.asarray(side, dtype=np.float64) for side in (x, y))
    d = x.shape[1]
    return _mmd(*((a @ b.T / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))))


def mmd(x: np.ndarray, y: np.ndarray, bandwidth: float) -> float:
    """Squared MMD with the kernel exp(-|x - y|^2 / (2 h^2)), unbiased: it may be negative."""
    x, y = (np.asarray(side, dtype=np.float64) for side in (x, y))
    bandwidth = check_number(bandwidth, "bandwidth", least=0, exclusive=True)
    scale = 2 * bandwidth**2
    pairs = ((x, x), (y, y), (x, y))
    return _mmd(*(np.exp(-cdist(a, b, "sqeuclidean") / scale) for a, b in pairs))


def median_distance(features: np.ndarray) -> float:
    """Median distance of the images of all sets, features (n_sets, n, d): a bandwidth for MMD.

    Where more than half of the distances are 0 it is the median of the others; where all are, 1.
    """
    pool = np.asarray(features, dtype=np.float64).reshape(-1, features.shape[-1])
    distances = pdist(pool[:: max(1, len(pool) // MEDIAN_OF)])
    median = np.median(distances)
    if not median:
        distances = distances[distances > 0]
        median = np.median(distances) if len(distances) else 1.0
    return float(median)


def set_distances(
    features: np.ndarray, a: np.ndarray, b: np.ndarray, metric: str, bandwidth: float
) -> np.ndarray:
    """Distances between the sets a[i] and b[i] of features.

    Parameters
    ----------
    features : array of shape (n_sets, n, d)
    a, b : int arrays of shape (n_pairs,)
        Positions of sets.
    metric : str
        One of the `METRICS`.
    bandwidth : float
        What `metric_bandwidth` gives; not used by a metric that has none.

    Returns
    -------
    distances : float64 array of shape (n_pairs,)
    """
    chosen = METRICS[check_choice(metric, "metric", tuple(METRICS))]
    sets = [chosen.summarise(of_set) for of_set in np.asarray(features, dtype=np.float64)]
    return np.array(
        [chosen.distance(sets[i], sets[j], bandwidth) for i, j in zip(a, b, strict=True)]
    )


class Metric(NamedTuple):
    """What to keep of a set of features, and the distance of two such sets."""

    summarise: Callable[[np.ndarray], Any]
    distance: Callable[[Any, Any, float], float]
    has_bandwidth: bool = False


METRICS = {
    "kid": Metric(np.asarray, lambda x, y, _: kid(x, y)),
    "mmd": Metric(np.asarray, mmd, has_bandwidth=True),
    "frechet": Metric(fit_gaussian, lambda p, q, _: frechet(p, q)),
    "gaussian_jeffreys": Metric(fit_gaussian, lambda p, q, _: gaussian_jeffreys(p, q)),
}


def metric_bandwidth(features: np.ndarray, metric: str) -> float:
    """Median distance of the images of all sets if the metric has a bandwidth, else NaN."""
    chosen = METRICS[check_choice(metric, "metric", tuple(METRICS))]
    return median_distance(features) if chosen.has_bandwidth else np.nan


def without_groups(features: np.ndarray, n_groups: int = GROUPS) -> list[np.ndarray]:
    """Features (n_sets, n, d) without each of some groups of images, for a jackknife."""
    groups = np.arange(features.shape[1]) % n_groups
    return [features[:, groups != group] for group in range(n_groups)]


def check_features(features: np.ndarray) -> np.ndarray:
    """Float64 features (n_sets, n, d), all finite."""
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 3 or not np.isfinite(rows).all():
        raise ValueError(
            "features: expected finite numbers of shape (n, d), one row an image, got shape "
            f"{rows.shape[1:]} with {np.sum(~np.isfinite(rows))} numbers not finite."
        )
    return rows


def _in_double(gaussian: Gaussian) -> Gaussian:
    return Gaussian(*(np.asarray(part, dtype=np.float64) for part in gaussian))


def _with_width(p: Gaussian, q: Gaussian) -> tuple[Gaussian, Gaussian]:
    """Two Gaussians none of whose variances is below a millionth of their common scale."""
    gap = p.mean - q.mean
    scale = (gap @ gap + np.trace(p.covariance) + np.trace(q.covariance)) / len(gap)
    if not scale > 0:
        return p, q
    return _widened(p, NARROWEST * scale), _widened(q, NARROWEST * scale)


def _widened(gaussian: Gaussian, least: float) -> Gaussian:
    """The Gaussian, its eigenvalues at least `least`."""
    covariance = gaussian.covariance
    try:
        np.linalg.cholesky(covariance - least * np.eye(len(covariance)))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        covariance = (vectors * values.clip(least)) @ vectors.T
    return gaussian._replace(covariance=covariance)


def _mmd(xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> float:
    within = 0.0
    for square in (xx, yy):
        _check_sizes(square)
        within += (square.sum() - np.trace(square)) / (len(square) * (len(square) - 1))
    return float(within - 2 * xy.mean())


def _check_sizes(features: np.ndarray) -> None:
    if len(features) < 2:
        raise ValueError(f"images: expected at least 2 of each prompt, got {len(features)}.")
