"""The Denoiser: what the estimator asks of a text-conditioned diffusion model.

A model needs one method, `run`, that feeds its predictions to a task; `Denoiser` makes trajectories
and energies out of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from conjure_kernel.method.reverse import ChainSettings, ReverseChain
from conjure_kernel.method.schedule import Grid, Schedule, make_grid
from conjure_kernel.models.task import Reading, Replay, Task, Trace, Trajectory

__all__ = ["Denoiser"]


class Denoiser(ABC):
    """A text-conditioned diffusion model as the estimator sees it.

    A subclass says what it is (`schedule`, `shape`, `fingerprint`) and drives a task (`run`).
    It is heavy and read-only: clones of an estimator share it.

    Attributes
    ----------
    schedule : Schedule
        Law of the forward process.
    shape : tuple of int
        Of one state x_t.
    dtype, state_dtype, device : torch.dtype, torch.dtype, torch.device
        Of the network, of the chain's arithmetic, and where states live.
    n_evaluations : int
        Noise predictions made so far (rows through the network), pictures and calibration apart.
    prompts_share_a_call : bool
        Several prompts may go through one call without changing each other's rows.
    leading_steps : int
        Steps that every run takes before the first, their predictions discarded.
    probe : tuple of float, optional
        Answer to one fixed question, once loaded: tells models of equal fingerprint apart.
    compiled, full_call : bool, int
        The network is compiled for calls of that many rows; shorter ones are filled up.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": 0.7})  # docs/checkpoint.md writes another
    >>> (dog,) = world.trace(["a dog"], [0, 1], ChainSettings(world.make_grid(3, substeps=1)))
    >>> tuple(dog.x.shape), world.n_evaluations  # two draws, three noise levels, one dimension
    ((2, 3, 1), 6)
    """

    schedule: Schedule
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    state_dtype: torch.dtype = torch.float32
    device: torch.device = torch.device("cpu")
    n_evaluations: int = 0
    prompts_share_a_call: bool = True
    leading_steps: int = 0
    probe: tuple[float, ...] | None = None
    compiled: bool = False
    full_call: int = 0

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digest of everything in the model that changes a prediction."""

    @abstractmethod
    def run(
        self, task: Task, prompts: Sequence[str], rows_per_prompt: int, guidance_scale: float
    ) -> list[Reading]:
        """Drive `task` through the model; rows are grouped by prompt: one `Reading` for each."""

    @abstractmethod
    def decode(self, x0: torch.Tensor) -> np.ndarray:
        """Pictures of clean states ``(R, *shape)``: uint8 array of shape (R, H, W, 3)."""

    def render(self, x0: torch.Tensor) -> np.ndarray:
        """What the model makes of clean states, floats (R, ...): pictures in [0, 1], or sound."""
        return self.decode(x0) / 255

    @property
    def name(self) -> str:
        """What it is called in messages and in the provenance of a result."""
        return type(self).__name__

    def load(self) -> Denoiser:
        """Bring the weights into memory, if they are not; returns the denoiser."""
        return self

    def __sklearn_clone__(self) -> Denoiser:
        return self

    def __deepcopy__(self, memo: dict) -> Denoiser:
        return self

    def make_grid(self, n_steps: int, **options: Any) -> Grid:
        """`schedule.make_grid` at model times that this network can represent."""
        return make_grid(self.schedule, n_steps, snap=self.snap, **options)

    def snap(self, times: np.ndarray) -> np.ndarray:
        """Model times rounded to the network's dtype."""
        return torch.as_tensor(times).to(self.dtype).double().numpy()

    def trace(
        self, prompts: Sequence[str], draws: Sequence[int], chain: ChainSettings
    ) -> list[Trajectory]:
        """Run the reverse chain of each prompt for each draw.

        Costs len(prompts) * len(draws) predictions a step, twice that with guidance, plus one per
        node with guidance for the prompt's own conditional predictions.
        """
        names, numbers = [p for p in prompts for _ in draws], [*draws] * len(prompts)
        reverse = ReverseChain(chain, names, numbers, self.shape, self.device, self.state_dtype)
        task = Trace(reverse)
        guided = chain.guidance_scale != 1
        readings = self.run(task, prompts, len(draws), chain.guidance_scale)
        n_steps = len(chain.grid.times) + self.leading_steps
        self.n_evaluations += len(names) * n_steps * (2 if guided else 1)
        x, eps = torch.stack(task.x), torch.stack(task.eps)
        self.check_finite(eps.flatten(2).sum(2), chain.grid, prompts, len(draws))
        if guided and not chain.both_branches:
            eps = self.predict_eps(prompts, x, chain.grid)
        whole = (x.transpose(0, 1), eps.transpose(0, 1), task.x0.cpu())
        parts = zip(*(part.split(len(draws)) for part in whole), readings, strict=True)
        return [
            Trajectory(x.cpu().contiguous(), eps.cpu().contiguous(), x0, r.truncated, r.tokens)
            for x, eps, x0, r in parts
        ]

    def predict(
        self, prompts: Sequence[str], x: torch.Tensor, eps: torch.Tensor, chain: ChainSettings
    ) -> torch.Tensor:
        """Energies ||eps_w,a - eps_w,b||^2 of guided predictions along recorded trajectories.

        Parameters
        ----------
        prompts : sequence of str, length P
            The targets b; rows are grouped by prompt.
        x, eps : tensors of shape ``(T, R, *shape)``
            The sources' states and own conditional predictions; R a multiple of P.
        chain : ChainSettings
            The chain that made them.

        Returns
        -------
        energies : tensor of shape (T, R), on the CPU
            With guidance the unconditional part cancels at equal x_t, so that they are w^2 times
            the conditional ones, without an unconditional prediction, unless `both_branches`.
        """
        scale = chain.guidance_scale
        task = Replay(chain.grid.nodes_only(), x.to(self.device), eps.to(self.device))
        self.replay(task, prompts, scale if chain.both_branches else 1.0)
        energies = torch.stack(task.energies).cpu() * (1 if chain.both_branches else scale**2)
        self.check_finite(energies, task.grid, prompts, x.shape[1] // len(prompts))
        return energies

    def predict_eps(self, prompts: Sequence[str], x: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Conditional noise predictions ``(T, R, *shape)`` along recorded states."""
        task = Replay(grid.nodes_only(), x.to(self.device))
        self.replay(task, prompts)
        eps = torch.stack(task.predictions)
        self.check_finite(eps.flatten(2).sum(2), task.grid, prompts, x.shape[1] // len(prompts))
        return eps

    def replay(
        self, task: Task, prompts: Sequence[str], guidance_scale: float = 1.0
    ) -> list[Reading]:
        """Drive a task along fixed states, under conditional predictions alone by default."""
        n_rows, branches = len(task.state), 1 if guidance_scale == 1 else 2
        readings = self.run(task, prompts, n_rows // len(prompts), guidance_scale)
        self.n_evaluations += branches * (len(task.grid.times) + self.leading_steps) * n_rows
        return readings

    def check_finite(
        self, values: torch.Tensor, grid: Grid, prompts: Sequence[str], rows_per_prompt: int
    ) -> None:
        """Raise FloatingPointError where one of `values` (T, R) of replayed rows is not finite."""
        bad = ~torch.isfinite(values)
        if bad.any():
            node, row = (int(i) for i in bad.nonzero()[0])
            raise FloatingPointError(
                f"prompt {prompts[row // rows_per_prompt]!r}: the model predicted NaN or infinity "
                f"at log-SNR {grid.node_log_snr[node]:.3g} in {self.dtype}. Try dtype='bfloat16' "
                "or 'float32', a narrower log_snr_range or a smaller guidance_scale."
            )
