"""The scatter of ratings, read back from the figure."""

import numpy as np
import pytest

from conjure_kernel import evaluate
from conjure_kernel.evaluation import ScoredPairs
from conjure_kernel.plot import plot_ratings

PAIRS = [(f"left ${i}", f"right {i}") for i in range(12)]
SCORES = np.arange(12.0)
SIMILARITIES = np.array([11.0, *range(1, 12)])


@pytest.fixture
def result():
    return evaluate(lambda left, right: SIMILARITIES, PAIRS, SCORES, name="toy")


def texts_of(figure):
    return [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))]


def test_every_pair_is_a_dot_and_the_worst_are_listed_with_pictures(result):
    picture = np.full((8, 8, 3), 200, np.uint8)
    figure = plot_ratings([result], n_worst=2, images={"left $0": picture})
    axes = next(ax for ax in figure.findobj(lambda a: hasattr(a, "get_xlabel")) if ax.get_xlabel())
    dots = axes.lines[0]
    np.testing.assert_array_equal(dots.get_xydata(), np.column_stack([SIMILARITIES, SCORES]))
    assert dots.get_alpha() < 1
    assert axes.get_xlabel() == "similarity, toy"
    told = "\n".join(texts_of(figure))
    assert "1  left $0\n    right 0\n    by people 12, here 1.5" in told
    assert f"12 pairs: Spearman {result.table[0]['spearman']:.2f}" in told
    assert sum(len(ax.images) for ax in figure.findobj(lambda a: hasattr(a, "images"))) >= 1
    figure.savefig("/dev/null", format="png")


def test_several_results_have_a_panel_each(result):
    figure = plot_ratings([result] * 4, n_worst=1)
    assert len(figure.axes) == 4
    assert all(len(ax.lines) == 3 for ax in figure.axes)  # dots, the line, the worst


def test_no_worst_pairs_are_no_list(result):
    assert len(plot_ratings([result], n_worst=0).axes) == 1
    with pytest.raises(ValueError, match="n_worst=-1"):
        plot_ratings([result], n_worst=-1)


def test_a_list_that_no_picture_holds_is_refused():
    pairs = ScoredPairs("many", list(map(str, range(301))), ["b"] * 301, np.arange(301.0))
    result = evaluate(lambda left, _: np.array(left, float), pairs)
    with pytest.raises(ValueError, match="n_worst=301: expected at most 300 pairs in a picture"):
        plot_ratings([result], n_worst=301)
    assert len(plot_ratings([result, result], n_worst=301).axes) == 2  # these list none
