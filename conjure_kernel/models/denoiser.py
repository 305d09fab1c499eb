"""The `Denoiser`: what the package needs of a text-conditioned diffusion model.

A model needs one method, `run`, which feeds its predictions to a task. `Denoiser` makes
trajectories and energies with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch

from conjure_kernel.method.grid import Grid, make_grid
from conjure_kernel.method.reverse import ChainSettings, ReverseChain
from conjure_kernel.method.schedule import Schedule
from conjure_kernel.models.finite import check_ends, check_finite, repeated
from conjure_kernel.models.task import Reading, Replay, Task, Trace, Trajectory

__all__ = ["Denoiser"]


class Denoiser(ABC):
    """A text-conditioned diffusion model as the estimators see it.

    A subclass has the attributes `schedule`, `shape` and `fingerprint`, and its method `run` drives
    a task. A model is heavy and is only read: clones of an estimator share it.

    Attributes
    ----------
    schedule : Schedule
        The law of the forward process.
    shape : tuple of int
        The shape of one state x_t.
    dtype, state_dtype, device : torch.dtype, torch.dtype, torch.device
        The dtype of the network, that of the chain's arithmetic, and where states live.
    n_evaluations : int
        Noise predictions made so far (rows through the network), without those for pictures and
        for calibration.
    prompts_share_a_call : bool
        Whether several prompts may go through one call without changing each other's rows.
    leading_steps : int
        Steps that every run takes before the first one; their predictions are discarded.
    probe : tuple of float, optional
        Once loaded, the answers to fixed questions, which tell models of equal fingerprint apart.
    both_branches : bool
        Whether guided predictions are compared themselves, as they differ by more than w times the
        conditional ones.
    unnamed : sequence of str
        What in the model has no content that a cache could know it by, e.g. a user's function.
    law : str
        The law of the forward process and what the network says, in words.
    modules : sequence
        What in memory the model is made of.
    compiled, full_call : bool, int
        Whether the network is compiled, and for how many rows a call; shorter calls are filled up.
    travels : bool
        Whether it can be pickled.

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
    both_branches: bool = False
    unnamed: Sequence[str] = ()
    law: str = ""
    modules: Sequence[Any] = ()
    compiled: bool = False
    full_call: int = 0
    travels: bool = True

    def __getstate__(self) -> dict[str, Any]:
        """Leave the counters out, so that equal models have equal pickles and hashes."""
        return {n: v for n, v in vars(self).items() if n not in ("n_evaluations", "full_call")}

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digest of everything in the model that changes a prediction."""

    @abstractmethod
    def run(
        self, task: Task, prompts: Sequence[str], rows_per_prompt: int, guidance_scale: float
    ) -> list[Reading]:
        """Drive `task` through the model.

        Parameters
        ----------
        task : Task
            Its R rows are grouped by prompt.
        prompts : sequence of str, length P
        rows_per_prompt : int
            R / P.
        guidance_scale : float
            w of eps_0 + w (eps_y - eps_0); 1 is the conditional prediction.

        Returns
        -------
        readings : list of Reading, length P
        """

    @abstractmethod
    def decode(self, x0: torch.Tensor) -> np.ndarray:
        """Pictures of clean states ``(R, *shape)``: uint8 array of shape (R, H, W, 3)."""

    def render(self, x0: torch.Tensor) -> np.ndarray:
        """What the model makes of clean states: pictures in [0, 1] or sound, as floats (R, ...)."""
        return self.decode(x0) / 255

    @property
    def name(self) -> str:
        """Name of the model in messages and in the provenance of a result."""
        return type(self).__name__

    def load(self) -> Denoiser:
        """Bring the weights into memory, unless they are there; return the denoiser."""
        return self

    def refresh(self, ask: bool = False) -> None:  # noqa: B027
        """Notice what has changed in a model in memory; with `ask`, by its answers, too."""

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
        self,
        prompts: Sequence[str],
        draws: Sequence[int],
        chain: ChainSettings,
        *,
        one_by_one: bool = False,
    ) -> list[Trajectory]:
        """Run the reverse chains of each prompt for each draw.

        Parameters
        ----------
        prompts : sequence of str
        draws : sequence of int
            The numbers of the draws, which fix their noise.
        chain : ChainSettings
        one_by_one : bool
            Whether the chains of a draw run one after another instead of side by side.

        Returns
        -------
        trajectories : list of Trajectory
            One for each prompt, with len(draws) draws.

        Raises
        ------
        FloatingPointError
            The model predicts NaN or infinity.

        Notes
        -----
        The cost is len(prompts) * len(draws) * G predictions a step, twice that with guidance, and
        with guidance one more per node and draw for the prompt's own conditional predictions.
        """
        every = range(chain.chains_per_draw)
        calls = [[number] for number in every] if one_by_one else [list(every)]
        runs = [self._run_chains(prompts, draws, chain, numbers) for numbers in calls]
        traces, (readings, *_) = [trace for trace, _ in runs], [read for _, read in runs]
        # Chains take turns over the nodes: put what they recorded back in order.
        turns = [node // len(calls) for node in range(chain.grid.n_nodes)]
        order = [(node % len(calls), turn) for node, turn in enumerate(turns)]
        x, eps = (
            torch.stack([getattr(traces[i], name)[j] for i, j in order]) for name in ("x", "eps")
        )
        names = repeated(prompts, len(prompts) * len(draws))
        check_finite(eps.flatten(2).sum(2), chain.grid, names, self.dtype)
        check_ends(traces[0].x0, names, self.dtype)
        if chain.guidance_scale != 1 and not (chain.both_branches or self.both_branches):
            eps = self.predict_eps(prompts, x, chain.grid)
        whole = (x.transpose(0, 1), eps.transpose(0, 1), traces[0].x0.cpu())
        parts = zip(*(part.split(len(draws)) for part in whole), readings, strict=True)
        return [
            Trajectory(x.cpu().contiguous(), eps.cpu().contiguous(), x0, r.truncated, r.tokens)
            for x, eps, x0, r in parts
        ]

    def start(
        self,
        prompts: Sequence[str],
        draws: Sequence[int],
        chain: ChainSettings,
        chains: Sequence[int] | None = None,
    ) -> ReverseChain:
        """Reverse chains of this model at their noisy end, one for each prompt with its draw."""
        return ReverseChain(
            chain, prompts, draws, self.shape, self.device, self.state_dtype, chains
        )

    def _run_chains(
        self,
        prompts: Sequence[str],
        draws: Sequence[int],
        chain: ChainSettings,
        numbers: Sequence[int],
    ) -> tuple[Trace, list[Reading]]:
        """Run the chains of these numbers of every draw side by side."""
        rows = list(product(prompts, draws, numbers))
        names, which, chains = zip(*rows, strict=True)
        task = Trace(self.start(names, which, chain, chains), numbers)
        scale = chain.guidance_scale
        readings = self.run(task, prompts, len(rows) // len(prompts), scale)
        n_steps = len(chain.grid.times) + self.leading_steps
        self.n_evaluations += len(rows) * n_steps * (1 if scale == 1 else 2)
        return task, readings

    def predict(
        self, prompts: Sequence[str], x: torch.Tensor, eps: torch.Tensor, chain: ChainSettings
    ) -> torch.Tensor:
        """Energies ||eps_w,a - eps_w,b||^2 of guided predictions along recorded trajectories.

        Parameters
        ----------
        prompts : sequence of str, length P
            The targets b; rows are grouped by prompt.
        x, eps : tensors of shape ``(T, R, *shape)``
            The sources' states and own conditional predictions; R is a multiple of P.
        chain : ChainSettings
            The settings of the chain that visited the states.

        Returns
        -------
        energies : tensor of shape (T, R), on the CPU
            At least 0. With guidance the unconditional part cancels at equal x_t, so that energies
            are w^2 times the conditional ones and need no unconditional prediction, unless
            `both_branches` is set.

        Raises
        ------
        FloatingPointError
            The model predicts NaN or infinity.
        """
        scale = chain.guidance_scale
        both = chain.both_branches or self.both_branches
        task = Replay(chain.grid.nodes_only(), x.to(self.device), eps.to(self.device))
        self.replay(task, prompts, scale if both else 1.0)
        energies = torch.stack(task.energies).cpu() * (1 if both else scale**2)
        check_finite(energies, task.grid, repeated(prompts, x.shape[1]), self.dtype)
        return energies

    def predict_eps(self, prompts: Sequence[str], x: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Conditional noise predictions ``(T, R, *shape)`` along recorded states."""
        task = Replay(grid.nodes_only(), x.to(self.device))
        self.replay(task, prompts)
        eps = torch.stack(task.predictions)
        check_finite(eps.flatten(2).sum(2), task.grid, repeated(prompts, x.shape[1]), self.dtype)
        return eps

    def replay(
        self, task: Task, prompts: Sequence[str], guidance_scale: float = 1.0
    ) -> list[Reading]:
        """Drive a task along fixed states, by default with conditional predictions alone."""
        n_rows, branches = len(task.state), 1 if guidance_scale == 1 else 2
        readings = self.run(task, prompts, n_rows // len(prompts), guidance_scale)
        self.n_evaluations += branches * (len(task.grid.times) + self.leading_steps) * n_rows
        return readings
