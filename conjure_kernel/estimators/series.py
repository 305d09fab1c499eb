"""`Series`: what checkpoints in a row changed, and what can be read off it.

The rules are those of `method/training.py`, each with its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from conjure_kernel._checks import check_number, check_prompts
from conjure_kernel._table import Table
from conjure_kernel.engine.vividness import Vividness
from conjure_kernel.estimators.checkpoints import Checkpoints
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.jackknife import leave_one_out
from conjure_kernel.method.training import (
    COLLAPSED,
    Figure,
    Turning,
    estimate,
    ranks,
    spread_replicates,
    told,
    turning_point,
)

__all__ = ["GROUPS", "Series"]

GROUPS = ("target", "neighbours", "held")


@dataclass(frozen=True, repr=False)
class Series:
    """Checkpoints of one base under prompts, from `ConjureDrift.fit_series`.

    Attributes
    ----------
    names : list of str
        The n checkpoints, in the order given.
    prompts : list of str
        The prompts.
    groups : dict of str to list of str
        "target": the prompts that were trained; "neighbours": those nearest to them under the base,
        by relative divergence; "held": all others.
    drifts, steps : lists of Divergence, length n
        J of each prompt between the base and each checkpoint, and between each checkpoint and the
        one before, which for the first is the base.
    vividness : list of Divergence, length n + 1
        Of each prompt and the empty one, under the base and under each checkpoint: the leg of the
        prompt's own chains is its vividness.
    states : list of arrays of shape (n_targets, K, G, d), length n + 1
        Clean predictions at the ends of the chains of the target, of base and checkpoints.
    floor : Divergence
        J of the target's prompts between the base and itself, or what was given as `floor`.
    n_evaluations : int
        Noise predictions that the series cost.
    provenance : dict
        The base, the checkpoints' fingerprints, the settings and the versions of packages.
    source : Checkpoints
        How the models are opened, for pictures; not in a pickle.
    """

    names: list[str]
    prompts: list[str]
    groups: dict[str, list[str]]
    drifts: list[Divergence]
    steps: list[Divergence]
    vividness: list[Divergence]
    states: list[np.ndarray]
    floor: Divergence
    n_evaluations: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)
    source: Checkpoints | None = None

    def table(self) -> Table:
        """A row per checkpoint and prompt.

        Returns
        -------
        table : Table
            checkpoint, prompt, group; drift (from the base), step (from the checkpoint before) and
            vividness in nats, each with its 95 % interval.
        """
        group = {prompt: name for name, prompts in self.groups.items() for prompt in prompts}
        rows = []
        for i, name in enumerate(self.names):
            vivid = Vividness(self.prompts, self.vividness[i + 1])
            measured: dict[str, Any] = {
                "drift": self.drifts[i],
                "step": self.steps[i],
                "vividness": vivid,
            }
            columns = {n: (figure.values, *figure.interval()) for n, figure in measured.items()}
            for j, prompt in enumerate(self.prompts):
                row: dict[str, Any] = {"checkpoint": name, "prompt": prompt, "group": group[prompt]}
                for column, (value, low, high) in columns.items():
                    row |= {column: float(value[j])}
                    row |= {f"{column}_low": float(low[j]), f"{column}_high": float(high[j])}
                rows.append(row)
        return Table(rows)

    def to_pandas(self) -> Any:
        """`table` as a pandas DataFrame."""
        return self.table().to_pandas()

    def curves(self) -> Table:
        """A row per checkpoint and group of prompts: means of drift, step and vividness.

        The intervals are those of the mean of these prompts, over draws.
        """
        rows = []
        for i, name in enumerate(self.names):
            for group, prompts in self.groups.items():
                if places := self._places(prompts):
                    row: dict[str, Any] = {"checkpoint": name, "group": group}
                    row |= _mean(self.drifts[i], places).named("drift")
                    row |= _mean(self.steps[i], places).named("step")
                    row |= _mean_vividness(self.vividness[i + 1], places).named("vividness")
                    rows.append(row)
        return Table(rows)

    def verdicts(self) -> Table:
        """A row per checkpoint: what it reached, what it cost, and whether its target collapsed.

        Returns
        -------
        table : Table
            checkpoint; target: mean drift of the target's prompts; floor: drift that means nothing;
            reached: whether the former is above the latter; collateral: mean drift of all other
            prompts; worst: the one of them that drifted most; spread: between the draws of the
            target, in shares of the base's; vividness: of the target, in shares of the base's;
            collapsed: whether the spread is below half of the base's and the vividness above it;
            excess: by how many nats collateral grows faster than the target until the next
            checkpoint. Each figure has its interval; those of `excess` hold together. A verdict
            that the interval does not decide is None.
        """
        floor, turning = self._floor(), self.turning
        rows = []
        for i, name in enumerate(self.names):
            target = self.reach(i)
            spread, vivid = self.spread(i), self.target_vividness(i)
            small, strong = told(spread, COLLAPSED, above=False), told(vivid, 1.0)
            row: dict[str, Any] = {"checkpoint": name, **target.named("target")}
            row |= {**floor.named("floor"), "reached": told(target, float(floor.high))}
            row |= {**self.harm(i).named("collateral"), "worst": self._worst(i)}
            row |= {**spread.named("spread"), **vivid.named("vividness")}
            row["collapsed"] = False if False in (small, strong) else (small and strong)
            row |= Figure(*(_at(part, i) for part in turning.excess)).named("excess")
            rows.append(row)
        return Table(rows)

    def collateral(self, checkpoint: int = -1) -> Table:
        """The prompts that are not the target, most drifted first.

        Parameters
        ----------
        checkpoint : int
            Its place in the series. Default: the last one.

        Returns
        -------
        table : Table
            rank, with the least and the most that the intervals leave; prompt, group; drift from
            the base with an interval, all of which hold together at 95 %.
        """
        places, group = self._others, self.groups["neighbours"]
        if not places:
            return Table([])
        drift = self.drifts[checkpoint]
        low, high = (side[places] for side in drift.interval(1 - 0.05 / len(places)))
        values, (least, most) = drift.values[places], ranks(low, high)
        return Table(
            [
                {
                    "rank": rank,
                    "rank_least": int(least[i]),
                    "rank_most": int(most[i]),
                    "prompt": self.prompts[places[i]],
                    "group": "neighbours" if self.prompts[places[i]] in group else "held",
                    **{"drift": float(values[i])},
                    **{"drift_low": float(low[i]), "drift_high": float(high[i])},
                }
                for rank, i in enumerate(np.argsort(-values, kind="stable"), 1)
            ]
        )

    def conjure_images(self, prompts: Sequence[str] | None = None, n: int = 1) -> np.ndarray:
        """Pictures that the base and each checkpoint make from the same noise; they are not cached.

        Parameters
        ----------
        prompts : sequence of str, length n_prompts, optional
            Default: the target's prompts.
        n : int, default 1
            Pictures per prompt and model.

        Returns
        -------
        images : uint8 array of shape (n_checkpoints + 1, n_prompts, n, height, width, 3)
            Of the base, then of each checkpoint.
        """
        if self.source is None:
            raise ValueError(
                "conjure_images: expected the models of the series, which are not in a pickle; "
                "measure it again, which costs nothing from a cache."
            )
        checked = self.groups["target"] if prompts is None else check_prompts(prompts)
        return self.source.images(checked, check_number(n, "n", least=1, integer=True))

    @cached_property
    def turning(self) -> Turning:
        """From which checkpoint on training adds collateral faster than reach; `turning_point`."""
        sides = self._places(self.groups["target"]), self._others
        values = [np.array([_means(d.values, side) for d in self.drifts]) for side in sides]
        parts = [np.stack([_means(d.replicates, side) for d in self.drifts], -1) for side in sides]
        return turning_point(values[0], values[1], (parts[0], parts[1]))

    def reach(self, i: int) -> Figure:
        """Mean drift of the target's prompts at a checkpoint, in nats."""
        return _mean(self.drifts[i], self._places(self.groups["target"]))

    def harm(self, i: int) -> Figure:
        """Mean drift of all other prompts at a checkpoint, in nats."""
        return _mean(self.drifts[i], self._others)

    def spread(self, i: int) -> Figure:
        """Spread between the draws of the target's prompts, in shares of that under the base."""
        base, own = (_spread(states) for states in (self.states[0], self.states[i + 1]))
        return estimate(own[0] / base[0], own[1] / base[1])

    def target_vividness(self, i: int) -> Figure:
        """Mean vividness of the target's prompts, in shares of that under the base."""
        places = self._places(self.groups["target"])
        own, base = (_legs(self.vividness[k], places) for k in (i + 1, 0))
        return estimate(own[0] / base[0], own[1] / base[1])

    @property
    def _others(self) -> list[int]:
        target = set(self.groups["target"])
        return [j for j, prompt in enumerate(self.prompts) if prompt not in target]

    def _places(self, prompts: Sequence[str]) -> list[int]:
        return [self.prompts.index(prompt) for prompt in prompts]

    def _floor(self) -> Figure:
        return _mean(self.floor, range(len(self.floor.prompts_a)))

    def _worst(self, i: int) -> str:
        others = self._others
        return self.prompts[others[self.drifts[i].values[others].argmax()]] if others else ""

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "source": None}

    def __repr__(self) -> str:
        return f"<Series of {len(self.names)} checkpoints, {len(self.prompts)} prompts>"

    def _repr_html_(self) -> str:
        return self.verdicts()._repr_html_()


def _at(parts: np.ndarray, i: int) -> Any:
    return parts[i] if i < len(parts) else np.float64(np.nan)


def _means(values: np.ndarray, places: Sequence[int]) -> np.ndarray:
    return values[..., list(places)].mean(-1) if len(places) else np.zeros(values.shape[:-1])


def _mean(drift: Divergence, places: Sequence[int]) -> Figure:
    return estimate(_means(drift.values, places), _means(drift.replicates, places))


def _legs(measured: Divergence, places: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean vividness of some prompts, and its replicates."""
    parts = leave_one_out(measured.chain_draws[0])
    return _means(measured.legs[0], places), _means(parts, places)


def _mean_vividness(measured: Divergence, places: Sequence[int]) -> Figure:
    return estimate(*_legs(measured, places))


def _spread(states: np.ndarray) -> tuple[float, np.ndarray]:
    """Spread of all targets together, and its replicates (G, K)."""
    each = [spread_replicates(of_target) for of_target in states]
    return sum(value for value, _ in each), np.stack([parts for _, parts in each]).sum(0)
