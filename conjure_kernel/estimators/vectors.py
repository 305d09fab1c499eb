"""What makes and keeps the vectors of prompts on the pool of a fitted embedding."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from conjure_kernel import _checks
from conjure_kernel._checks import PromptWarning, quote
from conjure_kernel.cache.vectors import VectorStore
from conjure_kernel.engine import pool as pools
from conjure_kernel.engine.engine import FLUSH_SECONDS, Engine
from conjure_kernel.engine.parameters import prompt_of_origin
from conjure_kernel.engine.pool import Pool
from conjure_kernel.engine.turns import in_turn
from conjure_kernel.method.relative import LEAST

__all__ = ["PooledVectors", "normalized"]

COMPONENT_BYTES, POINT_BYTES = 32.0, 16.0  # in calls, cache and result; of the smallest model
NOTHING = 1e-12  # what `LEAST` is in units that are no nats


class PooledVectors:
    """Mixin of what has an engine, references and the sizes of a pool; it needs no scikit-learn."""

    _pool = cast("Pool | None", None)  # an annotation would make these parameters
    _vectors = cast("VectorStore | None", None)
    if TYPE_CHECKING:
        references_: list[str]
        n_components: int | None
        n_points: int
        n_blocks: int
        n_steps: int
        weighting: str
        origin: str | None
        memory: object
        random_state: object

        def _fitted_engine(self) -> Engine: ...

    def _check_memory(self, n_prompts: int) -> None:
        width, n_points = self.n_components or 0, self.n_points
        n_bytes = COMPONENT_BYTES * n_prompts * width + POINT_BYTES * n_points * self.n_steps
        text = f"n_components={width}, n_points={n_points}, {n_prompts} prompts"
        _checks.check_memory(n_bytes, text)

    def _n_draws(self, n_references: int) -> int:
        """Draws that the pool needs of each reference."""
        return pools.n_draws_needed(n_references, self.n_points, self.n_blocks)

    def _fitted_pool(self) -> Pool:
        """The pool of the references' chains, which are kept or run again from their seeds."""
        if self._pool is None:
            engine = self._fitted_engine()
            n_draws = self._n_draws(len(self.references_))
            every = np.ones((1, n_draws), bool)
            engine.measure(
                {p: [p] for p in self.references_}, dict.fromkeys(self.references_, every)
            )
            self._pool = pools.make_pool(
                engine.trajectories(self.references_, n_draws),
                engine.settings.chain(engine.grid),
                engine.grid.weights(self.weighting),
                n_points=self.n_points,
                n_blocks=self.n_blocks,
                n_components=self.n_components,
            )
        return self._pool

    def _fitted_vectors(self) -> VectorStore:
        """What is kept of the vectors of this pool."""
        sizes = [self.n_points, self.n_blocks, self.n_components, self.weighting]
        text = json.dumps([self.references_, *sizes]).encode()
        name = hashlib.blake2b(text, digest_size=16).hexdigest()
        store, known = self._fitted_engine().store, self._vectors
        if known is None or (known.run, known.pool) != (store.name, name):
            known = self._vectors = VectorStore(store, name, self.n_components)
        return known

    @in_turn
    def _embed(self, prompts: list[str]) -> np.ndarray:
        """Vectors of prompts, seen from the origin if there is one."""
        if (origin_prompt := prompt_of_origin(self.origin)) is None:
            return self._vectors_of(prompts)
        (origin,) = self._vectors_of([origin_prompt])
        return self._vectors_of(prompts) - origin

    def _vectors_of(self, prompts: list[str]) -> np.ndarray:
        store, distinct = self._fitted_vectors(), list(dict.fromkeys(prompts))
        if any(prompt not in store for prompt in distinct):
            store = self._make_vectors(distinct)
        if cut := [prompt for prompt in distinct if store.truncated(prompt)]:
            text = (
                f"{len(cut)} of {len(prompts)} prompts are longer than every text encoder of this "
            )
            text += f"model reads and were cut, e.g. {quote(cut[0])}; shorten them."
            self._fitted_engine().tell(text, PromptWarning)
        return np.stack([store[prompt] for prompt in prompts])

    def _make_vectors(self, prompts: list[str]) -> VectorStore:
        """Score unknown prompts on the pool, and keep what is done even if this is interrupted."""
        pool, engine, flushed = self._fitted_pool(), self._fitted_engine(), time.monotonic()
        engine.load()  # a model that predicts differently than before has files of its own
        store = self._fitted_vectors()
        missing = [prompt for prompt in prompts if prompt not in store]
        work = engine.do(pool.jobs(missing, engine.batches), pool.n_predictions * len(missing))
        try:
            for job, (vectors, readings) in work:
                store.add(job.prompts, vectors, [reading.truncated for reading in readings])
                if time.monotonic() - flushed > FLUSH_SECONDS:
                    store.flush()
                    flushed = time.monotonic()
        finally:
            store.flush()
        return store

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        on_disk = self.memory is not None and self.random_state is not None
        gone = {"_pool", "_vectors"} if on_disk else {"_pool"}
        return {name: value for name, value in state.items() if name not in gone}


def normalized(vectors: np.ndarray, prompts: list[str], weighting: str) -> np.ndarray:
    """The vectors at length 1; a ValueError names a prompt that conjures what the origin does."""
    squares = np.square(vectors, dtype=float).sum(1)
    unit, least = ("nats", LEAST) if weighting == "jeffreys" else ("squared length", NOTHING)
    if (same := squares <= least).any():
        raise ValueError(
            "origin: expected prompts that conjure something else than the empty prompt, got "
            f"{quote(prompts[int(same.argmax())])} at {squares[same][0]:.2g} {unit} from it; "
            "leave it out."
        )
    return vectors / np.sqrt(squares, dtype=np.float32)[:, None]
