"""Make the pictures of docs/explained.md: `make figures ONLY=pictures`, in a minute."""

from pathlib import Path

from conjure_kernel import explain
from conjure_kernel.plot import plot_explanation

IMAGES = Path(__file__).parent / "images"
PAIRS = {
    "strawberry_tomato": ("strawberry", "tomato"),
    "lemon_moon": ("lemon", "moon"),
    "cat_tiger": ("cat", "tiger"),
    "green_blue": ("a cat on a green background", "a cat on a blue background"),
    "one_two": ("one apple", "two apples"),
}


def main() -> None:
    """Draw each pair."""
    for name, (a, b) in PAIRS.items():
        explanation = explain(a, b, dtype="float32")  # the same on every processor
        plot_explanation(explanation).savefig(IMAGES / f"explain_{name}.png", dpi=80)


if __name__ == "__main__":
    main()
