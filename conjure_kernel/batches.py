"""Network calls that are full and that fit: packing of rows, and halving when memory runs out.

Layer 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

import numpy as np
import torch

from conjure_kernel.denoiser import Denoiser, Trajectory
from conjure_kernel.reverse import Chain

__all__ = ["Batches", "Block", "Call", "Row"]

# Numbers in a batch of states that a device usually takes; rows beyond 128 gain little.
BATCH_NUMBERS = {"cpu": 2**15, "cuda": 2**20, "mps": 2**18}
LARGEST_BATCH = 128

# Rows that fitted after memory ran out, by model and device: remembered for the session.
_FITTING: dict[tuple[str, str], int] = {}


Row: TypeAlias = tuple[str, int]  # (source, draw)


class Block(NamedTuple):
    """Rows (source, draw) of states along which one target is to be predicted."""

    target: str
    rows: tuple[Row, ...]


class Call(NamedTuple):
    """Blocks of equally many rows that share a network call, and where their states stand."""

    blocks: list[Block]
    places: np.ndarray

    @classmethod
    def of(cls, blocks: list[Block], place: Mapping[Row, int]) -> Call:
        """Call of these blocks, given the place of each row."""
        return cls(blocks, np.array([place[row] for block in blocks for row in block.rows]))


class Batches:
    """Calls of a denoiser with at most `size` rows.

    Parameters
    ----------
    denoiser : Denoiser
        Loaded.
    size : int or "auto"
        Rows a call; halved, and remembered, when memory runs out.
    """

    def __init__(self, denoiser: Denoiser, size: int | str = "auto") -> None:
        if isinstance(size, str):
            numbers = BATCH_NUMBERS.get(torch.device(denoiser.device).type, BATCH_NUMBERS["cpu"])
            size = max(1, min(LARGEST_BATCH, numbers // int(np.prod(denoiser.shape))))
        self._here = (denoiser.fingerprint, str(denoiser.device))
        self.denoiser, self.size = denoiser, min(size, _FITTING.get(self._here, size))

    def width(self, n_draws: int) -> int:
        """Prompts whose draws are traced in one call."""
        return max(1, self.size // n_draws) if self.denoiser.prompts_share_a_call else 1

    def pack(self, blocks: Iterable[Block]) -> Iterator[list[Block]]:
        """Neighbouring blocks of equally many rows that share one call."""
        share = self.denoiser.prompts_share_a_call
        for n_rows, group in groupby(blocks, key=lambda block: len(block.rows)):
            call: list[Block] = []
            for block in group:
                if call and (not share or (len(call) + 1) * n_rows > self.size):
                    yield call
                    call = []
                call.append(block)
            yield call

    def predict(
        self, targets: Sequence[str], x: torch.Tensor, eps: torch.Tensor, chain: Chain
    ) -> torch.Tensor:
        """Energies (T, R) of rows grouped by target; a call that does not fit is halved."""
        n_rows = x.shape[1]
        if n_rows <= self.size:
            try:
                return self.denoiser.predict(targets, x, eps, chain)
            except RuntimeError as error:
                self._halve_or_raise(error, n_rows)
            _free()
        if len(targets) == 1:
            left, right, cut = targets, targets, n_rows // 2
        else:
            middle = len(targets) // 2
            left, right = targets[:middle], targets[middle:]
            cut = middle * (n_rows // len(targets))
        parts = (
            self.predict(left, x[:, :cut], eps[:, :cut], chain),
            self.predict(right, x[:, cut:], eps[:, cut:], chain),
        )
        return torch.cat(parts, 1)

    def trace(self, prompts: Sequence[str], draws: range, chain: Chain) -> list[Trajectory]:
        """Trajectories of each prompt for these draws; a call that does not fit is halved."""
        n_rows = len(prompts) * len(draws)
        if n_rows <= self.size:
            try:
                return self.denoiser.trace(prompts, draws, chain)
            except RuntimeError as error:
                self._halve_or_raise(error, n_rows)
            _free()
        if len(prompts) > 1:
            half = len(prompts) // 2
            return self.trace(prompts[:half], draws, chain) + self.trace(
                prompts[half:], draws, chain
            )
        half = len(draws) // 2
        first, rest = (self.trace(prompts, part, chain) for part in (draws[:half], draws[half:]))
        return [chain.extend(more) for chain, more in zip(first, rest, strict=True)]

    def _halve_or_raise(self, error: RuntimeError, n_rows: int) -> None:
        if not _is_out_of_memory(error) or n_rows == 1:
            raise error
        self.size = _FITTING[self._here] = n_rows // 2


def _free() -> None:
    """Hand the failed call's memory back; after its exception, which holds on to the tensors."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _is_out_of_memory(error: RuntimeError) -> bool:
    signs = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError) or any(s in str(error) for s in signs)
