"""How accurate is J, and what do its intervals cover? Gaussian worlds, where the truth is known.

    python benchmarks/closed_form.py [--quick] [--only accuracy extremes samplers coverage]
        [--out FILE]

Pairs of Gaussians in 1, 2, 16 and 256 dimensions, means apart, variances 0.2 to 2 along axes of
their own (or one covariance for both). Four tables, in Markdown, and one CSV row per figure:

accuracy   relative error of J against the exact value on its log-SNR range, at T = 10 and T = 100
extremes   the same at T = 10, 20 and 100 for variances 1 to 1,000 times apart, guidance 1, 3 and
           7.5, mixtures and ranges that start late, beside `step_error`, the library's own estimate
samplers   the same at T = 10 for every sampler, kind of nodes and number of substeps
coverage   how often the 95 % interval holds the limit of the estimator, at K = 2, 3, 4 and 8 draws

A world of m independent copies of a d-dimensional pair is a (d m)-dimensional Gaussian world whose
J is m times the pair's. One of its draws is m draws of the pair: same chain, same arithmetic per
coordinate, one call of the noise generator instead of m. The first two tables use it to bring the
Monte Carlo error of J below 0.2 % (K is chosen by a pilot run); coverage does not, for there the
law of a single draw matters.
"""

import argparse
import csv
import math
import os
import platform
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from conjure_kernel import paired_divergence
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.reverse import SAMPLERS, ChainSettings
from conjure_kernel.method.schedule import VariancePreserving
from conjure_kernel.models.gaussian import GaussianDenoiser, MixtureDenoiser

WIDTH = 256  # dimensions of a world made of copies
CHUNK = 256  # draws a call
SCHEDULES = {
    "[-8, 8]": VariancePreserving.log_linear(),
    "Stable Diffusion": VariancePreserving.scaled_linear(),
}
RESULTS = Path(__file__).parent / "results" / "closed_form.csv"


@dataclass(frozen=True)
class Pair:
    """Two Gaussians, "a" and "b", in d dimensions."""

    d: int
    shared: bool

    def world(self, schedule: VariancePreserving, copies: int = 1) -> GaussianDenoiser:
        """A world of independent copies of the pair."""
        rng = np.random.default_rng(self.d)
        means = rng.normal(size=(2, self.d)) * 1.2 / math.sqrt(self.d)
        means[1] = means[0] + 1.5 * means[1] / np.linalg.norm(means[1])
        covariances = np.stack([self._covariance(rng, prompt) for prompt in range(2)])
        if self.shared:
            covariances[1] = covariances[0]
        blocks = np.kron(np.eye(copies), covariances)
        return GaussianDenoiser(
            dict(zip("ab", np.tile(means, copies), strict=True)),
            dict(zip("ab", blocks, strict=True)),
            schedule=schedule,
        )

    def _covariance(self, rng: np.random.Generator, prompt: int) -> np.ndarray:
        if self.d == 1:
            return np.array([[(0.4, 1.6)[prompt]]])
        basis, _ = np.linalg.qr(rng.normal(size=(self.d, self.d)))
        return (basis * np.geomspace(0.2, 2, self.d)) @ basis.T

    def __str__(self) -> str:
        return f"{self.d}-D, {'one covariance' if self.shared else 'two covariances'}"


def energies(world: GaussianDenoiser, chain: ChainSettings, draws: range) -> list[np.ndarray]:
    """Energies (K, T) of both legs."""
    legs: list[list[np.ndarray]] = [[], []]
    for start in range(draws.start, draws.stop, CHUNK):
        some = range(start, min(start + CHUNK, draws.stop))
        for leg, source, target in zip(legs, "ab", "ba", strict=True):
            (found,) = world.trace([source], some, chain)
            x, eps = found.x.transpose(0, 1), found.eps.transpose(0, 1)
            leg.append(world.predict([target], x, eps, chain).T.numpy())
    return [np.concatenate(leg) for leg in legs]


def measure(world: GaussianDenoiser, chain: ChainSettings, target_error: float) -> Divergence:
    """J from as many draws as its relative standard error asks for."""
    pilot = _divergence(energies(world, chain, range(32)), chain)
    relative = float(pilot.standard_errors[0] / pilot.values[0])
    n_draws = math.ceil(32 * (1.1 * relative / target_error) ** 2)
    if n_draws <= 32:
        return pilot
    more = energies(world, chain, range(32, n_draws))
    first = pilot.forward[0], pilot.backward[0]
    joined = [np.concatenate(parts) for parts in zip(first, more, strict=True)]
    return _divergence(joined, chain)


def _divergence(legs: list[np.ndarray], chain: ChainSettings) -> Divergence:
    forward, backward = (leg[None] for leg in legs)
    return Divergence(["a"], ["b"], forward, backward, chain.grid, paired=True)


def measured_row(
    pair: Pair, range_name: str, n_steps: int, settings: dict, target_error: float
) -> dict:
    """Relative error of J in one world at one setting."""
    copies = WIDTH // pair.d
    world = pair.world(SCHEDULES[range_name], copies)
    options = {"nodes": settings["nodes"], "substeps": settings["substeps"]}
    chain = ChainSettings(world.make_grid(n_steps, **options), settings["sampler"])
    measured = measure(world, chain, target_error)
    single = pair.world(SCHEDULES[range_name])
    truth = single.exact("a", "b", chain.grid.log_snr_range).jeffreys
    value, error = (float(v[0]) / copies for v in (measured.values, measured.standard_errors))
    return {
        "world": str(pair),
        "range": range_name,
        "n_steps": n_steps,
        **settings,
        "draws_of_the_pair": copies * measured.n_draws,
        "exact": truth,
        "estimate": value,
        "error_percent": 100 * (value / truth - 1),
        "standard_error_percent": 100 * error / truth,
    }


def accuracy(given: argparse.Namespace) -> Iterator[dict]:
    """Error of J at the defaults."""
    settings = {"sampler": "sde", "nodes": "log_snr", "substeps": 2}
    print("| world | range | T | exact J | error of J, % | Monte Carlo error, % |")
    print("|---|---|--:|--:|--:|--:|")
    for d in given.dimensions:
        for shared in (True, False):
            for range_name in SCHEDULES:
                for n_steps in (10, 100):
                    pair = Pair(d, shared)
                    row = measured_row(pair, range_name, n_steps, settings, given.error)
                    yield row
                    print(
                        f"| {row['world']} | {range_name} | {n_steps} | {row['exact']:.4f} | "
                        f"{row['error_percent']:+.2f} | {row['standard_error_percent']:.2f} |",
                        flush=True,
                    )


def extreme_worlds() -> Iterator[tuple[str, str, dict, dict, float]]:
    """Name, log-SNR range, mixture of each prompt, settings and limit, in %, of each world."""
    for ratio in (1, 2, 3, 10, 30, 100, 300, 1000):
        mixtures = {"a": ([1.0], [0.0], [1.0]), "b": ([1.0], [0.3], [1 / ratio])}
        for name in SCHEDULES:
            limit = 2.0 if ratio <= 100 else np.nan
            yield f"variances 1, 1/{ratio}", name, mixtures, {}, limit
    for a, b in ((0.9, 0.6), (0.5, 0.6), (0.3, 0.2), (0.1, 0.15), (0.03, 0.05), (1.3, 0.5)):
        mixtures = {"": ([1.0], [0.0], [1.0])}
        mixtures |= {"a": ([1.0], [0.5], [a]), "b": ([1.0], [-0.5], [b])}
        for w in (1.0, 3.0, 7.5):
            limit = 2.0 if w == 1 else 5.0 if 0.1 <= min(a, b) and max(a, b) <= 1 else np.nan
            settings = {"guidance_scale": w}
            yield f"variances {a}, {b}, w = {w:g}", "Stable Diffusion", mixtures, settings, limit
    coin = {"a": ([0.5, 0.5], [-3.0, 3.0], [0.3, 0.3]), "b": ([1.0], [1.0], [0.5])}
    three = {"a": ([0.3, 0.7], [-1.0, 2.0], [0.05, 0.2]), "b": ([0.5, 0.5], [0.0, 1.0], [0.1, 0.4])}
    for text, mixtures in (("two modes, one", coin), ("two modes, two", three)):
        for name in SCHEDULES:
            yield text, name, mixtures, {}, 2.0
    wide = {"a": ([1.0], [0.7], [0.5]), "b": ([1.0], [-0.4], [1.3])}
    for start in (-4.0, -1.0, 0.0, 2.0):
        yield f"from log-SNR {start:g}", "[-8, 8]", wide, {"log_snr_range": (start, 8.0)}, 2.0


def copied(mixtures: dict, schedule: VariancePreserving, n: int) -> MixtureDenoiser:
    """A world of n independent copies of a 1-D world, for prompts of one mode each."""
    wider = {
        prompt: (weights, *(np.tile(np.reshape(v, (len(weights), -1)), (1, n)) for v in modes))
        for prompt, (weights, *modes) in mixtures.items()
    }
    return MixtureDenoiser(wider, schedule=schedule)


def extremes(given: argparse.Namespace) -> Iterator[dict]:
    """Error of J at the defaults and at more steps, in worlds that are hard for a chain."""
    print("| world | range | T = 10, % | T = 20, % | T = 100, % | `step_error` at T = 10, % |")
    print("|---|---|--:|--:|--:|--:|")
    n_over = n_missed = 0
    for text, name, mixtures, settings, limit in extreme_worlds():
        one_mode = all(len(weights) == 1 for weights, *_ in mixtures.values())
        n_copies = WIDTH if one_mode else 1
        world = copied(mixtures, SCHEDULES[name], n_copies)
        errors, told = [], np.nan
        n_draws = math.ceil(given.extreme_draws * WIDTH / n_copies)
        reference = measured_alone(world, n_draws, 400, settings) if settings or not one_mode else 0
        for n_steps in (10, 20, 100):
            value = measured_alone(world, n_draws, n_steps, settings)
            truth = reference or n_copies * exact_of(mixtures, SCHEDULES[name])
            errors.append(100 * (value / truth - 1))
            if n_steps == 10:
                told = 100 * checked(world, settings)
        over = abs(errors[0]) > (limit if np.isfinite(limit) else 5.0)
        n_over, n_missed = n_over + over, n_missed + (over and told < 5)
        yield {"world": text, "range": name, "error_10": errors[0], "error_20": errors[1]} | {
            "error_100": errors[2],
            "step_error": told,
        }
        print(
            f"| {text} | {name} | {errors[0]:+.2f} | {errors[1]:+.2f} | {errors[2]:+.2f} | "
            f"{told:.1f} |",
            flush=True,
        )
    print(f"\n{n_over} beyond the limit, of which {n_missed} without a warning")


def exact_of(mixtures: dict, schedule: VariancePreserving) -> float:
    """True J of two Gaussians on the schedule's own range within [-8, 8]."""
    (_, (mean_a,), (variance_a,)), (_, (mean_b,), (variance_b,)) = mixtures["a"], mixtures["b"]
    world = GaussianDenoiser({"a": mean_a, "b": mean_b}, {"a": variance_a, "b": variance_b})
    low, high = schedule.log_snr_range
    return world.exact("a", "b", (max(low, -8.0), min(high, 8.0))).jeffreys


def measured_alone(world: MixtureDenoiser, n_draws: int, n_steps: int, settings: dict) -> float:
    """J of a and b without a check of the steps; the chains of a draw change no mean."""
    fixed = {"model": world, "memory": None, "check_steps": 0, "n_draws": n_draws}
    fixed["chains_per_draw"] = 1
    return float(paired_divergence([("a", "b")], **fixed, n_steps=n_steps, **settings).values[0])


def checked(world: MixtureDenoiser, settings: dict) -> float:
    """What the library says of the steps of a measurement at the defaults."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return paired_divergence([("a", "b")], model=world, memory=None, **settings).step_error


def samplers(given: argparse.Namespace) -> Iterator[dict]:
    """Error of J at T = 10 over samplers, nodes and substeps."""
    worlds = [Pair(d, False) for d in given.dimensions]
    print("| sampler | nodes | substeps |" + "".join(f" {d}-D |" for d in given.dimensions))
    print("|---|---|--:|" + "--:|" * len(worlds))
    for sampler in SAMPLERS:
        for nodes in ("log_snr", "timesteps"):
            for substeps in (1, 2, 3):
                settings = {"sampler": sampler, "nodes": nodes, "substeps": substeps}
                cells = []
                for pair in worlds:
                    row = measured_row(pair, "Stable Diffusion", 10, settings, given.error)
                    yield row
                    cells.append(f" {row['error_percent']:+.2f} |")
                print(f"| {sampler} | {nodes} | {substeps} |" + "".join(cells), flush=True)


def coverage(given: argparse.Namespace) -> Iterator[dict]:
    """Share of repetitions whose 95 % interval holds the mean of all repetitions."""
    sizes, n = (2, 3, 4, 8), given.repetitions
    heads = "".join(f" K = {k} | +-1.96 se, K = {k} |" for k in sizes)
    print(f"| world |{heads}\n|---|{'--:|' * 2 * len(sizes)}")
    for d in given.dimensions:
        pair = Pair(d, False)
        world = pair.world(SCHEDULES["[-8, 8]"])
        chain = ChainSettings(world.make_grid(10, substeps=2), "sde", chains_per_draw=3)
        legs = energies(world, chain, range(max(sizes) * n))
        limit = float(_divergence(legs, chain).values[0])
        cells = []
        for k in sizes:
            first, second = (leg[: n * k].reshape(n, k, -1) for leg in legs)
            names = [""] * n
            measured = Divergence(
                names, names, first, second, chain.grid, paired=True, n_chains=chain.chains_per_draw
            )
            low, high = measured.interval()
            plain = np.abs(measured.values - limit) < 1.96 * measured.standard_errors
            row = {
                "world": str(pair),
                "n_draws": k,
                "repetitions": n,
                "limit": limit,
                "coverage_percent": 100 * float(np.mean((low < limit) & (limit < high))),
                "plain_coverage_percent": 100 * float(plain.mean()),
                "median_width_percent": 100 * float(np.median((high - low) / 2) / limit),
            }
            yield row
            cells.append(f" {row['coverage_percent']:.1f} | {row['plain_coverage_percent']:.1f} |")
        print(f"| {pair} |" + "".join(cells), flush=True)


TABLES = {"accuracy": accuracy, "extremes": extremes, "samplers": samplers, "coverage": coverage}


def machine() -> dict[str, str | int]:
    """Where the figures come from: part of each CSV row."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if os.name == "posix" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "machine": names[0] if names else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "torch")},
    }


def main() -> None:
    """Run the tables asked for."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--quick", action="store_true", help="1-D and 16-D at 1 %%; writes no CSV")
    options.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES))
    options.add_argument("--dimensions", nargs="+", type=int, default=[1, 2, 16, 256])
    options.add_argument(
        "--error", type=float, default=0.002, help="largest Monte Carlo error, as a share of J"
    )
    text = "of each pair of Gaussians in the table of extremes, 256 copies each"
    options.add_argument("--extreme-draws", type=int, default=100, help=text)
    options.add_argument("--repetitions", type=int, default=1000, help="of the coverage table")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--out", type=Path, help=f"CSV file; default {RESULTS.name} in results/")
    given = options.parse_args()
    if given.quick:
        given.dimensions, given.error, given.repetitions = [1, 16], 0.01, 200
        given.extreme_draws = 20
    torch.set_num_threads(given.threads)
    start, rows = time.perf_counter(), []
    for name in given.only:
        print(f"\n{name}: {TABLES[name].__doc__}\n")
        rows += [{"table": name, **row, **machine()} for row in TABLES[name](given)]
    print(f"\n{time.perf_counter() - start:.0f} s")
    target = given.out or (None if given.quick else RESULTS)
    if target is not None:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
