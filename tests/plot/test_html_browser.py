"""What a real browser does with an interactive map, offline."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import pages
from conjure_kernel.estimators.clusters import Clusters
from conjure_kernel.plot._style import HUES
from conjure_kernel.plot.html import HtmlMap, html_map
from pages import CONTROLS, NASTY, crowd, open_page, show_as, start_browser, wait_until, world

ENTER, UP, DOWN, ESCAPE, TAB = "\ue007", "\ue013", "\ue015", "\ue00c", "\ue004"


@pytest.fixture(scope="module")
def driver():
    browser = start_browser()
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def page():
    divergences, names, images, errors = world()
    columns = {"weight": [*range(8), None], "theme": ["a", "b", "a"] * 3}
    more = {"columns": columns, "clusters": np.arange(9) % 3}
    return html_map(divergences, names, images=images, standard_errors=errors, **more).page


@pytest.fixture
def opened(driver, page, tmp_path):
    """The page, open and ready."""
    show_as(driver)
    yield from open_page(driver, page, tmp_path)


@pytest.fixture(scope="module")
def crowded():
    vectors, names, options = crowd()
    return html_map(None, names, vectors=vectors, **options).page


@pytest.fixture
def opened_crowd(driver, crowded, tmp_path):
    """A page of 2,000 vectors, open and ready."""
    show_as(driver)
    yield from open_page(driver, crowded, tmp_path)


def ask(browser, script, *arguments):
    return browser.execute_script(f"return {script}", *arguments)


def state(browser, name):
    value = f"conjure.state.{name}"
    return ask(browser, f"{value} instanceof Set ? [...{value}] : {value}")


def place(browser, index):
    """Where a prompt is, in the window."""
    script = """(() => {
      window.scrollTo(0, 0);
      const box = document.getElementById('canvas').getBoundingClientRect();
      const [x, y] = conjure.at(arguments[0]);
      return [box.left + x, box.top + y].map(Math.round);
    })()"""
    return ask(browser, script.replace("arguments[0]", str(index)))


def mouse(browser):
    from selenium.webdriver.common.actions.action_builder import ActionBuilder

    return ActionBuilder(browser)


def point_at(browser, index):
    action = mouse(browser)
    action.pointer_action.move_to_location(*place(browser, index))
    return action


def click(browser, index):
    action = point_at(browser, index)
    action.pointer_action.click()
    action.perform()


def press(browser, key, selector):
    node = browser.find_element("css selector", selector)
    browser.execute_script("arguments[0].focus()", node)
    node.send_keys(key)


def test_it_asks_the_network_for_nothing(opened):
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"].endswith("BeSent")]
    pages = [url for url in asked if not url.startswith("data:")]
    assert all(url.startswith("file:") for url in pages)
    assert len(pages) == 1


@pytest.mark.parametrize("index", [0, 1, 2])
def test_hover_shows_the_prompt_its_images_and_neighbors(opened, index):
    divergences, names, images, _ = world()
    point_at(opened, index).perform()
    wait_until(opened, "!document.getElementById('card').hidden")
    assert ask(opened, "document.querySelector('#card .name').textContent") == names[index]
    assert len(opened.find_elements("css selector", "#card .pictures img")) == images.shape[1]
    first = ask(opened, "document.querySelector('#card li').textContent")
    nearest = np.argsort(divergences[index])[1]
    assert first.startswith(names[nearest][:3])
    assert f"{np.sqrt(divergences[index, nearest]):.2f} ±" in first


def test_a_click_pins_and_colours_the_others_by_distance(opened):
    divergences, names, *_ = world()
    before = ask(opened, "conjure.colours()")
    click(opened, 4)
    wait_until(opened, "document.querySelector('tr.pinned')?.dataset.index === '4'")
    panel = opened.find_element("id", "panel").text
    assert panel.startswith(names[4])
    assert "Nearest prompts, √J" in panel
    colours = ask(opened, "conjure.colours()")
    others = np.delete(np.arange(len(names)), 4)
    rank = [HUES.split().index(colours[i]) for i in others[np.argsort(divergences[4, others])]]
    assert rank == sorted(rank)
    assert (rank[0], rank[-1]) == (0, 8)
    opened.find_element("id", "unpin").click()
    assert ask(opened, "conjure.colours()") == before
    click(opened, 4)
    click(opened, 4)  # a second click unpins, as Escape does
    assert state(opened, "pinned") is None
    click(opened, 3)
    press(opened, ESCAPE, "#canvas")
    assert state(opened, "pinned") is None


def test_search_finds_prompts_as_they_are_shown(opened):
    box = opened.find_element("id", "search")
    for text, hits in {
        "RED  cat and": [5],
        "red\u240dcat\u2400 and \u241b[31mdog": [5],
        "thing 3": [3],
        "<script>": [1],
        "no such": [],
    }.items():
        box.clear()
        box.send_keys(text)
        assert state(opened, "hits") == hits
        assert opened.find_element("id", "hits").text == f"{len(hits)} of 9 prompts"
        rows = "Array.from(document.querySelectorAll('tbody tr'), (row) => +row.dataset.index)"
        assert ask(opened, rows) == hits
    box.clear()
    box.send_keys(" ")
    assert state(opened, "hits") is None
    assert opened.find_element("id", "hits").text == ""


def shade(browser, index):
    """How opaque a prompt is drawn."""
    script = """
    conjure.zoomTo(1);
    const [pen, at] = [document.createElement('canvas').getContext('2d'), conjure.at(arguments[0])];
    pen.drawImage(document.getElementById('canvas'), ...at.map(Math.round), 1, 1, 0, 0, 1, 1);
    return pen.getImageData(0, 0, 1, 1).data[3];
    """
    return browser.execute_script(script, index)


def test_search_dims_what_does_not_match(opened):
    assert [shade(opened, i) for i in (3, 4)] == [255, 255]
    opened.find_element("id", "search").send_keys("thing 3")
    assert shade(opened, 3) == 255
    assert shade(opened, 4) < 80


def test_search_flies_to_its_hits_and_keys_go_through_them(opened_crowd):
    box = opened_crowd.find_element("id", "search")
    box.send_keys("thing 1999")
    wait_until(opened_crowd, "conjure.zoom() > 2")
    middle = np.array(ask(opened_crowd, "conjure.frame()")) / 2
    np.testing.assert_allclose(ask(opened_crowd, "conjure.at(1999)"), middle, atol=1)
    box.clear()
    box.send_keys("thing 123")
    hits = [123, *range(1230, 1240)]
    assert state(opened_crowd, "hits") == hits
    seen = "conjure.state.hits.every((i) => conjure.drawn().spots.includes(i))"
    wait_until(opened_crowd, seen)
    said = []
    for key in (ENTER, DOWN, UP, UP):
        box.send_keys(key)
        said.append(state(opened_crowd, "pinned"))
    assert said == [123, 1230, 123, 1239]
    assert opened_crowd.find_element("id", "hits").text == "11 of 11: thing 1239"
    np.testing.assert_allclose(ask(opened_crowd, "conjure.at(1239)"), middle, atol=1)
    assert ask(opened_crowd, "conjure.drawn().labels.some(({text}) => text === 'thing 1239')")


def test_the_table_pins_by_keyboard(opened):
    press(opened, ENTER, "tbody tr:nth-child(6) .prompt")
    wait_until(opened, "document.querySelector('tr.pinned')?.dataset.index === '5'")
    button = opened.find_element("css selector", "tr.pinned .prompt")
    assert button.get_attribute("aria-pressed") == "true"
    images = opened.find_elements("css selector", "tbody img")
    assert len(images) == 9 * 4
    assert all(image.get_attribute("alt").startswith("Image ") for image in images)


def test_the_map_is_moved_by_keyboard(opened):
    before = ask(opened, "conjure.at(0)")
    press(opened, "+", "#canvas")
    wait_until(opened, "!document.getElementById('minimap').hidden")
    nearer = ask(opened, "conjure.at(0)")
    press(opened, "\ue012", "#canvas")  # left
    np.testing.assert_allclose(
        np.subtract(ask(opened, "conjure.at(0)"), nearer), [60, 0], atol=1e-6
    )
    press(opened, "0", "#canvas")
    np.testing.assert_allclose(ask(opened, "conjure.at(0)"), before)
    wait_until(opened, "document.getElementById('minimap').hidden")


def test_dark_and_light(opened):
    ground = "getComputedStyle(document.body).backgroundColor"
    assert ask(opened, ground) == "rgb(255, 255, 255)"
    opened.find_element("id", "theme").click()
    assert ask(opened, ground) == "rgb(23, 23, 28)"
    show_as(opened, dark=True)
    opened.refresh()
    wait_until(opened, "document.documentElement.dataset.ready === 'yes'")
    assert ask(opened, ground) == "rgb(23, 23, 28)"


def test_many_are_dots_and_a_click_colours_them_by_the_distance_of_their_vectors(opened_crowd):
    test_it_asks_the_network_for_nothing(opened_crowd)
    vectors, names, options = crowd()
    opened_crowd.execute_script("conjure.zoomTo(8, 7)")
    assert set(ask(opened_crowd, "[...conjure.drawn().pictures]")) <= set(options["pictured"])
    click(opened_crowd, 7)  # a picture, with dots under it
    wait_until(opened_crowd, "document.querySelector('tr.pinned')?.dataset.index === '7'")
    assert opened_crowd.find_element("id", "panel").text.startswith(names[7])
    colours = ask(opened_crowd, "conjure.colours()")
    away = np.sqrt(((vectors - vectors[7]) ** 2).sum(1))
    others = np.delete(np.arange(len(names)), 7)
    share = (away[others] - away[others].min()) / np.ptp(away[others])
    wanted = [HUES.split()[round(8 * s)] for s in share]
    assert np.mean([colours[i] == hue for i, hue in zip(others, wanted, strict=True)]) > 0.999


def test_the_table_of_many_comes_in_pieces(opened_crowd):
    rows = "Array.from(document.querySelectorAll('tbody tr'), (row) => +row.dataset.index)"
    assert ask(opened_crowd, rows) == list(range(100))
    press(opened_crowd, ENTER, "#more")
    assert ask(opened_crowd, rows) == list(range(200))
    assert ask(opened_crowd, "document.activeElement.textContent") == "thing 100"
    assert opened_crowd.find_element("id", "more").text == "Show 100 more of 1,800"
    opened_crowd.find_element("id", "search").send_keys("thing 1999")
    assert ask(opened_crowd, rows) == [1999]
    assert not opened_crowd.find_element("id", "more").is_displayed()


def test_a_frame_in_a_notebook_works_as_well(driver, page, tmp_path):
    show_as(driver)
    driver.get_log("browser")
    (tmp_path / "notebook.html").write_text(HtmlMap(page)._repr_html_(), encoding="utf-8")
    driver.get((tmp_path / "notebook.html").as_uri())
    driver.switch_to.frame(0)
    wait_until(driver, "document.documentElement.dataset.ready === 'yes'")
    press(driver, ENTER, "tbody tr:nth-child(4) .prompt")
    assert state(driver, "pinned") == 3
    driver.switch_to.default_content()
    assert [entry for entry in driver.get_log("browser") if entry["level"] != "INFO"] == []


# ----------------------------------------------------------------------------------------- labels

BOXES = """
const { labels, clusters, pictures, spots, side, radius } = conjure.drawn();
const markers = spots.map((i) => {
  const [[x, y], reach] = [conjure.at(i), pictures.has(i) ? side / 2 : radius];
  return [x - reach, y - reach, x + reach, y + reach, pictures.has(i)];
});
return [labels.map(({ box }) => box), clusters.map(({ box }) => box), markers, conjure.frame()];
"""


def overlap(boxes, others):
    """Tell which of the boxes share an area with which of the others."""
    apart = (boxes[:, None, :2] >= others[:, 2:4] - 0.1) | (
        boxes[:, None, 2:4] <= others[:, :2] + 0.1
    )
    return ~apart.any(-1)


@cache
def scatter(n):
    """A page of n prompts in four clumps, with named clusters at two levels."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(4, size=n) if n > 8 else np.arange(n) % 2
    points = rng.normal(size=(n, 2)) + 5 * rng.normal(size=(4, 2))[kinds]
    names = [f"prompt {i} of a handful of things" if i % 3 else f"thing {i}" for i in range(n)]
    fine = 2 * kinds + (np.arange(n) % 5 > 2)
    called = [[f"things of the kind {k}" for k in range(m)] for m in (4, 8)]
    typical = [[(0, 1, 2)] * m for m in (4, 8)]
    few = np.arange(min(n, 500) if n < 2000 else 40)
    options = {"images": np.zeros((len(few), 1, 4, 4, 3), "u1"), "pictured": few}
    options["clusters"] = Clusters((kinds, fine), (*map(tuple, called),), (*map(tuple, typical),))
    return html_map(None, names, vectors=points, coordinates=points, **options).page


@pytest.mark.parametrize(("n", "least"), [(8, 8), (64, 15), (500, 4), (2000, 4)])
def test_labels_cover_neither_each_other_nor_markers_nor_the_frame(driver, tmp_path, n, least):
    show_as(driver)
    for browser in open_page(driver, scatter(n), tmp_path):
        for k in (1, 2, 5):
            browser.execute_script(f"conjure.zoomTo({k}, {3 if k > 1 else 'null'})")
            labels, clusters, markers, size = map(np.array, browser.execute_script(BOXES))
            assert len(labels) >= (least if k == 1 else 1)
            names = np.vstack([labels, *(clusters[:, None] if len(clusters) else [])])
            assert not np.triu(overlap(names, names), 1).any()
            assert not overlap(labels, markers).any()
            assert (names[:, :2] >= 0).all()
            assert (names[:, 2:] <= size).all()
            pictures = markers[markers[:, 4] > 0]
            assert not np.triu(overlap(pictures, pictures), 1).any()


def test_names_of_clusters_give_way_to_finer_ones_and_to_prompts(driver, tmp_path):
    show_as(driver)
    for browser in open_page(driver, scatter(500), tmp_path):
        seen = []
        for k in (1, 1.9, 6):
            browser.execute_script("conjure.zoomTo(arguments[0])", k)
            drawn = "(({ level, clusters, labels, spots }) => "
            drawn += "[level, clusters.length, labels.length / spots.length])"
            seen.append(ask(browser, f"{drawn}(conjure.drawn())"))
        far, middle, near = seen
        assert far[:2] == [0, 4]
        assert middle[0] == 1
        assert 1 <= middle[1] <= 8
        assert near[1] == 0
        assert near[2] > 2 * far[2]


def test_a_click_on_the_name_of_a_cluster_shows_it(driver, tmp_path):
    show_as(driver)
    for browser in open_page(driver, scatter(500), tmp_path):
        box = ask(browser, "conjure.drawn().clusters[1].box")
        canvas = browser.find_element("id", "canvas").rect
        action = mouse(browser)
        action.pointer_action.move_to_location(
            round(canvas["x"] + (box[0] + box[2]) / 2), round(canvas["y"] + (box[1] + box[3]) / 2)
        )
        action.pointer_action.click()
        action.perform()
        wait_until(browser, "conjure.drawn().spots.length < 500")
        assert state(browser, "pinned") is None


def test_a_zoom_step_among_2000_prompts_is_fast(driver, tmp_path):
    show_as(driver)
    script = """
    const done = arguments[0], times = [];
    const options = {willReadFrequently: true};
    const pen = document.createElement('canvas').getContext('2d', options);
    const step = (k) => {
      if (times.length === 15) return done(times.sort((a, b) => a - b)[7]);
      const begun = performance.now();
      conjure.zoomTo(k);
      pen.drawImage(document.getElementById('canvas'), 0, 0, 1, 1, 0, 0, 1, 1);
      pen.getImageData(0, 0, 1, 1); // waits until all is drawn
      times.push(performance.now() - begun);
      requestAnimationFrame(() => step(k * 1.2));
    };
    step(1);
    """
    for browser in open_page(driver, scatter(2000), tmp_path):
        assert browser.execute_async_script(script) < 200


# -------------------------------------------------------------- selection, colours and the address


def lasso_around(browser, indices, key=None):
    corners = np.array([place(browser, i) for i in indices])
    (left, top), (right, bottom) = corners.min(0) - 30, corners.max(0) + 30
    action = mouse(browser)
    pointer = action.pointer_action
    pointer.move_to_location(int(left), int(top))
    pointer.pointer_down()
    for x, y in [(right, top), (right, bottom), (left, bottom)]:
        pointer.move_to_location(int(x), int(y))
    pointer.pointer_up()
    action.perform()


def test_a_lasso_selects_and_the_selection_is_exported(opened, tmp_path):
    opened.find_element("id", "lasso").click()
    before = ask(opened, "conjure.at(0)")
    lasso_around(opened, [1])
    assert state(opened, "selected") == [1]
    assert state(opened, "pinned") is None
    assert ask(opened, "conjure.at(0)") == before  # the map stayed
    assert opened.find_element("id", "said").text == "1 selected"
    assert opened.find_element("id", "lasso").get_attribute("aria-pressed") == "false"
    opened.find_element("css selector", "tbody tr:nth-child(6) input").click()
    assert state(opened, "selected") == [1, 5]
    click(opened, 0)
    lines = ask(opened, "conjure.toCsv()").split("\r\n")
    assert lines[0] == "prompt,cluster,weight,theme,distance from thing 0"
    quoted = NASTY.replace('"', '""')
    divergences, *_ = world()
    start, _, away = lines[1].rpartition(",")
    assert start.startswith(f'"{quoted}",like ')
    assert start.endswith(",1,b")
    assert float(away) == pytest.approx(np.sqrt(divergences[0, 1]), rel=1e-6)
    opened.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    opened.find_element("id", "download").click()
    path = tmp_path / "selected_prompts.csv"
    for _ in range(200):
        if path.exists():
            break
        wait_until(opened, "new Promise((done) => setTimeout(() => done(true), 20))")
    assert path.read_bytes().decode("utf-8-sig") == "\r\n".join(lines)


def test_small_distances_have_two_digits(driver, tmp_path):
    page = html_map(1e-5 * (1 - np.eye(3)), list("abc")).page
    for _ in open_page(driver, page, tmp_path):
        assert "b 0.0032" in " ".join(driver.find_element("css selector", "tbody tr").text.split())


def test_the_legend_invents_no_scale_and_says_where_colours_repeat(driver, tmp_path):
    columns = {"empty": [np.nan] * 30, "many": [f"k{i}" for i in range(30)]}
    page = html_map(1 - np.eye(30), [f"p{i}" for i in range(30)], columns=columns).page
    for address, end in (("#colour=column-0", "none 30"), ("#colour=column-1", "colours repeat")):
        for _ in open_page(driver, page, tmp_path, address):
            assert end in driver.find_element("id", "legend").text


def test_a_spreadsheet_runs_no_prompt_of_the_export(driver, tmp_path):
    names, weights = ["=1+1", "@a", "b"], {"weight": [-1, 2, 3]}
    for _ in open_page(driver, html_map(1 - np.eye(3), names, columns=weights).page, tmp_path):
        driver.find_element("css selector", "tbody tr:nth-child(1) input").click()
        driver.find_element("css selector", "tbody tr:nth-child(2) input").click()
        _, *lines = ask(driver, "conjure.toCsv()").strip().split("\r\n")
        assert [line[:4] for line in lines] == ["'=1+", "'@a,"]
        assert lines[0].endswith(",-1")  # a number is none


def test_selected_prompts_are_copied_as_text(opened):
    allowed = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    opened.execute_cdp_cmd("Browser.grantPermissions", allowed)
    for row in (3, 4):
        opened.find_element("css selector", f"tbody tr:nth-child({row + 1}) input").click()
    opened.find_element("id", "copy").click()
    wait_until(opened, "document.getElementById('said').textContent === '2 prompts copied'")
    assert ask(opened, "navigator.clipboard.readText()") == "thing 3\nthing 4"
    opened.find_element("id", "clear").click()
    assert state(opened, "selected") == []
    assert not opened.find_element("id", "copy").is_displayed()


def test_a_name_in_the_legend_selects_its_cluster(opened):
    opened.find_elements("css selector", "#legend button")[1].click()
    of = ask(opened, "JSON.parse(document.getElementById('data').textContent).levels[0].of")
    assert state(opened, "selected") == [i for i, cluster in enumerate(of) if cluster == 1]


def choose_colour(browser, name):
    from selenium.webdriver.support.select import Select

    Select(browser.find_element("id", "colour")).select_by_visible_text(name)


def test_columns_colour_the_prompts_with_a_legend(opened):
    names = ask(opened, "Array.from(document.getElementById('colour').options, (o) => o.text)")
    assert names == ["clusters", "distance from the pinned prompt", "weight", "theme"]
    choose_colour(opened, "weight")
    colours, hues = ask(opened, "conjure.colours()"), HUES.split()
    assert (colours[0], colours[7], colours[8]) == (hues[0], hues[8], "#85858f")
    assert opened.find_element("id", "legend").text.split() == ["0", "7"]
    choose_colour(opened, "theme")
    assert ask(opened, "conjure.colours()") == [*["#0072b2", "#d55e00", "#0072b2"] * 3]
    click(opened, 0)
    assert state(opened, "colour") == "distance"
    press(opened, ESCAPE, "#canvas")
    assert state(opened, "colour") == "column-1"


def test_a_link_shows_the_same_again(opened, driver, page, tmp_path):
    click(opened, 3)
    opened.find_element("css selector", "tbody tr:nth-child(7) input").click()
    opened.find_element("id", "search").send_keys("thing 3")
    wait_until(opened, "/view=.*search=thing/.test(location.hash)")
    choose_colour(opened, "weight")
    opened.execute_script("conjure.zoomTo(2.5, 3)")
    wait_until(opened, "/view=2\\.5.*colour=column-0/.test(location.hash)")
    address = ask(opened, "location.hash")
    seen = "((s) => [conjure.at(0), conjure.at(8), s.pinned, s.query, s.colour])(conjure.state)"
    before, selected = ask(opened, seen), state(opened, "selected")
    for browser in open_page(driver, page, tmp_path, address):
        after = ask(browser, seen)
        np.testing.assert_allclose(after[:2], before[:2], atol=0.1)
        assert after[2:] == before[2:] == [3, "thing 3", "column-0"]
        assert state(browser, "selected") == selected == [6]


@pytest.mark.parametrize(
    "address",
    [
        "#pin=99&selected=5-1e9.x&colour=column-7&view=nan",
        "#%E0%A4%A&pin=-1&view=1,2",
        "#view=1e99,0,0",
        "#view=5,1e308,-1e308",
    ],
)
def test_a_broken_address_is_the_page_as_it_is(driver, page, tmp_path, address):
    show_as(driver)
    for browser in open_page(driver, page, tmp_path, address):
        assert state(browser, "pinned") is None
        assert state(browser, "colour") == "level-0"
        assert set(state(browser, "selected")) <= set(range(5, 9))
        assert ask(browser, "conjure.zoom()") == 1


# ----------------------------------------------------------------------- screens and screen readers


def touch(browser, kind, *spots):
    points = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(spots)]
    browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_a_phone_shows_pans_and_pinches(driver, page, tmp_path):
    show_as(driver, 390, 844)
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        for browser in open_page(driver, page, tmp_path):
            assert ask(browser, "document.documentElement.scrollWidth") <= 390
            assert ask(browser, "getComputedStyle(canvas).touchAction") == "none"
            panel, canvas = (browser.find_element("id", name).rect for name in ("panel", "canvas"))
            assert panel["y"] >= canvas["y"] + canvas["height"]
            x, y = place(browser, 4)
            before = ask(browser, "conjure.at(4)")
            touch(browser, "touchStart", (x, y))
            for step in (10, 20, 30):
                touch(browser, "touchMove", (x - step, y + step))
            touch(browser, "touchEnd")
            moved = np.subtract(ask(browser, "conjure.at(4)"), before)
            assert moved == pytest.approx([-30, 30], abs=2)
            touch(browser, "touchStart", (150, y), (250, y))
            for step in (10, 30, 50):
                touch(browser, "touchMove", (150 - step, y), (250 + step, y))
            touch(browser, "touchEnd")
            wait_until(browser, "Math.abs(conjure.zoom() - 2) < 0.05")
    finally:
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_a_tall_screen_turns_a_wide_map(driver, tmp_path):
    points = np.array([[0.0, 0], [10, 0], [0, 1], [10, 1]])
    page = html_map(None, list("abcd"), vectors=points, coordinates=points).page
    for width, axis in ((1300, 0), (390, 1)):
        show_as(driver, width, 844)
        for browser in open_page(driver, page, tmp_path):
            way = np.abs(np.subtract(*(ask(browser, f"conjure.at({i})") for i in (1, 0))))
            assert way.argmax() == axis
            assert way.max() > 250


AXE = Path(pages.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
LEVELS = ("minor", "moderate", "serious", "critical")


@pytest.mark.parametrize("width", [1300, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_screen_readers_and_keyboards_find_no_obstacle(driver, page, tmp_path, width, dark):
    show_as(driver, width, 844, dark)
    busy = "#pin=3&selected=1-6&search=thing"
    for address in ("", busy, "#colour=column-1"):
        for browser in open_page(driver, page, tmp_path, address):
            browser.execute_script(AXE)
            script = "const done = arguments[0]; axe.run().then(({violations}) => done(violations))"
            found = browser.execute_async_script(script)
            worse = [(v["id"], v["impact"], [n["html"] for n in v["nodes"]][:3]) for v in found]
            assert [v for v in worse if LEVELS.index(v[1]) > 0] == []


def test_what_has_the_focus_is_seen(opened):
    press(opened, TAB, "#search")
    style = "getComputedStyle(document.activeElement)"
    assert ask(opened, f"{style}.outlineStyle") == "solid"
    assert ask(opened, f"{style}.outlineWidth") == "3px"
    for name in ("hits", "panel"):
        assert opened.find_element("id", name).get_attribute("aria-live") == "polite"
    assert opened.find_element("id", "said").get_attribute("role") == "status"


def test_hostile_prompts_are_text_in_every_part_of_the_page(driver, tmp_path):
    divergences, names, images, _ = world()
    title, columns = names[1], {names[2]: [names[1], names[2], *"abcdefg"]}
    page = html_map(divergences, names, images=images, title=title, columns=columns).page
    show_as(driver)
    shown = CONTROLS.replace("\r", "\u240d").replace("\0", "\u2400").replace("\x1b", "\u241b")
    for browser in open_page(driver, page, tmp_path, "#colour=column-0"):
        assert ask(browser, "document.querySelector('h1').textContent") == title
        for i, name in ((1, names[1]), (2, names[2]), (5, shown)):
            click(browser, i)
            assert ask(browser, "document.querySelector('#panel .name').textContent") == name
        assert ask(browser, "document.querySelectorAll('main script, table script').length") == 0
