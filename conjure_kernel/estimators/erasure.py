"""`ErasureAudit`: whether a concept is gone from a model, where it went, what went with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.stats import rankdata

from conjure_kernel._checks import quote
from conjure_kernel._table import Table
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.jackknife import leave_one_out
from conjure_kernel.method.training import Figure, estimate, told
from conjure_kernel.models.group import SIDES

__all__ = ["EMPTY", "ErasureAudit"]

BASE, ERASED, _ = SIDES
EMPTY = ""
HALFWAY = 0.5  # from the base's concept to the base's empty prompt


@dataclass(frozen=True, repr=False)
class ErasureAudit:
    """What an erasure left and what it took, from `audit_erasure`.

    Distances from the concept are J from what the base conjures of it, in shares of how far the
    base's empty prompt is from there: 0 is the concept as it was, 1 as far as no text at all.

    Attributes
    ----------
    concept : str
    synonyms, hypernyms, anchors, held : lists of str
        What `audit_erasure` was given.
    measured : Divergence
        J of all pairs that were measured; each prompt begins with the name of its model, which is
        "model a: " for the base and "model b: " for the erased one.
    n_evaluations : int
        Noise predictions that the audit cost.
    provenance : dict
        Both models, the settings and the versions of packages.
    """

    concept: str
    synonyms: list[str]
    hypernyms: list[str]
    anchors: list[str]
    held: list[str]
    measured: Divergence
    n_evaluations: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def residue(self) -> Figure:
        """Distance of the erased model's concept from the base's: 0 if nothing was erased."""
        return self._distance(ERASED, self.concept)

    @property
    def vividness(self) -> Figure:
        """Vividness of the concept under the erased model, in shares of that under the base."""
        return self._vividness(self.concept)

    @property
    def gone(self) -> bool | None:
        """Whether the concept and all its synonyms are beyond halfway; None where it is not told.

        The intervals of all of them hold together.
        """
        found = [row["back"] for row in self.descriptions().rows if row["kind"] != "hypernym"]
        if True in found:
            return False
        return None if None in found else True

    def descriptions(self) -> Table:
        """What brings the concept back: a row for it and for each synonym and hypernym.

        Returns
        -------
        table : Table
            prompt, kind; before and after: distance of what the base and the erased model conjure
            of it from the base's concept; vividness: under the erased model in shares of that under
            the base; back: whether `after` is below halfway, None if its interval does not decide.
            The intervals of one column hold together at 95 %.
        """
        kinds = {"concept": [self.concept], "synonym": self.synonyms, "hypernym": self.hypernyms}
        phrases = [(kind, prompt) for kind, prompts in kinds.items() for prompt in prompts]
        rows = []
        for kind, prompt in phrases:
            after = self._distance(ERASED, prompt, len(phrases))
            row: dict[str, Any] = {"prompt": prompt, "kind": kind}
            row |= self._distance(BASE, prompt, len(phrases)).named("before")
            row |= after.named("after")
            row |= self._vividness(prompt, len(phrases)).named("vividness")
            rows.append({**row, "back": told(after, HALFWAY, above=False)})
        return Table(rows)

    def destinations(self) -> Table:
        """Where the concept went: hypernyms, anchors and the empty prompt, nearest first.

        Returns
        -------
        table : Table
            prompt; divergence of the erased model's concept from what the base conjures of it, in
            nats; behind: by how much it is further than the nearest, with intervals that hold
            together; share: of the draws each of which alone has it nearest.
        """
        places = [self._place(ERASED + self.concept, BASE + p) for p in self._destinations]
        values, parts = self.measured.values[places], self.measured.replicates[..., places]
        draws = self.measured.draws[places]
        nearest = int(values.argmin())
        behind = estimate(
            values - values[nearest],
            parts - parts[..., nearest, None],
            positive=False,
            family=max(1, len(places) - 1),
        )
        low, high = (side[places] for side in self.measured.interval())
        rows = []
        for i in np.argsort(values, kind="stable"):
            row: dict[str, Any] = {"prompt": self._destinations[i], "divergence": float(values[i])}
            row |= {"divergence_low": float(low[i]), "divergence_high": float(high[i])}
            row |= Figure(*(part[i] for part in behind)).named("behind")
            rows.append({**row, "share": float((draws.argmin(0) == i).mean())})
        return Table(rows)

    def collateral(self) -> Table:
        """What went with it: every other prompt, nearest to the concept first.

        Returns
        -------
        table : Table
            prompt; distance: J from the concept under the base, relative to the empty prompt; drift
            between the models in nats, with intervals that hold together at 95 %.
        """
        if not (others := self._others):
            return Table([])
        places = [self._place(BASE + p, ERASED + p) for p in others]
        level = 1 - 0.05 / len(others)
        low, high = (side[places] for side in self.measured.interval(level))
        drift, (distance, _) = self.measured.values[places], self._relative
        return Table(
            [
                {
                    "prompt": others[i],
                    "distance": float(distance[i]),
                    **{"drift": float(drift[i])},
                    **{"drift_low": float(low[i]), "drift_high": float(high[i])},
                }
                for i in np.argsort(distance, kind="stable")
            ]
        )

    @property
    def gradient(self) -> Figure:
        """Spearman of distance from the concept and drift of all other prompts, over draws.

        Negative: what is nearer to the concept has suffered more. NaN with fewer than 3 prompts.
        """
        if len(others := self._others) < 3:
            return Figure(*(np.array(np.nan) for _ in range(4)))
        places = [self._place(BASE + p, ERASED + p) for p in others]
        distance, parts = self._relative
        value = _spearman(distance, self.measured.values[places])
        found = estimate(
            value, _spearman(parts, self.measured.replicates[..., places]), positive=False
        )
        return found._replace(low=found.low.clip(-1), high=found.high.clip(None, 1))

    @property
    def _destinations(self) -> list[str]:
        return [*self.hypernyms, *self.anchors, EMPTY]

    @property
    def _others(self) -> list[str]:
        return [*self.hypernyms, *self.anchors, *self.held]

    @property
    def _relative(self) -> tuple[np.ndarray, np.ndarray]:
        """Relative divergences of the other prompts and the concept under the base; replicates."""
        concept, others = BASE + self.concept, [BASE + p for p in self._others]
        between = [self._place(concept, other) for other in others]
        own = [self._place(other, BASE + EMPTY) for other in others]
        root = self._place(concept, BASE + EMPTY)
        values, parts = self.measured.values, self.measured.replicates
        tiny = np.finfo(float).tiny
        unit = np.sqrt(values[own] * values[root]) + tiny
        units = np.sqrt(parts[..., own] * parts[..., [root]]) + tiny
        return values[between] / unit, parts[..., between] / units

    def _distance(self, side: str, prompt: str, family: int = 1) -> Figure:
        """Distance of a prompt under a model from the base's concept."""
        top = self._place(side + prompt, BASE + self.concept)
        under = self._place(BASE + self.concept, BASE + EMPTY)
        values, parts = self.measured.values, self.measured.replicates
        value, others = values[top] / values[under], parts[..., top] / parts[..., under]
        return estimate(value, others, family=family)

    def _vividness(self, prompt: str, family: int = 1) -> Figure:
        own, base = (self._place(side + prompt, side + EMPTY) for side in (ERASED, BASE))
        legs, parts = self.measured.legs[0], leave_one_out(self.measured.chain_draws[0])
        return estimate(legs[own] / legs[base], parts[..., own] / parts[..., base], family=family)

    def _place(self, left: str, right: str) -> int:
        return self._places[left, right]

    @cached_property
    def _places(self) -> dict[tuple[str, str], int]:
        pairs = zip(self.measured.prompts_a, self.measured.prompts_b, strict=True)
        return {pair: i for i, pair in enumerate(pairs)}

    def __repr__(self) -> str:
        return f"<ErasureAudit of {quote(self.concept)}: gone={self.gone}>"

    def _repr_html_(self) -> str:
        return self.descriptions()._repr_html_()


def _spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's correlation along the last axis."""
    ranked = [rankdata(side, axis=-1) for side in (a, b)]
    x, y = (side - side.mean(-1, keepdims=True) for side in ranked)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
