"""What is driven through a model, one noise prediction a step, and what comes of it.

`Trace` runs the reverse chain and records states and predictions at the nodes; `Replay` walks along
recorded states, whatever the model says there, and compares. A `Trajectory` is what a trace leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch

from conjure_kernel.method.reverse import ReverseChain
from conjure_kernel.method.schedule import Grid

__all__ = ["Reading", "Replay", "Task", "Trace", "Trajectory"]


@dataclass
class Trajectory:
    """What the reverse chains of one prompt visited.

    Attributes
    ----------
    x : tensor of shape (K, T, *shape)
        States at the nodes as the network saw them, in its dtype.
    eps : tensor of shape (K, T, *shape)
        The prompt's own conditional noise predictions there.
    x0 : tensor of shape (K, *shape)
        Clean prediction at the end of each chain: the picture that was conjured.
    truncated : bool
        Every text encoder lost part of the prompt.
    tokens : str
        Digest of what the text encoders were given.
    """

    x: torch.Tensor
    eps: torch.Tensor
    x0: torch.Tensor
    truncated: bool = False
    tokens: str = ""

    @property
    def n_draws(self) -> int:
        """Number of draws, K."""
        return len(self.x)

    def extend(self, more: Trajectory) -> Trajectory:
        """The same prompt with further draws."""
        x, eps, x0 = (torch.cat([getattr(self, n), getattr(more, n)]) for n in ("x", "eps", "x0"))
        return Trajectory(x, eps, x0, more.truncated, more.tokens)


@dataclass(frozen=True)
class Reading:
    """What the text encoders made of one prompt."""

    truncated: bool = False
    tokens: str = ""


class Task(Protocol):
    """Something to do along a chain of noise levels."""

    @property
    def grid(self) -> Grid:
        """The levels."""

    @property
    def state(self) -> torch.Tensor:
        """States to predict at first, shape (R, *shape)."""

    def step(self, eps: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take the prediction at x_t; return the next states and the clean prediction."""


@dataclass
class Trace:
    """Run the reverse chain; record (x_t, eps, x0) at the nodes."""

    reverse: ReverseChain
    x: list[torch.Tensor] = field(default_factory=list)
    eps: list[torch.Tensor] = field(default_factory=list)
    x0: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    _step: int = 0

    @property
    def grid(self) -> Grid:  # noqa: D102
        return self.reverse.chain.grid

    @property
    def state(self) -> torch.Tensor:  # noqa: D102
        return self.reverse.x

    def step(self, eps: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: D102
        if self.grid.is_node[self._step]:
            self.x.append(x_t.clone())
            self.eps.append(eps.clone())
        self._step += 1
        self.x0 = self.reverse.advance(eps)
        return self.reverse.x, self.x0


@dataclass
class Replay:
    """Predict along recorded states x (T, R, *shape).

    With `eps`, reduces ||prediction - eps||^2 at once to `energies` (T, R); else keeps predictions.
    """

    grid: Grid
    x: torch.Tensor
    eps: torch.Tensor | None = None
    energies: list[torch.Tensor] = field(default_factory=list)
    predictions: list[torch.Tensor] = field(default_factory=list)
    _step: int = 0

    @property
    def state(self) -> torch.Tensor:  # noqa: D102
        return self.x[0]

    def step(self, eps: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: D102
        if self.eps is None:
            self.predictions.append(eps.clone())
        else:
            gap = (eps - self.eps[self._step]).flatten(1)
            self.energies.append(gap.square().sum(1))
        self._step = min(self._step + 1, len(self.x) - 1)
        return self.x[self._step], eps
