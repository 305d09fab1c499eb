"""Comparisons of evaluations on the same pairs: their differences, and how alike they rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conjure_kernel._checks import check_choice, quote
from conjure_kernel._table import Table
from conjure_kernel.evaluation.correlation import (
    STATISTICS,
    correlate,
    interval_of,
    leave_out_correlation,
    warn_of_constants,
)
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.evaluation import Evaluation
from conjure_kernel.evaluation.uncertainty import Pairing, estimate_difference
from conjure_kernel.method.jackknife import jackknife_se

__all__ = ["compare", "rank_agreement"]


def compare(results: Sequence[Evaluation], *, statistic: str = "spearman") -> Table:
    """Differences between evaluations on the same pairs, and what they are for other texts.

    Both sides of a difference are judged on the same pairs, so that what makes pairs easy or hard
    for both does not widen the interval; it heeds texts that repeat (see `evaluate`).

    Parameters
    ----------
    results : sequence of Evaluation
        Two or more evaluations of the same pairs; a pair that one of them could not score is left
        out of all.
    statistic : {"spearman", "pearson", "kendall"}, default "spearman"
        Correlation with the human scores that is compared.

    Returns
    -------
    table : Table
        A row per two results: n, both correlations, their `difference` (a minus b) with its
        95 % interval and two-sided p-value (NaN below 10 pairs), and its `_draw_se`.

    Raises
    ------
    ValueError
        There are fewer than two results, or they are not of the same pairs.

    Examples
    --------
    >>> from conjure_kernel import evaluate
    >>> pairs = [("a", "aa"), ("a", "bb"), ("b", "ab"), ("c", "ccc")]
    >>> letters = lambda left, right: [len(set(a) & set(b)) for a, b in zip(left, right)]
    >>> lengths = lambda left, right: [-abs(len(a) - len(b)) for a, b in zip(left, right)]
    >>> both = [evaluate(scorer, pairs, [4, 0, 2, 5]) for scorer in (letters, lengths)]
    >>> round(compare(both)[0]["difference"], 2)
    1.55
    """
    check_choice(statistic, "statistic", tuple(STATISTICS))
    if not isinstance(results, Sequence) or len(results) < 2:
        raise ValueError(f"results={quote(results)}: expected at least two evaluations.")
    pairs, columns, replicates = _aligned(results)
    named = {f"similarities of {r.name}": c for r, c in zip(results, columns, strict=True)}
    warn_of_constants({**named, "scores": pairs.scores})
    pairing = Pairing.of(pairs.left, pairs.right)
    left_out = [leave_out_correlation(statistic, c, pairs.scores, pairing) for c in columns]
    moved = [_moved(statistic, rows, pairs.scores) for rows in replicates]
    table = []
    for i in range(len(results)):
        for j in range(i + 1, len(results)):
            low, high, p = estimate_difference(left_out[i], left_out[j], pairing)
            table.append(
                {
                    "a": results[i].name,
                    "b": results[j].name,
                    "n": len(pairs),
                    f"{statistic} a": float(left_out[i][0]),
                    f"{statistic} b": float(left_out[j][0]),
                    "difference": float(left_out[i][0] - left_out[j][0]),
                    "difference_low": low,
                    "difference_high": high,
                    "difference_p": p,
                    "difference_draw_se": _gap_error(moved[i], moved[j]),
                }
            )
    return Table(table)


def rank_agreement(a: Evaluation, b: Evaluation) -> Table:
    """Correlation of the similarities of two scorers with each other, on the same pairs.

    Parameters
    ----------
    a, b : Evaluation

    Returns
    -------
    table : Table
        A row per statistic: n, and `agreement` in [-1, 1] with its interval and p-value.

    Examples
    --------
    >>> from conjure_kernel import evaluate
    >>> pairs = [("a", "aa"), ("a", "bb"), ("b", "ab"), ("c", "ccc")]
    >>> letters = lambda left, right: [len(set(a) & set(b)) for a, b in zip(left, right)]
    >>> evaluation = evaluate(letters, pairs, [4, 0, 2, 5])
    >>> rank_agreement(evaluation, evaluation)[0]["agreement"]
    1.0
    """
    pairs, (x, y), _ = _aligned([a, b])
    warn_of_constants({f"similarities of {r.name}": c for r, c in ((a, x), (b, y))})
    pairing = Pairing.of(pairs.left, pairs.right)
    rows = []
    for statistic in STATISTICS:
        low, high, p = interval_of(statistic, x, y, pairing)
        rows.append(
            {
                "a": a.name,
                "b": b.name,
                "statistic": statistic,
                "n": len(pairs),
                "agreement": correlate(statistic, x, y),
                "agreement_low": low,
                "agreement_high": high,
                "agreement_p": p,
            }
        )
    return Table(rows)


def _aligned(
    results: Sequence[Evaluation],
) -> tuple[ScoredPairs, list[np.ndarray], list[np.ndarray | None]]:
    """The pairs that all results scored, and the similarities and replicates of each result."""
    for result in results:
        if not isinstance(result, Evaluation):
            raise TypeError(
                f"results: expected what evaluate returns, got {type(result).__name__}; "
                "evaluate the pairs first."
            )
    keys = [list(zip(r.pairs.left, r.pairs.right, r.pairs.scores, strict=True)) for r in results]
    common = set(keys[0]).intersection(*keys[1:])
    if not common:
        raise ValueError("results: expected pairs in common, got none; evaluate the same pairs.")
    places = [[i for i, key in enumerate(of) if key in common] for of in keys]
    if len({tuple(of[i] for i in at) for of, at in zip(keys, places, strict=True)}) != 1:
        raise ValueError(
            "results: expected the same pairs in one order, got different orders or numbers; "
            "evaluate the same pairs."
        )
    pairs = results[0].pairs.take(places[0], "scored by all")
    columns = [r.similarities[at] for r, at in zip(results, places, strict=True)]
    replicates = [
        None if r.replicates is None else r.replicates[..., at]
        for r, at in zip(results, places, strict=True)
    ]
    return pairs, columns, replicates


def _moved(statistic: str, rows: np.ndarray | None, scores: np.ndarray) -> np.ndarray | None:
    """The correlation of each row of replicates (G, K, n_pairs) with the scores."""
    if rows is None:
        return None
    return np.array([[correlate(statistic, row, scores) for row in group] for group in rows])


def _gap_error(a: np.ndarray | None, b: np.ndarray | None) -> float:
    """Jackknife error of a difference; equally many draws of both are left out together."""
    if a is not None and b is not None and a.shape == b.shape:
        return float(jackknife_se(a - b))
    squares = [float(jackknife_se(one)) ** 2 for one in (a, b) if one is not None]
    return float(np.sqrt(sum(squares))) if squares else np.nan
