"""`ConjurePairs`: features of pairs of texts, for a regression on human scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin

from conjure_kernel._checks import check_choice, check_pairs
from conjure_kernel.engine.pairwise import Measured, measure_pairs
from conjure_kernel.engine.parameters import MeasurementParameters
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.estimators.base import ModelEstimator, TextInput
from conjure_kernel.estimators.fitting import as_fitted, whole
from conjure_kernel.method.relative import RelativeDivergence

__all__ = ["ConjurePairs", "log_divergence"]

FEATURES = ("log_divergence", "profile")
# Below this no viewer tells two prompts apart in more than 51.2 % of cases (`accuracy_bound`).
FLOOR = 1e-3


@dataclass(kw_only=True, repr=False, eq=False)
class ConjurePairs(TextInput, TransformerMixin, ModelEstimator, MeasurementParameters):
    """Features of pairs of texts from the images that both evoke, as a first step of a Pipeline.

    Only the given pairs are measured, and pairs that share a text share its trajectories. The next
    step may be `KernelRidge`, `SVR`, `GaussianProcessRegressor` or `IsotonicRegression` with
    `increasing=False`, as similarity falls when J grows. `cv=TextKFold()` keeps the texts of the
    training and of the test side apart.

    Parameters
    ----------
    model, model_kwargs, n_steps, n_draws, tol, max_draws, guidance_scale, weighting, sampler, \
substeps, nodes, log_snr_range, shared_noise, chains_per_draw, check_steps, memory, device, dtype, \
batch_size, n_jobs, random_state, verbose, origin
        See `ConjureDistance`. With an origin the features are those of relative divergences, each
        noise level of a profile relative to the same level from the empty prompt.
    features : {"log_divergence", "profile"}, default "log_divergence"
        One column, log J; or 2 T columns, the log of what each noise level adds to KL(a || b) and
        then to KL(b || a), noisiest first. Values below 1e-3 nats (in a profile 1e-3 / T) count as
        that value, so that a text against itself has a finite feature.

    Attributes
    ----------
    divergences_, standard_errors_ : arrays of shape (n_pairs,)
        J of the fitted pairs (relative with an origin) and its Monte Carlo standard error.
    truncated_ : bool array of shape (n_pairs,)
        Whether every text encoder cut one of the pair's texts.
    n_evaluations_, provenance_ : int, dict
        Noise predictions that `fit` cost; model, fingerprint, settings and versions.

    Examples
    --------
    >>> from conjure_kernel import ConjurePairs, GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4, "a car": 3.0})
    >>> pairs = [("a dog", "a cat"), ("a dog", "a car")]
    >>> ConjurePairs(world, memory=None).fit_transform(pairs).round(2)
    array([[-0.5 ],
           [ 0.97]])
    """

    features: str = "log_divergence"

    def fit(self, X: Any, y: Any = None) -> ConjurePairs:
        """Measure pairs. Nothing is learnt from them, but their features and cost are kept.

        Parameters
        ----------
        X : list of (text_a, text_b), or table of shape (n_pairs, 2)
        y : ignored

        Returns
        -------
        self : ConjurePairs
        """
        self._fit(X)
        return self

    @as_fitted
    def transform(self, X: Any) -> np.ndarray:
        """Features of any pairs; pairs that were measured before cost nothing.

        Parameters
        ----------
        X : list of (text_a, text_b), or table of shape (n_pairs, 2)

        Returns
        -------
        features : float64 array of shape (n_pairs, 1) or (n_pairs, 2 T)
            Logarithms of nats, at least log(1e-3), in a profile log(1e-3 / T).
        """
        pairs = list(zip(*check_pairs(X), strict=True))
        place = {pair: i for i, pair in enumerate(self._pairs)}
        features = self._features
        if new := [pair for pair in dict.fromkeys(pairs) if pair not in place]:
            place |= {pair: len(features) + i for i, pair in enumerate(new)}
            left, right = zip(*new, strict=True)
            measured = measure_pairs(self._fitted_engine(), list(left), list(right))
            features = np.vstack([features, self._express(measured)])
        return features[[place[pair] for pair in pairs]]

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> np.ndarray:
        """Fit, and return the features of the pairs."""
        self._fit(X)
        return self._features.copy()

    @as_fitted
    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Names of the columns: "log_divergence", or "log_kl_ab_0", ..., "log_kl_ba_0", ..."""
        if self.features == "log_divergence":
            return np.array(["log_divergence"], dtype=object)
        legs, levels = ("ab", "ba"), range(self.n_steps)
        return np.array([f"log_kl_{leg}_{t}" for leg in legs for t in levels], dtype=object)

    @whole
    def _fit(self, pairs: Any) -> None:
        check_choice(self.features, "features", FEATURES)
        engine = self._begin()
        measured = measure_pairs(engine, *check_pairs(pairs))
        self.divergences_, self.standard_errors_ = measured.values, measured.standard_errors
        truncated = (engine.truncated(side) for side in (measured.prompts_a, measured.prompts_b))
        self.truncated_ = np.logical_or(*truncated)
        self.n_evaluations_ = measured.n_evaluations
        self.provenance_ = provenance_of(engine, n_draws=measured.n_draws)
        self._pairs = list(zip(measured.prompts_a, measured.prompts_b, strict=True))
        self._features = self._express(measured)

    def _express(self, measured: Measured) -> np.ndarray:
        """The columns that `features` names."""
        if self.features == "log_divergence":
            return log_divergence(measured.values)[:, None]
        if isinstance(measured, RelativeDivergence):
            return log_divergence(np.hstack(measured.level_ratios))
        return log_divergence(np.hstack(measured.leg_profiles), FLOOR / measured.grid.n_nodes)


def log_divergence(divergences: np.ndarray, floor: float = FLOOR) -> np.ndarray:
    """Log of divergences, where values below `floor` count as `floor`."""
    return np.log(np.maximum(divergences, floor))
