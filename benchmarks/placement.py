"""Would noise levels of another density serve better than equal intervals of log-SNR?

    python benchmarks/placement.py [--draws 300] [--words-draws 24]

Chains with 60 noise levels (the words: 40) are measured once. Ten of their levels, at the quantiles
of a density over log-SNR and weighted by the widths of their intervals, are then what a measurement
with that density would use. For each world and density: the variance of J at equal intervals over
that of the density, with three chains a draw (median of pairs; above 1 is better), and in brackets
the error of J against all levels, in % (median of its size), which is the quadrature's alone.
"""

import argparse
import warnings

import numpy as np

from _results import WORDS
from conjure_kernel import GaussianDenoiser, load_denoiser, pairwise_divergence
from conjure_kernel.method.draws import chain_draws
from conjure_kernel.method.schedule import FlowMatching, VariancePreserving

T, CHAINS, PROMPTS = 10, 3, 8
DENSITIES = {
    "equal": np.ones_like,
    "normal 1, 5": lambda x: np.exp(-(((x - 1) / 5) ** 2) / 2),
    "normal 1, 4": lambda x: np.exp(-(((x - 1) / 4) ** 2) / 2),
    "normal 0, 3": lambda x: np.exp(-((x / 3) ** 2) / 2),
    "logistic 1, 3": lambda x: np.cosh((x - 1) / 6) ** -2.0,
    "sigmoid -3, 1": lambda x: 1 / (1 + np.exp(-x - 3)),
}


def gaussians(schedule, variance: float):
    """Eight Gaussians in four dimensions, variances spread around a typical one."""
    rng = np.random.default_rng(4)
    names = [f"prompt {i}" for i in range(PROMPTS)]
    means = rng.normal(size=(PROMPTS, 4)) / 2
    variances = variance * np.exp(0.7 * rng.normal(size=(PROMPTS, 4)))
    means, variances = (dict(zip(names, part, strict=True)) for part in (means, variances))
    return GaussianDenoiser(means, variances, schedule=schedule), names


def worlds(n_draws: int, n_word_draws: int):
    """Name, model, prompts, draws and noise levels of each world."""
    schedules = {"Stable Diffusion": VariancePreserving.scaled_linear(), "flow": FlowMatching()}
    for variance in (1.0, 0.02):
        for name, schedule in schedules.items():
            text = f"Gaussians, variance {variance:g}, {name}"
            yield text, *gaussians(schedule, variance), n_draws, 60
    words = sorted(np.random.default_rng(0).permutation(WORDS)[:PROMPTS].tolist())
    yield "embedded model", load_denoiser("embedded"), words, n_word_draws, 40


def chosen(grid, density) -> tuple[np.ndarray, np.ndarray]:
    """Places of ten levels of a fine grid at the quantiles of a density, and their weights."""
    low, high = grid.log_snr_range
    line = np.linspace(low, high, 4001)
    mass = np.cumsum(density(line))
    wanted = np.interp((np.arange(T) + 0.5) / T, mass / mass[-1], line)
    places = np.abs(grid.node_log_snr[:, None] - wanted).argmin(0)
    centre = grid.node_log_snr[places]
    return places, np.diff(np.r_[low, (centre[1:] + centre[:-1]) / 2, high]) / 2


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--draws", type=int, default=300, help="chains of a Gaussian prompt")
    options.add_argument("--words-draws", type=int, default=24, help="chains of a word")
    given = options.parse_args()
    warnings.simplefilter("ignore")
    print(f"| world | {' | '.join(DENSITIES)} |\n|---|{'--:|' * len(DENSITIES)}")
    for name, model, prompts, n_draws, n_steps in worlds(given.draws, given.words_draws):
        fixed = {"memory": None, "check_steps": 0, "chains_per_draw": 1, "substeps": 1}
        fine = pairwise_divergence(prompts, model=model, n_draws=n_draws, n_steps=n_steps, **fixed)
        above, cells, before = np.triu_indices(PROMPTS, 1), [], None
        for density in DENSITIES.values():
            places, weights = chosen(fine.grid, density)
            legs = [e[above][..., places] for e in (fine.forward, fine.backward)]
            parts = [chain_draws(leg, weights, CHAINS) for leg in legs]
            variance = sum(part.var(1, ddof=1).sum(-1) for part in parts)
            before = variance if before is None else before
            values = sum(part.sum(-1).mean(1) for part in parts) / 2
            error = np.median(np.abs(values / fine.values[above] - 1))
            cells.append(f"{np.median(before / variance):.2f} ({error:.1%})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
