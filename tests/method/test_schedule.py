"""Noise schedules and the grids of noise levels made from them."""

import json

import numpy as np
import pytest
import torch

from conjure_kernel.method.grid import Grid, make_grid
from conjure_kernel.method.prediction import PREDICTIONS, from_eps, to_eps
from conjure_kernel.method.schedule import FlowMatching, VariancePreserving

STABLE_DIFFUSION = VariancePreserving.scaled_linear()
SCHEDULES = {
    "scaled_linear": STABLE_DIFFUSION,
    "log_linear": VariancePreserving.log_linear(),
    "flow": FlowMatching(),
}
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


def snap_to(dtype):
    return lambda times: torch.as_tensor(times).to(dtype).double().numpy()


def in_range(grid):
    """The steps after the lead-in, which goes from the model's noisy end to a range within."""
    return grid.only(slice(grid.n_lead, None))


@every_schedule
@pytest.mark.parametrize("substeps", [1, 2])
def test_a_late_range_is_led_into_from_the_models_own_noisy_end(schedule, substeps):
    grid = make_grid(schedule, 4, substeps=substeps, log_snr_range=(0, 4))
    start = max(-8, schedule.log_snr_range[0])
    assert grid.log_snr[0] == pytest.approx(start)
    assert not grid.is_node[: grid.n_lead].any()
    steps = np.diff(grid.log_snr)
    assert steps.max() < 1.01 / substeps
    assert grid.n_lead == np.ceil((grid.log_snr[grid.n_lead] - start) * substeps - 1e-6)
    own = make_grid(schedule, 4, substeps=substeps)
    assert own.n_lead == 0


@every_schedule
def test_log_snr_and_time_are_inverse(schedule):
    levels = np.linspace(-5, 5, 201)
    times = schedule.time(levels)
    assert (np.diff(times) < 0).all()
    np.testing.assert_allclose(schedule.log_snr(times), levels, atol=1e-9)


@every_schedule
def test_signal_and_noise_have_the_log_snr_they_are_asked_for(schedule):
    levels = np.linspace(-8, 8, 33)
    alpha, sigma = schedule.alpha_sigma(levels)
    np.testing.assert_allclose(np.log(alpha**2 / sigma**2), levels, atol=1e-12)
    power = 1 if isinstance(schedule, FlowMatching) else 2
    np.testing.assert_allclose(alpha**power + sigma**power, 1, atol=1e-14)


def test_a_variance_preserving_schedule_gives_its_table_back_at_integer_times():
    table = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    times = np.arange(1000)
    alpha, _ = STABLE_DIFFUSION.alpha_sigma(STABLE_DIFFUSION.log_snr(times))
    np.testing.assert_allclose(alpha**2, table, rtol=1e-12)
    np.testing.assert_allclose(STABLE_DIFFUSION.log_snr_range, [-5.36, 7.07], atol=0.01)


def test_flow_time_is_the_share_of_noise():
    alpha, sigma = FlowMatching(1000).alpha_sigma(FlowMatching(1000).log_snr(250.0))
    assert (alpha, sigma) == pytest.approx((0.75, 0.25))


@every_schedule
@pytest.mark.parametrize("nodes", ["log_snr", "timesteps"])
@pytest.mark.parametrize("substeps", [1, 2, 3])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_weights_sum_to_the_range_and_shares_of_time_to_one(schedule, nodes, substeps, dtype):
    snap = None if dtype is None else snap_to(dtype)
    options = {"substeps": substeps, "nodes": nodes, "snap": snap}
    grid = make_grid(schedule, 10, log_snr_range=(-5, 6), **options)
    assert grid.weights("jeffreys").sum() == pytest.approx((6 - -5) / 2)
    assert grid.weights("noise").sum() == grid.time_share.sum() == pytest.approx(1)
    assert (grid.d_log_snr > 0).all()
    assert (grid.time_share > 0).all()
    assert (np.diff(grid.log_snr) > 0).all()
    assert grid.n_nodes == 10


def test_the_papers_weights_are_shares_of_time_over_sigma_squared():
    grid = make_grid(STABLE_DIFFUSION, 7, substeps=2, nodes="timesteps")
    sigma2 = grid.sigma[grid.is_node] ** 2
    np.testing.assert_allclose(grid.time_share, 1 / 7)  # uniform in model time
    np.testing.assert_allclose(grid.weights("paper"), 1 / 7 / sigma2)
    np.testing.assert_allclose(grid.weights("noise"), 1 / 7)


@every_schedule
@pytest.mark.parametrize("substeps", [1, 2, 3, 4])
def test_nodes_are_midpoints_in_log_snr_whatever_the_substeps(schedule, substeps):
    grid = in_range(make_grid(schedule, 5, substeps=substeps, log_snr_range=(-5, 5)))
    np.testing.assert_allclose(grid.node_log_snr, [-4, -2, 0, 2, 4], atol=1e-9)
    np.testing.assert_allclose(grid.d_log_snr, 2, atol=1e-9)
    np.testing.assert_allclose(np.diff(grid.log_snr), 2 / substeps, atol=1e-9)
    assert len(grid.times) == 5 * substeps


@every_schedule
def test_timestep_nodes_are_midpoints_in_model_time(schedule):
    grid = in_range(make_grid(schedule, 4, nodes="timesteps", log_snr_range=(-5, 5)))
    start, end = schedule.time(np.array([-5.0, 5.0]))
    expected = start + (end - start) * np.array([1, 3, 5, 7]) / 8
    np.testing.assert_allclose(grid.times, expected)
    np.testing.assert_allclose(grid.log_snr, schedule.log_snr(expected))


@pytest.mark.parametrize(
    ("substeps", "pattern"), [(1, "x"), (2, ".x"), (3, ".x."), (4, "..x.")], ids=str
)
def test_substeps_surround_each_node(substeps, pattern):
    grid = in_range(make_grid(STABLE_DIFFUSION, 3, substeps=substeps, log_snr_range=(-3, 3)))
    assert "".join("x" if node else "." for node in grid.is_node) == 3 * pattern
    starts_at_the_end = grid.log_snr[0] == pytest.approx(-3)
    assert starts_at_the_end == (substeps % 2 == 0)


def test_nodes_only_keeps_the_measurement_and_drops_the_other_steps():
    grid = make_grid(STABLE_DIFFUSION, 4, substeps=3)
    kept = grid.nodes_only()
    assert kept.is_node.tolist() == [True] * 4
    for name in ("times", "log_snr", "alpha", "sigma"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(grid, name)[1::3])
    for weighting in ("jeffreys", "paper", "noise"):
        np.testing.assert_array_equal(kept.weights(weighting), grid.weights(weighting))


@every_schedule
@pytest.mark.parametrize("nodes", ["log_snr", "timesteps"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_snapped_times_are_representable_and_everything_else_follows_them(schedule, nodes, dtype):
    options = {"substeps": 2, "nodes": nodes, "log_snr_range": (-5, 5)}
    exact, grid = (
        in_range(make_grid(schedule, 10, snap=s, **options)) for s in (None, snap_to(dtype))
    )
    np.testing.assert_array_equal(grid.times, snap_to(dtype)(grid.times))
    assert (grid.times != exact.times).any()
    np.testing.assert_array_equal(grid.log_snr, schedule.log_snr(grid.times))
    alpha, sigma = schedule.alpha_sigma(grid.log_snr)
    np.testing.assert_array_equal(grid.alpha, alpha)
    np.testing.assert_array_equal(grid.sigma, sigma)
    if nodes == "log_snr":
        middles = (grid.node_log_snr[1:] + grid.node_log_snr[:-1]) / 2
        edges = np.concatenate([[-5.0], middles, [5.0]])
        np.testing.assert_allclose(grid.d_log_snr, np.diff(edges), atol=1e-9)
        assert not np.allclose(grid.d_log_snr, exact.d_log_snr, atol=1e-4)


def test_levels_that_coincide_in_the_networks_dtype_are_an_error():
    with pytest.raises(ValueError, match=r"n_steps=400: expected noise levels .*float32"):
        make_grid(STABLE_DIFFUSION, 400, snap=snap_to(torch.bfloat16))
    assert make_grid(STABLE_DIFFUSION, 400).n_nodes == 400


def test_zero_terminal_snr_is_never_a_level():
    # R36
    table = np.r_[np.exp(-np.linspace(0.01, 5, 999)), 0.0]
    schedule = VariancePreserving(table)
    assert np.isfinite(schedule.log_snr_range).all()
    grid = make_grid(schedule, 10, substeps=2)
    assert np.isfinite(grid.log_snr).all()
    assert (grid.alpha > 0).all()
    assert grid.times.max() == pytest.approx(998)


def test_a_noiseless_first_time_does_not_shift_the_others():
    table = np.r_[1.0, np.linspace(0.99, 0.01, 99)]
    schedule = VariancePreserving(table)
    alpha, _ = schedule.alpha_sigma(schedule.log_snr(40.0))
    assert alpha**2 == pytest.approx(table[40])
    assert schedule.time(schedule.log_snr(40.0)) == pytest.approx(40)


def test_the_default_range_is_the_models_own_within_minus_eight_to_eight():
    assert make_grid(FlowMatching(), 3).log_snr_range == (-8, 8)
    assert make_grid(VariancePreserving.log_linear(-20, 20), 3).log_snr_range == (-8, 8)
    assert make_grid(STABLE_DIFFUSION, 3).log_snr_range == STABLE_DIFFUSION.log_snr_range


@pytest.mark.parametrize("asked", [(-8, 7), (-5, 8)])
def test_a_range_outside_the_models_own_is_refused_with_both_ranges(asked):
    with pytest.raises(ValueError, match=r"expected a part of \[-5.364, 7.069\]") as caught:
        make_grid(STABLE_DIFFUSION, 3, log_snr_range=asked)
    assert f"log_snr_range={asked}" in str(caught.value)


def test_the_models_own_range_may_be_asked_for_with_rounded_ends():
    low, high = STABLE_DIFFUSION.log_snr_range
    grid = make_grid(STABLE_DIFFUSION, 3, log_snr_range=(low - 1e-7, high + 1e-7))
    assert grid.log_snr_range == (low, high)


@every_schedule
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_parametrisation_says_the_same_noise(schedule, prediction):
    generator = torch.Generator().manual_seed(0)
    x_0, eps = torch.randn(2, 50, dtype=torch.float64, generator=generator)
    for level in (-5.0, 0.0, 5.0):
        alpha, sigma = (float(part) for part in schedule.alpha_sigma(level))
        x_t = alpha * x_0 + sigma * eps
        output = from_eps(eps, x_t, alpha, sigma, prediction)
        by_definition = {
            "epsilon": eps,
            "v_prediction": alpha * eps - sigma * x_0,
            "sample": x_0,
            "flow": eps - x_0,
            "inverted_flow": x_0 - eps,
        }
        v = (eps - sigma * x_t) / (1 - sigma**2) ** 0.5
        by_definition |= {"edm_v_prediction": v, "edm_epsilon": -v}
        torch.testing.assert_close(output, by_definition[prediction], rtol=1e-9, atol=1e-9)
        again = to_eps(output, x_t, alpha, sigma, prediction)
        torch.testing.assert_close(again, eps, rtol=1e-9, atol=1e-9)


@every_schedule
def test_a_grid_survives_json_exactly(schedule):
    grid = make_grid(schedule, 5, substeps=2, log_snr_range=(-2, 2)).thinned()
    again = Grid.from_dict(json.loads(json.dumps(grid.to_dict())))
    assert again.log_snr_range == grid.log_snr_range
    assert again.is_node.dtype == bool
    for name in vars(grid):
        np.testing.assert_array_equal(getattr(again, name), getattr(grid, name))
