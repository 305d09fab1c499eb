"""Tiny variance-preserving pipelines beside Stable Diffusion's own."""

import diffusers
import transformers

from pipelines.base import stable_diffusion, stable_diffusion_xl
from pipelines.parts import BETAS, SIDE, WIDTH, build, t5, tokenizer, unet, vae

VP = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}


def latent_consistency(seed=0):
    """Return a Latent Consistency Model: Stable Diffusion with an embedded guidance scale."""
    parts = stable_diffusion(seed=seed).components
    parts["unet"] = unet(seed + 2, cross_attention_dim=WIDTH, time_cond_proj_dim=16)
    parts["scheduler"] = diffusers.LCMScheduler(**BETAS)
    return diffusers.LatentConsistencyModelPipeline(**parts, requires_safety_checker=False)


def pixart_alpha(seed=0, kind=diffusers.PixArtAlphaPipeline):
    """Return PixArt-Alpha; its network predicts a variance too."""
    transformer = build(
        diffusers.PixArtTransformer2DModel,
        seed + 2,
        sample_size=SIDE,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=WIDTH,
        use_additional_conditions=False,
    )
    scheduler = diffusers.DPMSolverMultistepScheduler(**VP)
    factor = {"scaling_factor": 0.13025}
    return kind(
        **t5(seed + 1, ""), vae=vae(seed, **factor), transformer=transformer, scheduler=scheduler
    )


def pixart_sigma(seed=0):
    """Return PixArt-Sigma."""
    return pixart_alpha(seed, diffusers.PixArtSigmaPipeline)


def hunyuan_dit(seed=0):
    """Return HunyuanDiT, with a BERT and a T5 encoder."""
    text = tokenizer()
    text.model_max_length = 77
    config = transformers.BertConfig(
        vocab_size=len(text),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=77,
    )
    encoder = build(transformers.BertModel, seed + 1, config)
    transformer = build(
        diffusers.HunyuanDiT2DModel,
        seed + 2,
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        patch_size=2,
        sample_size=SIDE,
        hidden_size=32,
        num_layers=2,
        mlp_ratio=2.0,
        cross_attention_dim=WIDTH,
        cross_attention_dim_t5=WIDTH,
        pooled_projection_dim=16,
        text_len=77,
        text_len_t5=256,
        activation_fn="gelu-approximate",
    )
    return diffusers.HunyuanDiTPipeline(
        tokenizer=text,
        text_encoder=encoder,
        **t5(seed + 3, "_2"),
        vae=vae(seed, scaling_factor=0.13025),
        transformer=transformer,
        scheduler=diffusers.DDPMScheduler(
            **BETAS | {"beta_end": 0.02}, prediction_type="v_prediction"
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def deepfloyd_if(seed=0):
    """Return the first stage of DeepFloyd IF: pixels, and a predicted variance."""
    network = build(
        diffusers.UNet2DConditionModel,
        seed + 2,
        sample_size=SIDE,
        in_channels=3,
        out_channels=6,
        layers_per_block=1,
        block_out_channels=(16, 32),
        norm_num_groups=8,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        encoder_hid_dim=WIDTH,
        encoder_hid_dim_type="text_proj",
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
    )
    scheduler = diffusers.DDPMScheduler(
        beta_schedule="squaredcos_cap_v2",
        variance_type="learned_range",
        prediction_type="epsilon",
        thresholding=True,
        dynamic_thresholding_ratio=0.95,
        sample_max_value=1.5,
    )
    return diffusers.IFPipeline(
        **t5(seed + 1, ""),
        unet=network,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
    )


def playground(seed=0):
    """Return SDXL in sigma space (EDM), as Playground 2.5 has it."""
    pipe = stable_diffusion_xl(seed)
    pipe.scheduler = diffusers.EDMDPMSolverMultistepScheduler(sigma_max=80.0, sigma_min=0.002)
    return pipe


def turbo(seed=0):
    """Return SDXL with the sampler of its Turbo."""
    pipe = stable_diffusion_xl(seed)
    pipe.scheduler = diffusers.EulerAncestralDiscreteScheduler(**BETAS, timestep_spacing="trailing")
    return pipe
