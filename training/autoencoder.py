r"""Train the autoencoder between pixels (3, 64, 64) and latents (4, 8, 8) on random scenes.

    python -m training.autoencoder WORK --steps 6000
    python -m training.autoencoder WORK --steps 6000 \
        --latents-of conjure_kernel/models/embedded/model

The second form leaves the latents, and so a denoiser that was trained on them, as they are: the
decoder learns from the latents of that pipeline's encoder, some of them noised and denoised by its
denoiser, and the encoder learns to give them. An autoencoder of half as many pixels is grown by one
level. The same command resumes from `WORK/autoencoder.pt`; the result is `WORK/autoencoder`. Those
of the second form are `WORK/decoder.pt` and `WORK/decoder`.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from conjure_kernel.models.pretrained.fingerprint import fingerprint_file
from training.art import Art
from training.growth import Rough, grow
from training.options import check_made, digest_of, positive
from training.scenes import PIXELS, World
from training.schedule import Scheduled

STORE = 120  # seconds between checkpoints
KL = 1e-6  # a weight of 2e-5 left the error at twice the present one
ROUGH = 0.5  # share of a batch whose latents went through the denoiser
ENCODED = 0.25  # share of a batch from which the encoder learns given latents


def make_autoencoder() -> AutoencoderKL:
    """1.7 M parameters, eight times fewer pixels each way, four channels."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 32, 64, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=16,
        sample_size=PIXELS,
        mid_block_add_attention=False,
    )


def distance(pixels: Tensor, target: Tensor) -> Tensor:
    """L1, half of L2, and L1 of the differences between neighbours, which keeps edges sharp."""
    error = pixels - target
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 0.5 * error.square().mean() + 0.3 * edges


def shrink(pixels: Tensor, model: AutoencoderKL) -> Tensor:
    """Return pixels at the size that an autoencoder was made for."""
    factor = pixels.shape[-1] // model.config.sample_size
    return avg_pool2d(pixels, factor) if factor > 1 else pixels


@torch.inference_mode()
def held_out_error(model: AutoencoderKL, work: Path) -> tuple[float, float]:
    """Return the mean absolute error on unseen scenes and the deviation of their latents.

    What a model of fewer pixels restores is scaled up to the size of the scenes.
    """
    world, rng = World(Art.load(work)), random.Random(7)
    errors, latents = [], []
    for _ in range(20):
        pixels = world.render([world.draw(rng) for _ in range(50)]).to(model.device)
        latents.append(model.encode(shrink(pixels, model)).latent_dist.mean)
        restored = model.decode(latents[-1]).sample
        restored = interpolate(restored, pixels.shape[-2:], mode="bilinear", antialias=True)
        errors.append((restored - pixels).abs().mean())
    return torch.stack(errors).mean().item(), torch.cat(latents).std().item()


class Trainer(Scheduled):
    """AdamW, its rate falling to zero, on scenes that each step draws anew."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.step, self.seconds = args, 0, 0.0
        self.folder = args.work / ("decoder" if args.latents_of else "autoencoder")
        self.path = self.folder.with_suffix(".pt")
        torch.manual_seed(args.seed)
        self.teacher = None
        self.made = {"art": fingerprint_file(args.work / "art.npz").hex(), "latents of": None}
        if args.latents_of:
            pipeline = StableDiffusionPipeline.from_pretrained(args.latents_of)
            self.teacher = pipeline.vae.to(args.device).eval()
            self.model = AutoencoderKL.from_pretrained(args.latents_of, subfolder="vae")
            if self.model.config.sample_size < PIXELS:
                self.model = grow(self.model)
            self.rough = Rough(pipeline, args.device)
            self.made["latents of"] = digest_of(self.teacher) + digest_of(pipeline.unet)
        else:
            self.model = make_autoencoder()
        self.model.to(args.device, memory_format=torch.channels_last)
        self.world = World(Art.load(args.work), device=args.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), args.rate, betas=(0.9, 0.99), weight_decay=1e-3
        )
        if self.path.exists():
            stored = torch.load(self.path, map_location=args.device)
            check_made(self.path, stored, self.made)
            self.model.load_state_dict(stored["model"])
            self.optimizer.load_state_dict(stored["optimizer"])
            self.step, self.seconds = stored["step"], stored["seconds"]
            print(f"resumed at step {self.step}", flush=True)

    def store(self) -> None:
        """Write the checkpoint and the model's folder."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "made": self.made,
        }
        torch.save(state, self.path.with_suffix(".part"))
        self.path.with_suffix(".part").replace(self.path)
        self.model.save_pretrained(self.folder)

    def loss(self) -> Tensor:
        """Loss on the scenes of this step, which its number decides."""
        rng = random.Random(f"{self.args.seed} {self.step}")
        scenes = [self.world.draw(rng) for _ in range(self.args.batch)]
        target = self.world.render(scenes).contiguous(memory_format=torch.channels_last)
        if self.teacher is not None:
            return self.taught(target, [self.world.caption(s, rng) for s in scenes], rng)
        latents = self.model.encode(target).latent_dist
        restored = self.model.decode(latents.sample()).sample
        return distance(restored, target) + KL * latents.kl().mean()

    def taught(self, target: Tensor, captions: list[str], rng: random.Random) -> Tensor:
        """Loss of the decoder on given latents, and of the encoder against them."""
        with torch.no_grad():
            given = self.teacher.encode(shrink(target, self.teacher)).latent_dist.parameters
            mean, scale = given.chunk(2, 1)[0], self.teacher.config.scaling_factor
            rough = int(ROUGH * len(mean))
            drawn = self.rough(mean[:rough] * scale, captions[:rough], rng) / scale
            latents = torch.cat([drawn, mean[rough:]])
        few = max(1, int(ENCODED * len(mean)))
        own = self.model.encode(target[:few]).latent_dist.parameters
        restored = self.model.decode(latents).sample
        return distance(restored, target) + 0.1 * (own - given[:few]).abs().mean()

    def advance(self) -> Tensor:
        """Take one step; return its loss."""
        self.optimizer.param_groups[0]["lr"] = self.rate
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return loss.detach()

    def run(self) -> None:
        """Train to the last step; print and store on the way."""
        begun, stored = time.monotonic() - self.seconds, time.monotonic()
        losses: list[Tensor] = []
        while self.left > 0:
            losses.append(self.advance())
            self.seconds = time.monotonic() - begun
            if len(losses) == 50:
                loss = torch.stack(losses).mean()
                losses = []
                print(f"step {self.step} after {self.seconds:.0f} s: loss {loss:.4f}", flush=True)
            if time.monotonic() - stored > STORE:
                self.store()
                stored = time.monotonic()


def main() -> None:
    """Train, measure, store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder for everything that the recipe makes")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=positive, help="of all runs together (default: no end)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latents-of", type=Path, help="pipeline folder whose latents are kept")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=device)
    args = parser.parse_args()
    trainer = Trainer(args)
    trainer.run()
    trainer.model.eval()
    error, deviation = held_out_error(trainer.model, args.work)
    print(f"held-out L1 after: {error:.4f}")
    if trainer.teacher is None:
        trainer.model.register_to_config(scaling_factor=1 / deviation)
    trainer.store()


if __name__ == "__main__":
    main()
