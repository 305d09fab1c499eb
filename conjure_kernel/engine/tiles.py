"""Tiles: sources that are measured together, and the network calls that a tile takes.

A tile's chains fill one batch for some target, so that this target is predicted along all of them
in one call, with one encoding of its text.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import chain, groupby

import numpy as np
import torch

from conjure_kernel.engine.batches import Batches, Block, Call, Row
from conjure_kernel.engine.ledger import Wanted
from conjure_kernel.engine.workers import Replaying, Tracing, Workers
from conjure_kernel.models.task import Trajectory

__all__ = ["Tile", "cut_tiles", "cut_waves", "replayings", "tracings"]

WAVE_BYTES = 2**30  # trajectories that the parent of several workers holds at a time
TILE_BATCHES = 4  # most rows of a tile, in batches, where each target wants only a few of them

Tile = dict[str, Wanted]


def cut_tiles(missing: Mapping[str, Wanted], batches: Batches) -> Iterator[Tile]:
    """Sources that fill a batch for some target, beginning with those that want most."""
    tile: Tile = {}
    rows, n_rows, size = Counter[bytes](), 0, batches.size
    for source in sorted(missing, key=lambda source: -len(missing[source].targets)):
        want = missing[source]
        n_here = dict(zip(want.names.tolist(), want.predictions.sum(1).tolist(), strict=True))
        fullest = max((rows[name] + n for name, n in n_here.items()), default=0)
        if tile and (fullest > size or n_rows + want.n_draws > TILE_BATCHES * size):
            yield tile
            tile, rows, n_rows, size = {}, Counter(), 0, batches.size
        tile[source] = want
        rows.update(n_here)
        n_rows += want.n_draws
    if tile:
        yield tile


def cut_waves(missing: Tile, batches: Batches, workers: Workers) -> Iterator[Tile]:
    """Sources that are locked and held in memory together: a tile, or many for workers."""
    n_bytes, wave = 0, Tile()
    for tile in cut_tiles(missing, batches):
        if not workers.shared_out:
            yield tile
            continue
        n_bytes += sum(workers.n_bytes * want.n_draws for want in tile.values())
        if wave and n_bytes > WAVE_BYTES:
            yield wave
            n_bytes, wave = 0, Tile()
        wave.update(tile)
    if wave:
        yield wave


def tracings(
    tile: Tile, trajectories: Mapping[str, Trajectory], batches: Batches, n_chains: int
) -> Iterator[Tracing]:
    """Jobs that trace the draws, of n_chains each, that a tile's sources lack, one call each."""
    reach = {
        source: (trajectories[source].n_draws if source in trajectories else 0, want.n_draws)
        for source, want in tile.items()
    }
    short = [source for source, (have, need) in reach.items() if have < need]
    for span, group in groupby(sorted(short, key=reach.__getitem__), key=reach.__getitem__):
        prompts, draws = list(group), range(*span)
        width = batches.width(len(draws) * n_chains)
        for start in range(0, len(prompts), width):
            yield Tracing(prompts[start : start + width], draws)


def replayings(
    tile: Tile, trajectories: Mapping[str, Trajectory], batches: Batches, workers: Workers
) -> Iterator[Replaying]:
    """Jobs of calls that are full of rows of one tile."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for source, want in tile.items():
        for i, draw in np.argwhere(want.predictions):
            rows[want.targets[i]].append((source, int(draw)))
    place = {row: i for i, row in enumerate(dict.fromkeys(chain(*rows.values())))}
    if place:
        x, eps = (
            torch.stack([getattr(trajectories[s], name)[k] for s, k in place], 1)
            for name in ("x", "eps")
        )
        packed = batches.pack(_blocks(rows, batches))
        yield from workers.split(x, eps, (Call.of(blocks, place) for blocks in packed))


def _blocks(rows: dict[str, list[Row]], batches: Batches) -> Iterator[Block]:
    """Rows that lack each target, at most a batch in a block, beginning with the most lacked."""
    for target in sorted(rows, key=lambda target: -len(rows[target])):
        while rows[target]:
            size = batches.size  # it shrinks when memory runs out
            yield Block(target, tuple(rows[target][:size]))
            del rows[target][:size]
