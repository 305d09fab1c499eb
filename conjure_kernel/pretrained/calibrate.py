"""What a pipeline does with guidance, rows and layouts: measured at load, not read off its class.

A handful of single-step calls, counted apart, show the layout of a state, whether `latents=` is
the state that the network sees, what `guidance_scale` means, whether a companion prompt changes a
row, and how the model answers one fixed question (the behavioural probe of the cache).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline

from conjure_kernel.pretrained.instrument import Dialect, measuring, read_dialect
from conjure_kernel.reverse import keyed_generator, standard_normal
from conjure_kernel.schedule import Grid, make_grid

__all__ = ["Calibration", "calibrate", "for_prompts", "network_of"]

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
    shape : tuple of int
        Of one state, in the layout that `step` sees.
    device, dtype : torch.device, torch.dtype
        Of the states that the pipeline carries.
    rows_argument : str
        Name of the argument for several images (waveforms, videos) per prompt.
    guidance_offset : float or None
        The argument is w + offset in the convention eps_0 + w (eps_y - eps_0); None: the model has
        no classifier-free guidance and is measured at the pipeline's default.
    prompts_share_a_call : bool
        A companion prompt leaves a row as it is.
    probe : tuple of float
        Answer to one fixed question.
    n_evaluations : int
        Rows through the network that calibration cost.
    """

    dialect: Dialect
    shape: tuple[int, ...]
    device: torch.device
    dtype: torch.dtype
    rows_argument: str
    guidance_offset: float | None
    prompts_share_a_call: bool
    probe: tuple[float, ...]
    n_evaluations: int


class _Peek:
    """A task of one step that looks and moves nothing; the pipeline brings its own state."""

    state: torch.Tensor

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def step(self, eps: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.eps, self.x_t = eps.clone(), x_t.clone()
        return x_t, eps


class _Bench:
    """Single-step calls of a pipeline, with the rows that its network evaluated."""

    def __init__(self, pipeline: DiffusionPipeline, call_kwargs: dict[str, Any]) -> None:
        self.pipeline, self.call_kwargs = pipeline, call_kwargs
        self.dialect = read_dialect(pipeline.scheduler)
        middle = make_grid(self.dialect.schedule, 1)
        self.grid, self.n_evaluations = middle, 0

    def call(self, prompts: Sequence[str], **kwargs: Any) -> tuple[_Peek, int]:
        peek = _Peek(self.grid)
        with measuring(self.pipeline, self.dialect, peek), _count_rows(self.pipeline) as rows:
            self.pipeline(
                prompt=list(prompts),
                num_inference_steps=1,
                output_type="latent",
                **{**for_prompts(self.call_kwargs, len(prompts)), **kwargs},
            )
        self.n_evaluations += sum(rows)
        if not peek.eps.isfinite().all():
            raise FloatingPointError(
                f"prompt {prompts[0]!r}: {type(self.pipeline).__name__} predicted NaN or infinity "
                f"at log-SNR {self.grid.log_snr[0]:.3g} in {peek.x_t.dtype}. Try dtype='bfloat16' "
                "or 'float32'; if it stays, the weights are broken."
            )
        return peek, sum(rows)


def calibrate(pipeline: DiffusionPipeline, call_kwargs: dict[str, Any]) -> Calibration:
    """Measure how `pipeline` is to be measured."""
    rows_argument = _rows_argument(pipeline)
    _check_call(pipeline, call_kwargs, OWN_ARGUMENTS | {rows_argument})
    bench = _Bench(pipeline, call_kwargs)
    first, _ = bench.call([PROBE], generator=keyed_generator(PROBE))
    shape, dtype = tuple(first.x_t.shape[1:]), first.x_t.dtype
    noise = standard_normal(shape, seed=0, prompt=PROBE, draw=0, step=0)[None]
    latents = noise.to(first.x_t.device, dtype)
    _check_layout(bench, latents)
    offset, conditional = _find_guidance(bench, latents)
    if offset is not None:
        _check_call(pipeline, call_kwargs, {"guidance_scale"})
    guidance = {} if offset is None else {"guidance_scale": 1 + offset}
    return Calibration(
        bench.dialect,
        shape,
        first.x_t.device,
        dtype,
        rows_argument,
        offset,
        _is_alone(bench, latents, conditional, guidance),
        tuple(float(v) for v in conditional.flatten()[:8]),
        bench.n_evaluations,
    )


def network_of(pipeline: DiffusionPipeline) -> torch.nn.Module:
    """The module that predicts noise."""
    for name in ("unet", "transformer"):
        if isinstance(network := getattr(pipeline, name, None), torch.nn.Module):
            return network
    raise ValueError(
        f"{type(pipeline).__name__} has neither a unet nor a transformer: "
        "pass a text-to-image diffusion pipeline."
    )


def for_prompts(call_kwargs: dict[str, Any], n_prompts: int) -> dict[str, Any]:
    """Arguments of a call with a list of prompts: one negative prompt serves them all."""
    return {
        name: [value] * n_prompts
        if name.startswith("negative_prompt") and isinstance(value, str)
        else value
        for name, value in call_kwargs.items()
    }


def _check_call(pipeline: DiffusionPipeline, call_kwargs: dict[str, Any], own: set[str]) -> None:
    name = type(pipeline).__name__
    known = inspect.signature(pipeline.__call__).parameters
    if unknown := sorted(set(call_kwargs) - set(known)):
        raise TypeError(f"{', '.join(unknown)}: neither load_denoiser nor {name} knows it.")
    if owned := sorted(own & set(call_kwargs)):
        raise TypeError(
            f"{', '.join(owned)}: chosen by each measurement, not when {name} is loaded. Leave it "
            "out here and set it there, e.g. ConjureDistance(guidance_scale=...)."
        )


@contextmanager
def _count_rows(pipeline: DiffusionPipeline) -> Iterator[list[int]]:
    rows: list[int] = []

    def note(module: torch.nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        sample = args[0] if args else kwargs["sample" if "sample" in kwargs else "hidden_states"]
        rows.append(len(sample))

    handle = network_of(pipeline).register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield rows
    finally:
        handle.remove()


def _check_layout(bench: _Bench, latents: torch.Tensor) -> None:
    seen, _ = bench.call([PROBE], latents=latents)
    if seen.x_t.shape != latents.shape or not torch.equal(seen.x_t, latents):
        raise ValueError(
            f"{type(bench.pipeline).__name__} changes the layout of latents= on the way to its "
            "network and cannot be measured yet."
        )


def _find_guidance(bench: _Bench, latents: torch.Tensor) -> tuple[float | None, torch.Tensor]:
    """(offset of the argument, conditional prediction), from rows and outputs at 0 to 5."""
    if "guidance_scale" not in inspect.signature(bench.pipeline.__call__).parameters:
        return None, bench.call([PROBE], latents=latents)[0].eps
    at = {g: bench.call([PROBE], latents=latents, guidance_scale=float(g)) for g in (0, 1, 2, 5)}
    rows = {g: count for g, (_, count) in at.items()}
    eps = {g: peek.eps for g, (peek, _) in at.items()}
    if rows[5] == rows[1] == rows[0]:
        return None, bench.call([PROBE], latents=latents)[0].eps
    offset = 0.0 if rows[1] < rows[2] else -1.0
    conditional = eps[1] if offset == 0 else eps[0]
    # guided = c + (w - 1)(c - u): a step of w moves the prediction as far wherever it is made.
    step = eps[2] - eps[1]
    foreseen = {5: eps[1] + 4 * step, 1: conditional - offset * step}
    if not all(_close(eps[g], guess, latents.dtype) for g, guess in foreseen.items()):
        raise ValueError(
            f"{type(bench.pipeline).__name__}: guidance is not linear in guidance_scale. Switch "
            "its rescaling or normalisation off by its argument, e.g. guidance_rescale=0."
        )
    return offset, conditional


def _is_alone(
    bench: _Bench, latents: torch.Tensor, conditional: torch.Tensor, guidance: dict[str, Any]
) -> bool:
    pair = torch.cat([latents, latents])
    together, _ = bench.call([PROBE, COMPANION], latents=pair, **guidance)
    return _close(together.eps[:1], conditional, latents.dtype)


def _close(a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype) -> bool:
    tolerance = 1e-3 if dtype == torch.float32 else 3e-2
    return float((a - b).norm()) <= tolerance * float(a.norm())


def _rows_argument(pipeline: DiffusionPipeline) -> str:
    parameters = inspect.signature(pipeline.__call__).parameters
    for kind in ("images", "waveforms", "videos"):
        if (name := f"num_{kind}_per_prompt") in parameters:
            return name
    raise ValueError(f"{type(pipeline).__name__} takes no num_images_per_prompt: not supported.")
