"""Options of the commands that write a picture, and the name of its file."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from conjure_kernel.cli import values

__all__ = ["PICTURES", "add_picture", "check_picture"]

# The endings of pictures, and the field of their metadata that holds the provenance.
PICTURES = {".png": "Description", ".svg": "Description", ".pdf": "Subject"}
MOST_MEGADOTS = 1000  # 4 GB
OTHERS = (".csv", ".html", ".md", ".npz", ".parquet", ".tex")


def add_picture(parser: Any, default: str | None) -> None:
    """Add what a picture looks like; `default` is the name of its file where none is given."""
    parser.set_defaults(default_output=default)
    add = parser.add_argument_group("a picture").add_argument
    text = "in inches, e.g. 3.5 for a column of a paper (default: as the picture needs)"
    add("--size", metavar="WIDTH[xHEIGHT]", type=values.inches, help=text)
    text = "dots an inch of .png, and of what is made of dots in .pdf and .svg"
    add("--dpi", metavar="N", type=values.dots, help=text)
    text = "png, pdf or svg, where the name of OUTPUT does not say"
    add("--format", choices=[ending[1:] for ending in PICTURES], help=text)
    text = "an installed font, or a file of one; others stand in for letters that it has not"
    add("--font", metavar="NAME", help=text)


def check_picture(args: Namespace) -> None:
    """Check --size and --font, before any work, and give OUTPUT the ending that --format asks for.

    An ending that OUTPUT has is kept. With NAME.json, --format is that of the picture beside it.
    """
    if getattr(args, "size", None) is not None:
        from conjure_kernel.plot._style import check_size

        width, height = check_size(args.size)
        dots = width * (height or width) * (getattr(args, "dpi", None) or 0) ** 2 / 1e6
        if dots > MOST_MEGADOTS:
            raise ValueError(
                f"--size={width:g}, --dpi={args.dpi:g}: expected at most {MOST_MEGADOTS:,} million "
                f"dots together, got {dots:,.0f} million; lower one of them."
            )
    if getattr(args, "font", None) is not None:
        from conjure_kernel.plot import font_context

        with font_context(args.font):
            pass
    kind, output = getattr(args, "format", None), getattr(args, "output", None)
    if kind is None or output is None:
        return
    ending = output.suffix.lower()
    if "output" not in getattr(args, "given", ()) and output == Path(args.default_output or ""):
        args.output = output.with_suffix(f".{kind}")
    elif ending not in (*PICTURES, *OTHERS, ".json"):
        args.output = output.with_name(f"{output.name}.{kind}")
    elif ending not in (f".{kind}", ".json"):
        raise ValueError(
            f"--format={kind}: expected the name of OUTPUT to end in .{kind}, or in nothing, got "
            f"'{output}'; leave --format out, or change the name."
        )
