"""What the file of an interactive map holds; test_html_browser.py opens it."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import pdist, squareform

from conjure_kernel.estimators.clusters import Clusters, find_clusters
from conjure_kernel.plot.html import HtmlMap, html_map
from conjure_kernel.plot.html.groups import COLOURS, name_groups
from conjure_kernel.plot.html.sources import Matrix, Vectors
from conjure_kernel.plot.thumbnail import MAX_IMAGE, data_uri
from pages import CONTROLS, IMAGE_TAG, NASTY, crowd, world


@pytest.fixture(scope="module")
def page():
    divergences, names, images, errors = world()
    return html_map(divergences, names, images=images, standard_errors=errors).page


def data_of(page):
    """The data in a page, as its script reads them."""
    return json.loads(re.search(r'<script[^>]*id="data">(.*?)</script>', page, re.S)[1])


def unpack(text, kind="<f4"):
    return np.frombuffer(base64.b64decode(text), kind)


def test_nothing_is_to_be_loaded_from_elsewhere(page):
    """R53."""
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    sources = re.findall(r"""(?:src|href)=["']([^"']*)""", markup)
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert not re.search(r"@import|url\(", markup)
    assert "unsafe-eval" not in page


def test_prompts_are_text_wherever_they_stand(page):
    """R54."""
    assert "window.hacked = 1</script>" not in page
    assert IMAGE_TAG not in page
    names = data_of(page)["prompts"]
    assert (names[1], names[2]) == (NASTY, IMAGE_TAG)
    assert names[5] == CONTROLS.replace("\r", "\u240d").replace("\0", "\u2400").replace(
        "\x1b", "\u241b"
    )
    titled = html_map(1 - np.eye(3), list("abc"), title=NASTY, columns={NASTY: [NASTY] * 3}).page
    assert "<script>window.hacked" not in titled


def test_the_library_stands_in_the_page_with_its_licence(page):
    assert "Copyright 2010-2026 Mike Bostock" in page
    assert "Permission to use, copy, modify" in page
    assert len(html_map(1 - np.eye(3), list("abc")).page) < 360_000


def test_neighbors_are_the_nearest_with_their_distance_and_error(page):
    divergences, *_ = world()
    found = data_of(page)["neighbors"]
    nearest = np.argsort(divergences, axis=1)[:, 1:6]
    np.testing.assert_array_equal(unpack(found["at"], "<i4").reshape(9, 5), nearest)
    roots = np.sqrt(np.take_along_axis(divergences, nearest, 1))
    np.testing.assert_allclose(unpack(found["distances"]).reshape(9, 5), roots, rtol=1e-6)
    errors = roots**2 / 10 / (2 * roots)
    np.testing.assert_allclose(unpack(found["errors"]).reshape(9, 5), errors, rtol=1e-6)


def test_vectors_of_unit_length_show_their_cosines():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(12, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"thing {i}" for i in range(12)]
    page = html_map(None, names, vectors=vectors, coordinates=vectors[:, :2]).page
    away = 1 - vectors @ vectors.T
    wanted = np.sort(away + 9 * np.eye(12), axis=1)[:, :5]
    found = unpack(data_of(page)["neighbors"]["distances"]).reshape(12, 5)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert "Distances are 1 − cosine." in page
    assert "Distances are √J, J in nats." in html_map(None, list("abc"), vectors=9 * np.eye(3)).page


def test_images_are_small_whatever_comes():
    rng = np.random.default_rng(0)
    for side in (16, 32, 512):
        picture = rng.integers(0, 256, size=(side, side, 3), dtype=np.uint8)
        uri = data_uri(picture)
        assert len(uri) <= MAX_IMAGE == 8192
        kind, data = re.fullmatch("data:image/(.*);base64,(.*)", uri).groups()
        decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        assert decoded.shape == (min(side, 96), min(side, 96), 3)
        if side == 16:
            assert kind == "png"
            np.testing.assert_array_equal(decoded, picture)


def test_prompts_with_images_go_to_places_that_fill_the_canvas(page):
    divergences, names, *_ = world()
    places = unpack(data_of(page)["points"]).reshape(9, 2)
    apart = np.abs(places[:, None] - places[None]).max(-1) + 9 * np.eye(9)
    assert apart.min() >= 0.999  # in the unit of a picture
    given = np.random.default_rng(0).normal(size=(9, 2))
    plain = html_map(divergences, names, coordinates=given).page
    np.testing.assert_allclose(unpack(data_of(plain)["points"]).reshape(9, 2), given, rtol=1e-6)


def test_further_prompts_leave_the_places_of_the_first():
    vectors, names, options = crowd(60)
    rows = {"images": np.zeros((60, 1, 4, 4, 3), "u1"), "coordinates": options["coordinates"]}
    pages = [
        html_map(
            None,
            names[:n],
            vectors=vectors[:n],
            n_first=40,
            **{name: row[:n] for name, row in rows.items()},
        ).page
        for n in (40, 60)
    ]
    few, all_ = (unpack(data_of(page)["points"]).reshape(-1, 2) for page in pages)
    np.testing.assert_array_equal(all_[:40], few)


def matrix(divergences):
    return Matrix(divergences, np.full(divergences.shape, np.nan))


def levels_of(divergences, clusters=None):
    names = [f"thing {i}" for i in range(len(divergences))]
    return data_of(html_map(divergences, names, clusters=clusters).page)["levels"]


def test_clusters_are_those_of_find_clusters():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, 2)) + 20 * np.eye(3)[np.arange(30) % 3, :2]
    names = [f"a {('dog', 'car', 'hat')[i % 3]} {'abcdefghij'[i // 3]}" for i in range(30)]
    found = find_clusters(names, vectors=points)
    page = html_map(None, names, vectors=points, coordinates=points).page
    levels = data_of(page)["levels"]
    assert [level["of"] for level in levels] == [level.tolist() for level in found.levels]
    assert [tuple(level["names"]) for level in levels] == list(found.names)
    assert set(levels[0]["names"]) == {"dog", "car", "hat"}
    matrix = squareform(pdist(points) ** 2)
    assert data_of(html_map(matrix, names).page)["levels"] == levels
    for n in (1, 2, 3):
        assert set(levels_of(1 - np.eye(n))[0]["of"]) == {0}


def test_groups_are_named_by_their_middle():
    points = np.r_[np.array([0, 1, 2, 9]) * 0.1, 10 + np.arange(3) * 0.1, 20, 20.1]
    divergences = squareform(pdist(points[:, None]) ** 2)
    (level,) = levels_of(divergences, list("bbbbaaacc"))
    assert level["of"] == [0, 0, 0, 0, 1, 1, 1, 2, 2]
    assert level["names"][:2] == ["like “thing 2”", "like “thing 5”"]
    assert [members[0] for members in level["typical"]][:2] == [2, 5]
    assert set(level["typical"][1]) == {4, 5, 6}


def test_clusters_may_be_many_and_some_prompts_in_none():
    found = name_groups(np.r_[-1, np.arange(29).repeat(2)], matrix(1 - np.eye(59)), ["x"] * 59)
    assert found.levels[0].tolist() == [-1, *np.arange(29).repeat(2)]
    assert len(found.names[0]) == 29


@pytest.mark.parametrize(
    "groups", [np.array([-1.0, 0, 0, np.nan]), np.array([None, "a", "a", None]), [-1, 7, 7, -1]]
)
def test_missing_groups_are_none(groups):
    (level,) = levels_of(squareform(pdist([[0], [1], [2], [3]])), groups)
    assert (level["of"], len(level["names"])) == ([-1, 0, 0, -1], 1)


def test_named_levels_are_shown_as_they_come():
    of = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, -1])
    names = ("animals", "tools"), ("cats", "dogs", "hammers")
    given = Clusters(of, names, (((0, 1), (3,)), ((1,), (2,), (3,))))
    coarse, fine = levels_of(1 - np.eye(5), given)
    assert coarse == {"of": [0, 0, 0, 1, 1], "names": list(names[0]), "typical": [[0, 1], [3]]}
    assert fine == {"of": [0, 0, 1, 2, -1], "names": list(names[1]), "typical": [[1], [2], [3]]}
    with pytest.raises(ValueError, match="clusters: expected levels of 4 prompts, got 5"):
        html_map(1 - np.eye(4), list("abcd"), clusters=given)


def test_columns_are_numbers_or_categories():
    import pandas as pd

    columns = {
        "vividness": np.array([1.5, np.nan, 3], dtype=np.float32),
        "count": pd.array([1, None, 3]),
        "theme": ["b", None, "b"],
        "known": [True, False, True],
        "day": [pd.NaT, pd.Timestamp("2026-01-02"), np.datetime64("NaT")],
    }
    page = html_map(1 - np.eye(3), list("abc"), columns=columns).page
    numbers, counts, themes, known, days = data_of(page)["columns"]
    assert numbers == {"name": "vividness", "kind": "number", "values": [1.5, None, 3]}
    assert counts["values"] == [1, None, 3]
    assert (themes["kind"], themes["values"], themes["names"]) == ("category", [0, None, 0], ["b"])
    assert known["names"] == ["True", "False"]
    assert days["values"] == [None, 0, None]


@pytest.mark.parametrize("background", ["#ffffff", "#17171c"])
def test_colours_are_told_from_both_pages(background):
    """R56."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    for colour in COLOURS:
        bright, dark = sorted([luminance(colour), luminance(background)], reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 3, colour
    assert len(set(COLOURS)) == 21


def test_a_notebook_shows_the_page_in_a_frame(page):
    assert repr(HtmlMap(page)) == "HtmlMap()"
    shown = HtmlMap(page)._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert "<script>" not in shown


GOOD = 1 - np.eye(3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": np.ones((3, 4, 4, 3), "u1")}, r"images: .* got uint8 of shape \(3, 4, 4, 3\)"),
        (
            {"images": np.ones((2, 1, 4, 4, 3), "u1")},
            r"images: expected uint8 of shape \(3, n_images, height, width, 3\)",
        ),
        ({"clusters": np.zeros(2)}, r"clusters: expected the shape \(3,\), got \(2,\)"),
        (
            {"coordinates": np.zeros((2, 2))},
            r"coordinates: expected the shape \(3, 2\), got \(2, 2\)",
        ),
        ({"n_neighbors": 0}, "n_neighbors=0"),
        ({"vectors": np.eye(3)}, "divergences, vectors: expected one of both"),
        ({"pictured": [0, 3]}, r"pictured=\[0, 3\]: expected different positions from 0 to 2"),
        ({"pictured": [1, 1]}, r"pictured=\[1, 1\]"),
        ({"n_first": 0}, "n_first=0: expected an integer of at least 1"),
        ({"n_first": 1.5}, "n_first=1.5: expected an integer of at least 1"),
        ({"columns": {"a": [1, 2]}}, "columns: expected 3 values of 'a', .* got 2"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(options, message):
    with pytest.raises(ValueError, match=message):
        html_map(GOOD, list("abc"), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "divergences, vectors: expected one of both"),
        ({"vectors": np.eye(2)}, "labels: expected 2, one for each prompt, got 3"),
        ({"vectors": np.ones(3)}, r"vectors: expected the shape \(n, d\), got \(3,\)"),
        ({"vectors": np.full((3, 2), np.nan)}, "vectors: expected finite values, got NaN"),
        (
            {"vectors": np.eye(3), "standard_errors": GOOD},
            "standard_errors: expected none with vectors",
        ),
    ],
)
def test_vectors_that_cannot_be_shown_are_refused_in_words(options, message):
    with pytest.raises(ValueError, match=message):
        html_map(None, list("abc"), **options)


def test_vectors_are_shown_as_their_squared_distances_would_be():
    """Same neighbours, distances and clusters as of the matrix, where both are exact."""
    points = np.array(
        [[0, 0, 0], [1, 0, 0], [0, 2, 0], [30, 0, 0], [31, 0, 1], [30, 3, 0], [0, 1, 4]]
    )
    divergences, names = squareform(pdist(points) ** 2), list("abcdefg")
    places = points[:, :2]
    pages = [
        html_map(divergences, names, coordinates=places).page,
        html_map(None, names, vectors=points, coordinates=places).page,
    ]
    one, two = map(data_of, pages)
    for part in ("prompts", "neighbors", "measure"):
        assert one[part] == two[part]
    assert one["levels"][0]["of"] == two["levels"][0]["of"]
    assert "principal components" not in pages[0]
    assert "3 principal components, with 100% of the variance" in pages[1]


def test_the_page_of_hundreds_computes_exact_distances_from_vectors():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 400))
    names = [f"thing {i}" for i in range(300)]
    page = html_map(None, names, vectors=vectors, coordinates=vectors[:, :2]).page
    reduced = unpack(data_of(page)["vectors"]).reshape(300, -1)
    np.testing.assert_allclose(pdist(reduced), pdist(vectors), rtol=1e-4)
    assert "with 100% of the variance" in page
    many = Vectors(rng.normal(size=(5000, 80)))
    assert many.reduced.shape == (5000, 64)


def test_without_a_choice_of_the_pictured_representatives_are(monkeypatch):
    vectors, names, options = crowd(60)
    monkeypatch.setattr("conjure_kernel.plot.html.pictures.MANY", 50)
    images = np.zeros((60, 1, 4, 4, 3), "u1")
    monkeypatch.setattr(Vectors, "representatives", lambda self, points: np.array([3, 59]))
    places = options["coordinates"]
    page = html_map(None, names, vectors=vectors, images=images, coordinates=places).page
    assert data_of(page)["pictured"] == [3, 59]
    assert len(data_of(page)["pictures"]) == 2
    assert "2 of the prompts have images" in page
