"""From the parameters of a measurement to an `Engine`: they are checked, resolved and opened."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np

from conjure_kernel._checks import (
    CacheWarning,
    check_choice,
    check_memory,
    check_number,
    check_range,
    quote,
)
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.parameters import Measurement, prompt_of_origin
from conjure_kernel.engine.settings import Settings
from conjure_kernel.engine.stopping import fewest_draws
from conjure_kernel.method.grid import NODES, WEIGHTINGS
from conjure_kernel.method.reverse import SAMPLERS
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.identity import DetachedModel

STEP_BYTES = 64.0  # what the grid alone keeps of a step

__all__ = ["open_engine", "open_model", "refuse_origin", "resolve_seed"]


def open_engine(
    given: Measurement | Mapping[str, Any],
    kind: type[Settings] = Settings,
    seed: int | None = None,
    role: int = 0,
) -> Engine:
    """Open the engine of a measurement's parameters.

    Parameters
    ----------
    given : Measurement or mapping of its parameters
        Those that are missing have their defaults.
    kind : type
        The kind of settings: `BothBranches` where guided predictions themselves are compared.
    seed : int, optional
        The seed to which `random_state` was resolved. Default: it is resolved now.
    role : int
        Measurements with the same seed share their noise, but not those of other roles: the second
        of two models that are compared without pairs gets 1, so that their errors are independent.

    Returns
    -------
    engine : Engine
        Its model is not loaded yet.

    Raises
    ------
    TypeError, ValueError
        A parameter is unknown, or its value is not valid.
    """
    measurement = given if isinstance(given, Measurement) else Measurement.of(given)
    settings = _check_settings(measurement, kind, seed, role)
    n_draws = check_number(measurement.n_draws, "n_draws", least=1, integer=True)
    tol, max_draws = measurement.tol, measurement.max_draws
    if tol is not None:
        tol = check_number(tol, "tol", least=0, exclusive=True)
        least = max(fewest_draws(settings), n_draws)
        max_draws = check_number(max_draws, "max_draws", least=least, integer=True)
    denoiser = open_model(measurement)
    denoiser.refresh(ask=True)  # what it is now; the engine's variants rely on it
    return Engine(
        denoiser,
        settings,
        weighting=measurement.weighting,
        origin=prompt_of_origin(measurement.origin),
        n_draws=n_draws,
        tol=tol,
        max_draws=max_draws,
        check_steps=check_number(measurement.check_steps, "check_steps", least=0, integer=True),
        memory=_memory_of(measurement),
        batch_size=measurement.batch_size,
        n_jobs=measurement.n_jobs,
        verbose=measurement.verbose,
    )


def open_model(measurement: Measurement) -> Denoiser:
    """Open the model that `model`, `model_kwargs`, `device` and `dtype` name; load no weights."""
    model, place = measurement.model, (measurement.device, measurement.dtype)
    if isinstance(model, DetachedModel):
        raise ValueError(
            f"model={model!r}: expected a model, but model objects do not travel to other "
            "processes or into pickles; save the pipeline with save_pretrained and pass the "
            "folder's name as model, use n_jobs=1, or set_params(model=...) again."
        )
    if isinstance(model, Denoiser):
        if place != ("auto", "auto") or measurement.model_kwargs:
            raise ValueError(
                f"device={place[0]!r}, dtype={place[1]!r}, "
                f"model_kwargs={quote(measurement.model_kwargs)}: expected the defaults, as a "
                "Denoiser that is passed in stays where and as it is; leave them out."
            )
        return model
    from conjure_kernel.models.pretrained.load import open_denoiser

    options = measurement.model_kwargs or {}
    return open_denoiser(model, device=place[0], dtype=place[1], **options)


def refuse_origin(engine: Engine, why: str) -> None:
    """Raise a ValueError where an origin is set and would mean nothing."""
    if engine.origin is not None:
        raise ValueError(f"origin: expected None, as {why}; leave it out.")


def resolve_seed(random_state: Any) -> int:
    """Integer seed of an int, a RandomState or None, which gives a new one."""
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        return check_number(random_state, "random_state", least=0, integer=True)
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    from sklearn.utils import check_random_state  # which takes half a second to import

    return int(check_random_state(random_state).randint(2**31))


def _check_settings(
    given: Measurement, kind: type[Settings], seed: int | None, role: int
) -> Settings:
    check_choice(given.weighting, "weighting", tuple(WEIGHTINGS))
    if given.batch_size != "auto":
        check_number(given.batch_size, "batch_size", least=1, integer=True)
    if (n_jobs := given.n_jobs) is not None and (not isinstance(n_jobs, Integral) or not n_jobs):
        raise ValueError(f"n_jobs={n_jobs!r}: expected None or an integer other than 0.")
    ends, guidance = given.log_snr_range, given.guidance_scale
    n_steps = check_number(given.n_steps, "n_steps", least=1, integer=True)
    substeps = check_number(given.substeps, "substeps", least=1, integer=True)
    check_memory(STEP_BYTES * n_steps * substeps, f"n_steps={n_steps}, substeps={substeps}")
    return kind(
        n_steps=n_steps,
        substeps=substeps,
        sampler=check_choice(given.sampler, "sampler", tuple(SAMPLERS)),
        guidance_scale=check_number(guidance, "guidance_scale", least=0, exclusive=True),
        log_snr_range=None if ends is None else check_range(ends),
        nodes=check_choice(given.nodes, "nodes", tuple(NODES)),
        seed=resolve_seed(given.random_state) if seed is None else seed,
        role=role,
        chains_per_draw=_check_chains(given),
        shared_noise=_check_flag(given.shared_noise, "shared_noise"),
    )


def _check_chains(given: Measurement) -> int:
    """Chains of a draw; more than noise levels there need not be, as each serves its own."""
    number = check_number(given.chains_per_draw, "chains_per_draw", least=1, integer=True)
    return min(number, given.n_steps)


def _check_flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}={quote(value)}: expected True or False.")
    return bool(value)


def _memory_of(given: Measurement) -> Any:
    """`memory`; None, with a warning, where every call has a new seed."""
    if given.random_state is not None or given.memory is None:
        return given.memory
    warnings.warn(
        "random_state=None: every call has a new seed, so the cache is not used; pass an integer "
        "to keep what is computed.",
        category=CacheWarning,
        stacklevel=4,
    )
    return None
