"""How large is an interactive map, and how long until a browser shows it?

    python benchmarks/html_map.py [--prompts 64] [--images 4] [--repeats 5]
    python benchmarks/html_map.py --many 10000
    python benchmarks/html_map.py --vectors vectors.npz

Maps prompts of the embedded model (one draw, five noise levels: the page does not care); with
--vectors the prompts and vectors that growth.py kept, its representatives conjured by the embedded
model; or with --many N random vectors (64 components, 40 clumps) whose representatives have random
images of 64 x 64 pixels, which compress worse than any that a model makes. Opens the file in a
headless Chromium that finds no host (Debian: chromium and chromium-driver, and selenium) and reads
the browser's own clock: until everything is loaded, until the map is drawn, from a click on a
prompt until the others are coloured, and for a step of the zoom (the median and the longest of 24,
from the whole map to 20 times nearer and back, each until all is drawn). Counts requests for
anything but the file. Appends to benchmarks/results/html_map.csv.
"""

import argparse
import json
import shutil
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
from selenium import webdriver

from _results import WORDS, append_row
from conjure_kernel import ConjureDistance, html_map
from conjure_kernel.plot import representatives

LOADED = "return performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"
DRAWN = """
const done = arguments[0];
const look = () => document.documentElement.dataset.ready === "yes"
  ? done(performance.now() / 1000) : requestAnimationFrame(look);
look();
"""
ZOOMED = """
const done = arguments[0], times = [];
const pen = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const step = () => {
  if (times.length === 24) {
    times.sort((a, b) => a - b);
    return done([(times[11] + times[12]) / 2000, times[23] / 1000]);
  }
  const begun = performance.now(), turn = times.length < 12 ? times.length : 23 - times.length;
  conjure.zoomTo(20 ** (turn / 11));
  pen.drawImage(document.getElementById("canvas"), 0, 0, 1, 1, 0, 0, 1, 1);
  pen.getImageData(0, 0, 1, 1); // waits until all is drawn
  times.push(performance.now() - begun);
  return requestAnimationFrame(step);
};
step();
"""
PINNED = """
const done = arguments[0], begun = performance.now();
document.querySelector(".prompt").click();
requestAnimationFrame(() => setTimeout(() => done((performance.now() - begun) / 1000)));
"""


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--prompts", type=int, default=64)
    options.add_argument("--images", type=int, default=4)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--many", type=int, metavar="N", help="random vectors")
    options.add_argument("--vectors", metavar="FILE", help=".npz of prompts and vectors")
    options.add_argument("--keep", metavar="PAGE", type=Path, help="keep the page in this file")
    given = options.parse_args()
    begun = time.perf_counter()
    draw = map_vectors if given.vectors else map_many if given.many else map_prompts
    page, n_prompts = draw(given)
    made = time.perf_counter() - begun
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.html"
        page.save(path)
        size = path.stat().st_size
        if given.keep:
            shutil.copy(path, given.keep)
        looks = [open_page(path) for _ in range(given.repeats)]
    *times, requests = zip(*looks, strict=True)
    loaded, drawn, pinned, zoomed, longest = map(median, times)
    row = {
        "kind": draw.__name__.removeprefix("map_"),
        "prompts": n_prompts,
        "images": given.images,
        "megabytes": round(size / 1e6, 2),
        "made_seconds": round(made, 1),
        "loaded_seconds": round(loaded, 2),
        "drawn_seconds": round(drawn, 2),
        "pinned_seconds": round(pinned, 2),
        "zoom_seconds": round(zoomed, 3),
        "longest_zoom_seconds": round(longest, 3),
        "requests": sum(requests),
    }
    print(", ".join(f"{name} {value}" for name, value in row.items()))
    append_row("html_map", **row)


def map_prompts(given):
    prompts = [f"a {word}" for word in WORDS][: given.prompts]
    warnings.filterwarnings("ignore", ".*(of the divergence lies|n_draws=1)")
    model = ConjureDistance(n_steps=5, n_draws=1, verbose=1).fit(prompts)
    images = model.conjure_images(n=given.images)
    return html_map(model.divergences_, model.prompts_, images=images), len(prompts)


def map_vectors(given):
    with np.load(given.vectors) as kept:
        prompts, vectors = [str(prompt) for prompt in kept["prompts"]], kept["vectors"]
    pictured = representatives(vectors)
    model = ConjureDistance(n_draws=given.images, verbose=1).fit(prompts[:2])
    images = model.conjure_images([prompts[i] for i in pictured], n=given.images)
    page = html_map(None, prompts, vectors=vectors, images=images, pictured=pictured)
    return page, len(prompts)


def map_many(given):
    random = np.random.default_rng(0)
    clumps = random.normal(size=(40, 64))
    kinds = random.integers(0, 40, given.many)
    vectors = (clumps[kinds] + 0.3 * random.normal(size=(given.many, 64))).astype(np.float32)
    prompts = [f"prompt {i} of kind {kind}, of usual length" for i, kind in enumerate(kinds)]
    kept = representatives(vectors)
    images = random.integers(0, 256, (len(kept), given.images, 64, 64, 3), dtype=np.uint8)
    page = html_map(None, prompts, vectors=vectors, images=images, pictured=kept)
    return page, len(prompts)


def open_page(path):
    """Seconds until loaded, drawn, from click to colours and to zoom; requests: a fresh browser."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    arguments = ["headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"]
    arguments += ["window-size=1300,1000", "host-resolver-rules=MAP * ~NOTFOUND"]
    for argument in arguments:
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    service = webdriver.chrome.service.Service(shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=service)
    try:
        browser.get(path.as_uri())
        drawn = browser.execute_async_script(DRAWN)
        entries = [
            json.loads(entry["message"])["message"] for entry in browser.get_log("performance")
        ]
        sent = (e["params"]["request"]["url"] for e in entries if e["method"] == SENT)
        foreign = [url for url in sent if not url.startswith(("file:", "data:", "blob:", "chrome"))]
        loaded = browser.execute_script(LOADED)
        pinned = browser.execute_async_script(PINNED)
        return loaded, drawn, pinned, *browser.execute_async_script(ZOOMED), len(foreign)
    finally:
        browser.quit()


SENT = "Network.requestWillBeSent"

if __name__ == "__main__":
    main()
