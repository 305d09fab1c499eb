"""The provenance of a result: model, settings and versions, in the same fields for all results."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.parameters import ORIGINS

__all__ = ["provenance_of", "versions"]

PACKAGES = ("conjure-kernel", "torch", "diffusers", "transformers", "scikit-learn", "numpy")


def provenance_of(engine: Engine, **more: Any) -> dict[str, Any]:
    """Provenance of an engine's measurement, JSON-able; `more` is for one kind of result alone."""
    return {
        "model": engine.denoiser.name,
        "law": (engine.store.read_run() or {}).get("law", ""),
        **engine.key,
        "n_draws": engine.n_draws,
        "weighting": engine.weighting,
        "origin": next((o for o, prompt in ORIGINS.items() if prompt == engine.origin), None),
        "log_snr_range": list(engine.grid.log_snr_range),
        "versions": versions(),
        **more,
    }


def versions() -> dict[str, str]:
    """Versions of this package and of those on which a number depends."""
    return {name: version(name) for name in PACKAGES}
