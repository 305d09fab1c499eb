"""`combine`: one scorer of several, say of a text encoder and of imagery, learnt from other texts.

It works on similarities that `evaluate` has found already. What is learnt from human scores is
learnt from pairs that share no text with the pair that it serves (`TextKFold`), and serves as a
weight or a threshold alone: each similarity is standardised or ranked over all pairs, so that pairs
of different folds can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from scipy import stats
from sklearn.linear_model import RidgeCV

from conjure_kernel._checks import check_choice, quote
from conjure_kernel.engine.provenance import versions
from conjure_kernel.estimators.folds import TextKFold
from conjure_kernel.evaluation.comparison import align
from conjure_kernel.evaluation.correlation import correlate, is_constant, warn_of_constants
from conjure_kernel.evaluation.evaluation import Evaluation, evaluate
from conjure_kernel.evaluation.pair_scores import PairScores

__all__ = ["combine"]

FEWEST = 10  # training pairs of a fold
PENALTIES = np.logspace(-2, 4, 13)  # of the ridge, in units of one pair
GATES = (0.5, 0.6, 0.7, 0.8, 0.9)  # shares of the pairs that are unrelated

Columns = Sequence[np.ndarray]
Blend = Callable[[Columns], np.ndarray]


def combine(
    results: Sequence[Evaluation],
    how: str = "ridge",
    *,
    cv: TextKFold | None = None,
    name: str | None = None,
) -> Evaluation:
    """Evaluate scorers together: a weighted mean, a mean of ranks, or one gated by another.

    Parameters
    ----------
    results : sequence of Evaluation
        Two or more evaluations of the same pairs; a pair that one of them could not score is left
        out.
    how : {"ridge", "rank", "gate"}, default "ridge"
        "ridge": the mean of the standardised similarities, weighted as in a ridge regression of the
        human scores (its penalty by leave-one-out). "rank": the mean of their ranks; nothing is
        learnt. "gate", for two: the first decides which pairs are related; among these the second
        decides, and they all stand above the others, which the first decides. How large a share is
        unrelated, of 0.5, 0.6, ..., 0.9, is what serves Spearman's correlation best.
    cv : TextKFold, optional
        Folds in which "ridge" and "gate" learn: what a pair gets comes from pairs that share no
        text with it. Default: `TextKFold()`.
    name : str, optional
        Default: such as "text encoder, cosine + -log J (ridge)".

    Returns
    -------
    evaluation : Evaluation
        `provenance["scorer"]["learnt"]` has what each fold has learnt: weights, whose sizes add up
        to 1, or thresholds. Errors over draws hold it fixed.

    Raises
    ------
    ValueError
        There are fewer than two results (for "gate", others than two), they are not of the same
        pairs, or a fold has fewer than 10 training pairs.

    Notes
    -----
    The intervals take the similarities as they are: that other texts would have taught other
    weights or thresholds is not in them.

    Examples
    --------
    >>> from conjure_kernel import evaluate
    >>> pairs = [("a", "aa"), ("a", "bb"), ("b", "ab"), ("c", "ccc")]
    >>> letters = lambda left, right: [len(set(a) & set(b)) for a, b in zip(left, right)]
    >>> lengths = lambda left, right: [-abs(len(a) - len(b)) for a, b in zip(left, right)]
    >>> both = [evaluate(scorer, pairs, [4, 0, 2, 5]) for scorer in (letters, lengths)]
    >>> combine(both, "rank").similarities
    array([3., 2., 3., 2.])
    """
    check_choice(how, "how", tuple(LEARNERS))
    most = 2 if how == "gate" else np.inf
    if not isinstance(results, Sequence) or not 2 <= len(results) <= most:
        wanted = "two evaluations" if how == "gate" else "at least two evaluations"
        raise ValueError(f"results={quote(results)}: expected {wanted} for how={how!r}.")
    pairs, columns, replicates = align(results)
    warn_of_constants(
        {f"similarities of {r.name}": c for r, c in zip(results, columns, strict=True)}
    )
    folds = [(np.array([], int), np.arange(len(pairs)))]  # nothing is learnt, and serves all
    if how != "rank":
        folds = list((TextKFold() if cv is None else cv).split(pairs.pairs))
        _check_folds(folds)
    learnt = [LEARNERS[how](columns, pairs.scores, train) for train, _ in folds]

    def blended(*given: np.ndarray) -> np.ndarray:
        values = np.empty(len(pairs))
        for (_, test), (_, blend) in zip(folds, learnt, strict=True):
            values[test] = blend(given)[test]
        return values

    scored = PairScores(
        blended(*columns),
        _blend_replicates(columns, replicates, blended),
        n_evaluations=sum(result.n_evaluations for result in results),
    )
    own_name = name or f"{' + '.join(result.name for result in results)} ({how})"
    whole = evaluate(lambda left, right: scored, pairs, name=own_name)
    scorers = [result.provenance.get("scorer") for result in results]
    about = {"how": how, "of": scorers, "learnt": [what for what, _ in learnt]}
    return replace(
        whole,
        n_missing=len(results[0].pairs) + results[0].n_missing - len(pairs),
        seconds=sum(result.seconds for result in results),
        provenance={"task": pairs.provenance, "scorer": about, "versions": versions()},
    )


def _check_folds(folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    if (fewest := min(len(train) for train, _ in folds)) < FEWEST:
        raise ValueError(
            f"cv: expected at least {FEWEST} training pairs in each fold, got {fewest}; pass more "
            'pairs, or how="rank", which learns nothing.'
        )


def _learn_ridge(columns: Columns, scores: np.ndarray, train: np.ndarray) -> tuple[Any, Blend]:
    """Weights of the standardised similarities, whose sizes add up to 1."""
    means = [column.mean() for column in columns]
    spreads = [1.0 if is_constant(column) else column.std() for column in columns]

    def standardise(given: Columns) -> np.ndarray:
        rows = zip(given, means, spreads, strict=True)
        return np.stack([(column - mean) / spread for column, mean, spread in rows], axis=1)

    ridge = RidgeCV(PENALTIES).fit(standardise(columns)[train], scores[train])
    size = np.abs(ridge.coef_).sum()
    weights = ridge.coef_ / size if size > 0 else np.full(len(columns), 1 / len(columns))
    return weights.tolist(), lambda given: standardise(given) @ weights


def _learn_rank(columns: Columns, scores: np.ndarray, train: np.ndarray) -> tuple[Any, Blend]:
    """Nothing is learnt: the mean of the ranks."""
    return None, lambda given: np.mean([stats.rankdata(column) for column in given], axis=0)


def _learn_gate(columns: Columns, scores: np.ndarray, train: np.ndarray) -> tuple[Any, Blend]:
    """Share of the pairs that the first scorer calls unrelated; the smallest of equally good."""
    found = [correlate("spearman", _gate(columns, g)[train], scores[train]) for g in GATES]
    best = GATES[int(np.argmax(np.nan_to_num(found, nan=-np.inf)))]
    return best, partial(_gate, unrelated=best)


LEARNERS = {"ridge": _learn_ridge, "rank": _learn_rank, "gate": _learn_gate}


def _gate(columns: Columns, unrelated: float) -> np.ndarray:
    """Shares of the pairs below: by the first column, and among the related by the second."""
    first, second = columns
    place = (stats.rankdata(first) - 0.5) / len(first)
    related = place > unrelated
    if related.any():
        inside = (stats.rankdata(second[related]) - 0.5) / related.sum()
        place[related] = unrelated + (1 - unrelated) * inside
    return place


def _blend_replicates(
    columns: Columns, replicates: Sequence[np.ndarray | None], blended: Callable[..., np.ndarray]
) -> np.ndarray | None:
    """Blends of all replicates; NaN where scorers have different numbers of draws."""
    shapes = {rows.shape for rows in replicates if rows is not None}
    if not shapes:
        return None
    if len(shapes) > 1:
        return np.full((1, 2, len(columns[0])), np.nan)
    (shape,) = shapes
    sides = [
        np.broadcast_to(column, shape) if rows is None else rows
        for column, rows in zip(columns, replicates, strict=True)
    ]
    groups = zip(*sides, strict=True)
    return np.array([[blended(*rows) for rows in zip(*group, strict=True)] for group in groups])
