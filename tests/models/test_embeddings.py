"""Prompts that are given as embeddings: what Compel makes, and texts longer than the encoder."""

import numpy as np
import pytest
import torch

import pipelines
from conjure_kernel import ConjureDistance, pairwise_divergence
from conjure_kernel.models.pretrained.load import load_denoiser
from measured import IGNORED, A, B

pytestmark = [pytest.mark.filterwarnings(IGNORED), pytest.mark.filterwarnings("ignore:n_draws=1")]
RUN = {"n_steps": 2, "n_draws": 1, "check_steps": 0}


def measure(pipe, prompts, embeddings, memory=None, w=1.0, **call):
    given = {"model_kwargs": {"embeddings": embeddings, **call}, "guidance_scale": w}
    return pairwise_divergence(prompts, model=pipe, memory=memory, **RUN, **given)


def encode(pipe, prompt):
    return pipe.encode_prompt(prompt, "cpu", 1, False)[0]


def test_a_name_is_found_by_either_form_of_its_letters():
    pipe = pipelines.stable_diffusion()
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    task = load_denoiser(pipe, embeddings={decomposed: encode(pipe, A)})
    grid = task.make_grid(3)
    x = torch.ones(3, 2, *task.shape)
    one, two = (task.predict_eps([name], x, grid) for name in (composed, A))
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("w", [1.0, 3.0])
def test_an_embedding_is_measured_as_its_text_is(w):
    pipe = pipelines.stable_diffusion()
    found = measure(pipe, ["as text", B], {"as text": encode(pipe, A)}, w=w)
    other = measure(pipe, [A, B], {"unused": encode(pipe, A)}, w=w)
    # The noise of a prompt is that of its name, so that J differs by its error.
    assert found.values[0, 1] == pytest.approx(other.values[0, 1], rel=0.5)
    task = [load_denoiser(pipe, embeddings={"as text": encode(pipe, A)}) for _ in range(2)]
    assert task[0] is task[1]
    grid = task[0].make_grid(3)
    x = torch.ones(3, 2, *task[0].shape)
    one, two = (task[0].predict_eps([name], x, grid) for name in ("as text", A))
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


def test_weights_and_long_prompts_reach_the_network():
    pipe = pipelines.stable_diffusion()
    plain = encode(pipe, A)
    loud, long = 1.5 * plain, torch.cat([plain, encode(pipe, B)], 1)
    embeddings = {"plain": plain, "loud": loud, "long": long}
    found = measure(pipe, ["plain", "loud", "long", A], embeddings).values
    assert (found[np.triu_indices(3, 1)] > 1e-3).all()
    assert found[0, 3] < 1e-6 * found[0, 1]
    negative = torch.cat(2 * [encode(pipe, "")], 1)  # as long as the prompt, as pipelines want it
    whole = {"long": {"prompt_embeds": long, "negative_prompt_embeds": negative}}
    assert measure(pipe, ["long", A], whole, w=2.0).values[0, 1] > 0


def test_two_encoders_take_two_tensors():
    pipe = pipelines.stable_diffusion_xl()
    text, _, pooled, _ = pipe.encode_prompt(A, device="cpu", do_classifier_free_guidance=False)
    given = {"as text": {"prompt_embeds": text, "pooled_prompt_embeds": pooled}}
    assert measure(pipe, ["as text", A], given).values[0, 1] < 1e-6


def test_the_content_belongs_to_the_key(tmp_path):
    pipe = pipelines.stable_diffusion()
    plain = encode(pipe, A)
    one, other, again = (
        measure(pipe, ["named", B], {"named": factor * plain}, tmp_path) for factor in (1, 2, 1)
    )
    assert one.n_evaluations > 0
    assert again.n_evaluations == 0
    np.testing.assert_array_equal(one.values, again.values)
    assert other.values[0, 1] != pytest.approx(one.values[0, 1], rel=1e-3)


def test_an_estimator_by_name_takes_them_too(tmp_path):
    pipe = pipelines.stable_diffusion()
    pipe.save_pretrained(tmp_path)
    given = {"embeddings": {"named": encode(pipe, A)}}
    fitted = ConjureDistance(
        str(tmp_path), model_kwargs=given, dtype="float32", memory=None, **RUN
    ).fit(["named", B])
    expected = measure(pipe, ["named", B], given["embeddings"]).values
    np.testing.assert_allclose(fitted.divergences_, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"one": "text"}, TypeError, r"expected \{name: prompt_embeds\}.*'one': 'text'"),
        ({3: torch.ones(1, 2, 2)}, TypeError, "got 3"),
        ({"one": {"pooled": torch.ones(1, 2)}}, TypeError, "with prompt_embeds among them"),
        ({"one": torch.ones(2, 4, 32)}, ValueError, r"'one': expected one row.*\(2, 4, 32\)"),
    ],
)
def test_what_is_no_embedding_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        load_denoiser(pipelines.stable_diffusion(), embeddings=given)


def test_an_argument_that_the_call_has_not_is_named():
    given = {"one": {"prompt_embeds": torch.ones(1, 16, 32), "pooled": torch.ones(1, 2)}}
    with pytest.raises(TypeError, match="StableDiffusionPipeline takes no pooled"):
        measure(pipelines.stable_diffusion(), ["one", A], given)
