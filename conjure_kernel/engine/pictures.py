"""The clean states at the ends of chains, from which pictures are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import torch

from conjure_kernel.cache.store import DiskStore, MemoryStore
from conjure_kernel.engine.batches import Batches
from conjure_kernel.method.reverse import ChainSettings

__all__ = ["end_states"]


def end_states(
    prompts: Sequence[str],
    n: int,
    store: MemoryStore | DiskStore,
    batches: Batches,
    chain: ChainSettings,
) -> torch.Tensor:
    """The ends of the first n draws of each prompt, in order; those that are not kept are traced.

    Prompts that lack the same draws share full calls.
    """
    ends: dict[str, list[torch.Tensor]] = {}
    for prompt in dict.fromkeys(prompts):
        kept = store.read_trajectory(prompt, chain.grid.n_nodes)
        ends[prompt] = [] if kept is None else [kept.x0[:n]]
    alone, known = replace(chain, chains_per_draw=1), {p: sum(map(len, e)) for p, e in ends.items()}
    short = sorted((p for p in ends if known[p] < n), key=known.__getitem__)
    for n_known, group in groupby(short, key=known.__getitem__):
        names, draws = list(group), range(n_known, n)
        width = batches.width(len(draws))
        for part in (names[i : i + width] for i in range(0, len(names), width)):
            for prompt, trajectory in zip(part, batches.trace(part, draws, alone), strict=True):
                ends[prompt].append(trajectory.x0)
    return torch.cat([end for prompt in prompts for end in ends[prompt]])
