"""What the estimators share: an engine opened on demand, weights that never travel, matrices."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from conjure_kernel._checks import check_choice, check_number, check_prompts
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.opening import DetachedModel, open_engine, resolve_seed
from conjure_kernel.engine.parameters import Measurement
from conjure_kernel.method.kernels import PSD, FittedKernel, resolve_bandwidth
from conjure_kernel.models.denoiser import Denoiser

__all__ = ["OUTPUTS", "ModelEstimator", "PromptMatrix", "TextInput"]

# What a matrix of divergences is given out as; a kernel, and directed legs, are more than a
# function of its entries.
OUTPUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "distance": np.sqrt,
    "divergence": np.copy,
}


class ModelEstimator(BaseEstimator):
    """Base of the estimators that measure with a model: clones share it, pickles leave it behind.

    A subclass inherits what it needs of `engine.parameters`, and names in `_models` those of its
    parameters that are models.
    """

    _models: tuple[str, ...] = ("model",)
    random_state: Any
    prompts_: list[str]

    def _open(self) -> Engine:
        """Engine of these parameters; sets `seed_` when there is none yet."""
        if not hasattr(self, "seed_"):
            self.seed_ = resolve_seed(self.random_state)
        return open_engine(Measurement.of_estimator(self), seed=self.seed_)

    def _reopened(self) -> Engine:
        if getattr(self, "_engine", None) is None:
            self._engine = self._open()
        return self._engine

    @property
    def denoiser(self) -> Denoiser:
        """The model as it measures; opened if it is not."""
        return self._reopened().denoiser

    def conjure_images(self, prompts: Sequence[str] | None = None, n: int = 1) -> np.ndarray:
        """Pictures at the ends of the first `n` trajectories of each prompt.

        Parameters
        ----------
        prompts : sequence of str, optional
            Default: the fitted ones, where the estimator has any.
        n : int
            Pictures per prompt: the ends of draws 0 to n - 1, measured ones where there are.

        Returns
        -------
        images : uint8 array of shape (n_prompts, n, height, width, 3)
        """
        check_is_fitted(self)
        if prompts is None and not hasattr(self, "prompts_"):
            raise ValueError(f"{type(self).__name__} keeps no prompts: pass those to be pictured.")
        checked = self.prompts_ if prompts is None else check_prompts(prompts)
        return self._reopened().images(checked, check_number(n, "n", least=1, integer=True))

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
                state[name] = DetachedModel(type(model).__name__)
        return state


class TextInput:
    """Mixin: the tags of an estimator whose input is texts, one or (`_columns`) two in a row."""

    _columns = 1

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.string = True
        tags.input_tags.one_d_array = self._columns == 1
        tags.input_tags.two_d_array = False  # never numbers
        return tags


class PromptMatrix(TextInput, ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Mixin: prompts in, their divergences D from the fitted ones out, or sqrt(D), or exp(-D / h).

    A subclass has the parameters `output`, `bandwidth` and `psd`, names in `_outputs` what it can
    give out, and calls `_fit_output` with the divergences of the fitted prompts.
    """

    _outputs: tuple[str, ...] = (*OUTPUTS, "kernel")
    output: str
    bandwidth: float | str
    psd: str
    divergences_: np.ndarray
    _kernel: FittedKernel | None

    def _check_output(self) -> None:
        check_choice(self.output, "output", self._outputs)
        check_choice(self.psd, "psd", PSD)
        if self.bandwidth != "median":
            check_number(self.bandwidth, "bandwidth", least=0, exclusive=True)

    def _fit_output(self, divergences: np.ndarray) -> None:
        """Keep the divergences of the fitted prompts, and the kernel that they decide."""
        self.divergences_, self._kernel = divergences, None
        if self.output != "kernel":
            self.bandwidth_ = resolve_bandwidth(divergences, self.bandwidth)
            return
        self._kernel = FittedKernel.fit(divergences, self.bandwidth, self.psd)
        self.bandwidth_ = self._kernel.bandwidth
        self.min_eigenvalue_ = self._kernel.min_eigenvalue

    def _express(self, divergences: np.ndarray) -> np.ndarray:
        """What `output` asks for."""
        if self._kernel is not None:
            return self._kernel.rows(divergences)
        return OUTPUTS[self.output](divergences)

    def _express_fitted(self) -> np.ndarray:
        """The square matrix, symmetric to the last bit."""
        matrix = self._express(self.divergences_)
        repaired = self._kernel is not None and self._kernel.projection is not None
        return (matrix + matrix.T) / 2 if repaired else matrix
