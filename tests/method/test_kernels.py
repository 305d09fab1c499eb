"""From divergences to kernels: bandwidth, warnings, and negative eigenvalues."""

import re
import warnings

import numpy as np
import pytest

from conjure_kernel.method.kernels import (
    FittedKernel,
    check_psd,
    jeffreys_kernel,
    median_bandwidth,
    psd_projection,
    smallest_eigenvalue,
    warn_if_flat,
)
from conjure_kernel.models.gaussian import GaussianDenoiser


@pytest.fixture(scope="module")
def divergences():
    """True J of 60 random 1-D Gaussians: no squared Euclidean distance."""
    rng = np.random.default_rng(0)
    world = GaussianDenoiser(2 * rng.normal(size=(60, 1)), list(np.exp(rng.normal(size=60))))
    found = [[world.exact(a, b).jeffreys for b in world.prompts] for a in world.prompts]
    return (np.array(found) + np.array(found).T) / 2


@pytest.fixture(scope="module")
def kernel(divergences):
    return jeffreys_kernel(divergences, median_bandwidth(divergences))


def test_the_bandwidth_is_the_median_of_what_is_apart():
    matrix = np.array([[0, 1, 0, 5], [1, 0, 1, 9], [0, 1, 0, 5], [5, 9, 5, 0.0]])
    assert median_bandwidth(matrix) == np.median([1, 5, 1, 9, 5])
    assert median_bandwidth(np.array([[0, 3.0], [3.0, 0]])) == 3.0


@pytest.mark.parametrize("n", [1, 3])
def test_without_anything_apart_the_bandwidth_is_one(n):
    assert median_bandwidth(np.zeros((n, n))) == 1.0


def test_the_kernel_is_exp_of_minus_j_over_h(divergences):
    kernel = jeffreys_kernel(divergences, 2.0)
    np.testing.assert_allclose(-2 * np.log(kernel), divergences, atol=1e-12)
    assert (np.diag(kernel) == 1).all()
    assert ((kernel >= 0) & (kernel <= 1)).all()
    assert (kernel == kernel.T).all()


@pytest.mark.parametrize(("factor", "looks"), [(1e-3, "the identity"), (1e4, "constant")])
def test_a_flat_kernel_is_warned_about_with_a_usable_bandwidth(divergences, factor, looks):
    # R9
    usable = median_bandwidth(divergences)
    bandwidth = factor * usable
    message = rf"bandwidth={bandwidth:.4g}: .*nearly {looks}.*\"median\", here {usable:.4g}"
    with pytest.warns(UserWarning, match=message.replace("+", r"\+")):
        warn_if_flat(jeffreys_kernel(divergences, bandwidth), divergences, bandwidth)


@pytest.mark.parametrize("factor", [0.2, 1.0, 10.0])
def test_a_usable_kernel_is_not_warned_about(divergences, factor):
    bandwidth = factor * median_bandwidth(divergences)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_flat(jeffreys_kernel(divergences, bandwidth), divergences, bandwidth)


@pytest.mark.parametrize(
    "divergences", [np.zeros((1, 1)), np.zeros((3, 3)), np.kron([[0, 2], [2, 0]], np.ones((4, 4)))]
)
def test_equal_prompts_are_no_reason_to_warn(divergences):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_flat(jeffreys_kernel(divergences, 2.0), divergences, 2.0)


def test_exp_of_minus_j_has_negative_eigenvalues(kernel):
    eigenvalues = np.linalg.eigvalsh(kernel)
    assert smallest_eigenvalue(kernel) == pytest.approx(eigenvalues[0])
    assert eigenvalues[0] < -0.05


def test_clipping_gives_the_nearest_positive_semidefinite_kernel(kernel):
    # R19
    smallest, clipping = check_psd(kernel, "clip")
    clipped = kernel @ clipping
    eigenvalues, vectors = np.linalg.eigh(kernel)
    nearest = (vectors * eigenvalues.clip(0)) @ vectors.T
    np.testing.assert_allclose(clipped, nearest, atol=1e-12)
    assert smallest == smallest_eigenvalue(kernel)
    assert smallest_eigenvalue((clipped + clipped.T) / 2) > -1e-10
    np.testing.assert_allclose(clipping @ clipping, clipping, atol=1e-12)


def test_new_prompts_go_through_the_same_map_as_fitted_ones(kernel):
    # R19: fitted on 40; 20 are new, of which one repeats a fitted prompt
    _, clipping = check_psd(kernel[:40, :40], "clip")
    fitted, new = kernel[:40, :40] @ clipping, kernel[40:, :40] @ clipping
    np.testing.assert_allclose((kernel[7:8, :40] @ clipping)[0], fitted[7], atol=1e-12)
    np.testing.assert_allclose(new, new @ clipping, atol=1e-12)  # nothing left to clip away
    assert np.abs(new - kernel[40:, :40]).max() < 0.2


def test_what_is_not_positive_is_told_with_how_negative_and_what_to_do(kernel):
    number = f"{smallest_eigenvalue(kernel):.3g}"
    message = rf"smallest eigenvalue {number}, trace 60.*psd=\"clip\""
    with pytest.raises(ValueError, match=message):
        check_psd(kernel, "raise")
    assert check_psd(kernel, "warn") == (smallest_eigenvalue(kernel), None)
    divergences = -np.log(kernel)
    assert re.search(message, FittedKernel.fit(divergences, 1.0, "warn").complaint)
    assert not FittedKernel.fit(divergences, 1.0, "clip").complaint


@pytest.mark.parametrize("psd", ["warn", "raise", "clip"])
def test_a_semidefinite_kernel_is_left_alone(psd):
    # R17: rounding errors of a singular kernel are no news
    rows = np.random.default_rng(0).normal(size=(30, 2))
    smallest, clipping = check_psd(rows @ rows.T, psd)
    assert smallest == pytest.approx(0, abs=1e-10)
    assert clipping is None


def test_clipping_a_semidefinite_kernel_changes_nothing():
    rows = np.random.default_rng(0).normal(size=(4, 6))
    np.testing.assert_allclose(psd_projection(rows @ rows.T), np.eye(4), atol=1e-12)


def test_the_root_of_j_obeys_no_triangle_inequality():
    world = GaussianDenoiser(np.zeros((3, 1)), [1.0, 10.0, 100.0])
    one, ten, hundred = world.prompts

    def distance(a, b):
        return world.exact(a, b).jeffreys ** 0.5

    detour = distance(one, ten) + distance(ten, hundred)
    assert distance(one, hundred) == pytest.approx(4.95, abs=0.005)
    assert detour == pytest.approx(2.85, abs=0.005)
