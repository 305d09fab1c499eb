"""The reverse chain: its noise, its law and how fast it converges.

The chain is linear in its noise when the denoiser is Gaussian. With the numbers of step i replaced
by the i-th unit vector (`unit_noise`) a state is its own list of coefficients, so that mean and
variance are known without any Monte Carlo error.
"""

import math
import random

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from conjure_kernel.method import reverse
from conjure_kernel.method.grid import make_grid
from conjure_kernel.method.reverse import (
    SAMPLERS,
    ChainSettings,
    ReverseChain,
    Sampler,
    standard_normal,
)
from conjure_kernel.method.schedule import FlowMatching, VariancePreserving
from conjure_kernel.models.gaussian import GaussianDenoiser

SCHEDULES = {"vp": VariancePreserving.log_linear(-8, 8, 100_000), "flow": FlowMatching()}
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


def numbers(n=5, **changes):
    return standard_normal((n,), **{"seed": 0, "prompt": "a dog", "draw": 0, "step": 0, **changes})


def run(grid, sampler, predict, *, rows=(("a", 0),), shape=(1,), dtype=torch.float64, **options):
    """States at every level of chains whose noise prediction is `predict(x, alpha, sigma)`."""
    prompts, draws = zip(*rows, strict=True)
    chain = ReverseChain(
        ChainSettings(grid, sampler, **options), prompts, draws, shape, dtype=dtype
    )
    states = [chain.x]
    for alpha, sigma in zip(grid.alpha, grid.sigma, strict=True):
        chain.advance(predict(states[-1], alpha, sigma))
        states.append(chain.x)
    return torch.stack(states[:-1])


def gaussian(variance):
    """Exact noise prediction of N(0, variance)."""
    return lambda x, alpha, sigma: sigma * x / (alpha**2 * variance + sigma**2)


def constant(x_0):
    """Noise prediction of a denoiser that always answers x_0."""
    return lambda x, alpha, sigma: (x - alpha * x_0) / sigma


@pytest.fixture
def unit_noise(monkeypatch):
    def unit(shape, *, seed, prompt, draw, step, chain, role):
        return torch.eye(*shape)[step + 1]

    monkeypatch.setattr(reverse, "standard_normal", unit)


# Noise


def test_noise_is_fixed_by_seed_prompt_draw_and_step_for_all_time():
    # Another value here means that every cached distance changes: bump the estimator's version.
    expected = [-0.04145, -0.24194, 0.40306, 0.50988, 0.21218]
    np.testing.assert_allclose(numbers().numpy(), expected, atol=1e-4)
    assert torch.equal(numbers(), numbers())


@pytest.mark.parametrize(
    "change",
    [
        *({"seed": 1}, {"prompt": "a dog "}, {"prompt": ""}, {"draw": 1}, {"step": 1}),
        *({"chain": 1}, {"role": 1}),
    ],
    ids=str,
)
def test_noise_changes_with_each_of_its_names(change):
    assert not torch.isclose(numbers(), numbers(**change)).any()


def test_names_do_not_run_into_each_other():
    assert not torch.equal(numbers(seed=1, draw=11), numbers(seed=11, draw=1))
    assert not torch.equal(numbers(draw=1, step=11), numbers(draw=11, step=1))
    assert not torch.equal(numbers(step=1, prompt="1 x"), numbers(step=11, prompt=" x"))


def test_noise_is_standard_normal_and_independent_between_names():
    n = 100_000
    changes = [{}, {"prompt": "a cat"}, {"draw": 1}, {"step": 1}, {"seed": 1}]
    changes += [{"chain": 1}, {"role": 1}]
    rows = torch.stack([numbers(n, **change) for change in changes]).double()
    gap = rows @ rows.T / n - torch.eye(len(changes))
    assert gap.abs().max() < 4 * math.sqrt(2 / n)
    assert rows.mean(1).abs().max() < 4 / math.sqrt(n)
    assert (rows**4).mean(1).sub(3).abs().max() < 4 * math.sqrt(96 / n)


@every_sampler
def test_a_row_is_the_same_whatever_other_rows_their_order_and_how_many_draws(sampler):
    # R5, R46: bit for bit
    grid = make_grid(SCHEDULES["vp"], 4, substeps=2)
    options = {"shape": (3, 2), "dtype": torch.float32}
    alone = run(grid, sampler, gaussian(0.3), rows=[("a", 1)], **options)
    many = [("b", 0), ("a", 1), ("a", 0), ("c", 1), ("a", 2)]
    together = run(grid, sampler, gaussian(0.3), rows=many, **options)
    backwards = run(grid, sampler, gaussian(0.3), rows=many[::-1], **options)
    assert torch.equal(together[:, 1:2], alone)
    assert torch.equal(backwards, together.flip(1))


@every_sampler
def test_another_seed_prompt_or_draw_is_another_trajectory(sampler):
    grid = make_grid(SCHEDULES["vp"], 4)
    rows = [("a", 0), ("b", 0), ("a", 1)]
    states = run(grid, sampler, gaussian(0.3), rows=rows)[-1]
    other = run(grid, sampler, gaussian(0.3), rows=rows, seed=1)[-1]
    assert torch.cat([states, other]).unique().numel() == 6


@every_sampler
def test_shared_noise_is_the_same_for_every_prompt_and_not_for_every_draw(sampler):
    grid = make_grid(SCHEDULES["vp"], 4)
    rows = [("a", 0), ("b", 0), ("b", 1)]
    states = run(grid, sampler, gaussian(0.3), rows=rows, shared_noise=True)
    assert torch.equal(states[:, 0], states[:, 1])
    assert not torch.isclose(states[:, 0], states[:, 2]).any()


def test_no_global_random_state_is_touched_or_read():
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first = run(make_grid(SCHEDULES["vp"], 4), "sde", gaussian(1.0))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]
    with torch.random.fork_rng():
        torch.manual_seed(7)
        assert torch.equal(run(make_grid(SCHEDULES["vp"], 4), "sde", gaussian(1.0)), first)


# Law


@every_schedule
@every_sampler
@pytest.mark.parametrize("substeps", [1, 2, 3])
@pytest.mark.usefixtures("unit_noise")
def test_the_first_state_has_the_size_of_the_first_level(schedule, sampler, substeps):
    grid = make_grid(schedule, 2, substeps=substeps)
    start = run(grid, sampler, gaussian(1.0), shape=(10,))[0]
    size = math.hypot(grid.alpha[0], grid.sigma[0])
    np.testing.assert_allclose(start.norm(), size)
    if isinstance(schedule, FlowMatching):
        assert size < 0.99


@every_schedule
@every_sampler
@pytest.mark.parametrize("substeps", [1, 2, 3])
def test_a_constant_clean_prediction_is_reached_exactly_whatever_the_steps(
    schedule, sampler, substeps
):
    grid = make_grid(schedule, 3, substeps=substeps)
    chain = ReverseChain(ChainSettings(grid, sampler), ["a"], [0], (1,), dtype=torch.float64)
    for alpha, sigma in zip(grid.alpha, grid.sigma, strict=True):
        x_0 = chain.advance(constant(2.5)(chain.x, alpha, sigma))
        torch.testing.assert_close(x_0, torch.full((1, 1), 2.5, dtype=torch.float64))


@every_schedule
@pytest.mark.parametrize("sampler", ["ode", "ode1"])
@pytest.mark.parametrize("substeps", [1, 2])
def test_the_ode_of_a_constant_keeps_its_noise(schedule, sampler, substeps):
    grid = make_grid(schedule, 4, substeps=substeps)
    states = run(grid, sampler, constant(2.5))[:, 0, 0].numpy()
    noise = (states - 2.5 * grid.alpha) / grid.sigma
    np.testing.assert_allclose(noise[1:], noise[1], rtol=1e-10)
    if substeps == 2:  # the start step takes the mean of the noisiest level in as well
        z = standard_normal((1,), seed=0, prompt="a", draw=0, step=reverse.START)
        np.testing.assert_allclose(noise[1], z.double().numpy(), rtol=1e-10)


@every_schedule
@pytest.mark.parametrize("sampler", ["sde", "sde1"])
@pytest.mark.usefixtures("unit_noise")
def test_the_sde_of_a_constant_has_exactly_the_noise_of_each_level(schedule, sampler):
    grid = make_grid(schedule, 4, substeps=2)
    states = run(grid, sampler, constant(0.0), shape=(9,))[1:, 0]
    np.testing.assert_allclose(states.norm(dim=1), grid.sigma[1:], rtol=1e-7)


def linear(level):
    return 0.7 - 0.4 * level


@every_schedule
@pytest.mark.usefixtures("unit_noise")
def test_corrected_steps_are_exact_for_a_clean_prediction_linear_in_log_snr(schedule):
    grid = make_grid(schedule, 4)
    mu = grid.log_snr / 2
    chain = ReverseChain(ChainSettings(grid, "sde"), ["a"], [0], (6,), dtype=torch.float64)
    start = chain.x[0, 0].item()  # this coordinate has no noise after the start
    for i in range(4):
        chain.advance(constant(linear(mu[i]))(chain.x, grid.alpha[i], grid.sigma[i]))
    # dz = 2 (x0 - z) dmu in z = x / alpha; the last state is corrected, and goes no further
    pulled, _ = quad(lambda m: 2 * math.exp(-2 * (mu[3] - m)) * linear(m), mu[0], mu[3])
    decayed = math.exp(-2 * (mu[3] - mu[0])) * start / grid.alpha[0]
    assert chain.x[0, 0].item() == pytest.approx(grid.alpha[3] * (decayed + pulled), rel=1e-9)


@every_schedule
@pytest.mark.parametrize(("sampler", "rate"), [("ode", 1), ("sde", 2)])
@pytest.mark.usefixtures("unit_noise")
def test_second_order_steps_are_exact_for_a_clean_prediction_linear_in_log_snr(
    schedule, sampler, rate, monkeypatch
):
    monkeypatch.setitem(SAMPLERS, "sde", Sampler(stochastic=True, order=2))  # uncorrected
    grid = make_grid(schedule, 3)
    mu = grid.log_snr / 2
    chain = ReverseChain(ChainSettings(grid, sampler), ["a"], [0], (4,), dtype=torch.float64)
    for i in (0, 1):
        before = chain.x[0, 0].item()  # this coordinate has no noise after the start
        chain.advance(constant(linear(mu[i]))(chain.x, grid.alpha[i], grid.sigma[i]))
    # Variation of constants, in y = x / sigma and the half log-SNR mu:
    # dy = -(rate - 1) y dmu + rate e^mu x0(mu) dmu + noise
    decay = math.exp(-(rate - 1) * (mu[2] - mu[1]))
    pulled, _ = quad(
        lambda m: math.exp(-(rate - 1) * (mu[2] - m)) * rate * math.exp(m) * linear(m), mu[1], mu[2]
    )
    expected = grid.sigma[2] * (decay * before / grid.sigma[1] + pulled)
    assert chain.x[0, 0].item() == pytest.approx(expected, rel=1e-10)


def variance_error(schedule, sampler, n_steps, variance):
    """Relative error of the chain's variance at its last level."""
    grid = make_grid(schedule, n_steps)
    states = run(grid, sampler, gaussian(variance), shape=(n_steps + 1,))
    exact = grid.alpha**2 * variance + grid.sigma**2
    if sampler.startswith("ode"):  # it carries the error of its first state along
        exact = exact * (states[0].square().sum().item() / exact[0])
    return states[-1].square().sum().item() / exact[-1] - 1


@every_schedule
@every_sampler
@pytest.mark.parametrize("variance", [0.2, 2.0])
@pytest.mark.usefixtures("unit_noise")
def test_halving_the_steps_halves_or_quarters_the_error_of_the_variance(
    schedule, sampler, variance
):
    errors = [abs(variance_error(schedule, sampler, n, variance)) for n in (80, 160, 320)]
    order = np.log2(np.divide(errors[:-1], errors[1:]))
    expected = 1 if sampler.endswith("1") else 2
    if SAMPLERS[sampler].corrected:  # better than what it is known to be
        assert (order > expected - 0.15).all()
    else:
        np.testing.assert_allclose(order, expected, atol=0.15)
    assert errors[-1] < (0.03 if expected == 1 else 6e-4)


def bias(schedule, n_steps, means, variances):
    """Relative error of the expected J of two 1-D Gaussians at the defaults, against the truth."""
    grid, total = make_grid(schedule, n_steps, substeps=2), 0.0
    one = torch.eye(2 * n_steps + 2, dtype=torch.float64)[-1]  # carries the mean; no noise hits it

    def predict(x, alpha, sigma, i):
        return sigma * (x - alpha * means[i] * one) / (alpha**2 * variances[i] + sigma**2)

    for source, target in ((0, 1), (1, 0)):
        states = run(grid, "sde", lambda *at, i=source: predict(*at, i), shape=one.shape)
        at_nodes = (part[grid.is_node] for part in (states, grid.alpha, grid.sigma))
        for weight, *at in zip(grid.weights(), *at_nodes, strict=True):
            gap = predict(*at, source) - predict(*at, target)
            total += weight * gap.square().sum().item()
    world = GaussianDenoiser(means, variances, schedule=schedule)
    truth = world.exact("prompt 0", "prompt 1", grid.log_snr_range)
    return total / 2 / truth.jeffreys - 1


@every_schedule
@pytest.mark.parametrize(
    ("means", "variances"), [((0, 0.5), (0.5, 1.3)), ((0, 1.1), (0.3, 1.5)), ((0, 1), (0.4, 0.4))]
)
@pytest.mark.usefixtures("unit_noise")
def test_the_bias_is_below_two_percent_at_ten_nodes_and_half_a_percent_at_a_hundred(
    schedule, means, variances
):
    assert abs(bias(schedule, 10, means, variances)) < 0.02
    assert abs(bias(schedule, 100, means, variances)) < 0.005


@pytest.mark.parametrize("ratio", [2, 3, 10, 100, 1000])
@pytest.mark.usefixtures("unit_noise")
def test_the_bias_of_variances_far_apart_at_one_mean(ratio):
    # The multistep solver without correction: 0.4, 0.4, 3.6, 9.5 and 13 %.
    limit = 0.018 if ratio <= 100 else 0.03
    assert abs(bias(SCHEDULES["vp"], 10, (0, 0), (1.0, 1 / ratio))) < limit
    assert abs(bias(SCHEDULES["vp"], 20, (0, 0), (1.0, 1 / ratio))) < 0.008
    assert abs(bias(SCHEDULES["vp"], 100, (0, 0), (1.0, 1 / ratio))) < 0.002


def stiff(w, conditional=0.1):
    """Guided prediction of N(0.5, conditional) away from N(0, 1)."""

    def predict(x, alpha, sigma):
        eps_y = sigma * (x - 0.5 * alpha) / (alpha**2 * conditional + sigma**2)
        eps_0 = sigma * x / (alpha**2 + sigma**2)
        return eps_0 + w * (eps_y - eps_0)

    return predict


@every_sampler
@pytest.mark.parametrize("conditional", [0.1, 0.01])
def test_a_guided_chain_does_not_blow_up(sampler, conditional, monkeypatch):
    grid = make_grid(VariancePreserving.scaled_linear(), 10, substeps=2)
    options = {"shape": (4000,), "guidance_scale": 7.5}
    few = run(grid, sampler, stiff(7.5, conditional), **options)[-1].numpy()
    fine = make_grid(VariancePreserving.scaled_linear(), 400, substeps=2)
    many = run(fine, sampler, stiff(7.5, conditional), **options)[-1].numpy()
    assert few.mean() == pytest.approx(many.mean(), abs=0.05 * abs(many.mean()))
    assert few.std() < 1.5 * many.std() + 1e-3
    if sampler.startswith("sde"):  # without the stiff part of the steps
        monkeypatch.setattr(reverse, "STIFFNESS", 0.0)
        assert run(grid, sampler, stiff(7.5, 0.01), **options)[-1].std() > 2 * many.std()


def test_a_step_that_spans_two_has_their_noise():
    grid = make_grid(SCHEDULES["vp"], 4, substeps=2)
    thin = grid.thinned()
    assert thin.log_snr.tolist() == grid.log_snr[[0, 1, 3, 5, 7]].tolist()
    assert thin.is_node.tolist() == [False, True, True, True, True]
    full, coarse = (run(g, "sde", constant(0.0), shape=(50_000,)) for g in (grid, thin))
    # a constant prediction leaves nothing but noise, which both carry alike
    torch.testing.assert_close(coarse[1:], full[[1, 3, 5, 7]], rtol=1e-6, atol=1e-6)


def test_of_an_odd_number_of_steps_a_node_every_second_node_remains():
    grid = make_grid(SCHEDULES["vp"], 5)
    thin = grid.thinned()
    np.testing.assert_array_equal(thin.node_log_snr, grid.node_log_snr[::2])
    np.testing.assert_array_equal(thin.d_log_snr, grid.d_log_snr[::2])


def test_a_chain_that_starts_over_takes_a_step_of_first_order():
    grid = make_grid(SCHEDULES["vp"], 4)
    chains = {
        name: ReverseChain(ChainSettings(grid, name), ["a"], [0], (3,), dtype=torch.float64)
        for name in ("sde", "sde1")
    }
    for i in range(2):
        for chain in chains.values():
            chain.x = torch.full((1, 3), 0.3, dtype=torch.float64)
            chain.restart()
            chain.advance(gaussian(0.5)(chain.x, grid.alpha[i], grid.sigma[i]))
    assert torch.equal(chains["sde"].x, chains["sde1"].x)


@every_schedule
@every_sampler
def test_a_chain_with_real_noise_has_the_worlds_mean_and_variance(schedule, sampler):
    grid, n, mean, variance = make_grid(schedule, 160, substeps=2), 20_000, 0.8, 0.3

    def predict(x, alpha, sigma):
        return sigma * (x - alpha * mean) / (alpha**2 * variance + sigma**2)

    final = run(grid, sampler, predict, shape=(n,))[-1, 0].numpy()
    expected = grid.alpha[-1] ** 2 * variance + grid.sigma[-1] ** 2
    assert abs(final.var() / expected - 1) < 4 * math.sqrt(2 / n) + (
        0.03 if sampler.endswith("1") else 0.001
    )
    assert abs(final.mean() - grid.alpha[-1] * mean) < 4 * math.sqrt(expected / n) + 0.01
