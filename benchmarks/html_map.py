"""How large is an interactive map, and how long until a browser shows it?

    python benchmarks/html_map.py [--prompts 64] [--images 4] [--repeats 5]

Maps prompts of the embedded model (one draw, five noise levels: the page does not care), opens the
file in a headless Chromium that finds no host (Debian: chromium and chromium-driver, and selenium)
and reads the browser's own clock: until everything is loaded, and until the map is drawn. Counts
requests for anything but the file. Appends to benchmarks/results/html_map.csv.
"""

import argparse
import json
import shutil
import tempfile
import warnings
from pathlib import Path
from statistics import median

from selenium import webdriver

from _results import WORDS, append_row
from conjure_kernel import ConjureDistance, html_map

LOADED = "return performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"
DRAWN = """
const done = arguments[0];
const look = () => Bokeh.documents.length && Bokeh.documents[0].is_idle
  ? done(performance.now() / 1000) : requestAnimationFrame(look);
look();
"""


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--prompts", type=int, default=64)
    options.add_argument("--images", type=int, default=4)
    options.add_argument("--repeats", type=int, default=5)
    given = options.parse_args()
    prompts = [f"a {word}" for word in WORDS][: given.prompts]
    warnings.filterwarnings("ignore", ".*(of the divergence lies|n_draws=1)")
    model = ConjureDistance(n_steps=5, n_draws=1, verbose=1).fit(prompts)
    pictures = model.conjure_images(n=given.images)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.html"
        html_map(model.divergences_, prompts, images=pictures).save(path)
        size = path.stat().st_size
        looks = [open_page(path) for _ in range(given.repeats)]
    loaded, drawn = (median(values) for values in zip(*(look[:2] for look in looks), strict=True))
    row = {
        "prompts": len(prompts),
        "images": given.images,
        "megabytes": round(size / 1e6, 2),
        "loaded_seconds": round(loaded, 2),
        "drawn_seconds": round(drawn, 2),
        "requests": sum(look[2] for look in looks),
    }
    print(", ".join(f"{name} {value}" for name, value in row.items()))
    append_row("html_map", **row)


def open_page(path):
    """(seconds until loaded, seconds until drawn, requests beyond the file) of a fresh browser."""
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
        return browser.execute_script(LOADED), drawn, len(foreign)
    finally:
        browser.quit()


SENT = "Network.requestWillBeSent"

if __name__ == "__main__":
    main()
