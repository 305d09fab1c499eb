"""Maps of thousands of vectors: where they go, and who stands for them."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.neighbors import KNeighborsClassifier

from conjure_kernel.plot.coordinates import layout_vectors, representatives
from conjure_kernel.plot.maps import map_figure


def clumps(n=300, kinds=6, dim=80):
    rng = np.random.default_rng(0)
    kind = np.arange(n) % kinds
    return (10 * np.eye(dim)[kind] + rng.normal(size=(n, dim))).astype(np.float32), kind


def test_neighborhoods_survive_the_layout():
    vectors, kind = clumps()
    points = layout_vectors(vectors)
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-6)
    assert np.ptp(points[:, 0]) >= np.ptp(points[:, 1])

    def score(places):
        return KNeighborsClassifier(5).fit(places[:150], kind[:150]).score(places[150:], kind[150:])

    assert score(points) == 1 > score(layout_vectors(vectors, method="mds"))
    np.testing.assert_array_equal(points, layout_vectors(vectors))


def test_vectors_that_are_added_move_no_other_and_lie_among_their_kind():
    vectors, kind = clumps()
    first = layout_vectors(vectors[:250])
    points = layout_vectors(vectors, n_first=250)
    np.testing.assert_array_equal(points[:250], first)
    guess = KNeighborsClassifier(5).fit(first, kind[:250]).predict(points[250:])
    np.testing.assert_array_equal(guess, kind[250:])


def test_mds_of_vectors_in_a_plane_is_exact():
    flat = np.random.default_rng(0).normal(size=(9, 2)) @ np.random.default_rng(1).normal(
        size=(2, 7)
    )
    np.testing.assert_allclose(pdist(layout_vectors(flat, method="mds")), pdist(flat), rtol=1e-6)


@pytest.mark.parametrize("vectors", [np.ones((1, 3)), np.ones((8, 3)), np.arange(3.0)[:, None]])
def test_a_layout_of_few_or_of_equal_ones_is_finite(vectors):
    points = layout_vectors(vectors)
    assert points.shape == (len(vectors), 2)
    assert np.isfinite(points).all()


def test_representatives_come_from_every_clump_and_lie_in_its_middle():
    vectors, kind = clumps()
    found = representatives(vectors, 6)
    assert set(kind[found]) == set(range(6))
    radius = np.linalg.norm(vectors - 10 * np.eye(80)[kind], axis=1)
    assert radius[found].mean() < radius.mean()
    assert len(representatives(vectors, 40)) > 30


def test_equal_vectors_have_one_representative():
    np.testing.assert_array_equal(representatives(np.eye(3)[[1, 0, 1, 0]], 3), [0, 1])
    with pytest.raises(ValueError, match="n=0"):
        representatives(np.eye(3), 0)


def test_a_map_of_the_dots_of_vectors_does_not_say_that_it_is_one_of_j():
    figure = map_figure(np.eye(3)[:, :2], list("abc"))
    assert figure.axes[0].get_title(loc="left") == "Map of vectors"
