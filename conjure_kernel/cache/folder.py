"""The cache folder: where it is, what it holds, how large it may grow, how files are written.

Environment: CONJURE_KERNEL_CACHE (the folder of `memory="auto"`), CONJURE_KERNEL_CACHE_LIMIT (a
size such as 500MB or 2GiB; default 20GB), CONJURE_KERNEL_LOCK_TIMEOUT (seconds; default 3600).
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

__all__ = ["CacheInfo", "cache_info", "cache_root", "canonical", "clear_cache", "load_json"]
__all__ += ["lock_timeout", "plain", "read_json", "remove_stale", "replace", "size_limit"]
__all__ += ["unreadable", "unwritable", "walk"]

SCHEMA = 2
ENERGY, TRAJECTORY = ".npz", ".safetensors"
STALE = 3600.0
UNITS = {unit: 1000**power for power, unit in enumerate(["", "k", "m", "g", "t", "p"])}
UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate("kmgtp", start=1)}


@dataclass(frozen=True)
class CacheInfo:
    """What a cache folder holds.

    Attributes
    ----------
    location : Path or None
        The folder; None where nothing is kept on disk.
    n_models, n_runs, n_prompts : int
        Numbers of models, of runs (a model under one choice of settings), and of different source
        prompts.
    energy_bytes, trajectory_bytes : int
        Sizes of the two kinds of files.
    """

    location: Path | None
    n_models: int = 0
    n_runs: int = 0
    n_prompts: int = 0
    energy_bytes: int = 0
    trajectory_bytes: int = 0


def cache_info(memory: Any = "auto") -> CacheInfo:
    """Count what a cache holds.

    Parameters
    ----------
    memory : "auto", None, path or joblib.Memory
        The cache, as the estimators name it.

    Returns
    -------
    info : CacheInfo
    """
    if (root := cache_root(memory)) is None:
        return CacheInfo(None)
    files = list(walk(root))
    size = {s: sum(f.st_size for p, f in files if p.suffix == s) for s in (ENERGY, TRAJECTORY)}
    prompts = {path.stem for path, _ in files if path.suffix == ENERGY}
    runs = {path.parent for path, _ in files if path.name == "key.json"}
    models = {run.parent for run in runs}
    return CacheInfo(
        location=root,
        n_models=len(models),
        n_runs=len(runs),
        n_prompts=len(prompts),
        energy_bytes=size[ENERGY],
        trajectory_bytes=size[TRAJECTORY],
    )


def clear_cache(memory: Any = "auto") -> int:
    """Delete the energies and trajectories of every model in a cache.

    Parameters
    ----------
    memory : "auto", None, path or joblib.Memory
        The cache, as the estimators name it.

    Returns
    -------
    n_bytes : int
        The disk space freed.
    """
    if (root := cache_root(memory)) is None:
        return 0
    before = sum(stat.st_size for _, stat in walk(root))
    shutil.rmtree(root, ignore_errors=True)
    return before - sum(stat.st_size for _, stat in walk(root))


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
    return Path(folder).expanduser().absolute() / f"conjure_kernel-v{SCHEMA}"


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


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds a dict; ValueError if it holds anything else."""
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"expected a dict, got a {type(content).__name__}")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds a dict; an empty one where there is no such file."""
    try:
        return load_json(path)
    except (OSError, ValueError):
        return {}


def unreadable(path: Path, error: Exception) -> str:
    """Say in one line that a file is damaged, and what happens then."""
    why = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"{path} cannot be read ({why}): what it held is computed again."


def unwritable(folder: Path, error: OSError) -> str:
    """Say that a folder takes no files, where its values are kept instead, and what to do."""
    return (
        f"{folder} cannot be written ({error}): this process keeps the values in memory; free "
        'space, or pass memory="another/folder".'
    )


def replace(path: Path, data: bytes) -> None:
    """Write a file so that others see the old one or the new one, never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def walk(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield every file below a folder with its `stat`; those that vanish meanwhile are left out."""
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(OSError):
                path = Path(folder, name)
                yield path, path.stat()


def remove_stale(root: Path) -> None:
    """Remove the temporary files that killed processes left more than an hour ago."""
    for path, stat in walk(root):
        if path.suffix == ".tmp" and time.time() - stat.st_mtime > STALE:
            with suppress(OSError):
                path.unlink()
