"""What the estimators share: an engine opened when it is needed, and weights that never travel.

Layer 4.
"""

from __future__ import annotations

import copy
from importlib.metadata import version
from typing import Any

from sklearn.base import BaseEstimator

from conjure_kernel.denoiser import Denoiser
from conjure_kernel.divergence import Divergence
from conjure_kernel.energies import Engine
from conjure_kernel.opening import DEFAULTS, LeftBehind, cache_for, open_engine, resolve_seed

__all__ = ["ModelEstimator"]


class ModelEstimator(BaseEstimator):
    """Base of the estimators that measure with a model: clones share it, pickles leave it behind.

    A subclass has the parameters of `ConjureDistance` that it needs under the same names, and names
    in `_models` those that are models.
    """

    _models: tuple[str, ...] = ("model",)
    model: Any
    random_state: Any
    memory: Any

    def _open(self) -> Engine:
        """Engine of these parameters; sets `seed_` when there is none yet."""
        if not hasattr(self, "seed_"):
            self.seed_ = resolve_seed(self.random_state)
        parameters = self.get_params(deep=False)
        settings = {name: parameters[name] for name in DEFAULTS if name in parameters}
        settings["memory"] = cache_for(self.random_state, self.memory)
        return open_engine({**settings, "random_state": self.seed_})[0]

    def _reopened(self) -> Engine:
        if getattr(self, "_engine", None) is None:
            self._engine = self._open()
        return self._engine

    @property
    def denoiser(self) -> Denoiser:
        """The model as it measures; opened if it is not."""
        return self._reopened().denoiser

    def _provenance(self, measured: Divergence) -> dict[str, Any]:
        """Model, fingerprint, settings and versions behind a measurement."""
        engine = self._engine
        return {
            **engine.key,
            "model": self.model if isinstance(self.model, str) else repr(engine.denoiser)[:200],
            "n_draws": measured.n_draws,
            "weighting": measured.weighting,
            "log_snr_range": measured.grid.log_snr_range,
            "versions": {name: version(name) for name in ("torch", "diffusers", "scikit-learn")},
        }

    def __sklearn_clone__(self) -> Any:
        shell = copy.copy(self)
        for name in self._models:
            setattr(shell, name, None)
        twin = super(ModelEstimator, shell).__sklearn_clone__()
        for name in self._models:  # heavy and read-only: shared
            setattr(twin, name, getattr(self, name))
        return twin

    def __deepcopy__(self, memo: dict) -> Any:
        shared = {*self._models, "_engine"}
        twin = type(self).__new__(type(self))
        for name, value in vars(self).items():
            setattr(twin, name, value if name in shared else copy.deepcopy(value, memo))
        return twin

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_engine", None)
        for name in self._models:
            model = getattr(self, name)
            if hasattr(model, "components"):  # a pipeline object: its weights do not travel
                state[name] = LeftBehind(type(model).__name__)
        return state
