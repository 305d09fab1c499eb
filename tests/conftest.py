"""Closed-form worlds shared by the tests: small, exact, without a network."""

import os

# Before numpy and torch are imported: operations are tiny, and threads would only wait for each
# other. Workers inherit it. numba, which UMAP uses, would set the number of torch's threads, too.
for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{name}_NUM_THREADS"] = "1"

import pytest  # noqa: E402
import torch  # noqa: E402

from conjure_kernel.models.gaussian import GaussianDenoiser  # noqa: E402

# The same precision, float32, and so the same numbers on every processor.
capabilities = {**getattr(torch.cpu, "get_capabilities", dict)()}
torch.cpu.get_capabilities = lambda: capabilities | {"avx512_bf16": False, "amx_bf16": False}


@pytest.fixture
def pair():
    """Two 1-D Gaussians of unequal variance: the world of design.md's figures."""
    return GaussianDenoiser({"a": 0.7, "b": -0.4}, {"a": 0.5, "b": 1.3})


@pytest.fixture
def shared():
    """Three 2-D Gaussians of one covariance: their score gaps do not depend on x."""
    means = {"a": [0.7, 0.1], "b": [-0.4, 0.3], "c": [1.5, -1.0]}
    return GaussianDenoiser(means, [[[0.8, 0.3], [0.3, 0.5]]] * len(means))


@pytest.fixture
def guidable():
    """Two prompts and the empty one, which guidance needs."""
    means = {"": [0.2, -0.3], "a": [1.0, 0.5], "b": [-0.6, 0.4]}
    return GaussianDenoiser(means, {"": [1.5, 1.2], "a": [0.4, 0.9], "b": [0.7, 0.3]})
