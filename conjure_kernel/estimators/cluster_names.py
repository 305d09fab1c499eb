"""Names of clusters: words that their prompts share, a hypernym, or typical prompts."""

from __future__ import annotations

import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from conjure_kernel._checks import quote

__all__ = ["cluster_names", "content", "hypernyms_of"]

MAJORITY = 0.5  # of the prompts of a cluster, which a word or a hypernym must exceed
MOST_WORDS = 3
LONGEST = 24  # characters of a prompt in a name
INNER = "'-\u200c\u200d"  # within words: "don't", "t-shirt", and the joiners of some scripts
STOP = (
    "a an and are as at be by for from in into is it its of on onto or over that the their "
    "there this to under very with without photo picture image"
).split()


def cluster_names(
    labels: np.ndarray,
    typical: Sequence[Sequence[int]],
    prompts: Sequence[str],
    hypernyms: Sequence[str | None],
) -> tuple[str, ...]:
    """A name for each cluster, all different.

    The words of most of its prompts, by class TF-IDF; or the hypernym of most of them; or the
    typical prompts themselves, which also follow a name that two clusters would share; a number
    follows what is equal even so.
    """
    words = _words(labels, typical, prompts)
    shown = [_listed(prompts[i] for i in some) for some in typical]
    names = []
    for cluster, few in enumerate(shown):
        kinds = Counter(hypernyms[i] for i in np.flatnonzero(labels == cluster).tolist())
        kind, count = kinds.most_common(1)[0]
        named = kind if kind and count > MAJORITY * kinds.total() else few
        names.append(words[cluster] or named)
    repeated = Counter(names)
    told = [
        f"{name}: {few}" if repeated[name] > 1 and name != few else name
        for name, few in zip(names, shown, strict=True)
    ]
    before = [told[:i].count(name) for i, name in enumerate(told)]
    return tuple(f"{name} ({n + 1})" if n else name for name, n in zip(told, before, strict=True))


def hypernyms_of(given: object, prompts: Sequence[str]) -> list[str | None]:
    """The hypernym of each prompt, or None, from a mapping or a sequence."""
    if given is None:
        return [None] * len(prompts)
    if isinstance(given, Mapping):
        known = {unicodedata.normalize("NFC", str(key)): kind for key, kind in given.items()}
        found = [known.get(prompt) for prompt in prompts]
    elif isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
        raise TypeError(
            f"hypernyms={quote(given)}: expected a mapping of prompts to hypernyms, or one for "
            f"each prompt, got {type(given).__name__}; write {{prompt: hypernym}}."
        )
    else:
        found = list(given)
    if len(found) != len(prompts):
        raise ValueError(
            f"hypernyms: expected one for each of {len(prompts)} prompts, got {len(found)}; "
            "write None for a prompt without any."
        )
    if wrong := [kind for kind in found if not isinstance(kind, str | None)]:
        raise TypeError(
            f"hypernyms: expected strings or None, got {quote(wrong[0])}; "
            "fill missing values with None."
        )
    return [kind or None for kind in found]


def _words(
    labels: np.ndarray, typical: Sequence[Sequence[int]], prompts: Sequence[str]
) -> list[str]:
    """At most three words of each cluster, or "", by class TF-IDF.

    Most of its prompts have such a word, and at least twice the share of those of the others.
    """
    n_clusters = labels.max() + 1
    counter = CountVectorizer(analyzer=_split, binary=True)
    try:
        counts = counter.fit_transform(prompts)
    except ValueError:  # no word at all
        return [""] * n_clusters
    member = labels == np.arange(n_clusters)[:, None]
    sizes = member.sum(1, keepdims=True)
    held = member @ counts.toarray()
    inside = held / np.maximum(sizes, 1)
    outside = (held.sum(0) - held) / np.maximum(sizes.sum() - sizes, 1)
    scores = inside * np.log1p(inside.sum() / n_clusters / np.maximum(inside.sum(0), 1e-12))
    scores[(inside <= MAJORITY) | (outside > inside / 2) | (sizes < 2)] = 0
    vocabulary = counter.get_feature_names_out()
    best = [row.argsort(kind="stable")[::-1][:MOST_WORDS] for row in scores]
    return [
        _in_order([vocabulary[i] for i in some if row[i] > 0], prompts[few[0]])
        for row, some, few in zip(scores, best, typical, strict=True)
    ]


def _split(prompt: str) -> list[str]:
    """Words of a prompt, of any script: letters with their marks, and digits beside letters."""
    letters = prompt.lower().replace("\u2019", "'")
    kept = "".join(c if c.isalnum() or c in INNER or _is_mark(c) else " " for c in letters)
    words = [word.strip(INNER).removesuffix("'s") for word in kept.split()]
    return [word for word in words if any(map(str.isalpha, word)) and word not in STOP]


def _is_mark(letter: str) -> bool:
    """Whether it is an accent or a vowel sign, which regular expressions take for no letter."""
    return unicodedata.category(letter).startswith("M")


def _in_order(words: Sequence[str], prompt: str) -> str:
    """Words in the order that they have in a prompt."""
    return " ".join(sorted(words, key=prompt.lower().find))


def content(prompt: str) -> str:
    """The words of a prompt that say something: "car" of "a photo of a car"."""
    kept = [word for word in prompt.split() if word.lower().strip(",.;:!?") not in STOP]
    return " ".join(kept) or prompt


def _listed(prompts: Iterable[str]) -> str:
    return ", ".join(_shortened(content(prompt)) or "“”" for prompt in prompts)


def _shortened(text: str) -> str:
    """A text cut after a word; within it where the first is too long, as without spaces."""
    short = textwrap.shorten(text, LONGEST, placeholder="…")
    return f"{text.strip()[: LONGEST - 1]}…" if short == "…" != text else short
