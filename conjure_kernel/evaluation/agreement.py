"""`model_agreement`: how much two models agree in the order of pairs of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from conjure_kernel._checks import check_prompts
from conjure_kernel._table import Sheet, Shown, Table
from conjure_kernel.engine.opening import open_engine, open_model
from conjure_kernel.engine.pairwise import Measured, measure_matrix
from conjure_kernel.engine.parameters import Measurement
from conjure_kernel.engine.provenance import provenance_of, versions
from conjure_kernel.evaluation.correlation import (
    correlate,
    draw_error,
    interval_of,
    warn_of_constants,
)
from conjure_kernel.evaluation.uncertainty import Pairing
from conjure_kernel.method.grid import common_range
from conjure_kernel.method.jackknife import jackknife_se

__all__ = ["Agreement", "model_agreement"]


@dataclass(frozen=True, repr=False)
class Agreement(Shown):
    """How much two models agree in the order of the pairs of some prompts.

    Attributes
    ----------
    prompts : list of str
        The different prompts.
    a, b : Divergence
        Matrices of both models over the range of log-SNR that both know.
    spearman : float
        Rank correlation of J over all pairs, in [-1, 1].
    low, high : float
        95 % interval for other prompts like these (see `evaluate`); NaN below 10 pairs.
    draw_se : float
        Standard error over the draws of both models, whose noise is independent; NaN with one draw.
    provenance : dict
        Provenance of both measurements, under "a" and "b", and versions.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, model_agreement
    >>> one = GaussianDenoiser({"a dog": 0.0, "a cat": 0.4, "a car": 3.0})
    >>> two = GaussianDenoiser({"a dog": 0.0, "a cat": 0.1, "a car": -2.0})
    >>> agreement = model_agreement(["a dog", "a cat", "a car"], one, two, memory=None)
    >>> last = agreement.ranking()[2]
    >>> last["prompt_a"], last["prompt_b"], last["rank_a"], last["rank_b"]
    ('a dog', 'a cat', 1.0, 1.0)
    """

    prompts: list[str]
    a: Measured
    b: Measured
    spearman: float
    low: float
    high: float
    draw_se: float
    provenance: dict[str, Any] = field(default_factory=dict)

    def _shown(self) -> Sheet:
        table, error = self.ranking(), "" if np.isnan(self.draw_se) else f" ± {self.draw_se:.2g}"
        heading = f"Spearman of two models {self.spearman:.3f}{error}"
        if np.isfinite(self.low):
            heading += f", 95 % interval {self.low:.3f} to {self.high:.3f}"
        heading += f"; the pairs that differ most of {len(table)}"
        rows = [
            [row["prompt_a"], row["prompt_b"], f"{row['rank_a']:g}", f"{row['rank_b']:g}", shown]
            for row, (shown,) in zip(table.rows, table.texts("rank difference"), strict=True)
        ]
        return heading, ["", "", "rank a", "rank b", "rank difference"], rows, len(rows)

    def ranking(self) -> Table:
        """Table of all pairs, those of the most different ranks first.

        Returns
        -------
        table : Table
            prompt_a, prompt_b, divergence_a, divergence_b in nats, rank_a, rank_b (1 is nearest),
            rank_difference (b less a) and its standard error over draws, NaN where unknown.
        """
        i, j = np.triu_indices(len(self.prompts), 1)
        values = [side.values[i, j] for side in (self.a, self.b)]
        ranks = [stats.rankdata(side) for side in values]
        difference, error = ranks[1] - ranks[0], self._rank_errors()
        order = np.argsort(-np.abs(difference), kind="stable")
        return Table(
            [
                {
                    "prompt_a": self.prompts[i[k]],
                    "prompt_b": self.prompts[j[k]],
                    **{f"divergence_{m}": float(values[s][k]) for s, m in enumerate("ab")},
                    **{f"rank_{m}": float(ranks[s][k]) for s, m in enumerate("ab")},
                    "rank_difference": float(difference[k]),
                    "rank_difference_draw_se": float(error[k]),
                }
                for k in order
            ]
        )

    def _rank_errors(self) -> np.ndarray:
        """Standard error over draws of each pair's difference of ranks, by a jackknife."""
        i, j = np.triu_indices(len(self.prompts), 1)
        squares = np.zeros(len(i))
        for side in (self.a, self.b):
            if side.draw_weights is not None or side.n_draws < 2:
                return np.full(len(i), np.nan)
            squares += jackknife_se(stats.rankdata(side.replicates[..., i, j], axis=-1)) ** 2
        return np.sqrt(squares)


def model_agreement(
    prompts: Sequence[str],
    model_a: Any = "embedded",
    model_b: Any = "embedded",
    **settings: Any,
) -> Agreement:
    """Rank agreement of two models on all pairs of `prompts`.

    The models need have nothing in common, as each measures its own distances. The second one gets
    noise of its own, so that common noise makes no agreement: a model agrees with itself as much as
    two independent measurements of it do.

    Parameters
    ----------
    prompts : sequence of str
        At least three different ones; equal ones count once.
    model_a, model_b : str, path, diffusers pipeline or Denoiser, default "embedded"
        What `load_denoiser` takes.
    **settings
        See `pairwise_divergence`. The default log_snr_range is what both models know.

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
        raise ValueError(
            f"prompts: expected at least 3 different ones, to order pairs, got {len(names)}."
        )
    shared = {n: settings.pop(n) for n in ("model_kwargs", "device", "dtype") if n in settings}
    models = [open_model(Measurement(m, **shared)).load() for m in (model_a, model_b)]
    given = settings.pop("log_snr_range", None)
    common = common_range([model.schedule for model in models], given)
    options = {**settings, "log_snr_range": common}
    engines = [open_engine({**options, "model": m}, role=i) for i, m in enumerate(models)]
    a, b = (measure_matrix(engine, names, names) for engine in engines)
    about = {side: provenance_of(engine) for side, engine in zip("ab", engines, strict=True)}
    return _agree(names, a, b, {**about, "versions": versions()})


def _agree(names: list[str], a: Measured, b: Measured, about: dict[str, Any]) -> Agreement:
    """Rank agreement of two matrices of the same prompts, whose noise is independent."""
    i, j = np.triu_indices(len(names), 1)
    x, y = a.values[i, j], b.values[i, j]
    left, right = ([names[k] for k in side] for side in (i, j))
    warn_of_constants({"divergences of model_a": x, "divergences of model_b": y})
    low, high, _ = interval_of("spearman", x, y, Pairing.of(left, right))
    error = np.nan
    if a.draw_weights is None and a.n_draws > 1:
        # The models' noise is independent, so the squares of their errors add up.
        sides = ((a.replicates[..., i, j], y), (b.replicates[..., i, j], x))
        parts = [draw_error(rows, partial(correlate, "spearman", other)) for rows, other in sides]
        error = float(np.hypot(*parts))
    rho = float(correlate("spearman", x, y))
    return Agreement(names, a, b, rho, low, high, draw_se=error, provenance=about)
