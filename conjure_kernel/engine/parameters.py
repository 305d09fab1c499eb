"""The parameters of a measurement, declared once: their names, types and defaults.

The estimators inherit them, functions take them as keywords, and `Settings` and the command line
read their defaults here. The docstring of `ConjureDistance` explains each. Importing this file
loads no torch. The dataclasses have no repr and eq, as estimators have those of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from conjure_kernel._checks import check_choice

__all__ = ["EXPLAINED_DRAWS", "OF_A_MAP", "ORIGINS", "PAPER", "ChainParameters", "Measurement"]
__all__ += ["MeasurementParameters", "ModelParameter", "OriginParameter", "Parameters"]
__all__ += ["PoolParameters", "prompt_of_origin"]

ORIGINS = {"empty": ""}  # prompts that say nothing in particular, by name
EXPLAINED_DRAWS = 4  # the default of `explain`, whose draws are one whole chain each


@dataclass(kw_only=True, repr=False, eq=False)
class ChainParameters:
    """How and where chains are run: what every measurement needs beside its model."""

    n_steps: int = 10
    guidance_scale: float = 1.0
    weighting: str = "jeffreys"
    sampler: str = "sde"
    substeps: int = 2
    nodes: str = "log_snr"
    log_snr_range: tuple[float, float] | None = None
    model_kwargs: dict[str, Any] | None = None
    memory: Any = "auto"
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | str = "auto"
    n_jobs: int | None = None
    random_state: Any = 0
    verbose: int = 0


@dataclass(kw_only=True, repr=False, eq=False)
class Parameters(ChainParameters):
    """How and where chains are run, and how many draws there are."""

    n_draws: int = 2
    tol: float | None = None
    max_draws: int = 64
    shared_noise: bool = False
    chains_per_draw: int = 3
    check_steps: int = 4


@dataclass(kw_only=True, repr=False, eq=False)
class ModelParameter:
    """The model, which may be passed by position."""

    model: Any = field(default="embedded", kw_only=False)


@dataclass(kw_only=True, repr=False, eq=False)
class PoolParameters:
    """The pool of noisy points on which vectors are made; see `ConjureEmbedding`."""

    n_components: int | None = 1024
    n_references: int = 16
    n_points: int = 8
    n_blocks: int = 8


@dataclass(kw_only=True, repr=False, eq=False)
class OriginParameter:
    """What divergences are relative to."""

    origin: str | None = None


@dataclass(kw_only=True, repr=False, eq=False)
class MeasurementParameters(OriginParameter, ModelParameter, Parameters):
    """Everything that fixes a measurement but its prompts, for estimators."""


@dataclass(kw_only=True, repr=False, eq=False)
class Measurement(MeasurementParameters):
    """Everything that fixes a measurement but its prompts."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Measurement:
        """Measurement with the given parameters; the others have their defaults."""
        names = [f.name for f in fields(cls)]
        if unknown := sorted(set(given) - set(names)):
            raise TypeError(
                f"{', '.join(unknown)}: expected settings among {', '.join(names)}; look for a "
                "misspelt name."
            )
        return cls(**given)

    @classmethod
    def of_estimator(cls, estimator: Any) -> Measurement:
        """Measurement with the parameters of an estimator, which may have others too.

        One without draws (vectors) runs whole chains, and has no J of which steps could be checked.
        """
        names = {f.name for f in fields(cls)}
        given = {"chains_per_draw": 1, "check_steps": 0, **estimator.get_params(deep=False)}
        return cls(**{name: value for name, value in given.items() if name in names})


def prompt_of_origin(origin: str | None) -> str | None:
    """The prompt that an origin names; a ValueError if there is no such origin."""
    return None if origin is None else ORIGINS[check_choice(origin, "origin", tuple(ORIGINS))]


# Algorithm 1 of the paper on its model. Stated there: model, T, one noise for both prompts, evenly
# spaced model times and g = 1; K from 1 to 5. Assumed here: guidance (the default of Stable
# Diffusion's own pipeline), the sampler (the reverse SDE), and that "score" means eps / sigma; with
# weighting="noise" it means eps, and both come from the same predictions.
PAPER: dict[str, Any] = {
    "model": "CompVis/stable-diffusion-v1-4",
    "n_steps": 10,
    "n_draws": 1,
    "shared_noise": True,
    "chains_per_draw": 1,
    "check_steps": 0,
    "guidance_scale": 7.5,
    "sampler": "sde",
    "weighting": "paper",
    "substeps": 1,
    "nodes": "timesteps",
}

# Vectors of a map: four noisy points a level rank prompts as eight do (docs/embedding.md), at half
# the price.
OF_A_MAP: dict[str, Any] = {"origin": "empty", "normalize": True, "n_points": 4, "n_blocks": 4}
