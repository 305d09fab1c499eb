"""What the words after an option are read as."""

from __future__ import annotations

import argparse
import ast
from typing import Any

__all__ = ["adapter", "assignment", "folder", "rows"]


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
