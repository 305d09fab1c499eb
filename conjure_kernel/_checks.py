"""What the public functions accept: prompts, pairs, matrices and plain numbers.

Each function returns what it was given in one plain form, or raises an error. Everything below the
public functions trusts its arguments. All messages of the package are written in one way:
`NAME=VALUE: expected ..., got ...; what to do.`, where `quote` keeps the value short.
"""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence, Set
from importlib import import_module
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any

import numpy as np

__all__ = [
    "check_choice",
    "check_coordinates",
    "check_memory",
    "check_number",
    "check_pairs",
    "check_prompts",
]
__all__ += ["check_range", "check_square", "check_vectors", "import_optional", "quote"]
__all__ += ["AccuracyWarning", "CacheWarning", "ConjureWarning", "PromptWarning", "same_value"]


class ConjureWarning(UserWarning):
    """Base of all warnings of this package."""


class AccuracyWarning(ConjureWarning):
    """A number may be farther off than its standard error says, or has no standard error."""


class CacheWarning(ConjureWarning):
    """Something is not kept on disk, is not what was written there, or is in use."""


class PromptWarning(ConjureWarning):
    """Prompts were cut, or a model cannot tell them apart."""


LARGEST_INTEGER = 2**63 - 1
ROUNDED = 1e-3  # of the largest distance: the root of the rounding of a float32
MOST_QUOTED = 60  # characters of a value in a message


def check_prompts(prompts: Any, name: str = "prompts") -> list[str]:
    """List of NFC-normalised prompts from a list, tuple, array, Series or one-column table.

    Any text is a prompt, also an empty one, white space or a very long one: the model decides what
    it evokes.
    """
    if isinstance(prompts, str | bytes):
        text = quote(prompts) if isinstance(prompts, str) else f"{quote(prompts)}.decode()"
        raise ValueError(
            f"{name}={quote(prompts)}: expected a list of strings, got one string; write [{text}]."
        )
    prompts = _from_arrow(prompts)
    if not isinstance(prompts, Iterable) or isinstance(prompts, Set | Mapping):
        raise TypeError(
            f"{name}={quote(prompts)}: expected a list of strings, got {type(prompts).__name__}; "
            "write the prompts into a list, in their order."
        )
    shape = getattr(prompts, "shape", None)
    if shape is not None and len(shape) == 2 and shape[1] == 1:
        prompts = np.asarray(prompts, dtype=object)[:, 0]
    elif shape is not None and len(shape) != 1:
        raise ValueError(
            f"{name}: expected one column of text, got shape {shape}; pass a single column."
        )
    checked = [_check_prompt(p, i, name) for i, p in enumerate(prompts)]
    if not checked:
        raise ValueError(f"{name}: expected at least one prompt, got none; pass some.")
    return checked


def _check_prompt(prompt: Any, index: int, name: str) -> str:
    if not isinstance(prompt, str):
        raise TypeError(
            f"{name}[{index}]={quote(prompt)}: expected a string, got {type(prompt).__name__}; "
            "drop or fill missing values, and convert numbers with str()."
        )
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{name}[{index}]={quote(prompt)}: expected valid text, got half of a surrogate pair; "
            "decode the source again, e.g. with errors='replace'."
        ) from None
    return unicodedata.normalize("NFC", str(prompt))


def _from_arrow(given: Any) -> Any:
    """A list of an array of pyarrow, an object array of a table; anything else as it is."""
    if not hasattr(given, "to_pylist"):
        return given
    if not hasattr(given, "itercolumns"):
        return given.to_pylist()
    columns = [column.to_pylist() for column in given.itercolumns()]
    return np.array(columns, dtype=object).reshape(len(columns), -1).T


def check_pairs(pairs: Any, name: str = "pairs") -> tuple[list[str], list[str]]:
    """Two equally long lists of prompts from a list of (text_a, text_b) or an (n, 2) table."""
    pairs = _from_arrow(pairs)
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise TypeError(
            f"{name}={quote(pairs)}: expected a list of pairs (text_a, text_b), got "
            f"{type(pairs).__name__}; write [(text_a, text_b), ...]."
        )
    is_frame = hasattr(pairs, "columns")  # of pandas or polars
    rows = list(np.asarray(pairs, dtype=object)) if is_frame else list(pairs)
    for i, row in enumerate(rows):
        if isinstance(row, str) or not isinstance(row, Sequence | np.ndarray) or len(row) != 2:
            raise ValueError(
                f"{name}[{i}]={quote(row)}: expected a pair (text_a, text_b); "
                "write two texts in each row."
            )
    if not rows:
        raise ValueError(f"{name}: expected at least one pair, got none; pass some.")
    return (
        check_prompts([row[0] for row in rows], f"{name}[:, 0]"),
        check_prompts([row[1] for row in rows], f"{name}[:, 1]"),
    )


def check_square(matrix: Any, name: str = "matrix") -> np.ndarray:
    """Float64 copy of a symmetric, finite, non-negative square matrix of distances.

    A kernel, in which larger is nearer, is told by its diagonal; rounding may leave a little there.
    """
    checked = _as_floats(matrix, name)
    if checked.ndim != 2 or checked.shape[0] != checked.shape[1] or checked.shape[0] == 0:
        raise ValueError(
            f"{name}: expected a square matrix, got shape {checked.shape}; "
            "pass the divergences of all pairs."
        )
    _check_finite(checked, name)
    if checked.min() < 0:
        raise ValueError(
            f"{name}: expected values of at least 0, got {checked.min():.6g}; clip them at 0."
        )
    if not np.allclose(checked, checked.T, rtol=1e-8, atol=1e-10):
        gap = np.abs(checked - checked.T).max()
        raise ValueError(
            f"{name}: expected a symmetric matrix, got a largest gap of {gap:.6g}; pass "
            '(D + D.T) / 2, or use output="divergence" and not "kl".'
        )
    if (own := np.diagonal(checked).max()) > ROUNDED * checked.max():
        raise ValueError(
            f"{name}: expected a diagonal of 0, got {own:.6g}; pass divergences or distances, and "
            "no kernel or similarities."
        )
    return checked


def check_coordinates(coordinates: Any, n: int, name: str = "coordinates") -> np.ndarray:
    """Float64 copy of n finite points in the plane."""
    points = _as_floats(coordinates, name)
    if points.shape != (n, 2):
        raise ValueError(f"{name}: expected the shape ({n}, 2), got {points.shape}.")
    return _check_finite(points, name)


def check_vectors(vectors: Any, name: str = "vectors") -> np.ndarray:
    """Finite rows of numbers."""
    kind = getattr(getattr(vectors, "dtype", None), "kind", None)
    rows = np.asarray(vectors) if kind in tuple("biuf") else _as_floats(vectors, name)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"{name}: expected the shape (n, d), got {rows.shape}.")
    return _check_finite(rows, name)


def check_number(
    value: Any, name: str, *, least: float, integer: bool = False, exclusive: bool = False
) -> Any:
    """A finite int or float of at least (or, if exclusive, above) `least`."""
    kind = "an integer" if integer else "a finite number"
    bound = f"{'above' if exclusive else 'of at least'} {least:g}"
    right_type = isinstance(value, Integral if integer else Real) and not isinstance(value, bool)
    if right_type and integer and value > LARGEST_INTEGER:
        raise ValueError(f"{name}={quote(value)}: expected {kind} {bound}, and below 2**63.")
    if (
        not right_type
        or not (integer or _is_finite(value))
        or value < least
        or (exclusive and value <= least)
    ):
        raise ValueError(f"{name}={quote(value)}: expected {kind} {bound}.")
    return int(value) if integer else float(value)


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def check_memory(n_bytes: float, text: str) -> None:
    """Raise MemoryError, before any work, if a result does not fit into this machine's memory."""
    try:
        held = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # a system that does not tell
        return
    if n_bytes > held > 0:
        raise MemoryError(f"{text}: {n_bytes / 1e9:,.3g} GB, of {held / 1e9:,.3g} GB in all")


def check_choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """One of the named choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}={quote(value)}: expected one of {', '.join(map(repr, choices))}.")
    return value


def check_range(value: Any, name: str = "log_snr_range") -> tuple[float, float]:
    """Two finite rising numbers."""
    try:
        low, high = (float(end) for end in value)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{name}={quote(value)}: expected two finite rising numbers.")
    return low, high


def import_optional(module: str, extra: str, purpose: str) -> Any:
    """A module that not every installation has; where it is absent, an error says how to get it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f'{purpose}: {error}; install what it needs with pip install "conjure-kernel[{extra}]".'
        ) from error


def _as_floats(values: Any, name: str) -> np.ndarray:
    """Float64 copy of real numbers; NumPy drops imaginary parts with a warning at most."""
    try:
        floats = None if np.iscomplexobj(values) else np.array(values, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        text = f"{name}={quote(values)}: expected an array of numbers that a float can hold."
        raise ValueError(text) from None
    if floats is None:
        raise ValueError(f"{name}: expected real numbers, got complex ones; pass their real part.")
    return floats


def _check_finite(values: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name}: expected finite values, got NaN or infinity; drop those prompts first."
        )
    return values


def same_value(a: Any, b: Any) -> bool:
    """Whether two parameters are one object or equal plain values.

    Two objects of other kinds are not the same, whatever their texts or addresses look like. Who
    compares later must hold on to the objects, as the address of a dead one is given out again.
    """
    if a is b:
        return True
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same_value(value, b[key]) for key, value in a.items())
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(same_value, a, b))
    plain = (str, bytes, int, float, PurePath, np.number)
    return isinstance(a, plain) and isinstance(b, plain) and bool(a == b)


def quote(value: Any) -> str:
    """A value as messages show it: its repr, cut to 60 characters."""
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return f"an integer of {value.bit_length()} bits"  # Python refuses to print the longest
    text = repr(value)
    return text if len(text) <= MOST_QUOTED else f"{text[: MOST_QUOTED - 3]}..."
