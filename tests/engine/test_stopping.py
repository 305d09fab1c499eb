"""Draws where they matter: what `tol` spends, meets and biases."""

from __future__ import annotations

import numpy as np
import pytest

from conjure_kernel import ConjureDistance, paired_divergence, pairwise_divergence
from conjure_kernel.engine.stopping import longer, used_draws
from worlds import N_STEPS, make_world

TOL = 0.1


def measure(world, prompts, function=pairwise_divergence, **settings):
    chosen = {"memory": None, "n_steps": N_STEPS, "tol": TOL, "max_draws": 400}
    chosen |= {"chains_per_draw": 1, "check_steps": 0, **settings}
    return function(prompts, model=world, **chosen)


@pytest.fixture(scope="module")
def world():
    return make_world(dim=2)


@pytest.fixture(scope="module")
def adaptive(world):
    return measure(*world)


def test_pairs_get_different_draws_and_meet_the_tolerance(adaptive):
    apart = ~np.eye(6, dtype=bool)
    relative = adaptive.standard_errors[apart] / adaptive.values[apart]
    assert relative.max() <= TOL
    used = adaptive.draws_used
    assert used[apart].min() >= 6
    assert used.max() > 2 * used[apart].min()
    np.testing.assert_array_equal(used, used.T)
    np.testing.assert_allclose(adaptive.draw_weights.sum(-1), 1)
    assert (adaptive.values.diagonal() == 0).all()
    np.testing.assert_array_equal(adaptive.values, adaptive.values.T)


def test_each_mean_is_that_of_two_streams(adaptive):
    i, j = np.unravel_index(adaptive.draws_used.argmax(), (6, 6))
    draws, used = adaptive.draws[i, j], adaptive.draw_weights[i, j] > 0
    np.testing.assert_array_equal(np.isnan(draws), ~used)
    streams = [np.nanmean(draws[k::2]) for k in (0, 1)]
    assert adaptive.values[i, j] == pytest.approx(np.mean(streams), rel=1e-6)
    assert adaptive.profile[i, j].sum() == pytest.approx(adaptive.values[i, j], rel=1e-6)
    low, high = adaptive.interval()
    assert low[i, j] < adaptive.values[i, j] < high[i, j]


def test_equal_shares_are_the_plain_mean(world):
    fixed = measure(*world, tol=None, n_draws=6)
    loose = measure(*world, tol=100.0)
    assert (loose.draws_used == 6).all()
    for name in ("values", "standard_errors", "profile", "profile_standard_errors"):
        np.testing.assert_allclose(getattr(loose, name), getattr(fixed, name), rtol=1e-6)
    np.testing.assert_allclose(loose.interval(), fixed.interval(), rtol=1e-6)


def test_a_tighter_tolerance_goes_on_from_the_cache(world, tmp_path):
    model, prompts = world
    first = measure(model, prompts, memory=tmp_path, tol=0.2)
    again = measure(model, prompts, memory=tmp_path, tol=0.2)
    assert again.n_evaluations == 0
    np.testing.assert_array_equal(again.values, first.values)
    tighter = measure(model, prompts, memory=tmp_path)
    fresh = measure(model, prompts)
    assert 0 < tighter.n_evaluations == fresh.n_evaluations - first.n_evaluations
    np.testing.assert_allclose(tighter.values, fresh.values, rtol=1e-5)
    looser = measure(model, prompts, memory=tmp_path, tol=0.2)  # more is known than it uses
    np.testing.assert_array_equal(looser.values, first.values)


def test_only_the_pairs_above_the_tolerance_get_more(world, adaptive):
    model, prompts = world
    fixed = measure(model, prompts, tol=None, n_draws=int(adaptive.draws_used.max()))
    assert adaptive.n_evaluations < 0.8 * fixed.n_evaluations


def test_pairs_are_those_of_the_matrix(world, adaptive):
    model, prompts = world
    pairs = [(prompts[0], prompts[1]), (prompts[4], prompts[2]), (prompts[0], prompts[1])]
    some = measure(model, pairs, paired_divergence)
    expected = [adaptive.values[0, 1], adaptive.values[4, 2], adaptive.values[0, 1]]
    np.testing.assert_allclose(some.values, expected, rtol=1e-5)
    assert some.draws_used[1] == adaptive.draws_used[4, 2]


def test_the_estimator_has_it(world, adaptive):
    model, prompts = world
    settings = {"n_steps": N_STEPS, "tol": TOL, "max_draws": 400, "memory": None}
    settings |= {"chains_per_draw": 1, "check_steps": 0}
    fitted = ConjureDistance(model, output="divergence", **settings).fit(prompts)
    np.testing.assert_allclose(fitted.divergences_, adaptive.values, rtol=1e-5)
    rows = fitted.transform(prompts[:2])
    np.testing.assert_array_equal(rows, fitted.divergences_[:2])


def test_pairs_that_need_more_than_max_draws_are_counted(world):
    with pytest.warns(
        UserWarning, match=r"15 of 15 pairs are above tol=0.01 with max_draws=8; raise max_draws"
    ):
        capped = measure(*world, tol=0.01, max_draws=8)
    assert (capped.draws_used[~np.eye(6, dtype=bool)] == 8).all()


@pytest.mark.parametrize("settings", [{}, {"chains_per_draw": 3}, {"shared_noise": True}])
def test_no_pair_ends_above_tol_below_max_draws(settings):
    """19 % of pairs did, as each stream's need is judged by the other."""
    found = measure(*make_world(), tol=0.07, **settings)
    i, j = np.triu_indices(len(found.values), 1)
    assert (found.standard_errors[i, j] <= 0.07 * found.values[i, j]).all()
    assert found.draws_used.max() < 400
    np.testing.assert_array_equal(found.draws_used, found.draws_used.T)


def test_independent_chains_need_fewer_draws_to_begin_with(world):
    for settings, least in (({"chains_per_draw": 3}, 4), ({}, 6), ({"shared_noise": True}, 8)):
        found = measure(*world, tol=100.0, **settings)
        assert (found.draws_used == least).all()


def test_more_prompts_change_no_pair(world, adaptive):
    model, prompts = world
    fewer = measure(model, prompts[3:][::-1])
    np.testing.assert_array_equal(fewer.draws_used, adaptive.draws_used[3:, 3:][::-1, ::-1])
    np.testing.assert_allclose(fewer.values, adaptive.values[3:, 3:][::-1, ::-1], rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tol": 0}, "tol=0: expected a finite number above 0"),
        ({"max_draws": 5}, "max_draws=5: expected an integer of at least 6"),
        ({"n_draws": 20, "max_draws": 16}, "max_draws=16: expected an integer of at least 20"),
    ],
)
def test_what_cannot_be_meant(world, settings, message):
    with pytest.raises(ValueError, match=message):
        measure(*world, **settings)


def stopped(parts, tol=TOL):
    """Means, their relative errors and draws used (n,), where draws (n, L, G, K) would stop."""
    half = parts.shape[-1] // 2
    lengths, wanted = None, np.full((len(parts), 2), 4)
    while lengths is None or (wanted != lengths).any():
        lengths = wanted
        seen = parts[..., : 2 * lengths.max()]
        wanted, errors = longer(seen, lengths, tol, half)
    used = used_draws(lengths, lengths.max())
    draws = seen.sum((1, 2))
    streams = [np.where(used, draws, 0)[:, k::2].sum(1) / lengths[:, k] for k in (0, 1)]
    return np.mean(streams, 0), errors, lengths.sum(1)


def test_two_streams_remove_most_of_the_bias_of_stopping():
    """Log-normal draws of coefficient of variation 1 around 1, stopped at 10 %."""
    scale = np.sqrt(np.log(2))
    values = np.exp(scale * np.random.default_rng(0).normal(size=(4000, 800)) - scale**2 / 2)
    ours, errors, used = stopped(values[:, None, None])
    sizes = np.arange(8, 800)
    means = values.cumsum(1)[:, 7:-1] / sizes
    squares = np.square(values).cumsum(1)[:, 7:-1] / sizes
    met = (squares - means**2) / (sizes - 1) <= (TOL * means) ** 2
    naive = means[np.arange(4000), met.argmax(1)]
    error = ours.std() / np.sqrt(4000)
    assert abs(ours.mean() - 1) < 0.01 + 4 * error < 0.02
    assert naive.mean() - 1 < -0.015
    assert abs(ours.mean() - 1) < 0.5 * abs(naive.mean() - 1)
    assert np.square(ours - 1).mean() ** 0.5 < 1.2 * TOL
    assert (errors <= TOL).all()
    assert 80 < used.mean() < 120  # 100 are needed where the variation is known
