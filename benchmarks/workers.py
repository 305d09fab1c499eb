"""What do more workers bring? Predictions per second with one and two, on loky and on Dask.

    python benchmarks/workers.py [--prompts 24] [--draws 2] [--workers 2]

The same matrix each time, without a cache, by workers of one thread each that have the model
loaded: a small matrix goes first. One worker of loky is this process. All must find the same bits.
Appends to benchmarks/results/workers.csv.
"""

import argparse
import time
import warnings
from contextlib import contextmanager

import joblib
import numpy as np
import torch
from distributed import Client, LocalCluster

from _results import WORDS, append_row
from conjure_kernel import load_denoiser, pairwise_divergence


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--model", default="embedded")
    options.add_argument("--prompts", type=int, default=24)
    options.add_argument("--draws", type=int, default=2)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--batch-size", type=int, default=32, help="small: all have work")
    given = options.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", ".*(of the divergence lies|n_draws=1)")
    model = load_denoiser(given.model)
    prompts = [f"a {word}" for word in WORDS][: given.prompts]
    truth, alone = None, {}
    for name, backend in (("loky", loky), ("dask", dask)):
        for n_workers in (1, given.workers):
            with backend(n_workers):
                measure(model, prompts[:4], n_draws=1, batch_size=1)  # a job for everyone
                start = time.perf_counter()
                found = measure(model, prompts, n_draws=given.draws, batch_size=given.batch_size)
                rate = found.n_evaluations / (time.perf_counter() - start)
            truth = found.forward if truth is None else truth
            same = np.array_equal(found.forward, truth)
            scaling = rate / alone.setdefault(name, rate)
            row = {"backend": name, "workers": n_workers, "per_second": round(rate, 1)}
            row |= {"scaling": round(scaling, 3), "same_bits": same}
            print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            append_row("workers", model, model=given.model, prompts=len(prompts), **row)


def measure(model, prompts, **settings):
    return pairwise_divergence(prompts, model=model, memory=None, **settings)


@contextmanager
def loky(n_workers):
    with joblib.parallel_config("loky", n_jobs=n_workers, inner_max_num_threads=1):
        yield


@contextmanager
def dask(n_workers):
    options = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(processes=True, silence_logs=50, **options) as cluster, Client(cluster):
        with joblib.parallel_config("dask"):
            yield


if __name__ == "__main__":
    main()
