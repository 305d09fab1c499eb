"""Delete-one-draw jackknife: equal to what is known of means, and to a loop for the rest."""

import numpy as np
import pytest
from scipy import stats

from conjure_kernel.method.jackknife import jackknife_se, leave_one_out


@pytest.fixture
def draws():
    return np.random.default_rng(0).gamma(2.0, size=(30, 6, 1))


def test_a_mean_without_each_draw(draws):
    replicates = leave_one_out(draws)
    assert replicates.shape == (1, 6, 30)
    for k in range(6):
        without = np.delete(draws[..., 0], k, axis=1).mean(1)
        np.testing.assert_allclose(replicates[0, k], without, rtol=1e-12)


def test_chains_are_left_out_one_at_a_time_and_their_variances_add_up():
    draws = np.random.default_rng(0).gamma(2.0, size=(30, 6, 3))
    replicates = leave_one_out(draws)
    assert replicates.shape == (3, 6, 30)
    means = draws.mean(1)
    without = np.delete(draws[:, :, 1], 4, axis=1).mean(1)
    np.testing.assert_allclose(replicates[1, 4], means[:, 0] + without + means[:, 2])
    variances = draws.var(1, ddof=1) / 6
    np.testing.assert_allclose(jackknife_se(replicates), np.sqrt(variances.sum(1)))


def test_the_error_of_a_mean_is_the_standard_error(draws):
    errors = jackknife_se(leave_one_out(draws))
    np.testing.assert_allclose(errors, stats.sem(draws[..., 0], axis=1), rtol=1e-9)


def test_rounding_makes_no_mean_negative():
    draws = np.array([[0.1, 0.0, 0.0, 0.0], [1e9, 1e-9, 0, 0]])[..., None]
    assert leave_one_out(draws).min() >= 0
    assert leave_one_out(-draws).min() < 0


def test_one_draw_is_refused():
    with pytest.raises(ValueError, match="n_draws=1: expected at least 2"):
        leave_one_out(np.ones((3, 1, 1)))
