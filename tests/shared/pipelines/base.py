"""Stable Diffusion 1.x, XL and 3, and Flux: the pipelines that most tests use."""

import diffusers

from pipelines.parts import BETAS, SIDE, WIDTH, build, clip, t5, unet, vae


def stable_diffusion(prediction_type="epsilon", seed=0, **scheduler_overrides):
    """Return a Stable Diffusion 1.x pipeline; latents 4 x 8 x 8."""
    shipped = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    shipped |= BETAS | {"prediction_type": prediction_type}
    return diffusers.StableDiffusionPipeline(
        vae=vae(seed, scaling_factor=0.18215),
        **clip(seed + 1),
        unet=unet(seed + 2, cross_attention_dim=WIDTH),
        scheduler=diffusers.DDIMScheduler(**shipped | scheduler_overrides),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl(seed=0, **scheduler_overrides):
    """Return a Stable Diffusion XL pipeline; latents 4 x 8 x 8."""
    shipped = BETAS | {"timestep_spacing": "leading", "steps_offset": 1}
    return diffusers.StableDiffusionXLPipeline(
        vae=vae(seed, scaling_factor=0.13025),
        **clip(seed + 1),
        **clip(seed + 3, "_2", projection=True, pad_token="!"),
        unet=unet(
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
    transformer = build(
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
        vae=vae(seed, scaling_factor=1.5305, shift_factor=0.0609),
        **clip(seed + 1, projection=True),
        **clip(seed + 3, "_2", projection=True, pad_token="!"),
        **t5(seed + 4, "_3", width=2 * WIDTH),
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**{"shift": 3.0} | scheduler_overrides),
    )


def flux(guidance_embeds=False, seed=0, **scheduler_overrides):
    """Return a Flux pipeline; latents of 16 packed tokens with 16 channels (4 x 8 x 8)."""
    shipped = {"shift": 3.0, "use_dynamic_shifting": True}
    transformer = build(
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
        vae=vae(seed, scaling_factor=0.3611, shift_factor=0.1159),
        **clip(seed + 1),
        **t5(seed + 4, "_2"),
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**shipped | scheduler_overrides),
    )
    pipe.default_sample_size = SIDE  # not in its config: 128 again after from_pretrained
    return pipe
