"""`TextKFold`: cross-validation on pairs of texts in which no text sits on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils import check_random_state

from conjure_kernel._checks import check_number, check_pairs

__all__ = ["TextKFold"]


class TextKFold:
    """Folds of pairs whose training side shares no text with the test side.

    Texts are dealt into `n_splits` blocks; texts that hang together by pairs stay together where
    such a group is smaller than a block. Every pair is tested once: pairs within one block
    together, pairs that straddle two blocks together, always trained on pairs that touch neither.
    So there are `n_splits` folds when texts do not repeat, and up to n_splits (n_splits + 1) / 2,
    with smaller training sides, when everything hangs together, as in word lists.

    Parameters
    ----------
    n_splits : int, default 5
        Blocks of texts, at least 3.
    random_state : int, RandomState or None, default 0
        Of the dealing.

    Examples
    --------
    >>> pairs = [("a", "b"), ("b", "c"), ("d", "e"), ("f", "g"), ("h", "i"), ("j", "k")]
    >>> for train, test in TextKFold(3).split(pairs):
    ...     train, test = ({text for i in side for text in pairs[i]} for side in (train, test))
    ...     print(train & test)
    set()
    set()
    set()
    """

    def __init__(self, n_splits: int = 5, *, random_state: Any = 0) -> None:
        self.n_splits = check_number(n_splits, "n_splits", least=3, integer=True)
        self.random_state = random_state

    def split(
        self, pairs: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (train, test) indices of pairs; `y` and `groups` are ignored."""
        blocks = self._blocks(pairs)
        for fold in np.unique(blocks, axis=0):
            tested = (blocks == fold).all(1)
            trained = ~np.isin(blocks, fold).any(1)
            if not trained.any():
                raise ValueError(
                    f"n_splits={self.n_splits}: {len(blocks)} pairs leave a fold without training "
                    "pairs. Pass more pairs that share no text, or another n_splits."
                )
            yield np.flatnonzero(trained), np.flatnonzero(tested)

    def get_n_splits(self, pairs: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds, which depends on the pairs."""
        if pairs is None:
            raise ValueError("the number of folds depends on the pairs: pass them.")
        return len(np.unique(self._blocks(pairs), axis=0))

    def _blocks(self, pairs: Any) -> np.ndarray:
        """Blocks of both texts of each pair, ascending: (n_pairs, 2)."""
        left, right = check_pairs(pairs)
        texts, index = np.unique(np.array([left, right], dtype=object), return_inverse=True)
        a, b = index.reshape(2, -1)
        edges = coo_array((np.ones(len(a)), (a, b)), shape=(len(texts), len(texts)))
        _, group = connected_components(edges, directed=False)
        too_large = np.bincount(group)[group] * self.n_splits > len(texts)
        group[too_large] = group.max() + 1 + np.flatnonzero(too_large)
        _, group, sizes = np.unique(group, return_inverse=True, return_counts=True)
        order = check_random_state(self.random_state).permutation(len(sizes))
        block, filled = np.empty(len(sizes), int), np.zeros(self.n_splits)
        for one in order[np.argsort(-sizes[order], kind="stable")]:
            block[one] = filled.argmin()
            filled[block[one]] += sizes[one]
        return np.sort(block[group][np.stack([a, b], 1)], axis=1)
