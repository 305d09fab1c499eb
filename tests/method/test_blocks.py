"""Distances and cosines of vectors made of blocks, and whether their errors are right."""

import numpy as np
import pytest

from conjure_kernel.method.blocks import (
    cosine_errors,
    cosine_replicates,
    cosines,
    distance_errors,
)
from conjure_kernel.method.jackknife import jackknife_se

B, D, SIDE = 8, 40, 320  # blocks, components of each, components


def test_cosines_are_those_of_numpy():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 5, SIDE)).astype(np.float32)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    expected = (left * right).sum(1) / lengths
    np.testing.assert_allclose(cosines(left, right), expected, rtol=1e-4)
    np.testing.assert_allclose(cosines(left, left), 1, rtol=1e-12)
    np.testing.assert_allclose(cosines(left, -left), -1, rtol=1e-12)
    assert cosines(left[:1], np.zeros((1, SIDE)))[0] == 0


def test_a_replicate_leaves_out_one_block():
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(2, 3, SIDE))
    replicates = cosine_replicates(left, right, B)
    assert replicates.shape == (1, B, 3)
    np.testing.assert_allclose(replicates[0, 0], cosines(left[:, D:], right[:, D:]), rtol=1e-12)
    np.testing.assert_allclose(cosine_errors(left, right, B), jackknife_se(replicates))


@pytest.mark.parametrize("common", [0.0, 0.5, 0.9])
def test_errors_are_the_spread_over_samples(common):
    rng = np.random.default_rng(2)
    found, cosine_se, distance, distance_se = [], [], [], []
    for _ in range(400):
        shared, own_a, own_b = rng.normal(size=(3, 1, SIDE))
        left = np.sqrt(common) * shared + np.sqrt(1 - common) * own_a
        right = np.sqrt(common) * shared + np.sqrt(1 - common) * own_b
        found.append(cosines(left, right)[0])
        cosine_se.append(cosine_errors(left, right, B)[0])
        distance.append(np.linalg.norm(left - right))
        distance_se.append(distance_errors(left, right, B)[0])
    assert np.std(found) == pytest.approx(np.sqrt(np.mean(np.square(cosine_se))), rel=0.15)
    assert np.std(distance) == pytest.approx(np.sqrt(np.mean(np.square(distance_se))), rel=0.15)


def test_one_block_and_equal_vectors_have_no_error():
    one = np.ones((2, SIDE))
    assert np.isnan(distance_errors(one, one, B)).all()
    assert np.isnan(distance_errors(one, 2 * one, 1)).all()
    assert np.isnan(cosine_errors(one, 2 * one, 1)).all()
    np.testing.assert_allclose(cosine_errors(one, 2 * one, B), 0, atol=1e-7)
