"""What does stopping at a tolerance do to the answer? Bias, error, coverage and draws of `tol=`.

    python benchmarks/stopping.py [--tol 0.1] [--repeats 2000] [--pool 6000]

Draws of J around 1, of three chains and two legs: log-normal parts with several coefficients of
variation of their sum; the same with one part alone; and draws of closed-form worlds, resampled
from a pool whose mean is the truth. Rules:

fixed        the number of draws that gives a true relative standard error of tol
one stream   stops as soon as its own relative standard error is below tol (at least 8 draws)
sequence     stops where an interval that holds at every look, +-1.96 tol at most, says so: of level
             1 - 0.05 / (j (j + 1)) at look j, after half as many draws again (Howard et al. 2021)
two streams  `tol=` itself
"""

import argparse
import math
import warnings

import numpy as np

from closed_form import SCHEDULES, Pair
from conjure_kernel import paired_divergence
from conjure_kernel.engine.stopping import GROWTH, LEAST_FREEDOM, longer, used_draws
from conjure_kernel.method.draws import mean_of, variance_of
from conjure_kernel.method.interval import positive_interval

MOST, CHAINS = 800, 3


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--tol", type=float, default=0.1)
    options.add_argument("--repeats", type=int, default=2000)
    options.add_argument("--pool", type=int, default=6000, help="draws of a closed-form world")
    given = options.parse_args()
    print("| draws | variation | rule | bias, % | rms error | coverage, % | met, % | draws, mean |")
    print("|---|--:|---|--:|--:|--:|--:|--:|")
    for name, parts in worlds(given.repeats, given.pool):
        total = parts.sum((1, 2))
        variation = total.std() / total.mean()
        n_fixed = min(MOST, max(4, math.ceil((variation / given.tol) ** 2)))
        for rule, used in (
            ("fixed", np.broadcast_to(np.arange(MOST) < n_fixed, total.shape)),
            ("one stream", one_stream(parts, given.tol)),
            ("sequence", sequence(parts, given.tol)),
            ("two streams", two_streams(parts, given.tol)),
        ):
            cells = report(parts, used, given.tol)
            print(f"| {name} | {variation:.2f} | {rule} | {cells} |", flush=True)


def worlds(repeats: int, n_pool: int):
    """Name, and draws (repeats, L, G, MOST) of parts of which the sum has the mean 1."""
    rng = np.random.default_rng(0)
    for legs, chains in ((2, CHAINS), (1, 1)):
        for variation in (0.1, 0.3, 0.6, 1.0):
            n = legs * chains
            scale = math.sqrt(math.log1p(n * variation**2))
            noise = rng.normal(size=(repeats, legs, chains, MOST))
            yield f"log-normal, parts: {n}", np.exp(scale * noise - scale**2 / 2) / n
    for d in (1, 2, 16):
        world = Pair(d, False).world(SCHEDULES["[-8, 8]"])
        settings = {"memory": None, "check_steps": 0, "n_draws": n_pool}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            measured = paired_divergence([("a", "b")], model=world, **settings)
        pool = np.stack([leg[0].T for leg in measured.chain_draws]) / 2 / measured.values[0]
        chosen = rng.integers(n_pool, size=(*pool.shape[:2], repeats, MOST))
        drawn = [[pool[i, g, chosen[i, g]] for g in range(CHAINS)] for i in range(2)]
        yield f"Gaussians, {d}-D", np.moveaxis(np.array(drawn), 2, 0)


def one_stream(parts, tol):
    """Draws used by one stream that judges itself."""
    sizes = np.arange(8, MOST)
    values = parts.sum((1, 2))
    means = values.cumsum(1)[:, 7:-1] / sizes
    variances = np.square(parts).cumsum(-1) - np.square(parts.cumsum(-1)) / np.arange(1, MOST + 1)
    met = variances.sum((1, 2))[:, 7:-1] / (sizes - 1) / sizes <= (tol * means) ** 2
    return np.arange(MOST) < sizes[met.argmax(1)][:, None]


def sequence(parts, tol):
    """Draws used where a confidence sequence says when to stop."""
    stop, size, look = np.full(len(parts), MOST), 2, 1
    while size < MOST:
        used = np.broadcast_to(np.arange(MOST) < size, (len(parts), MOST))
        low, high = interval(parts, used, 1 - 0.05 / (look * (look + 1)))[1]
        stop = np.where((stop == MOST) & (np.log(high / low) / 2 <= 1.96 * tol), size, stop)
        size, look = math.ceil(GROWTH * size), look + 1
    return np.arange(MOST) < stop[:, None]


def two_streams(parts, tol):
    """Draws used by `refine`."""
    least = 1 + math.ceil(LEAST_FREEDOM / math.prod(parts.shape[1:3]))
    lengths, wanted = None, np.full((len(parts), 2), least)
    while lengths is None or (wanted != lengths).any():
        lengths = wanted
        wanted, _ = longer(parts[..., : 2 * lengths.max()], lengths, tol, MOST // 2)
    return used_draws(lengths, MOST // 2)


def interval(parts, used, level=0.95):
    """Means and relative errors (n,), and intervals of them, from the draws that are used."""
    halves = [used[:, i::2].sum(1) for i in (0, 1)]
    weights = (used / 2 / np.stack(halves, 1)[:, np.arange(MOST) % 2])[:, None, None]
    means, variances = (f(parts, weights).swapaxes(-1, -2) for f in (mean_of, variance_of))
    ends = positive_interval(means, variances, used.sum(1), level)
    total = means.sum((1, 2))
    return (total, np.sqrt(variances.sum((1, 2))) / total), ends


def report(parts, used, tol):
    """Bias, error, coverage of the interval, how often the error is below tol, and draws."""
    (means, errors), (low, high) = interval(parts, used)
    covered, met = (100 * x.mean() for x in ((low <= 1) & (high >= 1), errors <= tol))
    bias, unsure = 100 * (means.mean() - 1), 100 * means.std() / np.sqrt(len(means))
    rms, n_draws = np.sqrt(np.square(means - 1).mean()), used.sum(1)
    figures = f"{bias:+.1f} ± {unsure:.1f} | {rms:.3f} | {covered:.1f} | {met:.0f}"
    return f"{figures} | {n_draws.mean():.1f}"


if __name__ == "__main__":
    main()
