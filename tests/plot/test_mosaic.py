"""Images side by side: each once, in its cell, with its label and the names of clusters."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from conjure_kernel import find_clusters
from conjure_kernel.estimators.clusters import Clusters
from conjure_kernel.plot import plot_mosaic


def three_kinds(n=60):
    rng = np.random.default_rng(0)
    kind = np.arange(n) % 3
    vectors = np.eye(3)[kind] + rng.normal(scale=0.15, size=(n, 3))
    prompts = [f"{('red', 'green', 'blue')[k]} thing number {i}" for i, k in enumerate(kind)]
    images = np.repeat(np.eye(3, dtype=np.uint8)[kind] * 255, 64, axis=0).reshape(n, 8, 8, 3)
    return vectors, prompts, images, kind


def extent(label):
    """The box of a label, shown or not; one that is hidden has none."""
    visible = label.get_visible()
    label.set_visible(True)
    box = label.get_window_extent()
    label.set_visible(visible)
    return box


@pytest.fixture(scope="module")
def drawn():
    vectors, prompts, images, kind = three_kinds()
    clusters = find_clusters(prompts, vectors=vectors)
    figure = plot_mosaic(vectors[:, :2], prompts, images, clusters=clusters, size=(6, 4))
    return figure, images, kind, clusters


def test_each_image_is_shown_once_and_none_overlap(drawn):
    figure, images, *_ = drawn
    (ax,) = figure.axes
    shown = ax.images
    assert [i.get_array().tolist() for i in shown] == images.tolist()
    boxes = [i.get_window_extent() for i in shown]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(abs(b.width - b.height) < 0.01 for b in boxes)
    assert all(figure.bbox.x0 <= b.x0 < b.x1 <= figure.bbox.x1 for b in boxes)
    assert all(figure.bbox.y0 <= b.y0 < b.y1 <= figure.bbox.y1 for b in boxes)
    assert sum(b.width * b.height for b in boxes) > 0.5 * figure.bbox.width * figure.bbox.height


def test_labels_are_below_their_images_and_as_wide_at_most(drawn):
    figure, *_ = drawn
    (ax,) = figure.axes
    labels = [text for text in ax.texts if text.get_weight() != "bold"]
    boxes = [i.get_window_extent() for i in ax.images]
    assert len(labels) == len(boxes)
    for label, box in zip(labels, boxes, strict=True):
        own = extent(label)
        assert own.y1 <= box.y0 + 1
        assert own.width <= box.width / 0.8
        assert abs(own.x0 + own.x1 - box.x0 - box.x1) < 2
    assert len({label.get_text() for label in labels}) == len(labels)


def test_clusters_have_their_names_and_colours(drawn):
    figure, _, _, clusters = drawn
    (ax,) = figure.axes
    names = [text for text in ax.texts if text.get_weight() == "bold"]
    assert {text.get_text() for text in names} <= set(clusters.names[0])
    assert len(names) > 1
    assert len({to_rgb(text.get_color()) for text in names}) == len(names)
    boxes = [text.get_window_extent() for text in names]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    labels = [text for text in ax.texts if text.get_weight() != "bold"]
    for label, level in zip(labels, clusters.levels[0], strict=True):
        for text in names:
            alike = to_rgb(text.get_color()) == to_rgb(label.get_color())
            assert alike == (level >= 0 and clusters.names[0][level] == text.get_text())
        hidden = any(extent(label).overlaps(box) for box in boxes)
        assert label.get_visible() != hidden
    assert 3 <= sum(not label.get_visible() for label in labels) < 30


def test_names_of_clusters_that_lie_in_each_other_do_not_overlap():
    vectors, prompts, images, _ = three_kinds()
    kinds, names = np.arange(60) % 8, tuple(f"a long name of cluster {i}" for i in range(8))
    clusters = Clusters((kinds,), (names,), (((0,),) * 8,))
    figure = plot_mosaic(vectors[:, :2], prompts, images, clusters=clusters, size=(6, 4))
    boxes = [t.get_window_extent() for t in figure.axes[0].texts if t.get_weight() == "bold"]
    assert len(boxes) > 3
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(figure.bbox.x0 <= b.x0 < b.x1 <= figure.bbox.x1 for b in boxes)


def test_what_does_not_belong_together_is_refused():
    vectors, prompts, images, _ = three_kinds(6)
    with pytest.raises(ValueError, match="images: expected uint8"):
        plot_mosaic(vectors[:, :2], prompts, images[:5])
    clusters = find_clusters(prompts[:5], vectors=vectors[:5])
    with pytest.raises(ValueError, match="clusters: expected levels of 6 prompts, got 5"):
        plot_mosaic(vectors[:, :2], prompts, images, clusters=clusters)
    with pytest.raises(ValueError, match="coordinates"):
        plot_mosaic(vectors[:5, :2], prompts, images)
