"""The formula, written once, is the oracle of the engine."""

import numpy as np
import pytest

import pipelines
from conjure_kernel import load_denoiser, pairwise_divergence
from conjure_kernel.method.formula import jeffreys
from measured import IGNORED, A, B
from worlds import make_world


def test_the_engine_computes_the_formula():
    world, prompts = make_world(4)
    options = {"n_steps": 7, "n_draws": 3, "substeps": 3}
    settings = {"memory": None, "random_state": 5, "chains_per_draw": 1}
    measured = pairwise_divergence(prompts, model=world, **settings, **options)
    expected = [[jeffreys(world, a, b, seed=5, **options) for b in prompts] for a in prompts]
    np.testing.assert_allclose(measured.values, expected, rtol=1e-6)
    assert np.diag(expected).tolist() == [0] * 4


@pytest.mark.filterwarnings(IGNORED, "ignore:.*lies at the last noise level")
def test_the_engine_computes_the_formula_on_a_pipeline():
    model, options = load_denoiser(pipelines.flux()), {"n_steps": 4, "n_draws": 2}
    settings = {"model": model, "memory": None, "chains_per_draw": 1, "check_steps": 0}
    measured = pairwise_divergence([A, B], **settings, **options)
    expected = jeffreys(model, A, B, **options)
    np.testing.assert_allclose(measured.values[0, 1], expected, rtol=1e-5)


def test_it_tends_to_the_closed_form(pair):
    exact = pair.exact("a", "b", (-8, 8)).jeffreys
    assert jeffreys(pair, "a", "b", n_steps=50, n_draws=500) == pytest.approx(exact, rel=0.06)
