"""How a `Series` is measured, and what it will cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from conjure_kernel._checks import check_prompts, quote
from conjure_kernel.engine.cost import Plan
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.ledger import requests_of_pairs
from conjure_kernel.engine.pairwise import measure_pairs
from conjure_kernel.engine.plan import plan_work
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.engine.steps import check_cost
from conjure_kernel.estimators.checkpoints import Checkpoints
from conjure_kernel.estimators.series import GROUPS, Series
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.models.group import SIDES

__all__ = ["check_groups", "measure_series", "part_of", "plan_series"]

BASE, HERE, BEFORE = SIDES
Pairs = tuple[list[str], list[str]]


def check_groups(
    prompts: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> tuple[list[str], dict[str, list[str]]]:
    """All different prompts, those of groups among them, and the groups; none is the empty one."""
    if not isinstance(groups, Mapping) or "target" not in groups or set(groups) - set(GROUPS):
        raise ValueError(
            f"groups={quote(groups)}: expected a mapping with 'target', and perhaps 'neighbours' "
            "and 'held', each with its prompts."
        )
    own = {name: list(dict.fromkeys(check_prompts(groups[name], name))) for name in groups}
    every = [prompt for side in own.values() for prompt in side]
    if len(set(every)) < len(every) or not own["target"]:
        raise ValueError(
            "groups: expected at least one prompt in 'target', and each prompt in one group; take "
            "it out of the others."
        )
    every = list(dict.fromkeys([*every, *(check_prompts(prompts) if len(prompts) else [])]))
    if "" in every:
        raise ValueError(
            "prompts: expected none that is empty, as vividness is measured from it; leave it out."
        )
    return every, own


def measure_series(
    checkpoints: Checkpoints,
    prompts: list[str],
    groups: dict[str, list[str]],
    n_neighbors: int,
    floor: Any,
) -> Series:
    """Measure the base, then each checkpoint; see `ConjureDrift.fit_series`."""
    n, targets = len(prompts), groups["target"]
    found = [] if "neighbours" in groups else targets
    engine = checkpoints.group()
    base = _measure(engine, _base_pairs(prompts, found))
    if found:
        near = _nearest(base, prompts, targets)
        near = [p for p in near if p not in groups.get("held", ())]
        groups = {**groups, "neighbours": near[:n_neighbors]}
    taken = {*targets, *groups["neighbours"]}
    groups = {**groups, "held": [prompt for prompt in prompts if prompt not in taken]}
    vivid, states = [part_of(base, range(n), prompts)], [_ends(engine, BASE, targets)]
    spent, about = base.n_evaluations, provenance_of(engine, n_draws=engine.n_draws)
    floors = _floor_engine(checkpoints, floor)
    apart = _measure(floors, _floor_pairs(targets))
    spent += apart.n_evaluations
    drifts: list[Divergence] = []
    steps: list[Divergence] = []
    marks: list[str] = []
    for engine in checkpoints.engines():
        measured = _measure(engine, _pairs(prompts, first=not drifts))
        spent += measured.n_evaluations
        drifts.append(part_of(measured, range(n), prompts))
        vivid.append(part_of(measured, range(n, 2 * n), prompts))
        last = range(2 * n, 3 * n)
        steps.append(part_of(measured, last, prompts) if len(steps) else drifts[0])
        states.append(_ends(engine, HERE, targets))
        marks.append(engine.key["fingerprint"])
    about |= {"checkpoints": checkpoints.names, "fingerprints": marks, "groups": groups}
    order = {name: groups[name] for name in GROUPS}
    return Series(
        *(checkpoints.names, prompts, order, drifts, steps, vivid, states),
        *(part_of(apart, range(len(targets)), targets), spent, about, checkpoints),
    )


def plan_series(
    checkpoints: Checkpoints, prompts: list[str], groups: dict[str, list[str]], floor: Any
) -> Plan:
    """What `measure_series` would cost now; the base is loaded and timed if there is any work.

    The checks of steps are counted as if nothing of them were known.
    """
    targets = groups["target"]
    base = checkpoints.group()
    work: list[tuple[Engine, Pairs, tuple[int, ...]]]
    work = [(base, _base_pairs(prompts, [] if "neighbours" in groups else targets), (0,))]
    own = (0, 0) if floor is None else (0, -1)
    work.append((_floor_engine(checkpoints, floor), _floor_pairs(targets), own))
    for i, engine in enumerate(checkpoints.engines()):
        work.append((engine, _pairs(prompts, first=i == 0), (0, i + 1, i)))
    traced: set[tuple[int, str]] = set()
    checks, chains, replays = 0, 0, 0
    for engine, pairs, models in work:
        requests, before = requests_of_pairs(*pairs), chains + replays
        for source, wanted in requests.items():
            n_chains, n_replays = engine.lacking({source: wanted})
            side = next(i for i, name in enumerate(SIDES) if source.startswith(name))
            chain = (models[side], source[len(SIDES[side]) :])
            replays += n_replays
            if n_chains and chain not in traced:  # groups share the chains of their models
                traced.add(chain)
                chains += n_chains
        checks += check_cost(engine, requests) if chains + replays > before else 0
    n_pairs = sum(len(pairs[0]) for _, pairs, _ in work)
    return plan_work(base, prompts, n_pairs, (chains, replays), checks)


def part_of(measured: Divergence, rows: Sequence[int], prompts: list[str]) -> Divergence:
    """Some pairs of a divergence, under the names of their prompts."""
    legs = {name: getattr(measured, name)[list(rows)] for name in ("forward", "backward")}
    return replace(measured, prompts_a=prompts, prompts_b=prompts, n_evaluations=0, **legs)


def _base_pairs(prompts: list[str], found: list[str]) -> Pairs:
    """Each prompt and the empty one, and then each target and each prompt, under the base."""
    left, right = [BASE + prompt for prompt in prompts], [BASE] * len(prompts)
    for target in found:
        left += [BASE + target] * len(prompts)
        right += [BASE + prompt for prompt in prompts]
    return left, right


def _floor_pairs(targets: list[str]) -> Pairs:
    return [BASE + target for target in targets], [HERE + target for target in targets]


def _pairs(prompts: list[str], first: bool) -> Pairs:
    """Of a checkpoint: the base, the empty prompt, and the checkpoint before."""
    here = [HERE + prompt for prompt in prompts]
    left, right = [BASE + p for p in prompts] + here, here + [HERE] * len(prompts)
    if not first:
        left, right = left + [BEFORE + p for p in prompts], right + here
    return left, right


def _floor_engine(checkpoints: Checkpoints, floor: Any) -> Engine:
    """The base against itself, whose chains are the same; or against what was given."""
    if floor is None:
        return checkpoints.group(checkpoints.base, roles=(0, 0))
    return checkpoints.group(checkpoints.open(floor), roles=(0, 3))


def _measure(engine: Engine, pairs: Pairs) -> Divergence:
    measured = measure_pairs(engine, *pairs)
    assert isinstance(measured, Divergence)
    return measured


def _nearest(base: Divergence, prompts: list[str], targets: list[str]) -> list[str]:
    """The other prompts, nearest to the targets first, by mean relative divergence."""
    values, n = base.values, len(prompts)
    origin = np.maximum(values[:n], np.finfo(float).tiny)
    own = np.array([origin[prompts.index(target)] for target in targets])
    between = values[n:].reshape(len(targets), n)
    relative = (between / np.sqrt(own[:, None] * origin)).mean(0)
    return [prompts[j] for j in np.argsort(relative, kind="stable") if prompts[j] not in targets]


def _ends(engine: Engine, side: str, targets: list[str]) -> np.ndarray:
    """Clean predictions (n_targets, K, G, d) at the last node of each chain."""
    n_nodes, n_draws, ends = engine.settings.n_nodes, engine.n_draws, []
    for target in targets:
        kept = engine.store.read_trajectory(side + target, n_nodes)
        if kept is None or kept.n_draws < n_draws:
            kept = engine.trajectories([side + target], n_draws)[side + target]
        grid = engine.grid.nodes_only()
        last = slice(n_nodes - engine.settings.chains_per_draw, None)
        shape = (-1, *[1] * (kept.x.ndim - 2))
        alpha, sigma = (torch.as_tensor(s[last]).reshape(shape) for s in (grid.alpha, grid.sigma))
        x, eps = (part[:n_draws, last].double() for part in (kept.x, kept.eps))
        ends.append(((x - sigma * eps) / alpha).flatten(2).numpy())
    return np.stack(ends)
