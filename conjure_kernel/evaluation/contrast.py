"""`contrast`: how much better scorers are at one kind of human scores than at another.

Of pairs that people rated on several attributes, some are about looks (shape, colour) and others
about means (habitat, food). With r the mean correlation of a scorer with the attributes of a kind,
its contrast is r(looks) - r(means), and two scorers differ by a difference of differences. All
correlations are of the same pairs, so each pair and each text is left out of all of them at once:
the jackknife of `uncertainty`, on the plain scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from conjure_kernel._checks import check_choice, quote
from conjure_kernel._table import Table
from conjure_kernel.evaluation.comparison import common_places
from conjure_kernel.evaluation.correlation import (
    STATISTICS,
    correlate,
    joint_draw_error,
    leave_out_correlation,
)
from conjure_kernel.evaluation.evaluation import Evaluation
from conjure_kernel.evaluation.uncertainty import Pairing, estimate

__all__ = ["contrast"]


def contrast(
    looks: Sequence[Evaluation], means: Sequence[Evaluation], *, statistic: str = "spearman"
) -> Table:
    """How much better scorers agree with ratings of looks than with ratings of meaning.

    Parameters
    ----------
    looks, means : sequence of Evaluation
        Evaluations of the same pairs against ratings of both kinds, at least one of each scorer in
        each, told apart by their `name`. Of several (several attributes) the mean counts.
    statistic : {"spearman", "pearson", "kendall"}, default "spearman"
        Correlation with the human scores.

    Returns
    -------
    table : Table
        A row per scorer, and one per two scorers ("a minus b"): n; the correlation with `looks` and
        with `means`, or its difference; and the `contrast`, looks minus means, with its 95 %
        interval, p-value (both heed texts that repeat; NaN below 10 pairs) and `contrast_draw_se`.

    Raises
    ------
    ValueError
        The evaluations are not of the same pairs, or not of the same scorers.

    Notes
    -----
    Noise in ratings lowers all correlations with them by one factor. Where looks were rated with
    more of it, every scorer's own contrast is lower, and that of two scorers moves, too: towards
    the one that agrees less with looks. `benchmarks/interval_coverage.py` simulates what the
    intervals cover.

    Examples
    --------
    >>> from conjure_kernel import evaluate
    >>> pairs = [("a", "aa"), ("a", "bb"), ("b", "ab"), ("c", "ccc")]
    >>> letters = lambda left, right: [len(set(a) & set(b)) for a, b in zip(left, right)]
    >>> lengths = lambda left, right: [-abs(len(a) - len(b)) for a, b in zip(left, right)]
    >>> scorers = {"letters": letters, "lengths": lengths}
    >>> looks, means = (
    ...     [evaluate(scorer, pairs, scores, name=name) for name, scorer in scorers.items()]
    ...     for scores in ([4, 0, 2, 5], [3, 2, 4, 1])
    ... )
    >>> table = contrast(looks, means)
    >>> table[2]["scorer"], round(table[2]["contrast"], 2)
    ('letters minus lengths', 2.07)
    """
    check_choice(statistic, "statistic", tuple(STATISTICS))
    kinds = {"looks": looks, "means": means}
    for kind, given in kinds.items():
        if not isinstance(given, Sequence) or isinstance(given, str) or not given:
            raise ValueError(f"{kind}={quote(given)}: expected at least one evaluation.")
    results = [*looks, *means]
    places = common_places(results, same_scores=False)
    names = [list(dict.fromkeys(r.name for r in of)) for of in kinds.values()]
    if set(names[0]) != set(names[1]):
        raise ValueError(
            f"looks, means: expected the same scorers in both, got {names[0]} and {names[1]}; "
            "evaluate each against both, with name=."
        )
    scorers = [_Scorer.of(name, results, places, len(looks)) for name in names[0]]
    pairs = results[0].pairs
    both_texts = ([side[i] for i in places[0]] for side in (pairs.left, pairs.right))
    pairing = Pairing.of(*both_texts)
    left_out = [scorer.left_out(statistic, pairing) for scorer in scorers]
    rows = [_row([s], [v], statistic, pairing) for s, v in zip(scorers, left_out, strict=True)]
    for i in range(len(scorers)):
        for j in range(i + 1, len(scorers)):
            two = [scorers[i], scorers[j]], [left_out[i], left_out[j]]
            rows.append(_row(*two, statistic, pairing))
    return Table(rows)


class _Scorer(NamedTuple):
    """A scorer's similarities of n pairs, and the human scores of either kind."""

    name: str
    similarities: np.ndarray
    replicates: np.ndarray | None
    looks: list[np.ndarray]
    means: list[np.ndarray]

    @classmethod
    def of(
        cls, name: str, results: Sequence[Evaluation], places: Sequence[list[int]], n_looks: int
    ) -> _Scorer:
        """That of the evaluations with its name, the first `n_looks` of which may be of looks."""
        own = [k for k, result in enumerate(results) if result.name == name]
        rows = [results[k].similarities[places[k]] for k in own]
        if any(not np.allclose(row, rows[0]) for row in rows[1:]):
            raise ValueError(
                f"looks, means: expected one scorer of each name, got different similarities of "
                f"the same pairs from {quote(name)}; give each scorer a name=."
            )
        first = results[own[0]].replicates
        replicates = None if first is None else first[..., places[own[0]]]
        scores = {k: results[k].pairs.scores[places[k]] for k in own}
        looks, means = (
            [scores[k] for k in own if (k < n_looks) == is_looks] for is_looks in (1, 0)
        )
        return cls(name, rows[0], replicates, looks, means)

    def left_out(self, statistic: str, pairing: Pairing) -> np.ndarray:
        """Mean correlations with looks and with means, and without each pair and text: (2, m)."""
        x = self.similarities
        return np.array(
            [
                np.mean([leave_out_correlation(statistic, x, y, pairing) for y in kind], axis=0)
                for kind in (self.looks, self.means)
            ]
        )

    def contrast(self, statistic: str, x: np.ndarray) -> float:
        """Contrast of other similarities with the same scores."""
        looks, means = ([correlate(statistic, x, y) for y in k] for k in (self.looks, self.means))
        return float(np.mean(looks) - np.mean(means))


def _row(
    scorers: Sequence[_Scorer], left_out: Sequence[np.ndarray], statistic: str, pairing: Pairing
) -> dict[str, Any]:
    """Row of one scorer, or of the first minus the second."""
    values = left_out[0] - left_out[1] if len(scorers) > 1 else left_out[0]
    low, high, p = estimate(values[0] - values[1], pairing, correlation=False)
    contrasts = [partial(scorer.contrast, statistic) for scorer in scorers]

    def figure(*columns: np.ndarray) -> float:
        each = [of(column) for of, column in zip(contrasts, columns, strict=True)]
        return each[0] - sum(each[1:])

    columns, replicates = [s.similarities for s in scorers], [s.replicates for s in scorers]
    return {
        "scorer": " minus ".join(scorer.name for scorer in scorers),
        "n": len(scorers[0].similarities),
        f"{statistic} looks": float(values[0, 0]),
        f"{statistic} means": float(values[1, 0]),
        "contrast": float(values[0, 0] - values[1, 0]),
        "contrast_low": low,
        "contrast_high": high,
        "contrast_p": p,
        "contrast_draw_se": joint_draw_error(columns, replicates, figure),
    }
