"""`PretrainedDenoiser`: any diffusers text-to-image pipeline as a `Denoiser`.

The pipeline is used only through its own call, `pipeline(prompt=..., ...)`: nothing is copied from
diffusers. Adapters, quantised weights, offload and compiled modules therefore work as they do for
the user.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from conjure_kernel._checks import AccuracyWarning
from conjure_kernel.method.grid import make_grid
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.pretrained.arguments import for_prompts, seeded, state_of, steps_of
from conjure_kernel.models.pretrained.calibrate import ask_again, calibrate
from conjure_kernel.models.pretrained.calibration import Calibration
from conjure_kernel.models.pretrained.embeddings import Embeddings, reading_of, text_arguments
from conjure_kernel.models.pretrained.fingerprint import fingerprint_call, fingerprint_pipeline
from conjure_kernel.models.pretrained.instrument import exclusively, measuring
from conjure_kernel.models.pretrained.pictures import Show, check_pictures, pictures_in
from conjure_kernel.models.pretrained.single_step import (
    check_loop,
    check_rows,
    compute_dtype,
    counting,
    networks_of,
)
from conjure_kernel.models.pretrained.state import (
    State,
    check_evaluation_mode,
    glance_at,
    modules_of,
    read_state,
)
from conjure_kernel.models.pretrained.tokens import read, token_limits, watching
from conjure_kernel.models.probe import same_answer
from conjure_kernel.models.task import Filled, Reading, Task

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["PretrainedDenoiser"]

PICTURES_A_CALL = 16
# While accelerate reads weights, every new module of the process is on the device "meta".
_LOADING = RLock()


class PretrainedDenoiser(Denoiser):
    """A diffusers pipeline, measured through its own loop and restored afterwards.

    `load_denoiser` makes it. The weights are loaded when they are first needed.

    Parameters
    ----------
    open_pipeline : callable
        Returns the pipeline in a dtype.
    name : str
        The name in messages and in the provenance of results.
    fingerprint : callable, optional
        Returns the hex digest of the weights and of everything else that changes a prediction.
        Default: that of the pipeline itself, which is looked at again and again.
    dtype, spare_dtype : torch.dtype
        The dtype of the network, and the one in which it is opened again if the first overflows.
    call_kwargs : dict
        Passed on to every call of the pipeline (height, width, negative_prompt, ...).
    reopen : tuple, optional
        (function, arguments) that rebuild this object in another process.
    compiled : bool
        Whether to compile the network, once the pipeline is calibrated.
    embeddings : mapping, optional
        What stands for the text of some prompts.
    """

    calibration: Calibration | None = None
    pipeline: Any = None

    def __init__(
        self,
        open_pipeline: Callable[[torch.dtype], DiffusionPipeline],
        name: str,
        fingerprint: Callable[[], str] | None,
        dtype: torch.dtype,
        call_kwargs: dict[str, Any],
        reopen: tuple[Callable, tuple] | None = None,
        compiled: bool = False,
        spare_dtype: torch.dtype | None = None,
        embeddings: Embeddings | None = None,
    ) -> None:
        self._name, self.dtype, self.call_kwargs = name, dtype, dict(call_kwargs)
        self._open, self._fingerprint, self._reopen = open_pipeline, fingerprint, reopen
        self.embeddings: Embeddings = dict(embeddings or {})
        content = self.call_kwargs | ({"embeddings": embeddings} if embeddings else {})
        self._call_content, self._unnamed_arguments = fingerprint_call(content)
        self._digest: str | None = None
        self._state: State | None = None
        self._spare_dtype, self.compiled, self._told = spare_dtype, compiled, False
        self.travels = reopen is not None

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
        function, (model, options) = self._reopen
        options = {**options, "dtype": str(self.dtype).removeprefix("torch.")}
        return function, (model, options, self.fingerprint)

    @property
    def fingerprint(self) -> str:  # noqa: D102
        if self._digest is None:
            own = self._fingerprint or (lambda: fingerprint_pipeline(self._open(self.dtype)))
            whole = f"{own()}|{self._call_content}"
            self._digest = hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()
        return self._digest

    @property
    def unnamed(self) -> Sequence[str]:  # type: ignore[override]  # noqa: D102
        return sorted({*self._unnamed_arguments, *(self._state.unnamed if self._state else ())})

    @property
    def law(self) -> str:  # type: ignore[override]  # noqa: D102
        return self._calibrated().dialect.law

    @property
    def token_limits(self) -> dict[str, int]:
        """How many tokens each text encoder reads, as its tokenizer says."""
        return token_limits(self.load().pipeline)

    @property
    def modules(self) -> Sequence[Any]:  # type: ignore[override]  # noqa: D102
        own = [id(module) for _, module in modules_of(self.load().pipeline)]
        return [*own, self._call_content]

    def refresh(self, ask: bool = False) -> None:
        """Look whether a pipeline that is in memory has changed; if so, learn it again.

        A model that is known by its name and not loaded yet is left on the disk. With `ask`, it is
        also asked again how it answers, which sees what no list of its parts can.
        """
        if self._state is None:
            if self._fingerprint is None:
                self.load()
            return
        pipeline = self.pipeline
        with exclusively(pipeline):  # another thread's measurement is no change
            if read_state(pipeline) == self._state and not self._answers_otherwise(ask):
                return
            self._learn(pipeline, self._calibrate(pipeline))
        self._digest, self._fingerprint, self._reopen = None, None, None  # its name is another's
        self._open, self.dtype = lambda dtype: pipeline, compute_dtype(pipeline)

    @torch.no_grad()
    def _answers_otherwise(self, ask: bool) -> bool:
        if not ask or self.compiled or self.calibration is None:
            return False
        probe = ask_again(self.pipeline, self.call_kwargs, self.calibration)
        return not same_answer(probe, self.probe, self.dtype)

    def load(self) -> PretrainedDenoiser:
        """Bring the pipeline into memory and calibrate it, unless that is done."""
        with _LOADING:
            return self if self.calibration is not None else self._load()

    def _load(self) -> PretrainedDenoiser:
        pipeline = self._open(self.dtype)
        try:
            calibration = self._calibrate(pipeline)
        except FloatingPointError:
            if self._spare_dtype is None:
                raise
            self.dtype, self._spare_dtype = self._spare_dtype, None
            pipeline = self._open(self.dtype)
            calibration = self._calibrate(pipeline)
        if self.compiled:
            for network in networks_of(pipeline):
                network.compile(dynamic=False)
        self._learn(pipeline, calibration)
        return self

    def _learn(self, pipeline: DiffusionPipeline, calibration: Calibration) -> None:
        self.pipeline, self.calibration = pipeline, calibration
        self._state, self._glance = read_state(pipeline), glance_at(pipeline)
        self.schedule, self.shape = calibration.dialect.schedule, calibration.shape
        self.prompts_share_a_call = calibration.prompts_share_a_call and not self.embeddings
        self.leading_steps = calibration.leading_steps
        self.both_branches = calibration.both_branches
        self.device, self.probe = calibration.device, calibration.probe

    @torch.no_grad()
    def _calibrate(self, pipeline: DiffusionPipeline) -> Calibration:
        check_evaluation_mode(pipeline, repr(self))
        with exclusively(pipeline):
            return calibrate(pipeline, self.call_kwargs)

    @torch.no_grad()
    def run(  # noqa: D102
        self, task: Task, prompts: Sequence[str], rows_per_prompt: int, guidance_scale: float
    ) -> list[Reading]:
        calibration = self._calibrated()
        if glance_at(self.pipeline) != self._glance:
            raise RuntimeError(
                f"{self!r}: expected the model as it was when it was loaded or last fitted, but "
                "its adapters, processors or settings have changed; fit again, or pass the "
                "pipeline to load_denoiser again."
            )
        guided = guidance_scale != 1 and calibration.guidance_offset is not None
        if guided and self.both_branches and not self._told:
            self._told = True
            warnings.warn(
                f"{self!r}: its guidance is not w times a difference (it rescales, normalises or "
                "skips), so guided predictions are compared themselves, with twice the rows.",
                category=AccuracyWarning,
                stacklevel=6,
            )
        options: dict[str, Any] = {
            "output_type": "latent",
            **calibration.guidance(guidance_scale),
        }
        n_more = self.full_call - len(task.state) if self.compiled else 0
        if n_more <= 0:
            n_rows = (2 if guided else 1) * len(task.state)
            return self._call(task, prompts, rows_per_prompt, n_rows=n_rows, **options)[1]
        whole = Filled(task, self.full_call)
        if len(prompts) == 1:
            return self._call(whole, prompts, self.full_call, **options)[1]
        rows = [prompt for prompt in prompts for _ in range(rows_per_prompt)]
        readings = self._call(whole, rows + rows[-1:] * n_more, 1, **options)[1]
        return readings[: len(rows) : rows_per_prompt]

    def decode(self, x0: torch.Tensor) -> np.ndarray:  # noqa: D102
        pictures = pictures_in(self.render(x0), repr(self))
        return (255 * pictures).round().clip(0, 255).astype(np.uint8)

    @torch.no_grad()
    def render(self, x0: torch.Tensor) -> np.ndarray:  # noqa: D102
        calibration = self._calibrated()
        grid = make_grid(self.schedule, 1)
        guidance: dict[str, Any] = calibration.guidance(1.0)
        made = list[np.ndarray]()
        for part in x0.split(PICTURES_A_CALL):
            show = Show(grid, part.to(self.device))
            result, _ = self._call(show, [""], len(part), output_type="np", **guidance)
            check_pictures(result, f"{self!r} in {self.dtype}", sum(map(len, made)))
            made.append(np.asarray(result[0]))
        return np.concatenate(made)

    def _call(
        self, task: Task, prompts: Sequence[str], rows: int, n_rows: int = 0, **kwargs: Any
    ) -> tuple[Any, list[Reading]]:
        """Call the pipeline; with `n_rows`, that many rows must go through its network a step."""
        calibration, n_steps = self._calibrated(), len(task.grid.times)
        leading, argument = calibration.leading_steps, calibration.rows_argument
        if not argument:
            prompts = [prompt for prompt in prompts for _ in range(rows)]
        with (
            measuring(self.pipeline, calibration.dialect, task, leading) as instrument,
            watching(self.pipeline) as tokenizers,
            counting(self.pipeline) if n_rows and not self.compiled else nullcontext() as calls,
        ):
            result = self.pipeline(
                **text_arguments(self.pipeline, self.embeddings, prompts, self.dtype),
                **steps_of(task.grid, leading),
                return_dict=False,
                **seeded(self.pipeline),
                **state_of(task.state.to(self.device, calibration.dtype), leading),
                **({argument: rows} if argument else {}),
                **{**for_prompts(self.call_kwargs, len(prompts)), **kwargs},
            )
            if all(prompt in self.embeddings for prompt in prompts):
                readings = [reading_of(self.embeddings, prompt) for prompt in prompts]
            else:
                readings = read(tokenizers, len(prompts))
        check_loop(repr(self), instrument, n_steps)
        if calls:
            check_rows(repr(self), calls, n_rows * (n_steps + leading))
        return result, readings if argument else readings[::rows]

    def _calibrated(self) -> Calibration:
        self.load()
        assert self.calibration is not None
        return self.calibration
