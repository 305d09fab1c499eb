"""What a pipeline does with guidance, rows and layouts is measured, or refused."""

import functools
from contextlib import nullcontext

import diffusers
import numpy as np
import pytest
import torch

import pipelines
from conjure_kernel import ConjureDistance
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.models.pretrained.load import load_denoiser
from conjure_kernel.models.probe import same_answer
from conjure_kernel.models.task import Replay
from measured import IGNORED, PIPELINES, A, B, join, measured, network
from pipelines import preserving, recent

pytestmark = pytest.mark.filterwarnings(IGNORED)

TRUE_CALL = diffusers.StableDiffusionPipeline.__call__


class ShiftedGuidance(diffusers.StableDiffusionPipeline):
    """Z-Image's convention: guided = c + g (c - u), so that g = 0 is unguided."""

    @functools.wraps(TRUE_CALL)
    def __call__(self, *args, guidance_scale=4.0, **kwargs):
        return TRUE_CALL(self, *args, guidance_scale=guidance_scale + 1, **kwargs)


class ScaledLatents(diffusers.StableDiffusionPipeline):
    """Does not start from the latents that it is handed."""

    @functools.wraps(TRUE_CALL)
    def __call__(self, *args, latents=None, **kwargs):
        latents = None if latents is None else 2 * latents
        return TRUE_CALL(self, *args, latents=latents, **kwargs)


class Drifting(diffusers.StableDiffusionPipeline):
    """Moves the state between two steps."""

    @functools.wraps(TRUE_CALL)
    def __call__(self, *args, latents=None, **kwargs):
        def move(pipe, step, t, given):
            return {"latents": 2 * given["latents"]}

        return TRUE_CALL(self, *args, callback_on_step_end=move, **kwargs)


class OneImage(diffusers.StableDiffusionPipeline):
    """Takes no num_images_per_prompt."""

    def __call__(self, prompt, guidance_scale=1.0, **kwargs):
        return super().__call__(prompt, guidance_scale=guidance_scale, **kwargs)


def make(kind):
    return kind(**pipelines.stable_diffusion().components, requires_safety_checker=False)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_is_recognised(name):
    calibration = measured(name).calibration
    assert calibration.guidance_offset == (None if name == "flux" else 0)
    assert calibration.prompts_share_a_call
    assert calibration.rows_argument == "num_images_per_prompt"
    assert calibration.shape == ((16, 16) if name == "flux" else (4, 8, 8))
    assert (calibration.device.type, calibration.dtype) == ("cpu", torch.float32)
    assert len(calibration.probe) == 96


def test_calibration_counts_its_evaluations():
    pipe, rows = pipelines.stable_diffusion(), []
    hook = pipe.unet.register_forward_hook(lambda module, x, y: rows.append(len(y[0])))
    denoiser = load_denoiser(pipe)
    hook.remove()
    assert denoiser.calibration.n_evaluations == sum(rows) <= 40
    assert denoiser.n_evaluations == 0


def test_the_probe_repeats_itself_and_tells_models_apart():
    probes = [load_denoiser(pipelines.stable_diffusion(seed=s)).probe for s in (0, 0, 1)]
    assert probes[0] == probes[1] != probes[2]


def test_a_shifted_guidance_is_mapped():
    shifted, plain = (
        load_denoiser(make(ShiftedGuidance)),
        load_denoiser(pipelines.stable_diffusion()),
    )
    assert shifted.calibration.guidance_offset == -1
    for w in (1.0, 3.0):
        chain = ChainSettings(plain.make_grid(3), guidance_scale=w)
        (one,), (two,) = (denoiser.trace([A], [0], chain) for denoiser in (shifted, plain))
        assert torch.equal(one.x, two.x)
        assert torch.equal(one.eps, two.eps)


@pytest.mark.parametrize("guidance_embeds", [False, True])
def test_a_model_without_classifier_free_guidance_takes_only_1(guidance_embeds):
    warned = pytest.warns(UserWarning, match="FluxPipeline is distilled .its network takes")
    with warned if guidance_embeds else nullcontext():
        denoiser = load_denoiser(pipelines.flux(guidance_embeds))
    assert denoiser.calibration.guidance_offset is None
    with pytest.raises(ValueError, match=r"guidance_scale=2: .* no classifier-free guidance"):
        denoiser.trace([A], [0], ChainSettings(denoiser.make_grid(2), guidance_scale=2))


def test_a_consistency_sampler_is_warned_about():
    pipe = pipelines.stable_diffusion()
    pipe.scheduler = diffusers.LCMScheduler.from_config(pipe.scheduler.config)
    with pytest.warns(UserWarning, match="distilled .its scheduler is a consistency model's"):
        load_denoiser(pipe)
    with pytest.warns(UserWarning, match="input and its scheduler"):
        load_denoiser(preserving.latent_consistency())


@pytest.mark.filterwarnings("ignore:FluxPipeline is distilled")
def test_an_embedded_guidance_is_an_argument_of_the_call():
    default, named, other = (
        load_denoiser(pipelines.flux(guidance_embeds=True), **call)
        for call in ({}, {"guidance_scale": 3.5}, {"guidance_scale": 1.5})
    )
    assert default.probe == named.probe != other.probe


@pytest.mark.parametrize("kind", [pipelines.stable_diffusion, pipelines.stable_diffusion_xl])
def test_guidance_that_is_not_linear_is_compared_itself_and_said_once(kind):
    denoiser = load_denoiser(kind(), guidance_rescale=0.7)
    chain = ChainSettings(denoiser.make_grid(2), guidance_scale=3)
    with pytest.warns(UserWarning, match="guided predictions are compared themselves"):
        x, eps = join(denoiser.trace([A], [0], chain))
    energies = denoiser.predict([B], x, eps, chain)  # without a second warning
    tasks = [Replay(chain.grid, x) for _ in (A, B)]
    for task, prompt in zip(tasks, (A, B), strict=True):
        denoiser.run(task, [prompt], 1, 3.0)
    one, two = (torch.stack(task.predictions) for task in tasks)
    torch.testing.assert_close(energies, (one - two).flatten(2).square().sum(2))
    plain = ChainSettings(chain.grid)
    plain = 9 * denoiser.predict([B], x, denoiser.predict_eps([A], x, chain.grid), plain)
    assert not torch.allclose(energies, plain, rtol=0.05)
    assert not load_denoiser(kind(), guidance_rescale=0.0).both_branches


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Drifting, "Drifting: expected that only the scheduler changes the state"),
    ],
)
def test_a_loop_that_cannot_be_measured_is_refused_by_name(kind, message):
    with pytest.raises(ValueError, match=message):
        load_denoiser(make(kind))


def test_a_prompt_is_repeated_where_no_argument_does_that():
    one, many = load_denoiser(make(OneImage)), load_denoiser(pipelines.stable_diffusion())
    assert (one.calibration.rows_argument, one.prompts_share_a_call) == ("", True)
    chain = ChainSettings(many.make_grid(3))
    for ours, theirs in zip(
        one.trace([A, B], [0, 1], chain), many.trace([A, B], [0, 1], chain), strict=True
    ):
        torch.testing.assert_close(ours.eps, theirs.eps, rtol=1e-4, atol=1e-5)
        assert ours.tokens == theirs.tokens


def test_a_pipeline_that_starts_from_its_own_state_is_led_by_a_step():
    led, plain = load_denoiser(make(ScaledLatents)), load_denoiser(pipelines.stable_diffusion())
    assert (led.leading_steps, plain.leading_steps) == (1, 0)
    rows = []
    network(led.pipeline).register_forward_hook(lambda module, x, y: rows.append(len(y[0])))
    chain = ChainSettings(plain.make_grid(3), guidance_scale=3)
    state = torch.get_rng_state()
    one, two = (denoiser.trace([A, B], [0, 1], chain) for denoiser in (led, plain))
    assert torch.equal(torch.get_rng_state(), state)
    assert led.n_evaluations == sum(rows)
    for ours, theirs in zip(one, two, strict=True):
        assert torch.equal(ours.x, theirs.x)
        assert torch.equal(ours.eps, theirs.eps)
    assert (led.decode(one[0].x0) == plain.decode(two[0].x0)).all()


def test_guidance_by_another_argument_is_refused():
    with pytest.raises(ValueError, match=r"QwenImage.*: expected 1 row .*got 2 .*true_cfg_scale="):
        load_denoiser(recent.qwen_image(), height=64, width=64, negative_prompt=B)


def test_a_pipeline_without_a_network_is_refused():
    pipe = pipelines.stable_diffusion()
    encoder = diffusers.DDPMPipeline(unet=pipe.unet, scheduler=pipe.scheduler)
    encoder.register_modules(unet=None)
    with pytest.raises(ValueError, match="DDPMPipeline: expected a unet or a transformer"):
        load_denoiser(encoder)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            {"heigth": 64},
            "heigth: expected arguments of load_denoiser or of StableDiffusion",
        ),
        ({"local_files_only": True}, "local_files_only: expected arguments of load_denoiser"),
        ({"guidance_scale": 7.5}, r"guidance_scale: expected in each .*ConjureDistance\(guidance"),
        (
            {"num_images_per_prompt": 2, "latents": None},
            "latents, num_images_per_prompt: expected",
        ),
    ],
)
def test_an_argument_that_would_be_ignored_is_refused(call, message):
    with pytest.raises(TypeError, match=message):
        load_denoiser(pipelines.stable_diffusion(), **call)


def test_arguments_of_the_call_reach_every_call():
    plain = load_denoiser(pipelines.stable_diffusion())
    small = load_denoiser(pipelines.stable_diffusion(), height=32, width=64)
    assert small.shape == (4, 4, 8)
    (trajectory,) = small.trace([A], [0], ChainSettings(small.make_grid(2)))
    assert small.decode(trajectory.x0).shape == (1, 32, 64, 3)
    negative = load_denoiser(pipelines.stable_diffusion(), negative_prompt=B)
    chains = [ChainSettings(plain.make_grid(2), guidance_scale=w) for w in (1, 3)]
    same, moved = (
        torch.equal(*(d.trace([A], [0], chain)[0].x for d in (plain, negative))) for chain in chains
    )
    assert same
    assert not moved


@pytest.mark.parametrize("share", [True, False])
def test_a_companion_prompt_that_changes_a_row_is_noticed(share):
    pipe = pipelines.stable_diffusion()

    def mix(module, given, output):
        if not share:
            output[0].add_(output[0].mean(0))

    pipe.text_encoder.register_forward_hook(mix)
    assert load_denoiser(pipe).prompts_share_a_call is share


def test_a_nan_at_load_is_not_taken_for_something_else():
    pipe = pipelines.stable_diffusion()
    pipe.unet.conv_in.weight.data.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match=r"'a photograph.*NaN.*log-SNR .*torch.float32"):
        load_denoiser(pipe)


def test_every_prompt_of_a_call_gets_its_own_rows():
    denoiser = measured("epsilon")
    chain = ChainSettings(denoiser.make_grid(2))
    x, eps = join(denoiser.trace([A, B], [0, 1], chain))
    tasks = [Replay(chain.grid, part) for part in (x, x[:, :2], x[:, 2:])]
    for task, prompts in zip(tasks, ([A, B], [A], [B]), strict=True):
        denoiser.run(task, prompts, 2, 1.0)
    together, of_a, of_b = (torch.stack(task.predictions) for task in tasks)
    torch.testing.assert_close(together, torch.cat([of_a, of_b], 1), rtol=1e-4, atol=1e-5)
    assert torch.equal(together, eps)
    assert network(denoiser.pipeline) is denoiser.pipeline.unet


# ---------------------------------------------------------------- what would be wrong in silence


def test_numbers_drawn_without_a_seed_are_refused():
    pipe = pipelines.stable_diffusion()

    def disturb(module, given, out):
        out[0].add_(torch.rand(out[0].shape) / 9)

    pipe.text_encoder.register_forward_hook(disturb)
    with pytest.raises(ValueError, match=r"two equal calls differ by .* of the difference between"):
        load_denoiser(pipe)


def louder(pipe, step, t, given):
    return {"prompt_embeds": 1.5 * given["prompt_embeds"]}


def test_what_is_carried_from_step_to_step_is_refused():
    call = {"callback_on_step_end": louder, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    with pytest.raises(ValueError, match=r"is carried from step to step.*disable_cache"):
        load_denoiser(pipelines.stable_diffusion(), **call)
    pipe = pipelines.flux()
    pipe.transformer.enable_cache(diffusers.FirstBlockCacheConfig(threshold=1e-3))
    with pytest.raises(ValueError, match="is carried from step to step"):
        load_denoiser(pipe)
    pipe.transformer.disable_cache()
    load_denoiser(pipe)


def test_numbers_drawn_from_the_generator_are_not():
    class OwnNoise(diffusers.StableDiffusionPipeline):
        @functools.wraps(TRUE_CALL)
        def __call__(self, *args, generator=None, negative_prompt=None, **kwargs):
            drawn = f"{int(torch.randint(9, (1,), generator=generator))} birds"
            negative = [drawn] * len(kwargs["prompt"])
            return TRUE_CALL(self, *args, generator=generator, negative_prompt=negative, **kwargs)

    assert load_denoiser(make(OwnNoise)).calibration.repeats_within == 0


@pytest.mark.parametrize("p", [0.0, 0.1])
def test_a_part_in_training_mode_is_refused_if_it_draws(p):
    pipe = pipelines.stable_diffusion()
    layer = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_out[1]
    layer.p = p
    layer.train()
    if not p:
        assert load_denoiser(pipe)
        return
    with pytest.raises(ValueError, match=r"unet\.mid_block.*Dropout.*pipeline\.unet"):
        load_denoiser(pipe)


@pytest.mark.parametrize("step", [0, 5])
def test_a_callback_that_moves_the_state_is_refused_whenever_it_does(step):
    def move(pipe, i, t, given):
        return {"latents": given["latents"] * (1.1 if i >= step else 1)}

    pipe = pipelines.stable_diffusion()
    if step == 0:
        with pytest.raises(ValueError, match="a callback or the loop moves it"):
            load_denoiser(pipe, callback_on_step_end=move)
        return
    denoiser = load_denoiser(pipe, callback_on_step_end=move)
    assert denoiser.unnamed == ["callback_on_step_end"]
    assert denoiser.trace([A], [0], ChainSettings(denoiser.make_grid(4)))
    with pytest.raises(RuntimeError, match="a callback or the loop moves it"):
        denoiser.trace([A], [0], ChainSettings(denoiser.make_grid(8)))


def test_a_network_that_is_handed_another_time_is_refused():
    pipe = pipelines.stable_diffusion()
    pipe.unet.register_forward_pre_hook(lambda m, given: (given[0], given[1] ** 2, *given[2:]))
    with pytest.raises(ValueError, match="that its network is handed the scheduler's times"):
        load_denoiser(pipe)


@pytest.mark.parametrize(
    ("stop", "message"), [(0.9, r"takes 2\.5 rows.*skip_"), (0.2, "in some of the steps only")]
)
def test_guidance_in_some_steps_only_is_refused(stop, message):
    kwargs = {"skip_guidance_layers": [0], "skip_layer_guidance_stop": stop}
    denoiser = load_denoiser(pipelines.stable_diffusion_3(), **kwargs)
    chain = ChainSettings(denoiser.make_grid(8), guidance_scale=3)
    with pytest.raises((RuntimeError, ValueError), match=message):
        denoiser.trace([A], [0], chain)
    assert denoiser.trace([A], [0], ChainSettings(chain.grid))


def test_perturbed_attention_is_refused_with_its_switch():
    parts = pipelines.stable_diffusion().components
    pag = diffusers.StableDiffusionPAGPipeline(**parts, requires_safety_checker=False)
    with pytest.raises(ValueError, match=r"something else guides it.*pag_scale="):
        load_denoiser(pag)
    assert load_denoiser(pag, pag_scale=0.0).calibration.guidance_offset == 0


def test_a_small_effect_of_a_companion_counts_where_prompts_differ_little():
    pipe = pipelines.stable_diffusion()

    def weaken(module, given, output):  # the prompts differ by a thousandth of what they did
        text = output[0]
        common = text.new_ones(text.shape[-1])
        mixed = 1e-3 * text + 1e-4 * text.mean(0, keepdim=True)
        output[0].copy_(common + mixed)

    pipe.text_encoder.register_forward_hook(weaken)
    assert not load_denoiser(pipe).prompts_share_a_call


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", [pipelines.stable_diffusion, pipelines.stable_diffusion_3])
def test_half_precision_is_taken_for_neither_of_these(kind, dtype):
    denoiser = load_denoiser(kind().to(dtype))
    assert not denoiser.both_branches
    assert denoiser.calibration.guidance_offset == 0
    assert denoiser.dtype == dtype


def test_the_probe_sees_a_change_of_a_hundredth_of_what_prompts_differ_by():
    probe = np.array(measured("epsilon").probe).reshape(2, 3, 16)
    apart = np.sqrt(np.square(probe[0] - probe[1]).mean(-1))[None, :, None]
    for share, same in ((0.002, True), (0.05, False)):
        assert same_answer(probe.flatten(), (probe + share * apart).flatten()) is same


def test_what_a_checker_blacked_out_or_has_no_number_is_said():
    pipe = pipelines.stable_diffusion()
    denoiser = load_denoiser(pipe)
    state = torch.zeros(2, 4, 8, 8)
    pipe.run_safety_checker = lambda image, device, dtype: (0 * image, [True, False])
    with pytest.warns(UserWarning, match=r"black picture in the place of 1 of 2.*safety_checker"):
        denoiser.decode(state)
    state[1] = torch.nan
    with pytest.raises(FloatingPointError, match=r"in torch.float32: a decoded picture has NaN"):
        denoiser.decode(state)


def test_a_picture_that_is_not_finite_names_its_prompt(monkeypatch):
    pipe = pipelines.stable_diffusion()
    decode = pipe.vae.decode

    def overflow(latents, **kwargs):
        (made,) = decode(latents, **kwargs)
        made[2] = torch.nan
        return (made,)

    monkeypatch.setattr(pipe.vae, "decode", overflow)
    fitted = ConjureDistance(pipe, n_steps=2, n_draws=2, memory=None).fit([A, B])
    with pytest.raises(FloatingPointError, match=rf"prompt '{B}'.*picture has NaN.*float32"):
        fitted.conjure_images(n=2)
