"""The tiny pipelines of pipelines.py as denoisers, and what the tests of the model layer share."""

import functools
import json
from importlib.resources import files
from pathlib import Path

import torch

import pipelines
from conjure_kernel.models.pretrained.load import load_denoiser

A, B = "a photo of a cat", "two red boats on the sea"
PIPELINES = {
    "embedded": lambda: "embedded",
    "epsilon": pipelines.stable_diffusion,
    "v_prediction": functools.partial(pipelines.stable_diffusion, "v_prediction"),
    "sample": functools.partial(pipelines.stable_diffusion, "sample"),
    "xl": pipelines.stable_diffusion_xl,
    "3": pipelines.stable_diffusion_3,
    "flux": pipelines.flux,
}
MODEL = files("conjure_kernel.models") / "embedded" / "model"
SIBLING = Path(__file__).parent / "sibling" / "model"  # a small model of the embedded one's world
SIDE = json.loads((MODEL / "vae/config.json").read_text())["sample_size"]  # pixels of a picture
# EulerDiscreteScheduler hands a tensor to np.array; torch 2.13 lacks the copy keyword of NumPy 2.
IGNORED = "ignore:__array__ implementation:DeprecationWarning"


@functools.cache
def measured(name):
    """Return one denoiser per name, shared by all tests: they leave it as they found it."""
    return load_denoiser(PIPELINES[name]())


def join(trajectories):
    """Return (x, eps), each (T, R, ...), of several prompts: what predict takes."""
    return (
        torch.cat([getattr(t, name) for t in trajectories]).transpose(0, 1) for name in ("x", "eps")
    )


def network(pipeline):
    """Return the module that predicts noise."""
    return pipeline.unet if hasattr(pipeline, "unet") else pipeline.transformer


def jeffreys(denoiser, a, b, chain, n_draws):
    """Return J of each draw, in nats, shape (n_draws,)."""
    weights, legs = torch.as_tensor(chain.grid.weights()), []
    calls = [[a, b]] if denoiser.prompts_share_a_call else [[a], [b]]
    for sources in calls:
        targets = [b if source == a else a for source in sources]
        x, eps = join(denoiser.trace(sources, range(n_draws), chain))
        energies = denoiser.predict(targets, x, eps, chain).double()
        legs.append((weights @ energies).view(-1, n_draws))
    return torch.cat(legs).mean(0)
