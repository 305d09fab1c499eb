"""The hot loop: which energies e[a, b, k, t] are missing, and how to get them in few, full calls.

Sources are taken in tiles whose draws fill one batch. For each tile every target is predicted along
its trajectories, with one call per block and one text encoding per call. All pairs of a source
share its trajectories, which saves most of the cost. What is finished is kept, whatever interrupts.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from conjure_kernel.cache.store import DiskStore, MemoryStore, open_store
from conjure_kernel.engine.batches import Batches
from conjure_kernel.engine.behaviour import check_memory, check_unchanged, matching_store
from conjure_kernel.engine.ledger import Known, Ledger, Requests, make_wanted
from conjure_kernel.engine.parameters import Parameters
from conjure_kernel.engine.pictures import end_states
from conjure_kernel.engine.progress import Progress, Tell
from conjure_kernel.engine.settings import BothBranches, Settings
from conjure_kernel.engine.tiles import Tile, cut_tiles, cut_waves, replayings, tracings
from conjure_kernel.engine.turns import in_turn
from conjure_kernel.engine.workers import Job, Workers
from conjure_kernel.method.grid import Grid
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.finite import decoded
from conjure_kernel.models.task import Trajectory

__all__ = ["Engine", "Known", "Requests"]

FLUSH_SECONDS = 30.0


class Engine:
    """Energies of one model under one `Settings`, from the store or newly computed.

    Parameters
    ----------
    denoiser : Denoiser
        The model; by name it is loaded only if something is missing, in memory it is looked at.
    settings : Settings
        What fixes an energy beside the model, the prompts and the draws.
    weighting, origin : str, str or None
        How energies are summed, and the prompt that sums are relative to; no energy changes.
    n_draws : int
        Number of draws, K.
    tol, max_draws, check_steps : float or None, int, int
        The parameters of `ConjureDistance`, which `stopping.py` and `steps.py` read.
    memory, batch_size, n_jobs, verbose
        The same; only this process writes to the cache.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        settings: Settings,
        *,
        weighting: str = Parameters.weighting,
        origin: str | None = None,
        n_draws: int = Parameters.n_draws,
        tol: float | None = Parameters.tol,
        max_draws: int = Parameters.max_draws,
        check_steps: int = Parameters.check_steps,
        memory: Any = Parameters.memory,
        batch_size: int | str = Parameters.batch_size,
        n_jobs: int | None = Parameters.n_jobs,
        verbose: int = Parameters.verbose,
    ) -> None:
        self.denoiser, self.settings, self.weighting = denoiser, settings, weighting
        self.n_draws, self.check_steps, self.origin = n_draws, check_steps, origin
        self.tol, self.max_draws = tol, max_draws
        self.key, self._batch_size = settings.key(denoiser), batch_size
        self._memory = memory = check_memory(memory, denoiser)
        self._n_jobs, self._verbose, self._told = n_jobs, verbose, set[str]()
        self.tell_rate: Tell | None = None  # how fast it goes, see `Progress`
        self._variants: dict[tuple[Settings, int], Engine] = {}
        store = open_store(memory, self.key)
        if denoiser.probe is not None:  # in memory: it is asked before anything is looked up
            store = matching_store(store, self.key, denoiser)
        self._ledger = Ledger(store, settings.n_nodes)
        self._trajectories: dict[str, Trajectory] = {}
        facts = store.read_run()
        self._grid: Grid | None = None if facts is None else Grid.from_dict(facts["grid"])

    @property
    def grid(self) -> Grid:
        """Noise levels, from the cache if it knows them, else from the model."""
        if self._grid is None:
            self.load()
        assert self._grid is not None
        return self._grid

    @property
    def root(self) -> Path | None:
        """Folder of the whole cache; None where nothing is kept on disk."""
        return self.store.root

    @property
    def store(self) -> MemoryStore | DiskStore:
        """What is kept of this run."""
        return self._ledger.store

    @in_turn
    def measure(
        self, requests: Requests, draws: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, Known]:
        """Energies of each source's chains under each of its targets.

        Parameters
        ----------
        requests : mapping of source prompt to target prompts
            A prompt may be among its own targets: that energy is 0.
        draws : mapping of source prompt to bool array of shape (n_targets, K), optional
            Which draws of each target are measured. Default: all of the engine's K.

        Returns
        -------
        known : dict of source prompt to Known
            Sources and targets are in the order of the requests; an energy that is neither
            requested nor in the cache is NaN.
        """
        check_unchanged(self.denoiser, self.settings, self.key)
        wanted = make_wanted(requests, self.n_draws, self.settings.n_nodes, draws)
        known, ledger = self._ledger.look_up(wanted), self._ledger
        try:
            if None in known.values():
                self.load()
                if self._ledger is not ledger:  # another behaviour: no row of the old run is used
                    known = self._ledger.look_up(wanted)
                self._compute(wanted)
                lacked = {s: wanted[s] for s, row in known.items() if row is None}
                known |= self._ledger.look_up(lacked)  # and what other processes did meanwhile
                self.store.trim()
        finally:
            self._ledger.release()
        return {source: row for source, row in known.items() if row is not None}

    def cost(self, requests: Requests, draws: Mapping[str, np.ndarray] | None = None) -> int:
        """Noise predictions that `measure` would make now."""
        return self.n_predictions(*self.lacking(requests, draws))

    def lacking(
        self, requests: Requests, draws: Mapping[str, np.ndarray] | None = None
    ) -> tuple[int, int]:
        """Chains that `measure` would trace now, and replays of a chain under one target."""
        wanted = make_wanted(requests, self.n_draws, self.settings.n_nodes, draws)
        return self._ledger.count(self._ledger.missing(wanted))

    def n_predictions(self, n_chains: int, n_replays: int) -> int:
        """Noise predictions of so many chains and replays; the model may have to be loaded."""
        n_steps = None if self.settings.has_plain_chain else len(self.grid.log_snr)
        kind = BothBranches if self.denoiser.both_branches else type(self.settings)
        return kind.n_predictions(self.settings, n_chains, n_replays, n_steps)

    def variant(self, settings: Settings, n_draws: int) -> Engine:
        """Engine of the same model, cache and workers under other settings."""
        if (settings, n_draws) not in self._variants:
            options: dict[str, Any] = {"weighting": self.weighting, "n_draws": n_draws}
            options |= {"memory": self._memory, "batch_size": self._batch_size}
            options |= {"n_jobs": self._n_jobs, "verbose": self._verbose}
            self._variants[settings, n_draws] = Engine(self.denoiser, settings, **options)
        return self._variants[settings, n_draws]

    def rate(self, prompt: str, n_predictions: int, n_rows: int) -> tuple[float, int]:
        """Predictions per second, timed for a few seconds, and rows a call (at most n_rows)."""
        self.batches.tune_batch_size(prompt, n_predictions, self.root)
        return self.batches.rate(prompt, self.settings.n_nodes, n_rows)

    @in_turn
    def images(self, prompts: Sequence[str], n: int = 1) -> np.ndarray:
        """Pictures at the ends of the first n draws: uint8 (n_prompts, n, H, W, 3)."""
        self.load()
        ends = end_states(prompts, n, self.store, self.batches, self._chain)
        pictures = decoded(self.denoiser.decode, ends, prompts)
        return pictures.reshape(len(prompts), n, *pictures.shape[1:])

    @in_turn
    def trajectories(self, prompts: Sequence[str], n_draws: int) -> dict[str, Trajectory]:
        """Each prompt's trajectory with at least n_draws draws, from the cache or traced now."""

        def read() -> dict[str, Trajectory | None]:
            every = {p: self.store.read_trajectory(p, self.settings.n_nodes) for p in prompts}
            return {p: t if t and t.n_draws >= n_draws else None for p, t in every.items()}

        if None in (kept := read()).values():
            self.load()  # another behaviour has trajectories of its own
            kept = read()
        return {
            p: known or self.batches.trace([p], range(n_draws), self._chain)[0]
            for p, known in kept.items()
        }

    def do(self, jobs: Iterable[Job], n_predictions: int) -> Iterator[tuple[Any, list]]:
        """Do jobs other than energies with the same workers; yield each when it is done."""
        self.batches.tune_batch_size("", n_predictions, self.root)
        with self._progress(n_predictions) as self._bar:
            yield from self._run(jobs)

    def tell(self, text: str, category: type[Warning], about: str = "") -> None:
        """Warn, once for each text, or thing that it is about."""
        if (key := about or text) not in self._told:
            warnings.warn(text, category, stacklevel=6)
        self._told.add(key)

    def truncated(self, prompts: Sequence[str]) -> np.ndarray:
        """Tell which measured prompts every text encoder lost a part of: bool (n_prompts,)."""
        return self._ledger.truncated(prompts)

    def load(self) -> None:
        """Load the model; if its predictions have changed, its values go to another folder."""
        check_unchanged(self.denoiser, self.settings, self.key)
        self.denoiser.load()
        store = self.store
        if (key := self.settings.key(self.denoiser)) != self.key:  # it overflowed in its own dtype
            self.key, store = key, open_store(self._memory, key)
        if (store := matching_store(store, self.key, self.denoiser)) is not self.store:
            self._ledger = Ledger(store, self.settings.n_nodes)
        facts = self.store.read_run()
        if facts is None:
            grid = self.settings.grid(self.denoiser)
            about = {"probe": self.denoiser.probe, "law": self.denoiser.law}
            self.store.write_run({"grid": grid.to_dict(), **about})
            facts = self.store.read_run() or {"grid": grid.to_dict()}
        self._grid = Grid.from_dict(facts["grid"])
        self._chain = self.settings.chain(self._grid)
        self.batches = Batches(self.denoiser, self._batch_size)
        self._workers = Workers(self.batches, self._chain, self._n_jobs)

    def _compute(self, wanted: Tile) -> None:
        """Compute what the cache lacks."""
        missing = self._ledger.missing(wanted)
        total = self.n_predictions(*self._ledger.count(missing))
        self.batches.tune_batch_size(next(iter(wanted)), total, self.root)
        with self._progress(total) as self._bar:
            for wave in cut_waves(missing, self.batches, self._workers):
                self._fill(wave)

    def _fill(self, wave: Tile) -> None:
        """Compute what a wave still lacks, as another process may have done some of it."""
        with self.store.lock(wave):
            try:
                tiles = list(cut_tiles(self._ledger.missing(wave), self.batches))
                self._bring_trajectories(tiles)
                self._replay(tiles)
            finally:
                self._ledger.flush(self._trajectories)
                self._trajectories.clear()

    def _bring_trajectories(self, tiles: list[Tile]) -> None:
        """Read, extend or trace the trajectory of each source; note that its own energy is 0."""
        n_nodes, n_chains = self.settings.n_nodes, self.settings.chains_per_draw
        jobs = list[Job]()
        for tile in tiles:
            for source in tile:
                if (kept := self.store.read_trajectory(source, n_nodes)) is not None:
                    self._trajectories[source] = kept
            jobs += tracings(tile, self._trajectories, self.batches, n_chains)
        for job, traced in self._run(jobs):
            for prompt, new in zip(job.prompts, traced, strict=True):
                whole = self._trajectories[prompt].extend(new) if job.draws.start else new
                self._trajectories[prompt] = whole
                self.store.write_trajectory(prompt, whole)
        for source, want in ((s, w) for tile in tiles for s, w in tile.items()):
            zeros = np.zeros((want.n_draws, n_nodes), np.float32)
            self._ledger.note(source, source, 0, zeros)

    def _replay(self, tiles: list[Tile]) -> None:
        """Predict all that is missing along the tiles' chains; write it every half minute."""
        flushed = time.monotonic()
        jobs = (
            job
            for tile in tiles
            for job in replayings(tile, self._trajectories, self.batches, self._workers)
        )
        for job, energies in self._run(jobs):
            for call, values in zip(job.calls, energies, strict=True):
                rows = ((block.target, *row) for block in call.blocks for row in block.rows)
                for (target, source, draw), value in zip(rows, values, strict=True):
                    self._ledger.note(source, target, draw, value[None])
            if time.monotonic() - flushed > FLUSH_SECONDS:
                self._ledger.flush(self._trajectories)
                flushed = time.monotonic()

    def _run(self, jobs: Iterable[Job]) -> Iterator[tuple[Any, list]]:
        return self._bar.along(self._workers.run(jobs), self.denoiser)

    def _progress(self, total: int) -> Progress:
        return Progress(total, bool(self._verbose), self.tell_rate)
