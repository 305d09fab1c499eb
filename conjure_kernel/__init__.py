"""Distances between texts by the images that they evoke in a text-to-image diffusion model.

Liu & Soatto, "Conjuring Semantic Similarity" (arXiv 2410.16431, ICLR 2026), as scikit-learn
estimators: prompts in; distances and kernels with their uncertainty out.

The folders are the floors of the house, each of which uses only those before it: method, models,
cache, engine, estimators, evaluation, plot, cli. Public are this package, `models`, `evaluation`
and `plot`; `__init__.pyi` lists the names, each imported when it is first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
