"""What the commands of the recipe share: numbers that make sense, and what was made from what."""

from __future__ import annotations

import argparse
import hashlib
import math
from pathlib import Path
from typing import Any

from torch import nn


def positive(text: str) -> float:
    """Return a number above 0, of minutes say."""
    number = float(text)
    if not (0 < number < math.inf):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return number


def count(text: str) -> int:
    """Return a whole number above 0."""
    return int(positive(str(int(text))))


def digest(*parts: bytes) -> str:
    """Twelve digits that tell these bytes from others."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()[:12]


def digest_of(model: nn.Module) -> str:
    """Twelve digits that tell the weights of a model from others."""
    return digest(*(p.detach().cpu().numpy().tobytes() for p in model.parameters()))


def check_made(path: Path, stored: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse a file that was made from other drawings, models or options."""
    if stored.get("made") != asked:
        raise ValueError(
            f"{path}: expected one that was made from {asked}, got {stored.get('made')}; delete "
            "it, or work in another folder."
        )
