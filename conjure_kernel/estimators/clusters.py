"""Clusters of prompts: levels from coarse to fine, each with names and typical members."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Clusters"]


@dataclass(frozen=True)
class Clusters:
    """Clusters of n prompts, at one level or more.

    Attributes
    ----------
    levels : tuple of int arrays, each of shape (n,)
        The cluster of each prompt, 0, 1, ... by size, largest first; -1 belongs to none. The first
        level is the coarsest; each cluster of a finer one lies within one of the level before.
    names : tuple of tuples of str
        `names[level][cluster]`, what its prompts have in common.
    typical : tuple of tuples of tuples of int
        `typical[level][cluster]`, positions of at most three prompts that stand for it, best first.
    """

    levels: tuple[np.ndarray, ...] = field(repr=False)
    names: tuple[tuple[str, ...], ...]
    typical: tuple[tuple[tuple[int, ...], ...], ...] = field(repr=False)
