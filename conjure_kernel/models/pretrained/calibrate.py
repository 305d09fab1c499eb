"""What a pipeline does with guidance, rows and layouts: measured when it is loaded.

A few short calls, which are counted apart, show the layout of a state, whether `latents=` is the
state that the network sees, at which time it sees it, whether it answers twice alike, what
`guidance_scale` means, and whether a companion prompt changes a row. Whatever is compared is
compared with the difference between two prompts, as that is what will be measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from conjure_kernel.models.pretrained.arguments import check_call, rows_argument
from conjure_kernel.models.pretrained.calibration import Calibration, warn_if_distilled
from conjure_kernel.models.pretrained.companions import Companions
from conjure_kernel.models.pretrained.guidance import (
    OUTER,
    ask_guided,
    linear_shift,
    switches,
)
from conjure_kernel.models.pretrained.single_step import (
    Bench,
    Seen,
    compute_dtype,
)
from conjure_kernel.models.probe import PROMPTS, SAME, probe_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["COMPANION", "PROBE", "ask_again", "calibrate"]

PROBE, COMPANION = PROMPTS
GUIDED = 5.0  # a w to try
OWN_ARGUMENTS = {"prompt", "latents", "generator", "num_inference_steps", "timesteps", "sigmas"}
OWN_ARGUMENTS |= {"output_type", "return_dict"}


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
    return _Calibrator(pipeline, call_kwargs).run()


def ask_again(
    pipeline: DiffusionPipeline, call_kwargs: dict[str, Any], known: Calibration
) -> tuple[float, ...]:
    """The probe of a pipeline as it is now, asked as it was when it was calibrated."""
    bench = Bench(pipeline, call_kwargs)
    bench.leading = known.leading_steps
    states = bench.states(known.shape).to(known.device, known.dtype)
    unguided: dict[str, Any] = {**known.guidance(1.0)}
    answers = [bench.ask([prompt], states, **unguided).eps[:, 0] for prompt in PROMPTS]
    return probe_of(torch.stack(answers))


class _Calibrator:
    """The questions, in their order; each answer is compared with an earlier one."""

    def __init__(self, pipeline: DiffusionPipeline, call_kwargs: dict[str, Any]) -> None:
        self.pipeline, self.call_kwargs = pipeline, call_kwargs
        self.rows_argument = rows_argument(pipeline)
        check_call(pipeline, call_kwargs, OWN_ARGUMENTS | {self.rows_argument})
        warn_if_distilled(pipeline)
        self.bench = Bench(pipeline, call_kwargs)
        self.unguided: dict[str, Any] = {}
        self.both_branches, self.tried = False, GUIDED
        self.offset: float | None = None

    def run(self) -> Calibration:
        """Ask everything."""
        bench = self.bench
        first = self._first()
        shape, dtype = tuple(first.x[0].shape[1:]), first.x[0].dtype
        self.states = bench.states(shape).to(first.x[0].device, dtype)
        coarse = [d for d in (dtype, compute_dtype(self.pipeline)) if d.is_floating_point]
        self.rounding = max(torch.finfo(d).eps for d in coarse)
        guides = "guidance_scale" in bench.parameters
        start = {"guidance_scale": 1.0} if guides else {}
        seen = self._find_start(start)
        self.offset = offset = self._find_unguided(first, seen) if guides else None
        if offset is not None:
            check_call(self.pipeline, self.call_kwargs, {"guidance_scale"})
        one = seen if offset == 0 else self._ask(PROBE)
        if offset is None and self._rows(one) != 1:
            raise ValueError(self._guided_by_something_else(one))
        self.one, self.two = one.eps, self._ask(COMPANION).eps
        self.apart = (self.one - self.two).flatten(1).norm(dim=1)
        self._check_time(one)
        companions = self._companions()
        repeats_within = self._check_repeats(companions)
        share = companions.find()
        fault = self._check_guidance(offset, companions, share)
        return Calibration(
            dialect=bench.dialect,
            shape=shape,
            device=self.states.device,
            dtype=dtype,
            rows_argument=companions.argument,
            guidance_offset=self.offset,
            unguided=self.unguided.get("guidance_scale", 1.0),
            guidance_fault=fault,
            both_branches=self.both_branches,
            leading_steps=bench.leading,
            prompts_share_a_call=share,
            repeats_within=repeats_within,
            probe=probe_of(torch.stack([self.one, self.two])[:, :, 0]),
            n_evaluations=bench.n_evaluations,
        )

    def _ask(self, prompt: str, **kwargs: Any) -> Seen:
        return self.bench.ask([prompt], self.states, **{**self.unguided, **kwargs})

    def _rows(self, seen: Seen) -> float:
        return seen.rows[0]

    def _first(self, **unguided: Any) -> Seen:
        """A call from a state of the pipeline's own, which shows the layout."""
        try:
            return self.bench.ask([PROBE], **unguided)
        except (FloatingPointError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # a pipeline's own, e.g. embeddings for one branch only
            if not unguided and "guidance_scale" in self.bench.parameters:
                return self._first(guidance_scale=1.0)
            if isinstance(error, ValueError | RuntimeError):
                raise
            raise ValueError(self._failing(error)) from error

    def _failing(self, error: Exception) -> str:
        return (
            f"{self.bench.name}: its call fails with {type(error).__name__}: {error}; give "
            "load_denoiser the arguments that it needs (num_frames=1 for a video), install the "
            "packages that it needs, or use another pipeline."
        )

    def _find_start(self, start: dict[str, Any]) -> Seen:
        """Find out whether the network sees `latents=`; if not, one leading step is needed."""
        bench = self.bench
        for bench.leading in (0, 1):
            if not bench.leading and "latents" not in bench.parameters:
                continue
            try:
                seen = self._ask(PROBE, **start)
            except (
                TypeError,
                ValueError,
                RuntimeError,
                IndexError,
            ) as error:  # e.g. not yet packed
                if not bench.leading:
                    continue
                if isinstance(error, ValueError):
                    raise
                raise ValueError(self._failing(error)) from error
            if all(torch.equal(x, s) for x, s in zip(seen.x, self.states, strict=True)):
                return seen
        raise ValueError(
            f"{bench.name}: expected that only the scheduler changes the state between two steps; "
            "it cannot be measured, use another pipeline."
        )

    def _find_unguided(self, first: Seen, seen: Seen) -> float | None:
        """Offset of the guidance_scale that guides nothing; None where none guides."""
        if self._rows(seen) == 1:
            guides = self._rows(first) > 1 or self._guides()
            self.unguided = {"guidance_scale": 1.0} if guides else {}
            return 0.0 if guides else None
        self.unguided, self.tried = {"guidance_scale": 0.0}, 2.0
        if self._rows(self._ask(PROBE)) == 1:
            return -1.0
        raise ValueError(self._guided_by_something_else(seen))

    def _guides(self) -> bool:
        """Tell whether another guidance_scale takes more rows, or the pipeline refuses it."""
        try:
            seen = self.bench.ask([PROBE], self.states[:1], slice(1), guidance_scale=GUIDED)
        except FloatingPointError:
            raise
        except Exception:  # a pipeline's own, e.g. embeddings for one branch only
            return True
        return self._rows(seen) > 1

    def _guided_by_something_else(self, seen: Seen) -> str:
        return (
            f"{self.bench.name}: expected 1 row for each state, got {self._rows(seen):g} whatever "
            f"guidance_scale is, so something else guides it; switch that off "
            f"({switches(self.bench)}, or no negative prompt)."
        )

    def _check_time(self, seen: Seen) -> None:
        """Raise ValueError unless the network's time is that of the scheduler, but for its unit."""
        times, leading = np.array(seen.times), self.bench.leading
        if len(times) != len(seen.grid.times) + leading:
            return  # no argument of the network is known as its time
        times, own = times[leading:], seen.grid.times
        line = np.polyfit(own, times, 1)
        error = np.abs(np.polyval(line, own) - times).max()
        if not line[0] or error > SAME * np.ptp(times) + self.rounding * np.abs(times).max():
            raise ValueError(
                f"{self.bench.name}: expected that its network is handed the scheduler's times "
                f"{own.round(3).tolist()} in some unit, got {times.round(3).tolist()}; it cannot "
                "be measured, use another pipeline or scheduler."
            )

    def _companions(self) -> Companions:
        """Calls with several rows, at an outer level, where the two prompts differ more."""
        level = OUTER.step * int(self.apart[OUTER].argmax())
        part = slice(level, level + 1)
        alone = torch.stack([self.one[level, 0], self.two[level, 0]])
        return Companions(
            self.bench,
            self.rows_argument,
            self.states[part],
            part,
            alone,
            self.rounding,
            self.unguided,
        )

    def _check_repeats(self, companions: Companions) -> float:
        """Raise ValueError unless the same question gets the same answer again."""
        part, (one, two) = companions.level, companions.alone
        again = self.bench.ask([PROBE], companions.states, part, **self.unguided).eps[0, 0]
        worst = float((again - one).norm() / (one - two).norm().clamp_min(1e-30))
        if worst > SAME:
            raise ValueError(
                f"{self.bench.name}: expected the same prediction from the same state, but two "
                f"equal calls differ by {worst:.2g} of the difference between two prompts, as "
                "something draws random numbers of its own, or is carried from step to step; call "
                ".eval() on its modules, give it fixed inputs instead of random ones, and leave "
                "callbacks and caches of steps out (disable_cache())."
            )
        return worst

    def _check_guidance(self, offset: float | None, companions: Companions, share: bool) -> str:
        """Why no other w than 1 can be measured; notice guidance that is not linear."""
        name = self.bench.name
        if offset is None:
            return (
                f"expected 1, as {name} has no classifier-free guidance here (it is distilled, or "
                "takes no such argument); use guidance_scale=1."
            )
        options = {**self.unguided, "guidance_scale": self.tried + offset}
        try:
            guided, n_rows = ask_guided(self.bench, self.states, share, **options)
        except FloatingPointError:
            raise
        except Exception as error:  # a pipeline's own, e.g. embeddings for one branch only
            return f"expected 1, as a guided call of {name} fails ({error}); use 1."
        if n_rows != 2:
            return (
                f"expected 1, as a guided call of {name} takes {n_rows:.3g} rows for each "
                f"state and not 2, so something else guides it; switch that off "
                f"({switches(self.bench)}), or use guidance_scale=1."
            )
        place = companions.level.start // OUTER.step
        if not share and not companions.guided_alike(guided[place, 0], **options):
            return f"expected 1, as a guided call of {name} with several rows fails; use 1."
        plain = torch.cat([self.one, self.two], 1)
        shift = linear_shift(guided, plain, self.tried, SAME, self.rounding)
        self.both_branches, self.offset = shift is None, offset - (shift or 0.0)
        return ""
