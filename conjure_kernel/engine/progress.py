"""How far a measurement is, and how long the rest takes, as its last calls tell."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

from tqdm.auto import tqdm

from conjure_kernel.models.denoiser import Denoiser

__all__ = ["Progress", "Tell"]

TELL_AFTER, FEWEST_CALLS = 2.0, 4  # seconds, and calls, without the first
clock = time.monotonic

T = TypeVar("T")
Tell: TypeAlias = Callable[[int, float], None]


class Progress(tqdm):
    """Bar of noise predictions, whose rate is that of the last half of them.

    The first call, which warms up, is left out, and the small calls with which a measurement may
    begin soon count no more.

    Parameters
    ----------
    total : int
        Predictions to come.
    shown : bool
        Whether the bar is drawn.
    tell : callable, optional
        Where no bar is drawn: called once, after the first seconds, with the predictions that are
        left and their number per second.
    """

    def __init__(self, total: int, shown: bool, tell: Tell | None = None) -> None:
        self._made, self._n_calls = 0, 0
        self._calls = deque[tuple[float, int]]()
        self._left, self._tell = total, None if shown else tell
        options: dict[str, Any] = {"unit": "pred", "unit_scale": True, "leave": False}
        super().__init__(total=total, disable=not shown, **options)

    def along(self, done: Iterable[T], denoiser: Denoiser) -> Iterator[T]:
        """Pass on what is done, and count what the model has predicted for it."""
        before = denoiser.n_evaluations
        for result in done:
            self.add(denoiser.n_evaluations - before)
            before = denoiser.n_evaluations
            yield result

    def add(self, n_predictions: int) -> None:
        """Count the predictions of a call that has just ended."""
        calls, self._made = self._calls, self._made + n_predictions
        self._left -= n_predictions
        calls.append((clock(), self._made))
        self._n_calls += 1
        while len(calls) > 2 and calls[1][1] <= self._made / 2:
            calls.popleft()
        self.update(n_predictions)
        enough = self._n_calls > FEWEST_CALLS and calls[-1][0] - calls[0][0] >= TELL_AFTER
        if self._tell and enough and (rate := self.rate):
            self._tell(self._left, rate)
            self._tell = None

    @property
    def rate(self) -> float | None:
        """Predictions per second; None before the second call."""
        if not self._calls:
            return None
        (begun, before), (now, made) = self._calls[0], self._calls[-1]
        return (made - before) / (now - begun) if now > begun else None

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the bar shows."""
        return {**super().format_dict, "rate": self.rate}
