"""Where two meanings differ: at which noise levels, in which pixels, and in which pictures.

The density of J in pixels and levels is that of `shared_chains`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from conjure_kernel._checks import check_number, check_prompts
from conjure_kernel._table import Sheet, Shown, with_error
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.engine.reading import report_reading
from conjure_kernel.engine.shared_chains import SharedChains
from conjure_kernel.method.grid import Grid
from conjure_kernel.method.reverse import ChainSettings, ReverseChain
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.finite import decoded
from conjure_kernel.models.task import Trajectory

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True, repr=False)
class Explanation(Shown):
    """Where and when the meanings of two prompts differ, along K chains of each; see `explain`.

    Attributes
    ----------
    prompts : (str, str)
        The prompts a and b.
    heat : float64 array of shape ``(2, K, T, *pixels)``
        Nats per pixel of each leg (chains of a, chains of b), draw and noise level. The pixels,
        (height, width), are those of the state, which the network sees: for a latent model, each is
        a square of the picture. A state without a known grid keeps its positions in one axis.
    views : uint8 array of shape (2, 2, T, height, width, 3)
        The clean image predicted at each level of one chain: [whose chain, under which prompt].
    morph : uint8 array of shape (T + 1, height, width, 3)
        The end of that chain of a if b takes over at `switch_log_snr`: from all b to all a.
    switch_log_snr : array of shape (T + 1,)
        The levels at which b takes over. The last is the clean end of the range, where it never
        does.
    grid : Grid
        The noise levels.
    draw : int
        The draw whose chain the pictures show.
    provenance : dict
        The model's fingerprint, the settings and the versions of packages.

    Notes
    -----
    Both prompts share their noise, as for pictures: their chains start at one state and can be
    compared by eye. `pairwise_divergence` uses independent noise, so its J differs from
    `divergence`, within both standard errors.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": [0.7, 0.0], "a cat": [-0.4, 0.0]})
    >>> explanation = explain("a dog", "a cat", model=world)
    >>> explanation.heat.shape, explanation.profile.shape
    ((2, 4, 10, 2), (10,))
    """

    prompts: tuple[str, str]
    heat: np.ndarray
    views: np.ndarray
    morph: np.ndarray
    switch_log_snr: np.ndarray
    grid: Grid
    draw: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def divergence(self) -> float:
        """J in nats: `heat` summed over pixels and levels, its mean over legs and draws."""
        return float(self.profile.sum())

    @property
    def standard_error(self) -> float:
        """Monte Carlo standard error of J; NaN with one draw."""
        return float(_standard_error(self._profile_draws.sum(-1)))

    @property
    def profile(self) -> np.ndarray:
        """Part of J that each noise level holds, (T,), noisiest first; sums to J."""
        return self._profile_draws.mean(0)

    @property
    def profile_standard_errors(self) -> np.ndarray:
        """Monte Carlo standard error of the profile, (T,); NaN with one draw."""
        return _standard_error(self._profile_draws)

    @property
    def _profile_draws(self) -> np.ndarray:
        # Shared noise correlates the legs, so the error comes from their sum, draw by draw.
        return self.heat.reshape(*self.heat.shape[:3], -1).sum(-1).mean(0)

    def _shown(self) -> Sheet:
        (a, b), j = self.prompts, with_error(self.divergence, self.standard_error)
        shares = self.profile.tolist(), self.profile_standard_errors.tolist()
        levels = zip(self.grid.node_log_snr, *shares, strict=True)
        rows = [[f"{level:.3g}", with_error(value, error)] for level, value, error in levels]
        return f"J of {a!r} and {b!r}: {j} nats", ["log-SNR", "nats"], rows, len(rows)


def explain(a: str, b: str, *, draw: int = 0, **settings: Any) -> Explanation:
    """Show where (pixels) and when (noise levels) the meanings of two prompts differ.

    Parameters
    ----------
    a, b : str
        The prompts.
    draw : int
        The draw, from 0, whose chain is shown in pictures.
    **settings
        The settings of `pairwise_divergence`; n_draws is 4 by default, as whole chains are run,
        and there is no check of the steps. Nothing is cached or sent to workers: a folder as
        `memory`, and `n_jobs` above 1, are refused. With guidance the chains are guided, and
        `views` are what the model predicts for each prompt without it.

    Returns
    -------
    explanation : Explanation
        Arrays. A notebook shows J at each noise level; `plot.plot_explanation` makes a picture.

    Raises
    ------
    ValueError, TypeError
        A prompt or a setting is not valid, or there is no such draw.

    Notes
    -----
    With T levels and S = T * substeps, the numbers cost 2 S K + 2 T K predictions, and the morph
    about S (T + 3) / 2; steps of guided chains cost twice as many.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": [0.7, 0.0], "a cat": [-0.4, 0.0]})
    >>> explanation = explain("a dog", "a cat", model=world)
    >>> round(explanation.divergence, 3)
    0.605
    >>> explanation.heat.mean((0, 1)).sum(0).round(3)  # all of it in the first coordinate
    array([0.605, 0.   ])
    """
    prompts = check_prompts([a, b], "prompts")
    chains = SharedChains(settings)
    check_number(draw, "draw", least=0, integer=True)
    if draw >= chains.n_draws:
        raise ValueError(
            f"draw={draw}: expected one of 0 to {chains.n_draws - 1}; raise n_draws, or choose one "
            "of these."
        )
    denoiser, grid = chains.denoiser, chains.grid
    traced = chains.trace(prompts)
    report_reading(chains.engine, dict(zip(prompts, traced, strict=True)))
    other = [chains.score([p], [along])[0] for p, along in zip(prompts[::-1], traced, strict=True)]
    views = _decode_views(denoiser, prompts, traced, other, grid, draw)
    legs = zip(traced, other, strict=True)
    heat = np.stack([chains.leg(along, eps, views.shape[3:5]) for along, eps in legs])
    ends, switches = _morph(denoiser, prompts, chains.chain, draw)
    provenance = provenance_of(chains.engine, **asdict(chains.settings))
    return Explanation(
        prompts=(prompts[0], prompts[1]),
        heat=heat,
        views=views,
        morph=decoded(denoiser.decode, ends, [f"{prompts[0]} -> {prompts[1]}"]),
        switch_log_snr=switches,
        grid=grid,
        draw=draw,
        provenance=provenance,
    )


def _standard_error(draws: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the first axis; NaN where it has one entry."""
    if len(draws) == 1:
        return np.full(draws.shape[1:], np.nan)
    return draws.std(0, ddof=1) / math.sqrt(len(draws))


def _decode_views(
    denoiser: Denoiser,
    prompts: Sequence[str],
    chains: list[Trajectory],
    other: list[torch.Tensor],
    grid: Grid,
    draw: int,
) -> np.ndarray:
    """Pictures (2, 2, T, H, W, 3) of the clean states predicted under a and under b."""
    nodes = grid.nodes_only()
    column = (-1, *[1] * (chains[0].x.ndim - 2))
    alpha, sigma = (torch.as_tensor(v).reshape(column) for v in (nodes.alpha, nodes.sigma))
    seen = [(chains[0].eps, other[0]), (other[1], chains[1].eps)]  # [whose chain][under a, b]
    x0 = [
        (along.x[draw] - sigma * eps[draw]) / alpha
        for along, pair in zip(chains, seen, strict=True)
        for eps in pair
    ]
    states = torch.cat(x0).to(chains[0].x0.dtype)
    pictures = decoded(denoiser.decode, states, [*prompts, *prompts])
    return pictures.reshape(2, 2, grid.n_nodes, *pictures.shape[1:])


class _Walk:
    """Task of some steps of a reverse chain."""

    def __init__(self, reverse: ReverseChain, first: int, last: int) -> None:
        self.grid = reverse.chain.grid.only(slice(first, last))
        self.reverse, self.state = reverse, reverse.x
        self.x0 = torch.empty(0)

    def step(self, eps: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.x0 = self.reverse.advance(eps)
        return self.reverse.x, self.x0


def _morph(
    denoiser: Denoiser, prompts: Sequence[str], chain: ChainSettings, draw: int
) -> tuple[torch.Tensor, np.ndarray]:
    """Clean ends (T + 1, *shape) of a's chain if b takes over at each level, and those levels."""
    grid, (a, b) = chain.grid, prompts
    n_steps, first_in_range = len(grid.log_snr), grid.n_lead
    every = (n_steps - first_in_range) // grid.n_nodes
    cuts = [0, *range(first_in_range + every, n_steps, every)]

    def walk(reverse: ReverseChain, prompt: str, first: int, last: int) -> torch.Tensor:
        task = _Walk(reverse, first, last)
        denoiser.run(task, [prompt], 1, chain.guidance_scale)
        denoiser.n_evaluations += (last - first) * (1 if chain.guidance_scale == 1 else 2)
        return task.x0

    main = denoiser.start([a], [draw], chain)
    ends = []
    for first, last in zip(cuts, [*cuts[1:], n_steps], strict=True):
        taken_over = copy.copy(main)
        taken_over.restart()  # what a predicted says nothing of b
        ends.append(walk(taken_over, b, first, n_steps))
        end_of_a = walk(main, a, first, last)
    return torch.cat([*ends, end_of_a]), np.r_[grid.log_snr[cuts], grid.log_snr_range[1]]
