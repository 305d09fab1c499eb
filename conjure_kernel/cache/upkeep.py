"""What a cache folder holds, how it is cleared, and what is evicted from it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conjure_kernel.cache import folder as cachedir
from conjure_kernel.cache import locks
from conjure_kernel.cache.folder import (
    DAMAGED,
    ENERGY,
    KEY,
    LOCKS,
    TRAJECTORY,
    VECTORS,
    cache_root,
    walk,
)

__all__ = ["CacheInfo", "cache_info", "clear_cache", "evict", "remove_stale"]

STALE = 3600.0
EVICTED = (TRAJECTORY, VECTORS, DAMAGED)


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
        Sizes of the files of energies, and of those of trajectories and vectors.
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
    energies = sum(stat.st_size for path, stat in files if path.suffix == ENERGY)
    others = sum(stat.st_size for path, stat in files if path.suffix in (TRAJECTORY, VECTORS))
    prompts = {path.stem for path, _ in files if path.suffix == ENERGY}
    runs = {path.parent for path, _ in files if path.name == KEY}
    models = {run.parent for run in runs}
    return CacheInfo(root, len(models), len(runs), len(prompts), energies, others)


def clear_cache(memory: Any = "auto") -> int:
    """Delete what is kept of every model in a cache.

    Processes that run meanwhile go on: they keep what they compute, and write it again.

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
    before, freed = list(walk(root)), 0
    for path, stat in before:
        with suppress(OSError):
            if path.parent.name == LOCKS:
                locks.remove_unheld(path)
            else:
                path.unlink()
                freed += stat.st_size
    for folder, _, _ in os.walk(root, topdown=False):
        with suppress(OSError):  # one that is in use again
            os.rmdir(folder)
    return freed


def evict(root: Path) -> tuple[int, float]:
    """Remove trajectories and vectors, least recently used first, to meet the limit of the size.

    Returns
    -------
    n_bytes, excess : int, float
        The disk space freed, and how much is still above CONJURE_KERNEL_CACHE_LIMIT.
    """
    remove_stale(root)
    files = list(walk(root))
    excess, freed = sum(stat.st_size for _, stat in files) - cachedir.size_limit(), 0
    for path, stat in sorted(files, key=lambda file: file[1].st_mtime_ns):
        if freed < excess and path.suffix in EVICTED:
            with suppress(OSError):
                path.unlink()
                freed += stat.st_size
    return freed, excess - freed


def remove_stale(root: Path) -> None:
    """Remove the temporary files that killed processes left more than an hour ago."""
    for path, stat in walk(root):
        if path.suffix == ".tmp" and time.time() - stat.st_mtime > STALE:
            with suppress(OSError):
                path.unlink()
