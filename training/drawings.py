"""Do the drawings themselves mean what people mean? Agreement without a denoiser.

    python -m training.drawings WORK MEN.tsv SimLex999.tsv --pipeline FOLDER [--concepts 739]

A model that knew its world exactly, and nothing else, would predict from pure noise the mean of
the latents that go with a caption. Printed is Spearman of the cosines of these means, seen from the
mean of everything, with the scores of the pairs whose two words both name a concept.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from conjure_kernel import evaluate, load_pairs
from conjure_kernel._table import Table
from training.agreement import make_parser, names_of
from training.art import Art
from training.denoiser import encode_scenes
from training.scenes import Thing, World, plain

DRAWS = 100  # captions a sprite


class Drawings:
    """Cosine of the mean latents of all that is drawn under a word, from the mean of everything."""

    name = "the drawings"

    def __init__(self, world: World, autoencoder: AutoencoderKL, seed: int = 0) -> None:
        rng = random.Random(seed)
        shown: dict[str, Counter[int]] = defaultdict(Counter)
        for _ in range(DRAWS * len(world.concept)):
            sprite = world.any_sprite(rng)
            shown[world.word(Thing(sprite, 0.9), rng)][sprite] += 1
        scenes = [plain(sprite) for sprite in range(len(world.concept))]
        latents = encode_scenes(autoencoder, world, scenes)
        everything = sum(shown.values(), Counter())
        self.origin = mean(latents, everything)
        self.vectors = {word: mean(latents, some) - self.origin for word, some in shown.items()}

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        """Return the cosines of pairs of words."""
        sides = [torch.stack([self.vectors[word] for word in words]) for words in (left, right)]
        return torch.cosine_similarity(*sides).double().numpy()


def mean(latents: Tensor, counts: Counter[int]) -> Tensor:
    """Return the mean of some rows, each as often as it is counted."""
    rows, weights = torch.tensor(list(counts)), torch.tensor(list(counts.values())).float()
    return weights @ latents[rows] / weights.sum()


def main() -> None:
    """Read the command line; print a row per file."""
    parser = make_parser(__doc__)
    parser.add_argument("--first", type=float, default=0.7, help="as in training.denoiser")
    parser.add_argument("--hypernyms", type=float, default=0.12, help="likewise")
    parser.add_argument("--keywords", type=float, default=0.18, help="likewise")
    args = parser.parse_args()
    folder = args.pipeline or args.work / "pipeline"
    autoencoder = AutoencoderKL.from_pretrained(folder, subfolder="vae").eval()
    shares = {"hypernyms": args.hypernyms, "keywords": args.keywords}
    world = World(Art.load(args.work), args.first, **shares)
    drawings, rows = Drawings(world, autoencoder), []
    for path in args.sets:
        pairs = load_pairs(path).within(names_of(world.concepts[: args.concepts]), "both names")
        facts = evaluate(drawings, pairs).table.find(part="all")
        kept = {name: value for name, value in facts.items() if name.startswith("spearman")}
        rows.append({"pairs": pairs.name, "n": facts["n"], **kept})
    print(Table(rows))


if __name__ == "__main__":
    main()
