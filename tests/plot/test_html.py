"""The interactive map: what the file holds, and what a real browser does with it, offline."""

import base64
import io
import json
import re
import shutil
import time

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import pdist, squareform

from conjure_kernel.plot.html import MAX_IMAGE, HtmlMap, _encode, _group, html_map
from conjure_kernel.plot.html.figure import COLOURS
from conjure_kernel.plot.html.sources import Matrix, Vectors

NASTY = "<script>window.hacked = 1</script></script> & \"q\" 'q' {braces}\nline two"
CONTROLS = "red\rcat\0 and \x1b[31mdog"
IMAGE_TAG = '<img src=x onerror="window.hacked = 2">'
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def world(n=9, seed=0):
    """Three far clusters, nasty names among them, images of one colour each."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 2)) + 9 * np.arange(n)[:, None].repeat(2, 1) % 3 * [9, 4]
    divergences = squareform(pdist(points) ** 2)
    names = [f"thing {i}" for i in range(n)]
    names[1], names[2], names[5] = NASTY, IMAGE_TAG, CONTROLS
    shades = np.linspace(0, 255, n).astype(np.uint8)
    images = np.broadcast_to(shades[:, None, None, None, None], (n, 4, 16, 16, 3)).copy()
    return divergences, names, images, divergences / 10


@pytest.fixture(scope="module")
def page():
    divergences, names, images, errors = world()
    return html_map(divergences, names, images=images, standard_errors=errors).page


def test_nothing_is_to_be_loaded_from_elsewhere(page):
    """R53."""
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    sources = re.findall(r"""(?:src|href)=["']([^"']*)""", markup)
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert not re.search(r"@import|url\(", markup)


def test_prompts_are_text_wherever_they_stand(page):
    """R54."""
    assert "window.hacked = 1</script>" not in page
    assert IMAGE_TAG not in page
    assert page.count("&lt;script&gt;window.hacked = 1&lt;/script&gt;") > 1


def test_neighbors_are_the_nearest_with_their_distance_and_error(page):
    divergences, names, *_ = world()
    rows = re.findall(r"<tr data-index.*?</tr>", page, re.S)
    assert len(rows) == len(names)
    found = re.findall(r'<li>(.*?) <span class="number">(.*?)</span>', rows[0], re.S)
    nearest = np.argsort(divergences[0])[1:6]
    assert len(found) == 5
    for (name, distance), j in zip(found, nearest, strict=True):
        root = np.sqrt(divergences[0, j])
        assert name == names[j] or names[j] in (NASTY, IMAGE_TAG, CONTROLS)
        assert distance == f"{root:.2f} ± {divergences[0, j] / 10 / (2 * root):.2f}"


def test_images_are_small_whatever_comes():
    rng = np.random.default_rng(0)
    for side in (16, 32, 512):
        picture = rng.integers(0, 256, size=(side, side, 3), dtype=np.uint8)
        uri = _encode(picture)
        assert len(uri) <= MAX_IMAGE == 8192
        kind, data = re.fullmatch("data:image/(.*);base64,(.*)", uri).groups()
        decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        assert decoded.shape == (min(side, 96), min(side, 96), 3)
        if side == 16:
            assert kind == "png"
            np.testing.assert_array_equal(decoded, picture)


def matrix(divergences):
    return Matrix(divergences, np.full(divergences.shape, np.nan))


def test_clusters_are_found_and_named_by_their_middle():
    kind = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
    points = np.array([0, 1, 2, 9]) * 0.1
    points = np.r_[points, 10 + np.arange(3) * 0.1, 20, 20.1]
    divergences = squareform(pdist(points[:, None]) ** 2)
    groups, medoids = _group(matrix(divergences), 9, None)
    np.testing.assert_array_equal(groups, kind)
    assert medoids[:2] == [2, 5] or medoids[:2] == [1, 5]
    for n in (1, 2, 3):
        assert set(_group(matrix(1 - np.eye(n)), n, None)[0]) == {0}
    np.testing.assert_array_equal(
        _group(matrix(divergences), 9, list("aaaaaabbb"))[0], [0] * 6 + [1] * 3
    )


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
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(options, message):
    with pytest.raises(ValueError, match=message):
        html_map(GOOD, list("abc"), **options)


def test_more_clusters_than_can_be_told_apart_are_refused():
    with pytest.raises(ValueError, match=r"clusters: expected at most 7 different ones, .* got 8"):
        html_map(1 - np.eye(8), list("abcdefgh"), clusters=np.arange(8))


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
    pages = [html_map(divergences, names), html_map(None, names, vectors=points)]
    tables = [re.findall("<tbody>.*</tbody>", page.page, re.S)[0] for page in pages]
    assert tables[0] == tables[1]
    assert "principal components" not in pages[0].page
    assert "3 principal components, with 100% of the variance" in pages[1].page


def crowd(n=2000):
    """Many vectors in three clumps, the names of the nasty world, images of a few."""
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(n, 8)).astype(np.float32) + 12 * np.eye(8)[np.arange(n) % 3]
    names = [f"thing {i}" for i in range(n)]
    names[1], names[2], names[5] = NASTY, IMAGE_TAG, CONTROLS
    pictured = np.arange(5, 25)
    images = rng.integers(0, 256, (20, 1, 16, 16, 3), dtype=np.uint8)
    coordinates = vectors[:, :2].astype(float)
    return vectors, names, {"images": images, "pictured": pictured, "coordinates": coordinates}


def test_without_a_choice_of_the_pictured_representatives_are(monkeypatch):
    vectors, names, _ = crowd(60)
    monkeypatch.setattr("conjure_kernel.plot.html.MANY", 50)
    images = np.zeros((60, 1, 4, 4, 3), "u1")
    monkeypatch.setattr(Vectors, "representatives", lambda self, points: np.array([3, 59]))
    page = html_map(None, names, vectors=vectors, images=images).page
    rows = re.findall(r"<tr data-index.*?</tr>", page, re.S)
    assert [i for i, row in enumerate(rows) if "<img" in row] == [3, 59]
    assert "2 of the prompts are shown by images" in page
    assert [" hidden>" in row for row in rows] == [False] * 50 + [True] * 10


# --------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def driver():
    """Headless Chromium that finds no host."""
    webdriver = pytest.importorskip("selenium.webdriver")
    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium with chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    arguments = ["headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"]
    arguments += ["window-size=1300,1000", "host-resolver-rules=MAP * ~NOTFOUND"]
    for argument in arguments:
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.chrome.service.Service(DRIVER)
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()


def wait_until(browser, script):
    end = time.monotonic() + 20
    while not (found := browser.execute_script(f"return {script}")):
        assert time.monotonic() < end, script
        time.sleep(0.02)
    return found


@pytest.fixture
def opened(driver, page, tmp_path):
    """The page, open and ready."""
    yield from open_page(driver, page, tmp_path)


@pytest.fixture
def opened_crowd(driver, tmp_path):
    """A page of 2,000 vectors, open and ready."""
    vectors, names, options = crowd()
    yield from open_page(driver, html_map(None, names, vectors=vectors, **options).page, tmp_path)


def open_page(driver, page, tmp_path):
    (tmp_path / "map.html").write_text(page, encoding="utf-8")
    for kind in ("browser", "performance"):
        driver.get_log(kind)
    driver.get((tmp_path / "map.html").as_uri())
    wait_until(driver, "document.documentElement.dataset.ready === 'yes'")
    yield driver
    errors = [entry for entry in driver.get_log("browser") if entry["level"] != "INFO"]
    assert errors == []
    assert driver.execute_script("return window.hacked ?? null") is None


AT = """
const points = Bokeh.documents[0].get_model_by_name("points");
const view = Bokeh.index.find_one(Bokeh.documents[0].roots()[0]);
const box = view.el.getBoundingClientRect(), i = arguments[0];
return [box.left + view.frame.x_scale.compute(points.data.x[i]),
        box.top + view.frame.y_scale.compute(points.data.y[i])].map(Math.round);
"""
COLOURS_NOW = "Bokeh.documents[0].get_model_by_name('points').data.colour"
ALPHA_NOW = "Array.from(Bokeh.documents[0].get_model_by_name('art').data.alpha)"


def point_at(browser, index):
    from selenium.webdriver.common.actions.action_builder import ActionBuilder

    action = ActionBuilder(browser)
    action.pointer_action.move_to_location(*browser.execute_script(AT, index))
    return action


def test_it_asks_the_network_for_nothing(opened):
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"].endswith("BeSent")]
    assert asked[0].startswith("file:")
    assert all(url.startswith("data:") for url in asked[1:])


@pytest.mark.parametrize("index", [0, 1, 2])
def test_hover_shows_the_prompt_its_images_and_neighbors(opened, index):
    divergences, names, images, _ = world()
    point_at(opened, index).perform()
    wait_until(opened, "!document.getElementById('card').hidden")
    text = opened.execute_script("return document.querySelector('#card .name').textContent")
    assert text == names[index]
    assert len(opened.find_elements("css selector", "#card img")) == images.shape[1]
    first = opened.execute_script("return document.querySelector('#card li').textContent")
    nearest = np.argsort(divergences[index])[1]
    assert first.startswith(names[nearest][:3])
    assert f"{np.sqrt(divergences[index, nearest]):.2f} ±" in first


def test_a_click_pins_and_colours_the_others_by_distance(opened):
    from conjure_kernel.plot._style import HUES

    divergences, names, *_ = world()
    before = opened.execute_script(f"return {COLOURS_NOW}")
    action = point_at(opened, 4)
    action.pointer_action.click()
    action.perform()
    wait_until(opened, "document.querySelector('tr.pinned')?.dataset.index === '4'")
    panel = opened.find_element("id", "panel").text
    assert panel.startswith(names[4])
    colours = opened.execute_script(f"return {COLOURS_NOW}")
    others = np.delete(np.arange(len(names)), 4)
    rank = [HUES.split().index(colours[i]) for i in others[np.argsort(divergences[4, others])]]
    assert rank == sorted(rank)
    assert (rank[0], rank[-1]) == (0, 8)
    opened.find_element("id", "unpin").click()
    assert opened.execute_script(f"return {COLOURS_NOW}") == before


def test_search_dims_what_does_not_match(opened):
    box = opened.find_element("id", "search")
    for text in ("RED  cat and", "red\u240dcat\u2400 and \u241b[31mdog"):
        box.send_keys(text)
        assert opened.execute_script(f"return {ALPHA_NOW}") == [0.12] * 5 + [1] + [0.12] * 3
        assert opened.find_element("id", "hits").text == "1 of 9 prompts"
        box.clear()
    box.send_keys("thing 3")
    assert opened.execute_script(f"return {ALPHA_NOW}") == [0.12] * 3 + [1] + [0.12] * 5
    assert opened.find_element("id", "hits").text == "1 of 9 prompts"
    rows = opened.find_elements("css selector", "tbody tr")
    assert [row.is_displayed() for row in rows] == [i == 3 for i in range(9)]
    box.clear()
    box.send_keys("<script>")
    assert opened.find_element("id", "hits").text == "1 of 9 prompts"


def test_the_table_pins_by_keyboard(opened):
    button = opened.find_elements("css selector", ".prompt")[5]
    opened.execute_script("arguments[0].focus()", button)
    button.send_keys("\ue007")  # Enter
    wait_until(opened, "document.querySelector('tr.pinned')?.dataset.index === '5'")
    assert button.get_attribute("aria-pressed") == "true"
    images = opened.find_elements("css selector", "tbody img")
    assert all(image.get_attribute("alt").startswith("Image ") for image in images)


def test_dark_and_light(opened):
    ground = "getComputedStyle(document.body).backgroundColor"
    before = opened.execute_script(f"return {ground}")
    opened.find_element("id", "theme").click()
    after = opened.execute_script(f"return {ground}")
    assert {before, after} == {"rgb(255, 255, 255)", "rgb(23, 23, 28)"}


def test_many_are_dots_and_a_click_colours_them_by_the_distance_of_their_vectors(opened_crowd):
    from conjure_kernel.plot._style import HUES

    test_it_asks_the_network_for_nothing(opened_crowd)
    vectors, names, options = crowd()
    sizes = opened_crowd.execute_script(
        "return Array.from(Bokeh.documents[0].get_model_by_name('points').data.size)"
    )
    assert set(np.flatnonzero(np.array(sizes) > min(sizes))) == set(options["pictured"])
    action = point_at(opened_crowd, 7)  # a picture, with dots under it
    action.pointer_action.click()
    action.perform()
    wait_until(opened_crowd, "document.querySelector('tr.pinned')?.dataset.index === '7'")
    assert opened_crowd.find_element("id", "panel").text.startswith(names[7])
    colours = opened_crowd.execute_script(f"return {COLOURS_NOW}")
    away = np.sqrt(((vectors - vectors[7]) ** 2).sum(1))
    others = np.delete(np.arange(len(names)), 7)
    share = (away[others] - away[others].min()) / np.ptp(away[others])
    wanted = [HUES.split()[round(8 * s)] for s in share]
    assert np.mean([colours[i] == hue for i, hue in zip(others, wanted, strict=True)]) > 0.999


LABELS = """
const find = (name) => Bokeh.documents[0].get_model_by_name(name).data;
const {x_scale, y_scale, bbox} = Bokeh.index.find_one(Bokeh.documents[0].roots()[0]).frame;
const pen = document.createElement("canvas").getContext("2d");
pen.font = "11px Arial, Helvetica, sans-serif";
const box = (data, i, dx, dy, width, height) => {
  const [x, y] = [x_scale.compute(data.x[i]) + dx, y_scale.compute(data.y[i]) + dy];
  return [x - width / 2, y - height / 2, x + width / 2, y + height / 2];
};
const [art, points] = [find("art"), find("points")];
const labels = Array.from(art.label, (label, i) =>
  label && box(art, i, art.dx[i], art.dy[i], pen.measureText(label).width, 10));
const markers = Array.from(points.size, (size, i) => box(points, i, 0, 0, size - 2, size - 2));
return [labels.filter(Boolean), markers, [bbox.left, bbox.top, bbox.right, bbox.bottom]];
"""


def overlap(boxes, others):
    """Tell which of the boxes share an area with which of the others."""
    apart = (boxes[:, None, :2] >= others[:, 2:]) | (boxes[:, None, 2:] <= others[:, :2])
    return ~apart.any(-1)


@pytest.mark.parametrize(("n", "least"), [(8, 8), (64, 12), (500, 8), (2000, 2)])
def test_placed_labels_cover_neither_each_other_nor_markers_nor_the_frame(
    driver, tmp_path, n, least
):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(n, 2)) + 5 * rng.normal(size=(4, 2))[rng.integers(4, size=n)]
    if n == 8:  # a grid: every label must find room
        points = np.indices((4, 2)).reshape(2, 8).T
    names = [f"prompt {i} of a handful of things" if i % 3 else f"thing {i}" for i in range(n)]
    few = np.arange(min(n, 500) if n < 2000 else 40)
    options = {"images": np.zeros((len(few), 1, 4, 4, 3), "u1"), "pictured": few}
    page = html_map(None, names, vectors=points, coordinates=points, **options).page
    for browser in open_page(driver, page, tmp_path):
        labels, markers, frame = (np.array(boxes) for boxes in browser.execute_script(LABELS))
    assert least <= len(labels) <= n
    assert not np.triu(overlap(labels, labels), 1).any()
    assert not overlap(labels, markers).any()
    for boxes, room in ((labels, 0), (markers[few], 8)):  # at its corner an image has its shape
        assert (boxes[:, :2] >= frame[:2] + room).all()
        assert (boxes[:, 2:] <= frame[2:] - room).all()


def test_the_table_of_many_shows_what_is_searched_for(opened_crowd):
    rows = "Array.from(document.querySelectorAll('tbody tr:not([hidden])'), r => r.dataset.index)"
    assert len(opened_crowd.execute_script(f"return {rows}")) == 1000
    opened_crowd.find_element("id", "search").send_keys("thing 1999")
    assert opened_crowd.execute_script(f"return {rows}") == ["1999"]
    assert opened_crowd.find_element("id", "hits").text == "1 of 2000 prompts"
