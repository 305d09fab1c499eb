"""The words on which a model is reported, a list in the package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import zip_longest

__all__ = ["Words", "read_words"]

ABSTRACT = "-"


@dataclass(frozen=True)
class Words:
    """Names of things, what these are called in general, and words that nobody can draw.

    Attributes
    ----------
    hypernyms : dict of str to str
        What each name is called in general. The names take turns, so that those at the beginning
        are of all kinds.
    abstract : list of str
        Words such as "truth".
    """

    hypernyms: dict[str, str]
    abstract: list[str]

    @property
    def names(self) -> list[str]:
        """The names alone."""
        return list(self.hypernyms)

    def mixed(self) -> list[str]:
        """All words, in an order of which every beginning has some of each sort."""
        several = zip_longest(self._with_hypernyms(), self.abstract)
        return [word for words in several for word in words if word is not None]

    def _with_hypernyms(self) -> Iterator[str]:
        """Each name, and after the first of its kind the hypernym."""
        seen = set()
        for name, hypernym in self.hypernyms.items():
            yield name
            if hypernym not in seen:
                seen.add(hypernym)
                yield hypernym


@cache
def read_words() -> Words:
    """The list in the package."""
    groups = {}
    for line in (files(__package__) / "words.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, _, members = line.partition(":")
            groups[kind.strip()] = [word.strip() for word in members.split(",")]
    abstract = groups.pop(ABSTRACT)
    turns = zip_longest(*([(name, kind) for name in names] for kind, names in groups.items()))
    return Words(dict(pair for turn in turns for pair in turn if pair is not None), abstract)
