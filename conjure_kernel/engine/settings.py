"""What fixes an energy, other than the model, the prompts and the draws."""

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
    """Everything that fixes the energies but the model, the prompts and the draws."""

    n_steps: int = Parameters.n_steps
    substeps: int = Parameters.substeps
    sampler: str = Parameters.sampler
    guidance_scale: float = Parameters.guidance_scale
    log_snr_range: tuple[float, float] | None = Parameters.log_snr_range
    nodes: str = Parameters.nodes
    seed: int = Parameters.random_state
    shared_noise: bool = False

    def key(self, denoiser: Denoiser) -> dict[str, Any]:
        """Fields of the cache key: never device, batch size, path or object identity."""
        model = {"dtype": str(denoiser.dtype), "fingerprint": denoiser.fingerprint}
        return {**asdict(self), **model}

    def n_predictions(self, n_chains: int, n_replays: int) -> int:
        """Noise predictions of tracing chains, and of replaying chains under one target each."""
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
        return ChainSettings(grid, self.sampler, self.guidance_scale, self.seed, self.shared_noise)


class BothBranches(Settings):
    """Settings whose guided comparisons need the unconditional predictions, too."""

    def n_predictions(self, n_chains: int, n_replays: int) -> int:  # noqa: D102
        branches = 1 if self.guidance_scale == 1 else 2
        return branches * self.n_steps * (n_chains * self.substeps + n_replays)
