"""Whatever changes a prediction: J is right from a cache filled before the change, or is refused.

Each state is made on a pipeline that has been measured, and on a new one as another process would
build it. What a cache holds of the plain pipeline, or of the state itself, must not be mistaken.
"""

import functools

import accelerate
import diffusers
import numpy as np
import pytest
import torch
from diffusers.models import attention_processor

import pipelines
from conjure_kernel import pairwise_divergence
from conjure_kernel.models.pretrained.fingerprint import fingerprint_pipeline
from conjure_kernel.models.pretrained.load import load_denoiser
from measured import IGNORED, A, B

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(IGNORED, "ignore:.*lies at the last noise level"),
    pytest.mark.filterwarnings("ignore:.*cannot be told apart by content"),
    pytest.mark.filterwarnings("ignore:.*predictions have changed since this cache"),
    pytest.mark.filterwarnings("ignore:.*guided predictions are compared themselves"),
    pytest.mark.filterwarnings("ignore:n_draws=1", "ignore:.* prompts are longer than every"),
]
RUN = {"n_steps": 2, "n_draws": 1, "chains_per_draw": 1, "check_steps": 0}
GUIDED = ("a negative prompt", "rescaled guidance")  # which act only then


class Louder(attention_processor.AttnProcessor2_0):
    """A processor of a user's, with a number in an attribute."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def __call__(self, *args, **kwargs):
        return self.factor * super().__call__(*args, **kwargs)


class Adapted(torch.nn.Linear):
    """What peft puts in a layer's place: its scale is an attribute."""

    active_adapters, disable_adapters, merged_adapters = ("one",), False, ()

    def forward(self, x):
        return super().forward(x) * self.scaling["one"]


def adapt(pipe, scale):
    layer = pipe.unet.time_embedding.linear_1
    layer.__class__, layer.scaling = Adapted, {"one": scale}


def scale_weights(pipe, factor):
    pipe.unet.mid_block.resnets[0].conv1.weight.data.mul_(factor)


def change_back(pipe):
    weight = pipe.unet.conv_in.weight
    before = weight.detach().clone()
    weight.data.mul_(2)
    weight.data.copy_(before)


def hook(module, factor):
    module.register_forward_hook(lambda m, given, out: _scaled(out, factor))


def _scaled(out, factor):
    if isinstance(out, tuple):
        return (factor * out[0], *out[1:])
    return factor * out


def patch_forward(module, factor):
    forward = module.forward
    module.forward = lambda *args, **kwargs: _scaled(forward(*args, **kwargs), factor)


def patch_method(pipe):
    encode = pipe.encode_prompt

    def louder(*args, **kwargs):
        text, empty = encode(*args, **kwargs)
        return 1.5 * text, empty

    pipe.encode_prompt = louder


def edit_table(pipe):
    pipe.scheduler.alphas_cumprod = pipe.scheduler.alphas_cumprod**1.1


def swap(pipe, kind, **options):
    pipe.scheduler = kind.from_config(pipe.scheduler.config, **options)


def set_on(pipe, kind, **values):
    for module in pipe.unet.modules():
        if isinstance(module, kind):
            for name, value in values.items():
                setattr(module, name, value)


def add_a_word(pipe):
    pipe.tokenizer.add_tokens(["cat"])
    pipe.text_encoder.resize_token_embeddings(len(pipe.tokenizer))
    pipe.text_encoder.get_input_embeddings().weight.data[-1] = 1.0


def edit_buffer(pipe):
    pipe.text_encoder.embeddings.position_ids[0, 1] = 2


def to_dtype(pipe, dtype):
    pipe.to(dtype)


def cast_layers(pipe):
    pipe.unet.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)


def quantise(pipe):
    for weight in pipe.unet.parameters():
        weight.data.copy_(weight.data.to(torch.float8_e4m3fn).float())


def train(pipe):
    pipe.unet.mid_block.train()
    for module in pipe.unet.mid_block.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.1


def offload(pipe):
    accelerate.cpu_offload(pipe.unet, execution_device="cpu")


def read_only(pipe, step, t, given):
    return given


def moving(pipe, step, t, given):
    return {"latents": 1.1 * given["latents"]}


def part(function, *args, **kwargs):
    return lambda pipe: function(pipe, *args, **kwargs)


NOTHING = lambda pipe: None  # noqa: E731
ATTENTION = attention_processor.Attention
UNET, TEXT = (lambda pipe: pipe.unet), (lambda pipe: pipe.text_encoder)

# name: (change, arguments of the call, what is expected of J: "other", "same" or a refusal)
STATES = {
    "an adapter's scale": (part(adapt, 0.5), {}, "other"),
    "an adapter's scale of 1": (part(adapt, 1.0), {}, "same"),
    "a fused adapter": (part(scale_weights, 1.5), {}, "other"),
    "an adapter fused and unfused": (change_back, {}, "same"),
    "a textual inversion": (add_a_word, {}, "other"),
    "one weight of many": (part(scale_weights, 1.05), {}, "other"),
    "another plain processor": (
        lambda p: p.unet.set_attn_processor(attention_processor.AttnProcessor()),
        {},
        "same",
    ),
    "a user's processor": (lambda p: p.unet.set_attn_processor(Louder(0.5)), {}, "other"),
    "a user's processor of 1": (lambda p: p.unet.set_attn_processor(Louder(1.0)), {}, "same"),
    "attention in slices": (lambda p: p.enable_attention_slicing(1), {}, "same"),
    "fused projections": (lambda p: p.fuse_qkv_projections(), {}, "same"),
    "FreeU": (lambda p: p.enable_freeu(0.9, 0.2, 1.5, 1.6), {}, "other"),
    "a mild FreeU": (lambda p: p.enable_freeu(0.99, 0.95, 1.01, 1.05), {}, "other"),
    "FreeU on and off": (
        lambda p: (p.enable_freeu(0.9, 0.2, 1.5, 1.6), p.disable_freeu()),
        {},
        "same",
    ),
    "a hook on the network": (lambda p: hook(p.unet, 1.2), {}, "other"),
    "a hook on a block": (lambda p: hook(p.unet.mid_block, 1.5), {}, "other"),
    "a hook on the text encoder": (
        lambda p: hook(
            p.text_encoder.text_model.final_layer_norm
            if hasattr(p.text_encoder, "text_model")
            else p.text_encoder.final_layer_norm,
            1.5,
        ),
        {},
        "other",
    ),
    "a hook that looks": (lambda p: p.unet.register_forward_hook(lambda *_: None), {}, "same"),
    "a patched forward": (lambda p: patch_forward(p.unet.mid_block, 1.5), {}, "other"),
    "a patched forward of 1": (lambda p: patch_forward(p.unet.mid_block, 1.0), {}, "same"),
    "a patched method": (patch_method, {}, "other"),
    "a connection around attention": (
        lambda p: set_on(p, ATTENTION, residual_connection=True),
        {},
        "other",
    ),
    "an output factor": (lambda p: set_on(p, ATTENTION, rescale_output_factor=2.0), {}, "other"),
    "an epsilon": (lambda p: set_on(p, torch.nn.GroupNorm, eps=0.5), {}, "other"),
    "an unsaved buffer": (edit_buffer, {}, "other"),
    "an edited table": (edit_table, {}, "other"),
    "another solver": (lambda p: swap(p, diffusers.DPMSolverMultistepScheduler), {}, "same"),
    "a solver that sets times when made": (
        lambda p: swap(p, diffusers.HeunDiscreteScheduler),
        {},
        "same",
    ),
    "LMS": (lambda p: swap(p, diffusers.LMSDiscreteScheduler), {}, "same"),
    "Karras sigmas": (
        lambda p: swap(p, diffusers.EulerDiscreteScheduler, use_karras_sigmas=True),
        {},
        "same",
    ),
    "a v prediction": (
        lambda p: swap(p, diffusers.DDIMScheduler, prediction_type="v_prediction"),
        {},
        "other",
    ),
    "another schedule": (lambda p: swap(p, diffusers.DDIMScheduler, beta_end=0.02), {}, "other"),
    "no terminal noise": (
        lambda p: swap(p, diffusers.DDIMScheduler, rescale_betas_zero_snr=True),
        {},
        "other",
    ),
    "flow sigmas": (
        lambda p: swap(p, diffusers.DPMSolverMultistepScheduler, use_flow_sigmas=True),
        {},
        "other",
    ),
    "a shorter limit": (lambda p: setattr(p.tokenizer, "model_max_length", 5), {}, "other"),
    "bfloat16": (part(to_dtype, torch.bfloat16), {}, "other"),
    "a text encoder in bfloat16": (
        lambda p: p.text_encoder.to(torch.bfloat16),
        {},
        "must have the same dtype",  # says the pipeline itself
    ),
    "float8 weights cast in each layer": (cast_layers, {}, "other"),
    "quantised weights": (quantise, {}, "other"),
    "offloaded weights": (offload, {}, "same"),
    "another size": (NOTHING, {"height": 32, "width": 64}, "other"),
    "a negative prompt": (NOTHING, {"negative_prompt": "a small dog"}, "other"),
    "clean attention arguments": (NOTHING, {"cross_attention_kwargs": {}}, "same"),
    "rescaled guidance": (NOTHING, {"guidance_rescale": 0.7}, "other"),
    "a callback that looks": (NOTHING, {"callback_on_step_end": read_only}, "same"),
    "another callback that looks": (
        NOTHING,
        {"callback_on_step_end": lambda p, i, t, given: given},
        "same",
    ),
    "a callback that moves": (NOTHING, {"callback_on_step_end": moving}, "expected that only the"),
    "training": (train, {}, "in training mode"),
    "no steps at the end": (NOTHING, {"eta": 0.5}, "same"),
}


def measure(pipe, memory, call, w=1.0):
    """J between two prompts."""
    run = {**RUN, "guidance_scale": w, "model_kwargs": call}
    return pairwise_divergence([A, B], model=pipe, memory=memory, **run).values[0, 1]


@functools.cache
def plain(w=1.0):
    return measure(pipelines.stable_diffusion(), None, {}, w)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cache")
    for w in (1.0, 2.0):
        measure(pipelines.stable_diffusion(), root, {}, w)
    return root


@pytest.mark.parametrize("name", STATES)
def test_no_state_is_stale(name, folder):
    change, call, expected = STATES[name]
    pipe, w = pipelines.stable_diffusion(), 2.0 if name in GUIDED else 1.0
    held = [load_denoiser(pipe)]  # so that the change comes after
    change(pipe)
    if expected not in ("other", "same"):
        with pytest.raises((ValueError, RuntimeError), match=expected):
            measure(pipe, folder, call)
        return
    warm = [measure(pipe, folder, call, w)]
    another = pipelines.stable_diffusion()  # as another process would have it
    change(another)
    held.append(load_denoiser(another, **call))
    warm.append(measure(another, folder, call, w))
    cold = measure(another, None, call, w)
    np.testing.assert_allclose(warm, cold, rtol=1e-4)
    apart = abs(cold / plain(w) - 1)
    assert (apart > 1e-4) == (expected == "other"), apart


def test_what_is_kept_of_the_plain_pipeline_is_still_right(folder):
    pipe = pipelines.stable_diffusion()
    assert measure(pipe, folder, {}) == pytest.approx(plain(), rel=1e-5)
    rows = []
    pipe.unet.register_forward_hook(lambda m, given, out: rows.append(len(out[0])))
    load_denoiser(pipe)
    cost = sum(rows)
    measure(pipe, folder, {})
    assert sum(rows) > 2 * cost  # a function of a user's: nothing is taken from the cache


def test_a_patched_library_is_noticed_by_the_answers(folder, monkeypatch):
    pipe = pipelines.stable_diffusion()
    measure(pipe, folder, {})
    kind, before = attention_processor.AttnProcessor2_0, fingerprint_pipeline(pipe)
    call = kind.__call__
    monkeypatch.setattr(kind, "__call__", lambda *args, **kwargs: 0.5 * call(*args, **kwargs))
    assert fingerprint_pipeline(pipe) == before
    with pytest.warns(UserWarning, match="predictions have changed since this cache"):
        found = measure(pipe, folder, {})
    assert found == pytest.approx(measure(pipe, None, {}), rel=1e-4)
    assert found != pytest.approx(plain(), rel=0.01)
