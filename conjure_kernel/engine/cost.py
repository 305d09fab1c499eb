"""`Plan`: what a measurement will cost, in numbers and as a few lines of text."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from conjure_kernel._table import Facts

__all__ = ["Plan", "duration"]


@dataclass(frozen=True, repr=False)
class Plan(Facts):
    """The cost of a measurement; it prints as a few lines.

    Attributes
    ----------
    n_prompts, n_pairs : int
        Numbers of distinct prompts and pairs; for neighbours, the largest possible number of pairs.
    n_predictions : int
        Noise predictions still to be made. With `tol`, those for the draws with which every pair
        starts; for neighbours, those needed if all candidates are mutual and drop out early.
    most_predictions : int
        With `tol`, the predictions needed if every pair takes `max_draws`; for neighbours, if no
        candidates are mutual or drop out; else `n_predictions`.
    n_cached : int or None
        Predictions that the cache saves. For neighbours it is not known, and the cache is not
        deducted.
    disk_bytes : int
        By how much the cache grows at most.
    location : str or None
        The folder of the cache; None keeps everything in memory.
    memory_bytes : int
        About how much memory the results take in this process, beside the model and its batch.
    cheapest_chains, cheapest_share : int, float
        The `chains_per_draw` with the fewest predictions for one error of J, from an empty cache,
        and these in shares of those with the number that is set. The variances behind it are those
        of the embedded model.
    rate : float or None
        Predictions per second, measured just now. If nothing is to be done, it is None, and so are
        the attributes that follow.
    batch_size, device, dtype : int, str, str
        Rows a network call, and the device and dtype for which `rate` was measured.
    device_memory_bytes : int or None
        Peak memory on a GPU while `rate` was measured, with the model; None on other devices.
    depends_on : str
        What decides between `n_predictions` and `most_predictions`, in words.
    """

    n_prompts: int
    n_pairs: int
    n_predictions: int
    most_predictions: int
    n_cached: int | None
    disk_bytes: int
    location: str | None
    memory_bytes: int
    cheapest_chains: int
    cheapest_share: float
    rate: float | None = None
    batch_size: int | None = None
    device: str | None = None
    dtype: str | None = None
    device_memory_bytes: int | None = None
    depends_on: str = "tol needs"

    @property
    def seconds(self) -> float:
        """Time that `n_predictions` take at `rate` in one process."""
        return self.n_predictions / self.rate if self.rate else 0.0

    @property
    def most_seconds(self) -> float:
        """Time that `most_predictions` take at `rate` in one process."""
        return self.most_predictions / self.rate if self.rate else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All attributes and times, JSON-able."""
        return {**asdict(self), "seconds": self.seconds, "most_seconds": self.most_seconds}

    def _facts(self) -> dict[str, str]:
        work, time = f"{self.n_predictions:,}", f"about {duration(self.seconds)}"
        if self.most_predictions > self.n_predictions:
            work += f" to {self.most_predictions:,}, as {self.depends_on}"
            time += f", at most {duration(self.most_seconds)}"
        known = self.n_cached is not None
        cached = f"the cache has {self.n_cached:,}" if known else "less what the cache has"
        lines = {
            "prompts": f"{self.n_prompts:,}, {self.n_pairs:,} pairs",
            "noise predictions": f"{work}; {cached}",
        }
        if round(self.cheapest_share, 2) < 1:
            lines["chains a draw"] = (
                f"chains_per_draw={self.cheapest_chains} would need {self.cheapest_share:.2f} of "
                "the predictions for the same error"
            )
        if self.rate:
            here = f"{self.device}, {self.dtype}, {self.batch_size} rows a call"
            lines["time"] = f"{time}, at {self.rate:,.0f} a second (timed now: {here})"
        if self.location:
            lines["disk"] = f"{_size(self.disk_bytes)} more in {self.location}"
        lines["memory"] = f"{_size(self.memory_bytes)}, beside the model"
        if self.device_memory_bytes is not None:
            lines["GPU memory"] = f"{_size(self.device_memory_bytes)}, model included"
        return lines


def duration(seconds: float) -> str:
    """Write a time in hours or minutes if there are at least two of them, else in seconds."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{round(seconds / size)} {unit}"
    return f"{max(1, round(seconds))} s"


def _size(n_bytes: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes / 1e3:.3g} kB"
