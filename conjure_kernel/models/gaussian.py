"""Closed-form worlds: prompts that evoke known Gaussians, or mixtures of them.

`GaussianDenoiser` knows its noise prediction and its divergences exactly, so that the estimator,
the samplers and every parametrisation can be compared with the truth, without a network.
`MixtureDenoiser` has exact predictions for several modes per prompt; its divergence is computed by
brute force on densities. Both are for tests, docs and teaching.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np
import torch

from conjure_kernel._checks import check_choice
from conjure_kernel.method.prediction import PREDICTIONS, from_eps, to_eps
from conjure_kernel.method.reverse import standard_normal
from conjure_kernel.method.schedule import Schedule, VariancePreserving
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.task import Reading, Task

__all__ = ["Exact", "GaussianDenoiser", "MixtureDenoiser"]

NEGLIGIBLE = 1e-8


class Exact(NamedTuple):
    """True divergences of a pair of prompts, in nats; `jeffreys` is half the sum of both legs."""

    kl_ab: float
    kl_ba: float

    @property
    def jeffreys(self) -> float:
        """Half the sum of both legs."""
        return (self.kl_ab + self.kl_ba) / 2


class _Mixture(NamedTuple):
    """Mixture of M Gaussians in d dimensions; covariance = basis diag(variances) basis^T."""

    weights: torch.Tensor  # (M,)
    means: torch.Tensor  # (M, d)
    variances: torch.Tensor  # (M, d)
    bases: torch.Tensor  # (M, d, d)

    def log_densities(self, x: torch.Tensor, alpha: float, sigma: float) -> tuple:
        """Whitened offsets, level variances and log(weight * density) of each component at x_t."""
        offsets = torch.einsum("rmd,mde->rme", x[:, None] - alpha * self.means, self.bases)
        variances = alpha**2 * self.variances + sigma**2
        log_density = -0.5 * (offsets**2 / variances + (2 * np.pi * variances).log()).sum(-1)
        return offsets, variances, log_density + self.weights.log()

    def eps(self, x: torch.Tensor, alpha: float, sigma: float) -> torch.Tensor:
        """Exact noise prediction -sigma * score at x (R, d)."""
        offsets, variances, log_density = self.log_densities(x, alpha, sigma)
        pulled = torch.einsum("rme,mde->rmd", offsets / variances, self.bases)
        return sigma * (torch.softmax(log_density, 1)[..., None] * pulled).sum(1)


class MixtureDenoiser(Denoiser):
    """A world in which each prompt evokes a mixture of Gaussians.

    Parameters
    ----------
    mixtures : mapping of str to (weights, means, covariances)
        weights (M,) that sum to 1, means (M, d), covariances (M, d, d) or variances (M, d). The
        empty prompt, if present, is the unconditional model that guidance needs.
    schedule : Schedule, optional
        Default: log-SNR linear in time over [-8, 8].
    prediction : {"epsilon", "v_prediction", "sample", "flow"}
        The parametrisation in which the exact prediction is expressed, as a network's output would.

    Examples
    --------
    >>> world = MixtureDenoiser(
    ...     {
    ...         "coin": ([0.5, 0.5], [[-1.0], [1.0]], [[0.1], [0.1]]),
    ...         "edge": ([1.0], [[0.0]], [[0.1]]),
    ...     }
    ... )
    >>> world.shape
    (1,)
    """

    dtype = state_dtype = torch.float64

    def __init__(
        self,
        mixtures: Mapping[str, tuple[Any, Any, Any]],
        *,
        schedule: Schedule | None = None,
        prediction: str = "epsilon",
    ) -> None:
        self.schedule = schedule or VariancePreserving.log_linear()
        self.prediction = check_choice(prediction, "prediction", tuple(PREDICTIONS))
        self._mixtures = {normalize("NFC", p): _as_mixture(p, *m) for p, m in mixtures.items()}
        sizes = {mixture.means.shape[1] for mixture in self._mixtures.values()}
        if len(sizes) != 1:
            raise ValueError(
                f"means: expected one number of dimensions, got {sorted(sizes)}; give all means "
                "the same length."
            )
        self.shape = (sizes.pop(),)

    def __getstate__(self) -> dict[str, Any]:
        """State with arrays, as the pickle of a tensor is never twice the same."""
        arrays = {p: tuple(part.numpy() for part in m) for p, m in self._mixtures.items()}
        return {**super().__getstate__(), "_mixtures": arrays}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._mixtures = {p: _Mixture(*map(torch.tensor, m)) for p, m in self._mixtures.items()}

    @property
    def prompts(self) -> list[str]:
        """The prompts of this world."""
        return list(self._mixtures)

    @property
    def fingerprint(self) -> str:  # noqa: D102
        state = hashlib.blake2b(digest_size=16)
        levels = np.linspace(-5, 5, 7)
        state.update(f"{self.prediction}{type(self.schedule).__name__}".encode())
        state.update(np.asarray(self.schedule.time(levels)).tobytes())
        state.update(np.asarray(self.schedule.log_snr_range).tobytes())
        for prompt, mixture in sorted(self._mixtures.items()):
            state.update(prompt.encode())
            for part in mixture:
                state.update(part.numpy().tobytes())
        return state.hexdigest()

    def run(  # noqa: D102
        self, task: Task, prompts: Sequence[str], rows_per_prompt: int, guidance_scale: float
    ) -> list[Reading]:
        x = task.state
        for alpha, sigma in zip(task.grid.alpha, task.grid.sigma, strict=True):
            eps = self._eps(prompts, x, alpha, sigma)
            if guidance_scale != 1:
                empty = self._eps([""], x, alpha, sigma)
                eps = empty + guidance_scale * (eps - empty)
            output = from_eps(eps, x, alpha, sigma, self.prediction)
            x, _ = task.step(to_eps(output, x, alpha, sigma, self.prediction), x)
        return [Reading() for _ in prompts]

    def decode(self, x0: torch.Tensor) -> np.ndarray:
        """One flat colour per state, from its first three coordinates: (R, 8, 8, 3)."""
        channels = torch.sigmoid(x0.flatten(1)[:, torch.arange(3) % self.shape[0]])
        colours = (255 * channels).round().to(torch.uint8).numpy()
        return np.broadcast_to(colours[:, None, None, :], (len(x0), 8, 8, 3)).copy()

    def _eps(
        self, prompts: Sequence[str], x: torch.Tensor, alpha: float, sigma: float
    ) -> torch.Tensor:
        groups = x.chunk(len(prompts))
        predicted = [self._of(p).eps(g, alpha, sigma) for p, g in zip(prompts, groups, strict=True)]
        return torch.cat(predicted)

    def _of(self, prompt: str) -> _Mixture:
        try:
            return self._mixtures[normalize("NFC", prompt)]
        except KeyError:
            known = ", ".join(map(repr, self.prompts[:5]))
            raise ValueError(
                f"prompt {prompt!r} is not in this world: expected one of {known}"
                f"{', ...' if len(self.prompts) > 5 else ''}; add it to the world"
                f"{'' if prompt else ' (guidance and origin ask for the empty prompt)'}."
            ) from None

    def monte_carlo(
        self, a: str, b: str, log_snr_range: tuple[float, float], n: int = 100_000, seed: int = 0
    ) -> Exact:
        """Both legs on a log-SNR range, by n draws of log-density ratios at its two ends."""
        legs = []
        for source, target in ((a, b), (b, a)):
            low, high = (
                self._leg_at_level(source, target, level, n, seed) for level in log_snr_range
            )
            legs.append(high - low)
        return Exact(*legs)

    def _leg_at_level(self, source: str, target: str, log_snr: float, n: int, seed: int) -> float:
        """KL of the two prompts' images noised to one level."""
        p, q = self._of(source), self._of(target)
        alpha, sigma = map(float, self.schedule.alpha_sigma(log_snr))
        z = standard_normal((n, *self.shape), seed=seed, prompt=source, draw=0, step=0).double()
        u = standard_normal((n,), seed=seed, prompt=source, draw=1, step=0).double()
        uniform = torch.special.ndtr(u)
        which = torch.bucketize(uniform, p.weights.cumsum(0)[:-1])
        spread = (alpha**2 * p.variances + sigma**2).sqrt()[which]
        x = alpha * p.means[which] + torch.einsum("ne,nde->nd", spread * z, p.bases[which])
        ratio = p.log_densities(x, alpha, sigma)[2].logsumexp(1) - q.log_densities(x, alpha, sigma)[
            2
        ].logsumexp(1)
        return float(ratio.mean())


class GaussianDenoiser(MixtureDenoiser):
    """A world in which each prompt evokes one Gaussian: every divergence is known exactly.

    Parameters
    ----------
    means : mapping of str to float or (d,), or array of shape (n, d)
        What each prompt evokes on average. An array names its prompts "prompt 0", "prompt 1", ...
    covariances : float, mapping, or sequence of length n
        Per prompt a variance, variances (d,) or a covariance (d, d); all prompts share one float.
    schedule, prediction
        The same as those of `MixtureDenoiser`.

    Examples
    --------
    >>> world = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4}, {"a dog": 0.5, "a cat": 1.3})
    >>> round(world.exact("a dog", "a cat").kl_ab, 5)
    0.63545
    >>> round(world.exact("a dog", "a cat", (-8, 8)).kl_ab, 5)
    0.63499
    """

    def __init__(
        self,
        means: Mapping[str, Any] | Sequence[Any] | np.ndarray,
        covariances: float | Mapping[str, Any] | Sequence[Any] | np.ndarray = 1.0,
        *,
        schedule: Schedule | None = None,
        prediction: str = "epsilon",
    ) -> None:
        if not isinstance(means, Mapping):
            means = {f"prompt {i}": mean for i, mean in enumerate(means)}
        if isinstance(covariances, float | int):
            covariances = dict.fromkeys(means, covariances)
        elif not isinstance(covariances, Mapping):
            covariances = dict(zip(means, covariances, strict=True))
        mixtures = {}
        for prompt, given in means.items():
            mean = np.atleast_1d(np.asarray(given, dtype=np.float64))
            covariance = np.asarray(covariances[prompt], dtype=np.float64)
            if covariance.ndim < 2:
                covariance = np.broadcast_to(covariance, mean.shape)
            mixtures[prompt] = ([1.0], mean[None], covariance[None])
        super().__init__(mixtures, schedule=schedule, prediction=prediction)

    def exact(
        self, a: str, b: str, log_snr_range: tuple[float, float] = (-np.inf, np.inf)
    ) -> Exact:
        """True KL legs on a log-SNR range, in nats: KL at its end minus KL at its start.

        At both ends it is the KL between the images noised to that level. On the whole line, the
        default, it is the KL between the image distributions themselves.
        """
        low, high = log_snr_range
        legs = (
            _noised_kl(self._of(p), self._of(q), high) - _noised_kl(self._of(p), self._of(q), low)
            for p, q in ((a, b), (b, a))
        )
        return Exact(*legs)


def _noised_kl(p: _Mixture, q: _Mixture, log_snr: float) -> float:
    """KL between two Gaussians noised to a level, up to common scale: sigma^2 = e^-lambda."""
    if log_snr == -np.inf:
        return 0.0
    noise = np.exp(-log_snr)
    mean = q.means[0] - p.means[0]
    cov_p, cov_q = (m.bases[0] @ torch.diag(m.variances[0] + noise) @ m.bases[0].T for m in (p, q))
    ratio = torch.linalg.solve(cov_q, cov_p)
    trace = torch.trace(ratio) - len(mean) - torch.linalg.slogdet(ratio)[1]
    return float(trace + mean @ torch.linalg.solve(cov_q, mean)) / 2


def _as_mixture(prompt: str, weights: Any, means: Any, covariances: Any) -> _Mixture:
    weights, means, variances = (
        torch.from_numpy(np.asarray(v, dtype=np.float64).copy())
        for v in (weights, means, covariances)
    )
    shapes = [tuple(part.shape) for part in (weights, means, variances)]
    fitting = (*means.shape, means.shape[-1]) if variances.ndim == 3 else tuple(means.shape)
    if means.ndim != 2 or shapes[0] != shapes[1][:1] or shapes[2] != fitting:
        raise ValueError(
            f"prompt {prompt!r}: expected weights (M,), means (M, d) and covariances (M, d) or "
            f"(M, d, d), got shapes {shapes}; reshape them."
        )
    bases = torch.eye(means.shape[1], dtype=torch.float64).expand(len(means), -1, -1)
    if variances.ndim == 3:
        variances, bases = torch.linalg.eigh(variances)
    if not variances.min() >= -NEGLIGIBLE * variances.max():
        raise ValueError(
            f"prompt {prompt!r}: expected variances of at least 0, got {variances.min():.4g}; "
            "correct its covariances."
        )
    if not (weights.min() >= 0 and abs(weights.sum() - 1) < NEGLIGIBLE):
        raise ValueError(
            f"prompt {prompt!r}: expected weights of at least 0 that sum to 1, got "
            f"{weights.tolist()}; divide them by their sum."
        )
    return _Mixture(weights, means, variances.clamp(min=0), bases)
