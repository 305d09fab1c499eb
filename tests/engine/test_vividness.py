"""How much prompts pin the picture down, against closed forms."""

import numpy as np
import pytest

from conjure_kernel import GaussianDenoiser, paired_divergence, vividness
from worlds import SMALL, make_world


def test_it_is_the_divergence_from_the_empty_prompt():
    rng = np.random.default_rng(0)
    names = ["", "a", "b", "c"]
    means = {name: rng.normal(size=3) for name in names}
    world = GaussianDenoiser(means, {name: rng.uniform(0.4, 1.5, 3) for name in names})
    settings = {"n_steps": 40, "n_draws": 300, "check_steps": 0, "memory": None}
    found = vividness(names[1:], model=world, **settings)
    truth = [world.exact(name, "").kl_ab for name in names[1:]]
    np.testing.assert_allclose(found.values, truth, rtol=0.03)
    low, high = found.interval()
    assert (low < found.values).all()
    assert (found.values < high).all()


def test_errors_are_those_of_other_seeds():
    world, prompts = make_world(3)
    settings = {"model": world, "memory": None, "check_steps": 0}
    truth = vividness(prompts, n_draws=300, **settings).values
    runs = [vividness(prompts, random_state=seed + 1, **settings) for seed in range(40)]
    spread = np.std([run.values for run in runs], 0)
    errors = np.sqrt(np.mean([run.standard_errors**2 for run in runs], 0))
    np.testing.assert_allclose(spread / errors, 1, atol=0.3)
    hits = [(run.interval()[0] < truth) & (truth < run.interval()[1]) for run in runs]
    assert 0.9 < np.mean(hits) < 0.995


def test_the_empty_prompt_says_nothing_and_costs_nothing_more():
    world, prompts = make_world(2)
    found = vividness(["", *prompts], model=world, memory=None, **SMALL)
    assert found.values[0] == 0
    assert found.standard_errors[0] == 0
    both = paired_divergence(prompts, [""] * 2, model=world, memory=None, **SMALL)
    np.testing.assert_array_equal(found.values[1:], both.legs[0])
    assert found.n_evaluations == both.n_evaluations


def test_a_relative_measurement_needs_no_more_of_the_origin(tmp_path):
    world, prompts = make_world(3)
    settings = {**SMALL, "model": world, "memory": tmp_path}
    vividness(prompts, **settings)
    before = world.rows
    paired_divergence([(p, "") for p in prompts], **settings)
    assert world.rows == before


def test_an_origin_and_a_single_draw():
    world, prompts = make_world(2)
    with pytest.raises(ValueError, match="origin: expected None, as vividness is a divergence"):
        vividness(prompts, model=world, memory=None, origin="empty")
    with pytest.warns(UserWarning, match="n_draws=1"):
        found = vividness(prompts, model=world, memory=None, **{**SMALL, "n_draws": 1})
    assert np.isnan(found.standard_errors).all()


@pytest.mark.filterwarnings("ignore:.*lies at the last noise level")
def test_a_table_shows_it():
    world, prompts = make_world(2)
    found = vividness(prompts, model=world, memory=None, **SMALL)
    frame = found.to_pandas()
    assert list(frame.columns) == ["prompt", "vividness", "standard_error", "low", "high"]
    assert list(frame["prompt"]) == prompts
    assert "Vividness in nats" in found._repr_html_()
    other = vividness(prompts, model=world, memory=None, weighting="paper", **SMALL)
    assert "nats" not in other._repr_html_()
    assert found.provenance["n_draws"] == SMALL["n_draws"]
