"""The settings, which together with the model, the prompts and the draws fix an energy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from conjure_kernel.engine.parameters import Parameters
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.method.schedule import Grid
from conjure_kernel.models.denoiser import Denoiser

__all__ = ["BothBranches", "Settings"]


@dataclass(frozen=True)
class Settings:
    """Everything that fixes the energies but the model, the prompts and the draws.

    The fields are the parameters of a measurement; `seed` is what `random_state` was resolved to,
    and `shared_noise` is that of `ChainSettings`.
    """

    n_steps: int = Parameters.n_steps
    substeps: int = Parameters.substeps
    sampler: str = Parameters.sampler
    guidance_scale: float = Parameters.guidance_scale
    log_snr_range: tuple[float, float] | None = Parameters.log_snr_range
    nodes: str = Parameters.nodes
    seed: int = Parameters.random_state
    shared_noise: bool = False

    def key(self, denoiser: Denoiser) -> dict[str, Any]:
        """Fields of the cache key: without device, batch size, path and object identity."""
        model = {"dtype": str(denoiser.dtype), "fingerprint": denoiser.fingerprint}
        return {**asdict(self), **model}

    def n_predictions(self, n_chains: int, n_replays: int) -> int:
        """Noise predictions that tracing chains and replaying them under one target each cost."""
        branches = 1 if self.guidance_scale == 1 else 2
        chain = self.n_steps * (self.substeps * branches + branches - 1)
        return n_chains * chain + n_replays * self.n_steps

    def grid(self, denoiser: Denoiser) -> Grid:
        """Noise levels for a loaded model."""
        return denoiser.make_grid(
            self.n_steps,
            substeps=self.substeps,
            log_snr_range=self.log_snr_range,
            nodes=self.nodes,
        )

    def chain(self, grid: Grid) -> ChainSettings:
        """How trajectories are run on these noise levels."""
        return ChainSettings(
            grid,
            sampler=self.sampler,
            guidance_scale=self.guidance_scale,
            seed=self.seed,
            shared_noise=self.shared_noise,
        )


class BothBranches(Settings):
    """Settings whose guided comparisons need the unconditional predictions too."""

    def n_predictions(self, n_chains: int, n_replays: int) -> int:  # noqa: D102
        branches = 1 if self.guidance_scale == 1 else 2
        return branches * self.n_steps * (n_chains * self.substeps + n_replays)
