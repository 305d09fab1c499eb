"""Guided calls: what they cost, whether they are linear, and what else guides."""

from __future__ import annotations

from typing import Any

import torch

from conjure_kernel.models.pretrained.single_step import Bench
from conjure_kernel.models.probe import PROMPTS

__all__ = ["OUTER", "ask_guided", "linear_shift", "switches"]

OUTER = slice(None, None, 2)  # two of three levels


def ask_guided(
    bench: Bench, states: torch.Tensor, share: bool, **options: Any
) -> tuple[torch.Tensor, float]:
    """Guided predictions (2 levels, 2 prompts, *shape), and rows for each state."""
    states = states[OUTER]
    if share:
        both = states.expand(-1, 2, *states.shape[2:])
        seen = bench.ask(PROMPTS, both, OUTER, **options)
        return seen.eps, seen.rows[0] / 2
    each = [bench.ask([prompt], states, OUTER, **options) for prompt in PROMPTS]
    return torch.cat([seen.eps for seen in each], 1), max(seen.rows[0] for seen in each)


def linear_shift(
    guided: torch.Tensor, plain: torch.Tensor, w: float, share: float, rounding: float
) -> float | None:
    """How much more than w the difference of guided prompts is in plain ones; None if not linear.

    Some pipelines count their scale from 0: it is 1 there. Projected on the plain difference, the
    guided one tells the two apart in half precision, too, where rounding outweighs its length.
    """
    gap, unguided = guided[:, 0] - guided[:, 1], (plain[:, 0] - plain[:, 1])[OUTER]
    found = float((gap * unguided).sum() / unguided.square().sum().clamp_min(1e-30))
    shift = 1.0 if found > w + 0.5 else 0.0
    left = (gap - (w + shift) * unguided).flatten(1).norm(dim=1)
    allowed = share * w * unguided.flatten(1).norm(dim=1)
    size = plain[OUTER].flatten(1).norm(dim=1) + guided.flatten(1).norm(dim=1)
    return shift if (left <= allowed + 6 * rounding * size).all() else None


def switches(bench: Bench) -> str:
    """Name the arguments of the call, and the components, that change its guidance."""
    signs = {"cfg", "guidance", "pag"}
    names = [n for n in bench.parameters if signs & set(n.split("_"))]
    others = [f"{name}=..." for name in names if name != "guidance_scale"]
    others += [f"pipeline.{name}" for name in bench.pipeline.components if "guider" in name]
    return ", ".join(others) or "it has no argument for that"
