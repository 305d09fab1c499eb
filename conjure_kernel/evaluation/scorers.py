"""Scorers: pairs of texts in, similarities out, whatever they are made of.

A scorer is called with two lists of texts, `scorer(left, right)`, and returns an array of
similarities, larger for more alike, or `PairScores`; it may have a `name`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from conjure_kernel._checks import check_choice, check_number, check_prompts, import_optional
from conjure_kernel.engine.opening import open_engine
from conjure_kernel.engine.pairwise import measure_pairs
from conjure_kernel.engine.provenance import provenance_of, versions
from conjure_kernel.estimators import images
from conjure_kernel.estimators.pairs import log_divergence
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.jackknife import leave_one_out

__all__ = ["ConjureScorer", "ImageScorer", "PairScores", "SentenceTransformerScorer"]
__all__ += ["TextEncoderScorer", "score_divergence"]

LEGS = {"jeffreys": (0, 1), "ab": (0,), "ba": (1,)}  # sides of a `Divergence`
IMAGE_GROUPS = 4  # of images, left out one at a time


@dataclass(frozen=True)
class PairScores:
    """Similarities of pairs.

    Attributes
    ----------
    similarities : array of shape (n_pairs,)
        Larger is more alike; NaN where a pair cannot be scored.
    replicates : array of shape (K, n_pairs), optional
        The similarities with one draw (or one group of images) left out: for Monte Carlo errors.
        None where pairs have different numbers of draws (`tol=`).
    truncated : bool array of shape (n_pairs,), optional
        Pairs of which the scorer did not read the whole text.
    n_evaluations : int
        Noise predictions that they cost.
    provenance : dict
        What they were made of.
    """

    similarities: np.ndarray
    replicates: np.ndarray | None = None
    truncated: np.ndarray | None = None
    n_evaluations: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)


def score_divergence(
    measured: Divergence, *, leg: str = "jeffreys", levels: slice = slice(None)
) -> PairScores:
    """Similarity -log J of measured pairs, or of one leg, or of some of their noise levels.

    Parameters
    ----------
    measured : Divergence
        Of `paired_divergence`.
    leg : {"jeffreys", "ab", "ba"}
        J, KL(P_a || P_b) or KL(P_b || P_a).
    levels : slice
        Of the noise levels, noisiest first.
    """
    check_choice(leg, "leg", tuple(LEGS))
    used = LEGS[leg]
    values = sum(measured.leg_profiles[i][..., levels].sum(-1) for i in used) / len(used)
    replicates = None
    if measured.n_draws > 1 and measured.draw_weights is None:
        weights, both = (
            measured.grid.weights(measured.weighting),
            (measured.forward, measured.backward),
        )
        draws = sum(both[i][..., levels] @ weights[levels] for i in used) / len(used)
        replicates = -log_divergence(leave_one_out(draws))
    return PairScores(-log_divergence(values), replicates, n_evaluations=measured.n_evaluations)


class ConjureScorer:
    """-log J of the images that both texts evoke.

    Parameters
    ----------
    model : as of `ConjureDistance`
    leg : {"jeffreys", "ab", "ba"}
        J or one directed KL.
    **settings
        As of `paired_divergence`.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4, "a car": 3.0})
    >>> scorer = ConjureScorer(world, memory=None)
    >>> scorer(["a dog", "a dog"], ["a cat", "a car"]).similarities.round(2)
    array([ 0.5 , -0.97])
    """

    def __init__(self, model: Any = "embedded", *, leg: str = "jeffreys", **settings: Any) -> None:
        self.model, self.settings = model, settings
        self.leg = check_choice(leg, "leg", tuple(LEGS))
        self.name = "-log J" if leg == "jeffreys" else f"-log KL({' || '.join(leg)})"

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> PairScores:  # noqa: D102
        engine = open_engine({"model": self.model, **self.settings})
        measured = measure_pairs(engine, list(left), list(right))
        scored = score_divergence(measured, leg=self.leg)
        truncated = engine.truncated(measured.prompts_a) | engine.truncated(measured.prompts_b)
        about = provenance_of(engine, n_draws=measured.n_draws, leg=self.leg)
        return PairScores(
            scored.similarities, scored.replicates, truncated, scored.n_evaluations, about
        )


class TextEncoderScorer:
    """Cosine of the model's own text encoder features: what it knows before it draws anything.

    Parameters
    ----------
    model : str, path or pipeline
        As of `load_denoiser`.
    **options
        Further arguments of `load_denoiser`.

    Examples
    --------
    >>> found = TextEncoderScorer()(["dog", "dog"], ["cat", "bus"]).similarities
    >>> bool(found[0] > found[1])
    True
    """

    name = "text encoder, cosine"

    def __init__(self, model: Any = "embedded", **options: Any) -> None:
        self.model, self.options = model, options

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> PairScores:  # noqa: D102
        from conjure_kernel.models.pretrained.load import load_denoiser
        from conjure_kernel.models.pretrained.text_encoders import text_features

        denoiser: Any = load_denoiser(self.model, **self.options)
        texts, a, b = _distinct(left, right)
        features = text_features(denoiser.pipeline, texts)
        cosines = (features[a] * features[b]).sum(1)
        return PairScores(
            cosines,
            provenance={
                "model": denoiser.name,
                "fingerprint": denoiser.fingerprint,
                "versions": versions(),
            },
        )


class SentenceTransformerScorer:
    """Cosine of a sentence-transformers model; needs the extra "scores".

    Parameters
    ----------
    model : str
        Name on the hub, or a folder.
    **options
        Further arguments of `SentenceTransformer`.

    Examples
    --------
    >>> SentenceTransformerScorer("sentence-transformers/all-MiniLM-L6-v2").name
    'all-MiniLM-L6-v2, cosine'
    """

    def __init__(self, model: str, **options: Any) -> None:
        self.model, self.options = str(model), options
        self.name = f"{self.model.rstrip('/').rsplit('/', 1)[-1]}, cosine"

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> PairScores:  # noqa: D102
        package = import_optional("sentence_transformers", "scores", f"encoder {self.model!r}")
        encoder = package.SentenceTransformer(self.model, **self.options)
        texts, a, b = _distinct(left, right)
        units = encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        cosines = (units[a].astype(np.float64) * units[b]).sum(1)
        return PairScores(cosines, provenance={"model": self.model, "versions": versions()})


class ImageScorer:
    """Minus a distance of the images made of both texts, in a feature space.

    Parameters
    ----------
    metric : {"frechet", "gaussian_jeffreys", "kid", "mmd"}
        As of `ImageDistance`.
    n_images : int
        Of each text.
    generate : callable, optional
        `generate(text, n_images)` -> uint8 (n_images, H, W, 3), from any generator. Default: the
        ends of the trajectories of `settings`.
    features : callable
        uint8 images (n, H, W, 3) -> array (n, d). Default: `images.pixel_features`.
    **settings
        As of `paired_divergence`; only without `generate`.

    Examples
    --------
    >>> def paint(text, n):  # any generator
    ...     return np.full((n, 8, 8, 3), 200 if text == "snow" else 20, np.uint8)
    >>> scorer = ImageScorer("frechet", n_images=8, generate=paint)
    >>> snow, night = scorer(["snow", "snow"], ["snow", "night"]).similarities
    >>> bool(snow > night)
    True
    """

    def __init__(
        self,
        metric: str = "frechet",
        *,
        n_images: int = 16,
        generate: Callable[[str, int], np.ndarray] | None = None,
        features: Callable[[np.ndarray], np.ndarray] = images.pixel_features,
        **settings: Any,
    ) -> None:
        self.metric = check_choice(metric, "metric", tuple(images.METRICS))
        self.n_images = check_number(n_images, "n_images", least=8, integer=True)
        if generate is not None and settings:
            raise TypeError(f"generate came with {', '.join(settings)}: pass one or the other.")
        self.generate, self.features, self.settings = generate, features, settings
        self.name = f"images, {metric}"

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> PairScores:  # noqa: D102
        texts, a, b = _distinct(left, right)
        features, spent, about = self._features(texts)
        bandwidth = images.metric_bandwidth(features, self.metric)
        sets = [features, *images.without_groups(features, IMAGE_GROUPS)]
        apart = np.array([images.set_distances(f, a, b, self.metric, bandwidth) for f in sets])
        about |= {"metric": self.metric, "n_images": self.n_images}
        return PairScores(-apart[0], -apart[1:], n_evaluations=spent, provenance=about)

    def _features(self, texts: list[str]) -> tuple[np.ndarray, int, dict[str, Any]]:
        """Features (n_texts, n_images, d); their cost in predictions; where they come from."""
        if self.generate is not None:
            made = (self.generate(text, self.n_images) for text in texts)
            return np.array([self.features(one) for one in made]), 0, {"versions": versions()}
        engine = open_engine({**self.settings, "n_draws": self.n_images})
        before = engine.denoiser.n_evaluations
        engine.measure({text: [text] for text in texts})  # the trajectories alone, kept on disk
        bar = tqdm(texts, unit="text", leave=False, disable=not self.settings.get("verbose"))
        found = np.array([self.features(engine.images([text], self.n_images)[0]) for text in bar])
        return found, engine.denoiser.n_evaluations - before, provenance_of(engine)


def _distinct(
    left: Sequence[str], right: Sequence[str]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Distinct texts, and where those of each pair stand among them."""
    a, b = check_prompts(left, "left"), check_prompts(right, "right")
    texts = list(dict.fromkeys([*a, *b]))
    place = {text: i for i, text in enumerate(texts)}
    return texts, np.array([place[t] for t in a]), np.array([place[t] for t in b])
