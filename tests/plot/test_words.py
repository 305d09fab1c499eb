"""`plot_words`: each word's nats, levels, map and images in its row."""

import io
from dataclasses import replace

import numpy as np
import pytest

from conjure_kernel import GaussianDenoiser, explain_words
from conjure_kernel.plot import plot_words

TEXTS = ["", "red", "$b$", "red $b$"]


@pytest.fixture(scope="module")
def found():
    """An explanation with maps and Shapley values, made of one without maps."""
    means = {text: [2.0 * ("red" in text), 1.0 * ("b" in text)] * 6 for text in TEXTS}
    world = GaussianDenoiser(means, {text: 1 + len(text) / 9 for text in TEXTS})
    plain = explain_words("red $b$", model=world, n_steps=4, n_draws=2, shapley=True)
    return replace(plain, heat=plain.heat.reshape(2, 2, 4, 3, 4))


def test_each_word_has_a_row(found):
    figure = plot_words(found, draw=1)
    figure.savefig(io.BytesIO(), dpi=40)
    nats, levels, pictures = figure.axes[:3]
    assert [label.get_text() for label in nats.get_yticklabels()] == ["red", "$b$"]
    bars = [bar.get_width() for bar in nats.patches]
    np.testing.assert_allclose(bars, [*found.divergences, *found.shapley.values])
    tops = [bar.get_y() for bar in nats.patches]
    assert 0 < tops[0] < tops[2] < 1 < tops[1] < tops[3] < 2
    assert len(levels.patches) == 2
    shown = [image.get_array() for image in pictures.images]
    for image, expected in zip(shown, [*found.maps, *found.images[:, 1]], strict=True):
        np.testing.assert_array_equal(image, expected)
    rows = [image.get_extent()[3] for image in pictures.images]
    assert rows == pytest.approx([0.04, 1.04, -0.96, 0.04, 1.04])
    (title,) = figure.texts
    assert title.get_text() == "“red $b$”, word by word"


def test_what_is_not_known_is_not_drawn(found):
    figure = plot_words(replace(found, shapley=None, heat=found.heat.reshape(2, 2, 4, 12)))
    figure.savefig(io.BytesIO(), dpi=40)
    nats, _, pictures = figure.axes[:3]
    np.testing.assert_allclose([bar.get_width() for bar in nats.patches], found.divergences)
    assert len(pictures.images) == 3
    single = replace(found, heat=found.heat[:, :1], images=found.images[:, :1])
    plot_words(single).savefig(io.BytesIO(), dpi=40)  # errors of one draw are unknown


def test_a_draw_that_there_is_not_is_refused(found):
    with pytest.raises(ValueError, match="draw=2: expected one of 0 to 1"):
        plot_words(found, draw=2)
