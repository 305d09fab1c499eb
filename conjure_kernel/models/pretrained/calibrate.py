"""What a pipeline does with guidance, rows and layouts: measured when it is loaded.

A few short calls, which are counted apart, show the layout of a state, whether `latents=` is the
state that the network sees, at which time it sees it, whether it answers twice alike, what
`guidance_scale` means, and whether a companion prompt changes a row. Whatever is compared is
compared with the difference between two prompts, as that is what will be measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline

from conjure_kernel.models.pretrained.arguments import check_call, rows_argument
from conjure_kernel.models.pretrained.calibration import Calibration, warn_if_distilled
from conjure_kernel.models.pretrained.single_step import (
    Bench,
    Seen,
    compute_dtype,
)
from conjure_kernel.models.probe import PROMPTS, SAME, probe_of

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
    offset = known.guidance_offset
    unguided: dict[str, Any] = {} if offset is None else {"guidance_scale": 1.0 + offset}
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
        offset = self._find_unguided(seen) if guides else None
        if offset is not None:
            check_call(self.pipeline, self.call_kwargs, {"guidance_scale"})
        one = seen if offset == 0 else self._ask(PROBE)
        if offset is None and self._rows(one) != 1:
            raise ValueError(self._guided_by_something_else(one))
        two = self._ask(COMPANION)
        self.one, self.two = one.eps, two.eps
        self.apart = (self.one - self.two).flatten(1).norm(dim=1)
        self._check_time(one)
        repeats_within = self._check_repeats()
        fault = self._check_guidance(offset)
        share = self._find_rows()
        return Calibration(
            dialect=bench.dialect,
            shape=shape,
            device=self.states.device,
            dtype=dtype,
            rows_argument=self.rows_argument,
            guidance_offset=offset,
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

    def _first(self) -> Seen:
        """A call from a state of the pipeline's own, which shows the layout."""
        try:
            return self.bench.ask([PROBE])
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.bench.name}: its call fails with {type(error).__name__}: {error}; give "
                "load_denoiser the arguments that it needs, or use another pipeline."
            ) from error

    def _find_start(self, start: dict[str, Any]) -> Seen:
        """Find out whether the network sees `latents=`; if not, one leading step is needed."""
        bench = self.bench
        for bench.leading in (0, 1):
            if not bench.leading and "latents" not in bench.parameters:
                continue
            try:
                seen = self._ask(PROBE, **start)
            except (TypeError, ValueError, RuntimeError, IndexError):  # e.g. not yet packed
                if bench.leading:
                    raise
                continue
            if all(torch.equal(x, s) for x, s in zip(seen.x, self.states, strict=True)):
                return seen
        raise ValueError(
            f"{bench.name}: expected that only the scheduler changes the state between two steps; "
            "it cannot be measured, use another pipeline."
        )

    def _find_unguided(self, seen: Seen) -> float | None:
        """Offset of the guidance_scale that guides nothing; None where none guides."""
        if self._rows(seen) == 1:
            try:
                self.guided = self._ask(PROBE, guidance_scale=GUIDED)
                more = self._rows(self.guided) > 1
            except FloatingPointError:
                raise
            except Exception as error:  # a pipeline's own, e.g. embeddings for one branch only
                self.failure: Exception | None = error
                more = True
            else:
                self.failure = None
            self.unguided = {"guidance_scale": 1.0} if more else {}
            return 0.0 if more else None
        self.failure, self.unguided = None, {"guidance_scale": 0.0}
        if self._rows(self._ask(PROBE)) == 1:
            self.guided, self.tried = seen, 2.0
            return -1.0
        raise ValueError(self._guided_by_something_else(seen))

    def _guided_by_something_else(self, seen: Seen) -> str:
        return (
            f"{self.bench.name}: expected 1 row for each state, got {self._rows(seen):g} whatever "
            f"guidance_scale is, so something else guides it; switch that off "
            f"({self._switches()}, or no negative prompt)."
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

    def _check_repeats(self) -> float:
        """Raise ValueError unless the same question gets the same answer again."""
        again = self._ask(PROBE).eps
        moved = (again - self.one).flatten(1).norm(dim=1) / self.apart.clamp_min(1e-30)
        if (worst := float(moved.max())) > SAME:
            raise ValueError(
                f"{self.bench.name}: expected the same prediction from the same state, but two "
                f"equal calls differ by {worst:.2g} of the difference between two prompts, as "
                "something draws random numbers of its own; call .eval() on its modules, give it "
                "fixed inputs instead of random ones, or leave its callback out."
            )
        return worst

    def _check_guidance(self, offset: float | None) -> str:
        """Why no other w than 1 can be measured; notice guidance that is not linear."""
        name = self.bench.name
        if offset is None:
            return (
                f"expected 1, as {name} has no classifier-free guidance here (it is distilled, or "
                "takes no such argument); use guidance_scale=1."
            )
        if self.failure is not None:
            return f"expected 1, as a guided call of {name} fails ({self.failure}); use 1."
        one, two = self.guided, self._ask(COMPANION, guidance_scale=self.tried + offset)
        if self._rows(one) != 2:
            return (
                f"expected 1, as a guided call of {name} takes {self._rows(one):.3g} rows for each "
                f"state and not 2, so something else guides it; switch that off "
                f"({self._switches()}), or use guidance_scale=1."
            )
        gap = (one.eps - two.eps) - self.tried * (self.one - self.two)
        size = one.eps.flatten(1).norm(dim=1)
        allowed = SAME * self.tried * self.apart + 4 * self.rounding * size
        self.both_branches = bool((gap.flatten(1).norm(dim=1) > allowed).any())
        return ""

    def _switches(self) -> str:
        """Name the arguments of the call that change its guidance."""
        signs = {"cfg", "guidance", "pag"}
        names = [n for n in self.bench.parameters if signs & set(n.split("_"))]
        others = [name for name in names if name != "guidance_scale"]
        return ", ".join(f"{name}=..." for name in others) or "it has no argument for that"

    def _find_rows(self) -> bool:
        """Find out how one prompt gets several rows; tell if two prompts may share a call."""
        level, moved = int(self.apart.argmax()), None
        for argument in dict.fromkeys([self.rows_argument, ""]):
            self.rows_argument = argument
            alike = self._together([PROBE, PROBE], 2, level)
            if alike is not None and self._moved(alike, level) <= 1:
                mixed = self._together([PROBE, COMPANION], 2, level)
                return mixed is not None and self._is_alone(mixed, alike, level)
            alone = self._together([PROBE], 4, level)  # as many rows of one prompt
            if alone is not None and (moved := self._moved(alone, level)) <= 1:
                return False
        need = f"{self.bench.name}: expected a call that makes several rows of one prompt "
        raise ValueError(
            need + "(num_images_per_prompt, or the prompt repeated); it cannot be measured, use "
            "another pipeline."
            if moved is None
            else need + f"and answers each as it answers one alone, got {moved * SAME:.2g} of the "
            "difference between two prompts, as something depends on the other rows (activations "
            "that are quantised as they come, a batch norm); switch that off, or quantise the "
            "weights only."
        )

    def _together(self, prompts: list[str], each: int, level: int) -> torch.Tensor | None:
        """Predictions at some rows of each prompt at a level; None if the call cannot do that."""
        rows = {self.rows_argument: each} if self.rows_argument else {}
        listed = prompts if rows else [prompt for prompt in prompts for _ in range(each)]
        n, part = each * len(prompts), slice(level, level + 1)
        states = self.states[part].repeat(1, n, *[1] * (self.states.ndim - 2))
        try:
            seen = self.bench.ask(listed, states, part, **{**self.unguided, **rows})
        except FloatingPointError:
            raise
        except Exception:  # a pipeline's own, of whatever kind
            return None
        kept = torch.equal(seen.x[0], states[0])
        return seen.eps[0] if len(seen.eps[0]) == self._rows(seen) == n and kept else None

    def _moved(self, eps: torch.Tensor, level: int) -> float:
        """How far rows of the first prompt are from that prompt alone, in units of the allowed."""
        expected = self.one[level]
        allowed = SAME * self.apart[level] + 8 * self.rounding * expected.norm()
        return float(((eps - expected).flatten(1).norm(dim=1) / allowed).max())

    def _is_alone(self, mixed: torch.Tensor, alike: torch.Tensor, level: int) -> bool:
        """Tell whether a companion leaves a prompt's rows as they are, and in their place."""
        own = (mixed[:2] - alike[:2]).flatten(1).norm(dim=1).max()
        its = (mixed[2:] - self.two[level]).flatten(1).norm(dim=1).max()
        apart, size = self.apart[level], self.two[level].norm()
        return bool(own <= SAME * apart and its <= SAME * apart + 4 * self.rounding * size)
