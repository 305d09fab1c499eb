"""What the public entrances accept: prompts, pairs, matrices and plain numbers.

`check_prompts`, `check_pairs`, `check_square`, `check_number`, `check_choice`, `check_range`.
Everything below the public face trusts its arguments; this is the only hand-written validation.
Each message says what came, what is needed and what to do.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence, Set
from importlib import import_module
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = ["check_choice", "check_number", "check_pairs", "check_prompts"]
__all__ += ["check_range", "check_square", "import_optional"]


def check_prompts(prompts: Any, name: str = "prompts") -> list[str]:
    """List of NFC-normalised prompts from a list, tuple, array, Series or one-column table.

    Any text is a prompt, the empty one, white space and very long ones included: what it evokes is
    for the model to say.
    """
    if isinstance(prompts, str | bytes):
        raise ValueError(
            f"{name}={_short(prompts)}: one string came, a list of strings is needed. "
            f"Write [{_short(prompts)}]."
        )
    if not isinstance(prompts, Iterable) or isinstance(prompts, Set | Mapping):
        raise TypeError(f"{name}={_short(prompts)}: expected a list of strings, in order.")
    shape = getattr(prompts, "shape", None)
    if shape is not None and len(shape) == 2 and shape[1] == 1:
        prompts = np.asarray(prompts, dtype=object)[:, 0]
    elif shape is not None and len(shape) != 1:
        raise ValueError(f"{name}: expected one column of text, got an array of shape {shape}.")
    checked = [_check_prompt(p, i, name) for i, p in enumerate(prompts)]
    if not checked:
        raise ValueError(f"{name} is empty: at least one prompt is needed.")
    return checked


def _check_prompt(prompt: Any, index: int, name: str) -> str:
    if not isinstance(prompt, str):
        raise TypeError(
            f"{name}[{index}]={_short(prompt)}: expected a string, got "
            f"{type(prompt).__name__}. Drop or fill missing values and convert numbers with str()."
        )
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{name}[{index}]={_short(prompt)}: holds half of a surrogate pair, so it is no valid "
            "text. Decode the source again, e.g. with errors='replace'."
        ) from None
    return unicodedata.normalize("NFC", str(prompt))


def check_pairs(pairs: Any, name: str = "pairs") -> tuple[list[str], list[str]]:
    """Two equally long lists of prompts from a list of (text_a, text_b) or an (n, 2) table."""
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise TypeError(f"{name}={_short(pairs)}: expected a list of (text_a, text_b) pairs.")
    rows = list(np.asarray(pairs, dtype=object)) if hasattr(pairs, "iloc") else list(pairs)
    for i, row in enumerate(rows):
        if isinstance(row, str) or not isinstance(row, Sequence | np.ndarray) or len(row) != 2:
            raise ValueError(f"{name}[{i}]={_short(row)}: expected a pair (text_a, text_b).")
    if not rows:
        raise ValueError(f"{name} is empty: at least one pair is needed.")
    return (
        check_prompts([row[0] for row in rows], f"{name}[:, 0]"),
        check_prompts([row[1] for row in rows], f"{name}[:, 1]"),
    )


def check_square(matrix: Any, name: str = "matrix") -> np.ndarray:
    """Float64 copy of a symmetric, finite, non-negative square matrix."""
    checked = np.array(matrix, dtype=np.float64)
    if checked.ndim != 2 or checked.shape[0] != checked.shape[1] or checked.shape[0] == 0:
        raise ValueError(f"{name}: expected a square matrix, got shape {checked.shape}.")
    if not np.isfinite(checked).all():
        raise ValueError(f"{name} holds NaN or infinity: drop those prompts first.")
    if checked.min() < 0:
        raise ValueError(f"{name} holds {checked.min():.6g}: expected values of at least 0.")
    if not np.allclose(checked, checked.T, rtol=1e-8, atol=1e-10):
        gap = np.abs(checked - checked.T).max()
        raise ValueError(
            f"{name} is not symmetric (largest gap {gap:.6g}): pass (D + D.T) / 2, "
            'or use output="divergence" rather than "kl".'
        )
    return checked


def check_number(
    value: Any, name: str, *, least: float, integer: bool = False, exclusive: bool = False
) -> Any:
    """A finite int or float of at least (or, if exclusive, above) `least`."""
    kind = "an integer" if integer else "a finite number"
    bound = f"{'above' if exclusive else 'of at least'} {least:g}"
    right_type = isinstance(value, Integral if integer else Real) and not isinstance(value, bool)
    if (
        not right_type
        or not math.isfinite(value)
        or value < least
        or (exclusive and value <= least)
    ):
        raise ValueError(f"{name}={_short(value)}: expected {kind} {bound}.")
    return int(value) if integer else float(value)


def check_choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """One of the named choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"{name}={_short(value)}: expected one of {', '.join(map(repr, choices))}."
        )
    return value


def check_range(value: Any, name: str = "log_snr_range") -> tuple[float, float]:
    """Two finite rising numbers."""
    try:
        low, high = (float(end) for end in value)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{name}={_short(value)}: expected two finite rising numbers.")
    return low, high


def import_optional(module: str, extra: str, purpose: str) -> Any:
    """A module of a package that not every installation has; what to install where it is absent."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f'{purpose}: {error}. Install what it needs: pip install "conjure-kernel[{extra}]".'
        ) from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
