"""One step of the reverse chain, and the noise that drives it.

With half-log-SNR step h, x0 the clean prediction and D1 = (x0_i - x0_{i-1}) h / h_prev::

    ODE  x' = (s'/s) x        + a' [ (1 - e^-h)  x0 + ((h - 1 + e^-h) / h)         D1 ]
    SDE  x' = (s'/s) e^-h x   + a' [ (1 - e^-2h) x0 + (1 - (1 - e^-2h) / (2h))     D1 ] + s' r z

with r = sqrt(1 - e^-2h). These exponential integrators are exact for x0 linear in log-SNR
(DPM-Solver++ 2M with the "heun" coefficient; Lu et al. 2022, arXiv 2211.01095). First order drops
D1; the first-order ODE step is DDIM.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from conjure_kernel._checks import check_choice
from conjure_kernel.method.schedule import Grid

__all__ = ["SAMPLERS", "ChainSettings", "ReverseChain", "keyed_generator", "random_signs"]
__all__ += ["standard_normal"]

START = -1


class Sampler(NamedTuple):
    """Whether the chain is the reverse SDE or the probability-flow ODE, and its steps' order."""

    stochastic: bool
    order: int


SAMPLERS = {
    "sde": Sampler(stochastic=True, order=2),
    "ode": Sampler(stochastic=False, order=2),
    "sde1": Sampler(stochastic=True, order=1),
    "ode1": Sampler(stochastic=False, order=1),
}


@dataclass(frozen=True)
class ChainSettings:
    """How trajectories are run: everything that fixes them but the model, prompts and draws.

    Attributes
    ----------
    grid : Grid
        The noise levels.
    sampler : {"sde", "ode", "sde1", "ode1"}
        One of the `SAMPLERS`: second order unless the name ends in 1.
    guidance_scale : float
        w of eps_w = eps_0 + w (eps_y - eps_0), along the trajectory.
    seed : int
        The seed of all noise.
    shared_noise : bool
        Whether draw k uses the same noise for every prompt (pictures, `explain`). By default it is
        independent, which has the smaller variance for a divergence.
    both_branches : bool
        Whether guided predictions themselves are compared, which costs two branches. By default
        conditional predictions times w are compared: between prompts of one model that is the
        same, as the unconditional part cancels.

    Raises
    ------
    ValueError
        `sampler` is none of these.
    """

    grid: Grid
    sampler: str = "sde"
    guidance_scale: float = 1.0
    seed: int = 0
    shared_noise: bool = False
    both_branches: bool = False

    def __post_init__(self) -> None:
        check_choice(self.sampler, "sampler", tuple(SAMPLERS))


def standard_normal(
    shape: Sequence[int], *, seed: int, prompt: str, draw: int, step: int
) -> torch.Tensor:
    """Float32 normal numbers that depend on (seed, prompt, draw, step) and on nothing else."""
    generator = keyed_generator(seed, draw, step, prompt)
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)


def random_signs(n: int, n_bins: int, *key: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Bin in [0, n_bins) and sign (+-1) of each of n entries; they depend on the key alone."""
    numbers = torch.randint(2 * n_bins, (n,), generator=keyed_generator("sketch", *key))
    return numbers // 2, 2.0 * (numbers % 2) - 1


def keyed_generator(*key: object) -> torch.Generator:
    """CPU generator that depends on its key alone; no global random state is touched."""
    name = "\x1f".join(map(str, key)).encode()
    number = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
    return torch.Generator().manual_seed(number)


class ReverseChain:
    """The states of R reverse chains, advanced one noise prediction at a time.

    Parameters
    ----------
    chain : ChainSettings
        The law of the chain.
    prompts, draws : sequences of length R
        The prompt and the draw of each row, which fix its noise.
    shape : tuple of int
        The shape of one state.
    device, dtype : torch.device, torch.dtype
        Where the states live, and their dtype: float32 whatever the network's own, or float64.
    """

    def __init__(
        self,
        chain: ChainSettings,
        prompts: Sequence[str],
        draws: Sequence[int],
        shape: Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.chain, self.shape = chain, tuple(shape)
        self._rows = list(zip(prompts, draws, strict=True))
        self._device, self._dtype = device, dtype
        self._step, self._previous_x0 = 0, torch.empty(0)
        grid = chain.grid
        self._start = self._noise(START)
        # Flow models have alpha^2 + sigma^2 < 1: the noisiest state is not quite z.
        self.x = math.hypot(grid.alpha[0], grid.sigma[0]) * self._start

    def advance(self, eps: torch.Tensor) -> torch.Tensor:
        """Move every row to the next level; return the clean prediction x0 at the level it left."""
        grid, i = self.chain.grid, self._step
        x0 = (self.x - grid.sigma[i] * eps) / grid.alpha[i]
        if i == 0 and not grid.is_node[0]:
            self.x = grid.alpha[0] * x0 + grid.sigma[0] * self._start
        if i + 1 < len(grid.log_snr):
            self.x = self._next_state(i, x0)
        self._previous_x0, self._step = x0, i + 1
        return x0

    def _next_state(self, i: int, x0: torch.Tensor) -> torch.Tensor:
        grid, sampler = self.chain.grid, SAMPLERS[self.chain.sampler]
        h = float(grid.log_snr[i + 1] - grid.log_snr[i]) / 2
        decay = math.exp(-h) if sampler.stochastic else 1.0
        rate = 2 * h if sampler.stochastic else h
        gain = -math.expm1(-rate)
        x = (grid.sigma[i + 1] / grid.sigma[i] * decay) * self.x + (grid.alpha[i + 1] * gain) * x0
        if i > 0 and sampler.order == 2:
            h_previous = float(grid.log_snr[i] - grid.log_snr[i - 1]) / 2
            slope = (x0 - self._previous_x0) * (h / h_previous)
            x = x + (grid.alpha[i + 1] * (1 - gain / rate)) * slope
        if sampler.stochastic:
            x = x + (grid.sigma[i + 1] * math.sqrt(gain)) * self._noise(i)
        return x

    def _noise(self, step: int) -> torch.Tensor:
        """Make noise row by row, so that batches, order and further draws cannot shift it."""
        chain = self.chain
        rows = [
            standard_normal(
                self.shape,
                seed=chain.seed,
                prompt="" if chain.shared_noise else prompt,
                draw=draw,
                step=step,
            )
            for prompt, draw in self._rows
        ]
        noise = torch.stack(rows)
        if torch.device(self._device).type == "cuda":
            noise = noise.pin_memory()  # so that the copy waits for nothing on the GPU
        return noise.to(device=self._device, dtype=self._dtype, non_blocking=True)
