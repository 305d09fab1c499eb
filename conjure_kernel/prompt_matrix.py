"""What the estimators of a matrix share: what its divergences are given out as, and their tags.

Layer 4, no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags

from conjure_kernel._checks import check_choice, check_number
from conjure_kernel.kernels import (
    handle_negative,
    jeffreys_kernel,
    median_bandwidth,
    warn_if_flat,
)

__all__ = ["PromptMatrix"]


class PromptMatrix(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Mixin: prompts in, their divergences D from the fitted ones out, or sqrt(D), or exp(-D / h).

    A subclass has the parameters `output`, `bandwidth` and `psd`, names in `_outputs` what it can
    give out, and keeps `divergences_`.
    """

    _outputs: tuple[str, ...] = ("distance", "divergence", "kernel")
    output: str
    bandwidth: float | str
    psd: str
    divergences_: np.ndarray

    def _check_output(self) -> None:
        check_choice(self.output, "output", self._outputs)
        check_choice(self.psd, "psd", ("warn", "clip", "raise"))
        if self.bandwidth != "median":
            check_number(self.bandwidth, "bandwidth", least=0, exclusive=True)

    def _prepare_kernel(self) -> None:
        median, self._clipping = self.bandwidth == "median", None
        self.bandwidth_ = median_bandwidth(self.divergences_) if median else float(self.bandwidth)
        if self.output != "kernel":
            return
        kernel = jeffreys_kernel(self.divergences_, self.bandwidth_)
        warn_if_flat(kernel, self.divergences_, self.bandwidth_)
        self.min_eigenvalue_, self._clipping = handle_negative(kernel, self.psd)

    def _express(self, divergences: np.ndarray) -> np.ndarray:
        """What `output` asks for."""
        if self.output == "divergence":
            return divergences.copy()
        if self.output == "distance":
            return np.sqrt(divergences)
        kernel = jeffreys_kernel(divergences, self.bandwidth_)
        return kernel if self._clipping is None else kernel @ self._clipping

    def _express_fitted(self) -> np.ndarray:
        """The square matrix, symmetric to the last bit."""
        matrix = self._express(self.divergences_)
        return matrix if self._clipping is None else (matrix + matrix.T) / 2

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags
