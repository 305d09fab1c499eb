"""What the finite number of steps costs: `check_steps`, and chains that share a draw's nodes."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from conjure_kernel import GaussianDenoiser, paired_divergence, pairwise_divergence
from worlds import make_world

QUIET = {"memory": None, "n_draws": 2, "n_steps": 10, "chains_per_draw": 3, "check_steps": 4}
WIDE = {"a dog": [1.0] * 64, "a cat": [-1.0] * 64}, {"a dog": [100.0] * 64, "a cat": [0.05] * 64}


def test_a_bias_is_warned_of_and_its_size_is_told():
    world, texts = GaussianDenoiser(*WIDE), ["a dog", "a cat"]
    settings = {"model": world, "memory": None, "n_draws": 4}
    with pytest.warns(UserWarning, match=r"n_steps=6, substeps=1: so few steps may move J by"):
        coarse = pairwise_divergence(texts, n_steps=6, substeps=1, check_steps=4, **settings)
    fine = pairwise_divergence(texts, n_steps=100, **settings)
    bias = abs(coarse.values[0, 1] / fine.values[0, 1] - 1)
    assert 0.1 < bias < coarse.step_error < 1
    low, high = coarse.interval(steps=True)
    assert low[0, 1] < fine.values[0, 1] < high[0, 1]


def test_a_sound_measurement_is_silent():
    world, prompts = make_world(dim=64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = pairwise_divergence(prompts, model=world, **QUIET)
    assert 0 < measured.step_error < 0.05


def test_the_check_costs_what_the_plan_says(tmp_path):
    world, prompts = make_world()
    settings = {**QUIET, "memory": tmp_path}
    checked = pairwise_divergence(prompts, model=world, **settings)
    without = pairwise_divergence(prompts, model=world, **{**QUIET, "check_steps": 0})
    assert np.isnan(without.step_error)
    assert checked.n_evaluations > without.n_evaluations
    np.testing.assert_array_equal(checked.values, without.values)
    again = pairwise_divergence(prompts, model=world, **settings)
    assert again.n_evaluations == 0
    assert again.step_error == checked.step_error


def test_a_text_against_itself_has_nothing_to_check():
    world, prompts = make_world()
    assert np.isnan(paired_divergence([(prompts[0],) * 2], model=world, **QUIET).step_error)


def test_chains_of_a_draw_share_its_nodes_and_have_less_variance():
    world, prompts = make_world(n=2, dim=2)
    errors, means = {}, {}
    for chains in (1, 3):
        measured = pairwise_divergence(
            prompts,
            model=world,
            memory=None,
            n_draws=400,
            n_steps=9,
            chains_per_draw=chains,
        )
        assert measured.chain_draws[0].shape[-1] == chains
        errors[chains], means[chains] = measured.standard_errors[0, 1], measured.values[0, 1]
    assert errors[3] < 0.85 * errors[1]
    assert abs(means[3] - means[1]) < 4 * np.hypot(errors[1], errors[3])


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("n_draws", [2, 4])
def test_intervals_cover_the_limit_of_the_estimator(n_draws, shared):
    world, pair = make_world(n=2, dim=2)
    settings = {"n_steps": 10, "check_steps": 0, "shared_noise": shared, "memory": None}
    whole = paired_divergence([pair], model=world, n_draws=2000, **settings)
    n = whole.n_draws // n_draws  # each of so many measurements has draws of its own
    legs = {name: getattr(whole, name).reshape(n, n_draws, -1) for name in ("forward", "backward")}
    low, high = replace(whole, prompts_a=pair[:1] * n, prompts_b=pair[1:] * n, **legs).interval()
    assert 0.9 < np.mean((low < whole.values) & (whole.values < high)) < 0.985


@pytest.mark.filterwarnings("ignore:.*lies at the last noise level")
@pytest.mark.parametrize(("n_steps", "substeps"), [(2, 1), (2, 2), (3, 1), (3, 2), (4, 2), (5, 2)])
@pytest.mark.parametrize("variance", [1.0, 0.03])
def test_too_few_noise_levels_are_told_whatever_the_chain(n_steps, substeps, variance):
    world = GaussianDenoiser({"a": 1.0, "b": 0.0}, {"a": variance, "b": variance})
    settings = {**QUIET, "n_steps": n_steps, "substeps": substeps}
    with pytest.warns(UserWarning, match="so few steps may move J by"):
        found = paired_divergence([("a", "b")], model=world, **settings)
    error = abs(found.values[0] / world.exact("a", "b", (-8, 8)).jeffreys - 1)
    assert 0.8 * error < found.step_error < 4 * error + 0.05


def test_errors_of_both_legs_do_not_cancel():
    """Guided, KL(a || b) is 12 % too small and KL(b || a) 11 % too large."""
    zero = [0.0] * 64
    means, variances = {"": zero, "a": [0.5] * 64, "b": zero}, {"": 1.0, "a": 0.5, "b": 0.1}
    world = GaussianDenoiser(means, {k: [v] * 64 for k, v in variances.items()})
    with pytest.warns(UserWarning, match="so few steps may move J by"):
        found = paired_divergence([("a", "b")], model=world, guidance_scale=7.5, **QUIET)
    assert 0.06 < found.step_error < 0.25


def test_one_pair_that_is_far_off_is_enough():
    means, variances = {"": [0.0] * 64}, {"": [1.0] * 64}
    for i in range(8):
        means[f"p{i}"], variances[f"p{i}"] = [0.1 * i] * 64, [0.3] * 64
    means["bad"], variances["bad"] = [0.1] * 64, [2.0] * 64
    world = GaussianDenoiser(means, variances)
    with pytest.warns(UserWarning, match="so few steps may move J by"):
        found = pairwise_divergence(list(means)[1:], model=world, guidance_scale=7.5, **QUIET)
    assert found.step_error > 0.3


@pytest.mark.parametrize(("sampler", "variances"), [("sde1", (1.0, 0.5)), ("ode1", (10.0, 0.1))])
def test_steps_of_first_order_gain_less_from_being_halved(sampler, variances):
    sizes = {name: [v] * 256 for name, v in zip("ab", variances, strict=True)}
    world = GaussianDenoiser(dict.fromkeys("ab", [0.0] * 256), sizes)
    with pytest.warns(UserWarning, match="so few steps may move J by"):
        found = paired_divergence([("a", "b")], model=world, sampler=sampler, **QUIET)
    error = abs(found.values[0] / world.exact("a", "b", (-8, 8)).jeffreys - 1)
    assert 0.4 * error < found.step_error < 2 * error
