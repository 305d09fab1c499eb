"""Network calls that are full and that fit: packing, the best size, halving if memory runs out."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch

from conjure_kernel.cache.folder import BATCH_SIZES, read_json, replace
from conjure_kernel.engine.threads import may_choose, threads
from conjure_kernel.method.grid import make_grid
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.task import Replay, Trajectory

__all__ = ["Batches", "Block", "Call", "Row"]

# Numbers in a batch of states that a device usually takes; rows beyond 128 gain little.
BATCH_NUMBERS = {"cpu": 2**15, "cuda": 2**20, "mps": 2**18}
LARGEST_BATCH = 128

# The best size is looked for where the search costs little beside what is to come.
WORTH_A_SEARCH = 50_000  # predictions
SEARCH_SECONDS = 5.0
RATE_SECONDS = 3.0
LARGEST_SEARCHED = 4096
SMALL_STATE = 1024  # numbers in a state up to which several threads gain next to nothing
ONE_THREAD = 1.1  # times the time of several that one thread may take

# Rows that fitted after memory ran out, by model and device: remembered for the session.
_FITTING: dict[tuple[str, str], int] = {}
_BEST: dict[str, int] = {}


Row: TypeAlias = tuple[str, int]  # (source, draw)
T = TypeVar("T")


class Block(NamedTuple):
    """The rows (source, draw) of states along which one target is predicted."""

    target: str
    rows: tuple[Row, ...]


class Call(NamedTuple):
    """Blocks of equally many rows that share a network call, and the places of their states."""

    blocks: list[Block]
    places: np.ndarray

    @classmethod
    def of(cls, blocks: list[Block], place: Mapping[Row, int]) -> Call:
        """Call of these blocks, where `place` is the index of each row's state."""
        return cls(blocks, np.array([place[row] for block in blocks for row in block.rows]))


class Batches:
    """Calls of a denoiser with at most `size` rows.

    Parameters
    ----------
    denoiser : Denoiser
        A loaded model.
    size : int or "auto"
        Rows a call. When memory runs out, it is halved, and remembered for the session.
    """

    def __init__(self, denoiser: Denoiser, size: int | str = "auto") -> None:
        if automatic := isinstance(size, str):
            numbers = BATCH_NUMBERS.get(torch.device(denoiser.device).type, BATCH_NUMBERS["cuda"])
            size = max(1, min(LARGEST_BATCH, numbers // int(np.prod(denoiser.shape))))
        self._tuned = not automatic or denoiser.compiled  # a search would compile each size
        self.n_threads: int | None = None  # those of torch
        self._on_cpu = may_choose(torch.device(denoiser.device))
        if self._on_cpu and int(np.prod(denoiser.shape)) <= SMALL_STATE:
            self.n_threads = 1
        self._here = (denoiser.fingerprint, str(denoiser.device))
        self.denoiser, self.size = denoiser, min(size, _FITTING.get(self._here, size))

    def tune_batch_size(self, prompt: str, n_predictions: int, folder: Path | None) -> None:
        """Choose the best size for this model and machine, measured once and kept in `folder`.

        On a CPU also whether one thread does instead of several, unless their number was set.
        """
        if self._tuned or n_predictions < WORTH_A_SEARCH:
            return
        self._tuned, name = True, _describe(self.denoiser)
        size = self._once(name, lambda: self._search(prompt), folder)
        self.size = min(size, _FITTING.get(self._here, LARGEST_SEARCHED))
        if self._on_cpu:
            search = partial(self._search_threads, prompt)
            self.n_threads = self._once(f"{name}, threads of a call", search, folder)

    def _once(self, name: str, search: Callable[[], int], folder: Path | None) -> int:
        """What a search has found, in this process or in the file of an earlier one."""
        if name not in _BEST:
            known = _read_sizes(folder / BATCH_SIZES) if folder else {}
            if name not in known:
                known[name] = search()
                if folder:
                    with suppress(OSError):
                        replace(folder / BATCH_SIZES, json.dumps(known, indent=1).encode())
            _BEST[name] = known[name]
        return _BEST[name]

    def _search_threads(self, prompt: str) -> int:
        """One thread, where it is not slower than all of them by more than a tenth."""
        seconds, self.n_threads = {}, None
        for number in (torch.get_num_threads(), 1):
            with threads(number):
                seconds[number] = min(self._time(prompt, self.size) for _ in range(3))
        several = max(seconds)
        return 1 if seconds[1] <= ONE_THREAD * seconds[several] else several

    def _search(self, prompt: str) -> int:
        """Smallest size within 5 % of the best rate, among sizes doubled while that helps."""
        rates: dict[int, float] = {}
        begun, size, best = time.monotonic(), 1, 0.0
        self._time(prompt, 1)  # warms up
        while size <= LARGEST_SEARCHED and time.monotonic() - begun < SEARCH_SECONDS:
            try:
                rates[size] = size / min(self._time(prompt, size) for _ in range(2))
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                break
            if max(rates[size], rates.get(size // 2, 0)) < 1.03 * best:
                break  # neither this doubling nor the last one gained
            best, size = max(best, rates.get(size // 2, 0)), 2 * size
        _free()
        return min((n for n, r in rates.items() if r >= 0.95 * max(rates.values())), default=1)

    def rate(self, prompt: str, n_steps: int, n_rows: int) -> tuple[float, int]:
        """Predictions per second, timed for a few seconds, and rows a call, at most n_rows."""
        seconds, n_calls = 0.0, -1  # the first one warms up
        while seconds < RATE_SECONDS:
            size = min(n_rows, self.size)
            try:
                spent = self._time(prompt, size, n_steps)
            except RuntimeError as error:
                self._halve_or_raise(error, size)
                continue
            seconds, n_calls = seconds + (spent if n_calls >= 0 else 0), n_calls + 1
        return n_calls * n_steps * size / seconds, size

    def _time(self, prompt: str, n_rows: int, n_steps: int = 1) -> float:
        """Seconds that one call takes."""
        denoiser, shape = self.denoiser, (n_steps, n_rows, *self.denoiser.shape)
        denoiser.full_call = self.size
        x = torch.zeros(shape, device=denoiser.device, dtype=denoiser.dtype)
        begun, task = time.perf_counter(), Replay(make_grid(denoiser.schedule, n_steps), x)
        with threads(self.n_threads):
            denoiser.run(task, [prompt], n_rows, 1.0)
        float(task.predictions[0].sum())  # waits for the device
        return time.perf_counter() - begun

    def width(self, n_draws: int) -> int:
        """Prompts whose draws are traced in one call."""
        return max(1, self.size // n_draws) if self.denoiser.prompts_share_a_call else 1

    def pack(self, blocks: Iterable[Block]) -> Iterator[list[Block]]:
        """Consecutive blocks of equally many rows that share one call."""
        together = self.denoiser.prompts_share_a_call
        for n_rows, group in groupby(blocks, key=lambda block: len(block.rows)):
            call: list[Block] = []
            for block in group:
                if call and (not together or (len(call) + 1) * n_rows > self.size):
                    yield call
                    call = []
                call.append(block)
            yield call

    def predict(
        self, targets: Sequence[str], x: torch.Tensor, eps: torch.Tensor, chain: ChainSettings
    ) -> torch.Tensor:
        """Energies (T, R) of rows grouped by target; a call that does not fit is halved."""
        n_rows = x.shape[1]
        done = self.attempt(lambda: self.denoiser.predict(targets, x, eps, chain), n_rows)
        if done is not None:
            return done
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

    def trace(self, prompts: Sequence[str], draws: range, chain: ChainSettings) -> list[Trajectory]:
        """Trajectories of each prompt for these draws; a call that does not fit is halved."""
        n_rows = len(prompts) * len(draws) * chain.chains_per_draw
        done = self.attempt(lambda: self.denoiser.trace(prompts, draws, chain), n_rows)
        if done is not None:
            return done
        if len(prompts) > 1:
            half = len(prompts) // 2
            return self.trace(prompts[:half], draws, chain) + self.trace(
                prompts[half:], draws, chain
            )
        if len(draws) > 1:
            half = len(draws) // 2
            parts = (self.trace(prompts, part, chain) for part in (draws[:half], draws[half:]))
            return [first.extend(more) for first, more in zip(*parts, strict=True)]
        return self.denoiser.trace(prompts, draws, chain, one_by_one=True)

    def attempt(self, call: Callable[[], T], n_rows: int) -> T | None:
        """Result of a call of n_rows rows; None if they are too many for the memory."""
        if n_rows <= self.size:
            try:
                self.denoiser.full_call = self.size
                with threads(self.n_threads):
                    return call()
            except RuntimeError as error:
                self._halve_or_raise(error, n_rows)
            _free()
        return None

    def _halve_or_raise(self, error: RuntimeError, n_rows: int) -> None:
        if not _is_out_of_memory(error) or n_rows == 1:
            raise error
        self.size = _FITTING[self._here] = n_rows // 2


def _read_sizes(path: Path) -> dict[str, int]:
    """Sizes that were measured before, by device and model; any other entry is left out."""
    sizes = read_json(path).items()
    return {n: s for n, s in sizes if type(s) is int and 1 <= s <= LARGEST_SEARCHED}


def _describe(denoiser: Denoiser) -> str:
    """Name of a device, a dtype and a model together."""
    device = torch.device(denoiser.device)
    place = f"{platform.machine()} {device.type}, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        place = torch.cuda.get_device_name(device)
    return f"{place}, {denoiser.dtype}, {denoiser.fingerprint}"


def _free() -> None:
    """Give back the memory of a failed call, once its exception no longer holds the tensors."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _is_out_of_memory(error: RuntimeError) -> bool:
    signs = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError) or any(s in str(error) for s in signs)
