"""Tiny diffusers pipelines built from configs, tokenizers included: nothing is downloaded.

*Random* ones are the real architectures with loud random weights, so that different prompts give
clearly different predictions. *Gaussian* ones (``gaussian_...``) have a denoiser that IS the exact
answer of a world in which each prompt owns a Gaussian of latents, ``{prompt: (mean, variance)}``.
All are deterministic, float32, on the CPU, in eval mode; none touches the global random state.
"""

import diffusers
import numpy as np
import torch
import transformers
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from tokenizers.pre_tokenizers import ByteLevel

CLIP_TOKENS = 16  # tokenizer.model_max_length: 14 tokens of text between the two end markers
SIDE = 8  # latent height and width of the random pipelines: images of 64 x 64
WIDTH = 32  # width of every text encoder
WORDS = "painting mountain picture photo image small large green black white house horse bird blue"
WORDS += " boat fish tree snow city with cat dog red car sea old two the and an of in on"
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def tokenizer(kind="clip", pad_token="<|endoftext|>"):
    """Return a tiny CLIP (BPE) or T5 (unigram) tokenizer that knows WORDS, else letters."""
    if kind == "t5":
        pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
        pieces += [(chr(i), -10.0) for i in range(33, 127)]
        pieces += [("▁" + w, -5.0) for w in WORDS.split()]
        return transformers.T5Tokenizer(vocab=pieces, extra_ids=0)
    letters = sorted(ByteLevel.alphabet())  # "!" gets id 0, as in CLIP
    words = [[*w[:-1], w[-1] + "</w>"] for w in WORDS.split()]  # built from the left: ph, pho, ...
    merges = list(dict.fromkeys(("".join(w[:i]), w[i]) for w in words for i in range(1, len(w))))
    pieces = letters + [c + "</w>" for c in letters] + ["".join(m) for m in merges]
    pieces += ["<|startoftext|>", "<|endoftext|>"]  # the last two ids, as in CLIP
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    return transformers.CLIPTokenizer(
        vocab=vocab, merges=merges, pad_token=pad_token, model_max_length=CLIP_TOKENS
    )


def _clip(seed, slot="", projection=False, pad_token="<|endoftext|>"):
    """Return a CLIP tokenizer and encoder, under their names in a pipeline."""
    text = tokenizer(pad_token=pad_token)
    config = transformers.CLIPTextConfig(
        vocab_size=len(text),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CLIP_TOKENS,
        projection_dim=WIDTH,
        bos_token_id=text.bos_token_id,
        eos_token_id=text.eos_token_id,
    )
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    return {f"tokenizer{slot}": text, f"text_encoder{slot}": _build(kind, seed, config)}


def _t5(seed, slot, width=WIDTH):
    """Return a T5 tokenizer and encoder, under their names in a pipeline."""
    text = tokenizer("t5")
    config = transformers.T5Config(
        vocab_size=len(text), d_model=width, d_kv=8, d_ff=2 * width, num_layers=1, num_heads=4
    )
    encoder = _build(transformers.T5EncoderModel, seed, config)
    return {f"tokenizer{slot}": text, f"text_encoder{slot}": encoder}


def _build(kind, seed, *args, **config):
    """Build a module; each weight becomes seeded noise that keeps signals at about size 1."""
    with torch.random.fork_rng(devices=[]):
        module = kind(*args, **config)
    module.eval().requires_grad_(False)
    tables = [m.weight for m in module.modules() if isinstance(m, torch.nn.Embedding)]
    generator = torch.Generator().manual_seed(seed)
    for name, weight in sorted(module.named_parameters()):
        if weight.ndim > 1:
            weight.normal_(generator=generator)
            weight.div_(1 if any(weight is t for t in tables) else weight[0].numel() ** 0.5)
        elif name.endswith("bias"):
            weight.normal_(std=0.1, generator=generator)
    return module


def _vae(seed, **config):
    """Return an autoencoder of the real factor 8, with four latent channels."""
    return _build(
        diffusers.AutoencoderKL,
        seed,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4),
        norm_num_groups=2,
        latent_channels=4,
        **config,
    )


def _unet(seed, **config):
    """Return a UNet with one cross-attention level."""
    return _build(
        diffusers.UNet2DConditionModel,
        seed,
        sample_size=SIDE,
        layers_per_block=1,
        block_out_channels=(16, 32),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **config,
    )


def stable_diffusion(prediction_type="epsilon", seed=0, **scheduler_overrides):
    """Return a Stable Diffusion 1.x pipeline; latents 4 x 8 x 8."""
    shipped = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    shipped |= BETAS | {"prediction_type": prediction_type}
    return diffusers.StableDiffusionPipeline(
        vae=_vae(seed, scaling_factor=0.18215),
        **_clip(seed + 1),
        unet=_unet(seed + 2, cross_attention_dim=WIDTH),
        scheduler=diffusers.DDIMScheduler(**shipped | scheduler_overrides),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl(seed=0, **scheduler_overrides):
    """Return a Stable Diffusion XL pipeline; latents 4 x 8 x 8."""
    shipped = BETAS | {"timestep_spacing": "leading", "steps_offset": 1}
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(seed, scaling_factor=0.13025),
        **_clip(seed + 1),
        **_clip(seed + 3, "_2", projection=True, pad_token="!"),
        unet=_unet(
            seed + 2,
            cross_attention_dim=2 * WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=WIDTH + 6 * 8,
        ),
        scheduler=diffusers.EulerDiscreteScheduler(**shipped | scheduler_overrides),
        add_watermarker=False,
    )


def stable_diffusion_3(seed=0, **scheduler_overrides):
    """Return a Stable Diffusion 3 pipeline with all three text encoders; latents 4 x 8 x 8."""
    transformer = _build(
        diffusers.SD3Transformer2DModel,
        seed + 2,
        sample_size=SIDE,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=32,
        pooled_projection_dim=2 * WIDTH,
        pos_embed_max_size=SIDE,
    )
    return diffusers.StableDiffusion3Pipeline(
        vae=_vae(seed, scaling_factor=1.5305, shift_factor=0.0609),
        **_clip(seed + 1, projection=True),
        **_clip(seed + 3, "_2", projection=True, pad_token="!"),
        **_t5(seed + 4, "_3", width=2 * WIDTH),
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**{"shift": 3.0} | scheduler_overrides),
    )


def flux(guidance_embeds=False, seed=0, **scheduler_overrides):
    """Return a Flux pipeline; latents of 16 packed tokens with 16 channels (4 x 8 x 8)."""
    shipped = {"shift": 3.0, "use_dynamic_shifting": True}
    transformer = _build(
        diffusers.FluxTransformer2DModel,
        seed + 2,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 6, 6),
    )
    pipe = diffusers.FluxPipeline(
        vae=_vae(seed, scaling_factor=0.3611, shift_factor=0.1159),
        **_clip(seed + 1),
        **_t5(seed + 4, "_2"),
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**shipped | scheduler_overrides),
    )
    pipe.default_sample_size = SIDE  # not in its config: 128 again after from_pretrained
    return pipe


class Gaussian(ModelMixin, ConfigMixin):
    """Base of the exact denoisers: answers for the prompt whose text embedding is nearest.

    The float64 tables are kept as int64 bit patterns, so that no ``.to(dtype)`` rounds the world;
    the one parameter only carries dtype and device.
    """

    @register_to_config
    def __init__(
        self,
        shape,
        sample_size,
        in_channels=4,
        prediction_type="flow",
        patch_size=1,
        guidance_embeds=False,
        time_cond_proj_dim=None,
    ):
        super().__init__()
        n_prompts, n_key, n_latent = shape
        self.anchor = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
        for name, width in {"key": n_key, "mean": n_latent, "variance": n_latent}.items():
            self.register_buffer(name, torch.zeros(n_prompts, width, dtype=torch.int64))
        self.register_buffer("log_snr", torch.zeros(1000, dtype=torch.int64))

    def predict(self, x, text, alpha, sigma):
        """Return the exact E[eps | x_t] and E[x_0 | x_t], float64, one flat row per row."""
        text, x_t = text.double().flatten(1), x.double().flatten(1)
        row = torch.cdist(text, self.key.view(torch.float64)).argmin(1)
        m, v = (table.view(torch.float64)[row] for table in (self.mean, self.variance))
        residual = (x_t - alpha * m) / (alpha**2 * v + sigma**2)
        return sigma * residual, m + alpha * v * residual


class GaussianUNet(Gaussian):
    """Stand-in for the UNet of Stable Diffusion: variance preserving."""

    def forward(self, sample, timestep, encoder_hidden_states, return_dict=False, **_):
        """Return epsilon, v or x_0; log-SNR is linear between the integer timesteps."""
        t = torch.as_tensor(timestep).double().cpu().expand(len(sample))
        log_snr = np.interp(t, np.arange(1000), self.log_snr.view(torch.float64).cpu())
        log_snr = torch.as_tensor(log_snr, device=sample.device)[:, None]
        alpha, sigma = log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()
        eps, x_0 = self.predict(sample, encoder_hidden_states, alpha, sigma)
        answer = {"epsilon": eps, "sample": x_0, "v_prediction": alpha * eps - sigma * x_0}
        return (answer[self.config.prediction_type].view_as(sample).to(sample.dtype),)


class GaussianTransformer(Gaussian, diffusers.models.cache_utils.CacheMixin):
    """Stand-in for the transformers of Stable Diffusion 3 (timesteps to 1000) and Flux (to 1)."""

    def forward(self, hidden_states, timestep, pooled_projections, return_dict=False, **_):
        """Return the velocity eps - x_0 at noise level s, alpha = 1 - s, sigma = s."""
        s = timestep.double()[:, None] / (1000 if hidden_states.ndim == 4 else 1)
        eps, x_0 = self.predict(hidden_states, pooled_projections, 1 - s, s)
        return ((eps - x_0).view_as(hidden_states).to(hidden_states.dtype),)


def gaussian_stable_diffusion(world, prediction_type="epsilon", **scheduler_overrides):
    """Return a Stable Diffusion pipeline of a Gaussian world, d = 4 x side x side."""
    pipe = stable_diffusion(prediction_type, **scheduler_overrides)
    text = [pipe.encode_prompt(p, "cpu", 1, False)[0] for p in world]
    unet = _gaussian(GaussianUNet, world, text, prediction_type=prediction_type)
    unet.log_snr.copy_(pipe.scheduler.alphas_cumprod.double().logit().view(torch.int64))
    pipe.register_modules(unet=unet)
    return pipe


def gaussian_stable_diffusion_3(world, **scheduler_overrides):
    """Return a Stable Diffusion 3 pipeline of a Gaussian world, d = 4 x side x side."""
    pipe = stable_diffusion_3(**scheduler_overrides)
    text = [pipe.encode_prompt(p, p, p, do_classifier_free_guidance=False)[2] for p in world]
    transformer = _gaussian(GaussianTransformer, world, text)
    return type(pipe)(**pipe.components | {"transformer": transformer})  # reads patch_size anew


def gaussian_flux(world, **scheduler_overrides):
    """Return a Flux pipeline of a Gaussian world, d = tokens x 16 in the packed order."""
    pipe = flux(**scheduler_overrides)
    text = [pipe.encode_prompt(p)[1] for p in world]
    transformer = _gaussian(GaussianTransformer, world, text, in_channels=16)
    pipe.register_modules(transformer=transformer)
    pipe.default_sample_size = transformer.config.sample_size
    return pipe


def _gaussian(kind, world, text, in_channels=4, **config):
    """Return the exact denoiser; ``text`` are the embeddings that it will be handed."""
    mean, variance = (np.array([world[p][i] for p in world], dtype=np.float64) for i in (0, 1))
    side = round(((n_latent := mean.shape[1]) / 4) ** 0.5)
    if n_latent != 4 * side**2 or n_latent % in_channels:
        raise ValueError(f"{n_latent} dimensions: need 4 * side**2, side even for Flux (16, 64).")
    key = torch.cat(text).double().flatten(1)
    denoiser = kind((*key.shape, n_latent), side, in_channels, **config)
    for name, table in {"key": key, "mean": mean, "variance": variance}.items():
        getattr(denoiser, name).copy_(torch.as_tensor(table).view(torch.int64))
    return denoiser.eval()
