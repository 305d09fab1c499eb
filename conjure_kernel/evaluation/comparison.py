"""Comparisons of evaluations on the same pairs.

Their differences, what one knows beyond another, and how alike they rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from conjure_kernel._checks import check_choice, quote
from conjure_kernel._table import Table
from conjure_kernel.evaluation.correlation import (
    STATISTICS,
    correlate,
    interval_of,
    joint_draw_error,
    leave_out_correlation,
    warn_of_constants,
)
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.evaluation import Evaluation
from conjure_kernel.evaluation.uncertainty import Pairing, estimate, estimate_difference

__all__ = ["align", "common_places", "compare", "partial_agreement", "partial_correlation"]
__all__ += ["rank_agreement"]


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
    pairs, columns, replicates = align(results)
    named = {f"similarities of {r.name}": c for r, c in zip(results, columns, strict=True)}
    warn_of_constants({**named, "scores": pairs.scores})
    pairing = Pairing.of(pairs.left, pairs.right)
    left_out = [leave_out_correlation(statistic, c, pairs.scores, pairing) for c in columns]

    def gap(x: np.ndarray, y: np.ndarray) -> float:
        return correlate(statistic, x, pairs.scores) - correlate(statistic, y, pairs.scores)

    table = []
    for i in range(len(results)):
        for j in range(i + 1, len(results)):
            low, high, p = estimate_difference(left_out[i], left_out[j], pairing)
            both = [columns[i], columns[j]], [replicates[i], replicates[j]]
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
                    "difference_draw_se": joint_draw_error(*both, gap),
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
    pairs, (x, y), _ = align([a, b])
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


def partial_agreement(result: Evaluation, given: Evaluation) -> Table:
    r"""What a scorer knows of the human scores beyond another one: their partial correlation.

    .. math:: \rho = \frac{r_{xy} - r_{xz} r_{zy}}{\sqrt{(1 - r_{xz}^2) (1 - r_{zy}^2)}}

    with x the similarities of `result`, y the human scores and z the similarities of `given`. It is
    0 where x agrees with people only as far as it agrees with z.

    Parameters
    ----------
    result, given : Evaluation
        Evaluations of the same pairs; a pair that one of them could not score is left out.

    Returns
    -------
    table : Table
        A row per statistic: n, and `partial` in [-1, 1] with its 95 % interval, p-value (both heed
        texts that repeat, see `evaluate`; NaN below 10 pairs) and `partial_draw_se`.

    Examples
    --------
    >>> from conjure_kernel import evaluate
    >>> pairs = [("a", "aa"), ("a", "bb"), ("b", "ab"), ("c", "ccc"), ("c", "aba")]
    >>> letters = lambda left, right: [len(set(a) & set(b)) for a, b in zip(left, right)]
    >>> lengths = lambda left, right: [-abs(len(a) - len(b)) for a, b in zip(left, right)]
    >>> both = [evaluate(scorer, pairs, [4, 0, 2, 5, 1]) for scorer in (letters, lengths)]
    >>> round(partial_agreement(*both)[0]["partial"], 2)
    0.97
    """
    pairs, columns, replicates = align([result, given])
    named = {f"similarities of {r.name}": c for r, c in zip((result, given), columns, strict=True)}
    warn_of_constants({**named, "scores": pairs.scores})
    pairing, (x, z), y = Pairing.of(pairs.left, pairs.right), columns, pairs.scores
    rows = []
    for statistic in STATISTICS:
        sides = ((x, y), (x, z), (z, y))
        parts = [leave_out_correlation(statistic, *two, pairing) for two in sides]
        left_out = partial_correlation(*parts)
        low, high, p = estimate(left_out, pairing)

        def figure(x: np.ndarray, z: np.ndarray, of: str = statistic) -> float:
            three = [correlate(of, *two) for two in ((x, y), (x, z), (z, y))]
            return float(partial_correlation(*three))

        rows.append(
            {
                "a": result.name,
                "given": given.name,
                "statistic": statistic,
                "n": len(pairs),
                "partial": float(left_out[0]),
                "partial_low": low,
                "partial_high": high,
                "partial_p": p,
                "partial_draw_se": joint_draw_error(columns, replicates, figure),
            }
        )
    return Table(rows)


def partial_correlation(xy: Any, xz: Any, zy: Any) -> np.ndarray:
    """Partial correlation of x and y given z; NaN where z tells all of x or of y."""
    left = (1 - np.square(xz)) * (1 - np.square(zy))
    return np.where(left > 0, (xy - xz * zy) / np.sqrt(np.where(left > 0, left, 1)), np.nan)


def align(
    results: Sequence[Evaluation],
) -> tuple[ScoredPairs, list[np.ndarray], list[np.ndarray | None]]:
    """The pairs that all results scored, and the similarities and replicates of each result."""
    places = common_places(results)
    pairs = results[0].pairs.take(places[0], "scored by all")
    columns = [r.similarities[at] for r, at in zip(results, places, strict=True)]
    replicates = [
        None if r.replicates is None else r.replicates[..., at]
        for r, at in zip(results, places, strict=True)
    ]
    return pairs, columns, replicates


def common_places(results: Sequence[Evaluation], same_scores: bool = True) -> list[list[int]]:
    """Where the pairs that all results scored, in one order, stand in each of them.

    Pairs with other human scores are other pairs, unless told otherwise.
    """
    for result in results:
        if not isinstance(result, Evaluation):
            raise TypeError(
                f"results: expected what evaluate returns, got {type(result).__name__}; "
                "evaluate the pairs first."
            )
    sides = [(r.pairs.left, r.pairs.right, *([r.pairs.scores] * same_scores)) for r in results]
    keys = [list(zip(*side, strict=True)) for side in sides]
    common = set(keys[0]).intersection(*keys[1:])
    if not common:
        raise ValueError("results: expected pairs in common, got none; evaluate the same pairs.")
    places = [[i for i, key in enumerate(of) if key in common] for of in keys]
    if len({tuple(of[i] for i in at) for of, at in zip(keys, places, strict=True)}) != 1:
        raise ValueError(
            "results: expected the same pairs in one order, got different orders or numbers; "
            "evaluate the same pairs."
        )
    return places
