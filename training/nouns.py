"""WordNet's nouns: what a word means first, what that is a kind of, and whether it can be drawn."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

# WordNet's files of animals, artefacts, the body, food, natural objects, people,
# phenomena, plants, shapes and substances
TANGIBLE = {5, 6, 8, 13, 17, 18, 19, 20, 25, 27}
PERSON, THINGS = 18, {5, 6, 13, 20}
# kinds too general to be told in a caption
ABSTRACT = set(
    """
    abstraction adult area article artifact attribute chemical chordate commodity component
    construct covering creation device entity equipment eutherian event extremity foodstuff form
    implement instrumentality line location material matter object organism part passage person
    placental point process property region relation shape solid structure substance surface
    system thing unfortunate unit vertebrate way whole worker
    """.split()
)
ENDINGS = ("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("ves", "f"), ("s", "")


class Nouns:
    """The nouns of WordNet, from the folder of its `data.noun` and `index.noun`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.meanings = folder, {}
        for line in (folder / "index.noun").read_text(encoding="utf-8").splitlines():
            if not line.startswith(" "):
                fields = line.split()
                self.meanings[fields[0].replace("_", " ")] = fields[4 + int(fields[3]) + 2 :]

    @cached_property
    def lines(self) -> dict[str, str]:
        """The entry of each meaning, by its number."""
        text = (self.folder / "data.noun").read_text(encoding="utf-8")
        return {line[:8]: line for line in text.splitlines() if not line.startswith(" ")}

    def knows(self, words: Iterable[str]) -> bool:
        """Tell whether words in a row are a noun."""
        return self.meaning(" ".join(words)) is not None

    def meaning(self, words: str) -> str | None:
        """Return the number of the first meaning of a noun, singular or plural; None if unknown.

        Where the first is a person, a thing among the next three is preferred ("screw").
        """
        for ending, singular in (("", ""), *ENDINGS):
            if words.endswith(ending) and len(words) > len(ending):
                found = self.meanings.get(words[: len(words) - len(ending)] + singular)
                if found:
                    things = [m for m in found[:4] if self.file_of(m) in THINGS]
                    return things[0] if things and self.file_of(found[0]) == PERSON else found[0]
        return None

    def file_of(self, meaning: str) -> int:
        """Return the number of WordNet's file that a meaning is in."""
        return int(self.lines[meaning].split(maxsplit=2)[1])

    def tangible(self, meaning: str) -> bool:
        """Tell whether a meaning is of something that can be drawn."""
        return self.file_of(meaning) in TANGIBLE

    def names(self, meaning: str) -> list[str]:
        """Return the nouns of a meaning, in WordNet's order; proper names are left out."""
        fields = self.lines[meaning].split()
        nouns = [fields[4 + 2 * i].replace("_", " ") for i in range(int(fields[3], 16))]
        return [noun for noun in nouns if re.fullmatch("[a-z][a-z ]+", noun)]

    def kinds(self, meaning: str, most: int = 3) -> list[str]:
        """Return what a meaning is a kind of, the nearest first, without what all things are."""
        kinds: list[str] = []
        while (above := re.search(r" @i? (\d{8}) n", self.lines[meaning])) and len(kinds) < most:
            meaning = above[1]
            names = self.names(meaning)
            if names and names[0] not in ABSTRACT and " " not in names[0]:
                kinds.append(names[0])
        return kinds
