"""Comparisons of evaluations on the same pairs: their differences, and how alike they rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conjure_kernel._checks import check_choice
from conjure_kernel._table import Table
from conjure_kernel.evaluation.correlation import (
    STATISTICS,
    correlate,
    interval,
    p_value,
    resamples,
)
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.evaluation import Evaluation
from conjure_kernel.method.jackknife import jackknife_se

__all__ = ["compare", "rank_agreement"]


def compare(
    results: Sequence[Evaluation], *, statistic: str = "spearman", n_bootstrap: int = 1000
) -> Table:
    """Differences between evaluations on the same pairs, by a paired bootstrap.

    Parameters
    ----------
    results : sequence of Evaluation
        Two or more evaluations of the same pairs; a pair that one of them could not score is left
        out of all.
    statistic : {"spearman", "pearson", "kendall"}, default "spearman"
        Correlation with the human scores that is compared.
    n_bootstrap : int, default 1000
        Resamples, the same for both sides of a difference.

    Returns
    -------
    table : Table
        A row per two results: n, both correlations, their `difference` (a minus b) with its
        interval and two-sided bootstrap p-value, and its `_draw_se`.

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
    if len(results) < 2:
        raise ValueError(f"results: expected at least two evaluations, got {len(results)}.")
    pairs, columns, replicates = _aligned(results)
    values = np.array([correlate(statistic, c, pairs.scores) for c in columns])
    boot = np.array(
        [
            [correlate(statistic, column[index], pairs.scores[index]) for column in columns]
            for index in resamples(pairs.left, pairs.right, n_bootstrap, 0)
        ]
    )
    errors = [
        None if rows is None else np.array([correlate(statistic, r, pairs.scores) for r in rows])
        for rows in replicates
    ]
    table = []
    for i in range(len(results)):
        for j in range(i + 1, len(results)):
            gaps = boot[:, i] - boot[:, j]
            low, high = interval(gaps, len(pairs))
            table.append(
                {
                    "a": results[i].name,
                    "b": results[j].name,
                    "n": len(pairs),
                    f"{statistic} a": float(values[i]),
                    f"{statistic} b": float(values[j]),
                    "difference": float(values[i] - values[j]),
                    "difference_low": low,
                    "difference_high": high,
                    "difference_p": _two_sided(gaps),
                    "difference_draw_se": _gap_error(errors[i], errors[j]),
                }
            )
    return Table(table)


def rank_agreement(a: Evaluation, b: Evaluation, *, n_bootstrap: int = 1000) -> Table:
    """Correlation of the similarities of two scorers with each other, on the same pairs.

    Parameters
    ----------
    a, b : Evaluation
    n_bootstrap : int, default 1000
        Resamples of the interval.

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
    resampled = list(resamples(pairs.left, pairs.right, n_bootstrap, 0))
    rows = []
    for statistic in STATISTICS:
        boot = [correlate(statistic, x[index], y[index]) for index in resampled]
        low, high = interval(boot, len(pairs))
        rows.append(
            {
                "a": a.name,
                "b": b.name,
                "statistic": statistic,
                "n": len(pairs),
                "agreement": correlate(statistic, x, y),
                "agreement_low": low,
                "agreement_high": high,
                "agreement_p": p_value(statistic, x, y),
            }
        )
    return Table(rows)


def _aligned(
    results: Sequence[Evaluation],
) -> tuple[ScoredPairs, list[np.ndarray], list[np.ndarray | None]]:
    """The pairs that all results scored, and the similarities and replicates of each result."""
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
        None if r.replicates is None else r.replicates[:, at]
        for r, at in zip(results, places, strict=True)
    ]
    return pairs, columns, replicates


def _two_sided(gaps: np.ndarray) -> float:
    """Bootstrap p-value of no difference, at least 1 / (number of resamples + 1)."""
    gaps = gaps[np.isfinite(gaps)]
    smaller = min((gaps <= 0).sum(), (gaps >= 0).sum())
    return float(min(1.0, 2 * (smaller + 1) / (len(gaps) + 1))) if len(gaps) else np.nan


def _gap_error(a: np.ndarray | None, b: np.ndarray | None) -> float:
    """Jackknife error of a difference; equally many draws of both are left out together."""
    if a is not None and b is not None and len(a) == len(b):
        return float(jackknife_se(a - b))
    squares = [float(jackknife_se(one)) ** 2 for one in (a, b) if one is not None]
    return float(np.sqrt(sum(squares))) if squares else np.nan
