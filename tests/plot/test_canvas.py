"""Pictures on a grid: each has a cell of its own, and what is near stays near."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from conjure_kernel.plot import neighbors_of, spread_evenly


def nearest(points, k=6):
    return KDTree(points).query(points, k + 1)[1][:, 1:]


def share_kept(near, places):
    after = nearest(places, near.shape[1])
    return np.mean([len({*a} & {*b}) / len(a) for a, b in zip(near, after, strict=True)])


@pytest.mark.parametrize(("aspect", "columns", "rows"), [(1, 8, 8), (4, 16, 4), (1 / 4, 4, 16)])
def test_points_on_a_grid_find_their_cells(aspect, columns, rows):
    cells = np.stack(np.indices((columns, rows)), -1).reshape(-1, 2) + 0.5
    shuffled = np.random.default_rng(0).permutation(cells)
    np.testing.assert_array_equal(spread_evenly(shuffled * 7 - 3, aspect=aspect, free=0), shuffled)


@pytest.mark.parametrize(("n", "free"), [(1, 0.1), (2, 0), (50, 0.1), (50, 0.5), (1500, 0.1)])
def test_each_point_has_a_cell_and_the_canvas_is_used(n, free):
    points = np.random.default_rng(n).normal(size=(n, 2))
    places = spread_evenly(points, aspect=2, free=free)
    assert len(np.unique(places, axis=0)) == n
    assert ((places - 0.5) % 1 == 0).all()
    assert places.min() == 0.5
    width, height = places.max(0) + 0.5
    assert n / (1 - free) - 1 < width * height <= n / (1 - free) + width + 2 * height
    assert n < 50 or 1.5 < width / height < 2.6
    assert n < 1000 or share_kept(nearest(points), places) > 0.5


def test_equal_points_have_cells_of_their_own():
    assert len(np.unique(spread_evenly(np.zeros((9, 2))), axis=0)) == 9


def test_neighbors_that_the_map_has_torn_apart_come_together():
    rng = np.random.default_rng(0)
    true = rng.uniform(size=(80, 2))
    points = true + rng.normal(scale=0.15, size=true.shape)
    near = nearest(true)
    alone, joined = spread_evenly(points), spread_evenly(points, near)
    assert len(np.unique(joined, axis=0)) == 80
    assert share_kept(near, joined) > share_kept(near, alone) + 0.15
    np.testing.assert_array_equal(joined, spread_evenly(points, near))


def test_points_that_are_added_move_no_other_and_lie_near_their_neighbors():
    points = np.random.default_rng(2).uniform(size=(120, 2))
    near = neighbors_of(points, 6, 100)
    assert near.max() < 100
    np.testing.assert_array_equal(near[:100], nearest(points[:100]))
    first = spread_evenly(points[:100], near[:100], free=0.3)
    grown = [spread_evenly(points[:n], near[:n], free=0.3, n_first=100) for n in (110, 120)]
    np.testing.assert_array_equal(grown[1][:100], first)
    np.testing.assert_array_equal(grown[1][:110], grown[0])
    assert len(np.unique(grown[1], axis=0)) == 120
    away = np.linalg.norm(grown[1][100:] - first[near[100:]].mean(1), axis=1)
    assert np.median(away) < 3 < np.linalg.norm(first.max(0)) / 3


def test_one_vector_is_its_own_neighbor():
    np.testing.assert_array_equal(neighbors_of(np.eye(3), 2, 1), [[0], [0], [0]])


def test_neighbors_of_nobody_are_refused():
    with pytest.raises(ValueError, match="n_first=0: expected an integer of at least 1"):
        neighbors_of(np.eye(3), 2, 0)
    with pytest.raises(ValueError, match="n=0: expected an integer of at least 1"):
        neighbors_of(np.eye(3), 0)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"aspect": 0}, "aspect=0"),
        ({"free": 1}, "free=1: expected a share below 1"),
        ({"near": np.zeros((3, 2))}, r"near: expected integers of shape \(4, k\)"),
        ({"n_first": 2}, "n_first=2: expected `near` with it"),
        ({"n_first": 2, "near": np.full((4, 1), 2)}, "near: expected positions from 0 to 1"),
        ({"near": np.full((4, 1), 4)}, "near: expected positions from 0 to 3, got 4 to 4"),
    ],
)
def test_what_cannot_be_is_refused(more, complaint):
    with pytest.raises(ValueError, match=complaint):
        spread_evenly(np.eye(4)[:, :2], **more)
