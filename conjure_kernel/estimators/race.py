"""The race of candidates: who cannot be among the nearest of a row gets no more draws.

Every candidate of a row has two draws to begin with. At each look those whose interval of J lies
above the k-th smallest upper end of the row are out, and the others get half as many draws again,
up to `n_draws` (successive elimination, Even-Dar et al. 2006). The intervals of look j have the
level 1 - 0.2 / (j (j + 1)), so that those of a candidate hold at all looks together with 80 %. As
two intervals must not even touch, fewer than 2 in 100 drop out wrongly where draws are normal. A
row looks at its own candidates only. Draws are numbered, so that who stays to the end has the J
that `pairwise_divergence` gives with `n_draws`.
"""

from __future__ import annotations

import math

import numpy as np

from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.pairwise import Measured, measure_pairs

__all__ = ["FIRST_LOOK", "race"]

FIRST_LOOK = 2  # draws
GROWTH = 1.5
MISS = 0.2  # chance that one of the intervals of a candidate fails


def race(engine: Engine, rows: list[str], prompts: list[str], near: np.ndarray, k: int) -> Measured:
    """J of each row and its candidates, row by row, as a vector of pairs.

    Parameters
    ----------
    engine : Engine
        The k nearest have its `n_draws`, as has everyone who might be among them; with `tol`, which
        chooses the draws of a pair itself, there is no race.
    rows, prompts : list of str
    near : int array of shape (n_rows, n_candidates)
        Positions among the prompts of each row's candidates.
    k : int
        Neighbours that are looked for.
    """
    shape, most, look = near.shape, engine.n_draws, 1
    left = [row for row in rows for _ in range(shape[1])]
    right = [prompts[j] for j in near.ravel()]
    if engine.tol is not None or most <= FIRST_LOOK:
        return measure_pairs(engine, left, right)
    lengths = np.full(shape, FIRST_LOOK)
    while (size := int(lengths.max())) < most:
        measured = measure_pairs(engine, left, right, n_draws=lengths.ravel(), check=False)
        low, high = (end.reshape(shape) for end in measured.interval(1 - MISS / (look**2 + look)))
        running = (lengths == size) & (low <= np.partition(high, k - 1)[:, k - 1, None])
        lengths = np.where(running, min(most, math.ceil(GROWTH * size)), lengths)
        look += 1
    return measure_pairs(engine, left, right, n_draws=lengths.ravel())
