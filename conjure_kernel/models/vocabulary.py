"""The words that the embedded model was taught, and which words of a prompt are none of them."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from importlib.resources import files

__all__ = ["embedded_vocabulary", "untaught_words"]

POSSESSIVE = re.compile(r"(?<=\w)['\u2019]s\b", re.I)
PLURALS = (  # how they end, and the singular
    (re.compile("ies$"), "y"),
    (re.compile("(?<=[sxzo])es$|(?<=[cs]h)es$"), ""),
    (re.compile("s$"), ""),
    (re.compile("men$"), "man"),
)
STEM = 3  # letters that a singular has at least: "as" is no plural of "a"


@cache
def embedded_vocabulary() -> frozenset[str]:
    """Words and phrases that the embedded model was taught, in lower case.

    They are the names of the things that it draws, in the singular and the plural, what these
    things are kinds of, the keywords of their pictures, and the words that a caption put around
    them ("a", "two", "left", "green", "background"). A prompt that is not made of them is probably
    unknown to the model: it then draws the picture of a word that its text encoder holds for
    similar, or a blur.

    Returns
    -------
    frozenset of str
        The words and phrases.

    Examples
    --------
    >>> from conjure_kernel import embedded_vocabulary
    >>> known = embedded_vocabulary()
    >>> "ice cream" in known, "puppies" in known, "theory" in known
    (True, True, False)
    """
    path = files("conjure_kernel.models") / "embedded" / "vocabulary.txt"
    return frozenset(path.read_text(encoding="utf-8").splitlines())


def untaught_words(prompt: str) -> list[str]:
    """Words of a prompt that the embedded model was not taught, as they stand there.

    A prompt is made of words and phrases of the vocabulary with as few words left over as can be:
    "1st" is taught in "1st place medal" alone. Case and accents do not count, as they do not for
    the model's tokenizer; nor do punctuation, 's and a regular plural, which change its picture
    little. The empty prompt has no such word; one of punctuation alone is one itself.
    """
    if not (words := _split(prompt)):
        return list(filter(None, [prompt.strip()]))
    folded, (known, longest) = [_fold(word) for word in words], _phrases()
    left_over: list[list[str]] = [[]]  # of the first n words
    for end, word in enumerate(words, 1):
        starts = range(max(0, end - longest), end)
        ways = [left_over[i] for i in starts if tuple(folded[i:end]) in known]
        if _is_plural(folded[end - 1]):
            ways.append(left_over[end - 1])
        left_over.append(min([*ways, [*left_over[end - 1], word]], key=len))
    return left_over[-1]


@cache
def _phrases() -> tuple[frozenset[tuple[str, ...]], int]:
    """The vocabulary as words in a row, and the length of the longest row."""
    phrases = {tuple(map(_fold, _split(phrase))) for phrase in embedded_vocabulary()}
    return frozenset(phrases), max(map(len, phrases))


def _split(text: str) -> list[str]:
    """Words between white space and punctuation; that of ASCII includes signs such as "+"."""
    text = POSSESSIVE.sub(" ", text)
    return "".join(" " if _is_punctuation(sign) else sign for sign in text).split()


@cache
def _is_punctuation(sign: str) -> bool:
    category = unicodedata.category(sign)
    return category[0] == "P" or (category[0] == "S" and sign.isascii())


@lru_cache(maxsize=10_000)
def _fold(word: str) -> str:
    """A word in lower case, without accents and signs that nobody sees."""
    parts = unicodedata.normalize("NFD", word.lower())
    return "".join(sign for sign in parts if unicodedata.category(sign) not in ("Mn", "Cf", "Cc"))


def _is_plural(word: str) -> bool:
    """Whether a word is a regular plural of one that was taught."""
    known, _ = _phrases()
    singulars = [ending.sub(one, word) for ending, one in PLURALS if ending.search(word)]
    return any((one,) in known for one in singulars if len(one) >= STEM)
