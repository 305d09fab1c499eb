"""What fixes an energy, other than the model, the prompts and the draws. Layer 3."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from conjure_kernel.denoiser import Denoiser
from conjure_kernel.reverse import Chain
from conjure_kernel.schedule import Grid

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """Everything that fixes the energies but the model, the prompts and the draws."""

    n_steps: int = 10
    substeps: int = 2
    sampler: str = "sde"
    guidance_scale: float = 1.0
    log_snr_range: tuple[float, float] | None = None
    nodes: str = "log_snr"
    seed: int = 0
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

    def chain(self, grid: Grid) -> Chain:
        """How trajectories are run on these noise levels."""
        return Chain(grid, self.sampler, self.guidance_scale, self.seed, self.shared_noise)
