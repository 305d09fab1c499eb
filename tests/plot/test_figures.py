"""The pictures: what is drawn is right, in the right order, and nothing covers anything else."""

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox
from scipy.spatial.distance import pdist, squareform

from conjure_kernel import GaussianDenoiser
from conjure_kernel.engine.explanation import explain
from conjure_kernel.method.grid import make_grid
from conjure_kernel.method.schedule import VariancePreserving
from conjure_kernel.plot import (
    layout,
    placed_labels,
    plot_explanation,
    plot_legs,
    plot_map,
    plot_matrix,
    plot_morph,
    plot_overview,
    plot_profile,
    plot_shepard,
    plot_strip,
    stress,
)

GOOD_KL = np.array([[0, 1], [2, 0.0]])


def world(n, seed=0):
    """Clustered points, their divergences, names, images and standard errors."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 2)) + 5 * rng.normal(size=(4, 2))[rng.integers(4, size=n)]
    divergences = squareform(pdist(points) ** 2)
    names = [f"prompt {i} of a handful of things" if i % 3 else f"thing {i}" for i in range(n)]
    images = rng.integers(0, 256, size=(n, 8, 8, 3), dtype=np.uint8)
    return points, divergences, names, images, divergences / 20


def canvas(width=6, height=6, dpi=100):
    figure = Figure(figsize=(width, height), dpi=dpi)
    FigureCanvasAgg(figure)
    return figure.add_axes((0.15, 0.1, 0.6, 0.8))


def boxes_of(artists, shrink=0.0):
    boxes = [artist.get_window_extent().extents for artist in artists]
    return np.reshape(boxes, (-1, 4)) + shrink * np.array([1, 1, -1, -1])


def overlaps(boxes, others):
    """Tell which of the boxes share an area with which of the others."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    return (np.minimum(boxes[:, None, 2:], others[:, 2:]) - low > 0).all(axis=-1)


def values_written(ax):
    """Read the cells back: {(row prompt, column prompt): text}."""
    names = [text.get_text() for text in ax.get_yticklabels()]
    cells = {}
    for text in ax.texts:
        column, row = text.get_position()
        cells[names[int(row)], names[int(column)]] = text.get_text()
    return cells


# ------------------------------------------------------------------------------------- matrix


@pytest.mark.parametrize("n", [2, 5, 30])
def test_the_heat_map_is_the_matrix_in_the_order_of_its_names(n):
    divergences = world(n)[1]
    names = [f"p{i}" for i in range(n)]
    ax = plot_matrix(divergences, names, ax=canvas(9, 9))
    order = [names.index(text.get_text()) for text in ax.get_yticklabels()]
    assert sorted(order) == list(range(n))
    np.testing.assert_array_equal(ax.images[0].get_array(), divergences[np.ix_(order, order)])


def test_clusters_become_blocks_and_neighbors_adjacent():
    kind = np.random.default_rng(3).permutation(np.repeat([0, 1, 2], 4))
    divergences = np.where(kind[:, None] == kind, 0.1, 9.0) * (1 - np.eye(12))
    ax = plot_matrix(divergences, [f"p{i}" for i in range(12)], ax=canvas())
    order = [int(text.get_text()[1:]) for text in ax.get_yticklabels()]
    assert np.count_nonzero(np.diff(kind[order])) == 2
    assert np.count_nonzero(np.diff(kind)) > 2  # the order they came in


def test_the_tree_ends_on_the_rows_and_runs_with_sqrt_j():
    divergences = np.array([[0, 4, 100], [4, 0, 144], [100, 144, 0.0]])
    ax = plot_matrix(divergences, list("abc"), ax=canvas())
    (tree,) = ax.child_axes[0].collections
    ends = np.vstack([line for line in tree.get_segments()])
    leaves = ends[ends[:, 0] == 0, 1]
    assert sorted(leaves) == [0, 1, 2]
    assert sorted(set(-ends[:, 0])) == [0, 2, 11]
    assert ax.child_axes[0].get_ylim() == ax.get_ylim()
    assert ax.get_position(original=False).height > 0


def test_cells_hold_value_and_standard_error_of_their_pair():
    divergences = np.array([[0, 4.321, 120], [4.321, 0, 57.6], [120, 57.6, 0]])
    errors = np.array([[0, 0.052, 13], [0.052, 0, np.nan], [13, np.nan, 0]])
    ax = plot_matrix(divergences, list("abc"), standard_errors=errors, ax=canvas())
    expected = {("a", "b"): "4.32\n±0.05", ("a", "c"): "120\n±13", ("b", "c"): "57.6"}
    assert values_written(ax) == expected | {(b, a): text for (a, b), text in expected.items()}


def test_values_without_errors_and_none_where_they_would_not_be_read():
    *_, divergences, names, _, _ = world(12)
    cells = plot_matrix(divergences, [f"p{i}" for i in range(12)], ax=canvas(9, 9))
    assert len(cells.texts) == 12 * 11
    assert values_written(cells)["p0", "p7"] == f"{divergences[0, 7]:.3g}"
    assert not plot_matrix(divergences, names, ax=canvas(2, 2)).texts
    assert not plot_matrix(*world(13)[1:3], ax=canvas(9, 9)).texts


@pytest.mark.parametrize(("n", "shown"), [(2, 2), (40, 40), (60, 30), (100, 50), (400, 50)])
def test_as_many_rows_are_named_as_fit_and_the_others_are_told(n, shown):
    ax = plot_matrix(*world(n)[1:3], ax=canvas(7, 6))
    labels = ax.get_yticklabels()
    assert len(labels) == shown
    step = -(-n // shown)
    assert ax.get_xlabel() == ("" if step == 1 else f"1 row of {step} is named")
    boxes = boxes_of(labels)
    assert not np.triu(overlaps(boxes, boxes), 1).any()
    assert all(len(text.get_text()) <= 26 for text in labels)


def test_one_prompt_is_a_picture_too():
    figure = plot_overview([[0.0]], ["alone"], world(1)[3])
    assert [text.get_text() for text in placed_labels(figure.axes[1])] == ["alone"]


def test_caption_names_the_unit():
    ax = plot_matrix(*world(3)[1:3], unit="paper units", ax=canvas())
    assert ax.get_title("left") == "Jeffreys divergence, paper units"


# ------------------------------------------------------------------------------------- map


@pytest.mark.parametrize("with_images", [False, True])
@pytest.mark.parametrize(("n", "least"), [(8, 8), (64, 12), (500, 8)])
def test_placed_labels_cover_neither_each_other_nor_markers_nor_the_frame(n, least, with_images):
    points, _, names, images, _ = world(n)
    if n == 8:  # a grid: every label must find room
        points = np.indices((4, 2)).reshape(2, 8).T
    ax = plot_map(points, names, images=images if with_images else None, ax=canvas(dpi=180))
    for dpi in (180, 90, 72, 100, 200):
        ax.figure.set_dpi(dpi)
        ax.figure.draw_without_rendering()
        boxes = boxes_of(placed_labels(ax))
        assert least <= len(boxes) <= n
        apart = boxes + np.array([-1, 0, 1, 0]) * 2 * dpi / 72  # a line of two reads as one
        assert not np.triu(overlaps(apart, apart), 1).any()
        frame = ax.get_window_extent().extents
        assert (boxes[:, :2] >= frame[:2]).all()
        assert (boxes[:, 2:] <= frame[2:]).all()
        if with_images:
            thumbnails = [box for box in ax.artists if isinstance(box, AnnotationBbox)]
            assert len(thumbnails) == n
            pictures = [box.offsetbox for box in thumbnails]
            assert not overlaps(boxes, boxes_of(pictures, shrink=0.5)).any()
        else:
            centres = ax.transData.transform(points)
            assert not overlaps(boxes, np.hstack([centres - 1, centres + 1])).any()


def test_labels_put_below_every_point_would_overlap():
    """The control: the data of the test above does need care."""
    points, _, names, *_ = world(64)
    ax = canvas()
    ax.plot(*points.T, "o")
    ax.figure.draw_without_rendering()
    boxes = boxes_of([ax.text(*at, name, size=7) for at, name in zip(points, names, strict=True)])
    assert np.triu(overlaps(boxes, boxes), 1).sum() > 20


def test_thumbnails_show_their_own_prompt_and_do_not_cover_each_other():
    points, _, names, images, _ = world(40)
    ax = plot_map(points, names, images=images, ax=canvas())
    ax.figure.draw_without_rendering()
    thumbnails = [box for box in ax.artists if isinstance(box, AnnotationBbox)]
    for box, point, image in zip(thumbnails, points, images, strict=True):
        np.testing.assert_array_equal(box.xy, point)
        np.testing.assert_array_equal(box.offsetbox.get_data(), image)
    boxes = boxes_of([box.offsetbox for box in thumbnails], shrink=0.5)
    assert not np.triu(overlaps(boxes, boxes), 1).any()
    crossed = [box.arrow_patch is not None for box in thumbnails]
    assert any(crossed)
    assert not all(crossed)


def test_each_label_stands_beside_its_own_marker():
    points = np.array([[0, 0], [10, 0], [0, 8], [10, 8.0]])
    names = ["left", "right", "top left", "top right"]
    ax = plot_map(points, names, ax=canvas())
    at = dict(zip(names, ax.transData.transform(points), strict=True))
    for label in placed_labels(ax):
        box = label.get_window_extent()
        centre = np.array([box.x0 + box.x1, box.y0 + box.y1]) / 2
        nearest = min(at, key=lambda name: np.abs(at[name] - centre).max())
        assert nearest == label.get_text()
    assert len(placed_labels(ax)) == 4


def test_dollars_and_newlines_in_prompts_are_only_text():
    names = ["costs $5 or $6", "two\nlines", r"\frac{1}{2}$x", "<b>&amp;</b>"]
    divergences = world(4)[1]
    figure = plot_overview(divergences, names, title="from $1 to $2")
    figure.savefig(io.BytesIO())
    assert {text.get_text() for text in placed_labels(figure.axes[1])} == {
        " ".join(name.split()) for name in names
    }


def test_the_scale_of_both_axes_is_one():
    ax = plot_map(world(20)[0] * [1, 0.1], world(20)[2], ax=canvas(8, 3))
    ax.figure.draw_without_rendering()
    pixels = ax.transData.transform([[0, 0], [1, 0], [0, 1]])
    assert np.ptp(pixels[[0, 1], 0]) == pytest.approx(np.ptp(pixels[[0, 2], 1]))


@pytest.mark.parametrize("with_images", [False, True])
def test_bars_of_one_standard_error_stand_beside_images_and_across_dots(with_images):
    points, _, names, images, _ = world(9)
    errors = np.linspace(0.1, 1, 18).reshape(9, 2)
    ax = plot_map(points, names, images=images if with_images else None, errors=errors, ax=canvas())
    ax.figure.draw_without_rendering()
    assert "bars ± 1 s.e." in ax.get_title("left")
    bars = [np.array(line.get_segments()) for line in ax.collections]
    across, along = bars[0], bars[2]  # each with a rim before it
    np.testing.assert_array_equal(across, bars[1])
    np.testing.assert_allclose(np.ptp(across[:, :, 0], axis=1), 2 * errors[:, 0])
    np.testing.assert_allclose(np.ptp(along[:, :, 1], axis=1), 2 * errors[:, 1])
    below, left = (ax.transData.transform(line.mean(1)) for line in (across, along))
    if not with_images:
        np.testing.assert_allclose(below, ax.transData.transform(points), atol=1)
        np.testing.assert_allclose(left, below, atol=1)
        return
    pictures = [box.offsetbox for box in ax.artists if isinstance(box, AnnotationBbox)]
    extents = boxes_of(pictures)
    middle = (extents[:, :2] + extents[:, 2:]) / 2
    np.testing.assert_allclose([below[:, 0], left[:, 1]], middle.T, atol=1)
    assert (below[:, 1] < extents[:, 1]).all()
    assert (left[:, 0] < extents[:, 0]).all()
    assert np.abs([below[:, 1] - extents[:, 1], left[:, 0] - extents[:, 0]]).max() < 6


# ------------------------------------------------------------------------------------- overview


def test_overview_shows_both_panels_with_their_captions():
    _, divergences, names, images, errors = world(9)
    figure = plot_overview(divergences, names, images, standard_errors=errors, title="A title")
    left, right = figure.axes[:2]
    assert left.get_title("left").endswith("Jeffreys divergence, nats")
    assert r"{(a)}" in left.get_title("left")
    assert r"{(b)}" in right.get_title("left")
    assert right.get_title("left").endswith("Map of √J, stress 0.00")
    assert "±" in "".join(values_written(left).values())
    file = io.BytesIO()
    figure.savefig(file, dpi=50)
    assert file.getvalue().startswith(b"\x89PNG")
    assert left.get_tightbbox().x1 < right.get_window_extent().x0
    simplex = plot_overview(1 - np.eye(4), list("abcd"))
    assert simplex.axes[1].get_title("left").endswith("stress 0.17")


def test_overview_draws_the_uncertainty_of_an_mds_map():
    _, divergences, names, images, _ = world(6)
    replicates = divergences * np.array([0.9, 1.0, 1.1])[None, :, None, None]
    figure = plot_overview(divergences, names, images, replicates=replicates)
    assert "bars" in figure.axes[1].get_title("left")
    plain = plot_overview(divergences, names, images)
    assert "bars" not in plain.axes[1].get_title("left")


# ------------------------------------------------------------------------------------- relations


def test_a_shepard_diagram_has_a_dot_per_pair_and_the_line_of_the_stress():
    _, divergences, *_ = world(12)
    points = 3 * layout(divergences + 4 * (1 - np.eye(12)))
    ax = plot_shepard(divergences, points, ax=canvas())
    (dots,), (line,) = ax.collections, ax.lines
    wanted = squareform(np.sqrt(divergences), checks=False)
    np.testing.assert_allclose(dots.get_offsets(), np.stack([wanted, pdist(points)], 1))
    scale = (line.get_ydata() / np.maximum(line.get_xdata(), 1e-9))[1]
    by_hand = np.linalg.lstsq(wanted[:, None], pdist(points), rcond=None)[0][0]
    assert scale == pytest.approx(by_hand)
    assert ax.get_title("left").endswith(f"stress {stress(divergences, points):.2f}")
    plot_shepard(np.zeros((3, 3)), np.zeros((3, 2)), ax=canvas())


def test_the_area_under_a_profile_is_j():
    grid = make_grid(VariancePreserving.scaled_linear(), 5, nodes="timesteps")
    profile = np.array([0.1, 0.4, 2.0, 1.0, 0.3])
    ax = plot_profile(profile, grid, standard_errors=profile / 10, ax=canvas())
    (steps,) = ax.patches
    values, edges, _ = steps.get_data()
    assert (values * np.diff(edges)).sum() == pytest.approx(3.8)
    assert edges[[0, -1]] == pytest.approx(grid.log_snr_range)
    (bars,) = ax.collections
    lengths = [np.ptp(bar[:, 1]) for bar in bars.get_segments()]
    np.testing.assert_allclose(lengths, 0.2 * profile / grid.d_log_snr)


def test_a_second_profile_shares_the_axes_and_both_are_whole():
    grid = make_grid(VariancePreserving.log_linear(), 3)
    ax = plot_profile(np.array([1.0, 9.0, 1.0]), grid, label="one", ax=canvas())
    plot_profile(np.array([1.0, 2.0, 1.0]), grid, label="two", ax=ax)
    assert [text.get_text() for text in ax.legend().texts] == ["one", "two"]
    assert ax.get_ylim()[1] > 9 / grid.d_log_snr[1]
    with pytest.raises(
        ValueError, match=r"profile: expected the shape \(3,\) of the grid, got \(4,\)"
    ):
        plot_profile(np.ones(4), grid)


def test_arrows_lead_to_the_nearest_by_the_directed_leg():
    kl = np.array([[0, 1, 5], [9, 0, 2], [3, 4, 0.0]])
    before = kl.copy()
    ax = plot_legs(kl, list("abc"), n_neighbors=1, ax=canvas())
    ax.figure.draw_without_rendering()
    at = {text.get_text(): text.get_position() for text in ax.texts if text.get_text()}
    name = {position: name for name, position in at.items()}
    arrows = [note for note in ax.texts if getattr(note, "arrow_patch", None)]
    assert {(name[note.xyann], name[note.xy]) for note in arrows} == {
        ("a", "b"),
        ("b", "c"),
        ("c", "a"),
    }
    widths = {name[note.xyann]: note.arrow_patch.get_linewidth() for note in arrows}
    assert widths["a"] > widths["b"] > widths["c"]
    np.testing.assert_array_equal(kl, before)


@pytest.mark.parametrize("n", [1, 2, 8, 30])
def test_names_in_the_graph_do_not_cover_each_other(n):
    divergences = world(n)[1] / 100
    ax = plot_legs(divergences, [f"prompt {i}" for i in range(n)], ax=canvas(9, 7))
    for dpi in (72, 100, 180):
        ax.figure.set_dpi(dpi)
        ax.figure.draw_without_rendering()
        boxes = boxes_of([text for text in ax.texts if text.get_text()])
        assert len(boxes) == n
        assert not np.triu(overlaps(boxes, boxes), 1).any()


@pytest.mark.parametrize(
    ("kl", "labels", "message"),
    [
        (np.ones(3), list("abc"), "kl"),
        (-GOOD_KL, list("ab"), "kl: expected values of at least 0, got -1"),
        (GOOD_KL, list("abc"), "labels: expected 2, one for each prompt, got 3"),
    ],
)
def test_legs_that_cannot_be_drawn_are_refused_in_words(kl, labels, message):
    with pytest.raises(ValueError, match=message):
        plot_legs(kl, labels)


# ------------------------------------------------------------------------------------- explanation


@pytest.fixture(scope="module")
def pixels():
    """An explanation with heat maps, made of one without."""
    denoiser = GaussianDenoiser({"a": [1.0] * 12, "$b$": [-1.0] * 12})
    found = explain("a", "$b$", model=denoiser, n_steps=4, n_draws=2)
    return found, replace(found, heat=found.heat.reshape(2, 2, 4, 3, 4))


def test_the_strip_shows_views_and_heat_level_by_level(pixels):
    plain, found = pixels
    ax = plot_strip(found, ax=canvas(10, 8))
    rows = [found.views[0, 0], found.heat[0, 0], found.views[0, 1]]
    rows += [found.views[1, 0], found.heat[1, 0], found.views[1, 1]]
    assert len(ax.images) == 24
    for image, picture in zip(ax.images, [cell for row in rows for cell in row], strict=True):
        np.testing.assert_array_equal(image.get_array(), picture)
    columns = [image.get_extent()[0] for image in ax.images]
    assert columns == pytest.approx([i + 0.04 for i in range(4)] * 6)
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == ["a", "nats per pixel", "$b$"] * 2
    assert len(plot_strip(plain, ax=canvas(10, 8)).images) == 16


def test_the_morph_says_when_the_other_prompt_takes_over(pixels):
    ax = plot_morph(pixels[1], ax=canvas())
    assert len(ax.images) == 5
    assert [text.get_text() for text in ax.get_xticklabels()] == [
        *(f"{level:.1f}" for level in pixels[1].switch_log_snr[:-1]),
        "never",
    ]


def test_the_whole_explanation_names_j_with_its_error(pixels):
    for found in pixels:
        figure = plot_explanation(found)
        figure.savefig(io.BytesIO(), dpi=40)
        (headline,) = figure.texts
        assert f"{found.divergence:.3g} ± {found.standard_error:.2g} nats" in headline.get_text()
        assert len(figure.axes) == 3
        strip, profile, morph = figure.axes
        assert strip.get_position().y0 > profile.get_position().y1
        assert profile.get_position().y0 > morph.get_position().y1


def test_nothing_is_left_behind_neither_settings_nor_figures_nor_changed_inputs():
    from matplotlib import pyplot

    _, divergences, names, images, errors = world(9)
    copies = [divergences.copy(), list(names), images.copy(), errors.copy()]
    settings = dict(rcParams)
    figure = plot_overview(divergences, names, images, standard_errors=errors)
    figure.savefig(io.BytesIO())
    assert dict(rcParams) == settings
    assert not pyplot.get_fignums()
    for now, before in zip([divergences, names, images, errors], copies, strict=True):
        np.testing.assert_array_equal(now, before)


def test_without_axes_a_new_pyplot_figure_is_made():
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    _, divergences, names, *_ = world(4)
    plot_matrix(divergences, names)
    plot_map(layout(divergences), names)
    assert len(pyplot.get_fignums()) == 2
    pyplot.close("all")


def test_importing_plot_loads_neither_umap_nor_the_models():
    code = "import sys, conjure_kernel.plot; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"umap", "torch", "diffusers", "sklearn", "matplotlib.pyplot"} & set(
        loaded.stdout.split()
    )


GOOD = 1 - np.eye(3)


@pytest.mark.parametrize(
    ("divergences", "labels", "extra", "message"),
    [
        (np.ones((2, 3)), list("ab"), {}, r"divergences.*\(2, 3\)"),
        (np.triu(GOOD), list("abc"), {}, "divergences: expected a symmetric matrix"),
        (GOOD * np.nan, list("abc"), {}, "divergences: expected finite values"),
        (-GOOD, list("abc"), {}, "divergences: expected values of at least 0, got -1"),
        (np.exp(-GOOD), list("abc"), {}, "divergences: expected a diagonal of 0, got 1; pass div"),
        (GOOD, list("ab"), {}, "labels: expected 3, one for each prompt, got 2"),
        (GOOD, "abc", {}, "labels='abc': expected a list of strings"),
        (
            GOOD,
            list("abc"),
            {"standard_errors": np.ones(3)},
            r"standard_errors: expected .* got \(3,\)",
        ),
        (
            GOOD,
            list("abc"),
            {"images": np.ones((3, 4, 4, 3))},
            r"images: .* got float64 of shape \(3, 4, 4, 3\)",
        ),
        (
            GOOD,
            list("abc"),
            {"images": np.ones((2, 4, 4, 3), "u1")},
            r"expected uint8 of shape \(3, height.* got uint8 of shape \(2, 4, 4, 3\)",
        ),
        (GOOD, list("abc"), {"images": np.ones((3, 4, 4), "u1")}, r"\(3, height, width, 3\)"),
        (GOOD, list("abc"), {"method": "pca"}, "method='pca'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(divergences, labels, extra, message):
    with pytest.raises(ValueError, match=message):
        plot_overview(divergences, labels, **extra)


def test_the_map_wants_one_point_a_label():
    with pytest.raises(ValueError, match=r"coordinates: expected the shape \(2, 2\), got \(3, 2\)"):
        plot_map(np.ones((3, 2)), list("ab"))
