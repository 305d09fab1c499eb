"""From the parameters of the public face to an `Engine`: checked, resolved, opened. Layer 4."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from conjure_kernel._checks import check_choice, check_number, check_range
from conjure_kernel.denoiser import Denoiser
from conjure_kernel.energies import Engine
from conjure_kernel.reverse import SAMPLERS
from conjure_kernel.schedule import WEIGHTINGS
from conjure_kernel.settings import Settings

__all__ = ["DEFAULTS", "PAPER", "LeftBehind", "cache_for", "open_engine", "open_model"]
__all__ += ["resolve_seed"]

DEFAULTS: dict[str, Any] = {
    "model": "embedded",
    "model_kwargs": None,
    "n_steps": 10,
    "n_draws": 4,
    "guidance_scale": 1.0,
    "weighting": "jeffreys",
    "sampler": "sde",
    "substeps": 2,
    "nodes": "log_snr",
    "log_snr_range": None,
    "memory": "auto",
    "device": "auto",
    "dtype": "auto",
    "batch_size": "auto",
    "n_jobs": None,
    "tol": None,
    "max_draws": 64,
    "random_state": 0,
    "verbose": 0,
}

# Algorithm 1 of the paper on its model: squared score differences with g = 1 at T model times that
# are evenly spaced. Guidance is the default of Stable Diffusion's own pipeline.
PAPER: dict[str, Any] = {
    "model": "CompVis/stable-diffusion-v1-4",
    "n_steps": 10,
    "n_draws": 1,
    "guidance_scale": 7.5,
    "weighting": "paper",
    "substeps": 1,
    "nodes": "timesteps",
}


class LeftBehind:
    """Stands for a model object in a pickled estimator: weights do not travel."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name} left behind>"


def open_engine(settings: dict[str, Any]) -> tuple[Engine, str]:
    """Engine and weighting from the parameters of the public face; missing ones are defaults."""
    if unknown := sorted(set(settings) - set(DEFAULTS)):
        raise TypeError(f"unexpected {', '.join(unknown)}: expected among {', '.join(DEFAULTS)}.")
    given = {**DEFAULTS, **settings}
    fixed = _check_settings(given)
    engine = Engine(
        open_model(given),
        fixed,
        n_draws=check_number(given["n_draws"], "n_draws", least=1, integer=True),
        memory=cache_for(given["random_state"], given["memory"]),
        batch_size=given["batch_size"],
        n_jobs=given["n_jobs"],
        verbose=given["verbose"],
    )
    if given["tol"] is not None:
        engine.tol = check_number(given["tol"], "tol", least=0, exclusive=True)
        least = max(8, engine.n_draws)
        engine.max_draws = check_number(given["max_draws"], "max_draws", least=least, integer=True)
    return engine, given["weighting"]


def cache_for(random_state: Any, memory: Any) -> Any:
    """`memory`, or None, with a warning, where the seed is a new one each time."""
    if random_state is not None or memory is None:
        return memory
    warnings.warn(
        "random_state=None draws a new seed each time, so the cache is not used. "
        "Pass an integer to keep what is computed.",
        stacklevel=4,
    )
    return None


def _check_settings(given: dict[str, Any]) -> Settings:
    check_choice(given["weighting"], "weighting", WEIGHTINGS)
    if given["batch_size"] != "auto":
        check_number(given["batch_size"], "batch_size", least=1, integer=True)
    if (n_jobs := given["n_jobs"]) is not None and (not isinstance(n_jobs, Integral) or not n_jobs):
        raise ValueError(f"n_jobs={n_jobs!r}: expected None or an integer other than 0.")
    ends = given["log_snr_range"]
    return Settings(
        n_steps=check_number(given["n_steps"], "n_steps", least=1, integer=True),
        substeps=check_number(given["substeps"], "substeps", least=1, integer=True),
        sampler=check_choice(given["sampler"], "sampler", SAMPLERS),
        guidance_scale=check_number(
            given["guidance_scale"], "guidance_scale", least=0, exclusive=True
        ),
        log_snr_range=None if ends is None else check_range(ends),
        nodes=check_choice(given["nodes"], "nodes", ("log_snr", "timesteps")),
        seed=resolve_seed(given["random_state"]),
    )


def resolve_seed(random_state: Any) -> int:
    """Integer seed of an int, a RandomState or None (a new one)."""
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        return check_number(random_state, "random_state", least=0, integer=True)
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    return int(check_random_state(random_state).randint(2**31))


def open_model(given: dict[str, Any]) -> Denoiser:
    """Denoiser of `model`, `model_kwargs`, `device` and `dtype` among the parameters."""
    model = given["model"]
    if isinstance(model, LeftBehind):
        raise ValueError(
            f"{model!r}: model objects do not travel to other processes or into pickles. Save the "
            "pipeline with save_pretrained and pass the folder's name as model, use n_jobs=1, or "
            "set_params(model=...) again."
        )
    if isinstance(model, Denoiser):
        if (given["device"], given["dtype"]) != ("auto", "auto") or given["model_kwargs"]:
            raise ValueError(
                "device, dtype and model_kwargs are for models loaded by name: "
                "a Denoiser that is passed in stays where and as it is."
            )
        return model
    from conjure_kernel.pretrained.load import open_denoiser

    options = given["model_kwargs"] or {}
    return open_denoiser(model, device=given["device"], dtype=given["dtype"], **options)
