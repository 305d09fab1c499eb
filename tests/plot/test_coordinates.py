"""The geometry of a map: layouts and their stress, thumbnails and labels that keep apart."""

import sys
import types
import warnings

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist, squareform

from conjure_kernel.method.jackknife import leave_one_out
from conjure_kernel.plot.coordinates import layout, position_errors, stress
from conjure_kernel.plot.labels import fit_limits, place_labels, shorten, spread

SQUARE = np.array([[0.0, 0], [0, 1], [1, 1], [1, 0]])
FRAME = np.array([[0.0, 0], [400, 300]])


def plane(n, seed=0):
    """Points in the plane and their squared distances, which a layout must recover."""
    points = np.random.default_rng(seed).normal(size=(n, 2)) * [3, 1]
    return points, squareform(pdist(points) ** 2)


def overlaps(boxes):
    """Count the pairs of boxes (x0, y0, x1, y1) that share more than an edge."""
    shared = np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = shared - np.maximum(boxes[:, None, :2], boxes[:, :2])
    return int(np.triu((shared > 1e-6).all(axis=-1), 1).sum())


@pytest.mark.parametrize("n", [1, 2, 3, 5, 30])
def test_mds_has_the_shape_asked_for_and_repeats(n):
    divergences = plane(n)[1] + 0.5 * (1 - np.eye(n))
    before = divergences.copy()
    points = layout(divergences)
    assert points.shape == (n, 2)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-9)
    assert np.ptp(points[:, 0]) >= np.ptp(points[:, 1])
    np.testing.assert_array_equal(points, layout(divergences))
    np.testing.assert_array_equal(divergences, before)


@pytest.mark.parametrize("n", [3, 5, 30])
def test_mds_recovers_points_of_the_plane_with_their_scale(n):
    points, divergences = plane(n)
    found = layout(divergences)
    assert procrustes(points, found)[2] < 1e-6
    np.testing.assert_allclose(pdist(found), pdist(points), rtol=1e-3, atol=1e-3)
    assert stress(divergences, found) < 1e-3
    shuffled = found[np.random.default_rng(0).permutation(n)]
    assert stress(divergences, shuffled) > 0.1


def test_two_prompts_lie_sqrt_j_apart_and_equal_prompts_together():
    assert pdist(layout([[0, 9], [9, 0]])) == pytest.approx(3)
    assert not layout(np.zeros((4, 4))).any()


def test_six_equal_distances_end_as_a_hexagon():
    angle = np.arange(6) * np.pi / 3
    hexagon = stress(1 - np.eye(6), np.stack([np.cos(angle), np.sin(angle)], axis=1))
    assert stress(1 - np.eye(6), layout(1 - np.eye(6))) == pytest.approx(hexagon, abs=1e-3)
    assert stress(1 - np.eye(6), np.eye(6)[:, :2]) > hexagon + 0.3  # a classical solution


def test_stress_of_a_square_drawn_for_four_equal_distances():
    # sum dc = 4 + 2 sqrt 2, sum dd = 6, sum cc = 8
    by_hand = np.sqrt(1 - (4 + 2 * np.sqrt(2)) ** 2 / 48)
    assert stress(1 - np.eye(4), SQUARE) == pytest.approx(by_hand)
    assert stress(7 * (1 - np.eye(4)), 100 * SQUARE - 3) == pytest.approx(by_hand)


def test_stress_at_its_ends():
    assert stress(squareform(pdist(SQUARE) ** 2), 5 * SQUARE) == pytest.approx(0, abs=1e-12)
    assert stress(1 - np.eye(3), np.zeros((3, 2))) == 1
    assert stress(np.zeros((3, 3)), np.zeros((3, 2))) == 0
    assert stress([[0.0]], [[1.0, 2.0]]) == 0


class TalkativeUMAP:
    """Stands in for umap: returns the start that it was given and warns like the real one."""

    def __init__(self, **options):
        self.options = options

    def fit_transform(self, distances):
        if self.options["metric"] == "precomputed":
            warnings.warn(
                "using precomputed metric; inverse_transform will be unavailable", stacklevel=2
            )
        if self.options["n_jobs"] != 1:
            warnings.warn("n_jobs value 1 overridden to 1 by setting random_state.", stacklevel=2)
        warnings.warn("something worth knowing", stacklevel=2)
        return self.options["init"] + len(distances)


def test_of_the_warnings_of_umap_only_the_useless_are_dropped(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=TalkativeUMAP))
    divergences = plane(8)[1]
    with pytest.warns(UserWarning, match="worth knowing") as caught:
        points = layout(divergences, method="umap")
    assert [str(warning.message) for warning in caught] == ["something worth knowing"]
    np.testing.assert_allclose(points, layout(divergences), atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_umap_falls_back_to_mds_below_five_prompts_and_says_so(n):
    divergences = plane(n)[1]
    with pytest.warns(UserWarning, match=f"at least 5 prompts, got {n}; 'mds' is used"):
        points = layout(divergences, method="umap")
    np.testing.assert_array_equal(points, layout(divergences))


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 40])
def test_umap_runs_in_silence_repeats_and_keeps_clusters(n):
    points = plane(n)[0] + 60 * (np.arange(n) % 2)[:, None]
    divergences = squareform(pdist(points) ** 2)
    before = divergences.copy()
    found = layout(divergences, method="umap", random_state=1)
    assert found.shape == (n, 2)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, layout(divergences, method="umap", random_state=1))
    np.testing.assert_array_equal(divergences, before)
    if n == 40:
        near = (squareform(pdist(found)) + np.diag(np.full(n, np.inf))).argmin(axis=1)
        assert (near % 2 == np.arange(n) % 2).all()


def test_layout_and_stress_refuse_what_they_cannot_draw():
    with pytest.raises(ValueError, match=r"method='tsne': expected one of 'mds', 'umap'"):
        layout(1 - np.eye(3), method="tsne")
    with pytest.raises(ValueError, match=r"divergences.*\(2, 3\)"):
        layout(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"coordinates: expected the shape \(3, 2\), got \(4, 2\)"):
        stress(1 - np.eye(3), SQUARE)
    with pytest.raises(ValueError, match="coordinates: expected finite values"):
        stress(1 - np.eye(4), SQUARE * np.nan)


def jittered(points, n_draws, size, rng):
    """Squared distances (n, n, K) of points that are known up to noise, draw by draw."""
    moved = points + rng.normal(size=(n_draws, *points.shape)) * size
    return np.stack([squareform(pdist(draw) ** 2) for draw in moved], -1)


def left_out(draws):
    """Replicates of draws with one chain each."""
    return leave_one_out(draws[..., None])


def test_position_errors_are_the_spread_of_repeated_maps():
    rng, points, n_draws = np.random.default_rng(0), plane(8)[0], 4
    points = points - points.mean(0)
    found, maps = [], []
    for _ in range(25):
        draws = jittered(points, n_draws, 0.05, rng)
        at = layout(draws.mean(-1))
        found.append(position_errors(left_out(draws), at))
        maps.append(at @ orthogonal_procrustes(at, points)[0])
    spread_of_maps = np.std(maps, axis=0)
    ratio = np.sqrt(np.mean(np.square(found), axis=0)) / spread_of_maps
    assert 0.7 < np.exp(np.log(ratio).mean()) < 1.4


def test_a_prompt_that_jumps_is_the_uncertain_one_and_equal_draws_leave_no_doubt():
    rng, points = np.random.default_rng(1), plane(9)[0]
    size = np.full((9, 1), 0.01)
    size[4] = 0.3
    draws = jittered(points, 4, size, rng)
    errors = position_errors(left_out(draws), layout(draws.mean(-1))).max(1)
    assert errors.argmax() == 4
    assert errors[4] > 3 * np.delete(errors, 4).max()
    same = np.repeat(plane(9)[1][..., None], 3, axis=-1)
    np.testing.assert_allclose(position_errors(left_out(same), layout(same[..., 0])), 0, atol=1e-4)


def test_errors_of_chains_add_up():
    rng, points = np.random.default_rng(2), plane(8)[0]
    halves = np.stack([jittered(points, 4, 0.05, rng) / 2 for _ in range(2)], -1)
    at = layout(halves.sum(-1).mean(-1))
    both = position_errors(leave_one_out(halves), at)
    single = [position_errors(leave_one_out(halves)[[g]], at) for g in range(2)]
    np.testing.assert_allclose(both, np.hypot(*single), rtol=1e-9)


@pytest.mark.parametrize("shape", [(3, 3), (4, 3, 3), (1, 1, 3, 3)])
def test_position_errors_need_two_draws(shape):
    with pytest.raises(ValueError, match=r"replicates: expected .*K > 1, got \("):
        position_errors(np.zeros(shape), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="replicates: expected finite values, got NaN; pass a mea"):
        position_errors(np.full((1, 2, 3, 3), np.nan), np.zeros((3, 2)))


def test_limits_keep_the_margin_and_one_scale():
    points, margin = plane(20)[0], np.array([50.0, 20.0])
    low, high = fit_limits(points, FRAME[1], margin)
    pixels = (points - low) / (high - low) * FRAME[1]
    assert (pixels >= margin - 1e-9).all()
    assert (pixels <= FRAME[1] - margin + 1e-9).all()
    assert np.isclose(np.ptp(pixels, axis=0), FRAME[1] - 2 * margin).any()
    assert np.ptp((high - low) / FRAME[1]) == pytest.approx(0)
    assert (np.diff(fit_limits(points[:1], FRAME[1], margin), axis=0) > 0).all()


def test_spread_parts_boxes_inside_the_frame_and_leaves_others_alone():
    size = np.array([30.0, 20.0])
    crowd = 200 + np.random.default_rng(0).normal(size=(40, 2)) * 10
    crowd[:3] = crowd[0]
    centres = np.vstack([crowd, [[20, 20]]])
    assert overlaps(np.hstack([centres - size / 2, centres + size / 2])) > 300
    places = spread(centres, size, FRAME)
    half = 0.995 * size / 2
    assert overlaps(np.hstack([places - half, places + half])) == 0
    assert (places >= FRAME[0] + size / 2 - 0.1).all()
    assert (places <= FRAME[1] - size / 2 + 0.1).all()
    np.testing.assert_allclose(places[-1], centres[-1], atol=0.1)


@pytest.mark.parametrize(("n", "least"), [(8, 8), (64, 12), (500, 10)])
def test_labels_keep_apart_from_each_other_and_from_all_markers(n, least):
    rng = np.random.default_rng(n)
    centres, sizes = (
        rng.uniform([5, 5], FRAME[1] - 5, size=(n, 2)),
        rng.uniform(10, 60, size=(n, 2)),
    )
    sizes[:, 1] = 9
    placed = place_labels(sizes, centres, 2.0, FRAME)
    found = placed[~np.isnan(placed).any(axis=1)]
    assert len(found) >= least
    markers = np.hstack([centres - 1.99, centres + 1.99])
    assert overlaps(np.vstack([found, markers])) == overlaps(markers)
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= FRAME[1]).all()
    drawn = ~np.isnan(placed[:, 0])
    np.testing.assert_allclose(placed[drawn, 2:] - placed[drawn, :2], sizes[drawn])


def test_a_label_touches_its_own_marker_and_one_without_room_is_left_out():
    (box,) = place_labels(np.array([[40.0, 10.0]]), np.array([[200.0, 150.0]]), 8.0, FRAME)
    np.testing.assert_allclose(box, [180, 132, 220, 142])
    assert np.isnan(
        place_labels(np.array([[401.0, 9.0]]), np.array([[200.0, 150.0]]), 8.0, FRAME)
    ).all()


def test_shorten_cuts_between_words_and_keeps_prompts_apart():
    assert shorten(["a dog", "two\nlines  here"], 20) == ["a dog", "two lines here"]
    assert shorten(["a very long prompt about a dog"], 20) == ["a very long prompt…"]
    assert shorten(["x" * 50], 10) == ["x" * 9 + "…"]
    alike = [f"a photo of the old town {end}" for end in ("in the rain", "in the snow")]
    short = shorten(alike, 20)
    assert len(set(short)) == 2
    assert all("…" in text and len(text) <= 20 for text in short)
    assert short[0].endswith("rain")
