"""Evaluations at a glance: side by side, as a regression, and where they disagree with people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from conjure_kernel._checks import check_number
from conjure_kernel._table import Table
from conjure_kernel.estimators.folds import TextKFold
from conjure_kernel.evaluation.comparison import compare
from conjure_kernel.evaluation.correlation import LEAST, is_constant
from conjure_kernel.evaluation.evaluation import Evaluation
from conjure_kernel.evaluation.uncertainty import Pairing, estimate, leave_out

__all__ = ["disagreements", "regression", "summarize"]

SUMMARIZED = ("spearman", "pearson", "kendall")
ENDINGS = ("", "_low", "_high", "_p", "_draw_se")
FEWEST_TRAINED = 10  # pairs, and so the landmarks of the kernel
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)


def summarize(results: Sequence[Evaluation]) -> Table:
    """One row for each scorer or model: its agreement, and how far it differs from the first.

    Parameters
    ----------
    results : sequence of Evaluation
        One or more evaluations of the same pairs.

    Returns
    -------
    table : Table
        `name`, `n` and, over all pairs, spearman, pearson and kendall as in `Evaluation.table`;
        `difference` is Spearman less that of the first, on the pairs that both have scored, with
        its 95 % interval, p-value and error over draws; NaN in the first row.

    Examples
    --------
    >>> from conjure_kernel import evaluate
    >>> pairs = [("a", "aa"), ("a", "bb"), ("b", "ab"), ("c", "ccc")]
    >>> letters = lambda left, right: [len(set(a) & set(b)) for a, b in zip(left, right)]
    >>> lengths = lambda left, right: [-abs(len(a) - len(b)) for a, b in zip(left, right)]
    >>> both = [evaluate(scorer, pairs, [4, 0, 2, 5]) for scorer in (letters, lengths)]
    >>> [round(row["difference"], 2) for row in summarize(both)]
    [nan, -1.55]
    """
    rows = []
    for result in results:
        whole = result.table.find(part="all")
        row: dict[str, Any] = {"name": result.name, "n": whole["n"]}
        for name in SUMMARIZED:
            row |= {f"{name}{end}": whole[f"{name}{end}"] for end in ENDINGS}
        rows.append(row | _difference(result, results[0]))
    return Table(rows)


def regression(result: Evaluation) -> Table:
    """How well a rating is predicted from the similarity of its pair.

    Parameters
    ----------
    result : Evaluation

    Returns
    -------
    table : Table
        One row: `name`, `n`; `slope`, by how much the rating rises with one unit of similarity (of
        -log R: for R smaller by a factor of e), with its 95 % interval; `intercept`; `r2`, the
        share of the variance of ratings that the line explains; `r2_line` and `r2_kernel`, that of
        ratings of pairs whose texts were not seen, by a line and by a kernel regression (NaN where
        the pairs cannot be cut so that no text is on both sides; below 0: worse than their mean).
        Of fewer than three pairs, or where a side is constant, all are NaN.

    Examples
    --------
    >>> from conjure_kernel import evaluate
    >>> pairs = [("a", "aa"), ("a", "bb"), ("b", "ab"), ("c", "ccc")]
    >>> letters = lambda left, right: [len(set(a) & set(b)) for a, b in zip(left, right)]
    >>> round(regression(evaluate(letters, pairs, [4, 0, 2, 5]))[0]["slope"], 2)
    3.67
    """
    x, y = result.similarities, result.pairs.scores
    row: dict[str, Any] = {"name": result.name, "n": len(x)}
    if len(x) < LEAST or is_constant(x) or is_constant(y):
        names = ("slope", "slope_low", "slope_high", "intercept", "r2", "r2_line", "r2_kernel")
        return Table([row | dict.fromkeys(names, np.nan)])
    pairing = Pairing.of(result.pairs.left, result.pairs.right)
    low, high, _ = estimate(leave_out(_slope, pairing, [x, y]), pairing, correlation=False)
    slope = _slope(x, y)
    row |= {"slope": slope, "slope_low": low, "slope_high": high}
    row |= {"intercept": float(y.mean() - slope * x.mean())}
    row |= {"r2": float(np.corrcoef(x, y)[0, 1] ** 2)}
    landmarks = Nystroem(gamma=0.5, n_components=FEWEST_TRAINED, random_state=0)
    kernel = make_pipeline(StandardScaler(), landmarks, RidgeCV(PENALTIES))
    row |= {"r2_line": _unseen(LinearRegression(), result)}
    return Table([row | {"r2_kernel": _unseen(kernel, result)}])


def disagreements(result: Evaluation, n: int = 10) -> Table:
    """The pairs whose place by similarity is furthest from their place by rating.

    Parameters
    ----------
    result : Evaluation
    n : int, default 10
        Pairs at most.

    Returns
    -------
    table : Table
        Those furthest apart first: text_a, text_b, `score`, `similarity`, and both places, from 1
        (most alike) to the number of pairs; equal values share the mean of their places.

    Examples
    --------
    >>> from conjure_kernel import evaluate
    >>> pairs = [("a", "aa"), ("a", "bb"), ("b", "ab"), ("c", "ccc")]
    >>> letters = lambda left, right: [len(set(a) & set(b)) for a, b in zip(left, right)]
    >>> disagreements(evaluate(letters, pairs, [4, 0, 2, 5]), n=1)[0]["text_b"]
    'ab'
    """
    n = check_number(n, "n", least=0, integer=True)
    score, similarity = result.pairs.scores, result.similarities
    by_score, by_similarity = rankdata(-score), rankdata(-similarity)
    order = np.argsort(-np.abs(by_score - by_similarity), kind="stable")[:n]
    return Table(
        [
            {
                "text_a": result.pairs.left[i],
                "text_b": result.pairs.right[i],
                "score": float(score[i]),
                "similarity": float(similarity[i]),
                "place by score": f"{by_score[i]:g}",
                "place by similarity": f"{by_similarity[i]:g}",
            }
            for i in order
        ]
    )


def _difference(result: Evaluation, first: Evaluation) -> dict[str, float]:
    if result is first:
        return {f"difference{end}": np.nan for end in ENDINGS}
    row = compare([result, first])[0]
    return {f"difference{end}": row[f"difference{end}"] for end in ENDINGS}


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    centred = x - x.mean()
    spread = centred @ centred
    return float(centred @ y / spread) if spread > 0 else np.nan


def _unseen(model: Any, result: Evaluation) -> float:
    """R2 of a regression of the ratings of pairs none of whose texts it has seen."""
    x, y = result.similarities[:, None], result.pairs.scores
    predicted = np.full(len(y), np.nan)
    try:
        for train, test in TextKFold().split(result.pairs.pairs):
            if len(train) < FEWEST_TRAINED:
                return np.nan
            predicted[test] = model.fit(x[train], y[train]).predict(x[test])
    except ValueError:  # a fold without training pairs
        return np.nan
    return float(1 - np.square(y - predicted).sum() / np.square(y - y.mean()).sum())
