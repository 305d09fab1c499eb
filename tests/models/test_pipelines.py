"""The tiny pipelines run, listen to their prompts, repeat themselves and answer exactly."""

import diffusers
import numpy as np
import pytest
import torch
from torch.distributions import Normal

import pipelines

# EulerDiscreteScheduler hands a tensor to np.array; torch 2.13 lacks the copy keyword of NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RANDOM = ["stable_diffusion", "stable_diffusion_xl", "stable_diffusion_3", "flux"]
PROMPTS = ["a photo of a cat", "a photo of a dog", "blue house", ""]
RNG = np.random.default_rng(0)
WORLD = {p: (RNG.normal(size=16), RNG.uniform(0.2, 2.0, size=16)) for p in PROMPTS}


def denoiser(pipe):
    return pipe.unet if hasattr(pipe, "unet") else pipe.transformer


def run(pipe, prompt, **call):
    """Return the latents and each (inputs, output) of the denoiser."""
    seen = []
    hook = denoiser(pipe).register_forward_hook(
        lambda _, args, kwargs, out: seen.append(({**dict(enumerate(args)), **kwargs}, out[0])),
        with_kwargs=True,
    )
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    call = {"num_inference_steps": 2, "output_type": "latent", "generator": generator} | call
    latents = pipe(prompt=prompt, **call).images
    hook.remove()
    return latents, seen


@pytest.mark.parametrize("kind", ["clip", "t5"])
def test_truncation_keeps_the_end_token(kind):
    text = pipelines.tokenizer(kind)
    ids = text("cat " * 30, truncation=True, max_length=pipelines.CLIP_TOKENS).input_ids
    assert len(ids) == pipelines.CLIP_TOKENS
    assert ids[-1] == text.eos_token_id
    assert ids[-2] == text("a cat").input_ids[-2]
    assert text.unk_token_id not in text("Any (odd) word!").input_ids[:-1]


@pytest.mark.parametrize("name", RANDOM)
def test_random_pipeline(name):
    state = torch.get_rng_state()
    pipe, again = getattr(pipelines, name)(), getattr(pipelines, name)()
    latents = run(pipe, PROMPTS[0])[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(latents, run(again, PROMPTS[0])[0])
    assert torch.isfinite(latents).all()
    assert latents.numel() == 4 * pipelines.SIDE**2
    assert latents.dtype == denoiser(pipe).dtype == torch.float32
    assert not any(m.training for m in pipe.components.values() if isinstance(m, torch.nn.Module))
    other = getattr(pipelines, name)(seed=1)
    assert not torch.equal(latents, run(other, PROMPTS[0])[0])


@pytest.mark.parametrize("name", RANDOM)
def test_prompts_matter(name):
    pipe = getattr(pipelines, name)()
    first = [run(pipe, p, guidance_scale=1.0)[1][0][1].flatten() for p in PROMPTS]
    distance = torch.cdist(torch.stack(first), torch.stack(first)) / first[0].norm()
    assert distance[~torch.eye(len(PROMPTS), dtype=torch.bool)].min() > 2e-2


@pytest.mark.parametrize("argument", ["prompt_2", "prompt_3"])
def test_t5_matters_beside_clip(argument):
    pipe = pipelines.flux() if argument == "prompt_2" else pipelines.stable_diffusion_3()
    one, two = (run(pipe, "a cat", **{argument: p})[1][0][1] for p in PROMPTS[1:3])
    assert (one - two).norm() > 1e-2 * one.norm()


def test_flux_listens_to_its_guidance_embedding():
    pipe = pipelines.flux(guidance_embeds=True)
    one, two = (run(pipe, "a cat", guidance_scale=w) for w in (1.0, 4.0))
    assert not torch.equal(one[0], two[0])
    assert [len(x["hidden_states"]) for x, _ in two[1]] == [1, 1]


def test_round_trip(tmp_path):
    pipe = pipelines.stable_diffusion("v_prediction")
    pipe.save_pretrained(tmp_path)
    loaded = diffusers.DiffusionPipeline.from_pretrained(tmp_path)
    text = "Two red horses, 3 cats!"
    assert loaded.tokenizer(text).input_ids == pipe.tokenizer(text).input_ids
    assert loaded.scheduler.config.prediction_type == "v_prediction"
    assert torch.equal(run(loaded, text)[0], run(pipe, text)[0])


def exact_eps(x, prompt, alpha, sigma):
    """Return -sigma times the score, the gradient of the log density."""
    mean, variance = (torch.as_tensor(a) for a in WORLD[prompt])
    x = x.double().flatten().requires_grad_()
    density = Normal(alpha * mean, (alpha**2 * variance + sigma**2).sqrt()).log_prob(x).sum()
    return -sigma * torch.autograd.grad(density, x)[0]


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_gaussian_stable_diffusion(prediction_type):
    pipe = pipelines.gaussian_stable_diffusion(WORLD, prediction_type)
    latents, seen = run(pipe, PROMPTS[:2], guidance_scale=3.0)
    assert latents.shape == (2, 4, 2, 2)
    for inputs, out in seen:
        acp = pipe.scheduler.alphas_cumprod.double()[inputs[1]]
        alpha, sigma = acp.sqrt(), (1 - acp).sqrt()
        for x, prediction, prompt in zip(inputs[0], out, ["", "", *PROMPTS[:2]], strict=True):
            eps = exact_eps(x, prompt, alpha, sigma)
            x_0 = (x.flatten() - sigma * eps) / alpha
            v = alpha * eps - sigma * x_0
            expected = {"epsilon": eps, "sample": x_0, "v_prediction": v}[prediction_type]
            torch.testing.assert_close(prediction.flatten().double(), expected, rtol=0, atol=1e-5)


def test_gaussian_log_snr_is_linear_between_timesteps():
    unet = pipelines.gaussian_stable_diffusion(WORLD).unet
    x, text = torch.ones(3, 4, 2, 2), unet.key.view(torch.float64)[:1].expand(3, -1)
    acp = unet.log_snr.view(torch.float64).sigmoid()
    acp = (0.75 * acp[500].logit() + 0.25 * acp[501].logit()).sigmoid()
    expected = exact_eps(x[0], PROMPTS[0], acp.sqrt(), (1 - acp).sqrt())
    out = unet(x, torch.tensor([500.0, 500.25, 501.0]), text)[0].flatten(1).double()
    torch.testing.assert_close(out[1], expected, rtol=1e-6, atol=1e-6)
    assert (out[0] - out[1]).abs().max() > 1e-5


@pytest.mark.parametrize("name", ["gaussian_stable_diffusion_3", "gaussian_flux"])
def test_gaussian_flow(name):
    pipe = getattr(pipelines, name)(WORLD)
    latents, seen = run(pipe, PROMPTS[0], num_images_per_prompt=2, guidance_scale=1.0)
    assert latents.shape == ((2, 1, 16) if name == "gaussian_flux" else (2, 4, 2, 2))
    inputs, out = seen[1]  # the first is at s = 1
    s = inputs["timestep"][0].double() / (1 if name == "gaussian_flux" else 1000)
    for x, prediction in zip(inputs["hidden_states"], out, strict=True):
        eps = exact_eps(x, PROMPTS[0], 1 - s, s)
        expected = eps - (x.flatten() - s * eps) / (1 - s)
        torch.testing.assert_close(prediction.flatten().double(), expected, rtol=0, atol=1e-5)


def test_gaussian_pipelines_draw_from_their_world():
    mean, variance = WORLD["blue house"]
    for name in ("gaussian_stable_diffusion", "gaussian_stable_diffusion_3", "gaussian_flux"):
        pipe = getattr(pipelines, name)(WORLD)
        call = {"num_inference_steps": 50, "num_images_per_prompt": 1000, "guidance_scale": 1.0}
        latents = run(pipe, "blue house", **call)[0].flatten(1).double().numpy()
        assert np.abs(latents.mean(0) - mean).max() < 0.25  # SD starts 7 % short: alpha_T > 0
        assert np.abs(latents.var(0) / variance - 1).max() < 0.2


def test_gaussian_world_survives_casting_and_saving(tmp_path):
    pipe = pipelines.gaussian_stable_diffusion(WORLD)
    pipe.save_pretrained(tmp_path)
    loaded = diffusers.DiffusionPipeline.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert torch.equal(loaded.unet.mean, pipe.unet.mean)
    latents, seen = run(loaded, PROMPTS[0], guidance_scale=1.0)
    assert latents.dtype == loaded.unet.dtype == torch.bfloat16
    acp = pipe.scheduler.alphas_cumprod.double()[seen[0][0][1]]
    expected = exact_eps(seen[0][0][0], PROMPTS[0], acp.sqrt(), (1 - acp).sqrt())
    torch.testing.assert_close(seen[0][1].flatten().double(), expected, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "n_latent"), [("gaussian_stable_diffusion", 6), ("gaussian_flux", 4)]
)
def test_gaussian_world_of_a_wrong_size(name, n_latent):
    with pytest.raises(ValueError, match=f"{n_latent} dimensions"):
        getattr(pipelines, name)({"": (np.zeros(n_latent), np.ones(n_latent))})
