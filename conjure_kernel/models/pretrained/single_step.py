"""Single-step calls of a pipeline: what its network sees and predicts, and over how many rows."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import DiffusionPipeline

from conjure_kernel.method.grid import Grid, make_grid
from conjure_kernel.method.reverse import keyed_generator
from conjure_kernel.models.pretrained.instrument import measuring, read_dialect

__all__ = ["Bench", "first_state", "for_prompts", "network_of", "parameters_of"]


class _Peek:
    """Task of one step that keeps what it sees and leaves the state as it is."""

    def __init__(self, grid: Grid, state: torch.Tensor | None) -> None:
        self.grid, self.state = grid, state

    def step(self, eps: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.eps, self.x_t = eps.clone(), x_t.clone()
        return x_t, eps


class Bench:
    """Single-step calls of a pipeline, which count the rows through its network.

    Parameters
    ----------
    pipeline : DiffusionPipeline
    call_kwargs : dict
        Arguments that every call gets.
    """

    def __init__(self, pipeline: DiffusionPipeline, call_kwargs: dict[str, Any]) -> None:
        self.pipeline, self.call_kwargs = pipeline, call_kwargs
        self.name, self.parameters = type(pipeline).__name__, parameters_of(pipeline)
        self.dialect = read_dialect(pipeline.scheduler)
        self.grid, self.n_evaluations = make_grid(self.dialect.schedule, 1), 0
        self.leading = 0

    def call(
        self, prompts: Sequence[str], state: torch.Tensor | None = None, **kwargs: Any
    ) -> tuple[_Peek, int]:
        """Return what the network saw and predicted, and the rows through it.

        Without a state, the pipeline starts from its own.
        """
        peek: Any = _Peek(self.grid, state)
        leading = 0 if state is None else self.leading
        given = first_state(state, leading or state is None)
        with (
            measuring(self.pipeline, self.dialect, peek, leading),
            _count_rows(self.pipeline) as rows,
        ):
            self.pipeline(
                prompt=list(prompts),
                num_inference_steps=1 + leading,
                output_type="latent",
                **{**for_prompts(self.call_kwargs, len(prompts)), **given, **kwargs},
            )
        self.n_evaluations += sum(rows)
        if not peek.eps.isfinite().all():
            raise FloatingPointError(
                f"prompt {prompts[0]!r}: {self.name} predicted NaN or infinity "
                f"at log-SNR {self.grid.log_snr[0]:.3g} in {peek.x_t.dtype}; try dtype='bfloat16' "
                "or 'float32'; if that does not help, the weights are broken."
            )
        return peek, sum(rows) // (1 + leading)


def first_state(state: torch.Tensor | None, own: int | bool) -> dict[str, Any]:
    """Arguments of a call that starts from `state`, or from the pipeline's own seeded noise."""
    return {"generator": keyed_generator("first state")} if own else {"latents": state}


def parameters_of(pipeline: DiffusionPipeline) -> Mapping[str, Any]:
    """Parameters of a pipeline's call."""
    return inspect.signature(pipeline.__call__).parameters


def network_of(pipeline: DiffusionPipeline) -> torch.nn.Module:
    """The module that predicts noise."""
    for name in ("unet", "transformer"):
        if isinstance(network := getattr(pipeline, name, None), torch.nn.Module):
            return network
    raise ValueError(
        f"{type(pipeline).__name__}: expected a unet or a transformer, got neither; pass a "
        "text-to-image diffusion pipeline."
    )


def for_prompts(call_kwargs: dict[str, Any], n_prompts: int) -> dict[str, Any]:
    """Arguments of a call with a list of prompts, which share one negative prompt."""
    return {
        name: [value] * n_prompts
        if name.startswith("negative_prompt") and isinstance(value, str)
        else value
        for name, value in call_kwargs.items()
    }


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
