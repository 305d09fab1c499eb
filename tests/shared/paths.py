"""What a measurement can do, once each: the list behind the tests of simulated and real devices."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import pipelines
from conjure_kernel import (
    ConjureDistance,
    ConjureDrift,
    ConjureEmbedding,
    ConjureNeighbors,
    explain,
    explain_words,
    paired_divergence,
    pairwise_divergence,
)
from measured import A, B

RUN = {"n_steps": 3, "n_draws": 2, "memory": None, "chains_per_draw": 1, "check_steps": 0}
FEW = [A, B, "a dog", "the old house"]


@dataclass(frozen=True)
class Path:
    """A path through the package: the pipelines it needs, and numbers that it gives of them."""

    kinds: tuple[Callable[[], Any], ...]
    run: Callable[..., np.ndarray]

    def models(self) -> list[Any]:
        """Return new pipelines, on the CPU."""
        return [kind() for kind in self.kinds]


def matrix(pipe, **more):
    return pairwise_divergence(FEW[:3], model=pipe, **RUN | more).values


def pairs(pipe):
    return paired_divergence([(A, B), (B, FEW[2])], model=pipe, **RUN).values


def vectors(pipe):
    made = ConjureEmbedding(pipe, n_references=2, n_steps=3, memory=None).fit_transform(FEW)
    return made @ made.T


def neighbors(pipe):
    graph = ConjureNeighbors(pipe, n_neighbors=1, **RUN)
    return graph.fit_transform(FEW).toarray()


def drift(one, two):
    return ConjureDrift(one, two, **RUN).fit([A, B]).divergences_


def explained(pipe):
    return np.asarray(explain(A, B, model=pipe, n_steps=3, n_draws=2).divergence)


def words(pipe):
    return explain_words("dog", model=pipe, n_steps=3, n_draws=2, shapley=True).shapley.values


def pictures(pipe):
    fitted = ConjureDistance(pipe, **RUN).fit([A, B])
    return fitted.conjure_images(n=1).astype(float).mean((2, 3, 4))


def world(shift=0.0):
    """Return a world of Gaussians, whose network is small: what is tried is all around it."""
    rng = np.random.default_rng(0)
    means = {prompt: rng.normal(size=16) for prompt in (*FEW, "")}
    return {prompt: (mean + shift, rng.uniform(0.5, 1.5, 16)) for prompt, mean in means.items()}


def flow_of_one_space():
    """Return a flow with the autoencoder of Stable Diffusion."""
    pipe = pipelines.gaussian_stable_diffusion_3(world())
    pipe.vae.register_to_config(scaling_factor=0.18215, shift_factor=0.0)
    return pipe


def SD(shift=0.0):
    return pipelines.gaussian_stable_diffusion(world(shift))


def FLOW():
    return pipelines.gaussian_stable_diffusion_3(world())


def FLUX():
    return pipelines.gaussian_flux(world())


PATHS = {
    "a matrix": Path((SD,), matrix),
    "a matrix of a flow": Path((FLOW,), matrix),
    "a matrix of packed tokens": Path((FLUX,), matrix),
    "a guided matrix": Path((SD,), lambda pipe: matrix(pipe, guidance_scale=3.0)),
    "a range of its own": Path((SD,), lambda pipe: matrix(pipe, log_snr_range=(-2, 4))),
    "chains in turn": Path((SD,), lambda pipe: matrix(pipe, chains_per_draw=3)),
    "steps that are checked": Path((SD,), lambda pipe: matrix(pipe, check_steps=1, n_steps=4)),
    "pairs": Path((SD,), pairs),
    "draws until they suffice": Path((SD,), lambda pipe: matrix(pipe, tol=0.5, max_draws=8)),
    "vectors": Path((SD,), vectors),
    "neighbors": Path((SD,), neighbors),
    "a drift": Path((SD, lambda: SD(0.3)), drift),
    "a drift between two laws": Path((SD, flow_of_one_space), drift),
    "an explanation": Path((SD,), explained),
    "words": Path((SD,), words),
    "pictures": Path((SD,), pictures),
}
