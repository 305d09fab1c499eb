"""Figures of any size: nothing leaves them, and what they show of two models is true."""

import warnings

import numpy as np
import pytest

from conjure_kernel import AccuracyWarning
from conjure_kernel.plot import plot_agreement, plot_drift, plot_overview
from conjure_kernel.plot.matrix import matrix_figure
from pictures import FIGURES, agreed, drifted

NAMES = ["a rather long prompt of many words", "an apple", "a strawberry on a plate"]


@pytest.fixture(autouse=True)
def few_draws():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        yield


@pytest.mark.parametrize("size", [None, 3.5, (7, 6)])
@pytest.mark.parametrize("kind", FIGURES)
def test_a_figure_has_its_size_and_nothing_is_cut(kind, size):
    figure = FIGURES[kind](NAMES, size=size)
    figure.savefig("/dev/null", format="raw")
    if size is not None:
        given = np.atleast_1d(size)
        assert figure.get_size_inches()[: len(given)] == pytest.approx(given)
    written = figure.get_tightbbox().extents  # inches
    assert (written[:2] >= -0.02).all()
    assert (written[2:] <= figure.get_size_inches() + 0.02).all()


@pytest.mark.parametrize("size", [1, 100, (3, 0.5), (1, 2, 3), np.nan])
@pytest.mark.parametrize("kind", FIGURES)
def test_sizes_that_cannot_be_are_refused_in_words(kind, size):
    with pytest.raises(ValueError, match=r"size=.*: expected 2 to 60 inches"):
        FIGURES[kind](NAMES, size=size)


def test_pictures_that_would_be_too_small_are_refused():
    with pytest.raises(ValueError, match=r"expected a height of at least 3.* got 2"):
        FIGURES["explanation"](NAMES, size=(3.5, 2))


@pytest.mark.parametrize(("n", "most"), [(24, 11), (64, 16), (300, 40)])
def test_a_matrix_grows_until_all_rows_have_names(n, most):
    J = 1 - np.eye(n)
    figure = matrix_figure(J, [f"p{i}" for i in range(n)])
    assert len(figure.axes[0].get_yticklabels()) == n
    assert figure.get_figwidth() < most
    if n == 64:
        figure = plot_overview(J, [f"p{i}" for i in range(n)])
        assert len(figure.axes[0].get_yticklabels()) == n


def test_drift_shows_both_pictures_and_their_difference():
    drift = drifted(NAMES)
    figure = plot_drift(drift, names=["one", "two"])
    order = [row["prompt"] for row in drift.ranking().rows]
    a, b = drift.conjure_images(order)[:, :, 0].astype(int)
    gain = min(16, 127 / np.percentile(abs(b - a), 99.5))
    assert f"× {gain:.2g}." in figure.get_suptitle()
    for i, ax in enumerate(figure.axes):
        strip = np.asarray(ax.images[0].get_array()).astype(int)
        width = a.shape[2]
        np.testing.assert_array_equal(strip[:, :width], a[i])
        shown = strip[:, -width:]
        expected = np.clip(127.5 + (b - a)[i] * gain, 0, 255)
        assert abs(shown - expected).max() <= 1
        assert (shown != 127).any()


def test_agreement_tells_true_differences_from_noise():
    agreement = agreed(NAMES)
    rows = agreement.ranking().rows
    ax, side = plot_agreement(agreement, names=["one", "two"]).axes
    noise, true = ax.lines[1:]
    beyond = [abs(r["rank_difference"]) > 2 * r["rank_difference_draw_se"] for r in rows]
    expected = [(r["rank_a"], r["rank_b"]) for r, far in zip(rows, beyond, strict=True) if far]
    assert list(map(tuple, true.get_xydata())) == expected
    assert len(noise.get_xydata()) == len(rows) - len(expected)
    assert true.get_markersize() >= 2.5
    assert side.texts[0].get_text().count(" / ") == len(rows)
