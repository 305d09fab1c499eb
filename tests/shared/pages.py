"""Pages of `html_map` to try, and a browser that opens them without a network."""

import shutil
import time

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

NASTY = "<script>window.hacked = 1</script></script> & \"q\" 'q' {braces}\nline two"
CONTROLS = "red\rcat\0 and \x1b[31mdog \u2028"
IMAGE_TAG = '<img src=x onerror="window.hacked = 2">'


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


def crowd(n=2000):
    """Many vectors in three clumps, the names of the nasty world, images of a few."""
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(n, 8)).astype(np.float32) + 12 * np.eye(8)[np.arange(n) % 3]
    names = [f"thing {i}" for i in range(n)]
    names[1], names[2], names[5] = NASTY, IMAGE_TAG, CONTROLS
    images = rng.integers(0, 256, (20, 1, 16, 16, 3), dtype=np.uint8)
    options = {"images": images, "pictured": np.arange(5, 25)}
    return vectors, names, {**options, "coordinates": vectors[:, :2].astype(float)}


def start_browser():
    """Headless Chromium that finds no host and animates nothing."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium with chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    arguments = ["headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"]
    arguments += ["window-size=1300,1000", "host-resolver-rules=MAP * ~NOTFOUND"]
    for argument in arguments:
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.chrome.service.Service(driver))
    show_as(browser)
    return browser


def show_as(browser, width=1300, height=900, dark=False):
    """Pretend a screen, and a light or dark system."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    calm = {"name": "prefers-reduced-motion", "value": "reduce"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, calm]})


def wait_until(browser, script):
    """The first true value of a script."""
    end = time.monotonic() + 20
    while not (found := browser.execute_script(f"return {script}")):
        assert time.monotonic() < end, script
        time.sleep(0.02)
    return found


def open_page(browser, page, folder, address=""):
    """Open a page, and check when the test is over that nothing was reported or hacked."""
    (folder / "map.html").write_text(page, encoding="utf-8")
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get("about:blank")
    browser.get((folder / "map.html").as_uri() + address)
    wait_until(browser, "document.documentElement.dataset.ready === 'yes'")
    yield browser
    errors = [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"]
    assert errors == []
    assert browser.execute_script("return window.hacked ?? null") is None
