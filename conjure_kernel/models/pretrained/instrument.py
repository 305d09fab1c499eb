"""The scheduler is the instrument.

Every diffusers pipeline hands `(model_output, t, sample)` to `scheduler.step` and goes on from the
state that it gets back. An `Instrument`, put in the scheduler's place, reads the output as a noise
prediction, gives it to a task and returns the state that the task chooses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

from conjure_kernel.method.prediction import to_eps
from conjure_kernel.method.schedule import FlowMatching
from conjure_kernel.models.pretrained.dialect import Dialect
from conjure_kernel.models.task import Task

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, SchedulerMixin

__all__ = ["Instrument", "exclusively", "make_instrument", "measuring", "quiet"]

BUSY = (
    "{}: expected one measurement at a time, but another one of this pipeline goes on; wait for "
    "it, or load a second pipeline."
)
HALF = (torch.bfloat16, torch.float16)
PATIENCE = 3600.0  # seconds for which a thread waits for another one that measures
_LOCKS: WeakKeyDictionary[DiffusionPipeline, Any] = WeakKeyDictionary()
_LEVELS: list[list[tuple[int, bool]]] = []
_LOCKS_GUARD = Lock()


class Instrument:
    """Mixin over a pipeline's own scheduler class; see `make_instrument`.

    The state is the network's own input, which nothing scales. Thresholding, clipping, shifts and
    Karras sigmas of the replaced scheduler do not apply.
    """

    order = 1
    init_noise_sigma = 1.0
    task: Task
    dialect: Dialect
    leading = 0  # extra steps before the first, for a pipeline that brings its own first state
    index = 0
    handed: torch.Tensor | None = None  # the state that the pipeline is to go on from
    moved: torch.Tensor | bool = False  # whether it ever went on from another one

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: torch.device | str | None = None,
        timesteps: Any = None,
        sigmas: Any = None,
        mu: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Set the task's noise levels, whatever levels the pipeline wants."""
        grid, lead = self.task.grid, self.leading
        noise = (
            grid.sigma
            if isinstance(self.dialect.schedule, FlowMatching)
            else grid.sigma / grid.alpha
        )
        times, sigmas = (torch.as_tensor(v, dtype=torch.float32) for v in (grid.times, noise))
        times, sigmas = (torch.cat([v[:1].expand(lead), v]) for v in (times, sigmas))
        self.timesteps, self.num_inference_steps, self.index = times.to(device), len(times), -lead
        self.sigmas = torch.cat([sigmas, torch.zeros(1)])  # pipelines read them, too

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Start from the first level."""
        self.index = begin_index - self.leading

    def scale_model_input(self, sample: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the sample as it is."""
        return sample

    def add_noise(self, clean: torch.Tensor, noise: torch.Tensor, t: Any) -> torch.Tensor:
        """Noise of the first level, for a pipeline that starts from a picture."""
        grid = self.task.grid
        return float(grid.alpha[0]) * clean + float(grid.sigma[0]) * noise

    def scale_noise(self, clean: torch.Tensor, t: Any, noise: torch.Tensor) -> torch.Tensor:
        """The same, as flows name it."""
        return self.add_noise(clean, noise, t)

    def step(
        self,
        model_output: torch.Tensor,
        timestep: Any,
        sample: torch.Tensor,
        *args: Any,
        return_dict: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Hand the prediction to the task; return the state that it chooses."""
        grid, i = self.task.grid, self.index
        if self.handed is not None and self.handed.shape == sample.shape:
            self.moved = self.moved | _differ(self.handed, sample)
        if model_output.shape[1] == 2 * sample.shape[1]:  # learned variance
            model_output = model_output.chunk(2, dim=1)[0]
        if i < 0:
            state = x0 = self.task.state
        else:
            level, prediction = (grid.alpha[i], grid.sigma[i]), self.dialect.prediction
            eps = to_eps(model_output.float(), sample.float(), *level, prediction)
            state, x0 = self.task.step(eps, sample)
        self.index = i + 1
        state = state.to(sample.device, sample.dtype, copy=True)
        self.handed = state.clone()
        if not return_dict:
            return state, x0
        from diffusers.schedulers.scheduling_ddim import DDIMSchedulerOutput

        return DDIMSchedulerOutput(prev_sample=state, pred_original_sample=x0)


def _differ(handed: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
    """Tell whether a state is another one, but for a loop that rounds it; no wait for the device.

    NaN is told elsewhere.
    """
    other = (handed != sample) & (handed == handed)
    for dtype in HALF if sample.dtype == torch.float32 else ():
        other = other & (handed.to(dtype).to(sample.dtype) != sample)
    return other.any()


def make_instrument(
    scheduler: SchedulerMixin, dialect: Dialect, task: Task, leading: int = 0
) -> Any:
    """An `Instrument` that stands for `scheduler` in its pipeline and serves `task`."""
    own = type(scheduler)
    measured: Any = type(f"Measured{own.__name__}", (Instrument, own), {})
    instrument = measured.__new__(measured)  # with all tables as they are now
    vars(instrument).update(vars(scheduler))
    for name in vars(Instrument):  # also a method that was put onto the scheduler, to log it
        vars(instrument).pop(name, None)
    instrument.dialect, instrument.task, instrument.leading = dialect, task, leading
    return instrument


@contextmanager
def measuring(
    pipeline: DiffusionPipeline, dialect: Dialect, task: Task, leading: int = 0
) -> Iterator[Any]:
    """Put an instrument in; restore the pipeline at the end, also after an error or Ctrl-C."""
    with exclusively(pipeline):
        yield from _measuring(pipeline, dialect, task, leading)


@contextmanager
def exclusively(pipeline: DiffusionPipeline) -> Iterator[None]:
    """Have a pipeline for this thread alone; another one waits, and gives up after an hour."""
    with _LOCKS_GUARD:
        lock = _LOCKS.setdefault(pipeline, RLock())
    if not lock.acquire(timeout=PATIENCE):
        raise RuntimeError(BUSY.format(type(pipeline).__name__))
    try:
        yield
    finally:
        lock.release()


def _measuring(
    pipeline: DiffusionPipeline, dialect: Dialect, task: Task, leading: int
) -> Iterator[Any]:
    if isinstance(pipeline.scheduler, Instrument):  # this thread measures it already
        raise RuntimeError(BUSY.format(type(pipeline).__name__))
    before = dict(vars(pipeline))
    try:
        instrument = make_instrument(pipeline.scheduler, dialect, task, leading)
        # Past the pipeline's own __setattr__, which would rewrite its config.
        object.__setattr__(pipeline, "scheduler", instrument)
        bar = before.get("_progress_bar_config", {})
        pipeline.set_progress_bar_config(**{**bar, "disable": True})
        with quiet():
            yield instrument
    except BaseException:
        pipeline.maybe_free_model_hooks()
        raise
    finally:
        for name in ("scheduler", "_progress_bar_config"):
            if name in before:
                object.__setattr__(pipeline, name, before[name])
            else:
                vars(pipeline).pop(name, None)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the logs and progress bars of the model libraries; restore them at the end.

    Levels are kept on a stack that all threads share, so the last of several threads to leave
    restores what the first one found.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    with _LOCKS_GUARD:
        _LEVELS.append([(lib.get_verbosity(), lib.is_progress_bar_enabled()) for lib in libraries])
        for library in libraries:
            library.set_verbosity_error()
            library.disable_progress_bar()
    try:
        yield
    finally:
        with _LOCKS_GUARD:
            for library, (level, bars) in zip(libraries, _LEVELS.pop(), strict=True):
                library.set_verbosity(level)
                (library.enable_progress_bar if bars else library.disable_progress_bar)()
