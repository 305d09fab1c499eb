"""`PretrainedDenoiser`: any diffusers text-to-image pipeline as a `Denoiser`.

The pipeline is used only through its own call, `pipeline(prompt=..., ...)`: nothing is copied from
diffusers. Adapters, quantised weights, offload and compiled modules therefore work as they do for
the user.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline

from conjure_kernel.method.grid import Grid, make_grid
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.pretrained.calibrate import Calibration, calibrate
from conjure_kernel.models.pretrained.fingerprint import fingerprint_call
from conjure_kernel.models.pretrained.instrument import measuring
from conjure_kernel.models.pretrained.single_step import first_state, for_prompts, network_of
from conjure_kernel.models.pretrained.tokens import read, watching
from conjure_kernel.models.task import Reading, Task

__all__ = ["PretrainedDenoiser"]

PICTURES_A_CALL = 16


class _Show:
    """Task of one step that hands the pipeline stored clean states to decode."""

    def __init__(self, grid: Grid, x0: torch.Tensor) -> None:
        self.grid, self.state = grid, x0

    def step(self, eps: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.state, self.state


class _Filled:
    """Task whose last row is repeated until a call is full."""

    def __init__(self, task: Task, n_rows: int) -> None:
        self.grid, self._task, self._n_more = task.grid, task, n_rows - len(task.state)

    @property
    def state(self) -> torch.Tensor:
        return self._fill(self._task.state)

    def step(self, eps: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        own = len(x_t) - self._n_more
        state, x0 = self._task.step(eps[:own], x_t[:own])
        return self._fill(state), self._fill(x0)

    def _fill(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([rows, rows[-1:].expand(self._n_more, *rows.shape[1:])])


class PretrainedDenoiser(Denoiser):
    """A diffusers pipeline, measured through its own loop and restored afterwards.

    `load_denoiser` makes it. The weights are loaded when they are first needed.

    Parameters
    ----------
    open_pipeline : callable
        Returns the pipeline.
    name : str
        The name in messages and in the provenance of results.
    fingerprint : callable
        Returns the hex digest of the weights and of everything else that changes a prediction.
    dtype : torch.dtype
        The dtype of the network.
    call_kwargs : dict
        Passed on to every call of the pipeline (height, width, negative_prompt, ...).
    reopen : tuple, optional
        (function, arguments) that rebuild this object in another process.
    compiled : bool
        Whether to compile the network, once the pipeline is calibrated.
    """

    calibration: Calibration | None = None

    def __init__(
        self,
        open_pipeline: Callable[[], DiffusionPipeline],
        name: str,
        fingerprint: Callable[[], str],
        dtype: torch.dtype,
        call_kwargs: dict[str, Any],
        reopen: tuple[Callable, tuple] | None = None,
        compiled: bool = False,
    ) -> None:
        self._name, self.dtype, self.call_kwargs = name, dtype, dict(call_kwargs)
        self._open, self._fingerprint, self._reopen = open_pipeline, fingerprint, reopen
        self._digest: str | None = None
        self.compiled = compiled

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def name(self) -> str:  # noqa: D102
        return self._name

    def __reduce__(self) -> tuple:
        if self._reopen is None:
            raise TypeError(
                f"{self!r}: expected a model loaded by name, as a pipeline object does not travel "
                "to another process; save it with save_pretrained and pass the folder's name as "
                "model, or use n_jobs=1."
            )
        return self._reopen

    @property
    def fingerprint(self) -> str:  # noqa: D102
        if self._digest is None:
            whole = f"{self._fingerprint()}|{fingerprint_call(self.call_kwargs)}"
            self._digest = hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()
        return self._digest

    def load(self) -> PretrainedDenoiser:
        """Bring the pipeline into memory and calibrate it, unless that is done."""
        if self.calibration is not None:
            return self
        pipeline = self._open()
        modules = [m for m in vars(pipeline).values() if isinstance(m, torch.nn.Module)]
        if any(m.training for m in modules):
            raise ValueError(
                f"{self!r}: expected evaluation mode, got modules in training mode; call .eval() "
                "on them."
            )
        with torch.no_grad():
            calibration = calibrate(pipeline, self.call_kwargs)
        if self.compiled:
            network_of(pipeline).compile(dynamic=False)
        self.pipeline, self.calibration = pipeline, calibration
        self.schedule, self.shape = calibration.dialect.schedule, calibration.shape
        self.prompts_share_a_call = calibration.prompts_share_a_call
        self.leading_steps = calibration.leading_steps
        self.device, self.probe = calibration.device, calibration.probe
        return self

    @torch.no_grad()
    def run(  # noqa: D102
        self, task: Task, prompts: Sequence[str], rows_per_prompt: int, guidance_scale: float
    ) -> list[Reading]:
        calibration = self._calibrated()
        options = {"output_type": "latent", **self._guidance(calibration, guidance_scale)}
        n_more = self.full_call - len(task.state) if self.compiled else 0
        if n_more <= 0:
            return self._call(task, prompts, rows_per_prompt, **options)[1]
        whole = _Filled(task, self.full_call)
        if len(prompts) == 1:
            return self._call(whole, prompts, self.full_call, **options)[1]
        rows = [prompt for prompt in prompts for _ in range(rows_per_prompt)]
        readings = self._call(whole, rows + rows[-1:] * n_more, 1, **options)[1]
        return readings[: len(rows) : rows_per_prompt]

    def decode(self, x0: torch.Tensor) -> np.ndarray:  # noqa: D102
        pictures = _pictures_in(self.render(x0), repr(self))
        return (255 * pictures).round().clip(0, 255).astype(np.uint8)

    @torch.no_grad()
    def render(self, x0: torch.Tensor) -> np.ndarray:  # noqa: D102
        calibration = self._calibrated()
        grid = make_grid(self.schedule, 1)
        guidance = self._guidance(calibration, 1.0)
        made = []
        for part in x0.split(PICTURES_A_CALL):
            show = _Show(grid, part.to(self.device))
            result, _ = self._call(show, [""], len(part), output_type="np", **guidance)
            made.append(np.asarray(result[0]))
        return np.concatenate(made)

    def _call(
        self, task: Task, prompts: Sequence[str], rows: int, **kwargs: Any
    ) -> tuple[Any, list[Reading]]:
        calibration = self._calibrated()
        leading = calibration.leading_steps
        with (
            measuring(self.pipeline, calibration.dialect, task, leading) as instrument,
            watching(self.pipeline) as tokenizers,
        ):
            result = self.pipeline(
                prompt=list(prompts),
                num_inference_steps=len(task.grid.times) + leading,
                return_dict=False,
                **first_state(task.state.to(self.device, calibration.dtype), leading),
                **{calibration.rows_argument: rows},
                **{**for_prompts(self.call_kwargs, len(prompts)), **kwargs},
            )
            readings = read(tokenizers, len(prompts))
        if instrument.index != len(task.grid.times):
            raise RuntimeError(
                f"{self!r}: expected {len(task.grid.times)} steps, got {instrument.index}, as its "
                "loop does not follow scheduler.timesteps; use another pipeline."
            )
        return result, readings

    def _calibrated(self) -> Calibration:
        self.load()
        assert self.calibration is not None
        return self.calibration

    def _guidance(self, calibration: Calibration, guidance_scale: float) -> dict[str, float]:
        if guidance_scale != 1 and calibration.guidance_fault:
            raise ValueError(f"guidance_scale={guidance_scale:g}: {calibration.guidance_fault}")
        if calibration.guidance_offset is not None:
            return {"guidance_scale": guidance_scale + calibration.guidance_offset}
        return {}


def _pictures_in(made: np.ndarray, name: str) -> np.ndarray:
    """Pictures (R, H, W, C); for a video, its frame in the middle."""
    if made.ndim == 5:
        made = made[:, made.shape[1] // 2]
    if made.ndim != 4:
        raise ValueError(
            f"{name} makes no pictures: expected (height, width, channels) for each row, got shape "
            f"{made.shape[1:]}; read what it makes with `render`."
        )
    return made
