"""Chains of prompts that share their noise, and what each prompt predicts along those of others.

Noise is predicted for two prompts at the same noisy points. The squared difference of the two
predictions, times the weight of the level, is a density in nats: its sum over pixels and levels is
a leg of J.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from conjure_kernel._checks import quote
from conjure_kernel.engine.batches import Batches
from conjure_kernel.engine.opening import open_engine, refuse_origin
from conjure_kernel.engine.parameters import EXPLAINED_DRAWS
from conjure_kernel.method.grid import Grid
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.task import Trajectory

__all__ = ["SharedChains", "density"]


class SharedChains:
    """Whole chains of prompts from one noise, in memory; the model is loaded at first use.

    Parameters
    ----------
    settings : mapping
        The settings of `pairwise_divergence`; with a folder to keep things in, or with workers, a
        ValueError is raised.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        _refuse(settings)
        self.engine = open_engine({"n_draws": EXPLAINED_DRAWS, **settings, "memory": None})
        refuse_origin(self.engine, "what is shown adds up to J itself")
        self.settings = replace(self.engine.settings, shared_noise=True, chains_per_draw=1)
        self.n_draws = self.engine.n_draws
        self._batch_size = settings.get("batch_size", "auto")

    @cached_property
    def denoiser(self) -> Denoiser:
        """The loaded model."""
        self.engine.load()
        return self.engine.denoiser

    @cached_property
    def grid(self) -> Grid:
        """The noise levels."""
        return self.engine.grid

    @cached_property
    def chain(self) -> ChainSettings:
        """How the chains are run."""
        return self.settings.chain(self.grid)

    @cached_property
    def weights(self) -> np.ndarray:
        """What a squared difference of unguided predictions counts at each level, (T,)."""
        return self.grid.weights(self.engine.weighting) * self.settings.guidance_scale**2

    @cached_property
    def batches(self) -> Batches:
        """Calls of the model that fit."""
        return Batches(self.denoiser, self._batch_size)

    def n_predictions(self, n_chains: int, n_replays: int) -> int:
        """Noise predictions of all draws of prompts' chains, and of replays under one target."""
        return self.settings.n_predictions(n_chains * self.n_draws, n_replays * self.n_draws)

    def trace(self, prompts: Sequence[str]) -> list[Trajectory]:
        """The chains of each prompt; equal prompts have the same."""
        chains = {p: along for group in self._groups(prompts) for p, along in group.items()}
        return [chains[prompt] for prompt in prompts]

    def score(self, prompts: Sequence[str], along: Sequence[Trajectory]) -> list[torch.Tensor]:
        """Noise predictions of each prompt along chains of another one, (K, T, *shape) each.

        Several prompts share a call if they fit; one alone may go along many chains.
        """
        if len(prompts) > 1 and len(prompts) * self.n_draws > self.batches.size:
            pairs = zip(prompts, along, strict=True)
            return [eps for one, chains in pairs for eps in self.score([one], [chains])]
        x = torch.cat([chains.x for chains in along]).transpose(0, 1)
        parts = x.split(self.batches.size, 1) if len(prompts) == 1 else [x]
        eps = [self.denoiser.predict_eps(prompts, part, self.grid).cpu() for part in parts]
        return list(torch.cat(eps, 1).transpose(0, 1).split(self.n_draws))

    def beside(
        self, prompt: str, whole: Trajectory, others: Sequence[str], size: tuple[int, ...]
    ) -> Iterator[tuple[str, Trajectory, np.ndarray]]:
        """Each other prompt, its chains, and nats per pixel between both, as the mean of legs.

        No more chains are kept than a call makes.
        """
        for group in self._groups(others):
            theirs = self.score(list(group), [whole] * len(group))
            ours = self.score([prompt], list(group.values()))
            for (other, along), eps, own in zip(group.items(), theirs, ours, strict=True):
                legs = self.leg(whole, eps, size) + self.leg(along, own, size)
                yield other, along, legs / 2

    def leg(self, along: Trajectory, eps: torch.Tensor, size: tuple[int, ...]) -> np.ndarray:
        """Nats per pixel (K, T, *pixels) by which predictions along a prompt's chains differ."""
        return density(along.eps, eps, self.weights, size)

    def _groups(self, prompts: Sequence[str]) -> Iterator[dict[str, Trajectory]]:
        """The chains of different prompts, as many at a time as a call makes."""
        different, width = list(dict.fromkeys(prompts)), self.batches.width(self.n_draws)
        for start in range(0, len(different), width):
            group = different[start : start + width]
            traced = self.batches.trace(group, range(self.n_draws), self.chain)
            yield dict(zip(group, traced, strict=True))


def density(
    eps_a: torch.Tensor, eps_b: torch.Tensor, weights: np.ndarray, size: tuple[int, ...]
) -> np.ndarray:
    """Nats per pixel (K, T, *pixels) of two predictions (K, T, *shape).

    `size` is the height and width of the picture; it says how tokens are arranged.
    """
    squares = ((eps_a - eps_b).double() ** 2).numpy()
    shape = squares.shape[2:]
    if len(shape) == 3:  # channels, height, width
        squares = squares.sum(2)
    elif len(shape) == 2:  # tokens, channels: rows and columns by the picture's proportions
        squares = squares.sum(3)
        rows = round(math.sqrt(shape[0] * size[0] / size[1]))
        if rows * rows * size[1] == shape[0] * size[0]:
            squares = squares.reshape(*squares.shape[:2], rows, -1)
    return squares * weights.reshape(-1, *[1] * (squares.ndim - 2))


def _refuse(settings: Mapping[str, Any]) -> None:
    """Raise a ValueError for settings that could have no effect; "auto" is the default."""
    if (memory := settings.get("memory")) not in (None, "auto"):
        raise ValueError(
            f"memory={quote(memory)}: expected None, as nothing is cached here; leave it out."
        )
    if (n_jobs := settings.get("n_jobs")) not in (None, 1):
        raise ValueError(
            f"n_jobs={quote(n_jobs)}: expected None or 1, as nothing is sent to workers here; "
            "leave it out."
        )
