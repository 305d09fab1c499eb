"""The cache folder: where it is, what it holds, how large it may grow, how files are written.

Environment: CONJURE_KERNEL_CACHE (the folder of `memory="auto"`), CONJURE_KERNEL_CACHE_LIMIT (a
size such as 500MB or 2GiB; default 20GB), CONJURE_KERNEL_LOCK_TIMEOUT (seconds; default 3600).
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import uuid
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import platformdirs

from conjure_kernel._checks import CacheWarning

__all__ = ["Damaged", "cache_root", "canonical", "lock_timeout", "open_plain", "plain", "pretty"]
__all__ += ["read_json", "replace", "size_limit", "unreadable", "unwritable", "walk"]

SCHEMA = 2
ENERGY, TRAJECTORY, VECTORS, DAMAGED = ".energies", ".trajectory", ".vectors", ".damaged"
FOLDERS = {ENERGY: "energies", TRAJECTORY: "trajectories", VECTORS: "vectors"}
KEY, RUN, LOCKS, BATCH_SIZES = "key.json", "run.facts", "locks", "batch_sizes.json"
ATTEMPTS = 3
UNITS = {unit: 1000**power for power, unit in enumerate(["", "k", "m", "g", "t", "p"])}
UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate("kmgtp", start=1)}


class Damaged(ValueError):
    """A file is not what was written under its name."""


def cache_root(memory: Any) -> Path | None:
    """Return the folder that `memory` stands for; None if nothing is to be kept on disk."""
    if memory is None:
        return None
    folder = memory if isinstance(memory, str | os.PathLike) else getattr(memory, "location", None)
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(
            f'memory={memory!r}: expected "auto", None, a folder, or a joblib.Memory that has a '
            "location; pass a folder, or None to keep nothing on disk."
        )
    if isinstance(memory, str) and memory == "auto":
        per_user = platformdirs.user_cache_dir("conjure_kernel")
        folder = os.environ.get("CONJURE_KERNEL_CACHE") or per_user
    try:
        return Path(folder).expanduser().absolute() / f"conjure_kernel-v{SCHEMA}"
    except RuntimeError:  # no HOME, and a user that the system does not know
        warnings.warn(
            f"memory={memory!r}: {folder} is in a home folder, and this user has none: nothing is "
            'kept on disk; set CONJURE_KERNEL_CACHE, or pass memory="a/folder".',
            category=CacheWarning,
            stacklevel=3,
        )
        return None


def size_limit() -> float:
    """Return how many bytes the whole root may take."""
    text = os.environ.get("CONJURE_KERNEL_CACHE_LIMIT") or "20GB"
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([kmgtp]i?)?b?\s*", text.lower())
    if match is None:
        raise ValueError(
            f"CONJURE_KERNEL_CACHE_LIMIT={text!r}: expected a size such as 500MB, 2GiB or a number "
            "of bytes; correct the variable or unset it."
        )
    return float(match[1]) * UNITS[match[2] or ""]


def lock_timeout() -> float:
    """Return for how many seconds to wait for another process."""
    text = os.environ.get("CONJURE_KERNEL_LOCK_TIMEOUT") or "3600"
    with suppress(ValueError):
        if 0 <= (seconds := float(text)) < math.inf:
            return seconds
    raise ValueError(
        f"CONJURE_KERNEL_LOCK_TIMEOUT={text!r}: expected a number of seconds of at least 0; "
        "correct the variable or unset it."
    )


def canonical(key: dict[str, Any]) -> dict[str, Any]:
    """Return a run key as JSON reads it back, with the schema version; 1.0 becomes 1."""
    if not key.get("fingerprint"):
        raise ValueError(
            f"key={key!r}: expected a fingerprint among its fields; add that of the model."
        )
    text = json.dumps({**key, "schema": SCHEMA}, default=plain, allow_nan=False)
    return json.loads(text, parse_float=_whole)


def _whole(number: str) -> float:
    value = float(number)
    return int(value) if value.is_integer() else value


def plain(value: Any) -> Any:
    """Turn NumPy values into plain Python ones, for `json.dumps(default=...)`."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{value!r}: expected numbers, strings, lists or dicts; convert it to one.")


def pretty(facts: dict[str, Any]) -> bytes:
    """Return facts as indented JSON."""
    return json.dumps(facts, default=plain, indent=1).encode()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds a dict; an empty one where there is no such file."""
    try:
        with open_plain(path) as file:
            content = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file; a pipe, which would wait for a writer, or a folder is `Damaged`."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise Damaged("expected a plain file")
    return os.fdopen(file, "rb")


def unreadable(path: Path, error: Exception) -> str:
    """Say in one line that a file is damaged, and what happens then."""
    why = f"{type(error).__name__}: {error}".splitlines()[0]
    aside = f"it is set aside as '*{DAMAGED}', and " if isinstance(error, Damaged) else ""
    return f"{path} cannot be read ({why}): {aside}what it held is computed again."


def unwritable(folder: Path, error: OSError) -> str:
    """Say that a folder takes no files, where its values are kept instead, and what to do."""
    return (
        f"{folder} cannot be written ({error}): this process keeps the values in memory; free "
        'space, or pass memory="another/folder".'
    )


def replace(path: Path, data: bytes, *, durable: bool = False, mode: int | None = None) -> None:
    """Write a file so that others see the old one or the new one, never a part of it.

    If `durable`, this holds for a power cut as well. The cache does without: a checksum finds what
    a power cut has torn. `mode` is that of the new file; by default the system decides.
    """
    for attempt in range(ATTEMPTS):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{uuid.uuid4().hex}.tmp")  # short: names may be 255 bytes long
        try:
            temporary.write_bytes(data)
            if mode is not None:
                temporary.chmod(mode)
            if durable:
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException as error:
            with suppress(OSError):
                temporary.unlink()
            if isinstance(error, FileNotFoundError) and attempt < ATTEMPTS - 1:
                continue  # the folder was cleared meanwhile
            raise
        return


def walk(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield every file below a folder with its `stat`; those that vanish meanwhile are left out."""
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(OSError):
                path = Path(folder, name)
                yield path, path.lstat()
