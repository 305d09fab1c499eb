"""The store of `memory=None`: everything stays in this process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conjure_kernel.cache.disk import Disk
from conjure_kernel.cache.folder import pretty
from conjure_kernel.cache.records import EnergyRow, digest
from conjure_kernel.models.task import Trajectory

__all__ = ["MemoryStore"]


class MemoryStore:
    """Store of `memory=None`: everything stays in this process, and pickles with it.

    Rows and trajectories are handed out without a copy: do not write into them.
    """

    root: Path | None = None
    location: Path | None = None
    disk: Disk | None = None
    name = ""

    def __init__(self) -> None:
        self.run: dict[str, Any] | None = None
        self.energies: dict[str, EnergyRow] = {}
        self.trajectories: dict[str, Trajectory] = {}

    def sibling(self, key: dict[str, Any]) -> MemoryStore:
        """Return the store of another run in the same place."""
        return MemoryStore()

    def read_run(self) -> dict[str, Any] | None:
        """Return the facts of the run (nodes, probe), or None before `write_run`."""
        return self.run

    def write_run(self, facts: dict[str, Any]) -> None:
        """Keep the facts of the run, so that a warm run needs no model; tuples return as lists."""
        self.run = json.loads(pretty(facts))

    def read_energies(self, prompt: str, n_nodes: int | None = None) -> EnergyRow | None:
        """Return the row of one source prompt; None if there is none with T = `n_nodes`."""
        row = self.energies.get(digest(prompt))
        return None if row is None or n_nodes not in (None, row.n_nodes) else row

    def merge_energies(self, prompt: str, row: EnergyRow) -> EnergyRow:
        """Add a row to what is known of a source prompt; return all that is then known."""
        old = self.read_energies(prompt, row.n_nodes) or EnergyRow.empty(row.n_nodes)
        self.energies[digest(prompt)] = merged = old.merge(row)
        return merged

    def read_trajectory(self, prompt: str, n_nodes: int | None = None) -> Trajectory | None:
        """Return the trajectory of one prompt; None if there is none with T = `n_nodes`."""
        kept = self.trajectories.get(digest(prompt))
        return None if kept is None or n_nodes not in (None, kept.x.shape[1]) else kept

    def count_draws(self, prompt: str, n_nodes: int) -> int:
        """Return how many draws the trajectory of one prompt has; 0 if there is none."""
        kept = self.read_trajectory(prompt, n_nodes)
        return kept.n_draws if kept else 0

    def write_trajectory(self, prompt: str, trajectory: Trajectory) -> None:
        """Keep the trajectory of one prompt, in place of an earlier one."""
        self.trajectories[digest(prompt)] = trajectory

    @contextmanager
    def lock(self, prompts: Iterable[str], timeout: float | None = None) -> Iterator[None]:
        """Nothing to lock: no other process sees this store."""
        yield

    def trim(self) -> int:
        """Nothing to evict: 0 bytes freed."""
        return 0
