"""What stands behind a result: model, settings and versions, the same fields for all of them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from conjure_kernel.engine.engine import Engine

__all__ = ["provenance_of", "versions"]

PACKAGES = ("conjure-kernel", "torch", "diffusers", "transformers", "scikit-learn", "numpy")


def provenance_of(engine: Engine, **more: Any) -> dict[str, Any]:
    """Facts of what an engine measured, JSON-able; `more` belongs to one kind of result."""
    return {
        "model": engine.denoiser.name,
        **engine.key,
        "n_draws": engine.n_draws,
        "weighting": engine.weighting,
        "log_snr_range": list(engine.grid.log_snr_range),
        "versions": versions(),
        **more,
    }


def versions() -> dict[str, str]:
    """Version of this package and of those that a number depends on."""
    return {name: version(name) for name in PACKAGES}
