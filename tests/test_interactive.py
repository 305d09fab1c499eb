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

from conjure_kernel.interactive import MAX_IMAGE, HtmlMap, _encode, _group, html_map
from conjure_kernel.interactive.figure import COLOURS

pytest.importorskip("bokeh")
NASTY = "<script>window.hacked = 1</script></script> & \"q\" 'q' {braces}\nline two"
IMAGE_TAG = '<img src=x onerror="window.hacked = 2">'
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def world(n=9, seed=0):
    """Three far clusters, nasty names among them, images of one colour each."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 2)) + 9 * np.arange(n)[:, None].repeat(2, 1) % 3 * [9, 4]
    divergences = squareform(pdist(points) ** 2)
    names = [f"thing {i}" for i in range(n)]
    names[1], names[2] = NASTY, IMAGE_TAG
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


def test_neighbours_are_the_nearest_with_their_distance_and_error(page):
    divergences, names, *_ = world()
    rows = re.findall(r"<tr data-index.*?</tr>", page, re.S)
    assert len(rows) == len(names)
    found = re.findall(r'<li>(.*?) <span class="number">(.*?)</span>', rows[0], re.S)
    nearest = np.argsort(divergences[0])[1:6]
    assert len(found) == 5
    for (name, distance), j in zip(found, nearest, strict=True):
        root = np.sqrt(divergences[0, j])
        assert name == names[j] or names[j] in (NASTY, IMAGE_TAG)
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


def test_clusters_are_found_and_named_by_their_middle():
    kind = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
    points = np.array([0, 1, 2, 9]) * 0.1
    points = np.r_[points, 10 + np.arange(3) * 0.1, 20, 20.1]
    divergences = squareform(pdist(points[:, None]) ** 2)
    groups, medoids = _group(divergences, None)
    np.testing.assert_array_equal(groups, kind)
    assert medoids[:2] == [2, 5] or medoids[:2] == [1, 5]
    for n in (1, 2, 3):
        assert set(_group(1 - np.eye(n), None)[0]) == {0}
    np.testing.assert_array_equal(_group(divergences, list("aaaaaabbb"))[0], [0] * 6 + [1] * 3)


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
        ({"images": np.ones((3, 4, 4, 3), "u1")}, r"images: uint8 \(3, 4, 4, 3\) came"),
        ({"images": np.ones((2, 1, 4, 4, 3), "u1")}, r"uint8 \(3, n_images, height, width, 3\)"),
        ({"clusters": np.zeros(2)}, r"clusters: shape \(2,\) came"),
        ({"coordinates": np.zeros((2, 2))}, r"coordinates: shape \(2, 2\) came"),
        ({"n_neighbors": 0}, "n_neighbors=0"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(options, message):
    with pytest.raises(ValueError, match=message):
        html_map(GOOD, list("abc"), **options)


def test_more_clusters_than_can_be_told_apart_are_refused():
    with pytest.raises(ValueError, match="clusters: 8 came, 7 can be told apart"):
        html_map(1 - np.eye(8), list("abcdefgh"), clusters=np.arange(8))


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
def test_hover_shows_the_prompt_its_images_and_neighbours(opened, index):
    divergences, names, images, _ = world()
    point_at(opened, index).perform()
    wait_until(opened, "!document.getElementById('card').hidden")
    text = opened.execute_script("return document.querySelector('#card .name').textContent")
    assert text == names[index]
    assert len(opened.find_elements("css selector", "#card img")) == images.shape[1]
    first = opened.execute_script("return document.querySelector('#card li').textContent")
    nearest = np.argsort(divergences[index])[1]
    assert first.startswith(names[nearest])
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
    box.send_keys("thing 3")
    assert opened.execute_script(f"return {ALPHA_NOW}") == [0.12] * 3 + [1] + [0.12] * 5
    assert opened.find_element("id", "found").text == "1 of 9 prompts"
    rows = opened.find_elements("css selector", "tbody tr")
    assert [row.is_displayed() for row in rows] == [i == 3 for i in range(9)]
    box.clear()
    box.send_keys("<script>")
    assert opened.find_element("id", "found").text == "1 of 9 prompts"


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
