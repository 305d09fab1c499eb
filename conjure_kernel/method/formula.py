"""The whole method as one function; the engine computes the same with full calls and a cache."""

from __future__ import annotations

from typing import Any

from conjure_kernel.method.reverse import ChainSettings

__all__ = ["jeffreys"]


def jeffreys(
    denoiser: Any, a: str, b: str, *, n_steps: int, n_draws: int, substeps: int = 2, seed: int = 0
) -> float:
    r"""Jeffreys divergence of two prompts, in nats, by Monte Carlo along reverse chains.

    .. math::

       KL(P_a \| P_b) &= \tfrac{1}{2} \int E_{x_t \sim P_a}
           {\| \epsilon_a(x_t) - \epsilon_b(x_t) \|}^2 \, d\lambda \\
       J(a, b) &= \tfrac{1}{2} [ KL(P_a \| P_b) + KL(P_b \| P_a) ]

    Half the sum is the convention of Liu & Soatto, arXiv 2410.16431. `pairwise_divergence` gives
    the same number with its error.

    Parameters
    ----------
    denoiser : Denoiser
        The model.
    a, b : str
        The prompts.
    n_steps, n_draws : int
        Numbers of noise levels, T, and of chains of each prompt, K.
    substeps, seed : int
        Steps of the chain per noise level, and the seed of all noise.

    Returns
    -------
    divergence : float
        J, at least 0; 0 for a prompt and itself.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4})
    >>> round(jeffreys(world, "a dog", "a cat", n_steps=20, n_draws=4), 3)  # exactly 0.605
    0.605
    """
    grid = denoiser.make_grid(n_steps, substeps=substeps)  # the levels lambda_1 < ... < lambda_T
    chain, legs = ChainSettings(grid, seed=seed), []
    for source, target in ((a, b), (b, a)):
        (visited,) = denoiser.trace([source], range(n_draws), chain)  # x_t ~ P_source
        x, eps = visited.x.transpose(0, 1), visited.eps.transpose(0, 1)  # (T, K, *shape)
        gap = eps - denoiser.predict_eps([target], x, grid)  # eps_a(x_t) - eps_b(x_t)
        energy = gap.double().square().flatten(2).sum(2).mean(1)  # E || . ||^2, (T,)
        legs.append(float(energy.numpy(force=True) @ (grid.d_log_snr / 2)))  # 1/2 ∫ . d lambda
    return sum(legs) / 2
