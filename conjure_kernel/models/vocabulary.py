"""The words that the embedded model was taught."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["embedded_vocabulary"]


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
