"""Distances between texts by the images that they evoke in a text-to-image diffusion model.

Liu & Soatto, "Conjuring Semantic Similarity" (arXiv 2410.16431, ICLR 2026), as scikit-learn
estimators: prompts in; distances and kernels with their uncertainty out.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ConjureDistance": "distance",
    "ConjureEmbedding": "embedding",
    "ConjureDrift": "drift",
    "ConjureKernel": "gp",
    "ConjureNeighbors": "neighbors",
    "ConjurePairs": "pairs",
    "Denoiser": "denoiser",
    "Divergence": "divergence",
    "GaussianDenoiser": "gaussian",
    "ImageDistance": "image_distance",
    "MixtureDenoiser": "gaussian",
    "PAPER": "opening",
    "TextKFold": "folds",
    "ablate": "ablation",
    "accuracy_bound": "divergence",
    "compare": "comparison",
    "evaluate": "evaluation",
    "explain": "explanation",
    "html_map": "interactive",
    "load_denoiser": "pretrained.load",
    "load_pairs": "datasets",
    "model_agreement": "comparison",
    "paired_divergence": "pairwise",
    "pairwise_divergence": "pairwise",
    "rank_agreement": "comparison",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name's home on first use: importing the package loads no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
