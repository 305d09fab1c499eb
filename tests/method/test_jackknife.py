"""Delete-one-draw jackknife: equal to what is known of means, and to a loop for the rest."""

import numpy as np
import pytest
from scipy import stats

from conjure_kernel.method.jackknife import jackknife_se, leave_one_out


@pytest.fixture
def draws():
    return np.random.default_rng(0).gamma(2.0, size=(30, 6))


def test_a_mean_without_each_draw(draws):
    replicates = leave_one_out(draws)
    assert replicates.shape == (6, 30)
    for k in range(6):
        np.testing.assert_allclose(replicates[k], np.delete(draws, k, axis=1).mean(1), rtol=1e-12)


def test_the_error_of_a_mean_is_the_standard_error(draws):
    errors = jackknife_se(leave_one_out(draws))
    np.testing.assert_allclose(errors, stats.sem(draws, axis=1), rtol=1e-9)


def test_rounding_makes_no_mean_negative():
    draws = np.array([[0.1, 0.0, 0.0, 0.0], [1e9, 1e-9, 0, 0]])
    assert leave_one_out(draws).min() >= 0
    assert leave_one_out(-draws).min() < 0


def test_one_draw_is_refused():
    with pytest.raises(ValueError, match="n_draws=1: expected at least 2"):
        leave_one_out(np.ones((3, 1)))
