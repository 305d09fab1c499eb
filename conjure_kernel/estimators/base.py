"""What the estimators share: an engine, clones and pickles without weights, matrices of prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from conjure_kernel._checks import check_choice, check_number, check_prompts
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.opening import open_engine, resolve_seed
from conjure_kernel.engine.parameters import Measurement
from conjure_kernel.estimators.fitting import FittedWhole, as_fitted
from conjure_kernel.method.kernels import PSD, FittedKernel, resolve_bandwidth
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.identity import detach, identify

__all__ = ["OUTPUTS", "ModelEstimator", "NamedByPrompts", "PromptMatrix", "TextInput"]

# The outputs that are a function of each divergence. A kernel needs the whole matrix, and "kl"
# the directed legs.
OUTPUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "distance": np.sqrt,
    "divergence": np.copy,
}


class ModelEstimator(FittedWhole):
    """Base of the estimators that measure with a model.

    Clones share the model, and pickles hold no weights of a pipeline. A subclass inherits its
    parameters from `engine.parameters` and lists in `_shared` those of them that are models.
    """

    _shared: tuple[str, ...] = ("model",)
    random_state: Any
    model_kwargs: dict[str, Any] | None
    provenance_: dict[str, Any]
    prompts_: list[str]

    def open_engine(self) -> Engine:
        """Open a new engine with the estimator's parameters, and its seed if it has one.

        Returns
        -------
        engine : Engine
            It measures pairs of prompts, and knows the cache and the cost. No weights are loaded
            before something has to be computed.
        """
        return open_engine(Measurement.of_estimator(self), seed=self._seed())

    def _seed(self) -> int:
        """`seed_`; resolved from `random_state` if there is none yet."""
        return self.seed_ if hasattr(self, "seed_") else resolve_seed(self.random_state)

    def _begin(self) -> Engine:
        """The engine of a new fit, under a seed that is resolved now."""
        self.seed_ = resolve_seed(self.random_state)
        self._engine = self.open_engine()
        return self._engine

    def _fitted_engine(self) -> Engine:
        """The engine of the last fit; opened again after a pickle, with the same model."""
        if getattr(self, "_engine", None) is None:
            engine = self.open_engine()
            known = getattr(self, "provenance_", engine.key)["fingerprint"]
            if engine.key["fingerprint"] != known:
                raise ValueError(
                    f"{', '.join(self._shared)}: expected the model of the fit, with fingerprint "
                    f"{known}, got another one, {engine.key['fingerprint']}; restore that model, "
                    "or fit again."
                )
            self._engine = engine
        return self._engine

    @property
    def denoiser(self) -> Denoiser:
        """The model with which the estimator measures; opened if it is not."""
        return self._fitted_engine().denoiser

    @as_fitted
    def conjure_images(self, prompts: Sequence[str] | None = None, n: int = 1) -> np.ndarray:
        """Pictures at the ends of the first `n` trajectories of each prompt.

        Parameters
        ----------
        prompts : sequence of str, length n_prompts, optional
            Default: the fitted prompts, where the estimator keeps any.
        n : int, default 1
            Pictures per prompt: the ends of draws 0 to n - 1. Trajectories that were measured are
            used again.

        Returns
        -------
        images : uint8 array of shape (n_prompts, n, height, width, 3)
        """
        checked, n = self._check_pictured(prompts, n)
        return self._fitted_engine().images(checked, n)

    def _check_pictured(self, prompts: Sequence[str] | None, n: int) -> tuple[list[str], int]:
        """The arguments of `conjure_images`, checked."""
        if prompts is None and not hasattr(self, "prompts_"):
            raise ValueError(
                f"prompts=None: expected the prompts to picture, as {type(self).__name__} keeps "
                "none; pass them."
            )
        checked = self.prompts_ if prompts is None else check_prompts(prompts)
        return checked, check_number(n, "n", least=1, integer=True)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_engine", None)
        fitted, revision = state.get("_fitted_params"), (self.model_kwargs or {}).get("revision")
        for name in self._shared:
            state[name] = detach(own := getattr(self, name))
            if fitted:
                model = fitted[name]
                model = state[name] if model is own else detach(model)
                fitted = state["_fitted_params"] = {**fitted, name: model}
        # For whoever hashes a pickle: a name stays when its folder gets another model.
        state["_identities"] = [identify(state[name], revision) for name in self._shared]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({n: v for n, v in state.items() if n != "_identities"})


class TextInput:
    """Mixin with the tags of an estimator whose input is text: `_columns` texts in each row."""

    _columns = 1

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.string = True
        tags.input_tags.one_d_array = self._columns == 1
        tags.input_tags.two_d_array = False  # never numbers
        return tags


class NamedByPrompts:
    """Mixin of estimators whose columns are the fitted prompts."""

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns: the fitted prompts, made unique as "a dog", "a dog (2)"."""
        check_is_fitted(self)
        names: dict[str, None] = {}
        for prompt in self.prompts_:  # type: ignore[attr-defined]
            number, name = 1, prompt
            while name in names:
                number, name = number + 1, f"{prompt} ({number + 1})"
            names[name] = None
        return np.array(list(names), dtype=object)


class PromptMatrix(TextInput, NamedByPrompts, TransformerMixin):
    """Mixin that turns divergences D from the fitted prompts into D, sqrt(D) or exp(-D / h).

    A subclass has the parameters `output`, `bandwidth` and `psd`, lists in `_outputs` what it can
    return, and calls `_fit_output` with the divergences of the fitted prompts.
    """

    _outputs: tuple[str, ...] = (*OUTPUTS, "kernel")
    output: str
    bandwidth: float | str
    psd: str
    divergences_: np.ndarray
    _kernel: FittedKernel | None
    _tell_once: Callable[[str, str], None]

    def _check_output(self) -> None:
        check_choice(self.output, "output", self._outputs)
        check_choice(self.psd, "psd", PSD)
        if self.bandwidth != "median":
            check_number(self.bandwidth, "bandwidth", least=0, exclusive=True)

    def _fit_output(self, divergences: np.ndarray) -> None:
        """Keep the divergences of the fitted prompts, and the kernel that follows from them."""
        self.divergences_, self._kernel = divergences, None
        if self.output != "kernel":
            self.bandwidth_ = resolve_bandwidth(divergences, self.bandwidth)
            return
        self._kernel = FittedKernel.fit(divergences, self.bandwidth, self.psd)
        self.bandwidth_ = self._kernel.bandwidth
        self.min_eigenvalue_ = self._kernel.min_eigenvalue

    def _express(self, divergences: np.ndarray) -> np.ndarray:
        """Rows of divergences from the fitted prompts, as `output` says.

        Methods that ask for rows of new prompts are those that need a positive semi-definite
        kernel; what clusters the square matrix does not, and hears nothing.
        """
        if self._kernel is not None and self._kernel.complaint:
            self._tell_once(self._kernel.complaint, "psd")
        return self._as_output(divergences)

    def _as_output(self, divergences: np.ndarray) -> np.ndarray:
        if self._kernel is not None:
            return self._kernel.rows(divergences)
        return OUTPUTS[self.output](divergences)

    def _express_fitted(self) -> np.ndarray:
        """The square matrix, symmetric to the last bit."""
        matrix = self._as_output(self.divergences_)
        repaired = self._kernel is not None and self._kernel.projection is not None
        return (matrix + matrix.T) / 2 if repaired else matrix
