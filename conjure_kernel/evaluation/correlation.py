"""Rank correlations of paired scores, with bootstrap intervals that heed repeated texts.

Resampling pairs takes them as independent, which they are not where texts repeat. There the texts
are resampled, and a pair comes as often as its one text comes times as often as its other text
comes (Owen & Eckles 2012, "Bootstrapping data arrays of arbitrary order"; conservative).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from conjure_kernel._table import Table
from conjure_kernel.estimators.folds import number_texts
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.method.jackknife import jackknife_se

__all__ = ["FEWEST", "STATISTICS", "correlate", "interval", "p_value", "parts_of", "resamples"]
__all__ += ["tabulate"]

FEWEST = 10  # pairs that an interval needs
STRATA = 3  # of prompt length
MEANS = ("mean", "wmean")


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 0 else np.nan


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    return _pearson(stats.rankdata(x), stats.rankdata(y))


def _kendall(x: np.ndarray, y: np.ndarray) -> float:
    return float(stats.kendalltau(x, y).statistic)


STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "spearman": _spearman,
    "pearson": _pearson,
    "kendall": _kendall,
}
TESTS = {"spearman": stats.spearmanr, "pearson": stats.pearsonr, "kendall": stats.kendalltau}


def correlate(statistic: str, x: np.ndarray, y: np.ndarray) -> float:
    """Correlation in [-1, 1]; NaN if one side is constant or there are fewer than 3 pairs."""
    return STATISTICS[statistic](x, y) if len(x) >= 3 else np.nan


def p_value(statistic: str, x: np.ndarray, y: np.ndarray) -> float:
    """Two-sided p-value of no correlation, as if the pairs were independent."""
    if len(x) < 3:
        return np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return float(TESTS[statistic](x, y).pvalue)


def interval(values: Any, n_pairs: int = FEWEST, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap values over pairs.

    NaN if there are fewer than 10 pairs, or if more than a tenth of the values are missing.
    """
    values = np.asarray(values, dtype=float)
    known = values[np.isfinite(values)]
    if n_pairs < FEWEST or len(known) < 0.9 * max(1, len(values)):
        return np.nan, np.nan
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resamples(left: Sequence[str], right: Sequence[str], n: int, seed: int) -> Iterator[np.ndarray]:
    """Yield n resamples as positions of pairs, by text where texts repeat, by pair elsewhere.

    What is resampled are the texts in more than one pair, and the pairs without such a text.
    """
    n_texts, a, b = number_texts(left, right)
    occurs = np.bincount(a, minlength=n_texts) + np.bincount(b, minlength=n_texts)
    occurs -= np.bincount(a[a == b], minlength=n_texts)  # a text against itself is one pair
    repeats = occurs > 1
    unit_of = np.cumsum(repeats) - 1
    alone = ~repeats[a] & ~repeats[b]
    first = np.where(repeats[a], unit_of[a], np.where(repeats[b], unit_of[b], -1))
    first[alone] = repeats.sum() + np.arange(alone.sum())
    second = np.where(repeats[a] & repeats[b] & (a != b), unit_of[b], -1)
    n_units = int(repeats.sum() + alone.sum())
    rng, pairs = np.random.default_rng(seed), np.arange(len(a))
    for _ in range(n):
        times = np.bincount(rng.integers(n_units, size=n_units), minlength=n_units)
        yield np.repeat(pairs, times[first] * np.where(second < 0, 1, times[second]))


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
    parts: Mapping[tuple[str, str], np.ndarray],
    resampled: Iterable[np.ndarray],
    replicates: np.ndarray | None = None,
) -> Table:
    """Correlations in each part and their means over corpora, with intervals and draw errors."""
    corpora = [i for i, (kind, _) in enumerate(parts) if kind == "corpus"]
    sizes = np.array([mask.sum() for mask in parts.values()])

    def values(x: np.ndarray, index: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Correlations (n_statistics, n_parts), then both means where there are corpora."""
        inside = [mask[index] for mask in parts.values()]
        x, y = x[index], scores[index]
        rho = np.array([[correlate(s, x[m], y[m]) for m in inside] for s in STATISTICS])
        if not corpora:
            return rho
        means = [rho[:, corpora].mean(1), rho[:, corpora] @ sizes[corpora] / len(scores)]
        return np.hstack([rho, np.array(means).T])

    names = [*parts, *([("aggregate", mean) for mean in MEANS] if corpora else [])]
    point = values(similarities)
    boot = np.array([values(similarities, index) for index in resampled]).reshape(-1, *point.shape)
    moved = None if replicates is None else np.array([values(row) for row in replicates])
    rows = []
    for i, (kind, part) in enumerate(names):
        mask = parts.get((kind, part), parts["aggregate", "all"])
        row: dict[str, Any] = {"kind": kind, "part": part, "n": int(mask.sum())}
        for j, statistic in enumerate(STATISTICS):
            low, high = interval(boot[:, j, i], row["n"])
            of_mean = part in MEANS and kind == "aggregate"
            p = np.nan if of_mean else p_value(statistic, similarities[mask], scores[mask])
            row |= {statistic: float(point[j, i]), f"{statistic}_low": low}
            row |= {f"{statistic}_high": high, f"{statistic}_p": p}
            row[f"{statistic}_draw_se"] = (
                np.nan if moved is None else float(jackknife_se(moved[:, j, i]))
            )
        rows.append(row)
    return Table(sorted(rows, key=lambda row: row["kind"] != "aggregate"))
