"""Prompts that no text encoder reads to their end are flagged; equal readings are recognised."""

import pytest
import torch

import pipelines
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.models.pretrained.load import load_denoiser
from measured import IGNORED, A, measured

pytestmark = pytest.mark.filterwarnings(IGNORED)

ROOM = pipelines.CLIP_TOKENS - 2  # tokens between the two end markers
FULL = " ".join(["cat"] * ROOM)
LONG = FULL + " dog"  # one word more than CLIP reads
LONGER = FULL + " boat in the snow"
CLIP_ONLY = ["epsilon", "xl"]
WITH_T5 = {"3": pipelines.stable_diffusion_3, "flux": pipelines.flux}


def read(denoiser, prompts, w=1.0):
    """Return the trajectories: they carry what was read."""
    return denoiser.trace(prompts, [0], ChainSettings(denoiser.make_grid(2), guidance_scale=w))


@pytest.mark.parametrize("w", [1.0, 3.0])
@pytest.mark.parametrize("name", CLIP_ONLY)
def test_a_prompt_is_flagged_where_text_was_lost(name, w):
    prompts = ["", A, FULL, LONG, LONGER]
    found = read(measured(name), prompts, w)
    assert [t.truncated for t in found] == [False, False, False, True, True]


@pytest.mark.parametrize("name", CLIP_ONLY)
def test_prompts_equal_after_the_cut_have_equal_tokens_and_predictions(name):
    full, long, longer, other = read(measured(name), [FULL, LONG, LONGER, "dog " + LONG])
    assert full.tokens == long.tokens == longer.tokens != other.tokens
    denoiser = measured(name)
    x = long.x.transpose(0, 1)
    one, two, three = (
        denoiser.predict_eps([p], x, denoiser.make_grid(2)) for p in (LONG, LONGER, A)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_what_is_read_depends_on_the_prompt_alone():
    denoiser = measured("xl")
    (alone,) = read(denoiser, [LONG])
    among = read(denoiser, [A, LONG])[1]
    (guided,) = read(denoiser, [LONG], 3.0)
    for trajectory in (among, guided):
        assert (trajectory.truncated, trajectory.tokens) == (alone.truncated, alone.tokens)


def test_the_end_token_is_kept():
    pipe, seen = pipelines.stable_diffusion(), []
    denoiser = load_denoiser(pipe)
    pipe.text_encoder.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    read(denoiser, [LONG])
    tokenizer = pipe.tokenizer
    assert seen[0].shape == (1, pipelines.CLIP_TOKENS)
    assert seen[0][0, -1] == tokenizer.eos_token_id
    assert seen[0][0, -2] == tokenizer("cat").input_ids[1]


@pytest.mark.parametrize("name", WITH_T5)
def test_a_prompt_that_one_encoder_reads_to_its_end_is_not_flagged(name):
    denoiser = measured(name)  # T5 reads 256 or 512 tokens
    long, longer = read(denoiser, [LONG, LONGER])
    assert not long.truncated
    assert not longer.truncated
    assert long.tokens != longer.tokens


@pytest.mark.parametrize("name", WITH_T5)
@pytest.mark.parametrize(("limit", "flags"), [(20, [False, True]), (ROOM, [True, True])])
def test_a_limit_given_as_an_argument_counts(name, limit, flags):
    denoiser = load_denoiser(WITH_T5[name](), max_sequence_length=limit)
    long = LONG  # 15 words and T5's end token
    longer = " ".join([LONG] * 2)
    found = read(denoiser, [long, longer])
    assert [t.truncated for t in found] == flags
    assert (found[0].tokens == found[1].tokens) is all(flags)


def test_the_tokenizers_are_put_back():
    pipe = pipelines.stable_diffusion_3()
    names = ("tokenizer", "tokenizer_2", "tokenizer_3")
    found = [getattr(pipe, name) for name in names]
    denoiser = load_denoiser(pipe)
    read(denoiser, [LONG])
    assert all(getattr(pipe, n) is tokenizer for n, tokenizer in zip(names, found, strict=True))

    def fail(module, given):
        assert type(pipe.tokenizer) is not type(found[0])  # watched while it runs
        raise KeyboardInterrupt

    pipe.transformer.pos_embed.register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        read(denoiser, [LONG])
    assert all(getattr(pipe, n) is tokenizer for n, tokenizer in zip(names, found, strict=True))


def test_a_pipeline_that_asks_no_tokenizer_flags_nothing():
    pipe = pipelines.stable_diffusion()
    with torch.no_grad():
        fixed = pipe.encode_prompt([A], "cpu", 1, False)[0]
    pipe.encode_prompt = lambda prompt, device, n_images, *_, **__: (
        fixed.expand(len(prompt) * n_images, -1, -1),
        -fixed,
    )
    (trajectory,) = read(load_denoiser(pipe), [LONG])
    assert (trajectory.truncated, trajectory.tokens) == (False, "")
