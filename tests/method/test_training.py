"""The rules for checkpoints in a row: intervals that cover, ranks, turning points, spread."""

import numpy as np
import pytest

from conjure_kernel.method.jackknife import leave_one_out
from conjure_kernel.method.training import (
    Figure,
    estimate,
    ranks,
    spread_replicates,
    told,
    turning_point,
)


@pytest.mark.parametrize(("n_draws", "positive"), [(2, True), (4, True), (4, False)])
def test_intervals_cover(n_draws, positive):
    rng, n_chains, n = np.random.default_rng(0), 3, 4000
    draws = np.exp(0.4 * rng.standard_normal((n, n_draws, n_chains)))
    values = draws.mean(1).sum(-1)
    figure = estimate(values, leave_one_out(draws), positive=positive)
    truth = n_chains * np.exp(0.08)
    covered = ((figure.low < truth) & (truth < figure.high)).mean()
    assert 0.92 < covered < 0.985
    wide = estimate(values, leave_one_out(draws), positive=positive, family=20)
    assert (wide.low < figure.low).all()


def test_what_is_0_has_no_error_and_one_draw_no_interval():
    zero = estimate(np.zeros(2), np.zeros((1, 3, 2)))
    assert (zero.high == 0).all()
    alone = estimate(1.0, np.full((1, 3), np.nan))
    assert told(alone, 0.5) is None


def test_a_verdict_needs_its_whole_interval_on_one_side():
    figure = Figure(*map(np.float64, (1.0, 0.1, 0.8, 1.2)))
    assert told(figure, 0.5) is True
    assert told(figure, 1.1) is None
    assert told(figure, 2.0) is False
    assert told(figure, 2.0, above=False) is True
    assert told(figure, 0.5, above=False) is False


def test_ranks_are_as_sure_as_the_intervals():
    low, high = np.array([5.0, 3.0, 2.5, 0.0]), np.array([6.0, 4.0, 3.5, 1.0])
    least, most = ranks(low, high)
    assert least.tolist() == [1, 2, 2, 4]
    assert most.tolist() == [1, 3, 3, 4]


def test_the_turning_point_is_where_collateral_grows_faster_and_is_told_only_if_sure():
    reach, collateral = np.array([1.0, 5.0, 9.0, 9.5, 9.6]), np.array([0.1, 0.3, 0.6, 2.0, 6.0])
    exact = [np.tile(side, (3, 4, 1)) for side in (reach, collateral)]
    turning = turning_point(reach, collateral, tuple(exact))
    assert (turning.first, turning.told, turning.share) == (2, 2, 1.0)
    assert turning.excess.value == pytest.approx([-3.8, -3.7, 0.9, 3.9])
    draws = np.random.default_rng(0).normal(size=(5, 4, 3)) * 0.6
    noise = leave_one_out(draws - draws.mean(1, keepdims=True))
    unsure = turning_point(reach, collateral, (exact[0] + noise, exact[1]))
    assert unsure.first == 2
    assert unsure.told == 3
    assert unsure.share < 1
    assert turning_point(reach, 0 * reach, (exact[0], 0 * exact[0])).first is None
    assert turning_point(reach[:1], reach[:1], (exact[0][..., :1],) * 2).first is None


def test_the_spread_is_the_variance_between_draws_and_its_error_covers():
    rng, ratios = np.random.default_rng(1), []
    for _ in range(400):
        states = rng.standard_normal((4, 3, 20)) * np.sqrt([1.0, 2.0, 3.0])[:, None]
        value, parts = spread_replicates(states)
        figure = estimate(value, parts)
        ratios.append((value / (6 * 20), figure.low < 6 * 20 < figure.high))
    values, covered = np.array(ratios).T
    assert values.mean() == pytest.approx(1, abs=0.02)
    assert 0.9 < covered.mean() < 0.995
    assert np.isnan(spread_replicates(np.zeros((2, 1, 3)))[1]).all()
