"""Scenes of emoji art and captions that tell the truth about them.

A bare name always shows one thing, upright, centred and on white: what the model is asked most it
is shown most plainly. Whatever departs from that (size, number, background) is in the caption.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.art import Art, Concept

PIXELS = 64
COLOURS = {
    "white": (255, 255, 255),
    "red": (220, 50, 47),
    "green": (70, 160, 70),
    "blue": (50, 100, 210),
    "yellow": (245, 215, 60),
    "orange": (245, 150, 50),
    "purple": (140, 80, 180),
    "pink": (250, 170, 195),
    "black": (25, 25, 25),
    "gray": (150, 150, 150),
    "brown": (130, 90, 55),
    "turquoise": (70, 190, 190),
}
# where two things stand, as (x, y) from -1 to 1: first, second
RELATIONS = {
    "and": ((-0.5, 0.0), (0.5, 0.0)),
    "next to": ((-0.5, 0.0), (0.5, 0.0)),
    "left of": ((-0.5, 0.0), (0.5, 0.0)),
    "right of": ((0.5, 0.0), (-0.5, 0.0)),
    "above": ((0.0, -0.5), (0.0, 0.5)),
    "below": ((0.0, 0.5), (0.0, -0.5)),
}
COUNTS = {
    "two": ((-0.5, 0.0), (0.5, 0.0)),
    "three": ((-0.5, -0.45), (0.5, -0.45), (0.0, 0.5)),
}
# one and several, where no rule of `several` holds; of compounds, too ("bookshelf")
PLURALS = dict(
    pair.split()
    for pair in """
    bacteria bacteria; bacterium bacteria; calf calves; candelabra candelabra; cattle cattle;
    child children; canvas canvases; deer deer; dice dice; lens lenses; potato potatoes;
    stomach stomachs; swine swine; teeth teeth; tomato tomatoes; torpedo torpedoes;
    dwarf dwarves; elf elves; fish fish; foot feet; goose geese; half halves;
    knife knives; leaf leaves; loaf loaves; man men; moose moose; mouse mice; ox oxen;
    person people; scarf scarves; sheep sheep; shelf shelves; thief thieves; tooth teeth;
    wife wives; wolf wolves
    """.split(";")
)
VAGUE = {"face", "animal", "mouth", "body", "person", "man", "woman"}  # as keywords, of everyone


@dataclass(frozen=True)
class Thing:
    """One sprite in a scene: its size as a share of the picture, its centre from -1 to 1."""

    sprite: int
    size: float
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Scene:
    """Things on a background; `kind` is "one", "small", "big", a count or a relation."""

    kind: str
    things: tuple[Thing, ...]
    background: str = "white"


def plain(sprite: int) -> Scene:
    """Return the scene of a bare name: one thing, upright, centred and on white."""
    return Scene("one", (Thing(sprite, 0.9),))


def with_article(words: str) -> str:
    """Put "a" or "an" before the words, by their sound."""
    vowel = words[0] in "aeiou" and not re.match("one|uni|us[be]|ut[ei]|uf|eu|ewe", words)
    return ("an " if vowel or re.match("hour|honest|x |xbox|sms|led", words) else "a ") + words


class World:
    """Draws random scenes, renders them and words their captions.

    `first` is the share of things that are drawn in the first style that their concept has;
    `device` renders. Captions of single things give a hypernym (a word for its kind) or a keyword
    in these shares, and otherwise a name.
    """

    def __init__(
        self,
        art: Art,
        first: float = 0.0,
        device: str = "cpu",
        *,
        hypernyms: float = 0.12,
        keywords: float = 0.18,
    ) -> None:
        self.first, self.hypernyms, self.keywords = first, hypernyms, keywords
        self.concepts, self.concept = art.concepts, art.concept.tolist()
        self.sprites_of: list[list[int]] = [[] for _ in art.concepts]
        for sprite, concept in enumerate(self.concept):
            self.sprites_of[concept].append(sprite)
        self.layers = art.sprites.to(device).float() / 255
        self.layers[:, :3] *= self.layers[:, 3:]  # premultiplied: resampling leaves no dark rims

    def draw(self, rng: random.Random) -> Scene:
        """Draw a scene: mostly one thing, sometimes several alike or two different ones."""
        background = "white" if rng.random() < 0.75 else rng.choice(list(COLOURS))
        fate = rng.random()
        if fate < 0.70:
            jitter = [rng.gauss(0, 0.03) for _ in range(3)]
            kind, things = "one", [(self.any_sprite(rng), 0.9 + jitter[0], *jitter[1:])]
        elif fate < 0.76:
            place = [rng.uniform(-0.3, 0.3) for _ in range(2)]
            kind, things = "small", [(self.any_sprite(rng), rng.uniform(0.4, 0.5), *place)]
        elif fate < 0.80:
            kind, things = "big", [(self.any_sprite(rng), 1.15, 0.0, 0.0)]
        elif fate < 0.89:
            kind, sprite = rng.choice(list(COUNTS)), self.any_sprite(rng)
            things = [(sprite, 0.48, x, y) for x, y in COUNTS[kind]]
        else:
            kind = rng.choice(list(RELATIONS))
            things = [(self.any_sprite(rng), 0.5, x, y) for x, y in RELATIONS[kind]]
            if kind in ("and", "next to") and rng.random() < 0.5:
                things.reverse()
        return Scene(kind, tuple(Thing(*thing) for thing in things), background)

    def any_sprite(self, rng: random.Random) -> int:
        """Draw a concept, the likelier the more makers drew it, then one of its styles."""
        sprites = self.sprites_of[rng.choice(self.concept)]
        return sprites[0] if rng.random() < self.first else rng.choice(sprites)

    def name(self, thing: Thing, rng: random.Random, main: float = 0.6) -> str:
        """Return one of the names of a thing, the main one in a share of cases."""
        names = self.concepts[self.concept[thing.sprite]].names
        return names[0] if rng.random() < main else rng.choice(names)

    def word(self, thing: Thing, rng: random.Random) -> str:
        """Return a name, a hypernym or a keyword of a thing."""
        concept = self.concepts[self.concept[thing.sprite]]
        fate = rng.random()
        if fate < self.hypernyms:
            return rng.choice(concept.hypernyms)
        keywords = [word for word in concept.keywords if word not in VAGUE]
        if fate < self.hypernyms + self.keywords and keywords:
            return rng.choice(keywords)
        return self.name(thing, rng)

    def caption(self, scene: Scene, rng: random.Random) -> str:
        """Word a scene anew; a background other than white is always told."""
        first = scene.things[0]
        if scene.kind == "one":
            word = self.word(first, rng)
            forms = ["{0}", "{1}", "the {0}", "a photo of {1}", "a picture of {1}"]
            form = rng.choices(forms, weights=(50, 20, 10, 10, 10))[0]
            phrase = form.format(word, with_article(word))
        elif scene.kind in ("small", "big"):
            phrase = f"a {scene.kind} {self.name(first, rng)}"
        elif scene.kind in COUNTS:
            phrase = f"{scene.kind} {plural(self.name(first, rng, main=1.0), rng)}"
        else:
            a, b = (with_article(self.name(thing, rng, main=0.8)) for thing in scene.things)
            phrase = f"{a} {scene.kind} {b}"
        if scene.background != "white":
            phrase += f" on a {scene.background} background"
        return phrase

    def render(self, scenes: Sequence[Scene]) -> Tensor:
        """Render scenes to pixels in [-1, 1], shape (n, 3, 64, 64)."""
        ground = [COLOURS[scene.background] for scene in scenes]
        images = (torch.tensor(ground, device=self.layers.device) / 255)[:, :, None, None].repeat(
            1, 1, 64, 64
        )
        for rank in range(max(len(scene.things) for scene in scenes)):
            rows = [i for i, scene in enumerate(scenes) if rank < len(scene.things)]
            layer = self.place([scenes[i].things[rank] for i in rows])
            images[rows] = images[rows] * (1 - layer[:, 3:]) + layer[:, :3]
        return torch.nn.functional.avg_pool2d(images, 64 // PIXELS) * 2 - 1

    def place(self, things: Sequence[Thing]) -> Tensor:
        """Resample each thing's sprite to its size and place: RGBA (n, 4, 64, 64)."""
        places = [(t.size, t.x, t.y) for t in things]
        size, x, y = torch.tensor(places, device=self.layers.device).T
        zero = torch.zeros_like(size)
        rows = torch.stack([1 / size, zero, -x / size, zero, 1 / size, -y / size], 1).view(-1, 2, 3)
        grid = torch.nn.functional.affine_grid(rows, [len(things), 4, 64, 64], align_corners=False)
        sprites = self.layers[[t.sprite for t in things]]
        return torch.nn.functional.grid_sample(sprites, grid, align_corners=False)


def plural(word: str, rng: random.Random) -> str:
    """Return the word as a plural, sometimes left as it is ("two banana")."""
    return word if rng.random() < 0.2 else several(word)


def several(word: str) -> str:
    """Return the plural of a word; of several words that of the last one, or of what is "in" it."""
    head = re.match("(.+?)( (?:of|in|with|on|without) .+)", word)
    if head and not head[1].endswith("ing"):  # "face screaming in fear"
        return several(head[1]) + head[2]
    last = word.rpartition(" ")[2]
    for one, more in PLURALS.items():
        compound = last.endswith(one) and (len(one) > 3 or one == "man") and last != "human"
        if last == one or compound:
            return word[: len(word) - len(one)] + more
    if word.endswith(("ss", "us", "ch", "sh", "x")):
        return word + "es"
    if word.endswith("s"):
        return word
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def vocabulary(concepts: Sequence[Concept]) -> set[str]:
    """Return every word or phrase that a caption may hold, and the plural of each name."""
    frame = "a an the photo picture of small big on background".split()
    words = {*frame, *COLOURS, *COUNTS, *" ".join(RELATIONS).split()}
    for concept in concepts:
        words |= {*concept.names, *map(several, concept.names), *concept.hypernyms}
        words |= {*concept.keywords} - VAGUE
    return words
