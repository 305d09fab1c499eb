"""`ablate`: how the agreement with human scores depends on each setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from conjure_kernel._checks import check_choice, same_value
from conjure_kernel._table import Sheet, Shown, Table, jsonable
from conjure_kernel.engine.pairwise import Measured, paired_divergence
from conjure_kernel.engine.parameters import Measurement
from conjure_kernel.engine.provenance import versions
from conjure_kernel.evaluation.comparison import compare
from conjure_kernel.evaluation.correlation import tabulate
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.evaluation import Evaluation
from conjure_kernel.evaluation.scorers import LEGS, score_divergence
from conjure_kernel.evaluation.uncertainty import Pairing
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.grid import WEIGHTINGS
from conjure_kernel.method.relative import RelativeDivergence

__all__ = ["SWEEPS", "Ablation", "ablate", "settings_to_measure"]

DEFAULTS = asdict(Measurement())
LEVELS = ("all", "early", "middle", "late")
SWEEPS: dict[str, tuple] = {
    "guidance_scale": (1.0, 2.0, 3.0, 5.0, 7.5),
    "n_steps": (5, 10, 20, 50),
    "n_draws": (1, 2, 4, 8, 16),
    "weighting": tuple(WEIGHTINGS),
    "sampler": ("sde", "ode"),
    "levels": LEVELS,
    "leg": tuple(LEGS),
}
# Settings that need no new energies: each is arithmetic on those of the base.
FREE: dict[str, Any] = {"weighting": Measurement.weighting, "levels": "all", "leg": "jeffreys"}


@dataclass(frozen=True, repr=False)
class Ablation(Shown):
    """Agreement with human scores, one setting changed at a time.

    Attributes
    ----------
    table : Table
        A row per setting and value, the base among them: `spearman` in [-1, 1] with its
        interval for other texts (see `evaluate`) and its `_draw_se`; its `difference` from the
        base on the same pairs (see `compare`); and `n_evaluations`, the noise predictions that the
        row cost (all rows of the base share one measurement).
    base, provenance : dict
        The settings of the base as texts; task and versions.
    """

    table: Table
    base: dict[str, Any]
    provenance: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.table)

    def _shown(self) -> Sheet:
        heading = "Spearman with human scores, one setting changed at a time"
        names = ("setting", "value", "base", "spearman", "difference")
        return heading, names, self.table.texts(*names), len(self.table)

    def to_pandas(self) -> Any:
        """The table as a pandas DataFrame."""
        return self.table.to_pandas()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return jsonable(vars(self))


def ablate(
    pairs: ScoredPairs,
    *,
    sweeps: Mapping[str, Sequence] | None = None,
    random_state: int = 0,
    **settings: Any,
) -> Ablation:
    """Sweep settings one at a time around a base and correlate each with human scores.

    Only guidance_scale, n_steps, sampler and other settings of the chain cost new predictions.
    Draws, weightings, bands of noise levels and legs are arithmetic on the energies of the base,
    which are measured once with the largest number of draws. With `tol`, which chooses the draws,
    each n_draws is measured by itself.

    Parameters
    ----------
    pairs : ScoredPairs
        What `load_pairs` returns.
    sweeps : mapping of setting to values, optional
        Settings of `ConjureDistance`, and `leg` ("jeffreys", "ab" for KL(P_a || P_b), "ba" for
        KL(P_b || P_a)) and `levels` ("all", or the "early", "middle" or "late" third of the noise
        levels, noisiest first). Default: `SWEEPS`.
    random_state : int, default 0
        Seed of the noise.
    **settings
        Settings of the base that differ from their defaults; see `paired_divergence`.

    Returns
    -------
    ablation : Ablation

    Raises
    ------
    TypeError, ValueError
        A setting is unknown, or has a value that cannot be used.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> from conjure_kernel.evaluation.datasets import ScoredPairs
    >>> world = GaussianDenoiser({"a": 0.7, "b": -0.4, "c": 3.0})
    >>> pairs = ScoredPairs("toy", ["a", "a", "b"], ["b", "c", "c"], np.array([5.0, 2.0, 1.0]))
    >>> ablation = ablate(pairs, sweeps={"n_draws": [2, 4]}, model=world, memory=None)
    >>> [(row["value"], row["spearman"]) for row in ablation.table.rows]
    [('2', 1.0), ('4', 1.0)]
    """
    sweeps = SWEEPS if sweeps is None else sweeps
    base = {**DEFAULTS, **FREE, **settings, "random_state": random_state}
    if unknown := sorted((set(sweeps) | set(settings)) - set(base)):
        raise TypeError(
            f"{', '.join(unknown)}: expected settings among {', '.join(sorted(base))}; "
            "look for a misspelt name."
        )
    for setting in set(FREE) & set(sweeps):
        for value in sweeps[setting]:
            check_choice(value, setting, SWEEPS[setting])
    measured = [
        (run, paired_divergence(pairs.left, pairs.right, **run))
        for run in settings_to_measure(sweeps, {**settings, "random_state": random_state})
    ]

    def evaluate_with(setting: str, value: Any) -> Evaluation:
        point = {**base, setting: value}
        return _evaluate(f"{setting} {value}", pairs, _at(point, measured), point)

    adaptive = base["tol"] is not None
    of_base, rows = evaluate_with("n_draws", base["n_draws"]), []
    for setting, values in sweeps.items():
        for value in values:
            evaluation, is_base = evaluate_with(setting, value), same_value(value, base[setting])
            label = f"{value:g}" if isinstance(value, int | float) else str(value)
            row = {"setting": setting, "value": label, "base": "base" if is_base else ""}
            facts = evaluation.table[0]
            row |= {name: facts[name] for name in facts if name.startswith(("n", "spearman"))}
            gap: dict[str, Any] = {}
            if not is_base:
                gap = compare([evaluation, of_base])[0]
            for name in ("", "_low", "_high", "_p", "_draw_se"):
                row[f"difference{name}"] = gap.get(f"difference{name}", np.nan)
            free = not is_base and (setting in FREE or (setting == "n_draws" and not adaptive))
            rows.append({**row, "n_evaluations": 0 if free else evaluation.n_evaluations})
    about = {"task": pairs.provenance, "versions": versions()}
    return Ablation(Table(rows), {name: str(value) for name, value in base.items()}, about)


def settings_to_measure(
    sweeps: Mapping[str, Sequence], settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Arguments of the `paired_divergence` calls that an ablation needs, the base first."""
    base = {name: value for name, value in settings.items() if name not in FREE}
    runs, free = [base], [*FREE]
    if base.get("tol") is None:
        n_draws = base.get("n_draws", DEFAULTS["n_draws"])
        runs = [{**base, "n_draws": max([n_draws, *sweeps.get("n_draws", ())])}]
        free.append("n_draws")
    for setting, values in sweeps.items():
        if setting not in free:
            plain = base.get(setting, DEFAULTS.get(setting))
            runs += [{**base, setting: value} for value in values if not same_value(value, plain)]
    return runs


def _at(
    point: Mapping[str, Any], measured: Sequence[tuple[Mapping[str, Any], Measured]]
) -> Measured:
    """The measurement with the settings of a point, its number of draws and its weighting."""
    needed = {n: v for n, v in point.items() if n not in FREE}
    n_draws = needed.pop("n_draws") if point["tol"] is None else None

    def cut(whole: Divergence) -> Divergence:
        forward, backward = whole.forward[:, :n_draws], whole.backward[:, :n_draws]
        return replace(whole, forward=forward, backward=backward, weighting=point["weighting"])

    whole = next(found for run, found in measured if _has({**DEFAULTS, **run}, needed))
    if isinstance(whole, RelativeDivergence):
        return RelativeDivergence(cut(whole.pairs), cut(whole.left), cut(whole.right))
    return cut(whole)


def _has(run: Mapping[str, Any], needed: Mapping[str, Any]) -> bool:
    """Whether a run has these settings; models and folders are compared as objects, not as text."""
    return all(same_value(run[name], value) for name, value in needed.items())


def _evaluate(
    name: str,
    pairs: ScoredPairs,
    measured: Measured,
    point: Mapping[str, Any],
) -> Evaluation:
    levels = _band(point["levels"], measured.grid.n_nodes)
    scored = score_divergence(measured, leg=point["leg"], levels=levels)
    whole = {("aggregate", "all"): np.ones(len(pairs), bool)}
    pairing = Pairing.of(pairs.left, pairs.right)
    table = tabulate(pairs.scores, scored.similarities, pairing, whole, scored.replicates)
    return Evaluation(
        name=name,
        task=pairs.name,
        table=table,
        pairs=pairs,
        similarities=scored.similarities,
        replicates=scored.replicates,
        n_evaluations=measured.n_evaluations,
    )


def _band(name: str, n_nodes: int) -> slice:
    """The noise levels of a third of them, or all."""
    third = LEVELS.index(check_choice(name, "levels", LEVELS)) - 1
    if third < 0:
        return slice(None)
    edges = np.linspace(0, n_nodes, len(LEVELS)).round().astype(int)
    return slice(int(edges[third]), int(edges[third + 1]))
