"""How well does a pipeline draw what its world holds? Prints a table and writes a contact sheet.

    python -m training.evaluate WORK [--pipeline WORK/pipeline] [--guidance 3] [--sheet sheet.png]

Every question but the first is answered in one way: of these clean renderings, which one's latent
is nearest to the latent that the model made? The starting noise of the answers was in no training.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from torch import Tensor
from torch.nn.functional import interpolate

from training.art import Art
from training.autoencoder import held_out_error
from training.denoiser import encode_scenes
from training.scenes import (
    COLOURS,
    COUNTS,
    PIXELS,
    Scene,
    Thing,
    World,
    plain,
    plural,
    with_article,
)
from training.sheet import draw_sheet

# words of no caption, and a name of what they should show
UNSEEN = {
    **dict.fromkeys(("canine", "spaniel", "terrier", "hounds"), "dog"),
    **dict.fromkeys(("feline", "kittens", "cats"), "cat"),
    **dict.fromkeys(("sedan", "limousine", "automobiles"), "car"),
    **dict.fromkeys(("filly", "mare", "equestrian"), "horse"),
    **dict.fromkeys(("cottage", "bungalow", "mansion"), "house"),
    **dict.fromkeys(("cathedral", "abbey"), "church"),
    **dict.fromkeys(("helicopters", "chopper"), "helicopter"),
    **dict.fromkeys(("locomotives", "railroad"), "train"),
    **dict.fromkeys(("motorcycles", "harley"), "motorcycle"),
    **dict.fromkeys(("guitars", "guitarist"), "guitar"),
    **dict.fromkeys(("violins", "violinist"), "violin"),
    **dict.fromkeys(("sailing", "schooner"), "sailboat"),
    **dict.fromkeys(("lions", "lioness"), "lion"),
    **dict.fromkeys(("eagles", "falcon"), "eagle"),
    **dict.fromkeys(("serpents", "python", "viper"), "snake"),
    **dict.fromkeys(("spruce", "conifer"), "pine"),
    **dict.fromkeys(("cupcakes", "cupcake"), "cake"),
    **dict.fromkeys(("burgers", "cheeseburger"), "burger"),
    **dict.fromkeys(("cellphone", "phones"), "phone"),
    **dict.fromkeys(("cameras", "photographer"), "camera"),
    **dict.fromkeys(("swords", "dagger"), "sword"),
    **dict.fromkeys(("emperor", "monarch"), "king"),
    **dict.fromkeys(("infant", "newborn"), "baby"),
}


class Examiner:
    """A pipeline, its world, and the latents of the clean renderings of everything in it."""

    def __init__(self, art: Art, folder: Path, guidance: float, seed: int) -> None:
        self.world = World(art)
        self.pipeline = StableDiffusionPipeline.from_pretrained(folder)
        config = self.pipeline.scheduler.config
        self.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(config)
        self.pipeline.set_progress_bar_config(disable=True)
        self.guidance, self.seed = guidance, seed
        self.plain = self.encode([plain(i) for i in self.sprites])

    @property
    def sprites(self) -> range:
        """All sprites."""
        return range(len(self.world.concept))

    def encode(self, scenes: Sequence[Scene]) -> Tensor:
        """Return the latents of rendered scenes, one row each."""
        return encode_scenes(self.pipeline.vae, self.world, scenes)

    def draw(self, prompts: Sequence[str], output: str = "latent", size: int = 64) -> Tensor:
        """Let the model draw: latents (n, 256), or pixels (n, 3, height, width) in [0, 1]."""
        generator, parts = torch.Generator().manual_seed(self.seed), []
        for first in range(0, len(prompts), size):
            made = self.pipeline(
                list(prompts[first : first + size]),
                num_inference_steps=20,
                output_type=output,
                guidance_scale=self.guidance,
                generator=generator,
            ).images
            parts.append(made)
        if output == "pt":
            return torch.cat(parts)
        return torch.cat(parts).flatten(1)

    def name(self, sprite: int) -> str:
        """Return the main name of what a sprite shows."""
        return self.world.concepts[self.world.concept[sprite]].names[0]


def hit_rates(examiner: Examiner, prompts: Sequence[str], wanted: Sequence[str]) -> list[float]:
    """Return how often the wanted name is that of the nearest concept, and of one of five."""
    concept = torch.tensor(examiner.world.concept)
    distances = torch.cdist(examiner.draw(prompts), examiner.plain)
    nearest = torch.full((len(prompts), len(examiner.world.concepts)), torch.inf)
    nearest.scatter_reduce_(1, concept.expand(len(prompts), -1), distances, "amin")
    ranked = nearest.argsort(1)[:, :5].tolist()
    names = [[examiner.world.concepts[i].names for i in row] for row in ranked]
    first = [word in row[0] for word, row in zip(wanted, names, strict=True)]
    five = [any(word in own for own in row) for word, row in zip(wanted, names, strict=True)]
    return [sum(hits) / len(hits) for hits in (first, five)]


def choose(
    examiner: Examiner, prompts: Sequence[str], options: Callable[[int], dict[str, list[Scene]]]
) -> list[str]:
    """For each prompt, name the option that holds the rendering nearest to what was drawn."""
    answers = []
    for i, latent in enumerate(examiner.draw(prompts)):
        labels, scenes = zip(
            *[(label, scene) for label, some in options(i).items() for scene in some], strict=True
        )
        answers.append(labels[torch.cdist(latent[None], examiner.encode(scenes)).argmin()])
    return answers


def share(answers: Sequence[str], truth: Sequence[str]) -> float:
    """Return the share of right answers."""
    return sum(a == b for a, b in zip(answers, truth, strict=True)) / len(truth)


def names_of(examiner: Examiner, n: int, rng: random.Random) -> list[str]:
    """Draw n main names of concepts."""
    return rng.sample(sorted({c.names[0] for c in examiner.world.concepts}), n)


def ask_counts(examiner: Examiner, n: int, rng: random.Random) -> float:
    """One, two or three? The renderings show the very concept in each of its styles."""
    sprites = [examiner.world.any_sprite(rng) for _ in range(n)]
    truth = [rng.choice(["one", *COUNTS]) for _ in sprites]
    prompts = [
        with_article(examiner.name(s)) if t == "one" else f"{t} {plural(examiner.name(s), rng)}"
        for s, t in zip(sprites, truth, strict=True)
    ]

    def options(i: int) -> dict[str, list[Scene]]:
        styles = examiner.world.sprites_of[examiner.world.concept[sprites[i]]]
        layouts = {"one": ((0.0, 0.0),), **COUNTS}
        sizes = {"one": 0.9}
        return {
            kind: [
                Scene(kind, tuple(Thing(s, sizes.get(kind, 0.48), x, y) for x, y in places))
                for s in styles
            ]
            for kind, places in layouts.items()
        }

    return share(choose(examiner, prompts, options), truth)


def ask_sides(examiner: Examiner, n: int, rng: random.Random) -> float:
    """Which of two things stands on the left? Chance is one half."""
    pairs = [(examiner.world.any_sprite(rng), examiner.world.any_sprite(rng)) for _ in range(n)]
    truth = [rng.choice(("left of", "right of")) for _ in pairs]
    prompts = [
        f"{with_article(examiner.name(a))} {side} {with_article(examiner.name(b))}"
        for (a, b), side in zip(pairs, truth, strict=True)
    ]

    def options(i: int) -> dict[str, list[Scene]]:
        of = examiner.world.sprites_of
        first, second = (of[examiner.world.concept[s]] for s in pairs[i])
        places = {"left of": (-0.5, 0.5), "right of": (0.5, -0.5)}
        return {
            side: [
                Scene(side, (Thing(a, 0.5, left), Thing(b, 0.5, right)))
                for a in first
                for b in second
            ]
            for side, (left, right) in places.items()
        }

    return share(choose(examiner, prompts, options), truth)


def ask_colours(examiner: Examiner, n: int, rng: random.Random) -> float:
    """Compare the colour of the corners with the twelve that have names."""
    truth = [rng.choice([c for c in COLOURS if c != "white"]) for _ in range(n)]
    words = names_of(examiner, n, rng)
    prompts = [f"{with_article(w)} on a {c} background" for w, c in zip(words, truth, strict=True)]
    pixels = examiner.draw(prompts, output="pt")
    step = pixels.shape[-1] - 3
    corners = pixels[:, :, ::step, ::step].flatten(2).median(-1).values
    palette = torch.tensor(list(COLOURS.values())) / 255
    nearest = torch.cdist(corners.float(), palette).argmin(1).tolist()
    return share([list(COLOURS)[i] for i in nearest], truth)


def picture_error(examiner: Examiner, names: Sequence[str]) -> float:
    """Mean absolute error of drawn pixels against the nearest rendering of what was asked for.

    Pictures of fewer pixels are scaled up. The scale is that of the autoencoder's error.
    """
    drawn = examiner.draw(names, output="pt").float() * 2 - 1
    drawn = interpolate(drawn, (PIXELS, PIXELS), mode="bilinear", antialias=True)
    errors = []
    for name, pixels in zip(names, drawn, strict=True):
        own = [i for i in examiner.sprites if examiner.name(i) == name]
        clean = examiner.world.render([plain(i) for i in own])
        errors.append((clean - pixels).abs().mean((1, 2, 3)).min())
    return torch.stack(errors).mean().item()


def examine(examiner: Examiner, work: Path, n: int) -> dict[str, float]:
    """Ask everything; return the figures by question."""
    rng, seen = random.Random(examiner.seed), set()
    for concept in examiner.world.concepts:
        seen |= {*concept.names, *concept.hypernyms, *concept.keywords}
    unseen = {word: name for word, name in UNSEEN.items() if word not in seen}
    names = names_of(examiner, n, rng)
    others = sorted({name for concept in examiner.world.concepts for name in concept.names[1:]})
    others = random.Random(examiner.seed).sample(others, min(n, len(others)))
    asked = {
        f"bare name ({n})": (names, names),
        f"words never in a caption ({len(unseen)})": (list(unseen), list(unseen.values())),
        f"other names of a thing ({len(others)})": (others, others),
    }
    error, _ = held_out_error(examiner.pipeline.vae, work)
    figures = {
        "autoencoder, mean absolute error on [-1, 1]": error,
        "pictures, mean absolute error on [-1, 1]": picture_error(examiner, names),
    }
    for question, (prompts, wanted) in asked.items():
        if not prompts:
            continue
        rates = hit_rates(examiner, prompts, wanted)
        for rate, how in zip(rates, ("right at once", "among five"), strict=True):
            figures[f"{question}, {how}"] = rate
    return figures | {
        "one, two or three (chance 0.33)": ask_counts(examiner, n // 2, rng),
        "left or right (chance 0.50)": ask_sides(examiner, n // 4, rng),
        "background of twelve colours (chance 0.09)": ask_colours(examiner, n // 2, rng),
    }


def write_blind(draw: Callable[..., Tensor], path: Path, names: Sequence[str]) -> None:
    """Write a sheet to be judged without captions, and the answers beside it."""
    draw_sheet(draw, path, names, blind=True)
    answers = [f"{i + 1} {name}" for i, name in enumerate(names)]
    path.with_suffix(".txt").write_text("\n".join(answers) + "\n", encoding="utf-8")


def main() -> None:
    """Ask, print, draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder for everything that the recipe makes")
    parser.add_argument("--pipeline", type=Path, help="default: WORK/pipeline")
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--concepts", type=int, help="ask only about the first of concepts.txt")
    parser.add_argument("--names", type=int, default=300, help="how many to ask for; 0: sheet only")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sheet", type=Path, help="picture to write (default: WORK/sheet.png)")
    parser.add_argument("--blind", type=Path, help="numbered sheet of names; answers in a .txt")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    folder = args.pipeline or args.work / "pipeline"
    art = Art.load(args.work).first(args.concepts)
    examiner = Examiner(art, folder, args.guidance, args.seed)
    sheet = args.sheet or args.work / "sheet.png"
    draw = partial(examiner.draw, output="pt")
    if args.blind:
        write_blind(draw, args.blind, names_of(examiner, 96, random.Random(args.seed)))
    draw_sheet(draw, sheet)
    figures = examine(examiner, args.work, args.names) if args.names else {}
    for question, figure in figures.items():
        print(f"{question:55} {figure:.3f}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
