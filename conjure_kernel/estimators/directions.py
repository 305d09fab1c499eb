"""`Directions`: where guidance pulls under a few prompts; importing it loads no scikit-learn."""

from __future__ import annotations

from dataclasses import replace

from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.parameters import Measurement, PoolParameters
from conjure_kernel.estimators.vectors import PooledVectors
from conjure_kernel.method import blocks
from conjure_kernel.models.denoiser import Denoiser

__all__ = ["Directions"]


class Directions(PooledVectors):
    """Vectors of a few prompts on a pool of their own chains, seen from the empty prompt.

    They are those of ``ConjureEmbedding(origin="empty").fit(prompts)``, with its defaults.

    Parameters
    ----------
    engine : Engine
        The model, the cache and the settings; draws and chains per draw are those of vectors.
    prompts : list of str
        At most as many as an embedding has references.
    """

    n_components, n_points = PoolParameters.n_components, PoolParameters.n_points
    n_blocks, origin = PoolParameters.n_blocks, "empty"

    def __init__(self, engine: Engine, prompts: list[str]) -> None:
        settings = replace(engine.settings, chains_per_draw=1, shared_noise=False)
        self._engine = engine.variant(settings, Measurement.n_draws)
        self.references_, self.weighting = prompts, engine.weighting

    @property
    def denoiser(self) -> Denoiser:
        """The model."""
        return self._engine.denoiser

    def _fitted_engine(self) -> Engine:
        return self._engine

    def cosine(self, a: str, b: str) -> tuple[float, float]:
        """Cosine of the directions of two prompts, in [-1, 1], and its standard error."""
        left, right = self._embed([a]), self._embed([b])
        errors = blocks.cosine_errors(left, right, self.n_blocks)
        return float(blocks.cosines(left, right)[0]), float(errors[0])
