"""Short calls of a pipeline: what its network sees and predicts at fixed states, and at what cost.

`Bench` asks the same question in many ways, so that `calibrate.py` can compare the answers.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from conjure_kernel.method.grid import Grid, make_grid
from conjure_kernel.method.reverse import standard_normal
from conjure_kernel.models.pretrained.arguments import (
    for_prompts,
    parameters_of,
    seeded,
    steps_of,
)
from conjure_kernel.models.pretrained.dialect import read_dialect
from conjure_kernel.models.pretrained.instrument import measuring
from conjure_kernel.models.probe import N_LEVELS

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["Bench", "Seen", "check_loop", "check_rows", "compute_dtype", "counting"]
__all__ += ["network_of", "networks_of"]

STATES = ("sample", "hidden_states", "latents", "x")
TIMES = ("timestep", "timesteps", "t", "time")


@dataclass
class Seen:
    """Task that shows a network fixed states (T, R, *shape) and keeps what happens there.

    Without states, the pipeline goes on from its own.
    """

    grid: Grid
    states: torch.Tensor | None
    x: list[torch.Tensor] = field(default_factory=list)
    answers: list[torch.Tensor] = field(default_factory=list)
    rows: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def state(self) -> Any:
        """The first states."""
        return None if self.states is None else self.states[0]

    @property
    def eps(self) -> torch.Tensor:
        """Predictions (T, R, *shape)."""
        return torch.stack(self.answers)

    def step(self, eps: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep the answer and go to the next state."""
        self.answers.append(eps.clone())
        self.x.append(x_t.clone())
        if self.states is None:
            return x_t, eps
        return self.states[min(len(self.x), len(self.states) - 1)], eps


class Bench:
    """Short calls of a pipeline, which count the rows through its networks.

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
        self.grid, self.n_evaluations = make_grid(self.dialect.schedule, N_LEVELS), 0
        self.leading = 0

    def states(self, shape: Sequence[int]) -> torch.Tensor:
        """One state (T, 1, *shape) at each level: noise on a clean state of zeros.

        In the network's dtype, as some loops round the state to it.
        """
        noise = standard_normal(shape, seed=0, prompt="probe", draw=0, step=0)
        states = torch.stack([float(sigma) * noise[None] for sigma in self.grid.sigma])
        return states.to(compute_dtype(self.pipeline))

    def ask(
        self,
        prompts: Sequence[str],
        states: torch.Tensor | None = None,
        levels: slice = slice(None),
        **kwargs: Any,
    ) -> Seen:
        """Return what the networks see and predict at these states of these levels."""
        grid = self.grid.only(levels) if states is not None else self.grid.only(slice(1))
        seen = Seen(grid, states)
        leading = 0 if states is None else self.leading
        given = {} if states is None or leading else {"latents": states[0]}
        with (
            measuring(self.pipeline, self.dialect, seen, leading) as instrument,
            counting(self.pipeline, with_times=True) as calls,
        ):
            self.pipeline(
                prompt=list(prompts),
                output_type="latent",
                **steps_of(grid, leading),
                **{
                    **seeded(self.pipeline),
                    **for_prompts(self.call_kwargs, len(prompts)),
                    **given,
                    **kwargs,
                },
            )
        self.n_evaluations += sum(n for n, _ in calls)
        self._check(seen, instrument, prompts)
        seen.times = [time for _, time in calls if time is not None]
        seen.rows = [sum(n for n, _ in calls) / (len(grid.times) + leading)]
        return seen

    def _check(self, seen: Seen, instrument: Any, prompts: Sequence[str]) -> None:
        if len(seen.answers) != len(seen.grid.times):
            raise ValueError(
                f"{self.name}: expected {len(seen.grid.times)} steps of its scheduler, got "
                f"{len(seen.answers)}; switch off what shortens its loop (strength=1.0, no "
                "denoising_end), or pass the pipeline whose own loop denoises."
            )
        if bool(instrument.moved):
            raise ValueError(
                f"{self.name}: expected that only the scheduler changes the state between two "
                "steps, but a callback or the loop moves it; leave the callback out, or use "
                "another pipeline."
            )
        for answer, level in zip(seen.answers, seen.grid.log_snr, strict=True):
            if not answer.isfinite().all():
                raise FloatingPointError(
                    f"prompt {prompts[0]!r}: {self.name} predicted NaN or infinity "
                    f"at log-SNR {level:.3g} in {seen.x[0].dtype}; try dtype='bfloat16' "
                    "or 'float32'; if that does not help, the weights are broken."
                )


def check_loop(name: str, instrument: Any, n_steps: int) -> None:
    """Raise RuntimeError unless a call took its steps, and only the scheduler moved the state."""
    if instrument.index != n_steps:
        raise RuntimeError(
            f"{name}: expected {n_steps} steps, got {instrument.index}, as its loop does not "
            "follow scheduler.timesteps; use another pipeline."
        )
    if bool(instrument.moved):
        raise RuntimeError(
            f"{name}: expected that only the scheduler changes the state between two steps, but a "
            "callback or the loop moves it; leave the callback out."
        )


def check_rows(name: str, calls: Sequence[tuple[int, float | None]], expected: int) -> None:
    """Raise RuntimeError unless a call took as many rows through its networks as expected."""
    if (made := sum(n for n, _ in calls)) != expected:
        raise RuntimeError(
            f"{name}: expected {expected} rows through its network, got {made}, as something acts "
            "in some of the steps only; switch that off (skip_guidance_layers, a guidance "
            "interval), or use guidance_scale=1."
        )


def network_of(pipeline: DiffusionPipeline) -> torch.nn.Module:
    """The module that predicts noise."""
    return networks_of(pipeline)[0]


def networks_of(pipeline: DiffusionPipeline) -> list[torch.nn.Module]:
    """The modules that predict noise; some pipelines have two, for two ranges of noise."""
    names = ("unet", "transformer", "transformer_2")
    networks = [getattr(pipeline, name, None) for name in names]
    if found := [part for part in networks if isinstance(part, torch.nn.Module)]:
        return found
    raise ValueError(
        f"{type(pipeline).__name__}: expected a unet or a transformer, got neither; pass a "
        "text-to-image diffusion pipeline."
    )


def compute_dtype(pipeline: DiffusionPipeline) -> torch.dtype:
    """The dtype in which the network computes, also where its weights are stored in fewer bits."""
    network: Any = network_of(pipeline)
    quantizer = getattr(network, "hf_quantizer", None)
    declared = [getattr(network, "dtype", None), getattr(quantizer, "compute_dtype", None)]
    weights = [tensor.dtype for tensor in network.parameters()]
    for dtype in (*declared[::-1], *weights):
        if isinstance(dtype, torch.dtype) and dtype.is_floating_point and dtype.itemsize > 1:
            return dtype
    return torch.float32


@contextmanager
def counting(
    pipeline: DiffusionPipeline, with_times: bool = False
) -> Iterator[list[tuple[int, float | None]]]:
    """Rows of every forward of the networks, and the time that they are handed."""
    calls: list[tuple[int, float | None]] = []

    def watch(network: torch.nn.Module) -> Any:
        parameters = list(inspect.signature(type(network).forward).parameters)[1:]

        def note(module: torch.nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            given = {**dict(zip(parameters, args, strict=False)), **kwargs}
            samples = [given[n] for n in STATES if given.get(n) is not None] or list(args)
            times = [given[n] for n in TIMES if with_times and given.get(n) is not None]
            calls.append((len(samples[0]), _largest(times[0]) if times else None))

        return network.register_forward_pre_hook(note, with_kwargs=True)

    handles = [watch(network) for network in networks_of(pipeline)]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _largest(time: Any) -> float:
    return float(torch.as_tensor(time).float().max())
