"""What is edited in place after a pipeline was loaded or measured: never another thing's number."""

import pytest
import tokenizers
import torch

import pipelines
from conjure_kernel import load_denoiser, pairwise_divergence
from measured import IGNORED

pytestmark = pytest.mark.filterwarnings(IGNORED)

A, B = "a dog", "a boat"
FEW = {"n_steps": 2, "n_draws": 2, "check_steps": 0}


def j(model, memory, prompts=(A, B), **settings):
    return pairwise_divergence(list(prompts), model=model, memory=memory, **FEW, **settings).values[
        0, 1
    ]


def test_a_tokenizer_that_is_edited_in_place_has_a_cache_of_its_own(tmp_path):
    pipe = pipelines.stable_diffusion()
    plain = j(pipe, tmp_path, (A, "a cat"))
    assert plain > 0
    pipe.tokenizer.backend_tokenizer.normalizer = tokenizers.normalizers.Replace("boat", "dig")
    edited = j(pipe, tmp_path)
    fresh = j(pipelines.stable_diffusion(), None)
    assert edited != pytest.approx(fresh, rel=1e-3)
    assert j(pipelines.stable_diffusion(), tmp_path) == pytest.approx(fresh, rel=1e-4)


def embeds(pipe, text):
    return pipe.encode_prompt(text, "cpu", 1, False)[0].detach()


def test_embeddings_are_those_of_the_loading(tmp_path):
    pipe = pipelines.stable_diffusion()
    x, y = embeds(pipe, A), embeds(pipe, B)
    model = load_denoiser(pipe, embeddings={"x": x, "y": y})
    expected = j(model, None, ("x", "y"))
    y.mul_(3)
    assert j(model, None, ("x", "y")) == pytest.approx(expected, rel=1e-4)
    assert j(model, tmp_path, ("x", "y")) == pytest.approx(expected, rel=1e-4)
    again = load_denoiser(pipelines.stable_diffusion(), embeddings={"x": x, "y": y / 3})
    assert j(again, tmp_path, ("x", "y")) == pytest.approx(expected, rel=1e-4)


def test_tensors_among_the_arguments_are_those_of_the_loading():
    pipe = pipelines.stable_diffusion()
    negative = embeds(pipe, "blur").clone()
    model = load_denoiser(pipe, negative_prompt_embeds=negative)
    expected = j(model, None, guidance_scale=3.0)
    with torch.no_grad():
        negative.mul_(4)
    assert j(model, None, guidance_scale=3.0) == pytest.approx(expected, rel=1e-4)
