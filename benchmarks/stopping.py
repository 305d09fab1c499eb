"""What does stopping at a tolerance do to the answer? Bias, error, coverage and draws of `tol=`.

    python benchmarks/stopping.py [--tol 0.1] [--repeats 4000]

Log-normal draws of J around 1 with several coefficients of variation. Plain: one stream, stopped as
soon as its own relative standard error is below tol (at least 8 draws). Two streams: `tol=` itself.
Fixed: the number of draws that gives a true relative standard error of tol.
"""

import argparse

import numpy as np
from scipy import stats

from conjure_kernel.engine import stopping as sequential

MOST = 2000


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--tol", type=float, default=0.1)
    options.add_argument("--repeats", type=int, default=4000)
    given = options.parse_args()
    print("variation  rule            bias %      rms error  coverage %  draws")
    for variation in (0.3, 0.6, 1.0):
        scale = np.sqrt(np.log1p(variation**2))
        noise = np.random.default_rng(0).normal(size=(given.repeats, MOST))
        values = np.exp(scale * noise - scale**2 / 2)
        fixed = np.full((given.repeats, MOST), False)
        fixed[:, : max(8, int(np.ceil((variation / given.tol) ** 2)))] = True
        for rule, used in (
            ("fixed", fixed),
            ("plain", plain(values, given.tol)),
            ("two streams", two_streams(values, given.tol)),
        ):
            print(f"{variation:<11g}{rule:<12}{report(values, used)}")


def plain(values, tol):
    """Draws used by one stream that judges itself."""
    sizes = np.arange(8, MOST)
    means = values.cumsum(1)[:, 7:-1] / sizes
    squares = np.square(values).cumsum(1)[:, 7:-1] / sizes
    met = (squares - means**2) / (sizes - 1) <= (tol * means) ** 2
    return np.arange(MOST) < sizes[met.argmax(1)][:, None]


def two_streams(values, tol):
    """Draws used by `refine`."""
    lengths = np.full((len(values), 2), sequential.PILOT)
    while True:
        used = sequential._used(lengths)
        seen = np.where(used, values[:, : used.shape[1]], 0)
        needs = [sequential._need(seen[:, i::2], lengths[:, i], tol) for i in (1, 0)]
        longer = np.minimum(np.maximum(lengths, np.stack(needs, 1)), MOST // 2)
        if (longer == lengths).all():
            return np.pad(used, ((0, 0), (0, MOST - used.shape[1])))
        lengths = longer


def report(values, used):
    """Of the mean of both stream means: bias, error, coverage of the interval, and draws."""
    counts = np.stack([used[:, i::2].sum(1) for i in (0, 1)])
    sums = np.stack([np.where(used, values, 0)[:, i::2].sum(1) for i in (0, 1)])
    means = (sums / counts).mean(0)
    n_draws = used.sum(1)
    spread = np.where(used, values - means[:, None], 0)
    errors = np.sqrt(np.square(spread).sum(1) / (n_draws - 1) * (1 / counts).sum(0) / 4)
    factor = np.exp(stats.t.ppf(0.975, n_draws - 1) * errors / means)
    covered = (means / factor <= 1) & (factor * means >= 1)
    bias, unsure = 100 * (means.mean() - 1), 100 * means.std() / np.sqrt(len(means))
    rms, cover = np.sqrt(np.square(means - 1).mean()), 100 * covered.mean()
    return f"{bias:+6.2f} ± {unsure:.2f}{rms:12.3f}{cover:12.1f}{n_draws.mean():8.1f}"


if __name__ == "__main__":
    main()
