"""How long a training goes on, and at what rate: `--steps` and `--minutes`."""

from __future__ import annotations

import argparse

WARM = 100  # steps in which the rate rises


class Scheduled:
    """A training whose learning rate falls linearly to zero, by its steps or by the clock."""

    args: argparse.Namespace
    step: int
    seconds: float

    @property
    def left(self) -> float:
        """The share of the schedule that is left, by steps or by time, whichever is less."""
        minutes = self.args.minutes or float("inf")
        return max(0.0, 1 - max(self.step / self.args.steps, self.seconds / 60 / minutes))

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self.args.rate * self.left * min(1.0, (self.step + 1) / WARM)
