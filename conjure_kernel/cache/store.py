"""The disk cache: energy rows and trajectories, one file of each per source prompt.

`open_store` opens the store of one run key, on disk (`DiskStore`) or in this process
(`MemoryStore`). Both have the same methods. On disk::

    <root>/conjure_kernel-v1/<fingerprint>/<hash of the key>/
        key.json  run.json  energies/<digest>.npz  trajectories/<digest>.safetensors  locks/

Files are written under another name and then renamed, so a reader, who takes no lock, sees the old
file or the new one. A file that cannot be read counts as missing. Where the disk cannot be written,
there is one warning, and this process keeps the values.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from conjure_kernel.cache import folder as cachedir
from conjure_kernel.cache import records as records
from conjure_kernel.cache.folder import ENERGY, TRAJECTORY, CacheInfo, cache_info, clear_cache
from conjure_kernel.cache.memory import MemoryStore
from conjure_kernel.cache.records import EnergyRow, digest
from conjure_kernel.models.task import Trajectory

__all__ = ["CacheInfo", "DiskStore", "EnergyRow", "MemoryStore"]
__all__ += ["cache_info", "clear_cache", "digest", "open_store"]

T = TypeVar("T")


class DiskStore:
    """Store of one run key in its own folder, shared by any number of processes.

    Its methods are those of `MemoryStore`. This process keeps what the disk refuses. Only the
    location is pickled: a copy elsewhere sees the files, not what the disk refused.

    Parameters
    ----------
    root : Path
        The folder of the whole cache.
    key : dict
        The run key, as `canonical` returns it.
    """

    def __init__(self, root: Path, key: dict[str, Any]) -> None:
        text = json.dumps(key, sort_keys=True).encode()
        model = re.sub(r"[^0-9A-Za-z_-]", "_", str(key["fingerprint"])[:16])
        self.root, self.key = root, key
        self.location = root / model / hashlib.blake2b(text, digest_size=16).hexdigest()
        self._kept = MemoryStore()
        self._warned: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the location only."""
        return DiskStore, (self.root, self.key)

    def sibling(self, key: dict[str, Any]) -> MemoryStore | DiskStore:
        """Return the store of another run below the same root."""
        return _open_at(self.root, key)

    def matches(self) -> bool:
        """Tell whether the folder is that of this key: always, unless one was moved by hand."""
        return self._read("key.json", cachedir.load_json) in (None, self.key)

    def read_run(self) -> dict[str, Any] | None:
        """Return the facts of the run, or None before `write_run`."""
        return self._kept.read_run() or self._read("run.json", cachedir.load_json)

    def write_run(self, facts: dict[str, Any]) -> None:
        """Keep the facts of the run as run.json."""
        if not self._write("run.json", cachedir.pretty(facts)):
            self._kept.write_run(facts)

    def read_energies(self, prompt: str, n_nodes: int | None = None) -> EnergyRow | None:
        """Return the row of one source prompt; a file of other than `n_nodes` nodes is damaged."""
        name, kept = digest(prompt), self._kept.read_energies(prompt, n_nodes)
        row = self._read(_energies(name), lambda path: records.load_row(path, name, n_nodes))
        return kept if row is None else row if kept is None else row.merge(kept)

    def merge_energies(self, prompt: str, row: EnergyRow) -> EnergyRow:
        """Read, merge and write a row under the prompt's write lock."""
        name = digest(prompt)
        with self._locked([f"{name[:2]}.write"]):
            old = self.read_energies(prompt, row.n_nodes) or EnergyRow.empty(row.n_nodes)
            merged = old.merge(row)
            if self._write(_energies(name), records.dump_row(merged, name)):
                self._kept.energies.pop(name, None)
            else:
                self._kept.energies[name] = merged
        return merged

    def read_trajectory(self, prompt: str, n_nodes: int | None = None) -> Trajectory | None:
        """Return the trajectory of one prompt, marked as used; None if there is none to read."""
        name, kept = digest(prompt), self._kept.read_trajectory(prompt, n_nodes)
        if kept is not None:
            return kept
        with suppress(OSError):
            os.utime(self.location / _trajectory(name))
        return self._read(_trajectory(name), lambda p: records.load_trajectory(p, name, n_nodes))

    def count_draws(self, prompt: str, n_nodes: int) -> int:
        """Return how many draws the trajectory of one prompt has; 0 if there is none."""
        name, kept = digest(prompt), self._kept.count_draws(prompt, n_nodes)
        on_disk = self._read(_trajectory(name), lambda p: records.count_draws(p, name, n_nodes))
        return kept or on_disk or 0

    def write_trajectory(self, prompt: str, trajectory: Trajectory) -> None:
        """Keep the trajectory of one prompt, in place of an earlier one."""
        name = digest(prompt)
        if self._write(_trajectory(name), records.dump_trajectory(trajectory, name)):
            self._kept.trajectories.pop(name, None)
        else:
            self._kept.write_trajectory(prompt, trajectory)

    @contextmanager
    def lock(self, prompts: Iterable[str], timeout: float | None = None) -> Iterator[None]:
        """Exclude every other thread and process that locks one of these prompts.

        A process that holds it from its look at what is missing to its last merge computes nothing
        twice. Reading and merging never wait for it.

        Parameters
        ----------
        prompts : iterable of str
            The source prompts.
        timeout : float, optional
            For how many seconds in all to wait. After them, or where files cannot be locked, there
            is one warning, and the work goes on. Default: CONJURE_KERNEL_LOCK_TIMEOUT.

        Notes
        -----
        Prompts share 256 lock files, by the first two digits of their digests, so that 2000 prompts
        do not need 2000 open files. Two long lists therefore wait for each other even if they have
        no prompt in common.
        """
        stripes = sorted({digest(prompt)[:2] for prompt in prompts})
        with self._locked([f"{stripe}.compute" for stripe in stripes], timeout):
            yield

    def trim(self) -> int:
        """Evict trajectories, least recently used first, to meet CONJURE_KERNEL_CACHE_LIMIT.

        The limit holds for the whole root, all models and runs; energies are never evicted.

        Returns
        -------
        n_bytes : int
            The disk space freed.
        """
        cachedir.remove_stale(self.root)
        files = list(cachedir.walk(self.root))
        excess, freed = sum(stat.st_size for _, stat in files) - cachedir.size_limit(), 0
        for path, stat in sorted(files, key=lambda file: file[1].st_mtime_ns):
            if freed < excess and path.suffix == TRAJECTORY:
                with suppress(OSError):
                    path.unlink()
                    freed += stat.st_size
        if freed < excess:
            left = f"{(excess - freed) / 1e6:.3g} MB above CONJURE_KERNEL_CACHE_LIMIT"
            self._warn(f"{self.root}: {left} without any trajectory; raise it or clear the cache.")
        return freed

    @contextmanager
    def _locked(self, names: list[str], timeout: float | None = None) -> Iterator[None]:
        timeout = cachedir.lock_timeout() if timeout is None else timeout
        deadline, folder = time.monotonic() + timeout, self.location / "locks"
        with ExitStack() as held:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                for name in names:
                    left = max(0.0, deadline - time.monotonic())
                    lock = FileLock(folder / name, is_singleton=True)
                    held.enter_context(lock.acquire(timeout=left, poll_interval=0.02))
            except Timeout:
                held.close()
                waited = f"{folder / name} is held elsewhere after {timeout:g} s"
                self._warn(f"{waited}: this process goes on and may do work twice.", "lock")
            except OSError as error:
                held.close()
                self._warn_of_disk(error)
            yield

    def _read(self, name: str, load: Callable[[Path], T]) -> T | None:
        path = self.location / name
        try:
            return load(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:  # a damaged file may raise anything
            self._warn(cachedir.unreadable(path, error), name)
            return None

    def _write(self, name: str, data: bytes) -> bool:
        try:
            if not (self.location / "key.json").exists():
                cachedir.replace(self.location / "key.json", cachedir.pretty(self.key))
            cachedir.replace(self.location / name, data)
        except OSError as error:
            self._warn_of_disk(error)
            return False
        return True

    def _warn_of_disk(self, error: OSError) -> None:
        self._warn(cachedir.unwritable(self.location, error), "disk")

    def _warn(self, text: str, about: str = "") -> None:
        if about not in self._warned:
            self._warned.add(about)
            warnings.warn(text, stacklevel=4)


def open_store(memory: Any, key: dict[str, Any]) -> MemoryStore | DiskStore:
    """Open the store of one run key.

    Parameters
    ----------
    memory : "auto", None, path or joblib.Memory
        "auto" is CONJURE_KERNEL_CACHE if set, else a per-user folder. None keeps everything in
        this process. Of a joblib.Memory, its `location` is used.
    key : dict with "fingerprint"
        Every field that changes a value and nothing else; JSON-able (1.0 and 1 are one value).

    Returns
    -------
    store : MemoryStore or DiskStore

    Raises
    ------
    TypeError
        `memory` names no folder.
    ValueError
        `key` has no fingerprint, or CONJURE_KERNEL_CACHE_LIMIT is no size.
    """
    root = cachedir.cache_root(memory)
    if root is None:
        return MemoryStore()
    cachedir.size_limit()
    return _open_at(root, key)


def _open_at(root: Path, key: dict[str, Any]) -> MemoryStore | DiskStore:
    store = DiskStore(root, cachedir.canonical(key))
    if not store.matches():
        warnings.warn(
            f"{store.location} holds the values of another key: nothing is read or written there; "
            "delete that folder.",
            stacklevel=2,
        )
        return MemoryStore()
    cachedir.remove_stale(store.location)
    return store


def _energies(name: str) -> str:
    return f"energies/{name}{ENERGY}"


def _trajectory(name: str) -> str:
    return f"trajectories/{name}{TRAJECTORY}"
