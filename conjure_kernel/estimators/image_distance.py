"""`ImageDistance`: distances between prompts by the images that any generator makes of them.

It serves where there are no scores to compare: an API, a GAN, an autoregressive model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_memory
from tqdm.auto import tqdm

from conjure_kernel._checks import check_choice, check_number, check_prompts, quote
from conjure_kernel.estimators.base import PromptMatrix
from conjure_kernel.estimators.fitting import FittedWhole, as_fitted, whole
from conjure_kernel.estimators.images import (
    METRICS,
    metric_bandwidth,
    pixel_features,
    set_distances,
    without_groups,
)
from conjure_kernel.method.jackknife import jackknife_se

__all__ = ["ImageDistance"]

LEAST_IMAGES = 8


class ImageDistance(PromptMatrix, FittedWhole):
    """Distances between prompts by sets of images of them, from any generator.

    It does for a black box what `ConjureDistance` does for a diffusion model: as the first step of
    a Pipeline it takes texts and gives their matrix.

    Parameters
    ----------
    generate : callable
        `generate(prompt, n_images)` returns independent images, a uint8 array of shape
        (n_images, height, width, 3).
    features : callable
        Takes uint8 images of shape (n, height, width, 3) and returns an array of shape (n, d).
        Default: `images.pixel_features`, which sees colour and layout alone; a network's features
        see more.
    metric : {"kid", "mmd", "frechet", "gaussian_jeffreys"}, default "kid"
        Squared MMD with the cubic kernel of KID or with a Gaussian one, unbiased and thus
        sometimes negative; squared Frechet distance, or half the symmetric KL, of Gaussians with
        shrunk covariances, biased upwards where images are few.
    n_images : int, default 32
        Images of each prompt, at least 8.
    output : {"distance", "divergence", "kernel"}, default "distance"
        sqrt(D) of the metric D clipped at 0, D itself, or exp(-D / bandwidth).
    bandwidth, psd : "median" or float, {"warn", "clip", "raise"}
        See `ConjureDistance`; the bandwidth is in units of the metric.
    name : str, optional
        Name of generator and features together, a part of the cache's key. `memory` needs it; give
        another name when either changes.
    memory : str, path or joblib.Memory, optional
        Disk cache of the features of each prompt. Default: none.
    verbose : int, default 0
        Above 0 there is a progress bar over prompts.

    Attributes
    ----------
    prompts_ : list of str
        The fitted prompts, as they were given (NFC-normalised).
    raw_ : array of shape (n_prompts, n_prompts)
        The metric as estimated, also where it is negative; 0 on the diagonal.
    divergences_, standard_errors_ : arrays of shape (n_prompts, n_prompts)
        The metric clipped at 0, and its standard error by a jackknife over groups of images.
    features_ : array of shape (n_prompts, n_images, d)
        Features of the images of each fitted prompt.
    bandwidth_, min_eigenvalue_ : float
        See `ConjureDistance`; the eigenvalue only with output="kernel".
    mmd_bandwidth_ : float
        Bandwidth of MMD's own kernel between images, their median distance; NaN with another
        metric.

    Raises
    ------
    ValueError
        From `fit` and `transform`: a parameter that cannot be used, or what `generate` or
        `features` returned has another shape.

    Examples
    --------
    >>> def paint(prompt, n):  # any generator
    ...     shade = {"snow": 200, "fog": 180, "night": 20}[prompt]
    ...     noise = np.random.default_rng(shade).integers(-15, 16, (n, 8, 8, 3))
    ...     return (shade + noise).astype(np.uint8)
    >>> matrix = ImageDistance(paint).fit_transform(["snow", "fog", "night"])
    >>> bool(matrix[0, 1] < matrix[0, 2])
    True

    As the first step of a Pipeline:

    >>> from sklearn.cluster import AgglomerativeClustering
    >>> from sklearn.pipeline import make_pipeline
    >>> clusters = AgglomerativeClustering(2, metric="precomputed", linkage="average")
    >>> labels = make_pipeline(ImageDistance(paint), clusters).fit_predict(["snow", "fog", "night"])
    >>> bool(labels[0] == labels[1] != labels[2])
    True
    """

    _shared = ("generate", "features")

    def __init__(
        self,
        generate: Callable[[str, int], np.ndarray],
        features: Callable[[np.ndarray], np.ndarray] = pixel_features,
        *,
        metric: str = "kid",
        n_images: int = 32,
        output: str = "distance",
        bandwidth: float | str = "median",
        psd: str = "warn",
        name: str | None = None,
        memory: Any = None,
        verbose: int = 0,
    ) -> None:
        self.generate = generate
        self.features = features
        self.metric = metric
        self.n_images = n_images
        self.output = output
        self.bandwidth = bandwidth
        self.psd = psd
        self.name = name
        self.memory = memory
        self.verbose = verbose

    @whole
    def fit(self, X: Sequence[str], y: Any = None) -> ImageDistance:
        """Make images of prompts and compare all pairs of them; the prompts become the columns.

        Parameters
        ----------
        X : sequence of str, length n_prompts
            Equal ones share their images and are at distance 0.
        y : ignored

        Returns
        -------
        self : ImageDistance
        """
        checked = check_prompts(X)
        check_choice(self.metric, "metric", tuple(METRICS))
        self._check_output()
        made = self._make(checked)
        self.prompts_, self.features_ = checked, np.stack([made[prompt] for prompt in checked])
        self.mmd_bandwidth_ = metric_bandwidth(self.features_, self.metric)
        self.raw_, self.standard_errors_ = self._compare(checked, self.features_)
        self._fit_output(self.raw_.clip(0))
        return self

    @as_fitted
    def transform(self, X: Sequence[str]) -> np.ndarray:
        """Distances of prompts from the fitted ones, or what `output` names instead.

        Parameters
        ----------
        X : sequence of str, length n_new

        Returns
        -------
        matrix : float64 array of shape (n_new, n_prompts)
        """
        checked = check_prompts(X)
        known = dict(zip(self.prompts_, self.features_, strict=True))
        known |= self._make([prompt for prompt in checked if prompt not in known])
        raw, _ = self._compare(checked, np.stack([known[prompt] for prompt in checked]))
        return self._express(raw.clip(0))

    def fit_transform(self, X: Sequence[str], y: Any = None, **fit_params: Any) -> np.ndarray:
        """Fit, and return the square matrix of the prompts, exactly symmetric."""
        return self.fit(X, y)._express_fitted()

    def _make(self, prompts: Sequence[str]) -> dict[str, np.ndarray]:
        """Features (n_images, d) of each prompt, from the cache or newly generated."""
        n = check_number(self.n_images, "n_images", least=LEAST_IMAGES, integer=True)
        if self.memory is not None and self.name is None:
            raise ValueError(
                "name=None: expected a name with memory, as two generators would share a cache; "
                "pass name=..., and another one when the generator or the features change."
            )
        cached = check_memory(self.memory).cache(_features_of, ignore=["generate", "features"])
        unique = dict.fromkeys(prompts)
        bar = tqdm(unique, unit="prompt", leave=False, disable=not self.verbose)
        return {p: cached(self.name, p, n, self.generate, self.features) for p in bar}

    def _compare(
        self, prompts: Sequence[str], features: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The metric and its standard error, each (n, n_prompts); a pair is compared once."""
        texts = list(dict.fromkeys([*self.prompts_, *prompts]))
        of = dict(zip([*prompts, *self.prompts_], [*features, *self.features_], strict=True))
        place = {text: i for i, text in enumerate(texts)}
        wanted = {
            (min(i, j), max(i, j)): None
            for i in map(place.__getitem__, prompts)
            for j in map(place.__getitem__, self.prompts_)
            if i != j
        }
        compared = np.zeros((2, len(texts), len(texts)))
        if wanted:
            a, b = np.array(list(wanted)).T
            stacked, h = np.stack([of[text] for text in texts]), self.mmd_bandwidth_
            raw = set_distances(stacked, a, b, self.metric, h)
            left_out = without_groups(stacked)
            parts = np.array([set_distances(part, a, b, self.metric, h) for part in left_out])
            compared[:, a, b] = compared[:, b, a] = raw, jackknife_se(parts[None])
        rows, columns = ([place[text] for text in side] for side in (prompts, self.prompts_))
        values, errors = compared[:, np.array(rows)[:, None], columns]
        return values, errors


def _features_of(
    name: str | None, prompt: str, n_images: int, generate: Callable, features: Callable
) -> np.ndarray:
    """Features (n_images, d) of the images of one prompt; the first three arguments are its key."""
    images = np.asarray(generate(prompt, n_images))
    if images.ndim != 4 or images.shape[::3] != (n_images, 3) or images.dtype != np.uint8:
        raise ValueError(
            f"generate({quote(prompt)}, {n_images}): expected uint8 images of shape ({n_images}, "
            f"height, width, 3), got {images.dtype} of shape {images.shape}; convert them."
        )
    rows = np.asarray(features(images), dtype=np.float64)
    if rows.ndim != 2 or len(rows) != n_images or not np.isfinite(rows).all():
        raise ValueError(
            f"features: expected finite numbers of shape ({n_images}, d), one row an image, got "
            f"shape {rows.shape} with {np.sum(~np.isfinite(rows))} numbers not finite."
        )
    return rows
