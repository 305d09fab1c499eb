"""Correlations of paired scores, with intervals that heed repeated texts (`uncertainty`)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from conjure_kernel._checks import AccuracyWarning
from conjure_kernel._table import Table
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.delete_one import DELETE_ONE
from conjure_kernel.evaluation.uncertainty import FEWEST, Estimate, Pairing, estimate, leave_out
from conjure_kernel.method.jackknife import jackknife_se

__all__ = ["STATISTICS", "correlate", "draw_error", "interval_of", "is_constant"]
__all__ += ["joint_draw_error", "leave_out_correlation", "p_value", "parts_of", "tabulate"]
__all__ += ["warn_of_constants"]

LEAST = 3  # pairs of a correlation
STRATA = 3  # of prompt length
MEANS = ("mean", "wmean")
ROUNDING = 1e-13  # relative spread below which values are equal


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    rho = float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))
    return rho if abs(rho) < 1 - ROUNDING else np.copysign(1.0, rho).item()


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    return _pearson(stats.rankdata(x), stats.rankdata(y))


def _kendall(x: np.ndarray, y: np.ndarray) -> float:
    return float(stats.kendalltau(x, y, method="asymptotic").statistic)


STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "spearman": _spearman,
    "pearson": _pearson,
    "kendall": _kendall,
}
TESTS = {"spearman": stats.spearmanr, "pearson": stats.pearsonr, "kendall": stats.kendalltau}


def correlate(statistic: str, x: np.ndarray, y: np.ndarray) -> float:
    """Correlation in [-1, 1]; NaN if x has NaN, a side is constant, or with less than 3 pairs."""
    if len(x) < LEAST or np.isnan(x).any() or is_constant(x) or is_constant(y):
        return np.nan
    return STATISTICS[statistic](x, y)


def is_constant(values: np.ndarray) -> bool:
    """Whether all values are equal but for rounding."""
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max())


def warn_of_constants(columns: Mapping[str, np.ndarray], level: int = 3) -> None:
    """Warn, once, of columns whose values are all equal, so that no correlation is defined."""
    flat = [
        f"all {len(values)} {name} are {values[0]:.6g}"
        for name, values in columns.items()
        if len(values) and is_constant(values)
    ]
    if flat:
        warnings.warn(
            f"{'; '.join(flat)}: a correlation is not defined there and is NaN; check them.",
            category=AccuracyWarning,
            stacklevel=level + 1,
        )


def leave_out_correlation(
    statistic: str, x: np.ndarray, y: np.ndarray, pairing: Pairing
) -> np.ndarray:
    """`leave_out` of a correlation; NaN but for the first where there are too few pairs."""
    rho = correlate(statistic, x, y)
    if np.isnan(rho) or pairing.n_different < FEWEST:
        return np.r_[rho, np.full(pairing.n_units + pairing.n_texts, np.nan)]
    each = DELETE_ONE[statistic](x, y)
    return leave_out(partial(correlate, statistic), pairing, (x, y), each)


def p_value(statistic: str, x: np.ndarray, y: np.ndarray) -> float:
    """Two-sided p-value of no correlation, as if the pairs were independent."""
    if np.isnan(correlate(statistic, x, y)):
        return np.nan
    return float(TESTS[statistic](x, y).pvalue)


def interval_of(statistic: str, x: np.ndarray, y: np.ndarray, pairing: Pairing) -> Estimate:
    """Interval and p-value of a correlation; where no text repeats the p-value is scipy's."""
    found = estimate(leave_out_correlation(statistic, x, y, pairing), pairing)
    return found if pairing.repeats else found._replace(p=p_value(statistic, x, y))


def draw_error(replicates: np.ndarray | None, figure: Callable[[np.ndarray], Any]) -> Any:
    """Monte Carlo error of a figure of the rows of replicates (G, K, n_pairs); NaN without."""
    if replicates is None:
        return np.nan
    return jackknife_se(np.array([[figure(row) for row in group] for group in replicates]))


def joint_draw_error(
    columns: Sequence[np.ndarray],
    replicates: Sequence[np.ndarray | None],
    figure: Callable[..., float],
) -> float:
    """Monte Carlo error of a figure of several columns; equally many draws are left out together.

    The squares of the errors of columns with different numbers of draws add up. NaN without any.
    """
    squares = []
    for shape in {rows.shape for rows in replicates if rows is not None}:
        moving = [rows is not None and rows.shape == shape for rows in replicates]
        sides = [
            rows if moves else np.broadcast_to(column, shape)
            for rows, moves, column in zip(replicates, moving, columns, strict=True)
        ]
        groups = zip(*sides, strict=True)
        values = [[figure(*rows) for rows in zip(*group, strict=True)] for group in groups]
        squares.append(float(jackknife_se(np.array(values))) ** 2)
    return float(np.sqrt(sum(squares))) if squares else np.nan


def parts_of(
    pairs: ScoredPairs, truncated: np.ndarray | None = None
) -> dict[tuple[str, str], np.ndarray]:
    """Boolean masks by (kind, part) of all pairs, of corpora, and of strata by length and cut.

    The length of a pair is the number of words of its longer text.
    """
    parts = {("aggregate", "all"): np.ones(len(pairs), bool)}
    if pairs.corpora is not None and len(set(pairs.corpora)) > 1:
        corpora = np.array(pairs.corpora, dtype=object)
        parts |= {("corpus", name): corpora == name for name in sorted(set(pairs.corpora))}
    words = np.array([max(len(a.split()), len(b.split())) for a, b in pairs.pairs])
    cuts = np.unique(np.quantile(words, np.arange(1, STRATA) / STRATA, method="nearest"))
    strata = np.searchsorted(cuts, words)
    if len(np.unique(strata)) > 1:
        for stratum in np.unique(strata):
            inside = strata == stratum
            span = f"{words[inside].min()} to {words[inside].max()} words"
            parts["length", span] = inside
    if truncated is not None and truncated.any() and not truncated.all():
        parts |= {("truncation", "read whole"): ~truncated, ("truncation", "truncated"): truncated}
    return parts


def tabulate(
    scores: np.ndarray,
    similarities: np.ndarray,
    pairing: Pairing,
    parts: Mapping[tuple[str, str], np.ndarray],
    replicates: np.ndarray | None = None,
) -> Table:
    """Correlations in each part and their means over corpora, with intervals and draw errors."""
    _warn_of_parts(scores, similarities, parts)
    sizes = {key: int(mask.sum()) for key, mask in parts.items()}
    corpora = [key for key in parts if key[0] == "corpus"]
    sums: dict[tuple[str, str], dict] = {key: {key: 1.0} for key in parts}
    if corpora:
        sums["aggregate", "mean"] = {key: 1 / len(corpora) for key in corpora}
        sums["aggregate", "wmean"] = {key: sizes[key] / len(scores) for key in corpora}
    within = {key: pairing.within(mask) for key, mask in parts.items()}
    rows: dict[tuple[str, str], dict[str, Any]] = {
        key: {"kind": key[0], "part": key[1], "n": sizes.get(key, len(scores))} for key in sums
    }
    for statistic in STATISTICS:
        sides = {key: (similarities[mask], scores[mask]) for key, mask in parts.items()}
        left_out = {k: leave_out_correlation(statistic, *sides[k], within[k]) for k in parts}
        for key, shares in sums.items():
            values = sum(share * left_out[part] for part, share in shares.items())
            found = estimate(values, within.get(key, pairing))
            if key in within and not within[key].repeats:
                found = found._replace(p=p_value(statistic, *sides[key]))
            error = draw_error(replicates, _sum_of(statistic, scores, parts, shares))
            facts = {"": float(values[0]), **found._asdict(), "draw_se": float(error)}
            rows[key] |= {f"{statistic}_{name}".rstrip("_"): fact for name, fact in facts.items()}
    return Table(sorted(rows.values(), key=lambda row: row["kind"] != "aggregate"))


def _sum_of(
    statistic: str, scores: np.ndarray, parts: Mapping, shares: Mapping
) -> Callable[[np.ndarray], float]:
    """The weighted sum of correlations in parts, as a function of the similarities."""

    def figure(row: np.ndarray) -> float:
        return sum(
            share * correlate(statistic, row[parts[part]], scores[parts[part]])
            for part, share in shares.items()
        )

    return figure


def _warn_of_parts(scores: np.ndarray, similarities: np.ndarray, parts: Mapping) -> None:
    """Warn of parts without a correlation, where one side is constant."""
    sides = {"similarities": similarities, "scores": scores}
    flat = {
        part: [name for name, values in sides.items() if is_constant(values[mask])]
        for (_, part), mask in parts.items()
        if mask.sum() >= LEAST
    }
    flat = {part: names for part, names in flat.items() if names}
    if flat:
        part, names = next(iter(flat.items()))
        warnings.warn(
            f"{len(flat)} of {len(parts)} parts have no correlation (NaN), as values are all "
            f"equal: the {' and the '.join(names)} of {part!r}; check them.",
            category=AccuracyWarning,
            stacklevel=4,
        )
