"""Fonts for labels in any script: those that the system has, and one warning where it has none.

matplotlib draws an empty box for each letter that its font lacks, and warns of each. `readable`
adds installed fonts that have the letters of some labels, and `font_context` puts one first.
Matplotlib from 3.11 on joins letters and orders scripts that run from right to left; earlier ones
draw them one by one, from left to right.
"""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from functools import lru_cache

from matplotlib import rc_context, rcParams
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

from conjure_kernel._checks import ConjureWarning, quote
from conjure_kernel.plot._style import STYLE
from conjure_kernel.plot.labels import shorten

__all__ = ["drawing", "font_context", "readable", "short_names"]

MISSING = "□"
_missing: ContextVar[set[str] | None] = ContextVar("missing", default=None)
MOST_NAMED = 8  # letters in a warning
FIRST = ("noto sans", "noto", "source han", "dejavu", "arial unicode", "segoe ui", "apple")
# Fonts whose glyphs are stand-ins, or colours, which matplotlib does not draw.
NEVER = re.compile("last ?resort|adobe blank|color emoji|^cm[a-z]+10$|^stix(size|nonu)", re.I)


@contextmanager
def font_context(font: str | os.PathLike[str]) -> Iterator[None]:
    """Write the labels of pictures made within `with` in this font; others stand in where it fails.

    Parameters
    ----------
    font : str or path
        The name of an installed font, or a file (.ttf, .otf, .ttc).

    Raises
    ------
    ValueError
        No font of this name is installed, or the file is no font.

    Examples
    --------
    >>> from conjure_kernel.plot import plot_matrix
    >>> with font_context("DejaVu Serif"):
    ...     ax = plot_matrix([[0, 1], [1, 0]], ["dog", "cat"])
    >>> ax.get_yticklabels()[0].get_fontfamily()[0]
    'DejaVu Serif'
    """
    family = [_name_of(os.fspath(font)), *rcParams["font.family"]]
    with rc_context({"font.family": family}):
        yield


@contextmanager
def drawing() -> Iterator[None]:
    """The style of a picture, at whose end one warning names the letters that no font has."""
    outer = _missing.get()
    token = _missing.set(set() if outer is None else outer)
    try:
        with rc_context(STYLE):
            yield
        if outer is None:
            _tell(_missing.get() or set(), 5)
    finally:
        _missing.reset(token)


def readable(texts: Sequence[str]) -> list[str]:
    """The texts, after fonts that have their letters were added to those in use.

    To be called within the `rc_context` of a picture, which gives the fonts back. A letter that no
    font has becomes a box.
    """
    letters = frozenset("".join(texts)) - _known(tuple(rcParams["font.family"]))
    wanted = frozenset(letter for letter in letters if not letter.isspace())
    if not wanted:
        return list(texts)
    fonts, missing = _fallback(wanted, len(fontManager.ttflist))
    rcParams["font.family"] = [*rcParams["font.family"], *fonts]
    if (told := _missing.get()) is not None:
        told |= missing
    else:
        _tell(missing, 5)
    boxes = str.maketrans(dict.fromkeys(missing, MISSING))
    return [text.translate(boxes) for text in texts]


def short_names(names: Sequence[str], width: int) -> list[str]:
    """`shorten`, in letters that can be drawn; wide letters count twice."""
    drawn = readable(names)
    wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in "".join(drawn))
    return shorten(drawn, width * 3 // 5 if wide else width)


def _tell(missing: Collection[str], level: int) -> None:
    """Warn of letters that no font has."""
    if not missing:
        return
    named = " ".join(sorted(missing)[:MOST_NAMED]) + (" …" if len(missing) > MOST_NAMED else "")
    warnings.warn(
        f"labels: expected a font that has {named}, got none among those installed; "
        f"each is drawn as {MISSING}; install one, or give one: --font, or "
        "plot.font_context in Python.",
        category=ConjureWarning,
        stacklevel=level,
    )


def _name_of(font: str) -> str:
    """The name of an installed font, or of a file that is added to them."""
    if os.path.isfile(font):
        try:
            fontManager.addfont(font)
            return FontProperties(fname=font).get_name()
        except (OSError, RuntimeError, NotImplementedError) as error:
            raise ValueError(
                f"font={quote(font)}: expected a font whose letters are outlines, got another file "
                f"({error}); name a .ttf, .otf or .ttc file."
            ) from error
    names = {name.lower(): name for name in fontManager.get_font_names()}
    if font.lower() not in names:
        near = [names[name] for name in get_close_matches(font.lower(), names, cutoff=0.4)]
        hint = f"it is not installed; near it are {', '.join(near)}" if near else "not installed"
        raise ValueError(f"font={quote(font)}: expected an installed font, or a file; {hint}.")
    return names[font.lower()]


@lru_cache
def _known(families: tuple[str, ...]) -> frozenset[str]:
    """The letters of these fonts together."""
    return frozenset().union(*map(_letters, families))


@lru_cache
def _letters(family: str) -> frozenset[str]:
    """The letters of a font."""
    own = [entry for entry in fontManager.ttflist if entry.name == family]
    plain = sorted(own, key=lambda entry: (entry.style != "normal", entry.weight != 400))
    path = plain[0].fname if own else findfont(FontProperties(family=[family]))
    return frozenset(map(chr, get_font(path).get_charmap()))


@lru_cache
def _fallback(wanted: frozenset[str], n_fonts: int) -> tuple[list[str], frozenset[str]]:
    """Fonts of the `n_fonts` that have these letters, one if possible; and what none has."""
    names = [name for name in fontManager.get_font_names() if not NEVER.search(name)]
    names.sort(key=_preference)
    whole = next((name for name in names if wanted <= _letters(name)), None)
    if whole is not None:
        return [whole], frozenset()
    chosen = []
    for name in names:
        if wanted & _letters(name):
            chosen.append(name)
            wanted -= _letters(name)
    return chosen, wanted


def _preference(name: str) -> tuple[int, str]:
    """Large families come first, as their fonts go together."""
    found = (i for i, word in enumerate(FIRST) if name.lower().startswith(word))
    return next(found, len(FIRST)), name
