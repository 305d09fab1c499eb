"""Which prompts stand for many: seeds of a pool, spread over their meanings. Layer 4."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conjure_kernel.energies import Engine

__all__ = ["choose_references"]

MOST_CANDIDATES = 256  # prompts among which references are chosen


def choose_references(
    engine: Engine, prompts: Sequence[str], n_references: int, weighting: str, seed: int
) -> list[str]:
    """Some of `prompts`, as k-means++ chooses its seeds (Arthur & Vassilvitskii 2007).

    The first at random; each other with probability proportional to KL(P_r || P_y), estimated
    along one chain, from the nearest r of those before: at most 256 * n_references * T predictions.

    Parameters
    ----------
    engine : Engine
    prompts : sequence of str
        Distinct. All of them if they are no more than `n_references`; of more than 256, that many
        at random are candidates.
    n_references : int
    weighting : str
    seed : int

    Returns
    -------
    references : list of str
        Fewer than asked for where the model tells no more of them apart.
    """
    if len(prompts) <= n_references:
        return list(prompts)
    random = np.random.default_rng(seed)
    if len(prompts) > MOST_CANDIDATES:
        kept = random.choice(len(prompts), MOST_CANDIDATES, replace=False)
        prompts = [prompts[i] for i in sorted(kept)]
    weights, one_draw = engine.grid.weights(weighting), np.ones((len(prompts), 1), bool)
    chosen, nearest = [int(random.integers(len(prompts)))], np.full(len(prompts), np.inf)
    while len(chosen) < n_references:
        reference = prompts[chosen[-1]]
        known = engine.measure({reference: prompts}, {reference: one_draw})
        nearest = np.minimum(nearest, known[reference].energies[:, 0].astype(float) @ weights)
        nearest[chosen] = 0
        if not nearest.any():
            break
        chosen.append(int(random.choice(len(prompts), p=nearest / nearest.sum())))
    return [prompts[i] for i in chosen]
