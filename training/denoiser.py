"""Train the text encoder and the denoiser together on cached latents.

    python -m training.denoiser WORK --steps 10000 --start conjure_kernel/models/embedded/model

Runs on a GPU where there is one, otherwise on the CPU; the same command again resumes from
`WORK/denoiser.pt`. The learning rate falls linearly to zero at `--steps`: most of the shape comes
while it falls, so plan the number of steps, or `--minutes`, to end. The result is `WORK/pipeline`,
the folder of a `StableDiffusionPipeline` with the moving average of the weights. `--out` puts it,
the checkpoint and the cached scenes into another folder than that of the art.
"""

from __future__ import annotations

import argparse
import csv
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import BertTokenizerFast, CLIPTextConfig, CLIPTextModel

from conjure_kernel.models.pretrained.fingerprint import fingerprint_file
from conjure_kernel.models.pretrained.load import has_bfloat16
from training.art import Art
from training.autoencoder import STORE, shrink
from training.options import check_made, count, digest, digest_of, positive
from training.scenes import Scene, World
from training.schedule import Scheduled
from training.teacher import Teacher
from training.words import LENGTH, WIDTH

BLOCK, N_CAPTIONS = 1000, 8  # scenes that are rendered at once, and wordings of each
SHARES = ("first", "hypernyms", "keywords")  # that a world has
EMA = 0.999
# weights of the noise levels by their SNR, for a loss in v
WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "min-snr": lambda snr: snr.clamp(max=5) / (snr + 1),
    "sigmoid": lambda snr: torch.sigmoid(2 - snr.log()) * snr / (snr + 1),
}


@dataclass
class Pool:
    """Cached scenes: latents (n, 4, 8, 8) and the tokens of several captions each."""

    latents: Tensor
    tokens: Tensor  # (n, captions, LENGTH)

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw latents and one caption for each."""
        at = {"generator": generator, "device": generator.device}
        rows = torch.randint(len(self.latents), (size,), **at)
        wording = torch.randint(self.tokens.shape[1], (size,), **at)
        return self.latents[rows].float(), self.tokens[rows, wording].long()

    def to(self, device: torch.device) -> Pool:
        """Return the pool in the memory of a device."""
        return Pool(self.latents.to(device), self.tokens.to(device))


def tokenize(tokenizer: BertTokenizerFast, captions: list[str]) -> Tensor:
    """Return the tokens of captions, padded to LENGTH."""
    tokens = tokenizer(captions, padding="max_length", truncation=True, max_length=LENGTH)
    return torch.tensor(tokens["input_ids"])


@torch.inference_mode()
def make_pool(
    args: argparse.Namespace, autoencoder: AutoencoderKL, tokenizer: BertTokenizerFast
) -> Pool:
    """Draw, render and encode blocks of scenes, or read those that equal options made before."""
    path = args.out / "pool.pt"
    asked = made_from(args, autoencoder, tokenizer)
    asked |= {name: getattr(args, name) for name in (*SHARES, "blocks", "seed")}
    if path.exists():
        stored = torch.load(path)
        check_made(path, stored, asked)
        return Pool(stored["latents"], stored["tokens"])
    shares = {name: getattr(args, name) for name in SHARES}
    world = World(Art.load(args.work), device=args.device, **shares)
    rng = random.Random(args.seed)
    latents, tokens = [], []
    while len(latents) < args.blocks:
        scenes = [world.draw(rng) for _ in range(BLOCK)]
        latents.append(encode(autoencoder, world.render(scenes)).half().cpu())
        captions = [world.caption(scene, rng) for scene in scenes for _ in range(N_CAPTIONS)]
        tokens.append(tokenize(tokenizer, captions).short().view(BLOCK, N_CAPTIONS, LENGTH))
        if len(latents) % 10 == 0 or len(latents) == args.blocks:
            print(f"encoded {len(latents)} of {args.blocks} blocks of scenes", flush=True)
    pool = Pool(torch.cat(latents), torch.cat(tokens))
    torch.save({**vars(pool), "made": asked}, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)
    return pool


def made_from(
    args: argparse.Namespace, autoencoder: AutoencoderKL, tokenizer: BertTokenizerFast
) -> dict[str, Any]:
    """Name what scenes and a denoiser are made from: other drawings, latents, tokens are others."""
    return {
        "art": fingerprint_file(args.work / "art.npz").hex(),
        "autoencoder": digest_of(autoencoder),
        "tokenizer": digest(repr(sorted(tokenizer.vocab.items())).encode()),
    }


def encode(autoencoder: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Return the scaled mean latents of pixels in [-1, 1]."""
    parts = [shrink(part, autoencoder) for part in pixels.split(125)]
    parts = [autoencoder.encode(part).latent_dist.mean for part in parts]
    return torch.cat(parts) * autoencoder.config.scaling_factor


@torch.inference_mode()
def encode_scenes(autoencoder: AutoencoderKL, world: World, scenes: Sequence[Scene]) -> Tensor:
    """Render scenes and return their latents, one row each."""
    parts = (scenes[i : i + 500] for i in range(0, len(scenes), 500))
    return torch.cat([encode(autoencoder, world.render(part)) for part in parts]).flatten(1)


def make_text_encoder(work: Path) -> CLIPTextModel:
    """Two transformer layers on the frozen token vectors."""
    sizes = dict(hidden_size=WIDTH, projection_dim=WIDTH, intermediate_size=4 * WIDTH)
    config = CLIPTextConfig(
        vocab_size=30522,
        **sizes,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        bos_token_id=101,
        eos_token_id=102,
        pad_token_id=0,
    )
    encoder = CLIPTextModel(config)
    vectors = torch.load(work / "token_vectors.pt").float()
    encoder.get_input_embeddings().weight.data.copy_(0.5 * vectors)
    return encoder


def make_unet() -> UNet2DConditionModel:
    """8.0 M parameters: plain convolutions at 8 x 8, attention to the text at 4 x 4."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(64, 192),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        norm_num_groups=16,
    )


def make_scheduler() -> DDIMScheduler:
    """The noise schedule of Stable Diffusion, predicting v."""
    return DDIMScheduler(
        1000,
        0.00085,
        0.012,
        "scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
    )


class Trainer(Scheduled):
    """Everything that changes during training, and how to store and resume it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.device = args, torch.device(args.device)
        torch.manual_seed(args.seed)
        self.load_parts()
        self.text_encoder.get_input_embeddings().weight.requires_grad_(False)
        parts = (self.unet, self.text_encoder)
        self.parameters = [p for part in parts for p in part.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.AdamW(
            self.parameters, args.rate, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
        )
        self.generator = torch.Generator(self.device).manual_seed(args.seed)
        self.half = self.device.type == "cuda" or has_bfloat16()
        self.step, self.seconds = 0, 0.0
        self.made = made_from(args, self.autoencoder, self.tokenizer)
        begun = (self.unet, self.text_encoder) if args.start else ()
        self.made["start"] = "".join(map(digest_of, begun)) or None
        self.resume()
        self.forward = torch.compile(self.unet) if args.compile else self.unet
        known = (args.teacher, self.tokenizer, self.device)
        self.teacher = Teacher(*known) if args.teacher else None
        self.pool = make_pool(args, self.autoencoder, self.tokenizer).to(self.device)
        self.nothing = tokenize(self.tokenizer, [""]).to(self.device)
        alphas = self.scheduler.alphas_cumprod.to(self.device)
        self.weights = WEIGHTS[args.weights](alphas / (1 - alphas))
        self.weights /= self.weights.mean()
        if args.compile:
            self.check_compiled()

    def load_parts(self) -> None:
        """Take the models from a pipeline folder, or make new ones around our autoencoder."""
        work, start = self.args.work, self.args.start
        if start:
            pipeline = StableDiffusionPipeline.from_pretrained(start)
            self.unet, self.text_encoder = pipeline.unet, pipeline.text_encoder
            self.autoencoder, self.tokenizer = pipeline.vae, pipeline.tokenizer
        else:
            self.unet, self.text_encoder = make_unet(), make_text_encoder(work)
            self.autoencoder = AutoencoderKL.from_pretrained(work / "autoencoder")
            self.tokenizer = BertTokenizerFast.from_pretrained(work / "tokenizer")
        self.scheduler = make_scheduler()
        self.autoencoder.eval()
        for part in (self.unet, self.autoencoder):
            part.to(self.device, memory_format=torch.channels_last)
        self.text_encoder.to(self.device)
        if self.device.type == "cpu":  # fused attention is slow backwards in bfloat16
            self.unet.set_attn_processor(AttnProcessor())
            self.text_encoder.set_attn_implementation("eager")

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        path = self.args.out / "denoiser.pt"
        if not path.exists():
            return
        stored = torch.load(path, map_location=self.device)
        check_made(path, stored, self.made)
        for own, kept in zip(self.parameters, stored["parameters"], strict=True):
            own.data.copy_(kept)
        self.average = stored["average"]
        self.optimizer.load_state_dict(stored["optimizer"])
        self.step, self.seconds = stored["step"], stored["seconds"]
        state = stored["generator"].cpu()
        if len(state) == len(self.generator.get_state()):
            self.generator.set_state(state)
        else:  # of a generator on another device
            self.generator.manual_seed(self.args.seed + self.step)
        print(f"resumed at step {self.step}", flush=True)

    def store(self) -> None:
        """Write the checkpoint, and the pipeline with the averaged weights."""
        state = {
            "parameters": [p.detach() for p in self.parameters],
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
            "made": self.made,
        }
        part = self.args.out / "denoiser.part"
        torch.save(state, part)
        part.replace(self.args.out / "denoiser.pt")
        kept = [p.detach().clone() for p in self.parameters]
        self.put(self.average)
        StableDiffusionPipeline(
            vae=self.autoencoder,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(self.args.out / "pipeline")
        self.put(kept)

    def put(self, values: list[Tensor]) -> None:
        """Set the trained parameters."""
        for own, value in zip(self.parameters, values, strict=True):
            own.data.copy_(value)

    def loss(self, forward: Callable[..., Any] | None = None) -> Tensor:
        """Weighted squared error of v on one batch."""
        latents, tokens = self.pool.batch(self.args.batch, self.generator)
        at = {"generator": self.generator, "device": self.device}
        dropped = torch.rand(len(tokens), 1, **at) < self.args.dropped
        tokens = torch.where(dropped, self.nothing, tokens)
        times = torch.randint(1000, (len(latents),), **at)
        noise = torch.randn(latents.shape, **at)
        noisy = self.scheduler.add_noise(latents, noise, times)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        target = self.scheduler.get_velocity(latents, noise, times)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            if self.teacher is not None:
                target = self.teacher(noisy, times, tokens).float()
            text = self.text_encoder(input_ids=tokens).last_hidden_state
            denoise = self.forward if forward is None else forward
            v = denoise(noisy, times, text).sample
        error = (v.float() - target).square().mean((1, 2, 3))
        return (error * self.weights[times]).mean()

    def check_compiled(self) -> None:
        """Refuse a compiled denoiser with other gradients; bfloat16 on a CPU lost the text's."""
        state, found = self.generator.get_state(), []
        for forward in (self.unet, self.forward):
            self.generator.set_state(state)
            loss = self.loss(forward)
            found.append(torch.autograd.grad(loss, self.parameters, allow_unused=True))
        self.generator.set_state(state)
        error, size = 0.0, 0.0
        for own, compiled in zip(*found, strict=True):
            if own is not None:
                other = torch.zeros_like(own) if compiled is None else compiled
                error += float((own - other).square().sum())
                size += float(own.square().sum())
        if not error < 0.01 * size:
            raise RuntimeError(
                "--compile: expected the gradients that the denoiser has without it, got others, "
                f"off by {(error / size) ** 0.5:.0%}; leave it out."
            )

    def advance(self) -> Tensor:
        """Take one step; return its loss."""
        self.optimizer.param_groups[0]["lr"] = self.rate
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(EMA, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)
        return loss.detach()

    def run(self) -> None:
        """Train to the last step; log and store on the way."""
        begun, stored = time.monotonic() - self.seconds, time.monotonic()
        losses: list[Tensor] = []
        while self.left > 0:
            losses.append(self.advance())
            self.seconds = time.monotonic() - begun
            if len(losses) == 100:
                self.log(torch.stack(losses).mean().item())
                losses = []
            if time.monotonic() - stored > STORE:
                self.store()
                stored = time.monotonic()
        self.store()

    def log(self, loss: float) -> None:
        """Print the mean loss of the last steps and add it to the log file."""
        row = [self.step, round(self.seconds), f"{loss:.4f}"]
        print("step {} after {} s: loss {}".format(*row), flush=True)
        with (self.args.out / "denoiser.csv").open("a", newline="") as file:
            csv.writer(file).writerow(row)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder for everything that the recipe makes")
    parser.add_argument("--steps", type=int, default=30_000, help="of which the last has rate 0")
    parser.add_argument("--minutes", type=positive, help="of all runs together (default: no end)")
    parser.add_argument("--start", type=Path, help="pipeline folder to start from (default: anew)")
    parser.add_argument("--out", type=Path, help="folder for what is made here (default: WORK)")
    parser.add_argument("--teacher", type=Path, help="pipeline folder whose predictions to learn")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3, help="AdamW's first learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blocks", type=count, default=80, help="cached scenes, in thousands")
    parser.add_argument(
        "--first", type=float, default=0, help="share drawn in a thing's first style"
    )
    parser.add_argument(
        "--hypernyms", type=float, default=0.12, help="share of captions of one thing that tell it"
    )
    parser.add_argument("--keywords", type=float, default=0.18, help="likewise")
    parser.add_argument("--dropped", type=float, default=0.1, help="share of captions left empty")
    parser.add_argument("--weights", choices=WEIGHTS, default="min-snr", help="of noise levels")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=device)
    parser.add_argument("--compile", action="store_true", help="a slow first step, then faster")
    args = parser.parse_args()
    args.out = args.out or args.work
    if args.out.exists() and not args.out.is_dir():
        parser.error(f"--out: expected a folder, got the file {args.out}")
    args.out.mkdir(parents=True, exist_ok=True)
    Trainer(args).run()


if __name__ == "__main__":
    main()
