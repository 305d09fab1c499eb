"""Closed-form worlds that count what is asked of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from conjure_kernel.models.gaussian import GaussianDenoiser

N_STEPS, SUBSTEPS, N_DRAWS = 4, 2, 3
SMALL = {
    "n_steps": N_STEPS,
    "n_draws": N_DRAWS,
    "chains_per_draw": 1,
    "check_steps": 0,
}  # settings of a fast run


class Counting(GaussianDenoiser):
    """Counts the rows through its network, in this process (`rows`) and in all (`log`)."""

    rows = 0
    n_predict = 0
    limit = None  # rows that fit into its memory
    error: BaseException = RuntimeError("CUDA out of memory")
    n_refused = 0
    log: Path | None = None

    def _eps(self, prompts, x, alpha, sigma):
        if self.limit is not None and len(x) > self.limit:
            self.n_refused += 1
            raise self.error
        self.rows += len(x)
        if self.log is not None:
            with self.log.open("a") as log:
                log.write(f"{os.getpid()} {len(x)}\n")
        return super()._eps(prompts, x, alpha, sigma)

    def predict(self, prompts, x, eps, chain):
        self.n_predict += 1
        return super().predict(prompts, x, eps, chain)


def make_world(n=6, dim=3, kind=Counting, seed=0):
    """World of n prompts and the empty one, every covariance its own; and the n prompts."""
    rng = np.random.default_rng(seed)
    prompts = [f"prompt {i}" for i in range(n)]
    names = ["", *prompts]
    means = dict(zip(names, rng.normal(size=(n + 1, dim)), strict=True))
    variances = dict(zip(names, rng.uniform(0.5, 2.0, size=(n + 1, dim)), strict=True))
    return kind(means, variances), prompts


def rows_of(log):
    """Rows through the networks of all processes."""
    lines = log.read_text().splitlines() if log.exists() else []
    return sum(int(line.split()[1]) for line in lines)


def cold(n, w=1.0, n_draws=N_DRAWS, n_steps=N_STEPS, substeps=SUBSTEPS):
    """Noise predictions of a matrix of n distinct prompts from nothing (design.md section 2)."""
    nodes, steps = n * n * n_steps * n_draws, n_steps * substeps
    if w == 1:
        return nodes + n * (steps - n_steps) * n_draws
    return nodes + 2 * n * steps * n_draws


def shade(prompt, n):
    """Grey pictures, as bright as the prompt's letters say."""
    rng = np.random.default_rng(list(prompt.encode()))
    images = rng.normal(sum(prompt.encode()) % 256, 20, (n, 8, 8, 1))
    return images.clip(0, 255).astype(np.uint8).repeat(3, axis=3)
