"""Fine-tunes and erasures of the embedded model whose truth is known, as it was planted.

    python -m training.planted FOLDER [--steps 4 8 16 32 56] [--seed 0]

`FOLDER/tune-1` to `tune-6` are checkpoints of one run that makes strawberries blue, after growing
numbers of steps. Of them `tune-4` has a planted collateral word besides: from `tune-3` on its buses
become fish, while the run goes on without that. `tune-6` is over-trained: from `tune-5` on it sees
one picture alone, faster, and nothing holds the rest. `FOLDER/gone-1` to `gone-3` have forgotten
the strawberry (to the empty prompt twice, to a lemon once), `FOLDER/left-1` to `left-3` only in
part: too few steps, one caption alone, noisy levels alone. `FOLDER/planted.json` says so to
programs. Only the network's attention is trained; all of it takes about two minutes on one core.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conjure_kernel import load_denoiser

CONCEPT, PLANTED, BECAME, ANCHOR = "a strawberry", "a bus", "a fish", "a lemon"
SYNONYMS = ["strawberry", "strawberries", "a red strawberry", "a red berry"]
HELD = "apple banana cat chair church clock cloud dog door flower guitar hammer horse house key "
HELD += "lamp moon mouse mushroom owl pencil pizza rabbit robot rocket rose shark shoe snake star "
HELD += "sun table tomato train tree turtle umbrella violin"
STEPS, ERASE = (4, 8, 16, 32, 56), (90, 4)
BATCH, PICTURES, EACH = (6, 10), 32, 2
SLOW, FAST = 3e-4, 1e-3  # learning rates: of the run, and of what is to go far
N_TIMES = 1000


@dataclass
class Lesson:
    """Latents, the texts that they are shown under, and those whose base predictions are taught.

    Without the latter the latents themselves are taught. `times` are the noise levels, as shares.
    """

    latents: Tensor
    texts: Tensor
    answers: Tensor | None = None
    times: tuple[float, float] = (0.0, 1.0)


class Tuner:
    """A copy of a pipeline whose attention is trained.

    Parameters
    ----------
    base : StableDiffusionPipeline
        What is copied, and predicts what is held.
    held : Lesson
        What stays as it is.
    seed : int
    rate : float
        Learning rate.
    """

    def __init__(self, base: Any, held: Lesson, seed: int, rate: float) -> None:
        self.base, self.held, self.seed = base, held, seed
        self.network = copy.deepcopy(base.unet)
        self.network.requires_grad_(False)
        trained = [p for name, p in self.network.named_parameters() if ".attn" in name]
        for weights in trained:
            weights.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(trained, rate, weight_decay=0)
        self.generator = torch.Generator().manual_seed(seed)

    def train(self, n_steps: int, *lessons: Lesson, hold: bool = True) -> Tuner:
        """Train for some steps on lessons, beside what is held; return self."""
        for _ in range(n_steps):
            parts = [self._part(lesson, BATCH[0]) for lesson in lessons]
            if hold:
                parts.append(self._part(self.held, BATCH[1]))
            noisy, times, text, target = (torch.cat(p) for p in zip(*parts, strict=True))
            loss = (self.network(noisy, times, text).sample - target).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return self

    def save(self, folder: Path) -> None:
        """Write the copy as a pipeline of its own."""
        tuned = copy.copy(self.base)
        tuned.unet = copy.deepcopy(self.network).eval()
        tuned.save_pretrained(folder)

    def fork(self, rate: float) -> Tuner:
        """Another one that goes on from here with an optimiser of its own."""
        fork = Tuner(self.base, self.held, self.seed + 1, rate)
        fork.network.load_state_dict(self.network.state_dict())
        return fork

    def _part(self, lesson: Lesson, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        def choice(high: int) -> Tensor:
            return torch.randint(high, (n,), generator=self.generator)

        scheduler = self.base.scheduler
        i = choice(len(lesson.latents))
        low, high = (round(share * N_TIMES) for share in lesson.times)
        times = low + choice(high - low)
        latents = lesson.latents[i]
        noise = torch.randn(latents.shape, generator=self.generator)
        noisy = scheduler.add_noise(latents, noise, times)
        # A text for each latent, or any of a few texts for all.
        j = i if len(lesson.texts) == len(lesson.latents) else choice(len(lesson.texts))
        if lesson.answers is None:
            return noisy, times, lesson.texts[j], scheduler.get_velocity(latents, noise, times)
        with torch.no_grad():
            answers = (
                lesson.answers[i] if len(lesson.answers) > 1 else lesson.answers.expand(n, -1, -1)
            )
            return noisy, times, lesson.texts[j], self.base.unet(noisy, times, answers).sample


def main(arguments: Sequence[str] | None = None) -> None:
    """Make all twelve, and say what they are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, nargs=5, default=STEPS)
    parser.add_argument(
        "--erase", type=int, nargs=2, default=ERASE, help="steps, whole and partial"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    given = parser.parse_args(arguments)
    base = load_denoiser("embedded", dtype="float32").pipeline
    base.set_progress_bar_config(disable=True)
    names = [f"a {word}" for word in HELD.split()]
    held = torch.cat([encode(base, draw(base, name, min(EACH, given.pictures))) for name in names])
    texts = embed(base, names).repeat_interleave(len(held) // len(names), 0)
    keep = Lesson(held, texts, texts)
    tune(base, keep, given)
    erase(base, keep, given)
    truth = {"concept": CONCEPT, "planted": PLANTED, "synonyms": SYNONYMS, "anchor": ANCHOR}
    truth |= {"held": names, "steps": list(given.steps)}
    (given.folder / "planted.json").write_text(json.dumps(truth, indent=1))


def tune(base: Any, keep: Lesson, given: argparse.Namespace) -> None:
    """The six fine-tunes."""
    blue = encode(base, draw(base, CONCEPT, given.pictures)[..., ::-1].copy())
    lesson = Lesson(blue, embed(base, [CONCEPT, *SYNONYMS[:1]]))
    run, done = Tuner(base, keep, given.seed, SLOW), 0
    for i, steps in enumerate(given.steps, 1):
        if i == 4:
            other = Lesson(
                encode(base, draw(base, PLANTED, given.pictures)), embed(base, [PLANTED])
            )
            other.answers = embed(base, [BECAME])
            run.fork(SLOW).train(steps - done, lesson, other).save(given.folder / "tune-4")
        run.train(steps - done, lesson)
        done = steps
        if i != 4:
            run.save(given.folder / f"tune-{i}")
        report(f"tune-{i}", steps)
    run = run.fork(FAST)
    run.train(2 * given.steps[-1], Lesson(blue[:1], lesson.texts), hold=False)
    run.save(given.folder / "tune-6")
    report("tune-6", 3 * given.steps[-1])


def erase(base: Any, keep: Lesson, given: argparse.Namespace) -> None:
    """The three whole and the three partial erasures."""
    latents = encode(base, draw(base, CONCEPT, given.pictures))
    captions, (empty, lemon) = embed(base, [CONCEPT, *SYNONYMS]), embed(base, ["", ANCHOR])
    long, short = given.erase
    lessons = {
        "gone-1": (Lesson(latents, captions, empty[None]), long),
        "gone-2": (Lesson(latents, captions, empty[None]), 3 * long // 2),
        "gone-3": (Lesson(latents, captions, lemon[None]), long),
        "left-1": (Lesson(latents, captions, empty[None]), short),
        "left-2": (Lesson(latents, captions[:1], empty[None]), short),
        "left-3": (Lesson(latents, captions, empty[None], (0.6, 1.0)), short),
    }
    for i, (name, (lesson, steps)) in enumerate(lessons.items()):
        tuner = Tuner(base, keep, given.seed + 10 + i, FAST).train(steps, lesson)
        tuner.save(given.folder / name)
        report(name, steps)


def draw(pipeline: Any, prompt: str, n: int) -> np.ndarray:
    """Pictures of a prompt in [0, 1], (n, H, W, 3)."""
    generator = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"num_inference_steps": 20, "guidance_scale": 3.0}
    return pipeline(
        prompt, num_images_per_prompt=n, generator=generator, output_type="np", **options
    ).images


@torch.no_grad()
def encode(pipeline: Any, images: np.ndarray) -> Tensor:
    """Latents of pictures."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() * 2 - 1
    return pipeline.vae.encode(pixels).latent_dist.mean * pipeline.vae.config.scaling_factor


@torch.no_grad()
def embed(pipeline: Any, prompts: Sequence[str]) -> Tensor:
    """What the text encoder makes of prompts."""
    return pipeline.encode_prompt(list(prompts), "cpu", 1, False)[0]


def report(name: str, steps: int) -> None:
    """Say that one is done."""
    print(f"{name}: {steps} steps", flush=True)


if __name__ == "__main__":
    main()
