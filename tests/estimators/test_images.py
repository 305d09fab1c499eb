"""Distances of sets of images against closed forms and definitions."""

import itertools

import numpy as np
import pytest
from scipy import linalg

from conjure_kernel.estimators.images import (
    Gaussian,
    fit_gaussian,
    frechet,
    gaussian_jeffreys,
    kid,
    mmd,
    pixel_features,
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


def test_errors():
    with pytest.raises(ValueError, match="images: expected at least 8 x 8 pixels, got 4 x 16"):
        pixel_features(np.zeros((1, 4, 16, 3), np.uint8))
    for statistic in (kid, lambda x, y: fit_gaussian(x)):
        with pytest.raises(ValueError, match="images: expected at least 2 of each prompt, got 1"):
            statistic(np.ones((1, 3)), np.ones((4, 3)))
