"""model_agreement: do two models order pairs of prompts alike."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from conjure_kernel import GaussianDenoiser, model_agreement
from measured import SIBLING

ROOT = Path(__file__).parents[2]


def test_models_of_one_order_agree_and_one_of_reversed_order_does_not():
    names = [f"prompt {i}" for i in range(6)]
    places = np.array([0.0, 1.0, 2.5, 4.7, 7.9, 12.6])
    one, two, other = (
        GaussianDenoiser(dict(zip(names, p, strict=True)))
        for p in (places, 2 * places, places[[3, 0, 5, 2, 4, 1]])
    )
    same, apart = (model_agreement(names, one, world, memory=None) for world in (two, other))
    assert same.spearman == pytest.approx(1)
    assert 0.9 < same.low < same.high == 1
    assert apart.spearman < 0.5
    assert apart.low < apart.spearman < apart.high
    first = apart.ranking()[0]
    assert abs(first["rank_a"] - first["rank_b"]) >= 8
    with pytest.raises(
        ValueError, match="prompts: expected at least 3 different ones, to order pairs, got 2"
    ):
        model_agreement([*names[:2], names[0]], one, two)


def random_world(seed, n=12):
    rng = np.random.default_rng(seed)
    names = [f"prompt {i}" for i in range(n)]
    return GaussianDenoiser(
        dict(zip(names, 0.3 * rng.normal(size=(n, 2)), strict=True)),
        dict(zip(names, rng.uniform(0.5, 1.5, size=(n, 2)), strict=True)),
    ), names


def test_models_that_only_noise_orders_do_not_agree_through_common_noise():
    """With the same noise for both, they agreed by 0.88 at two draws; noise alone makes 0."""
    names = [f"prompt {i}" for i in range(8)]
    one, other = (
        GaussianDenoiser(
            dict(zip(names, np.eye(8) + 0.03 * rng.normal(size=(8, 8)), strict=True)),
            dict(zip(names, 1 + np.eye(8) / 2, strict=True)),
        )
        for rng in map(np.random.default_rng, (0, 1))
    )
    exact = [
        [world.exact(a, b, (-8, 8)).jeffreys for a, b in itertools.combinations(names, 2)]
        for world in (one, other)
    ]
    truth = spearmanr(*exact).statistic
    settings = {"n_draws": 2, "memory": None, "check_steps": 0}
    found = [
        model_agreement(names, one, other, random_state=seed, **settings).spearman
        for seed in range(12)
    ]
    error = np.std(found, ddof=1) / np.sqrt(12)
    assert truth - 3 * error < np.mean(found) < 3 * error < 0.4


def test_a_model_agrees_with_itself_as_well_as_it_can_measure():
    (world, names), settings = random_world(2), {"memory": None, "check_steps": 0}
    rough, fine = (model_agreement(names, world, world, n_draws=k, **settings) for k in (2, 32))
    assert rough.spearman < fine.spearman < 1
    assert 1 - rough.spearman < 5 * rough.draw_se
    assert 0 < fine.draw_se < rough.draw_se
    assert not np.array_equal(rough.a.values, rough.b.values)
    again = model_agreement(names, world, world, n_draws=2, **settings)
    assert np.array_equal(rough.b.values, again.b.values)


def test_two_models_of_one_world_agree_though_one_is_small():
    """Names in another order are the control: they hardly ever agree as well."""
    names = (ROOT / "benchmarks/words.txt").read_text(encoding="utf-8").split("\n")[:120:5]
    settings = {"n_steps": 4, "n_draws": 2, "memory": None, "check_steps": 0}
    found = model_agreement(names, "embedded", SIBLING, **settings)
    above, rng = np.triu_indices(len(names), 1), np.random.default_rng(0)
    orders = [rng.permutation(len(names)) for _ in range(999)]
    shuffled = [
        spearmanr(found.a.values[above], found.b.values[np.ix_(order, order)][above]).statistic
        for order in orders
    ]
    assert np.mean(shuffled) < 0.1
    assert np.mean(np.array(shuffled) >= found.spearman) < 0.01
    assert 0.2 < found.spearman < 1
    assert found.draw_se < 0.1
