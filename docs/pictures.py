"""Make the first picture and those of docs/explained.md: `make figures ONLY=pictures`, minutes."""

import sys
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory

from PIL import Image

from conjure_kernel import explain, explain_words
from conjure_kernel.plot import plot_explanation, plot_words

IMAGES = Path(__file__).parent / "images"
PAIRS = {
    "strawberry_tomato": ("strawberry", "tomato"),
    "lemon_moon": ("lemon", "moon"),
    "cat_tiger": ("cat", "tiger"),
    "green_blue": ("a cat on a green background", "a cat on a blue background"),
    "one_two": ("one apple", "two apples"),
}
WORDS = "two apples on a blue background"


def main() -> None:
    """Draw the map of the names in the package, each pair, and the words of a prompt."""
    with TemporaryDirectory() as folder:
        command = ["-m", "conjure_kernel", "map", "--dtype", "float32", "-o", f"{folder}/map.png"]
        run([sys.executable, *command], check=True)
        with Image.open(f"{folder}/map.png") as drawn:
            drawn.convert("RGB").save(IMAGES / "map.webp", quality=85, method=6)
    for name, (a, b) in PAIRS.items():
        explanation = explain(a, b, dtype="float32")  # the same on every processor
        plot_explanation(explanation).savefig(IMAGES / f"explain_{name}.png", dpi=80)
    words = explain_words(WORDS, shapley=True, dtype="float32")
    plot_words(words).savefig(IMAGES / "explain_words.png", dpi=80)


if __name__ == "__main__":
    main()
