"""Make the pictures of docs/explained.md: `make figures ONLY=pictures`, in two minutes."""

from pathlib import Path

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
    """Draw each pair, and the words of a prompt."""
    for name, (a, b) in PAIRS.items():
        explanation = explain(a, b, dtype="float32")  # the same on every processor
        plot_explanation(explanation).savefig(IMAGES / f"explain_{name}.png", dpi=80)
    words = explain_words(WORDS, shapley=True, dtype="float32")
    plot_words(words).savefig(IMAGES / "explain_words.png", dpi=80)


if __name__ == "__main__":
    main()
