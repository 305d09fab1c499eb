"""`Calibration`: how one pipeline is to be measured, as `calibrate.py` finds out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from conjure_kernel._checks import ConjureWarning
from conjure_kernel.models.pretrained.dialect import Dialect
from conjure_kernel.models.pretrained.single_step import network_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["Calibration", "warn_if_distilled"]


@dataclass(frozen=True)
class Calibration:
    """How to measure one pipeline.

    Attributes
    ----------
    dialect : Dialect
        How the pipeline's scheduler writes noise levels and predictions.
    shape : tuple of int
        The shape of one state, in the layout that `step` sees.
    device, dtype : torch.device, torch.dtype
        Where the pipeline's states live, and their dtype.
    rows_argument : str
        Name of the argument for several images (waveforms, videos) per prompt; empty where a prompt
        must be repeated instead.
    guidance_offset : float or None
        The argument `guidance_scale` is w + offset in the convention eps_0 + w (eps_y - eps_0).
        None: the model has no classifier-free guidance and is measured at the pipeline's default.
    unguided : float
        The argument `guidance_scale` of w = 1. Up to it the pipeline does not guide at all.
    guidance_fault : str
        Why only w = 1 can be measured; empty if every w can.
    both_branches : bool
        Whether guided predictions differ by something else than w times the conditional ones, so
        that they are compared themselves, at full cost.
    leading_steps : int
        1 if the pipeline must start from a state of its own before it takes a given one, else 0.
    prompts_share_a_call : bool
        Whether a companion prompt leaves a row as it is.
    repeats_within : float
        Largest difference between two equal questions, as a share of that between two prompts.
    probe : tuple of float
        The answers to the fixed questions, as `models.probe` keeps them.
    n_evaluations : int
        Rows through the network that calibration cost.
    """

    dialect: Dialect
    shape: tuple[int, ...]
    device: torch.device
    dtype: torch.dtype
    rows_argument: str
    guidance_offset: float | None
    unguided: float
    guidance_fault: str
    both_branches: bool
    leading_steps: int
    prompts_share_a_call: bool
    repeats_within: float
    probe: tuple[float, ...]
    n_evaluations: int

    @property
    def least_w(self) -> float:
        """The w up to which the pipeline does not guide: 1, or 2 where it counts from 0."""
        return self.unguided - (self.guidance_offset or 0.0)

    def guidance(self, guidance_scale: float) -> dict[str, float]:
        """Argument of the pipeline's call for a guidance w; a ValueError where it has no such w."""
        if guidance_scale != 1 and self.guidance_fault:
            raise ValueError(f"guidance_scale={guidance_scale:g}: {self.guidance_fault}")
        if (offset := self.guidance_offset) is None:
            return {}
        if guidance_scale == 1:
            return {"guidance_scale": self.unguided}
        if guidance_scale <= self.least_w:
            raise ValueError(
                f"guidance_scale={guidance_scale:g}: expected 1, or more than {self.least_w:g}, as "
                "up to there the pipeline does not guide."
            )
        return {"guidance_scale": guidance_scale + offset}


def warn_if_distilled(pipeline: DiffusionPipeline) -> None:
    """Warn of a model whose sampler is not the reverse SDE of what it predicts."""
    network: Any = getattr(network_of(pipeline), "config", {})
    signs = {
        "its network takes the guidance scale as an input": network.get("guidance_embeds")
        or network.get("time_cond_proj_dim"),
        "its scheduler is a consistency model's": "original_inference_steps"
        in pipeline.scheduler.config,
    }
    if reasons := [sign for sign, seen in signs.items() if seen]:
        warnings.warn(
            f"{type(pipeline).__name__} is distilled ({' and '.join(reasons)}): what it samples is "
            "not the reverse SDE of what it predicts. J compares its predictions along that SDE "
            "all the same; read in docs/models.md what it then means.",
            category=ConjureWarning,
            stacklevel=6,
        )
