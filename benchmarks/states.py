"""What do the chains of 500 prompts take on disk and in memory? One process for each measurement.

    python benchmarks/states.py --draws 2 --chains 3
    python benchmarks/states.py --draws 4 --chains 1

Gaussians in 256 dimensions, four noise levels. Appends to benchmarks/results/states.csv.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from _results import append_row, peak_memory
from conjure_kernel import GaussianDenoiser, pairwise_divergence

DIMENSIONS = 256


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--prompts", type=int, default=500)
    options.add_argument("--draws", type=int, default=2)
    options.add_argument("--chains", type=int, default=3)
    given = options.parse_args()
    rng, names = np.random.default_rng(0), [f"prompt {i}" for i in range(given.prompts)]
    means = rng.normal(size=(given.prompts, DIMENSIONS)) / 28
    variances = np.exp(0.3 * rng.normal(size=means.shape))
    model = GaussianDenoiser(*(dict(zip(names, v, strict=True)) for v in (means, variances)))
    fixed = {
        "n_draws": given.draws,
        "chains_per_draw": given.chains,
        "n_steps": 4,
        "batch_size": 512,
    }
    with tempfile.TemporaryDirectory() as cache:
        found = pairwise_divergence(names, model=model, memory=cache, check_steps=0, **fixed)
        row = {"prompts": given.prompts, "draws": given.draws, "chains": given.chains}
        row |= {"predictions": found.n_evaluations}
        for kind in ("trajectory", "energies"):
            sizes = (path.stat().st_size for path in Path(cache).rglob(f"*.{kind}"))
            row[f"{kind}_mb"] = round(sum(sizes) / 1e6, 1)
        row["memory_mb"] = round(peak_memory() / 1e6)
    for name, value in row.items():
        print(f"{name:16}{value:,}")
    append_row("states", None, **row)


if __name__ == "__main__":
    main()
