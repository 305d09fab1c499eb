"""`ConjureKernel`: exp(-J / h) on texts, for scikit-learn's Gaussian processes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process.kernels import (
    GenericKernelMixin,
    Hyperparameter,
    Kernel,
)

from conjure_kernel._checks import check_prompts, same_value
from conjure_kernel.cache.folder import canonical
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.pairwise import measure_matrix
from conjure_kernel.estimators.distance import ConjureDistance
from conjure_kernel.method.kernels import UnitKernel, jeffreys_kernel

__all__ = ["ConjureKernel"]

REMEMBERED = 8  # matrices of divergences: a fit needs one, a prediction two


class ConjureKernel(GenericKernelMixin, Kernel):
    r"""Kernel on raw texts for `GaussianProcessRegressor` and `GaussianProcessClassifier`.

    .. math:: k(a, b) = \exp(-J(a, b) / h)

    The matrix is made positive semi-definite: negative eigenvalues become 0, and the diagonal is
    scaled back to 1. Rows of new texts go through the same map. Divergences are measured once and
    shared by all copies of the kernel, so a search for the bandwidth makes no more predictions.

    Parameters
    ----------
    distance : ConjureDistance, optional
        The estimator whose settings measure J; its output, bandwidth and psd are not used.
        Default: `ConjureDistance()`.
    bandwidth : float, default 10
        h in nats, the hyperparameter. Start near the median J (`ConjureDistance().bandwidth_`): far
        from it the kernel is constant or the identity, and the likelihood is flat.
    bandwidth_bounds : (float, float) or "fixed", default (1e-2, 1e5)
        Range in which a fit searches the bandwidth, in nats.

    Examples
    --------
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from conjure_kernel import ConjureDistance, GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4, "a car": 3.0})
    >>> kernel = ConjureKernel(ConjureDistance(world, memory=None), bandwidth=1.0)
    >>> regressor = GaussianProcessRegressor(kernel, alpha=0.01)
    >>> regressor.fit(["a dog", "a car"], [1.0, 0.0]).predict(["a cat"]).round(2)
    array([0.54])
    """

    def __init__(
        self,
        distance: ConjureDistance | None = None,
        bandwidth: float = 10.0,
        bandwidth_bounds: tuple[float, float] | str = (1e-2, 1e5),
    ) -> None:
        self.distance = distance
        self.bandwidth = bandwidth
        self.bandwidth_bounds = bandwidth_bounds
        self._measured = _Measured()

    @property
    def hyperparameter_bandwidth(self) -> Hyperparameter:
        """The bandwidth, searched on a log scale."""
        return Hyperparameter("bandwidth", "numeric", self.bandwidth_bounds)

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        """Kernel matrix of texts.

        Parameters
        ----------
        X : sequence of str, length n
        Y : sequence of str, length m, optional
            The texts that a model was fitted on. Default: X.
        eval_gradient : bool, default False
            Also return the derivative by log(bandwidth); only without Y.

        Returns
        -------
        kernel : array of shape (n, m)
        gradient : array of shape (n, n, 1), or (n, n, 0) where the bandwidth is fixed
        """
        rows = check_prompts(X, "X")
        if Y is not None:
            if eval_gradient:
                raise ValueError(
                    "eval_gradient=True: expected no Y, as the gradient is that of k(X, X); "
                    "leave Y out."
                )
            return self._cross(rows, check_prompts(Y, "Y"))
        divergences = self._divergences(rows, rows)
        fitted = UnitKernel.fit(divergences, self.bandwidth)
        if not eval_gradient:
            return fitted.matrix
        if self.hyperparameter_bandwidth.fixed:
            return fitted.matrix, np.empty((*divergences.shape, 0))
        return fitted.matrix, _slope(fitted, divergences)[..., None]

    def _cross(self, rows: list[str], fitted: list[str]) -> np.ndarray:
        """Rows of any texts over fitted ones."""
        kernel = UnitKernel.fit(self._divergences(fitted, fitted), self.bandwidth)
        return kernel.rows(self._divergences(rows, fitted))

    def diag(self, X: Any) -> np.ndarray:
        """Diagonal of k(X, X): ones of shape (n,)."""
        return np.ones(len(X))

    def is_stationary(self) -> bool:
        """Return False: texts have no differences."""
        return False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bandwidth={self.bandwidth:.3g})"

    def __eq__(self, other: object) -> bool:
        """Whether another kernel measures with the same model and settings."""
        if type(self) is not type(other):
            return False
        first, second = (
            {**k.get_params(), "distance": _of(k).get_params(deep=False)} for k in (self, other)
        )
        return same_value(first, second)

    __hash__ = None  # type: ignore[assignment]

    def __sklearn_clone__(self) -> ConjureKernel:
        distance = None if self.distance is None else clone(self.distance)  # it shares the model
        twin = type(self)(distance, self.bandwidth, self.bandwidth_bounds)
        twin._measured = self._measured
        return twin

    def _divergences(self, rows: list[str], columns: list[str]) -> np.ndarray:
        return self._measured.divergences(_of(self), rows, columns)


def _of(kernel: Any) -> ConjureDistance:
    """The estimator with whose settings a kernel measures."""
    return ConjureDistance() if kernel.distance is None else kernel.distance


class _Measured:
    """The last matrices of divergences, for all copies of a kernel.

    Matrices are known by what they are measured from: the model's fingerprint and all settings. The
    last engine is known by the parameters themselves, which are held on to, so that no other model
    can come to stand at their addresses.
    """

    def __init__(self) -> None:
        self._engine: tuple[dict[str, Any], Engine] | None = None
        self._matrices: dict[str, np.ndarray] = {}

    def divergences(
        self, distance: ConjureDistance, rows: list[str], columns: list[str]
    ) -> np.ndarray:
        engine = self._open(distance)
        key = _content(engine, rows, columns)
        if key not in self._matrices:
            self._matrices[key] = measure_matrix(engine, rows, columns).values
            for oldest in list(self._matrices)[:-REMEMBERED]:
                del self._matrices[oldest]
        return self._matrices[key]

    def _open(self, distance: ConjureDistance) -> Engine:
        """Engine of the distance, opened anew when a parameter or the model's weights changed."""
        given = distance.get_params(deep=False)
        if self._engine is not None:
            held, engine = self._engine
            same_model = engine.key == engine.settings.key(engine.denoiser)
            if same_model and same_value(held, given):
                return engine
        engine = clone(distance).open_engine()
        self._engine = given, engine
        return engine

    def __getstate__(self) -> dict[str, Any]:
        return {"_engine": None, "_matrices": self._matrices}  # weights do not travel


def _content(engine: Engine, rows: list[str], columns: list[str]) -> str:
    """What fixes a matrix of divergences, as a text."""
    stopping = (engine.n_draws, engine.tol, engine.max_draws)
    derived = (engine.weighting, engine.origin)
    known = [canonical(engine.key), stopping, derived, rows, columns]
    return json.dumps(known, sort_keys=True)


def _slope(fitted: UnitKernel, divergences: np.ndarray) -> np.ndarray:
    """Derivative of the matrix by log(bandwidth), (n, n)."""
    values, vectors, h = fitted.values, fitted.vectors, fitted.bandwidth
    plain = jeffreys_kernel(divergences, h) * divergences / h
    slope = vectors @ (_clip_slopes(values) * (vectors.T @ plain @ vectors)) @ vectors.T
    shrink = np.diag(slope) / fitted.diagonal / 2
    return fitted.scaled(slope) - fitted.matrix * (shrink[:, None] + shrink)


def _clip_slopes(values: np.ndarray) -> np.ndarray:
    """Divided differences of max(., 0) at the eigenvalues: derivative of a clipped matrix."""
    gaps = values[:, None] - values
    clipped = values.clip(0)
    equal = gaps == 0
    slopes = (clipped[:, None] - clipped) / np.where(equal, 1, gaps)
    return np.where(equal, (values > 0).astype(float)[:, None], slopes)
