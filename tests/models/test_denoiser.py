"""Trajectories and energies out of a model that only knows how to be driven."""

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone

from conjure_kernel.method.reverse import ChainSettings, ReverseChain
from conjure_kernel.models.gaussian import GaussianDenoiser
from conjure_kernel.models.task import Replay, Trace, Trajectory


class SpoiltDenoiser(GaussianDenoiser):
    """Predicts NaN for one prompt from the second level on."""

    def _eps(self, prompts, x, alpha, sigma):
        eps = super()._eps(prompts, x, alpha, sigma)
        if "b" in prompts and alpha > 0.1:
            start = prompts.index("b") * len(x) // len(prompts)
            eps[start, 0] = np.nan
        return eps


class CoarseDenoiser(GaussianDenoiser):
    dtype = torch.bfloat16


def chain_of(world, n_steps=4, substeps=2, **options):
    return ChainSettings(world.make_grid(n_steps, substeps=substeps), **options)


def stacked(trajectories):
    x = torch.cat([t.x for t in trajectories]).transpose(0, 1)
    return x, torch.cat([t.eps for t in trajectories]).transpose(0, 1)


def test_a_trajectory_holds_the_nodes_of_every_draw(shared):
    chain = chain_of(shared, 4, 3)
    (found,) = shared.trace(["a"], [0, 1, 2], chain)
    assert found.x.shape == found.eps.shape == (3, 4, 2)
    assert found.x0.shape == (3, 2)
    assert found.n_draws == 3
    for i, (alpha, sigma) in enumerate(zip(*levels(chain.grid), strict=True)):
        torch.testing.assert_close(found.eps[:, i], shared._eps(["a"], found.x[:, i], alpha, sigma))


def levels(grid):
    return grid.nodes_only().alpha, grid.nodes_only().sigma


@pytest.mark.parametrize("substeps", [1, 2, 3])
@pytest.mark.parametrize("sampler", ["sde", "ode"])
def test_a_prompt_replayed_on_its_own_trajectory_differs_by_exactly_zero(shared, substeps, sampler):
    chain = chain_of(shared, 4, substeps, sampler=sampler)
    x, eps = stacked(shared.trace(["a"], [0, 1], chain))
    energies = shared.predict(["a"], x, eps, chain)
    assert energies.shape == (4, 2)
    assert (energies == 0).all()
    assert (shared.predict(["b"], x, eps, chain) > 0).all()


def test_energies_are_squared_gaps_of_predictions_grouped_by_target(shared):
    chain = chain_of(shared)
    x, eps = stacked(shared.trace(["a"], [0, 1], chain))
    both = shared.predict(["b", "c"], x.repeat(1, 2, 1), eps.repeat(1, 2, 1), chain)
    for target, columns in (("b", both[:, :2]), ("c", both[:, 2:])):
        gap = shared.predict_eps([target], x, chain.grid) - eps
        torch.testing.assert_close(columns, gap.square().sum(-1))


def test_replay_shows_the_recorded_states_whatever_the_model_says(shared):
    chain = chain_of(shared)
    x, eps = stacked(shared.trace(["a"], [0], chain))
    task, seen = Replay(chain.grid.nodes_only(), x, eps), []
    state = task.state
    for _ in range(4):
        seen.append(state)
        state, _ = task.step(torch.full_like(state, 1e6), state)
    assert torch.equal(torch.stack(seen), x)


def test_records_are_copies_that_later_steps_cannot_change(shared):
    grid = shared.make_grid(2)
    task = Trace(ReverseChain(ChainSettings(grid), ["a"], [0], (2,), dtype=torch.float64))
    x, eps = task.state, torch.ones(1, 2, dtype=torch.float64)
    before = x.clone()
    task.step(eps, x)
    x += 1
    eps += 1
    assert torch.equal(task.x[0], before)
    assert (task.eps[0] == 1).all()


def test_prompts_traced_together_are_as_if_traced_alone(shared):
    chain = chain_of(shared)
    together = shared.trace(["a", "b"], [0, 1], chain)
    for prompt, found in zip(["a", "b"], together, strict=True):
        (alone,) = shared.trace([prompt], [0, 1], chain)
        for name in ("x", "eps", "x0"):
            torch.testing.assert_close(getattr(found, name), getattr(alone, name))


def test_further_draws_join_the_earlier_ones(pair):
    chain = chain_of(pair)
    (first,), (more,) = (pair.trace(["a"], draws, chain) for draws in ([0, 1], [2]))
    (whole,) = pair.trace(["a"], [0, 1, 2], chain)
    joined = first.extend(Trajectory(more.x, more.eps, more.x0, truncated=True, tokens="t"))
    for name in ("x", "eps", "x0"):
        assert torch.equal(getattr(joined, name), getattr(whole, name))
    assert joined.n_draws == 3
    assert (joined.truncated, joined.tokens) == (True, "t")


@pytest.mark.parametrize("substeps", [1, 2, 3])
def test_predictions_are_counted_without_guidance(shared, substeps):
    n, n_draws, n_steps = 2, 3, 4
    chain = chain_of(shared, n_steps, substeps)
    x, eps = stacked(shared.trace(["a", "b"], range(n_draws), chain))
    assert shared.n_evaluations == n * n_draws * n_steps * substeps
    shared.predict(["b", "a"], x, eps, chain)
    assert shared.n_evaluations == n * n_draws * n_steps * (substeps + 1)


def test_guidance_costs_twice_the_trace_and_the_prompts_own_predictions(guidable):
    # R39, and the formula of design.md: n n T K + 2 n S K with n n - n cross predictions to come
    n, n_draws, n_steps, substeps = 2, 3, 4, 2
    chain = chain_of(guidable, n_steps, substeps, guidance_scale=3.0)
    guidable.trace(["a", "b"], range(n_draws), chain)
    assert guidable.n_evaluations == n * n_draws * n_steps * (2 * substeps + 1)


def test_guided_trajectories_keep_conditional_predictions(guidable):
    chain = chain_of(guidable, guidance_scale=3.0)
    (guided,) = guidable.trace(["a"], [0, 1], chain)
    (plain,) = guidable.trace(["a"], [0, 1], chain_of(guidable))
    x, eps = stacked([guided])
    torch.testing.assert_close(eps, guidable.predict_eps(["a"], x, chain.grid))
    assert not torch.allclose(guided.x, plain.x)


@pytest.mark.parametrize("scale", [0.5, 2.0, 7.5])
def test_guided_differences_are_the_guidance_times_conditional_ones(guidable, scale):
    chain = chain_of(guidable, guidance_scale=scale)
    x, eps = stacked(guidable.trace(["a"], [0, 1], chain))
    energies = guidable.predict(["b"], x, eps, chain)
    for i, (alpha, sigma) in enumerate(zip(*levels(chain.grid), strict=True)):
        empty, a, b = (guidable._eps([p], x[i], alpha, sigma) for p in ("", "a", "b"))
        gap = (empty + scale * (a - empty)) - (empty + scale * (b - empty))
        torch.testing.assert_close(energies[i], gap.square().sum(-1))


@pytest.mark.parametrize("prompts", [["b"], ["a", "b"]])
def test_nan_names_the_prompt_the_level_and_the_dtype(prompts):
    # R36
    world = SpoiltDenoiser({"a": 0.0, "b": 1.0})
    chain = chain_of(world, 4, 2)
    # alpha > 0.1 holds from log-SNR -4.6 on: the second step is the node at -6, the fourth at -2
    message = r"prompt 'b'.*NaN or infinity at log-SNR -2 in torch\.float64.*dtype='bfloat16'"
    with pytest.raises(FloatingPointError, match=message):
        world.trace(prompts, [0, 1], chain)
    x, eps = stacked(world.trace(["a"], [0, 1], chain))
    with pytest.raises(FloatingPointError, match=message):
        world.predict(["a", "b"], x.repeat(1, 2, 1), eps.repeat(1, 2, 1), chain)
    with pytest.raises(FloatingPointError, match=message):
        world.predict_eps(["b"], x, chain.grid)


def test_levels_are_times_that_the_network_can_represent():
    world = CoarseDenoiser({"a": 0.0})
    grid = world.make_grid(10, substeps=2)
    rounded = torch.as_tensor(grid.times).to(torch.bfloat16).double().numpy()
    np.testing.assert_array_equal(grid.times, rounded)
    np.testing.assert_array_equal(grid.log_snr, world.schedule.log_snr(rounded))


def test_clones_and_copies_share_the_model(shared):
    # R12
    assert clone(shared) is shared
    assert copy.deepcopy({"model": shared})["model"] is shared
    assert shared.load() is shared


def test_nan_at_the_last_step_of_a_chain_is_an_error():
    class Broken(GaussianDenoiser):
        """Predicts NaN at the last step, which is no node when a node has three steps."""

        calls = 0

        def _eps(self, prompts, x, alpha, sigma):
            self.calls += 1
            eps = super()._eps(prompts, x, alpha, sigma)
            return eps * float("nan") if self.calls == len(chain.grid.times) else eps

    world = Broken({"a": 0.0, "b": 1.0})
    chain = ChainSettings(world.make_grid(2, substeps=3))
    assert not chain.grid.is_node[-1]
    with pytest.raises(FloatingPointError, match="prompt 'a': the chain ends in NaN or infinity"):
        world.trace(["a"], [0], chain)
