"""The origin of real pipelines: what a negative prompt, guidance and distillation make of it."""

import numpy as np
import pytest

import pipelines
from conjure_kernel import load_denoiser, paired_divergence, pairwise_divergence
from measured import IGNORED
from pipelines import base

pytestmark = pytest.mark.filterwarnings(IGNORED)

A, B = "a dog", "a small red cat"
FEW = {"n_steps": 3, "n_draws": 2, "check_steps": 0, "memory": None}


def relative(pipe, guidance=1.0, **options):
    model = load_denoiser(pipe, **options)
    return pairwise_divergence([A, B], model=model, origin="empty", guidance_scale=guidance, **FEW)


def test_without_guidance_a_negative_prompt_does_not_move_the_origin():
    plain = relative(pipelines.stable_diffusion())
    negative = relative(pipelines.stable_diffusion(), negative_prompt=B)
    np.testing.assert_allclose(negative.values, plain.values, rtol=1e-4)


def test_with_guidance_the_origin_is_still_the_empty_text_and_not_the_negative_one():
    model = load_denoiser(pipelines.stable_diffusion(), negative_prompt=B)
    settings = {"model": model, "guidance_scale": 3.0, **FEW}
    found = pairwise_divergence([A, B], origin="empty", **settings)
    j, ja, jb = paired_divergence([(A, B), (A, ""), (B, "")], **settings).values
    assert found.values[0, 1] == pytest.approx(j / np.sqrt(ja * jb), rel=1e-4)
    assert ja > 0.001
    assert jb > 0.001  # the negative prompt is a prompt like any other


@pytest.mark.filterwarnings("ignore:FluxPipeline is distilled", "ignore:.*lies at the last noise")
def test_a_distilled_model_has_the_origin_that_it_makes_of_an_empty_text():
    found = relative(base.flux(True), height=64, width=64)
    assert np.isfinite(found.values).all()
    assert found.values[0, 1] > 0
