"""ImageDistance: sets of images from any generator, as a scikit-learn transformer."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import AgglomerativeClustering, SpectralClustering
from sklearn.exceptions import NotFittedError
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import get_tags

from conjure_kernel import ImageDistance
from conjure_kernel.estimators.images import (
    METRICS,
    fit_gaussian,
    frechet,
    kid,
    median_distance,
    mmd,
    pixel_features,
)

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
    assert model.get_feature_names_out().tolist() == PROMPTS[:3]


def test_the_cache_spares_the_generator_and_knows_names_apart(tmp_path):
    painter = Painter()
    options = {"memory": str(tmp_path), "n_images": 16}
    first = ImageDistance(painter, name="grey", **options).fit_transform(PROMPTS)
    again = ImageDistance(painter, name="grey", **options).fit_transform(PROMPTS)
    assert painter.n_calls == 4
    assert np.array_equal(first, again)
    ImageDistance(painter, name="another", **options).fit(PROMPTS)
    assert painter.n_calls == 8
    with pytest.raises(ValueError, match="name=None: expected a name with memory"):
        ImageDistance(painter, **options).fit(PROMPTS)


def test_in_a_pipeline():
    clusters = AgglomerativeClustering(2, metric="precomputed", linkage="average")
    labels = make_pipeline(ImageDistance(Painter()), clusters).fit_predict(PROMPTS)
    assert adjusted_rand_score(labels, [0, 0, 1, 1]) == 1
    twin = clone(ImageDistance(Painter(), metric="mmd", n_images=9))
    assert (twin.metric, twin.n_images) == ("mmd", 9)


# ---------------------------------------------------------------- kernels


@pytest.mark.parametrize("metric", METRICS)
def test_the_kernel_is_exp_of_minus_the_metric_over_its_median(metric):
    plain = ImageDistance(Painter(), colour, metric=metric, output="divergence").fit(PROMPTS[:3])
    model = ImageDistance(Painter(), colour, metric=metric, output="kernel")
    kernel = model.fit_transform(PROMPTS[:3])
    assert np.array_equal(kernel, np.exp(-plain.divergences_ / model.bandwidth_))
    assert model.bandwidth_ == np.median(plain.divergences_[np.triu_indices(3, 1)])
    assert (np.diag(kernel) == 1).all()
    assert np.array_equal(kernel, kernel.T)
    assert kernel[0, 1] > kernel[0, 2] > 0
    assert np.array_equal(model.transform(PROMPTS[:3]), kernel)
    rows = plain.transform(["coal", "snow"])
    assert np.array_equal(model.transform(["coal", "snow"]), np.exp(-rows / model.bandwidth_))
    assert model.min_eigenvalue_ == pytest.approx(np.linalg.eigvalsh(kernel)[0])


def test_the_bandwidth_of_the_output_is_not_that_of_mmd():
    model = ImageDistance(Painter(), metric="mmd", output="kernel").fit(PROMPTS)
    own = median_distance(model.features_)
    assert model.mmd_bandwidth_ == own != model.bandwidth_
    assert model.raw_[0, 1] == pytest.approx(mmd(*model.features_[:2], own))
    assert np.isnan(ImageDistance(Painter()).fit(PROMPTS).mmd_bandwidth_)


def test_a_useless_bandwidth_is_reported_with_a_usable_one():
    median = ImageDistance(Painter()).fit(PROMPTS).bandwidth_
    model = ImageDistance(Painter(), output="kernel", bandwidth=1000000)
    with pytest.warns(UserWarning, match=rf"nearly constant.*here {median:.4g}"):
        model.fit(PROMPTS)
    assert model.bandwidth_ == 1e6


def spread(prompt, n):
    """Grey images that differ in how much they vary, from prompt to prompt, and where."""
    rng = np.random.default_rng(int(prompt))
    shades = rng.normal(128 + rng.normal(), np.exp(rng.normal(2, 1)), n)
    return np.broadcast_to(shades.clip(0, 255).astype(np.uint8)[:, None, None, None], (n, 8, 8, 3))


def colour(images):
    return images.mean((1, 2)) / 255


def brightness(images):
    return colour(images)[:, :1]


def test_an_indefinite_kernel_is_reported_refused_or_clipped_for_new_rows_alike():
    prompts = [str(i) for i in range(30)]
    options = {"metric": "gaussian_jeffreys", "output": "kernel"}
    plain = ImageDistance(spread, brightness, **options).fit(prompts)
    with pytest.warns(UserWarning, match="not positive semi-definite"):
        plain.transform(prompts[:2])
    assert plain.min_eigenvalue_ < -0.01
    with pytest.raises(ValueError, match=f"smallest eigenvalue {plain.min_eigenvalue_:.3g}"):
        ImageDistance(spread, brightness, psd="raise", **options).fit(prompts)
    model = ImageDistance(spread, brightness, psd="clip", **options)
    kernel = model.fit_transform(prompts)
    assert model.min_eigenvalue_ == plain.min_eigenvalue_
    assert np.array_equal(kernel, kernel.T)
    assert np.linalg.eigvalsh(kernel)[0] > -1e-10
    np.testing.assert_allclose(model.transform(prompts[3:5]), kernel[3:5], atol=1e-12)


def paint_kinds(prompt, n):
    """Images of six prompts in each of three kinds, "0 3" and so on: a colour, and their own."""
    kind, own = map(int, prompt.split())
    rng = np.random.default_rng([kind, own])
    colour = np.eye(3)[kind] * 90 + rng.uniform(-25, 25, 3) + 80
    return (colour + rng.integers(-30, 31, (n, 8, 8, 3))).astype(np.uint8)


KINDS = [f"{kind} {own}" for kind in range(3) for own in range(6)]
TRUTH = np.repeat([0, 1, 2], 6)


@pytest.mark.parametrize("metric", METRICS)
def test_clusters_in_a_pipeline(metric):
    steps = [
        ("images", ImageDistance(paint_kinds, colour, metric=metric, output="kernel", psd="clip")),
        ("cluster", SpectralClustering(3, affinity="precomputed", random_state=0)),
    ]
    labels = Pipeline(steps).fit_predict(KINDS)
    assert adjusted_rand_score(TRUTH, labels) == 1
    assert abs(adjusted_rand_score(np.random.default_rng(0).permutation(TRUTH), labels)) < 0.3


def test_folds_of_a_regression_are_right_and_the_cache_spares_the_generator(tmp_path):
    made = []

    def paint(prompt, n):
        made.append(prompt)
        return paint_kinds(prompt, n)

    scores, folds = TRUTH + 0.01 * np.arange(18), KFold(3, shuffle=True, random_state=0)
    options = {"n_images": 16, "output": "kernel", "psd": "clip", "name": "kinds"}
    images = ImageDistance(paint, colour, memory=str(tmp_path), **options)
    model = make_pipeline(images, KernelRidge(alpha=0.01, kernel="precomputed"))
    found = cross_val_predict(model, KINDS, scores, cv=folds)
    assert sorted(made) == sorted(KINDS)
    expected = np.full(18, np.nan)
    for train, test in folds.split(KINDS):  # the same by hand, columns from the train rows only
        a, b = ([KINDS[i] for i in rows] for rows in (train, test))
        kernel = ImageDistance(paint_kinds, colour, **options | {"name": None})
        ridge = KernelRidge(alpha=0.01, kernel="precomputed").fit(
            kernel.fit_transform(a), scores[train]
        )
        expected[test] = ridge.predict(kernel.transform(b))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert np.corrcoef(found, scores)[0, 1] > 0.9


# ---------------------------------------------------------------- scikit-learn


def test_tags_say_text():
    tags = get_tags(ImageDistance(paint_kinds)).input_tags
    assert (tags.string, tags.one_d_array, tags.two_d_array, tags.pairwise) == (True, True, 0, 0)
    with pytest.raises(NotFittedError):
        ImageDistance(paint_kinds).transform(KINDS)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_clones_copies_and_pickles_repeat_it(copied):
    model = ImageDistance(paint_kinds, colour, output="kernel", psd="clip", metric="mmd")
    kernel = model.set_output(transform="pandas").fit_transform(KINDS[::3])
    assert kernel.columns.tolist() == model.get_feature_names_out().tolist()
    assert np.array_equal(copied(model).transform(KINDS[::3]), model.transform(KINDS[::3]))
    twin = clone(model)
    assert not hasattr(twin, "prompts_")
    assert twin.get_params() == model.get_params()
    assert np.array_equal(twin.fit_transform(KINDS[::3]), kernel)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "fid"}, "metric='fid'"),
        ({"output": "kl"}, "output='kl': expected one of 'distance', 'divergence', 'kernel'"),
        ({"bandwidth": 0}, "bandwidth=0: expected a finite number above 0"),
        ({"psd": None}, "psd=None"),
        ({"n_images": 7}, "n_images=7"),
        (
            {"generate": lambda p, n: np.zeros((n, 8, 8))},
            r"got float64 of shape \(32, 8, 8\)",
        ),
        (
            {"features": lambda images: images.mean()},
            r"features: expected .* got shape \(\)",
        ),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        ImageDistance(**{"generate": Painter(), **options}).fit(["snow", "fog"])
