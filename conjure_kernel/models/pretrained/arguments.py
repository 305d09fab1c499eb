"""Arguments of a pipeline's call: those it takes, those that are ours, and what prompts share."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from conjure_kernel.method.grid import Grid
from conjure_kernel.method.reverse import keyed_generator

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["check_call", "for_prompts", "owned", "parameters_of", "rows_argument", "seeded"]
__all__ += ["state_of", "steps_of"]

PER_PROMPT = re.compile(r"(negative_)?prompt(_\d+)?")


def seeded(pipeline: DiffusionPipeline) -> dict[str, Any]:
    """A generator for whatever a pipeline draws itself, the same in every call."""
    known = "generator" in parameters_of(pipeline)
    return {"generator": keyed_generator("first state")} if known else {}


def steps_of(grid: Grid, leading: int) -> dict[str, int]:
    """Number of steps to name in a call; at least 2, as some pipelines lay out levels themselves.

    The loop follows the scheduler's own times, however many are named.
    """
    return {"num_inference_steps": max(2, len(grid.times) + leading)}


def state_of(state: torch.Tensor, leading: int) -> dict[str, Any]:
    """Arguments of a call that starts from `state`; none where its first step is thrown away."""
    return {} if leading else {"latents": state}


def parameters_of(pipeline: DiffusionPipeline) -> Mapping[str, Any]:
    """Parameters of a pipeline's call."""
    return inspect.signature(pipeline.__call__).parameters


def for_prompts(call_kwargs: dict[str, Any], n_prompts: int) -> dict[str, Any]:
    """Arguments of a call with a list of prompts, which share one value of each of them."""

    def share(name: str, value: Any) -> Any:
        if isinstance(value, str) and PER_PROMPT.fullmatch(name):
            return [value] * n_prompts
        one = isinstance(value, torch.Tensor) and len(value) == 1 if "_embeds" in name else False
        return value.expand(n_prompts, *value.shape[1:]) if one else value

    return {name: share(name, value) for name, value in call_kwargs.items()}


def owned(value: Any) -> Any:
    """The value, with copies of tensors and arrays, which their owner may edit later."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {name: owned(inner) for name, inner in value.items()}
    return type(value)(map(owned, value)) if type(value) in (list, tuple) else value


def check_call(pipeline: DiffusionPipeline, call_kwargs: dict[str, Any], own: set[str]) -> None:
    """Raise TypeError for arguments that a call does not know, or that are our `own`."""
    name = type(pipeline).__name__
    known = parameters_of(pipeline)
    if unknown := sorted(set(call_kwargs) - set(known)):
        raise TypeError(
            f"{', '.join(unknown)}: expected arguments of load_denoiser or of {name}; check the "
            "spelling."
        )
    if owned := sorted(own & set(call_kwargs)):
        raise TypeError(
            f"{', '.join(owned)}: expected in each measurement, got when {name} is loaded; set it "
            "there, e.g. ConjureDistance(guidance_scale=...)."
        )


def rows_argument(pipeline: DiffusionPipeline) -> str:
    """Argument for several images of a prompt; empty where there is none."""
    names = [f"num_{kind}_per_prompt" for kind in ("images", "waveforms", "videos")]
    return next((name for name in names if name in parameters_of(pipeline)), "")
