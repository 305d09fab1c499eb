"""Which energies of a run are wanted, which are known, and which are yet to be written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from conjure_kernel._checks import check_memory
from conjure_kernel.cache.store import DiskStore, EnergyRow, MemoryStore, digest
from conjure_kernel.models.task import Trajectory

__all__ = ["Known", "Ledger", "Requests", "Wanted", "make_wanted", "requests_of_matrix"]
__all__ += ["pairs_from_origin", "requests_of_pairs"]

Requests = Mapping[str, Sequence[str]]


class Known(NamedTuple):
    """Energies (n_targets, K, T) of one source, and the `Reading` of its text."""

    energies: np.ndarray
    truncated: bool
    tokens: str


class Wanted(NamedTuple):
    """Targets of one source, their digests, and which draws of each: bool (n_targets, K)."""

    source: str
    targets: Sequence[str]
    names: np.ndarray
    draws: np.ndarray

    @property
    def n_draws(self) -> int:
        """Number of draws that the source's trajectory must have."""
        return int(np.flatnonzero(self.draws.any(0)).max(initial=-1)) + 1

    @property
    def predictions(self) -> np.ndarray:
        """Draws to predict, bool (n_targets, K): not under the source, as that energy is 0."""
        return self.draws & (self.names != digest(self.source).encode())[:, None]


class Ledger:
    """What one store knows of the wanted energies, and what is yet to be written to it.

    Parameters
    ----------
    store : MemoryStore or DiskStore
    n_nodes : int
        Number of nodes, T.
    """

    def __init__(self, store: MemoryStore | DiskStore, n_nodes: int) -> None:
        self.store, self.n_nodes = store, n_nodes
        self._truncated: dict[str, bool] = {}
        self._held: dict[str, EnergyRow] = {}
        self._pending: dict[str, list[tuple[str, int, np.ndarray]]] = defaultdict(list)

    def look_up(self, wanted: Mapping[str, Wanted]) -> dict[str, Known | None]:
        """Look up each source; None for one that lacks anything.

        What is known of such a source is held in memory until `release`, whatever happens to files.
        """
        known: dict[str, Known | None] = {}
        for source, want in wanted.items():
            row, energies = self._read(want)
            self._truncated[source] = row.truncated
            complete = not (np.isnan(energies[..., 0]) & want.draws).any()
            known[source] = Known(energies, row.truncated, row.tokens) if complete else None
            if not complete:
                self._held[source] = row
        return known

    def release(self) -> None:
        """Hold nothing in memory any longer beside what the store keeps there."""
        self._held.clear()

    def missing(self, wanted: Mapping[str, Wanted]) -> dict[str, Wanted]:
        """Sources that lack anything, with the draws that they lack."""
        missing = {}
        for source, want in wanted.items():
            lacks = want.draws & np.isnan(self._read(want)[1][..., 0])
            if lacks.any():
                missing[source] = want._replace(draws=lacks)
        return missing

    def count(self, missing: Mapping[str, Wanted]) -> tuple[int, int]:
        """Chains to trace, and replays of a chain under one target."""
        n_chains = n_replays = 0
        for source, want in missing.items():
            n_chains += max(0, want.n_draws - self.store.count_draws(source, self.n_nodes))
            n_replays += int(want.predictions.sum())
        return n_chains, n_replays

    def truncated(self, prompts: Sequence[str]) -> np.ndarray:
        """Tell which prompts, looked up before, every text encoder cut: bool (n_prompts,)."""
        return np.array([self._truncated[prompt] for prompt in prompts])

    def note(self, source: str, target: str, draw: int, energies: np.ndarray) -> None:
        """Note the energies (m, T) of draws from `draw` on, to be written with the next `flush`."""
        self._pending[source].append((target, draw, energies))

    def flush(self, chains: Mapping[str, Trajectory]) -> None:
        """Merge what is noted into the store."""
        while self._pending:  # what an interrupt leaves is written by the next call
            source, entries = next(iter(self._pending.items()))
            place = {target: i for i, target in enumerate(dict.fromkeys(t for t, _, _ in entries))}
            n_draws = max(draw + len(energies) for _, draw, energies in entries)
            values = np.full((len(place), n_draws, self.n_nodes), np.nan, np.float32)
            for target, draw, energies in entries:
                values[place[target], draw : draw + len(energies)] = energies
            chain = chains[source]
            row = EnergyRow(names_of(list(place)), values, chain.truncated, chain.tokens)
            merged = self.store.merge_energies(source, row)
            self._held[source] = self._held.get(source, merged).merge(merged)
            del self._pending[source]

    def _read(self, want: Wanted) -> tuple[EnergyRow, np.ndarray]:
        """Row of a source, and the energies (n_targets, K, T) in it that are wanted."""
        stored = self.store.read_energies(want.source, self.n_nodes)
        row = stored or EnergyRow.empty(self.n_nodes)
        if (held := self._held.get(want.source)) is not None:
            row = self._held[want.source] = row.merge(held)
        return row, row.take(want.names, want.draws.shape[1])


def requests_of_matrix(prompts: Sequence[str], origin: str | None = None) -> Requests:
    """Targets of each prompt where all pairs are wanted, and those from the origin if any."""
    every = [*prompts] if origin is None else [*prompts, origin]
    distinct = list(dict.fromkeys(every))
    return dict.fromkeys(distinct, distinct)


def requests_of_pairs(
    left: Sequence[str], right: Sequence[str], origin: str | None = None
) -> Requests:
    """Targets of every text of these pairs, and those from the origin if any."""
    left, right = pairs_from_origin(left, right, origin)
    wanted: dict[str, dict[str, None]] = {prompt: {} for prompt in [*left, *right]}
    for x, y in zip(left, right, strict=True):
        wanted[x][y] = wanted[y][x] = None
    return {source: list(targets) for source, targets in wanted.items()}


def pairs_from_origin(
    left: Sequence[str], right: Sequence[str], origin: str | None
) -> tuple[list[str], list[str]]:
    """Both sides of these pairs; with an origin, then of each left and each right side from it."""
    if origin is None:
        return [*left], [*right]
    return [*left, *left, *right], [*right, *[origin] * (len(left) + len(right))]


def make_wanted(
    requests: Requests, n_draws: int, n_nodes: int, draws: Mapping[str, np.ndarray] | None
) -> dict[str, Wanted]:
    """What the requests want: all of n_draws draws, or those in `draws`, bool (n_targets, K)."""
    n_entries = sum(len(targets) for targets in requests.values())
    what = f"n_steps={n_nodes}, n_draws={n_draws}, {n_entries} pairs of prompts"
    check_memory(4.0 * n_entries * n_draws * n_nodes, what)
    names: dict[int, np.ndarray] = {}  # lists of targets are often one and the same
    wanted = {}
    for source, targets in requests.items():
        if id(targets) not in names:
            names[id(targets)] = names_of(targets)
        every = np.broadcast_to(True, (len(targets), n_draws))
        which = every if draws is None else draws[source]
        wanted[source] = Wanted(source, targets, names[id(targets)], which)
    return wanted


def names_of(prompts: Sequence[str]) -> np.ndarray:
    """Digests of prompts, S32."""
    return np.array([digest(prompt) for prompt in prompts], dtype="S32")
