"""What ten thousand prompts cost: predictions, time and memory of an embedding, and its growth.

    python benchmarks/embedding/growth.py [--prompts 10000] [--vectors vectors.npz]

Prompts are counts x colours x objects x backgrounds of the embedded model's vocabulary. One pool is
fitted, then the vectors of the first 1,250, 2,500, 5,000 and 10,000 are asked for in turn: what is
known costs nothing, so each line is what the further ones cost. Required: less than 3 GiB of
resident memory. Appends to benchmarks/results/growth.csv.
"""

import argparse
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from _results import WORDS, append_row, peak_memory
from conjure_kernel import ConjureEmbedding, load_denoiser

COUNTS = ("a", "two", "three", "four")
COLOURS = "red orange yellow green blue purple brown pink black white".split()
PLACES = ("", " on a blue background")
BYTES = 3 * 2**30


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--prompts", type=int, default=10_000)
    options.add_argument("--vectors", help="keep prompts and vectors in this .npz file")
    given = options.parse_args()
    prompts = compose(given.prompts)
    with tempfile.TemporaryDirectory() as cache:
        model = ConjureEmbedding(load_denoiser("embedded"), memory=cache, verbose=1)
        begun = time.perf_counter()
        model.fit(prompts)
        report("fit", len(prompts), begun, model.n_evaluations_, model)
        known = 0
        for n in (len(prompts) // 8, len(prompts) // 4, len(prompts) // 2, len(prompts)):
            before, begun = model.denoiser.n_evaluations, time.perf_counter()
            vectors = model.transform(prompts[:n])
            spent = model.denoiser.n_evaluations - before
            report("transform", n - known, begun, spent, model)
            known = n
    if given.vectors:
        np.savez(given.vectors, prompts=np.array(prompts), vectors=vectors)
    if peak_memory() >= BYTES:
        raise SystemExit(f"too much memory: {BYTES / 2**20:g} MiB are allowed")


def compose(n):
    """The first n of counts x colours x objects x places, in an order that mixes them."""
    every = [
        f"{count} {colour} {name}{place}"
        for count, colour, name, place in product(COUNTS, COLOURS, WORDS, PLACES)
    ]
    if n > len(every):
        raise SystemExit(f"--prompts {n}: there are {len(every)}")
    return [every[i] for i in np.random.default_rng(0).permutation(len(every))[:n]]


def report(step, n, begun, spent, model):
    """One line, on the screen and in the table."""
    seconds = time.perf_counter() - begun
    row = {
        "step": step,
        "prompts": n,
        "predictions": spent,
        "seconds": round(seconds, 1),
        "prompts_per_second": round(n / seconds, 1),
        "peak_mib": peak_memory() >> 20,
    }
    print(", ".join(f"{value} {name}" for name, value in row.items()), flush=True)
    append_row("growth", model.denoiser, **row)


if __name__ == "__main__":
    main()
