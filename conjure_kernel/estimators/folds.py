"""`TextKFold`: cross-validation on pairs of texts where no text is on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils import check_random_state

from conjure_kernel._checks import check_number, check_pairs

__all__ = ["TextKFold", "number_texts"]


class TextKFold:
    """Cross-validation folds of pairs whose training side shares no text with the test side.

    Texts are put into `n_splits` blocks at random. Texts that are connected by pairs stay together
    where they are fewer than a block. Every pair is tested once: the pairs within a block are one
    fold, the pairs between two blocks another one, and each is trained on the pairs that touch none
    of its blocks. So there are `n_splits` folds if texts do not repeat, and up to
    n_splits (n_splits + 1) / 2 with smaller training sides if all are connected, as in word lists.

    Parameters
    ----------
    n_splits : int, default 5
        Blocks of texts, at least 3.
    random_state : int, RandomState or None, default 0
        Seed of the assignment to blocks.

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
        # Once, as the number of folds and the folds must be those of one assignment.
        self._seed = random_state
        if not isinstance(random_state, Integral):
            self._seed = check_random_state(random_state).randint(2**31)

    def __repr__(self) -> str:
        return f"TextKFold(n_splits={self.n_splits}, random_state={self.random_state!r})"

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the positions of the training and of the test pairs of each fold.

        Parameters
        ----------
        X : list of (text_a, text_b), or table of shape (n_pairs, 2)
        y, groups : ignored

        Yields
        ------
        train, test : int arrays
            Positions among the pairs, ascending.

        Raises
        ------
        ValueError
            A fold has no training pair left.
        """
        blocks = self._blocks(X)
        for fold in np.unique(blocks, axis=0):
            tested = (blocks == fold).all(1)
            trained = ~np.isin(blocks, fold).any(1)
            if not trained.any():
                raise ValueError(
                    f"n_splits={self.n_splits}: expected training pairs in every fold, got a fold "
                    f"without any from {len(blocks)} pairs; pass more pairs that share no text, or "
                    "another n_splits."
                )
            yield np.flatnonzero(trained), np.flatnonzero(tested)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds of these pairs.

        Parameters
        ----------
        X : list of (text_a, text_b), or table of shape (n_pairs, 2)
        y, groups : ignored

        Returns
        -------
        n_folds : int
        """
        if X is None:
            raise ValueError("X=None: expected pairs, on which the number of folds depends.")
        return len(np.unique(self._blocks(X), axis=0))

    def _blocks(self, pairs: Any) -> np.ndarray:
        """Blocks of both texts of each pair, ascending: (n_pairs, 2)."""
        n_texts, a, b = number_texts(*check_pairs(pairs))
        edges = coo_array((np.ones(len(a)), (a, b)), shape=(n_texts, n_texts))
        _, group = connected_components(edges, directed=False)
        too_large = np.bincount(group)[group] * self.n_splits > n_texts
        group[too_large] = group.max() + 1 + np.flatnonzero(too_large)
        _, group, sizes = np.unique(group, return_inverse=True, return_counts=True)
        order = check_random_state(self._seed).permutation(len(sizes))
        block, filled = np.empty(len(sizes), int), np.zeros(self.n_splits)
        for largest in order[np.argsort(-sizes[order], kind="stable")]:
            block[largest] = filled.argmin()
            filled[block[largest]] += sizes[largest]
        return np.sort(block[group][np.stack([a, b], 1)], axis=1)


def number_texts(left: Sequence[str], right: Sequence[str]) -> tuple[int, np.ndarray, np.ndarray]:
    """How many different texts there are, and the number of either text of each pair."""
    texts, numbers = np.unique(np.array([list(left), list(right)], object), return_inverse=True)
    a, b = numbers.reshape(2, -1).astype(np.int32)  # the indices of sparse matrices
    return len(texts), a, b
