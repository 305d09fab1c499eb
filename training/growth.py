"""One more level for an autoencoder: twice the pixels each way from the latents it already has.

The new level begins as nothing but a doubling: its residual branches are zero, its resampling
copies. So the grown autoencoder shows at once what the old one showed, and learns from there.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
from torch import Tensor, nn

STEPS = 20  # as many as a picture is usually drawn in


def grow(old: AutoencoderKL) -> AutoencoderKL:
    """Return an autoencoder of twice the pixels each way, with the weights of the old one."""
    widths, levels = old.config.block_out_channels, len(old.config.block_out_channels)
    config = dict(old.config) | {
        "block_out_channels": (widths[0], *widths),
        "down_block_types": (old.config.down_block_types[0], *old.config.down_block_types),
        "up_block_types": (*old.config.up_block_types, old.config.up_block_types[-1]),
        "sample_size": 2 * old.config.sample_size,
    }
    new = AutoencoderKL.from_config(config)
    weights = {
        name.replace(f"encoder.down_blocks.{i}.", f"encoder.down_blocks.{i + 1}."): value
        for name, value in old.state_dict().items()
        for i in [int(name.split(".")[2]) if name.startswith("encoder.down_blocks") else -1]
    }
    _, unknown = new.load_state_dict(weights, strict=False)
    if unknown:
        raise ValueError(f"weights of another architecture: {unknown[:3]}")
    with torch.no_grad():
        first, last = new.encoder.down_blocks[0], new.decoder.up_blocks[levels]
        for block in (*first.resnets, *last.resnets):
            nn.init.zeros_(block.conv2.weight)
            nn.init.zeros_(block.conv2.bias)
        # its input is padded below and on the right: four pixels at the upper left are the mean
        put_diagonal(first.downsamplers[0].conv, rows=slice(0, 2), value=0.25)
        put_diagonal(new.decoder.up_blocks[levels - 1].upsamplers[0].conv, rows=1, value=1.0)
    return new


def put_diagonal(conv: nn.Conv2d, rows: slice | int, value: float) -> None:
    """Make a convolution pass each channel through, weighted alike at some rows and columns."""
    nn.init.zeros_(conv.bias)
    nn.init.zeros_(conv.weight)
    for channel in range(len(conv.weight)):
        conv.weight[channel, channel, rows, rows] = value


class Rough:
    """Latents as a denoiser draws them: those of a picture, noised and denoised by its caption."""

    def __init__(self, pipeline: StableDiffusionPipeline, device: str) -> None:
        self.text_encoder = pipeline.text_encoder.to(device).eval()
        self.unet = pipeline.unet.to(device).eval()
        self.tokenizer, self.device = pipeline.tokenizer, device
        self.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
        self.scheduler.set_timesteps(STEPS)

    @torch.inference_mode()
    def __call__(self, latents: Tensor, captions: Sequence[str], rng: random.Random) -> Tensor:
        """Noise scaled latents a little, and denoise them in the scheduler's last steps."""
        times = self.scheduler.timesteps[-rng.randint(1, 6) :]
        guidance = rng.uniform(1, 3)
        generator = torch.Generator().manual_seed(rng.getrandbits(60))
        noise = torch.randn(latents.shape, generator=generator).to(self.device)
        text = self.read([*captions, *[""] * len(captions)])
        noisy = self.scheduler.add_noise(latents, noise, times[:1])
        for time in times:
            v = self.unet(torch.cat([noisy, noisy]), time, text).sample
            told, untold = v.chunk(2)
            noisy = self.scheduler.step(untold + guidance * (told - untold), time, noisy)
            noisy = noisy.prev_sample
        return noisy

    def read(self, captions: list[str]) -> Tensor:
        """Return the text features of captions."""
        tokens = self.tokenizer(
            captions, padding="max_length", truncation=True, return_tensors="pt"
        )
        return self.text_encoder(tokens["input_ids"].to(self.device)).last_hidden_state
