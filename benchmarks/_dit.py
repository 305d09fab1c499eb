"""A diffusion transformer of true size, as a pipeline with random weights, for gpu.py."""

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

# Stable Diffusion 3 medium, two billion parameters, at 512 x 512 pixels; its text encoders cut to
# two layers, as each text is encoded once a call.
TRUE = {
    "transformer": {
        "sample_size": 64,
        "in_channels": 16,
        "out_channels": 16,
        "num_layers": 24,
        "attention_head_dim": 64,
        "num_attention_heads": 24,
        "joint_attention_dim": 4096,
        "caption_projection_dim": 1536,
        "pooled_projection_dim": 2048,
        "pos_embed_max_size": 192,
    },
    "widths": (768, 1280),
    "heads": (12, 20),
}
TINY = {
    "transformer": {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 4,
        "joint_attention_dim": 128,
        "caption_projection_dim": 32,
        "pooled_projection_dim": 64,
        "pos_embed_max_size": 8,
    },
    "widths": (32, 32),
    "heads": (2, 2),
}


def make_dit(size, device, make_tokenizer, randomize):
    """Stable Diffusion 3 with random weights that keep signals, and what prompts change, loud."""
    tokenizer = make_tokenizer()
    with torch.device(device):
        encoders = [
            CLIPTextModelWithProjection(
                CLIPTextConfig(
                    vocab_size=49408,
                    hidden_size=width,
                    projection_dim=width,
                    intermediate_size=4 * width,
                    num_hidden_layers=2,
                    num_attention_heads=heads,
                    max_position_embeddings=77,
                    bos_token_id=tokenizer.bos_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                )
            )
            for width, heads in zip(size["widths"], size["heads"], strict=True)
        ]
        transformer = SD3Transformer2DModel(**size["transformer"])
        vae = AutoencoderKL(  # nothing is decoded: a small one of the true shape
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8,) * 4,
            norm_num_groups=2,
            latent_channels=size["transformer"]["in_channels"],
            shift_factor=0.0,
        )
    for module in (transformer, *encoders, vae):
        randomize(module.eval().requires_grad_(False))
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=encoders[0],
        tokenizer=tokenizer,
        text_encoder_2=encoders[1],
        tokenizer_2=make_tokenizer(),
        text_encoder_3=None,
        tokenizer_3=None,
    )
