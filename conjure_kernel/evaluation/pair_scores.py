"""`PairScores`: what a scorer says of pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["PairScores"]


@dataclass(frozen=True)
class PairScores:
    """Similarities of pairs.

    Attributes
    ----------
    similarities : float64 array of shape (n_pairs,)
        Larger is more alike; NaN where a pair cannot be scored.
    replicates : array of shape (G, K, n_pairs), optional
        The similarities without draw k of chain g (or, with G = 1, without one group of images),
        for Monte Carlo errors: `Divergence.replicates`. NaN where the noise is unknown (one draw,
        `tol`); None where there is none.
    truncated : bool array of shape (n_pairs,), optional
        Whether the scorer cut one of the pair's texts.
    n_evaluations : int
        Noise predictions that the similarities cost.
    provenance : dict
        The model and the settings that made them, and versions.
    """

    similarities: np.ndarray = field(repr=False)
    replicates: np.ndarray | None = field(default=None, repr=False)
    truncated: np.ndarray | None = field(default=None, repr=False)
    n_evaluations: int = 0
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)
