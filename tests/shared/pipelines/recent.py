"""Tiny pipelines whose text encoder is a vision-language model, and those of sound and video."""

import diffusers
import transformers
from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioProjectionModel

from pipelines.flow import CHAT, flow
from pipelines.parts import WIDTH, build, clip, t5, tokenizer, vae


def qwen_vl(seed, **names):
    """Return a tokenizer and a Qwen2.5-VL model that never sees an image."""
    text = tokenizer("t5")
    text.chat_template = CHAT
    sizes = {
        "vocab_size": len(text),
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e6},
    }
    sight = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": WIDTH,
    }
    config = transformers.Qwen2_5_VLConfig(
        text_config=sizes,
        vision_config=sight,
        image_token_id=len(text) + 1,
        video_token_id=len(text) + 2,
        vision_start_token_id=len(text) + 3,
        vision_end_token_id=len(text) + 4,
    )
    return {
        "tokenizer": text,
        "text_encoder": build(transformers.Qwen2_5_VLForConditionalGeneration, seed, config),
    }


def qwen_image(seed=0):
    """Return Qwen-Image; latents of 16 packed tokens."""
    transformer = build(
        diffusers.QwenImageTransformer2DModel,
        seed + 2,
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 6, 6),
    )
    autoencoder = build(
        diffusers.AutoencoderKLQwenImage,
        seed,
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1, -0.2, 0.0, 0.3],
        latents_std=[1.0, 2.0, 1.5, 1.0],
    )
    return diffusers.QwenImagePipeline(
        **qwen_vl(seed + 1), vae=autoencoder, transformer=transformer, scheduler=flow()
    )


def flux2(seed=0):
    """Return Flux.2, which packs the latents that it is handed."""
    text = tokenizer("t5")
    text.chat_template = (
        "{% for m in messages %}{% for c in m['content'] %}{{ c['text'] }} {% endfor %}{% endfor %}"
    )
    sizes = {
        "model_type": "mistral",
        "vocab_size": len(text),
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    sight = {
        "model_type": "pixtral",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "image_size": 12,
        "patch_size": 6,
    }
    config = transformers.Mistral3Config(
        text_config=sizes, vision_config=sight, image_token_index=len(text) + 1
    )
    encoder = build(transformers.Mistral3ForConditionalGeneration, seed + 1, config)
    transformer = build(
        diffusers.Flux2Transformer2DModel,
        seed + 2,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
    )
    autoencoder = build(
        diffusers.AutoencoderKLFlux2,
        seed,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    return diffusers.Flux2Pipeline(
        tokenizer=text,
        text_encoder=encoder,
        vae=autoencoder,
        transformer=transformer,
        scheduler=flow(),
    )


def kandinsky5(seed=0):
    """Return Kandinsky 5 text-to-image; its latents keep their channels last."""
    transformer = build(
        diffusers.Kandinsky5Transformer3DModel,
        seed + 2,
        in_visual_dim=4,
        out_visual_dim=4,
        in_text_dim=WIDTH,
        in_text_dim2=WIDTH,
        time_dim=16,
        model_dim=32,
        ff_dim=32,
        num_text_blocks=1,
        num_visual_blocks=1,
        axes_dims=(4, 6, 6),
    )
    pipe = diffusers.Kandinsky5T2IPipeline(
        **qwen_vl(seed + 1),
        **clip(seed + 3, "_2", positions=77),
        vae=vae(seed),
        transformer=transformer,
        scheduler=flow(),
    )
    pipe.resolutions = [(64, 64)]  # of the pictures that it makes; 1024 x 1024 and the like
    return pipe


def stable_audio(seed=0):
    """Return Stable Audio; its latents are a sequence."""
    transformer = build(
        diffusers.StableAudioDiTModel,
        seed + 2,
        sample_size=8,
        in_channels=16,
        out_channels=16,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        num_key_value_attention_heads=2,
        cross_attention_dim=8,
        time_proj_dim=8,
        global_states_input_dim=16,
        cross_attention_input_dim=8,
    )
    autoencoder = build(
        diffusers.AutoencoderOobleck,
        seed,
        encoder_hidden_size=6,
        downsampling_ratios=[1, 2],
        decoder_channels=3,
        decoder_input_channels=16,
        audio_channels=2,
        channel_multiples=[2, 4],
        sampling_rate=4,
    )
    projection = build(
        StableAudioProjectionModel,
        seed + 3,
        text_encoder_dim=WIDTH,
        conditioning_dim=8,
        min_value=0,
        max_value=32,
    )
    text = t5(seed + 1, "")
    text["tokenizer"].model_max_length = 64
    return diffusers.StableAudioPipeline(
        **text,
        vae=autoencoder,
        projection_model=projection,
        transformer=transformer,
        scheduler=diffusers.CosineDPMSolverMultistepScheduler(
            sigma_min=0.3,
            sigma_max=500,
            solver_order=2,
            prediction_type="v_prediction",
            sigma_data=1.0,
        ),
    )


def wan(seed=0):
    """Return Wan text-to-video."""
    transformer = build(
        diffusers.WanTransformer3DModel,
        seed + 2,
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=WIDTH,
        freq_dim=16,
        ffn_dim=32,
        num_layers=1,
        rope_max_seq_len=32,
    )
    autoencoder = build(
        diffusers.AutoencoderKLWan,
        seed,
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1, -0.2, 0.0, 0.3],
        latents_std=[1.0, 2.0, 1.5, 1.0],
    )
    return diffusers.WanPipeline(
        **t5(seed + 1, ""),
        vae=autoencoder,
        transformer=transformer,
        scheduler=diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            num_train_timesteps=1000,
            flow_shift=3.0,
        ),
    )
