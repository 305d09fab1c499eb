"""What each word of a prompt does: how far the prompt is from itself without that word.

Words are told apart by white space. For word i it is J(prompt, prompt without i), in nats, with the
noise levels and the pixels in which it lies. Where words say the same thing twice, none of them is
missed; their Shapley values share out J(prompt, empty prompt) among all words instead: the game is
v(S) = -J(prompt, the words S in their order).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from conjure_kernel._checks import check_number, check_prompts, quote
from conjure_kernel._table import Sheet, Shown, with_error, words_html
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.engine.reading import report_reading
from conjure_kernel.engine.shared_chains import SharedChains
from conjure_kernel.method.draws import variance_of
from conjure_kernel.method.grid import Grid
from conjure_kernel.method.reverse import random_signs
from conjure_kernel.method.shapley import (
    Coalitions,
    ShapleyValues,
    all_coalitions,
    coalitions_of_orders,
)
from conjure_kernel.models.finite import decoded
from conjure_kernel.models.task import Reading

__all__ = ["WordExplanation", "cost_of_words", "explain_words"]

MOST_SHARED = 8  # words among which nats are shared out


@dataclass(frozen=True, repr=False)
class WordExplanation(Shown):
    """What each of the n words of a prompt does, along K chains; see `explain_words`.

    Attributes
    ----------
    prompt : str
        The words, with one space between them.
    words : tuple of str
        The words in their order; one that is repeated is there several times.
    heat : float64 array of shape ``(n, K, T, *pixels)``
        Nats per pixel of each word, draw and noise level: the mean of both legs of J(prompt, prompt
        without the word). The pixels are those of `Explanation.heat`.
    images : uint8 array of shape (n + 1, K, height, width, 3)
        Pictures of the prompt, then of the prompt without each word, from the same noise.
    grid : Grid
        The noise levels.
    shapley : ShapleyValues or None
        How the words share J(prompt, empty prompt). None unless that was asked for.
    provenance : dict
        The model's fingerprint, the settings and the versions of packages.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"": [0, 0], "red": [2, 0], "heart": [0, 3], "red heart": [2, 3]})
    >>> explanation = explain_words("red heart", model=world, shapley=True)
    >>> explanation.heat.shape, explanation.images.shape
    ((2, 4, 10, 2), (3, 4, 8, 8, 3))
    >>> explanation.maps.round(2)  # each word has a coordinate of its own
    array([[2. , 0. ],
           [0. , 4.5]])
    """

    prompt: str
    words: tuple[str, ...]
    heat: np.ndarray
    images: np.ndarray
    grid: Grid
    shapley: ShapleyValues | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def divergences(self) -> np.ndarray:
        """J(prompt, prompt without the word) of each word, (n,), in nats; at least 0."""
        return self.profile.sum(-1)

    @property
    def standard_errors(self) -> np.ndarray:
        """Monte Carlo standard errors of `divergences`, (n,); NaN with one draw."""
        return _error(self._profile_draws.sum(-1))

    @property
    def profile(self) -> np.ndarray:
        """Part of each word's J that each noise level holds, (n, T), noisiest first."""
        return self._profile_draws.mean(1)

    @property
    def profile_standard_errors(self) -> np.ndarray:
        """Monte Carlo standard errors of the profile, (n, T); NaN with one draw."""
        return _error(self._profile_draws.swapaxes(1, 2))

    @property
    def maps(self) -> np.ndarray:
        """Nats per pixel of each word, ``(n, *pixels)``, over all levels; a map's sum is its J."""
        return self.heat.mean(1).sum(1)

    @property
    def _profile_draws(self) -> np.ndarray:
        return self.heat.reshape(*self.heat.shape[:3], -1).sum(-1)

    def _shown(self) -> Sheet:
        names, columns = ["", "J without it"], [(self.divergences, self.standard_errors)]
        if self.shapley is not None:
            names.append("Shapley value")
            columns.append((self.shapley.values, self.shapley.standard_errors))
        texts = [[with_error(float(v), float(e)) for v, e in zip(*c, strict=True)] for c in columns]
        rows = list(zip(self.words, *texts, strict=True))
        return f"{self.prompt!r}, word by word, in nats", names, rows, len(rows)

    def _repr_html_(self) -> str:
        return words_html(self)


def explain_words(
    prompt: str, *, shapley: bool = False, n_orders: int = 16, **settings: Any
) -> WordExplanation:
    r"""Show what each word of a prompt does: how many nats, at which noise levels, and where.

    .. math:: J_i = J(\text{prompt}, \text{prompt without word } i)

    Parameters
    ----------
    prompt : str
        One word or more. Words are what white space separates: punctuation stays with its word, a
        repeated word counts at each of its places, and other white space than one blank becomes
        one. The only word of a prompt (a text in Chinese or Japanese without spaces is one, too) is
        compared with the empty prompt.
    shapley : bool
        Whether to share out J(prompt, empty prompt) among the words too, of which there may be up
        to 8. Where two words say the same thing, neither is missed (`divergences` are small), and
        yet both have their share.
    n_orders : int
        For Shapley values: orders in which words are added, half of them drawn and half the reverse
        of those; even, and at least 4. Errors fall as one over its root. Where that costs no more
        (up to 6 words by default), all orders are counted instead.
    **settings
        The settings of `pairwise_divergence`, as `explain` takes them: n_draws is 4 by default,
        there is no check of the steps, and nothing is cached or sent to workers.

    Returns
    -------
    explanation : WordExplanation
        Arrays. A notebook shows the words, tinted by their nats; `plot.plot_words` makes a picture.

    Raises
    ------
    ValueError, TypeError
        There is no word, or there are too many for Shapley values; a setting is not valid.

    Notes
    -----
    All texts share their noise, as in `explain`: a word that changes nothing has J = 0, up to
    rounding. J of each word is beside all others, so that `divergences` need not sum to anything.

    With T levels, S = T * substeps and K draws, m other texts than the prompt cost (m + 1) S K +
    2 m T K predictions, and (2 S + T) K in place of S K if chains are guided. m is the number n of
    words if they differ; with Shapley values it is 2^n - 1, or less: at most (n - 1) n_orders + n
    + 1. `conjure words` tells the cost before it begins.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"": [0, 0], "red": [2, 0], "heart": [0, 3], "red heart": [2, 3]})
    >>> explanation = explain_words("red heart", model=world, shapley=True)
    >>> explanation.divergences.round(2), explanation.shapley.values.round(2)
    (array([2. , 4.5]), array([2. , 4.5]))
    """
    words = _split(prompt)
    chains = SharedChains(settings)
    coalitions = _coalitions(words, shapley, n_orders, chains.settings.seed)
    texts = _texts(words, coalitions)
    heat, images, totals = _measure(chains, words, texts)
    shared = None
    if coalitions is not None:
        v = -np.stack([totals[_join(words, members)] for members in coalitions.members])
        shared = ShapleyValues(coalitions.values(v))
    return WordExplanation(
        prompt=texts[0],
        words=tuple(words),
        heat=heat,
        images=images,
        grid=chains.grid,
        shapley=shared,
        provenance=provenance_of(chains.engine, **asdict(chains.settings)),
    )


def cost_of_words(
    prompt: str, *, shapley: bool = False, n_orders: int = 16, **settings: Any
) -> int:
    """Noise predictions that `explain_words` will make; a range of its own may need a few more."""
    words, chains = _split(prompt), SharedChains(settings)
    n = len(_texts(words, _coalitions(words, shapley, n_orders, chains.settings.seed)))
    return chains.n_predictions(n, 2 * (n - 1))


def _error(draws: np.ndarray) -> np.ndarray:
    return np.sqrt(variance_of(draws))


def _split(prompt: str) -> list[str]:
    if not isinstance(prompt, str):
        raise TypeError(f"prompt={quote(prompt)}: expected a string, got {type(prompt).__name__}.")
    words = check_prompts([prompt], "prompt")[0].split()
    if not words:
        raise ValueError(f"prompt={quote(prompt)}: expected at least one word, got none.")
    return words


def _coalitions(words: list[str], shapley: bool, n_orders: int, seed: int) -> Coalitions | None:
    """The sets of words that Shapley values need; None if they are not wanted."""
    if not isinstance(shapley, bool | np.bool_):
        raise ValueError(f"shapley={quote(shapley)}: expected True or False.")
    n_pairs, odd = divmod(check_number(n_orders, "n_orders", least=4, integer=True), 2)
    if odd:
        raise ValueError(f"n_orders={n_orders}: expected an even number.")
    if not shapley:
        return None
    if (n := len(words)) > MOST_SHARED:
        raise ValueError(
            f"shapley=True: expected at most {MOST_SHARED} words, got {n}; shorten the prompt, or "
            "leave shapley out."
        )
    if 2**n <= 2 + 2 * n_pairs * (n - 1):
        return all_coalitions(n)
    bins, _ = random_signs(n_pairs * n, 2**40, "orders", seed, *words)
    return coalitions_of_orders(bins.numpy().reshape(n_pairs, n).argsort(1))


def _texts(words: list[str], coalitions: Coalitions | None) -> list[str]:
    """The different texts to measure: the prompt, it without each word, other coalitions."""
    n = len(words)
    more = [] if coalitions is None else list(coalitions.members)
    sets = [np.ones(n, bool), *_all_but_one(n), *more]
    return list(dict.fromkeys(_join(words, members) for members in sets))


def _join(words: list[str], members: np.ndarray) -> str:
    return " ".join(word for word, there in zip(words, members, strict=True) if there)


def _measure(
    chains: SharedChains, words: list[str], texts: list[str]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Heat and images of the words, and J of the prompt and each text, (K, T)."""
    without = [_join(words, members) for members in _all_but_one(len(words))]
    (whole,), decode = chains.trace(texts[:1]), chains.denoiser.decode
    images = {texts[0]: decoded(decode, whole.x0, texts[:1])}
    size = images[texts[0]].shape[1:3]
    heat, totals = {}, {texts[0]: np.zeros(whole.x.shape[:2])}
    readings = {texts[0]: Reading(whole.truncated, whole.tokens)}
    for text, along, density in chains.beside(texts[0], whole, texts[1:], size):
        readings[text] = Reading(along.truncated, along.tokens)
        totals[text] = density.reshape(*density.shape[:2], -1).sum(-1)
        if text in without:
            heat[text], images[text] = density, decoded(decode, along.x0, [text])
    report_reading(chains.engine, readings)
    shown = np.stack([images[text] for text in (texts[0], *without)])
    return np.stack([heat[text] for text in without]), shown, totals


def _all_but_one(n: int) -> np.ndarray:
    return ~np.eye(n, dtype=bool)
