"""Tasks, which take one noise prediction of a model at each step, and what they result in.

`Trace` runs the reverse chain and records states and predictions at the nodes, as a `Trajectory`.
`Replay` goes along recorded states, whatever the model predicts there, and compares predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from conjure_kernel.method.grid import Grid
from conjure_kernel.method.reverse import ReverseChain

__all__ = ["Filled", "Reading", "Replay", "Task", "Trace", "Trajectory"]


@dataclass
class Trajectory:
    """The states that the reverse chains of one prompt visited.

    Attributes
    ----------
    x : tensor of shape (K, T, *shape)
        States at the nodes as the network saw them, in its dtype.
    eps : tensor of shape (K, T, *shape)
        The prompt's own conditional noise predictions there.
    x0 : tensor of shape (K, *shape)
        Clean prediction at the end of each chain, which is decoded to its picture.
    truncated : bool
        Whether every text encoder lost a part of the prompt.
    tokens : str
        Digest of the tokens that the text encoders were given.
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
        """Trajectory of the same prompt with further draws."""
        x, eps, x0 = (torch.cat([getattr(self, n), getattr(more, n)]) for n in ("x", "eps", "x0"))
        return Trajectory(x, eps, x0, more.truncated, more.tokens)


@dataclass(frozen=True)
class Reading:
    """What the text encoders read of one prompt.

    Attributes
    ----------
    truncated : bool
        Whether every text encoder lost a part of the prompt.
    tokens : str
        Digest of the tokens that they were given.
    """

    truncated: bool = False
    tokens: str = ""


class Task(Protocol):
    """What is done with the predictions along a chain of noise levels."""

    @property
    def grid(self) -> Grid:
        """The noise levels."""

    @property
    def state(self) -> torch.Tensor:
        """The first states at which noise is predicted, (R, *shape)."""

    def step(self, eps: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take the prediction at x_t; return the next states and the clean prediction."""


@dataclass
class Trace:
    """Task that runs the reverse chain and records (x_t, eps, x0) at the nodes.

    Rows go through `chains`, the numbers of a draw's chains, in turn; a node is recorded along the
    chain whose turn it is, so that `x` and `eps` have the rows of one chain a draw, and only at the
    nodes `served` by one of these chains. `x0` is that of the first chain.
    """

    reverse: ReverseChain
    chains: Sequence[int] = (0,)
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
            turn = int(self.grid.is_node[: self._step].sum()) % self.reverse.chain.chains_per_draw
            if turn in self.chains:
                mine = slice(self.chains.index(turn), None, len(self.chains))
                self.x.append(x_t[mine].clone())
                self.eps.append(eps[mine].clone())
        self._step += 1
        clean = self.reverse.advance(eps)
        self.x0 = clean[:: len(self.chains)]
        return self.reverse.x, clean


@dataclass
class Replay:
    """Task that predicts along recorded states x (T, R, *shape).

    With `eps` it keeps the `energies` ||prediction - eps||^2 (T, R), else the `predictions`.
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


class Filled:
    """Task whose last row is repeated until a call is full."""

    def __init__(self, task: Task, n_rows: int) -> None:
        self.grid, self._task, self._n_more = task.grid, task, n_rows - len(task.state)

    @property
    def state(self) -> torch.Tensor:  # noqa: D102
        return self._fill(self._task.state)

    def step(self, eps: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: D102
        own = len(x_t) - self._n_more
        state, x0 = self._task.step(eps[:own], x_t[:own])
        return self._fill(state), self._fill(x0)

    def _fill(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([rows, rows[-1:].expand(self._n_more, *rows.shape[1:])])
