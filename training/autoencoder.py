r"""Train the autoencoder between pixels (3, 32, 32) and latents (4, 8, 8) on random scenes.

    python -m training.autoencoder WORK --steps 3000
    python -m training.autoencoder WORK --steps 3000 \
        --decoder-of conjure_kernel/models/embedded/model

The second form trains the decoder alone, against a frozen encoder: the latents, and so a denoiser
that was trained on them, stay as they are. Writes `WORK/autoencoder`.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from training.art import Art
from training.scenes import World

N_SCENES = 20_000
KL = 1e-6  # a weight of 2e-5 left the error at twice the present one


def make_autoencoder() -> AutoencoderKL:
    """1.6 M parameters, four times fewer pixels each way, four channels."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=16,
        sample_size=32,
        mid_block_add_attention=False,
    )


def draw_pixels(work: Path, n_scenes: int, seed: int) -> Tensor:
    """Render random scenes, float16 in [-1, 1]."""
    world, rng = World(Art.load(work)), random.Random(seed)
    scenes = [world.draw(rng) for _ in range(n_scenes)]
    parts = range(0, n_scenes, 1000)
    return torch.cat([world.render(scenes[first : first + 1000]).half() for first in parts])


def distance(pixels: Tensor, target: Tensor) -> Tensor:
    """L1, half of L2, and L1 of the differences between neighbours, which keeps edges sharp."""
    error = pixels - target
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 0.5 * error.square().mean() + 0.3 * edges


@torch.inference_mode()
def held_out_error(model: AutoencoderKL, work: Path) -> tuple[float, float]:
    """Return the mean absolute error on unseen scenes and the deviation of their latents."""
    pixels = draw_pixels(work, 1000, seed=7).float().to(model.device)
    latents = torch.cat([model.encode(part).latent_dist.mean for part in pixels.split(100)])
    restored = torch.cat([model.decode(part).sample for part in latents.split(100)])
    return (restored - pixels).abs().mean().item(), latents.std().item()


def train(model: AutoencoderKL, args: argparse.Namespace) -> None:
    """AdamW, its rate falling to zero; only the decoder if the encoder is given."""
    pixels = draw_pixels(args.work, N_SCENES, seed=10_000)
    parts = [model.decoder, model.post_quant_conv] if args.decoder_of else [model]
    parameters = [p for part in parts for p in part.parameters()]
    optimizer = torch.optim.AdamW(parameters, args.rate, betas=(0.9, 0.99), weight_decay=1e-3)
    generator, begun = torch.Generator().manual_seed(0), time.monotonic()
    for step in range(args.steps):
        rate = args.rate * min(1.0, (step + 1) / 100) * (1 - step / args.steps)
        optimizer.param_groups[0]["lr"] = rate
        rows = torch.randint(len(pixels), (args.batch,), generator=generator)
        target = pixels[rows].float().to(args.device, memory_format=torch.channels_last)
        with torch.set_grad_enabled(not args.decoder_of):
            latents = model.encode(target).latent_dist
        restored = model.decode(latents.mean if args.decoder_of else latents.sample()).sample
        loss = distance(restored, target)
        if not args.decoder_of:
            loss = loss + KL * latents.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 100 == 99:
            seconds = time.monotonic() - begun
            print(f"step {step + 1} after {seconds:.0f} s: loss {loss:.4f}", flush=True)


def main() -> None:
    """Train, measure, store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder for everything that the recipe makes")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--decoder-of", type=Path, help="pipeline folder whose encoder is kept")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=device)
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.decoder_of:
        model = AutoencoderKL.from_pretrained(args.decoder_of, subfolder="vae").float()
    else:
        model = make_autoencoder()
    model.to(args.device, memory_format=torch.channels_last)
    print(f"held-out L1 before: {held_out_error(model, args.work)[0]:.4f}")
    train(model, args)
    model.eval()
    error, deviation = held_out_error(model, args.work)
    print(f"held-out L1 after: {error:.4f}")
    if not args.decoder_of:
        model.register_to_config(scaling_factor=1 / deviation)
    model.save_pretrained(args.work / "autoencoder")


if __name__ == "__main__":
    main()
