"""The hot loop: which energies e[a, b, k, t] are missing, and how to get them in few, full calls.

Sources are worked on in tiles whose draws fill one batch; for each tile every target is predicted
along its trajectories, one call per block, one text encoding per call. Trajectories are shared by
all pairs of a source: that is the method's first optimisation. What is finished is kept, whatever
interrupts. Layer 3.
"""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from conjure_kernel.batches import Batches, Block
from conjure_kernel.denoiser import Denoiser, Trajectory
from conjure_kernel.schedule import Grid
from conjure_kernel.settings import Settings
from conjure_kernel.store import EnergyRow, digest, open_store

__all__ = ["Engine", "Known"]

FLUSH_SECONDS = 30.0
PROBE_TOLERANCE = 0.05

Requests = Mapping[str, Sequence[str]]


class Known(NamedTuple):
    """Energies (n_targets, K, T) of one source, and how its text was read."""

    energies: np.ndarray
    truncated: bool
    tokens: str


class Engine:
    """Energies of one model under one `Settings`, from the store or newly computed.

    Parameters
    ----------
    denoiser : Denoiser
        Loaded only if something is missing.
    settings : Settings
    n_draws : int
        K.
    memory
        What `open_store` takes.
    batch_size : int or "auto"
        Rows per network call.
    verbose : int
        Above 0: a progress bar with predictions per second and the time left.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        settings: Settings,
        *,
        n_draws: int = 4,
        memory: Any = "auto",
        batch_size: int | str = "auto",
        verbose: int = 0,
    ) -> None:
        self.denoiser, self.settings, self.n_draws = denoiser, settings, n_draws
        self.key = settings.key(denoiser)
        self._memory, self._batch_size, self._verbose = memory, batch_size, verbose
        self._store = open_store(memory, self.key)
        self._chains: dict[str, Trajectory] = {}
        self._truncated: dict[str, bool] = {}
        self._pending: dict[str, list[tuple[str, int, np.ndarray]]] = defaultdict(list)
        facts = self._store.read_run()
        self._grid: Grid | None = None if facts is None else Grid.from_dict(facts["grid"])

    @property
    def grid(self) -> Grid:
        """Noise levels: remembered by the cache, or asked of the model."""
        if self._grid is None:
            self.load()
        assert self._grid is not None
        return self._grid

    def measure(self, requests: Requests) -> dict[str, Known]:
        """Energies of each source's chains under each of its targets.

        Parameters
        ----------
        requests : mapping of source prompt to target prompts
            A prompt may be among its own targets: that energy is 0.

        Returns
        -------
        known : dict of source prompt to Known
            In the order of the sources and targets asked for.
        """
        known, store = self._look_up(requests), self._store
        if None in known.values():
            self.load()
            if self._store is not store:  # another behaviour: no row of the old run may stay
                known = self._look_up(requests)
            missing = _missing(requests, known)
            with self._progress(missing) as self._bar:
                for tile in self._tiles(missing):
                    self._fill(tile)
                    known.update(self._look_up(tile))
            self._store.trim()
        return {source: row for source, row in known.items() if row is not None}

    def cost(self, requests: Requests) -> int:
        """Noise predictions that `measure` would make now."""
        branches = 1 if self.settings.guidance_scale == 1 else 2
        a_draw = self.settings.n_steps * self.settings.substeps * branches
        a_draw += self.settings.n_steps * (branches - 1)
        total = 0
        for source, targets in _missing(requests, self._look_up(requests)).items():
            chain = self._store.read_trajectory(source, self.settings.n_steps)
            total += max(0, self.n_draws - (chain.n_draws if chain else 0)) * a_draw
            total += self._lacks(source, targets).sum() * self.settings.n_steps
        return int(total)

    def images(self, prompts: Sequence[str], n: int = 1) -> np.ndarray:
        """Pictures where the first n chains end: uint8 (n_prompts, n, H, W, 3)."""
        self.load()
        ends = {}
        for prompt in dict.fromkeys(prompts):
            chain = self._store.read_trajectory(prompt, self.settings.n_steps)
            if chain is None or chain.n_draws < n:
                ((_, chain),) = self._batches.trace([prompt], range(n), self._chain)
            ends[prompt] = chain.x0[:n]
        pictures = self.denoiser.decode(torch.cat([ends[p] for p in prompts]))
        return pictures.reshape(len(prompts), n, *pictures.shape[1:])

    def truncated(self, prompts: Sequence[str]) -> np.ndarray:
        """Bool (n_prompts,): measured prompts of which every text encoder lost a part."""
        return np.array([self._truncated[prompt] for prompt in prompts])

    def load(self) -> None:
        """Bring the model in; one that answers otherwise than it did gets a run of its own."""
        self.denoiser.load()
        probe, facts = self.denoiser.probe, self._store.read_run()
        known = facts and facts.get("probe")
        if probe and known and not np.allclose(probe, known, atol=PROBE_TOLERANCE):
            warnings.warn(
                "the model answers otherwise than when this cache was filled (same weights, other "
                "behaviour): its values are computed anew.",
                stacklevel=4,
            )
            behaviour = [round(value, 2) for value in probe]
            self._store = open_store(self._memory, {**self.key, "behaviour": behaviour})
            facts = self._store.read_run()
        if facts is None:
            grid = self.settings.grid(self.denoiser)
            self._store.write_run({"grid": grid.to_dict(), "probe": probe})
            facts = self._store.read_run() or {"grid": grid.to_dict()}
        self._grid = Grid.from_dict(facts["grid"])
        self._chain = self.settings.chain(self._grid)
        self._batches = Batches(self.denoiser, self._batch_size)

    def _row(self, source: str) -> EnergyRow:
        n_nodes = self.settings.n_steps
        return self._store.read_energies(source, n_nodes) or EnergyRow.empty(n_nodes)

    def _look_up(self, requests: Requests) -> dict[str, Known | None]:
        """What the store has; None for a source that lacks anything."""
        known: dict[str, Known | None] = {}
        for source, targets in requests.items():
            row = self._row(source)
            self._truncated[source] = row.truncated
            energies = row.take(_names(targets), self.n_draws)
            complete = row.values.shape[1] >= self.n_draws and not np.isnan(energies[..., 0]).any()
            known[source] = Known(energies, row.truncated, row.tokens) if complete else None
        return known

    def _lacks(self, source: str, targets: Sequence[str]) -> np.ndarray:
        """Boolean (n_targets, K): what is still to be predicted; a source's own never is."""
        lacks = np.isnan(self._row(source).take(_names(targets), self.n_draws)[..., 0])
        lacks[[target == source for target in targets]] = False
        return lacks

    def _tiles(self, requests: Requests) -> Iterator[dict[str, Sequence[str]]]:
        """Sources whose draws fill a batch, those that want most first."""
        ordered = sorted(requests, key=lambda source: -len(requests[source]))
        while ordered:
            size = max(1, self._batches.size // self.n_draws)
            tile, ordered = ordered[:size], ordered[size:]
            yield {source: requests[source] for source in tile}

    def _fill(self, requests: Requests) -> None:
        """Compute what a tile lacks; another process may have done some of it meanwhile."""
        with self._store.lock(requests):
            try:
                flushed = time.monotonic()
                requests = _missing(requests, self._look_up(requests))
                self._bring_trajectories(list(requests))
                for call in self._batches.pack(self._blocks(requests)):
                    self._predict(call)
                    if time.monotonic() - flushed > FLUSH_SECONDS:
                        self._flush()
                        flushed = time.monotonic()
            finally:
                self._flush()
                self._chains.clear()

    def _bring_trajectories(self, sources: Sequence[str]) -> None:
        """K draws of each source: read, extended or traced. Its own energies are 0."""
        n_nodes, chains = self.settings.n_steps, self._chains
        found = {s: self._store.read_trajectory(s, n_nodes) for s in sources}
        chains.update((s, chain) for s, chain in found.items() if chain is not None)
        have = {s: chains[s].n_draws if s in chains else 0 for s in sources}
        short = sorted((s for s in sources if have[s] < self.n_draws), key=have.__getitem__)
        for first, group in groupby(short, key=have.__getitem__):
            draws, before = range(first, self.n_draws), self.denoiser.n_evaluations
            for prompt, chain in self._batches.trace(list(group), draws, self._chain):
                chains[prompt] = chains[prompt].extend(chain) if first else chain
                self._store.write_trajectory(prompt, chains[prompt])
                self._bar.update(self.denoiser.n_evaluations - before)
                before = self.denoiser.n_evaluations
        for source in sources:
            zeros = np.zeros((self.n_draws, n_nodes), np.float32)
            self._pending[source].append((source, 0, zeros))

    def _blocks(self, requests: Requests) -> Iterator[Block]:
        """For each target the rows that lack it, at most a batch of them, longest first."""
        rows: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for source, targets in requests.items():
            for i, draw in np.argwhere(self._lacks(source, targets)):
                rows[targets[i]].append((source, int(draw)))
        for target in sorted(rows, key=lambda target: -len(rows[target])):
            while rows[target]:
                size = self._batches.size  # it shrinks when memory runs out
                yield Block(target, tuple(rows[target][:size]))
                del rows[target][:size]

    def _predict(self, call: list[Block]) -> None:
        rows = [row for block in call for row in block.rows]
        x, eps = (
            torch.stack([getattr(self._chains[source], name)[draw] for source, draw in rows], 1)
            for name in ("x", "eps")
        )
        targets = [block.target for block in call]
        energies = self._batches.predict(targets, x, eps, self._chain).T.numpy()
        self._bar.update(energies.size)
        for block, values in zip(call, np.split(energies, len(call)), strict=True):
            for (source, draw), value in zip(block.rows, values, strict=True):
                self._pending[source].append((block.target, draw, value[None]))

    def _flush(self) -> None:
        """Merge what is computed into the store."""
        for source, entries in self._pending.items():
            place = {target: i for i, target in enumerate(dict.fromkeys(t for t, _, _ in entries))}
            shape = (len(place), self.n_draws, self.settings.n_steps)
            values = np.full(shape, np.nan, np.float32)
            for target, draw, value in entries:
                values[place[target], draw : draw + len(value)] = value
            chain = self._chains[source]
            row = EnergyRow(_names(list(place)), values, chain.truncated, chain.tokens)
            self._store.merge_energies(source, row)
        self._pending = defaultdict(list)

    def _progress(self, requests: Requests) -> tqdm:
        if not self._verbose:
            return tqdm(disable=True)
        return tqdm(total=self.cost(requests), unit="pred", unit_scale=True, leave=False)


def _missing(requests: Requests, known: Mapping[str, Known | None]) -> Requests:
    return {source: targets for source, targets in requests.items() if known[source] is None}


def _names(prompts: Sequence[str]) -> np.ndarray:
    return np.array([digest(prompt) for prompt in prompts], dtype="S32")
