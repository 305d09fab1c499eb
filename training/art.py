"""Emoji art in eight styles, and the words that people use for it.

    python -m training.art WORK

fetches the packages that `package.json` names, renders each concept of `concepts.txt` in each style
(64 x 64 pixels with transparency) and writes `WORK/art.npz`. No image is part of the repository.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.meant import KEYWORDS_LEFT_OUT

HERE = Path(__file__).parent
STYLES = (
    *("noto", "noto-v1", "twemoji", "fluent-emoji"),
    *("fluent-emoji-flat", "fxemoji", "emojione", "streamline-emojis"),
)
SIZE = 64
PARTS = ("sprites", "concept", "style")  # in art.npz, the sprites with their channels last
APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"


@dataclass(frozen=True)
class Concept:
    """What one emoji shows: its names (the first is the main one), hypernyms and keywords."""

    names: tuple[str, ...]
    hypernyms: tuple[str, ...]
    keywords: tuple[str, ...]


@dataclass(frozen=True)
class Art:
    """All sprites: RGBA of shape (n, 4, 64, 64) in uint8, with each one's concept and style."""

    concepts: list[Concept]
    sprites: Tensor
    concept: Tensor
    style: Tensor

    @classmethod
    def load(cls, work: Path) -> Art:
        """Read what `python -m training.art WORK` wrote."""
        with np.load(work / "art.npz") as stored:
            concepts = [Concept(*map(tuple, c)) for c in json.loads(stored["concepts"].item())]
            sprites, *rows = (torch.from_numpy(stored[name]) for name in PARTS)
        return cls(concepts, sprites.permute(0, 3, 1, 2), *rows)

    def store(self, work: Path) -> None:
        """Write everything where `load` finds it, an eighth as large as in memory."""
        concepts = json.dumps([(c.names, c.hypernyms, c.keywords) for c in self.concepts])
        pixels = self.sprites.permute(0, 2, 3, 1).contiguous()
        arrays = zip(PARTS, (pixels, self.concept, self.style), strict=True)
        with (work / "art.part").open("wb") as file:
            np.savez_compressed(file, concepts=concepts, **{k: v.numpy() for k, v in arrays})
        (work / "art.part").replace(work / "art.npz")

    def first(self, n_concepts: int | None) -> Art:
        """Keep the first concepts only (None: all)."""
        rows = self.concept < len(self.concepts[:n_concepts])
        parts = (part[rows] for part in (self.sprites, self.concept, self.style))
        return Art(self.concepts[:n_concepts], *parts)


def read_concepts(path: Path = HERE / "concepts.txt") -> dict[str, tuple[list[str], list[str]]]:
    """Map each emoji label to its names and its hypernyms."""
    concepts: dict[str, tuple[list[str], list[str]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        hypernyms, _, items = line.partition("|")
        for item in items.split(";"):
            label, _, others = (part.strip() for part in item.partition("="))
            label, _, name = (part.strip() for part in label.partition(">"))
            names = [name or label.lower().replace(APOSTROPHE, "'")]
            names += [other.strip() for other in others.split(",") if other.strip()]
            concepts.setdefault(label, (names, [h.strip() for h in hypernyms.split(",")]))
    return concepts


def fetch(work: Path) -> Path:
    """Install the art packages with npm into `work`; return the folder that holds them."""
    shutil.copy(HERE / "package.json", work)
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, cwd=work, check=True)
    return work / "node_modules"


def simplify(name: str) -> str:
    """Reduce a label or an icon's name to letters and digits, under which the sets agree."""
    return re.sub("[^a-z0-9]", "", name.lower().replace(APOSTROPHE, ""))


class IconSet:
    """One style: the icons of a package by simplified name."""

    def __init__(self, folder: Path) -> None:
        self.pack = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
        names = [*self.pack.get("aliases", {}), *self.pack["icons"]]
        self.names = {simplify(name): name for name in names}

    def svg(self, label: str) -> str | None:
        """Return the drawing for an emoji label, None if the set has none."""
        name = self.names.get(simplify(label))
        while name is not None and name not in self.pack["icons"]:
            name = self.pack["aliases"][name].get("parent")
        if name is None:
            return None
        icon = self.pack["icons"][name]
        left, top = icon.get("left", 0), icon.get("top", 0)
        width = icon.get("width", self.pack.get("width", 16))
        height = icon.get("height", self.pack.get("height", 16))
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
        )


def render(svg: str) -> Tensor | None:
    """Draw an SVG as RGBA (4, 64, 64) in uint8; None where it cannot be drawn or is empty."""
    import cairosvg
    from PIL import Image

    try:
        png = cairosvg.svg2png(svg.encode(), output_width=SIZE, output_height=SIZE)
    except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError) as error:
        print(f"not drawn: {error!r}")
        return None
    pixels = np.array(Image.open(io.BytesIO(png)).convert("RGBA"))
    if (pixels[..., 3] > 20).mean() < 0.05:
        return None
    return torch.from_numpy(pixels).permute(2, 0, 1)


def collect(packages: Path) -> Art:
    """Render every concept in every style that has it."""
    sets = [IconSet(packages / "@iconify-json" / style) for style in STYLES]
    emoji = json.loads((packages / "emojibase-data/en/data.json").read_text(encoding="utf-8"))
    tags = {e["label"]: e.get("tags", []) for e in emoji}
    concepts, sprites, concept, style = [], [], [], []
    for label, (names, hypernyms) in read_concepts().items():
        drawn = [(i, render(svg)) for i, s in enumerate(sets) if (svg := s.svg(label))]
        drawn = [(i, sprite) for i, sprite in drawn if sprite is not None]
        if not drawn:
            print(f"no art for {label!r}")
            continue
        for i, sprite in drawn:
            sprites.append(sprite)
            concept.append(len(concepts))
            style.append(i)
        keywords = [
            tag
            for tag in tags.get(label, [])
            if re.fullmatch("[a-z ]+", tag) and tag not in KEYWORDS_LEFT_OUT
        ]
        concepts.append(Concept(tuple(names), tuple(hypernyms), tuple(keywords)))
    print(f"{len(concepts)} concepts, {len(sprites)} sprites")
    return Art(concepts, torch.stack(sprites), torch.tensor(concept), torch.tensor(style))


def main() -> None:
    """Fetch, render and store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder for everything that the recipe makes")
    work = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    collect(fetch(work)).store(work)


if __name__ == "__main__":
    main()
