"""May the network compute in bfloat16? Divergences in float32 and in another dtype, side by side.

    python benchmarks/precision.py [--prompts 32] [--draws 2] [--dtype bfloat16] [--model embedded]

All pairs, the same noise. Required of a default: rank correlation of J of at least 0.999. The rank
correlation of two single draws in float32 says how much that is. Appends to
benchmarks/results/precision.csv.
"""

import argparse
import time

import numpy as np
from scipy.stats import spearmanr

from _results import WORDS, append_row
from conjure_kernel import load_denoiser, pairwise_divergence


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--model", default="embedded")
    options.add_argument("--prompts", type=int, default=32)
    options.add_argument("--draws", type=int, default=2)
    options.add_argument("--dtype", default="bfloat16")
    given = options.parse_args()
    prompts = [f"a {word}" for word in WORDS[::4]][: given.prompts]
    above = np.triu_indices(len(prompts), 1)
    found, seconds = [], []
    for dtype in ("float32", given.dtype):
        model, start = load_denoiser(given.model, dtype=dtype), time.perf_counter()
        found.append(pairwise_divergence(prompts, n_draws=given.draws, model=model, memory=None))
        seconds.append(time.perf_counter() - start)
    full, low = (measured.values[above] for measured in found)
    gaps = np.abs(low / full - 1)
    row = {
        "pairs": len(full),
        "draws": given.draws,
        "rank_correlation": round(spearmanr(full, low).statistic, 5),
        "median_gap_percent": round(100 * float(np.median(gaps)), 2),
        "largest_gap_percent": round(100 * float(gaps.max()), 1),
        "speed_up": round(seconds[0] / seconds[1], 2),
    }
    if given.draws > 1:
        one, other = (found[0].draws[..., k][above] for k in (0, 1))
        row["rank_correlation_of_two_draws"] = round(spearmanr(one, other).statistic, 3)
    for name, value in row.items():
        print(f"{name:32}{value}")
    append_row("precision", model, model=given.model, **row)


if __name__ == "__main__":
    main()
