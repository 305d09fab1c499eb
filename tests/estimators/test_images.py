"""Distances of sets of images against closed forms and definitions."""

import itertools

import numpy as np
import pytest
from scipy import linalg

from conjure_kernel.estimators.images import (
    METRICS,
    Gaussian,
    fit_gaussian,
    frechet,
    gaussian_jeffreys,
    kid,
    metric_bandwidth,
    mmd,
    pixel_features,
    set_distances,
)


@pytest.fixture
def gaussians():
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(2, 5, 5))
    return [Gaussian(rng.normal(size=5), root @ root.T + np.eye(5)) for root in roots]


def test_frechet_is_the_formula(gaussians):
    p, q = gaussians
    cross = linalg.sqrtm(p.covariance @ q.covariance).real
    gap = p.mean - q.mean
    expected = gap @ gap + np.trace(p.covariance + q.covariance - 2 * cross)
    assert frechet(p, q) == pytest.approx(expected)
    assert frechet(q, p) == pytest.approx(expected)
    assert frechet(p, p) == pytest.approx(0, abs=1e-9)


def test_jeffreys_is_half_the_sum_of_both_kl(gaussians):
    def kl(p, q):
        inverse, gap = np.linalg.inv(q.covariance), q.mean - p.mean
        logs = np.linalg.slogdet(q.covariance)[1] - np.linalg.slogdet(p.covariance)[1]
        return (np.trace(inverse @ p.covariance) + gap @ inverse @ gap - len(gap) + logs) / 2

    p, q = gaussians
    assert gaussian_jeffreys(p, q) == pytest.approx((kl(p, q) + kl(q, p)) / 2)
    assert gaussian_jeffreys(p, p) == pytest.approx(0, abs=1e-9)


def test_covariances_of_few_images_are_shrunk():
    features = np.random.default_rng(0).normal(size=(6, 40))
    fitted = fit_gaussian(features)
    np.testing.assert_allclose(fitted.mean, features.mean(0))
    assert np.linalg.eigvalsh(fitted.covariance)[0] > 0.1
    assert np.isfinite(gaussian_jeffreys(fitted, fit_gaussian(features[:3])))


@pytest.mark.parametrize(
    ("statistic", "kernel"),
    [
        (kid, lambda a, b: (a @ b / 3 + 1) ** 3),
        (lambda x, y: mmd(x, y, 0.7), lambda a, b: np.exp(-((a - b) @ (a - b)) / (2 * 0.49))),
    ],
    ids=["kid", "mmd"],
)
def test_mmd_is_the_unbiased_sum_over_pairs(statistic, kernel):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(1, size=(7, 3))
    inside = [np.mean([kernel(a, b) for a, b in itertools.permutations(s, 2)]) for s in (x, y)]
    across = np.mean([kernel(a, b) for a in x for b in y])
    assert statistic(x, y) == pytest.approx(sum(inside) - 2 * across)


@pytest.mark.parametrize("statistic", [kid, lambda x, y: mmd(x, y, 1.0)], ids=["kid", "mmd"])
def test_mmd_of_one_distribution_is_zero_on_average_and_of_two_is_not(statistic):
    rng = np.random.default_rng(0)
    same = [statistic(*rng.normal(size=(2, 8, 2))) for _ in range(400)]
    apart = [statistic(rng.normal(size=(8, 2)), rng.normal(1, size=(8, 2))) for _ in range(400)]
    error = np.std(same) / 20
    assert abs(np.mean(same)) < 4 * error
    assert np.mean(apart) > 10 * error


def test_pixel_features_are_area_means():
    images = np.random.default_rng(0).integers(256, size=(3, 16, 24, 3)).astype(np.uint8)
    features = pixel_features(images).reshape(3, 8, 8, 3)
    block = images[1, 4:6, 9:12].mean((0, 1)) / 255
    np.testing.assert_allclose(features[1, 2, 3], block)
    odd = pixel_features(np.full((2, 13, 9, 3), 51, np.uint8))
    np.testing.assert_allclose(odd, 0.2)


def all_distances(features, metric):
    """Distances of all pairs of sets (n_sets, n, d)."""
    a, b = np.triu_indices(len(features))
    bandwidth = metric_bandwidth(features, metric)
    return set_distances(features, a, b, metric, bandwidth)


@pytest.mark.parametrize("metric", METRICS)
def test_features_of_half_precision_give_what_those_of_double_do(metric):
    features = 20 * np.random.default_rng(0).normal(size=(6, 8, 40)).astype(np.float16)
    features += np.arange(6, dtype=np.float16)[:, None, None]
    double = all_distances(features.astype(np.float64), metric)
    np.testing.assert_array_equal(all_distances(features, metric), double)
    assert np.isfinite(double).all()


@pytest.mark.parametrize("metric", METRICS)
def test_sets_that_collapse_have_a_distance(metric):
    """Equal images gave NaN or a bare LinAlgError."""
    rng = np.random.default_rng(0)
    black, white = np.zeros((8, 5)), np.ones((8, 5))
    noise = rng.normal(0.5, 0.1, size=(8, 5))
    sets = np.array([black, black, white, noise, noise])
    values = np.full((5, 5), np.nan)
    values[np.triu_indices(5)] = all_distances(sets, metric)
    assert np.isfinite(values[np.triu_indices(5)]).all()
    assert values[0, 1] == pytest.approx(0, abs=1e-9)
    unbiased = metric in ("kid", "mmd")  # of equal sets these may be negative
    assert values[3, 4] <= 1e-9 if unbiased else values[3, 4] == pytest.approx(0, abs=1e-6)
    assert values[0, 2] > 0.1
    assert values[0, 3] > 0
    np.testing.assert_allclose(all_distances(np.array([black, black]), metric), 0, atol=1e-9)


def test_a_variance_that_is_not_lost_is_left_alone(gaussians):
    p, q = gaussians
    slim = p._replace(covariance=np.diag([1, 1, 1, 1, 1e-3]))
    assert gaussian_jeffreys(slim, q) == pytest.approx(plain_jeffreys(slim, q), rel=1e-9)
    flat = p._replace(covariance=np.diag([1.0, 1, 1, 1, 0]))
    assert 100 < gaussian_jeffreys(flat, q) < np.inf


def plain_jeffreys(p, q):
    inverses, gap = [np.linalg.inv(g.covariance) for g in (p, q)], p.mean - q.mean
    traces = np.trace(inverses[0] @ q.covariance + inverses[1] @ p.covariance)
    return (traces - 2 * len(gap) + gap @ sum(inverses) @ gap) / 4


def test_errors():
    with pytest.raises(ValueError, match="bandwidth=0: expected a finite number above 0"):
        mmd(np.ones((3, 2)), np.ones((3, 2)), 0)
    with pytest.raises(ValueError, match="images: expected at least 8 x 8 pixels, got 4 x 16"):
        pixel_features(np.zeros((1, 4, 16, 3), np.uint8))
    for statistic in (kid, lambda x, y: fit_gaussian(x)):
        with pytest.raises(ValueError, match="images: expected at least 2 of each prompt, got 1"):
            statistic(np.ones((1, 3)), np.ones((4, 3)))
