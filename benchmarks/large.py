"""Does the engine hold for thousands of prompts? Time, memory, files and bytes of a large matrix.

    python benchmarks/large.py [--prompts 2000] [--more 10]

A closed-form world of 16 dimensions, 10 noise levels, one draw. Each step has a process of its own:
the matrix from an empty cache, the matrix of a few more prompts, and that matrix once more.
Required: less than 2 GiB of resident memory, everything included. Appends to
benchmarks/results/large.csv.
"""

import argparse
import multiprocessing
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from _results import append_row, peak_memory
from conjure_kernel import ConjureDistance, GaussianDenoiser

BYTES = 2 * 2**30


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--prompts", type=int, default=2000)
    options.add_argument("--more", type=int, default=10)
    given = options.parse_args()
    whole = given.prompts + given.more
    with tempfile.TemporaryDirectory() as cache:
        for step, n in (("cold", given.prompts), ("more", whole), ("warm", whole)):
            spawned = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawned) as pool:
                row = pool.submit(measure, n, whole, cache).result()
            sizes = [path.stat().st_size for path in Path(cache).rglob("*") if path.is_file()]
            row |= {"files": len(sizes), "megabytes": round(sum(sizes) / 1e6)}
            print(f"{step}: {n} prompts,", ", ".join(f"{v} {k}" for k, v in row.items()))
            append_row("large", step=step, prompts=n, **row)
            if row["peak_mib"] * 2**20 >= BYTES:
                raise SystemExit(f"too much memory: {BYTES / 2**20:g} MiB are allowed")


def measure(n, size, cache):
    """Distances of the first n prompts of a world of `size`; what they cost."""
    means = np.random.default_rng(0).normal(size=(size, 16))
    world = GaussianDenoiser(means, np.random.default_rng(1).uniform(0.5, 2, size=size))
    warnings.filterwarnings("ignore", "n_draws=1")
    start = time.perf_counter()
    model = ConjureDistance(world, n_steps=10, n_draws=1, memory=cache)
    model.fit_transform([f"prompt {i}" for i in range(n)])
    seconds = round(time.perf_counter() - start, 1)
    return {"seconds": seconds, "peak_mib": peak_memory() >> 20, "spent": model.n_evaluations_}


if __name__ == "__main__":
    main()
