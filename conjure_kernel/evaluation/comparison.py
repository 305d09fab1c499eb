"""Evaluations against each other: differences on the same pairs, and agreement of two models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from conjure_kernel._checks import check_choice, check_prompts
from conjure_kernel._table import Table
from conjure_kernel.engine.opening import open_engine, open_model
from conjure_kernel.engine.pairwise import measure_matrix
from conjure_kernel.engine.parameters import Measurement
from conjure_kernel.engine.provenance import provenance_of, versions
from conjure_kernel.evaluation.correlation import (
    FEWEST,
    STATISTICS,
    correlate,
    interval,
    p_value,
    resamples,
)
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.evaluation import Evaluation
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.jackknife import jackknife_se, leave_one_out
from conjure_kernel.method.schedule import common_range

__all__ = ["Agreement", "compare", "model_agreement", "rank_agreement"]


def compare(
    results: Sequence[Evaluation], *, statistic: str = "spearman", n_bootstrap: int = 1000
) -> Table:
    """Differences of two or more evaluations on the same pairs, by a paired bootstrap.

    Parameters
    ----------
    results : sequence of Evaluation
        Of the same pairs; those that any of them could not score are left out.
    statistic : {"spearman", "pearson", "kendall"}
    n_bootstrap : int
        Resamples, the same for both sides of a difference.

    Returns
    -------
    table : Table
        A row per two results: n, both correlations, their `difference` (a minus b) with its
        interval and two-sided bootstrap p-value, and its `_draw_se`.

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
        raise ValueError(f"{len(results)} results: at least two are needed.")
    pairs, columns, drawn = _aligned(results)
    values = np.array([correlate(statistic, c, pairs.scores) for c in columns])
    boot = np.array(
        [
            [correlate(statistic, column[index], pairs.scores[index]) for column in columns]
            for index in resamples(pairs.left, pairs.right, n_bootstrap, 0)
        ]
    )
    errors = [
        None if d is None else np.array([correlate(statistic, w, pairs.scores) for w in d])
        for d in drawn
    ]
    rows = []
    for i in range(len(results)):
        for j in range(i + 1, len(results)):
            gaps = boot[:, i] - boot[:, j]
            low, high = interval(gaps) if len(pairs) >= FEWEST else (np.nan, np.nan)
            rows.append(
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
    return Table(rows)


def rank_agreement(a: Evaluation, b: Evaluation, *, n_bootstrap: int = 1000) -> Table:
    """Do two models rank the same pairs alike? Correlation of their similarities with each other.

    Returns
    -------
    table : Table
        One row per statistic: n, value with its bootstrap interval, p-value.

    Examples
    --------
    >>> from conjure_kernel import evaluate
    >>> pairs = [("a", "aa"), ("a", "bb"), ("b", "ab"), ("c", "ccc")]
    >>> letters = lambda left, right: [len(set(a) & set(b)) for a, b in zip(left, right)]
    >>> found = evaluate(letters, pairs, [4, 0, 2, 5])
    >>> rank_agreement(found, found)[0]["agreement"]
    1.0
    """
    pairs, (x, y), _ = _aligned([a, b])
    resampled = list(resamples(pairs.left, pairs.right, n_bootstrap, 0))
    rows = []
    for statistic in STATISTICS:
        boot = [correlate(statistic, x[index], y[index]) for index in resampled]
        low, high = interval(boot) if len(pairs) >= FEWEST else (np.nan, np.nan)
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


@dataclass(frozen=True)
class Agreement:
    """How far two models order the pairs of some prompts alike.

    Attributes
    ----------
    prompts : list of str
    a, b : Divergence
        Matrices of both models over the range of log-SNR that both know.
    spearman : float
        Rank correlation of J over all pairs, in [-1, 1].
    low, high : float
        95 % bootstrap interval that resamples prompts; NaN below 10 pairs.
    draw_se : float
        Standard error over the draws of both models; NaN with one draw.
    provenance : dict
        Of both measurements (a, b), and versions.
    provenance : dict
        Of both measurements (`a`, `b`), and versions.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, model_agreement
    >>> one = GaussianDenoiser({"a dog": 0.0, "a cat": 0.4, "a car": 3.0})
    >>> two = GaussianDenoiser({"a dog": 0.0, "a cat": 0.1, "a car": -2.0})
    >>> found = model_agreement(["a dog", "a cat", "a car"], one, two, memory=None)
    >>> {name: found.ranking()[2][name] for name in ("prompt_a", "prompt_b", "rank_a", "rank_b")}
    {'prompt_a': 'a dog', 'prompt_b': 'a cat', 'rank_a': 1.0, 'rank_b': 1.0}
    """

    prompts: list[str]
    a: Divergence
    b: Divergence
    spearman: float
    low: float
    high: float
    draw_se: float
    provenance: dict[str, Any] = field(default_factory=dict)

    def ranking(self) -> Table:
        """Every pair with J and its rank (1 is nearest) in both models, most differing first."""
        i, j = np.triu_indices(len(self.prompts), 1)
        values = [side.values[i, j] for side in (self.a, self.b)]
        ranks = [stats.rankdata(side) for side in values]
        order = np.argsort(-np.abs(ranks[0] - ranks[1]), kind="stable")
        return Table(
            [
                {
                    "prompt_a": self.prompts[i[k]],
                    "prompt_b": self.prompts[j[k]],
                    **{f"divergence_{m}": float(values[s][k]) for s, m in enumerate("ab")},
                    **{f"rank_{m}": float(ranks[s][k]) for s, m in enumerate("ab")},
                }
                for k in order
            ]
        )


def model_agreement(
    prompts: Sequence[str],
    model_a: Any = "embedded",
    model_b: Any = "embedded",
    *,
    n_bootstrap: int = 1000,
    **settings: Any,
) -> Agreement:
    """Rank agreement of two models on all pairs of `prompts`.

    The models need share nothing but the prompts: each measures its own distances.

    Parameters
    ----------
    prompts : sequence of str
        At least three; equal ones are left out.
    model_a, model_b : str, path, diffusers pipeline or Denoiser
        What `load_denoiser` takes.
    n_bootstrap : int
        Resamples of the prompts.
    **settings
        As of `pairwise_divergence`. The default log_snr_range is what both models know.

    Returns
    -------
    agreement : Agreement

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, model_agreement
    >>> one = GaussianDenoiser({"a dog": 0.0, "a cat": 0.4, "a car": 3.0})
    >>> two = GaussianDenoiser({"a dog": 0.0, "a cat": 0.1, "a car": -2.0})
    >>> model_agreement(["a dog", "a cat", "a car"], one, two, memory=None).spearman
    0.5
    """
    names = list(dict.fromkeys(check_prompts(prompts)))
    if len(names) < 3:
        raise ValueError(f"{len(names)} different prompts: at least 3 are needed to order pairs.")
    shared = {n: settings.pop(n) for n in ("model_kwargs", "device", "dtype") if n in settings}
    models = [open_model(Measurement(m, **shared)).load() for m in (model_a, model_b)]
    given = settings.pop("log_snr_range", None)
    common = common_range([model.schedule for model in models], given)
    options = {**settings, "log_snr_range": common}
    engines = [open_engine({**options, "model": model}) for model in models]
    a, b = (measure_matrix(engine, names, names) for engine in engines)
    about = {side: provenance_of(engine) for side, engine in zip("ab", engines, strict=True)}
    return _agree(names, a, b, n_bootstrap, {**about, "versions": versions()})


def _agree(
    names: list[str], a: Divergence, b: Divergence, n_bootstrap: int, about: dict[str, Any]
) -> Agreement:
    i, j = np.triu_indices(len(names), 1)
    x, y = a.values[i, j], b.values[i, j]
    left, right = ([names[k] for k in side] for side in (i, j))
    boot = [correlate("spearman", x[k], y[k]) for k in resamples(left, right, n_bootstrap, 0)]
    low, high = interval(boot) if len(x) >= FEWEST else (np.nan, np.nan)
    error = np.nan
    if a.draw_weights is None and a.n_draws > 1:
        # The models' noise is independent: the errors of either, the other held fixed, add up.
        parts = [
            jackknife_se(np.array([correlate("spearman", w, other) for w in leave_one_out(draws)]))
            for draws, other in ((a.draws[i, j], y), (b.draws[i, j], x))
        ]
        error = float(np.hypot(*parts))
    return Agreement(names, a, b, float(correlate("spearman", x, y)), low, high, error, about)


def _aligned(
    results: Sequence[Evaluation],
) -> tuple[ScoredPairs, list[np.ndarray], list[np.ndarray | None]]:
    """The pairs that all results scored, each one's similarities of them, and without draws."""
    keys = [list(zip(r.pairs.left, r.pairs.right, r.pairs.scores, strict=True)) for r in results]
    common = set(keys[0]).intersection(*keys[1:])
    if not common:
        raise ValueError("the results have no pair in common: evaluate them on the same pairs.")
    places = [[i for i, key in enumerate(of) if key in common] for of in keys]
    if len({tuple(of[i] for i in at) for of, at in zip(keys, places, strict=True)}) != 1:
        raise ValueError("the results hold their pairs in different orders or numbers.")
    pairs = results[0].pairs.take(places[0], "scored by all")
    columns = [r.similarities[at] for r, at in zip(results, places, strict=True)]
    drawn = [
        None if r.replicates is None else r.replicates[:, at]
        for r, at in zip(results, places, strict=True)
    ]
    return pairs, columns, drawn


def _two_sided(gaps: np.ndarray) -> float:
    """Bootstrap p-value of no difference, at least 1 / (number of resamples + 1)."""
    gaps = gaps[np.isfinite(gaps)]
    smaller = min((gaps <= 0).sum(), (gaps >= 0).sum())
    return float(min(1.0, 2 * (smaller + 1) / (len(gaps) + 1))) if len(gaps) else np.nan


def _gap_error(a: np.ndarray | None, b: np.ndarray | None) -> float:
    """Jackknife error of a difference; draws of equal number are left out together."""
    if a is not None and b is not None and len(a) == len(b):
        return float(jackknife_se(a - b))
    squares = [float(jackknife_se(one)) ** 2 for one in (a, b) if one is not None]
    return float(np.sqrt(sum(squares))) if squares else np.nan
