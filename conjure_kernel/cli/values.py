"""What the words after an option are read as."""

from __future__ import annotations

import argparse
import ast
from typing import Any

__all__ = ["adapter", "assignment", "dots", "folder", "inches", "rows"]

MOST_DOTS = 2400


def rows(text: str) -> int | str:
    """A number of rows, or "auto"."""
    return text if text == "auto" else int(text)


rows.__name__ = "number of rows"  # argparse puts it into its message


def adapter(text: str) -> tuple[str, float]:
    """A LoRA file and its scale, which may follow a colon."""
    path, colon, scale = text.rpartition(":")
    try:
        return (path, float(scale)) if colon else (text, 1.0)
    except ValueError:  # the colon is part of the path
        return text, 1.0


def assignment(text: str) -> tuple[str, Any]:
    """Name and value of an argument: a number, True, None or a list is read as one."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def folder(text: str) -> str | None:
    """A folder; None for the word none."""
    return None if text == "none" else text


def inches(text: str) -> tuple[float, ...]:
    """Width of a figure, or WIDTHxHEIGHT."""
    try:
        return tuple(map(float, text.lower().split("x", 1)))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected inches such as 3.5 or 3.5x2.5, got {text!r}"
        ) from None


def dots(text: str) -> float:
    """Dots an inch."""
    if not text.replace(".", "", 1).isdecimal() or not 10 <= float(text) <= MOST_DOTS:
        raise argparse.ArgumentTypeError(f"expected dots an inch, 10 to {MOST_DOTS}, got {text!r}")
    return float(text)
