"""`ConjureDistance`: prompts in, distances out, as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conjure_kernel._checks import check_prompts
from conjure_kernel.engine.pairwise import Measured, measure_matrix
from conjure_kernel.engine.parameters import MeasurementParameters
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.estimators.base import ModelEstimator, PromptMatrix
from conjure_kernel.estimators.fitting import as_fitted, whole

__all__ = ["ConjureDistance"]


@dataclass(kw_only=True, repr=False, eq=False)
class ConjureDistance(PromptMatrix, ModelEstimator, MeasurementParameters):
    r"""Distances between prompts by the images that they evoke in a text-to-image model.

    J(a, b) is half the sum of both directed KL divergences between the reverse-time diffusions that
    the model runs under a and under b, in nats. It is estimated by Monte Carlo, with standard
    errors. As the first step of a Pipeline the estimator takes texts and gives their matrix.

    .. math:: KL(P_a \| P_b) = \tfrac{1}{2} \int E_{x_t \sim P_a}
              {\| \epsilon_a(x_t) - \epsilon_b(x_t) \|}^2 d\lambda

    Parameters
    ----------
    model : str, path, diffusers pipeline or Denoiser, default "embedded"
        What `load_denoiser` takes: the small model in the package, a hub id, a folder, a pipeline.
    model_kwargs : dict, optional
        Further arguments of `load_denoiser`: revision, token_env, height, width, ...
    n_steps : int, default 10
        Noise levels T at which predictions are compared. More lower the bias (about 2 % at 10).
    n_draws : int, default 2
        Draws K per prompt. Standard errors fall as 1 / sqrt(K); with one draw there is none.
    tol : float, optional
        Relative standard error of J that is wanted. Pairs start from n_draws (at least 4) and get
        more until they reach it. docs/engine.md says what that does to bias and coverage. Default:
        every pair has n_draws.
    max_draws : int, default 64
        Most draws of a pair with `tol`; a warning counts the pairs that would need more.
    shared_noise : bool, default False
        Whether both prompts of a pair share their noise.
    chains_per_draw : int, default 3
        Independent chains that serve the noise levels of a draw in turn. More lower the variance of
        J at the same number of replays, but their trajectories cost more.
    check_steps : int, default 4
        Pairs that are measured again with half of the steps, to estimate the error of a finite
        number of steps; above 5 % there is a warning.
    guidance_scale : float, default 1
        Classifier-free guidance w of trajectories and scores; 1 is the model itself.
    weighting : {"jeffreys", "paper", "noise"}, default "jeffreys"
        "jeffreys" gives nats. "paper" and "noise" give squared differences of scores or of noise
        predictions, uniform in time.
    sampler : {"sde", "ode", "sde1", "ode1"}, default "sde"
        The reverse SDE (the definition) or the probability-flow ODE; a 1 makes it first order.
    substeps : int, default 2
        Steps of the chain per noise level.
    nodes : {"log_snr", "timesteps"}, default "log_snr"
        Noise levels equally spaced in log-SNR, or in model time as in the paper's Algorithm 1.
    log_snr_range : (float, float), optional
        First and last log-SNR. Default: the model's own, clipped to [-8, 8]. J grows with the last.
    output : {"distance", "divergence", "kl", "kernel"}, default "distance"
        sqrt(J), J, the directed KL(P_row || P_column), or exp(-J / bandwidth).
    origin : {None, "empty"}, default None
        "empty" divides each J by sqrt(J(a, "") J(b, "")), how far both prompts are from the empty
        one: vivid prompts are then no longer far from everything, nor vague ones near to it. 1 is
        as far apart as each is from nothing in particular. Not with output="kl".
    bandwidth : "median" or float, default "median"
        h of the kernel, in the unit of J; "median" is the median J of the fitted prompts.
    psd : {"warn", "clip", "raise"}, default "warn"
        What to do when the kernel has negative eigenvalues. "clip" projects them away, new rows
        by the same linear map; the diagonal is then not exactly 1. "warn" warns when rows of other
        prompts are asked for, as kernel methods do, once for an estimator and its clones.
    memory : "auto", path, joblib.Memory or None, default "auto"
        Disk cache. "auto" is a per-user folder; None keeps everything in the fitted estimator.
    device, dtype : str, default "auto"
        Where and in which precision a model loaded by name runs. "auto" is float16 on CUDA,
        bfloat16 on processors that have it, float32 elsewhere.
    batch_size : int or "auto", default "auto"
        Rows per network call, halved when memory runs out. "auto" times some sizes once.
    n_jobs : int, optional
        Processes that share the work, one for each GPU. Default: 1, unless
        `joblib.parallel_config` says otherwise (Dask, Ray). Results do not depend on it.
    random_state : int, RandomState or None, default 0
        Seed of all noise. A fixed one gives the same distance tomorrow; None uses no cache.
    verbose : int, default 0
        Above 0 there is a progress bar.

    Attributes
    ----------
    prompts_ : list of str
        The fitted prompts, as they were given (NFC-normalised).
    divergences_, standard_errors_, kl_ : arrays of shape (n_prompts, n_prompts)
        J, or with an origin the relative divergence, and its Monte Carlo standard error, whatever
        the output; and the directed legs, always in nats.
    bandwidth_ : float
        h, in the unit of `divergences_`.
    min_eigenvalue_ : float
        Smallest eigenvalue of the kernel before clipping; only with output="kernel".
    truncated_ : bool array of shape (n_prompts,)
        Whether every text encoder cut the prompt.
    seed_ : int
        The seed to which `random_state` was resolved.
    n_evaluations_, provenance_ : int, dict
        Noise predictions that `fit` cost; model, fingerprint, settings and versions.

    Raises
    ------
    ValueError, TypeError
        From `fit`: a parameter or a prompt that cannot be used; with psd="raise" a kernel that is
        not positive semi-definite.

    Notes
    -----
    sqrt(J) obeys no triangle inequality and `exp(-J / h)` need not be positive semi-definite.
    `SpectralClustering` needs `output="kernel"` and `affinity="precomputed"`: its default builds an
    RBF kernel on the ROWS of the matrix (docs/clustering.md).

    References
    ----------
    Liu and Soatto, "Conjuring Semantic Similarity", arXiv 2410.16431 (ICLR 2026).

    Examples
    --------
    >>> from conjure_kernel import ConjureDistance, GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4, "a car": 3.0})
    >>> ConjureDistance(world, memory=None).fit_transform(["a dog", "a cat"]).round(3)
    array([[0.   , 0.777],
           [0.777, 0.   ]])
    """

    _outputs = (*PromptMatrix._outputs, "kl")

    output: str = "distance"
    bandwidth: float | str = "median"
    psd: str = "warn"

    @whole
    def fit(self, X: Sequence[str], y: Any = None) -> ConjureDistance:
        """Measure all pairs of prompts, which become the columns.

        Parameters
        ----------
        X : sequence of str, length n_prompts
            List, tuple, array or Series of strings. Equal ones are at distance 0 and cost nothing.
        y : ignored

        Returns
        -------
        self : ConjureDistance
        """
        checked = check_prompts(X)
        self._check_output()
        self._keep(checked, measure_matrix(self._begin(), checked, checked))
        return self

    @as_fitted
    def transform(self, X: Sequence[str]) -> np.ndarray:
        """Distances of prompts from the fitted ones, or what `output` names instead.

        Parameters
        ----------
        X : sequence of str, length n_new

        Returns
        -------
        matrix : array of shape (n_new, n_prompts)
            Rows of fitted prompts are those of the fit, and cost nothing. A new prompt costs its
            chains and 2 * n_prompts * T * K noise predictions.
        """
        checked, directed = check_prompts(X), self.output == "kl"
        place = {prompt: i for i, prompt in enumerate(self.prompts_)}
        values = self.kl_ if directed else self.divergences_
        if new := [prompt for prompt in dict.fromkeys(checked) if prompt not in place]:
            place |= {prompt: len(values) + i for i, prompt in enumerate(new)}
            measured = measure_matrix(self._fitted_engine(), new, self.prompts_)
            values = np.vstack([values, measured.legs[0] if directed else measured.values])
        rows = values[[place[prompt] for prompt in checked]]
        return rows if directed else self._express(rows)

    def fit_transform(self, X: Sequence[str], y: Any = None, **fit_params: Any) -> np.ndarray:
        """Fit, and return the square matrix of the prompts, symmetric unless output="kl"."""
        self.fit(X, y)
        return self.kl_.copy() if self.output == "kl" else self._express_fitted()

    def _check_output(self) -> None:
        super()._check_output()
        if self.origin is not None and self.output == "kl":
            raise ValueError(
                f"output='kl', origin={self.origin!r}: expected another output, as a direction has "
                "no relative form; use origin=None (kl_ has both legs in nats, too)."
            )

    def _keep(self, prompts: list[str], measured: Measured) -> None:
        engine, self.prompts_ = self._engine, prompts
        self._fit_output(measured.values)
        self.standard_errors_, self.kl_ = measured.standard_errors, measured.legs[0]
        self.truncated_ = engine.truncated(prompts)
        self.n_evaluations_ = measured.n_evaluations
        self.provenance_ = provenance_of(engine, n_draws=measured.n_draws)
