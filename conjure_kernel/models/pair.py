"""Two models that share a latent space, as one `Denoiser` whose prompts name the model.

In this way everything that compares two prompts under one model compares one prompt under two.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from conjure_kernel._checks import AccuracyWarning
from conjure_kernel.method.grid import Grid, common_range, with_lead_in
from conjure_kernel.method.reverse import ChainSettings, standard_normal
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.task import Reading, Task, Trajectory

__all__ = ["SIDES", "ModelPair", "bare"]

SIDES = ("model a: ", "model b: ")
SAME = 0.25  # of the decoded contrast; different autoencoders differ by more than all of it
LEAST_CONTRAST = 1 / 255
LEVEL_GAP = 0.01  # in log-SNR


class ModelPair(Denoiser):
    """Two models as one; each prompt begins with one of `SIDES`, which names its model.

    The noise levels are those of the model with the coarser dtype. The states of a trajectory are
    those of its own model: at one log-SNR, the states of two Gaussian processes differ by a factor.

    Parameters
    ----------
    model_a, model_b : Denoiser
        The models. `load` raises a ValueError if their latent spaces differ.
    """

    def __init__(self, model_a: Denoiser, model_b: Denoiser) -> None:
        self.models = (model_a, model_b)
        self._order()
        self.compiled = model_a.compiled or model_b.compiled

    @property
    def n_evaluations(self) -> int:  # type: ignore[override]  # noqa: D102
        return sum(model.n_evaluations for model in {id(m): m for m in self.models}.values())

    @property
    def fingerprint(self) -> str:  # noqa: D102
        parts = "|".join(f"{model.fingerprint} {model.dtype}" for model in self.models)
        return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()

    @property
    def unnamed(self) -> Sequence[str]:  # type: ignore[override]  # noqa: D102
        return [name for model in self.models for name in model.unnamed]

    @property
    def law(self) -> str:  # type: ignore[override]  # noqa: D102
        return "; ".join(dict.fromkeys(model.law for model in self.models))

    def refresh(self, ask: bool = False) -> None:  # noqa: D102
        for model in self.models:
            model.refresh(ask)
        if all(model.probe is not None for model in self.models):
            self.load()

    @property
    def name(self) -> str:  # noqa: D102
        return " and ".join(model.name for model in self.models)

    def load(self) -> ModelPair:  # noqa: D102
        model_a, model_b = (model.load() for model in self.models)
        _check_apart(model_a, model_b)
        _check_one_space(model_a, model_b)
        self._order()
        self.shape, self.schedule = model_a.shape, self._leader.schedule
        self.device, self.state_dtype = model_a.device, model_a.state_dtype
        self.probe = (*(model_a.probe or ()), *(model_b.probe or ())) or None
        self.prompts_share_a_call = all(model.prompts_share_a_call for model in self.models)
        return self

    def _order(self) -> None:
        """Let the model with the coarser dtype choose the noise levels."""
        model_a, model_b = self._leader, self._finer = self.models
        if _coarseness(model_b) > _coarseness(model_a):
            self._finer, self._leader = model_a, model_b
        self.dtype = self._leader.dtype

    def make_grid(self, n_steps: int, **options: Any) -> Grid:  # noqa: D102
        schedules = [model.schedule for model in self.models]
        common = common_range(schedules, options.pop("log_snr_range"))
        grid = self._leader.make_grid(n_steps, log_snr_range=common, **options)
        n_common = len(grid.times) - grid.n_lead
        times = self._grid_of(self._finer, grid).times[-n_common:]
        gap = np.abs(self._finer.schedule.log_snr(times) - grid.log_snr[-n_common:]).max()
        if gap > LEVEL_GAP:
            warnings.warn(
                f"the models' noise levels differ by up to {gap:.2g} in log-SNR, as both "
                'round their model times; load them with dtype="float32".',
                category=AccuracyWarning,
                stacklevel=6,
            )
        return grid

    def trace(  # noqa: D102
        self,
        prompts: Sequence[str],
        draws: Sequence[int],
        chain: ChainSettings,
        *,
        one_by_one: bool = False,
    ) -> list[Trajectory]:
        trajectories: dict[str, Trajectory] = {}
        for side, model, places in self._by_model(prompts):
            own = [prompts[i] for i in places]
            role = chain.role + SIDES.index(side)  # the legs must be independent
            of_model = self.chain_of(model, chain, role)
            chains = model.trace(bare(own), draws, of_model, one_by_one=one_by_one)
            for prompt, trajectory in zip(own, chains, strict=True):
                trajectories[prompt] = replace(trajectory, tokens=side + trajectory.tokens)
        return [trajectories[prompt] for prompt in prompts]

    def predict(  # noqa: D102
        self, prompts: Sequence[str], x: torch.Tensor, eps: torch.Tensor, chain: ChainSettings
    ) -> torch.Tensor:
        energies = torch.empty(x.shape[:2], dtype=eps.dtype)
        n = x.shape[1] // len(prompts)
        for _, model, places in self._by_model(prompts):
            rows = [i * n + k for i in places for k in range(n)]
            which = torch.tensor(rows).to(x.device)
            seen, known = (states.index_select(1, which) for states in (x, eps))
            states = self._handed_over(seen, eps.dtype, model, chain.grid)
            own = self.chain_of(model, chain, chain.role)
            targets = bare([prompts[i] for i in places])
            energies[:, rows] = model.predict(targets, states, known, own).to(eps.dtype)
        return energies

    def run(  # noqa: D102
        self, task: Task, prompts: Sequence[str], rows_per_prompt: int, guidance_scale: float
    ) -> list[Reading]:
        return self._leader.run(task, bare(prompts), rows_per_prompt, guidance_scale)

    def decode(self, x0: torch.Tensor) -> np.ndarray:  # noqa: D102
        return self.models[0].decode(x0)

    def _by_model(self, prompts: Sequence[str]) -> Iterator[tuple[str, Denoiser, list[int]]]:
        for side, model in zip(SIDES, self.models, strict=True):
            if places := [i for i, prompt in enumerate(prompts) if prompt.startswith(side)]:
                model.full_call = self.full_call
                yield side, model, places

    def chain_of(self, model: Denoiser, chain: ChainSettings, role: int) -> ChainSettings:
        """The same chain in a model's own times and amplitudes, with the noise of this role."""
        return replace(chain, grid=self._grid_of(model, chain.grid), role=role, both_branches=True)

    def _grid_of(self, model: Denoiser, grid: Grid) -> Grid:
        """The same log-SNRs with a model's own times and amplitudes, from its own noisy end."""
        times = grid.times
        if model is not self._leader:
            times = model.snap(model.schedule.time(grid.log_snr))
        alpha, sigma = model.schedule.alpha_sigma(grid.log_snr)
        own = replace(grid, times=times, alpha=alpha, sigma=sigma)
        return with_lead_in(own, model.schedule, model.snap)

    def _handed_over(
        self, x: torch.Tensor, dtype: torch.dtype, model: Denoiser, grid: Grid
    ) -> torch.Tensor:
        """States (T, R, *shape) of the other model's trajectories, on the scale of `model`."""
        other = self.models[model is self.models[0]]
        own, its = (m.schedule.alpha_sigma(grid.node_log_snr)[0] for m in (model, other))
        if (own == its).all():
            return x
        factor = torch.as_tensor(own / its, dtype=dtype).to(x.device)
        return x.to(dtype) * factor.reshape(-1, *[1] * (x.ndim - 1))


def bare(prompts: Sequence[str]) -> list[str]:
    """Prompts without the names of their models."""
    return [prompt[len(SIDES[0]) :] for prompt in prompts]


def _coarseness(model: Denoiser) -> float:
    return torch.finfo(model.dtype).eps if model.dtype.is_floating_point else 0.0


def _check_apart(model_a: Denoiser, model_b: Denoiser) -> None:
    """Raise a ValueError if two models are made of the very same modules."""
    if model_a is not model_b and model_a.modules and model_a.modules == model_b.modules:
        raise ValueError(
            f"models: expected two models, but {model_a!r} and {model_b!r} share their modules, so "
            "that an adapter on one is on the other, too; build the second with its own "
            "from_pretrained."
        )


def _check_one_space(model_a: Denoiser, model_b: Denoiser) -> None:
    """Raise a ValueError unless the models' states have one shape and one meaning when decoded."""
    if model_a is model_b:
        return
    if model_a.shape != model_b.shape:
        raise ValueError(
            "models: expected a shared latent space, but the states of "
            f"{model_a!r} are {model_a.shape}, those of {model_b!r} {model_b.shape}; give both one "
            "height and width with model_kwargs, or compare their distances with `conjure agree`."
        )
    state = standard_normal((1, *model_a.shape), seed=0, prompt="", draw=0, step=0)
    seen, other = (model.render(state) for model in (model_a, model_b))
    apart = np.inf
    if seen.shape == other.shape:
        apart = np.sqrt(np.square(seen - other).mean()) / max(LEAST_CONTRAST, seen.std())
    if not apart <= SAME:
        raise ValueError(
            f"models: expected a shared latent space, but {model_a!r} and {model_b!r} decode one "
            f"state to different pictures or sounds (apart by {apart:.2g} of their contrast, at "
            f"most {SAME} is allowed), as they have different autoencoders or scale their latents "
            "differently; compare their distances with `conjure agree`."
        )
