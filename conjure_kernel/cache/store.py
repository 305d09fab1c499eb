"""The disk cache: energy rows and trajectories, one file of each per source prompt.

`open_store` opens the store of one run key, on disk (`DiskStore`) or in this process
(`MemoryStore`). Both have the same methods. On disk::

    <root>/conjure_kernel-v2/<fingerprint>/<digest of the key>/
        key.json  run.facts  energies/  trajectories/  vectors/  locks/

Files are written under another name and then renamed, so a reader, who takes no lock, sees the old
file or the new one. Each has the digests of the key and of the prompt inside, and a checksum: see
`container`. Where the disk cannot be written, there is one warning, and this process keeps the
values.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from conjure_kernel.cache import container, records
from conjure_kernel.cache import folder as cachedir
from conjure_kernel.cache.container import Label
from conjure_kernel.cache.disk import Disk
from conjure_kernel.cache.folder import ENERGY, FOLDERS, RUN, TRAJECTORY
from conjure_kernel.cache.memory import MemoryStore
from conjure_kernel.cache.records import EnergyRow, digest
from conjure_kernel.cache.upkeep import CacheInfo, cache_info, clear_cache, evict, remove_stale
from conjure_kernel.models.task import Trajectory

__all__ = ["CacheInfo", "DiskStore", "EnergyRow", "MemoryStore"]
__all__ += ["cache_info", "clear_cache", "digest", "open_store"]

WRITE_SECONDS = 60.0  # of waiting for another process that merges, which takes milliseconds


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
        self.name = hashlib.blake2b(text, digest_size=16).hexdigest()
        self.location = root / model / self.name
        self.disk = Disk(self.location, key)
        self._kept = MemoryStore()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the location only."""
        return DiskStore, (self.root, self.key)

    def sibling(self, key: dict[str, Any]) -> DiskStore:
        """Return the store of another run below the same root."""
        return _open_at(self.root, key)

    def read_run(self) -> dict[str, Any] | None:
        """Return the facts of the run, or None before `write_run`."""
        label = Label("run", self.name)
        return self._kept.read_run() or self.disk.read(RUN, lambda p: container.load(p, label)[0])

    def write_run(self, facts: dict[str, Any]) -> None:
        """Keep the facts of the run."""
        if not self.disk.write(RUN, container.dump(Label("run", self.name), facts, {})):
            self._kept.write_run(facts)

    def read_energies(self, prompt: str, n_nodes: int | None = None) -> EnergyRow | None:
        """Return the row of one source prompt; a file of other than `n_nodes` nodes is damaged."""
        name, kept = digest(prompt), self._kept.read_energies(prompt, n_nodes)
        label = Label("energies", self.name, name)
        row = self.disk.read(_energies(name), lambda p: records.load_row(p, label, n_nodes))
        return kept if row is None else row if kept is None else row.merge(kept)

    def merge_energies(self, prompt: str, row: EnergyRow) -> EnergyRow:
        """Read, merge and write a row under the prompt's write lock; without the lock, keep it."""
        name = digest(prompt)
        label = Label("energies", self.name, name)
        timeout = min(cachedir.lock_timeout(), WRITE_SECONDS)
        with self.disk.locked([f"{name[:2]}.write"], timeout) as locked:
            old = self.read_energies(prompt, row.n_nodes) or EnergyRow.empty(row.n_nodes)
            merged = old.merge(row)
            if locked and self.disk.write(_energies(name), records.dump_row(merged, label)):
                self._kept.energies.pop(name, None)
            else:
                self._kept.energies[name] = merged
        return merged

    def read_trajectory(self, prompt: str, n_nodes: int | None = None) -> Trajectory | None:
        """Return the trajectory of one prompt, marked as used; None if there is none to read."""
        name, kept = digest(prompt), self._kept.read_trajectory(prompt, n_nodes)
        if kept is not None:
            return kept
        label, path = Label("trajectory", self.name, name), _trajectory(name)
        with suppress(OSError):
            os.utime(self.location / path)
        return self.disk.read(path, lambda p: records.load_trajectory(p, label, n_nodes))

    def count_draws(self, prompt: str, n_nodes: int) -> int:
        """Return how many draws the trajectory of one prompt has; 0 if there is none."""
        name, kept = digest(prompt), self._kept.count_draws(prompt, n_nodes)
        label = Label("trajectory", self.name, name)
        read = self.disk.read
        return (
            kept or read(_trajectory(name), lambda p: records.count_draws(p, label, n_nodes)) or 0
        )

    def write_trajectory(self, prompt: str, trajectory: Trajectory) -> None:
        """Keep the trajectory of one prompt, in place of an earlier one."""
        name = digest(prompt)
        data = records.dump_trajectory(trajectory, Label("trajectory", self.name, name))
        if self.disk.write(_trajectory(name), data):
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
            For how many seconds in all to wait. After ten of them a warning says for which process.
            After all of them, or after half a minute if that process is stopped, there is one
            warning, and the work goes on. Default: CONJURE_KERNEL_LOCK_TIMEOUT.

        Notes
        -----
        Prompts share 256 lock files, by the first two digits of their digests, so that 2000 prompts
        do not need 2000 open files. Two long lists therefore wait for each other even if they have
        no prompt in common.
        """
        stripes = sorted({digest(prompt)[:2] for prompt in prompts})
        timeout = cachedir.lock_timeout() if timeout is None else timeout
        with self.disk.locked([f"{stripe}.compute" for stripe in stripes], timeout):
            yield

    def trim(self) -> int:
        """Evict trajectories, least recently used first, to meet CONJURE_KERNEL_CACHE_LIMIT.

        The limit holds for the whole root, all models and runs; energies are never evicted.

        Returns
        -------
        n_bytes : int
            The disk space freed.
        """
        freed, excess = evict(self.root)
        if excess > 0:
            left = f"{excess / 1e6:.3g} MB above CONJURE_KERNEL_CACHE_LIMIT"
            text = f"{self.root}: {left} without any trajectory; raise it or clear the cache."
            self.disk.tell(text, "size")
        return freed


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


def _open_at(root: Path, key: dict[str, Any]) -> DiskStore:
    store = DiskStore(root, cachedir.canonical(key))
    remove_stale(store.location)
    return store


def _energies(name: str) -> str:
    return f"{FOLDERS[ENERGY]}/{name}{ENERGY}"


def _trajectory(name: str) -> str:
    return f"{FOLDERS[TRAJECTORY]}/{name}{TRAJECTORY}"
