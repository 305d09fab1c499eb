"""What a pipeline does with guidance, rows and layouts: measured when it is loaded.

A few single-step calls, which are counted apart, show the layout of a state, whether `latents=` is
the state that the network sees, what `guidance_scale` means, whether a companion prompt changes a
row, and how the model answers one fixed question (the behavioural probe of the cache).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline

from conjure_kernel.method.reverse import standard_normal
from conjure_kernel.models.pretrained.instrument import Dialect
from conjure_kernel.models.pretrained.single_step import Bench, network_of, parameters_of

__all__ = ["Calibration", "calibrate"]

PROBE = "a photograph of a dog"
COMPANION = "two red umbrellas and a very small house by the sea in winter"
OWN_ARGUMENTS = {"prompt", "latents", "generator", "num_inference_steps", "timesteps", "sigmas"}
OWN_ARGUMENTS |= {"output_type", "return_dict"}


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
        Name of the argument for several images (waveforms, videos) per prompt.
    guidance_offset : float or None
        The argument `guidance_scale` is w + offset in the convention eps_0 + w (eps_y - eps_0).
        None: the model has no classifier-free guidance and is measured at the pipeline's default.
    guidance_fault : str
        Why only w = 1 can be measured; empty if every w can.
    leading_steps : int
        1 if the pipeline must start from a state of its own before it takes a given one, else 0.
    prompts_share_a_call : bool
        Whether a companion prompt leaves a row as it is.
    probe : tuple of float
        The answer to one fixed question.
    n_evaluations : int
        Rows through the network that calibration cost.
    """

    dialect: Dialect
    shape: tuple[int, ...]
    device: torch.device
    dtype: torch.dtype
    rows_argument: str
    guidance_offset: float | None
    guidance_fault: str
    leading_steps: int
    prompts_share_a_call: bool
    probe: tuple[float, ...]
    n_evaluations: int


def calibrate(pipeline: DiffusionPipeline, call_kwargs: dict[str, Any]) -> Calibration:
    """Find out how a pipeline is to be measured.

    Parameters
    ----------
    pipeline : DiffusionPipeline
        In evaluation mode.
    call_kwargs : dict
        Arguments that every call of the pipeline gets.

    Returns
    -------
    calibration : Calibration

    Raises
    ------
    TypeError
        A call does not know one of the arguments, or each measurement chooses it.
    ValueError
        The pipeline cannot be measured.
    FloatingPointError
        The network predicts NaN or infinity.
    """
    rows_argument = _rows_argument(pipeline)
    _check_call(pipeline, call_kwargs, OWN_ARGUMENTS | {rows_argument})
    _warn_if_distilled(pipeline)
    bench = Bench(pipeline, call_kwargs)
    first, _ = bench.call([PROBE])
    shape, dtype = tuple(first.x_t.shape[1:]), first.x_t.dtype
    noise = standard_normal(shape, seed=0, prompt=PROBE, draw=0, step=0)[None]
    state = noise.to(first.x_t.device, dtype)
    _find_start(bench, state)
    offset, fault, conditional = _find_guidance(bench, state)
    if offset is not None:
        _check_call(pipeline, call_kwargs, {"guidance_scale"})
    pair = {rows_argument: 2} | ({} if offset is None else {"guidance_scale": 1 + offset})
    alone = _is_alone(bench, state, conditional, pair)
    return Calibration(
        dialect=bench.dialect,
        shape=shape,
        device=first.x_t.device,
        dtype=dtype,
        rows_argument=rows_argument,
        guidance_offset=offset,
        guidance_fault=fault,
        leading_steps=bench.leading,
        prompts_share_a_call=alone,
        probe=tuple(float(v) for v in conditional.flatten()[:8]),
        n_evaluations=bench.n_evaluations,
    )


def _check_call(pipeline: DiffusionPipeline, call_kwargs: dict[str, Any], own: set[str]) -> None:
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


def _warn_if_distilled(pipeline: DiffusionPipeline) -> None:
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
            stacklevel=5,
        )


def _find_start(bench: Bench, state: torch.Tensor) -> None:
    """Find out whether the network sees `latents=`; if not, one leading step is needed."""
    for bench.leading in (0, 1):
        if not bench.leading and "latents" not in bench.parameters:
            continue
        try:
            seen = bench.call([PROBE], state)[0].x_t
        except (TypeError, ValueError, RuntimeError):  # another layout, e.g. not yet packed
            if bench.leading:
                raise
            continue
        if torch.equal(seen, state):
            return
    raise ValueError(
        f"{bench.name}: expected that only the scheduler changes the state between two steps; it "
        "cannot be measured, use another pipeline."
    )


def _find_guidance(bench: Bench, state: torch.Tensor) -> tuple[float | None, str, torch.Tensor]:
    """(offset of the argument, fault, conditional prediction), from rows and outputs at 0 to 5."""
    if "guidance_scale" not in bench.parameters:
        return None, *_find_default(bench, state)
    at = {g: bench.call([PROBE], state, guidance_scale=float(g)) for g in (0, 1, 2, 5)}
    rows = {g: count for g, (_, count) in at.items()}
    eps = {g: peek.eps for g, (peek, _) in at.items()}
    if rows[5] == rows[1] == rows[0]:
        return None, *_find_default(bench, state)
    offset = 0.0 if rows[1] < rows[2] else -1.0
    conditional = eps[1] if offset == 0 else eps[0]
    # guided = c + (w - 1)(c - u): a step of w moves the prediction as far wherever it is made.
    step = eps[2] - eps[1]
    foreseen = {5: eps[1] + 4 * step, 1: conditional - offset * step}
    fault = ""
    if not all(_close(eps[g], guess, state.dtype) for g, guess in foreseen.items()):
        fault = (
            f"expected 1, as the guidance of {bench.name} is not linear; switch its rescaling or "
            f"normalisation off when it is loaded ({_switches(bench)}), or use guidance_scale=1."
        )
    return offset, fault, conditional


def _find_default(bench: Bench, state: torch.Tensor) -> tuple[str, torch.Tensor]:
    """(fault, prediction) of a pipeline whose guidance_scale calls for no further rows."""
    peek, rows = bench.call([PROBE], state)
    if rows != 1:
        raise ValueError(
            f"{bench.name}: expected 1 row for each state, got {rows} whatever guidance_scale is, "
            f"so something else guides it; switch that off ({_switches(bench)}, or no negative "
            "prompt)."
        )
    fault = (
        f"expected 1, as {bench.name} has no classifier-free guidance here (it is distilled, or "
        "takes no such argument); use guidance_scale=1."
    )
    return fault, peek.eps


def _switches(bench: Bench) -> str:
    """Name the arguments of the call that change its guidance."""
    names = [n for n in bench.parameters if {"cfg", "guidance"} & set(n.split("_"))]
    others = [name for name in names if name != "guidance_scale"]
    return ", ".join(f"{name}=..." for name in others) or "it has no argument for that"


def _is_alone(
    bench: Bench, state: torch.Tensor, conditional: torch.Tensor, call: dict[str, Any]
) -> bool:
    """Tell whether a companion leaves a prompt's rows as they are, and in their place."""
    together, _ = bench.call([PROBE, COMPANION], torch.cat([state] * 4), **call)
    return all(_close(row[None], conditional, state.dtype) for row in together.eps[:2])


def _close(a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype) -> bool:
    tolerance = 1e-3 if dtype == torch.float32 else 3e-2
    return float((a - b).norm()) <= tolerance * float(a.norm())


def _rows_argument(pipeline: DiffusionPipeline) -> str:
    parameters = parameters_of(pipeline)
    for kind in ("images", "waveforms", "videos"):
        if (name := f"num_{kind}_per_prompt") in parameters:
            return name
    raise ValueError(
        f"{type(pipeline).__name__}: expected a call that takes num_images_per_prompt; it cannot "
        "be measured, use another pipeline."
    )
