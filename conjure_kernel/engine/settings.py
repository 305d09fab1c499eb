"""The settings, which together with the model, the prompts and the draws fix an energy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from conjure_kernel.engine.parameters import Parameters
from conjure_kernel.method.grid import Grid
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.models.denoiser import Denoiser

__all__ = ["BothBranches", "Settings"]


@dataclass(frozen=True)
class Settings:
    """Everything that fixes the energies but the model, the prompts and the draws.

    The fields are the parameters of a measurement; `seed` is what `random_state` was resolved to,
    `role` is that of `ChainSettings`, and with `thin` chains take every second step (`steps.py`).
    """

    n_steps: int = Parameters.n_steps
    substeps: int = Parameters.substeps
    sampler: str = Parameters.sampler
    guidance_scale: float = Parameters.guidance_scale
    log_snr_range: tuple[float, float] | None = Parameters.log_snr_range
    nodes: str = Parameters.nodes
    seed: int = Parameters.random_state
    shared_noise: bool = Parameters.shared_noise
    chains_per_draw: int = Parameters.chains_per_draw
    role: int = 0
    thin: bool = False

    def key(self, denoiser: Denoiser) -> dict[str, Any]:
        """Fields of the cache key: without device, batch size, path and object identity."""
        model = {"dtype": str(denoiser.dtype), "fingerprint": denoiser.fingerprint}
        return {**asdict(self), **model}

    @property
    def n_nodes(self) -> int:
        """Noise levels at which energies are measured."""
        return (self.n_steps + 1) // 2 if self.thin and self.substeps % 2 else self.n_steps

    @property
    def has_plain_chain(self) -> bool:
        """Whether a chain takes n_steps * substeps steps; else the model's grid tells."""
        return not self.thin and self.log_snr_range is None

    def n_predictions(self, n_chains: int, n_replays: int, n_chain_steps: int | None = None) -> int:
        """Noise predictions that tracing chains and replaying them under one target each cost."""
        n_steps = n_chain_steps or self.n_steps * self.substeps
        branches = 1 if self.guidance_scale == 1 else 2
        chain = self.chains_per_draw * n_steps * branches + self.n_nodes * (branches - 1)
        return n_chains * chain + n_replays * self.n_nodes

    def grid(self, denoiser: Denoiser) -> Grid:
        """Noise levels for a loaded model."""
        grid = denoiser.make_grid(
            self.n_steps,
            substeps=self.substeps,
            log_snr_range=self.log_snr_range,
            nodes=self.nodes,
        )
        return grid.thinned() if self.thin else grid

    def chain(self, grid: Grid) -> ChainSettings:
        """How trajectories are run on these noise levels."""
        return ChainSettings(
            grid,
            sampler=self.sampler,
            guidance_scale=self.guidance_scale,
            seed=self.seed,
            role=self.role,
            chains_per_draw=self.chains_per_draw,
            shared_noise=self.shared_noise,
        )


class BothBranches(Settings):
    """Settings whose guided comparisons need the unconditional predictions too."""

    def n_predictions(  # noqa: D102
        self, n_chains: int, n_replays: int, n_chain_steps: int | None = None
    ) -> int:
        branches = 1 if self.guidance_scale == 1 else 2
        n_steps = n_chain_steps or self.n_steps * self.substeps
        n_steps *= self.chains_per_draw
        return branches * (n_chains * n_steps + n_replays * self.n_nodes)
