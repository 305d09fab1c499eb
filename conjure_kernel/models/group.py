"""Models that share a latent space, as one `Denoiser` whose prompts name the model.

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

__all__ = ["SIDES", "ModelGroup", "bare"]

SIDES = ("model a: ", "model b: ", "model c: ")
SAME = 0.25  # of the decoded contrast; different autoencoders differ by more than all of it
LEAST_CONTRAST = 1 / 255
LEVEL_GAP = 0.01  # in log-SNR


class ModelGroup(Denoiser):
    """One to three models as one; each prompt begins with one of `SIDES`, which names its model.

    The noise levels are those of the model with the coarsest dtype. The states of a trajectory are
    those of its own model: at one log-SNR, the states of two Gaussian processes differ by a factor.

    Parameters
    ----------
    models : Denoiser
        The models. `load` raises a ValueError if their latent spaces differ.
    within : bool
        Whether prompts of one model are compared, too, as they always are unless there are two
        models. The states of all models must then have one scale.
    roles : sequence of int, optional
        The role of each model's noise: models of different roles have independent chains. Default:
        0, 1, ...
    kept : dict, optional
        Where trajectories are kept and looked for, so that groups that share a model trace it once.
    """

    def __init__(
        self,
        *models: Denoiser,
        within: bool = False,
        roles: Sequence[int] | None = None,
        kept: dict[Any, Trajectory] | None = None,
    ) -> None:
        self.models, self.kept, self.within = models, kept, within or len(models) != 2
        self.roles = tuple(range(len(models)) if roles is None else roles)
        self._order()
        self.compiled = any(model.compiled for model in models)

    @property
    def n_evaluations(self) -> int:  # type: ignore[override]  # noqa: D102
        return sum(model.n_evaluations for model in {id(m): m for m in self.models}.values())

    @property
    def fingerprint(self) -> str:  # noqa: D102
        parts = "|".join(f"{model.fingerprint} {model.dtype}" for model in self.models)
        if self.roles != tuple(range(len(self.models))):
            parts += f"|{self.roles}"
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

    def load(self) -> ModelGroup:  # noqa: D102
        first, *others = (model.load() for model in self.models)
        for model in others:
            _check_apart(first, model)
            _check_one_space(first, model)
        self._order()
        self.shape, self.schedule = first.shape, self._leader.schedule
        self.device, self.state_dtype = first.device, first.state_dtype
        self.probe = tuple(answer for model in self.models for answer in model.probe or ()) or None
        self.prompts_share_a_call = all(model.prompts_share_a_call for model in self.models)
        return self

    def _order(self) -> None:
        """Let the model with the coarsest dtype choose the noise levels."""
        self._leader = max(self.models, key=_coarseness)
        self.dtype = self._leader.dtype

    def make_grid(self, n_steps: int, **options: Any) -> Grid:  # noqa: D102
        schedules = [model.schedule for model in self.models]
        common = common_range(schedules, options.pop("log_snr_range"))
        grid = self._leader.make_grid(n_steps, log_snr_range=common, **options)
        n_common, gap = len(grid.times) - grid.n_lead, 0.0
        for model in self.models:
            times = self._grid_of(model, grid).times[-n_common:]
            apart = np.abs(model.schedule.log_snr(times) - grid.log_snr[-n_common:]).max()
            gap = max(gap, 0.0 if model is self._leader else apart)
        if gap > LEVEL_GAP:
            warnings.warn(
                f"the models' noise levels differ by up to {gap:.2g} in log-SNR, as all "
                'round their model times; load them with dtype="float32".',
                category=AccuracyWarning,
                stacklevel=6,
            )
        if self.within:
            _check_one_scale(self.models, grid)
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
            role = chain.role + self.roles[SIDES.index(side)]  # the legs must be independent
            of_model, kept = self.chain_of(model, chain, role), self.kept
            about = None if kept is None else _describe(model, draws, of_model)
            names = {prompts[i]: (about, bare([prompts[i]])[0]) for i in places}
            own = [prompt for prompt, name in names.items() if name not in (kept or {})]
            chains = model.trace(bare(own), draws, of_model, one_by_one=one_by_one) if own else []
            found = dict(zip((names[prompt] for prompt in own), chains, strict=True))
            if kept is not None:
                kept |= found
                found = kept
            for prompt, name in names.items():
                trajectories[prompt] = replace(found[name], tokens=side + found[name].tokens)
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
        for side, model in zip(SIDES, self.models, strict=False):
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
        if self.within:
            return x  # of one scale
        other = self.models[model is self.models[0]]
        own, its = (m.schedule.alpha_sigma(grid.node_log_snr)[0] for m in (model, other))
        if (own == its).all():
            return x
        factor = torch.as_tensor(own / its, dtype=dtype).to(x.device)
        return x.to(dtype) * factor.reshape(-1, *[1] * (x.ndim - 1))


def bare(prompts: Sequence[str]) -> list[str]:
    """Prompts without the names of their models."""
    return [prompt[len(SIDES[0]) :] for prompt in prompts]


def _describe(model: Denoiser, draws: Sequence[int], chain: ChainSettings) -> tuple:
    """What tells a model's chains from others, beside their prompt."""
    grid = chain.grid
    numbers = {name: value for name, value in vars(chain).items() if name != "grid"}
    levels = grid.times.tobytes(), grid.log_snr.tobytes()
    return id(model), tuple(draws), tuple(numbers.items()), levels


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


def _check_one_scale(models: Sequence[Denoiser], grid: Grid) -> None:
    """Raise a ValueError unless the states of all models have one scale at equal log-SNR."""
    scales = [model.schedule.alpha_sigma(grid.log_snr)[0] for model in models]
    if any((scale != scales[0]).any() for scale in scales):
        raise ValueError(
            "models: expected models of one process, but their states differ in scale at equal "
            "log-SNR (one is variance preserving and another a flow, say); compare them two by two "
            "with ConjureDrift.fit."
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
