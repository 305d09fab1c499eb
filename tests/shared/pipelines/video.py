"""Tiny pipelines of video, of which one frame or a few are measured."""

import diffusers
import transformers

from pipelines.base import stable_diffusion
from pipelines.flow import flow, language_model
from pipelines.parts import BETAS, SIDE, WIDTH, build, clip, t5, unet, vae
from pipelines.preserving import VP
from pipelines.recent import wan


def ltx(seed=0):
    """Return LTX-Video; latents of packed tokens."""
    transformer = build(
        diffusers.LTXVideoTransformer3DModel,
        seed + 2,
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=16,
        cross_attention_dim=32,
        num_layers=1,
        caption_channels=WIDTH,
    )
    autoencoder = build(
        diffusers.AutoencoderKLLTXVideo,
        seed,
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        patch_size=1,
    )
    return diffusers.LTXPipeline(
        **t5(seed + 1, ""), vae=autoencoder, transformer=transformer, scheduler=flow()
    )


def mochi(seed=0):
    """Return Mochi, whose network counts from noise and negates the velocity."""
    transformer = build(
        diffusers.MochiTransformer3DModel,
        seed + 2,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        pooled_projection_dim=16,
        in_channels=12,
        text_embed_dim=WIDTH,
        time_embed_dim=4,
        max_sequence_length=16,
    )
    autoencoder = build(
        diffusers.AutoencoderKLMochi,
        seed,
        encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
    )
    return diffusers.MochiPipeline(
        **t5(seed + 1, ""),
        vae=autoencoder,
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            invert_sigmas=True, num_train_timesteps=1000
        ),
    )


def cogvideox(seed=0):
    """Return CogVideoX."""
    transformer = build(
        diffusers.CogVideoXTransformer3DModel,
        seed + 2,
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=8,
        text_embed_dim=WIDTH,
        num_layers=1,
        sample_width=SIDE,
        sample_height=SIDE,
        sample_frames=1,
        max_text_seq_length=16,
    )
    autoencoder = build(
        diffusers.AutoencoderKLCogVideoX,
        seed,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
    )
    return diffusers.CogVideoXPipeline(
        **t5(seed + 1, ""),
        vae=autoencoder,
        transformer=transformer,
        scheduler=diffusers.CogVideoXDDIMScheduler(
            prediction_type="v_prediction", timestep_spacing="trailing", snr_shift_scale=3.0
        ),
    )


def allegro(seed=0):
    """Return Allegro."""
    transformer = build(
        diffusers.AllegroTransformer3DModel,
        seed + 2,
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        cross_attention_dim=24,
        sample_width=SIDE,
        sample_height=SIDE,
        sample_frames=2,
        caption_channels=WIDTH,
    )
    autoencoder = build(
        diffusers.AutoencoderKLAllegro,
        seed,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    return diffusers.AllegroPipeline(
        **t5(seed + 1, ""),
        vae=autoencoder,
        transformer=transformer,
        scheduler=diffusers.EulerAncestralDiscreteScheduler(**VP),
    )


def latte(seed=0):
    """Return Latte; its network predicts a variance too."""
    transformer = build(
        diffusers.LatteTransformer3DModel,
        seed + 2,
        sample_size=SIDE,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        caption_channels=WIDTH,
        in_channels=4,
        cross_attention_dim=24,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
    )
    return diffusers.LattePipeline(
        **t5(seed + 1, ""),
        vae=vae(seed),
        transformer=transformer,
        scheduler=diffusers.DDIMScheduler(**VP, clip_sample=False),
    )


def hunyuan_video(seed=0):
    """Return HunyuanVideo, with an embedded guidance scale."""
    transformer = build(
        diffusers.HunyuanVideoTransformer3DModel,
        seed + 2,
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        patch_size=1,
        guidance_embeds=True,
        text_embed_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        rope_axes_dim=(2, 4, 4),
    )
    autoencoder = build(
        diffusers.AutoencoderKLHunyuanVideo,
        seed,
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )
    return diffusers.HunyuanVideoPipeline(
        **language_model(transformers.LlamaModel, transformers.LlamaConfig, seed + 1),
        **clip(seed + 3, "_2", positions=77),
        vae=autoencoder,
        transformer=transformer,
        scheduler=flow(shift=7.0),
    )


def hunyuan_video_15(seed=0, scale=1.0):
    """Return HunyuanVideo 1.5, whose guidance is a component."""
    transformer = build(
        diffusers.HunyuanVideo15Transformer3DModel,
        seed + 2,
        in_channels=9,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        text_embed_dim=WIDTH,
        text_embed_2_dim=WIDTH,
        image_embed_dim=12,
        rope_axes_dim=(2, 2, 4),
        target_size=16,
        task_type="t2v",
    )
    autoencoder = build(
        diffusers.AutoencoderKLHunyuanVideo15,
        seed,
        latent_channels=4,
        block_out_channels=(16, 16),
        layers_per_block=1,
        spatial_compression_ratio=4,
        temporal_compression_ratio=2,
        downsample_match_channel=False,
        upsample_match_channel=False,
    )
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6}
    pipe = diffusers.HunyuanVideo15Pipeline(
        **language_model(
            transformers.Qwen2_5_VLTextModel,
            transformers.Qwen2_5_VLTextConfig,
            seed + 1,
            rope_parameters=rope,
            head_dim=8,
        ),
        **t5(seed + 3, "_2"),
        vae=autoencoder,
        transformer=transformer,
        scheduler=flow(shift=7.0),
        guider=diffusers.ClassifierFreeGuidance(guidance_scale=scale),
    )
    pipe.vision_num_semantic_tokens = 4
    pipe.system_message, pipe.prompt_template_encode_start_idx = "", 8
    pipe.tokenizer_max_length = 64
    return pipe


def animate_diff(seed=0):
    """Return AnimateDiff: Stable Diffusion with layers that join the frames."""
    parts = stable_diffusion(seed=seed).components
    parts["unet"] = unet(seed + 2, cross_attention_dim=WIDTH)
    adapter = build(
        diffusers.MotionAdapter,
        seed + 3,
        block_out_channels=(16, 32),
        motion_layers_per_block=1,
        motion_norm_num_groups=2,
        motion_num_attention_heads=4,
    )
    names = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    pipe = diffusers.AnimateDiffPipeline(
        **{name: parts[name] for name in names}, motion_adapter=adapter
    )
    pipe.unet.eval()  # it is made there, in training mode
    return pipe


def text_to_video(seed=0):
    """Return ModelScope's text-to-video."""
    network = build(
        diffusers.UNet3DConditionModel,
        seed + 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        sample_size=SIDE,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=2,
    )
    return diffusers.TextToVideoSDPipeline(
        vae=vae(seed),
        **clip(seed + 1),
        unet=network,
        scheduler=diffusers.DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False),
    )


def wan_22(seed=0):
    """Return Wan 2.2, with a network for each half of the noise."""
    parts = wan(seed).components
    parts["transformer_2"] = wan(seed + 10).transformer
    return diffusers.WanPipeline(**parts, boundary_ratio=0.5)
