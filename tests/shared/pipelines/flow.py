"""Tiny flow-matching pipelines with an ordinary text encoder."""

import diffusers
import transformers

from pipelines.parts import SIDE, WIDTH, build, t5, tokenizer, vae

CHAT = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
VP = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}


def language_model(kind, config, seed, **options):
    """Return a tokenizer and a causal language model, under their names in a pipeline."""
    text = tokenizer("t5")
    text.chat_template, text.padding_side = CHAT, options.pop("padding_side", "right")
    sizes = {
        "vocab_size": len(text),
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "pad_token_id": text.pad_token_id,
        "bos_token_id": text.eos_token_id,
        "eos_token_id": text.eos_token_id,
    }
    return {"tokenizer": text, "text_encoder": build(kind, seed, config(**sizes | options))}


def flow(**overrides):
    """Return the scheduler of the flow-matching families."""
    return diffusers.FlowMatchEulerDiscreteScheduler(**{"shift": 3.0} | overrides)


def sana(seed=0):
    """Return Sana, whose declared solver has alphas_cumprod and runs a flow."""
    transformer = build(
        diffusers.SanaTransformer2DModel,
        seed + 2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=8,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=WIDTH,
        sample_size=SIDE,
    )
    autoencoder = build(
        diffusers.AutoencoderDC,
        seed,
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock",) * 3,
        decoder_block_types=("ResBlock",) * 3,
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        encoder_layers_per_block=(1, 1, 1),
        decoder_layers_per_block=(1, 1, 1),
        encoder_qkv_multiscales=((), (), ()),
        decoder_qkv_multiscales=((), (), ()),
        upsample_block_type="interpolate",
        downsample_block_type="stride_conv",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    )
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **VP, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return diffusers.SanaPipeline(
        **language_model(transformers.Gemma2Model, transformers.Gemma2Config, seed + 1),
        vae=autoencoder,
        transformer=transformer,
        scheduler=scheduler,
    )


def aura_flow(seed=0):
    """Return AuraFlow."""
    transformer = build(
        diffusers.AuraFlowTransformer2DModel,
        seed + 2,
        sample_size=SIDE,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=WIDTH,
        caption_projection_dim=32,
        pos_embed_max_size=64,
    )
    return diffusers.AuraFlowPipeline(
        **t5(seed + 1, ""),
        vae=vae(seed, scaling_factor=0.13025),
        transformer=transformer,
        scheduler=flow(),
    )


def chroma(seed=0):
    """Return Chroma; latents of 16 packed tokens."""
    transformer = build(
        diffusers.ChromaTransformer2DModel,
        seed + 2,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 6, 6),
        approximator_num_channels=8,
        approximator_hidden_dim=32,
        approximator_layers=1,
    )
    return diffusers.ChromaPipeline(
        **t5(seed + 1, ""),
        vae=vae(seed, scaling_factor=0.3611, shift_factor=0.1159),
        transformer=transformer,
        scheduler=flow(),
    )


def lumina2(seed=0):
    """Return Lumina 2, which reverses time and negates the velocity."""
    transformer = build(
        diffusers.Lumina2Transformer2DModel,
        seed + 2,
        sample_size=SIDE,
        in_channels=4,
        hidden_size=24,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=(4, 4, 4),
        cap_feat_dim=WIDTH,
    )
    return diffusers.Lumina2Pipeline(
        **language_model(transformers.Gemma2Model, transformers.Gemma2Config, seed + 1),
        vae=vae(seed, scaling_factor=0.3611, shift_factor=0.1159),
        transformer=transformer,
        scheduler=flow(),
    )


def cogview4(seed=0):
    """Return CogView 4."""
    transformer = build(
        diffusers.CogView4Transformer2DModel,
        seed + 2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        text_embed_dim=WIDTH,
        time_embed_dim=16,
        condition_dim=8,
        sample_size=SIDE,
        rope_axes_dim=(8, 8),
    )
    return diffusers.CogView4Pipeline(
        **language_model(
            transformers.GlmModel, transformers.GlmConfig, seed + 1, padding_side="left"
        ),
        vae=vae(seed),
        transformer=transformer,
        scheduler=flow(base_shift=0.25, max_shift=0.75, use_dynamic_shifting=True),
    )


def z_image(seed=0):
    """Return Z-Image, which counts guidance from 0 and hands its network a list."""
    transformer = build(
        diffusers.ZImageTransformer2DModel,
        seed + 2,
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=WIDTH,
        axes_dims=[4, 6, 6],
        axes_lens=[256, 64, 64],
    )
    return diffusers.ZImagePipeline(
        **language_model(transformers.Qwen3Model, transformers.Qwen3Config, seed + 1),
        vae=vae(seed, scaling_factor=0.3611, shift_factor=0.1159),
        transformer=transformer,
        scheduler=flow(),
    )
