"""ImageDistance: sets of images from any generator, as a scikit-learn transformer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline

from conjure_kernel import ImageDistance
from conjure_kernel.images import METRICS, fit_gaussian, frechet, kid, pixel_features

SHADES = {"snow": 200, "fog": 185, "night": 30, "coal": 45}
PROMPTS = list(SHADES)


class Painter:
    """Noisy grey images; counts what it made."""

    def __init__(self, seed=0):
        self.seed, self.n_calls = seed, 0

    def __call__(self, prompt, n):
        self.n_calls += 1
        rng = np.random.default_rng([self.seed, SHADES[prompt]])
        return (SHADES[prompt] + rng.integers(-25, 26, (n, 8, 8, 3))).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("metric", METRICS)
def test_matrix_is_clean_and_near_is_near(metric):
    found = ImageDistance(Painter(), metric=metric, output="divergence")
    matrix = found.fit_transform(PROMPTS)
    assert matrix.shape == (4, 4)
    assert (matrix >= 0).all()
    assert (np.diag(matrix) == 0).all()
    assert np.array_equal(matrix, matrix.T)
    assert matrix[0, 1] < matrix[0, 2]
    assert matrix[2, 3] < matrix[1, 2]
    assert np.array_equal(found.divergences_, matrix)
    errors = found.standard_errors_
    off = ~np.eye(4, dtype=bool)
    assert (errors[off] > 0).all()
    assert (errors[~off] == 0).all()


def test_values_are_those_of_the_formulas():
    snow, night = (pixel_features(Painter()(prompt, 16)) for prompt in ("snow", "night"))
    for metric, expected in (
        ("kid", kid(snow, night)),
        ("frechet", frechet(fit_gaussian(snow), fit_gaussian(night))),
    ):
        model = ImageDistance(Painter(), metric=metric, n_images=16)
        assert model.fit_transform(["snow", "night"])[0, 1] == pytest.approx(np.sqrt(expected))
        assert model.raw_[0, 1] == pytest.approx(expected)


def test_unbiased_metrics_may_be_negative_and_are_clipped():
    same = {f"grey {i}": 100 for i in range(6)}

    def paint(prompt, n):
        rng = np.random.default_rng(int(prompt[-1]))
        return (same[prompt] + rng.integers(-25, 26, (n, 8, 8, 3))).astype(np.uint8)

    found = ImageDistance(paint, output="divergence")
    matrix = found.fit_transform(list(same))
    above = np.triu_indices(6, 1)
    assert found.raw_[above].min() < 0 < found.raw_[above].max()
    assert np.array_equal(matrix, found.raw_.clip(0))


def test_standard_errors_are_those_of_repetition():
    values, errors = [], []
    for seed in range(60):
        found = ImageDistance(Painter(seed), n_images=40).fit(["snow", "fog"])
        values.append(found.raw_[0, 1])
        errors.append(found.standard_errors_[0, 1])
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.4)


@pytest.mark.parametrize("metric", METRICS)
def test_transform_agrees_with_fit_transform_and_generates_only_what_is_new(metric):
    painter = Painter()
    model = ImageDistance(painter, metric=metric)
    matrix = model.fit_transform(PROMPTS[:3])
    assert painter.n_calls == 3
    rows = model.transform([*PROMPTS[:3], PROMPTS[0]])
    assert np.allclose(rows, matrix[[0, 1, 2, 0]], rtol=1e-12)
    assert painter.n_calls == 3
    assert model.transform(["coal"]).shape == (1, 3)
    assert painter.n_calls == 4
    assert model.get_feature_names_out().tolist() == [f"imagedistance{i}" for i in range(3)]


def test_the_cache_spares_the_generator_and_knows_names_apart(tmp_path):
    painter = Painter()
    options = {"memory": str(tmp_path), "n_images": 16}
    first = ImageDistance(painter, name="grey", **options).fit_transform(PROMPTS)
    again = ImageDistance(painter, name="grey", **options).fit_transform(PROMPTS)
    assert painter.n_calls == 4
    assert np.array_equal(first, again)
    ImageDistance(painter, name="another", **options).fit(PROMPTS)
    assert painter.n_calls == 8
    with pytest.raises(ValueError, match="memory came without a name"):
        ImageDistance(painter, **options).fit(PROMPTS)


def test_in_a_pipeline():
    clusters = AgglomerativeClustering(2, metric="precomputed", linkage="average")
    labels = make_pipeline(ImageDistance(Painter()), clusters).fit_predict(PROMPTS)
    assert adjusted_rand_score(labels, [0, 0, 1, 1]) == 1
    twin = clone(ImageDistance(Painter(), metric="mmd", n_images=9))
    assert (twin.metric, twin.n_images) == ("mmd", 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "fid"}, "metric='fid'"),
        ({"output": "kernel"}, "output='kernel'"),
        ({"n_images": 7}, "n_images=7"),
        ({"generate": lambda p, n: np.zeros((n, 8, 8))}, r"float64 \(32, 8, 8\): expected uint8"),
        ({"features": lambda images: images.mean()}, r"came as \(\): expected"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        ImageDistance(**{"generate": Painter(), **options}).fit(["snow", "fog"])
