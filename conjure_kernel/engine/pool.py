"""The shared pool of noisy points on which any number of prompts is scored, and its sketch.

With M points per node and `w_t` the quadrature weight of node t over M, a prompt y has the vector
of all `sqrt(w_t) (eps(x_m, t | y) - eps_m)`. Here `eps_m` is the prediction of the reference whose
chain visited x_m: an origin that all prompts share and that cancels in differences. The squared
distance of two such vectors is the pooled divergence. The vectors are far too long to be kept, so
each entry is added, with a random sign, to one of a few components as soon as it is known
(CountSketch: Charikar, Chen & Farach-Colton 2002), which keeps squared distances unbiased.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from conjure_kernel.engine.batches import Batches
from conjure_kernel.method.grid import Grid
from conjure_kernel.method.reverse import ChainSettings, random_signs
from conjure_kernel.models.finite import check_finite, repeated
from conjure_kernel.models.task import Reading, Trajectory

__all__ = ["Pool", "Sketching", "choose_references", "make_pool", "n_draws_needed"]


@dataclass(frozen=True)
class Pool:
    """Points (x_m, t) with their weights, in blocks of whole draws.

    Attributes
    ----------
    grid : Grid
        The noise levels, of which T are nodes.
    x, eps : tensors of shape (T, M, *shape)
        The states, and the origin: the predictions of the references themselves. Rows are ordered
        by block.
    scales : array of shape (T,)
        sqrt(w_t).
    n_blocks : int
        Number of blocks, B; each has M / B points per node and its own components.
    places, signs : tensors of shape (T, M, D), or None
        Component and sign of each of the D entries of a point; None keeps all entries.
    n_components : int
        Length of a prompt's vector.
    """

    grid: Grid
    x: torch.Tensor
    eps: torch.Tensor
    scales: np.ndarray
    n_blocks: int
    places: torch.Tensor | None
    signs: torch.Tensor | None
    n_components: int

    @property
    def n_points(self) -> int:
        """Number of points per node, M."""
        return self.x.shape[1]

    @property
    def n_predictions(self) -> int:
        """Noise predictions that a prompt costs."""
        return self.x.shape[0] * self.n_points

    def jobs(self, prompts: Sequence[str], batches: Batches) -> Iterator[Sketching]:
        """Jobs of full calls, each for some of the prompts."""
        width = batches.width(self.n_points)
        for start in range(0, len(prompts), width):
            yield Sketching(list(prompts[start : start + width]), self)


class Sketching(NamedTuple):
    """Job that computes the vectors of these prompts."""

    prompts: list[str]
    pool: Pool

    def do(self, batches: Batches, chain: ChainSettings) -> list:
        """Vectors (n_prompts, n_components), float32, and the `Reading` of each prompt."""
        vectors, readings = self._sketch(batches, self.prompts, slice(0, self.pool.n_points))
        return [vectors.cpu().numpy(), readings]

    def _sketch(
        self, batches: Batches, prompts: list[str], rows: slice
    ) -> tuple[torch.Tensor, list[Reading]]:
        """Vectors and readings from these rows of the pool; a call that does not fit is halved."""
        n_rows, pool = rows.stop - rows.start, self.pool
        task = _Sketch(pool, rows, len(prompts), batches.denoiser.device)
        done = batches.attempt(
            lambda: batches.denoiser.replay(task, prompts), len(prompts) * n_rows
        )
        if done is not None:
            sums = torch.stack(task.sums)
            names = repeated(prompts, len(prompts) * n_rows)
            check_finite(sums, task.grid, names, batches.denoiser.dtype)
            return task.vectors, done
        if len(prompts) > 1:
            half = len(prompts) // 2
            parts = [self._sketch(batches, p, rows) for p in (prompts[:half], prompts[half:])]
            return torch.cat([v for v, _ in parts]), [r for _, read in parts for r in read]
        middle = rows.start + n_rows // 2
        halves = (slice(rows.start, middle), slice(middle, rows.stop))
        (left, readings), (right, _) = (self._sketch(batches, prompts, half) for half in halves)
        return left + right, readings


class _Sketch:
    """Task along some rows of a pool that adds each prediction to the vectors at once."""

    def __init__(self, pool: Pool, rows: slice, n_prompts: int, device: torch.device) -> None:
        self.grid, self._pool, self._rows, self._n = pool.grid.nodes_only(), pool, rows, n_prompts
        self._repeat = (n_prompts, *[1] * (pool.x.ndim - 2))
        self._device, self._step = device, 0
        self.vectors = torch.zeros(n_prompts, pool.n_components, device=device)
        self.sums: list[torch.Tensor] = []

    @property
    def state(self) -> torch.Tensor:
        node = min(self._step, len(self._pool.x) - 1)
        return self._pool.x[node, self._rows].to(self._device).repeat(*self._repeat)

    def step(self, eps: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pool, t, rows = self._pool, self._step, self._rows
        origin = pool.eps[t, rows].to(self._device).flatten(1)
        gaps = (eps.reshape(self._n, *origin.shape) - origin) * float(pool.scales[t])
        self.sums.append(gaps.sum(2).flatten())
        if pool.places is None or pool.signs is None:
            width = origin.shape[1]
            every = self.vectors.view(self._n, pool.n_points, len(pool.x), width)
            every[:, rows, t] = gaps.float()
        else:
            signs, places = (v[t, rows].to(self._device) for v in (pool.signs, pool.places))
            self.vectors.index_add_(1, places.flatten(), (gaps * signs).flatten(1).float())
        self._step += 1
        return self.state, eps


def choose_references(prompts: Sequence[str], n_references: int, seed: int) -> list[str]:
    """Some of the prompts, drawn at random: all have equal chances, and no prediction is made.

    Choosing them far apart, by k-means++, finds no more neighbours (docs/embedding.md).

    Parameters
    ----------
    prompts : sequence of str
        The distinct prompts. If they are no more than `n_references`, all of them are chosen.
    n_references : int
    seed : int
        The seed of the choice.

    Returns
    -------
    references : list of str
        In the order of the prompts.
    """
    if len(prompts) <= n_references:
        return list(prompts)
    chosen = np.random.default_rng(seed).choice(len(prompts), n_references, replace=False)
    return [prompts[i] for i in sorted(chosen)]


def make_pool(
    chains: Mapping[str, Trajectory],
    chain: ChainSettings,
    weights: np.ndarray,
    *,
    n_points: int,
    n_blocks: int,
    n_components: int | None,
) -> Pool:
    """Make a pool of points on the references' chains, which need `n_draws_needed` draws.

    Parameters
    ----------
    chains : mapping of reference prompt to Trajectory
    chain : ChainSettings
        The settings with which the chains were traced.
    weights : array of shape (T,)
        Quadrature weight of each node.
    n_points : int
        Number of points per node, M, a multiple of B. References take turns over points and nodes,
        so that even few points come from many chains.
    n_blocks : int
        Number of blocks, B: block k has the draws k, k + B, ... and no others.
    n_components : int, optional
        Length of a prompt's vector, a multiple of B; None keeps every entry of every prediction.

    Returns
    -------
    pool : Pool
    """
    names, per_block = list(chains), n_points // n_blocks
    points = [_take_turns(t, len(names), n_points, n_blocks) for t in range(len(weights))]
    x, eps = (
        torch.stack(
            [
                torch.stack([getattr(chains[names[r]], part)[k, t] for r, k in row])
                for t, row in enumerate(points)
            ]
        )
        for part in ("x", "eps")
    )
    scales = np.sqrt(weights / n_points) * chain.guidance_scale
    size = math.prod(x.shape[2:])
    places = signs = None
    if n_components is not None:
        width = n_components // n_blocks
        places = torch.empty(*x.shape[:2], size, dtype=torch.int64)
        signs = torch.empty(places.shape)
        for t, row in enumerate(points):
            for m, (r, k) in enumerate(row):
                place, signs[t, m] = random_signs(size, width, chain.seed, names[r], k, t)
                places[t, m] = place + (m // per_block) * width
    return Pool(
        grid=chain.grid,
        x=x,
        eps=eps,
        scales=scales,
        n_blocks=n_blocks,
        places=places,
        signs=signs,
        n_components=x.shape[0] * x.shape[1] * size if n_components is None else n_components,
    )


def n_draws_needed(n_references: int, n_points: int, n_blocks: int) -> int:
    """Number of draws of each reference that such a pool needs."""
    return n_blocks * math.ceil(n_points / n_blocks / n_references)


def _take_turns(t: int, n: int, n_points: int, n_blocks: int) -> list[tuple[int, int]]:
    """Reference and draw of each point of node t, among n references."""
    per_block, stride = n_points // n_blocks, max(1, n // n_points)
    return [
        ((t + i * stride) % n, i // per_block + n_blocks * (i % per_block // n))
        for i in range(n_points)
    ]
