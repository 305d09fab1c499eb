"""Scorers, which give the similarity of the two texts of each pair.

A scorer is called with two lists of texts, `scorer(left, right)`. It returns an array of
similarities, larger for more alike, or `PairScores`, and may have a `name`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from conjure_kernel._checks import check_choice, check_number, check_prompts, import_optional
from conjure_kernel.engine.opening import open_engine
from conjure_kernel.engine.pairwise import Measured, measure_pairs
from conjure_kernel.engine.provenance import provenance_of, versions
from conjure_kernel.estimators import images
from conjure_kernel.estimators.pairs import log_divergence
from conjure_kernel.evaluation.pair_scores import PairScores
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.draws import chain_draws, ratio
from conjure_kernel.method.jackknife import leave_one_out
from conjure_kernel.method.relative import RelativeDivergence

__all__ = ["ConjureScorer", "ImageScorer", "SentenceTransformerScorer", "TextEncoderScorer"]
__all__ += ["score_divergence"]

LEGS = {"jeffreys": (0, 1), "ab": (0,), "ba": (1,)}  # sides of a `Divergence`
IMAGE_GROUPS = 4  # of images, left out one at a time


def score_divergence(
    measured: Measured, *, leg: str = "jeffreys", levels: slice = slice(None)
) -> PairScores:
    """Similarity -log J of measured pairs, or that of one leg or of some noise levels.

    Parameters
    ----------
    measured : Divergence or RelativeDivergence
        What `paired_divergence` returns. Of the latter, -log R is the similarity: what is divided
        by is always J from the empty prompt, at the same noise levels.
    leg : {"jeffreys", "ab", "ba"}, default "jeffreys"
        J, KL(P_a || P_b) or KL(P_b || P_a).
    levels : slice
        Which noise levels to use, noisiest first. Default: all.

    Returns
    -------
    scores : PairScores
        Similarities of at most -log(1e-3).
    """
    check_choice(leg, "leg", tuple(LEGS))
    pairs = measured.pairs if isinstance(measured, RelativeDivergence) else measured
    values, replicates = _part(pairs, LEGS[leg], levels)
    if isinstance(measured, RelativeDivergence):
        left, right = (_part(side, (0, 1), levels) for side in (measured.left, measured.right))
        values = ratio(values, measured.unit(left[0], right[0]))
        replicates = ratio(replicates, measured.unit(left[1], right[1]))
    parts = -log_divergence(values), -log_divergence(replicates)
    return PairScores(*parts, n_evaluations=measured.n_evaluations)


def _part(
    measured: Divergence, used: Sequence[int], levels: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of some legs over some noise levels, (...), and the same with one part left out each."""
    values = np.mean([measured.leg_profiles[i][..., levels].sum(-1) for i in used], axis=0)
    replicates = np.full((1, 2, *values.shape), np.nan)  # noise of an unknown size
    if measured.n_draws > 1 and measured.draw_weights is None:
        weights = np.zeros(measured.grid.n_nodes)
        weights[levels] = measured.grid.weights(measured.weighting)[levels]
        sides = measured.forward, measured.backward
        parts = [chain_draws(sides[i], weights, measured.n_chains) for i in used]
        replicates = leave_one_out(np.mean(parts, axis=0))
    return values, replicates


class ConjureScorer:
    """Similarity -log R of two texts, by the images that both evoke; without an origin, -log J.

    R, J in units of what both texts are away from the empty one, agrees better with people than J.

    Parameters
    ----------
    model : str, path, diffusers pipeline or Denoiser, default "embedded"
        What `load_denoiser` takes.
    origin : {"empty", None}, default "empty"
        What J is relative to.
    leg : {"jeffreys", "ab", "ba"}, default "jeffreys"
        J or a directed divergence; an origin divides each by the root of both J from it.
    **settings
        See `paired_divergence`.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"": 0.0, "a dog": 0.7, "a cat": 0.6, "a car": 3.0})
    >>> scorer = ConjureScorer(world, memory=None)
    >>> scorer(["a dog", "a dog"], ["a cat", "a car"]).similarities.round(2)
    array([ 3.74, -0.92])
    """

    def __init__(
        self,
        model: Any = "embedded",
        *,
        origin: str | None = "empty",
        leg: str = "jeffreys",
        **settings: Any,
    ) -> None:
        self.model, self.settings = model, {"origin": origin, **settings}
        self.leg = check_choice(leg, "leg", tuple(LEGS))
        relative, what = origin is not None, "J" if origin is None else "R"
        if leg != "jeffreys":
            what = f"KL({' || '.join(leg)}){', relative' if relative else ''}"
        self.name = f"-log {what}"

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> PairScores:  # noqa: D102
        engine = open_engine({"model": self.model, **self.settings})
        measured = measure_pairs(engine, check_prompts(left), check_prompts(right))
        scored = score_divergence(measured, leg=self.leg)
        truncated = engine.truncated(measured.prompts_a) | engine.truncated(measured.prompts_b)
        about = provenance_of(engine, n_draws=measured.n_draws, leg=self.leg)
        return replace(scored, truncated=truncated, provenance=about)


class TextEncoderScorer:
    """Cosine of the features of the model's own text encoders, before any image is made.

    Parameters
    ----------
    model : str, path or pipeline, default "embedded"
        What `load_denoiser` takes.
    **options
        Further arguments of `load_denoiser`.

    Examples
    --------
    >>> cat, bus = TextEncoderScorer()(["dog", "dog"], ["cat", "bus"]).similarities
    >>> bool(cat > bus)
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
        about = {"model": denoiser.name, "fingerprint": denoiser.fingerprint}
        return PairScores(cosines, provenance={**about, "versions": versions()})


class SentenceTransformerScorer:
    """Cosine of the vectors of a sentence-transformers model; needs the extra "scores".

    Parameters
    ----------
    model : str
        Name on the hub, or path of a folder.
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

    @cached_property
    def encoder(self) -> Any:
        """The model, loaded at its first use; an error says why it cannot be."""
        package = import_optional("sentence_transformers", "scores", f"encoder {self.model!r}")
        try:
            return package.SentenceTransformer(self.model, **self.options)
        except Exception as error:  # whatever hub, network and parser raise
            raise OSError(
                f"encoder {self.model!r}: expected a folder, or the name of a model of "
                f"sentence-transformers on the hub, which did not give it ({type(error).__name__}: "
                f"{str(error).partition(chr(10))[0]})."
            ) from error

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> PairScores:  # noqa: D102
        texts, a, b = _distinct(left, right)
        units = self.encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        cosines = (units[a].astype(np.float64) * units[b]).sum(1)
        return PairScores(cosines, provenance={"model": self.model, "versions": versions()})


class ImageScorer:
    """Negative distance between images of the two texts, in the space of some features.

    Parameters
    ----------
    metric : {"frechet", "gaussian_jeffreys", "kid", "mmd"}, default "frechet"
        See `ImageDistance`.
    n_images : int, default 16
        Images of each text, at least 8.
    generate : callable, optional
        `generate(text, n_images)` returns a uint8 array of shape (n_images, height, width, 3), from
        any generator. Default: the ends of the trajectories of the model in `settings`.
    features : callable
        Takes uint8 images of shape (n, height, width, 3) and returns an array of shape (n, d).
        Default: `images.pixel_features`.
    **settings
        See `paired_divergence`; only without `generate`.

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
            raise TypeError(
                f"{', '.join(settings)}: expected no settings of a model with generate; pass "
                "one or the other."
            )
        self.generate, self.features, self.settings = generate, features, settings
        self.name = f"images, {metric}"

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> PairScores:  # noqa: D102
        texts, a, b = _distinct(left, right)
        features, spent, about = self._features(texts)
        bandwidth = images.metric_bandwidth(features, self.metric)
        sets = [features, *images.without_groups(features, IMAGE_GROUPS)]
        distances = np.array([images.set_distances(f, a, b, self.metric, bandwidth) for f in sets])
        about |= {"metric": self.metric, "n_images": self.n_images}
        replicates = -distances[None, 1:]
        return PairScores(-distances[0], replicates, n_evaluations=spent, provenance=about)

    def _features(self, texts: list[str]) -> tuple[np.ndarray, int, dict[str, Any]]:
        """Features (n_texts, n_images, d); their cost in predictions; where they come from."""
        if self.generate is not None:
            sets = (self.generate(text, self.n_images) for text in texts)
            rows = np.array([self.features(of_text) for of_text in sets], dtype=np.float64)
            return images.check_features(rows), 0, {"versions": versions()}
        alone = {"n_draws": self.n_images, "chains_per_draw": 1}  # a draw has one picture
        engine = open_engine({**self.settings, **alone})
        before = engine.denoiser.n_evaluations
        engine.measure({text: [text] for text in texts})  # the trajectories alone, kept on disk
        bar = tqdm(texts, unit="text", leave=False, disable=not self.settings.get("verbose"))
        sets = (engine.images([text], self.n_images)[0] for text in bar)
        rows = np.array([self.features(of_text) for of_text in sets], dtype=np.float64)
        spent = engine.denoiser.n_evaluations - before
        return images.check_features(rows), spent, provenance_of(engine)


def _distinct(
    left: Sequence[str], right: Sequence[str]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Different texts, and the positions of those of each pair among them."""
    a, b = check_prompts(left, "left"), check_prompts(right, "right")
    texts = list(dict.fromkeys([*a, *b]))
    place = {text: i for i, text in enumerate(texts)}
    return texts, np.array([place[t] for t in a]), np.array([place[t] for t in b])
