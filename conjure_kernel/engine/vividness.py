"""How much a prompt pins the picture down: its divergence from the empty prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conjure_kernel._checks import check_prompts
from conjure_kernel._table import Sheet, with_error
from conjure_kernel.engine.opening import open_engine, refuse_origin
from conjure_kernel.engine.pairwise import measure_pairs
from conjure_kernel.engine.parameters import ORIGINS
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.draws import mean_of, ratio, variance_of
from conjure_kernel.method.exports import LongTable
from conjure_kernel.method.interval import positive_interval

__all__ = ["Vividness", "vividness"]


@dataclass(frozen=True, repr=False)
class Vividness(LongTable):
    r"""How far prompts are from the empty prompt, :math:`KL(P_y \| P_o)` in nats; see `vividness`.

    Attributes
    ----------
    prompts : list of str
        The prompts y.
    measured : Divergence
        J of each prompt and the empty one, with both legs.
    n_evaluations : int
        Noise predictions that this call cost.
    provenance : dict
        The model's fingerprint, the settings and the versions of packages.
    """

    prompts: list[str]
    measured: Divergence
    n_evaluations: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> np.ndarray:
        """KL(P_y || P_empty) in nats, (n_prompts,); at least 0."""
        return self.measured.legs[0]

    @property
    def standard_errors(self) -> np.ndarray:
        """Monte Carlo standard errors in nats, (n_prompts,); NaN with one draw."""
        return np.sqrt(self._chains(variance_of).sum(-1))

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Confidence interval on the log scale: see `Divergence.interval`.

        Parameters
        ----------
        level : float
            Coverage, strictly between 0 and 1.

        Returns
        -------
        low, high : arrays of shape (n_prompts,)
            In nats; NaN with one draw.
        """
        unit = self.values[:, None]
        means = ratio(self._chains(mean_of), unit)[..., None]
        variances = ratio(self._chains(variance_of), unit**2)[..., None]
        return positive_interval(self.values, means, variances, self.measured.draws_used, level)

    def columns(self) -> dict[str, Any]:
        """Table by columns: prompt, vividness, standard_error, low and high."""
        low, high = self.interval()
        return {
            "prompt": self.prompts,
            "vividness": self.values,
            "standard_error": self.standard_errors,
            "low": low,
            "high": high,
        }

    def _chains(self, statistic: Any) -> np.ndarray:
        """Mean or variance of each chain's part of the leg, (n_prompts, G)."""
        draws = self.measured.chain_draws[0]
        return statistic(draws.swapaxes(-1, -2), self.measured.draw_weights)

    def _shown(self) -> Sheet:
        name = f"Vividness{self.measured.unit}"
        n, columns = len(self.prompts), (self.values.tolist(), self.standard_errors.tolist())
        rows = zip(self.prompts, *columns, strict=True)
        shown = [[prompt, with_error(value, error)] for prompt, value, error in rows]
        return f"{name}, {n} prompts", ["", self.measured.unit.removeprefix(" in ")], shown, n


def vividness(prompts: Sequence[str], **settings: Any) -> Vividness:
    r"""How much each prompt pins the picture down: its divergence from the empty prompt, in O(n).

    .. math:: KL(P_y \| P_o) = \tfrac{1}{2} \int E_{x_t \sim P_y}
              {\| \epsilon_y(x_t) - \epsilon_o(x_t) \|}^2 d\lambda

    Parameters
    ----------
    prompts : sequence of str, length n_prompts
    **settings
        The settings of `pairwise_divergence`, without an origin.

    Returns
    -------
    vividness : Vividness
        ``.values`` (at least 0), ``.standard_errors``, ``.interval()``, ``.to_pandas()``.

    Raises
    ------
    ValueError, TypeError
        A prompt or a setting is not valid.

    Notes
    -----
    n prompts cost n S K G predictions for their chains (S = T * substeps, K draws of G chains) and
    2 n T K for their comparison with the empty prompt, both ways: `origin="empty"` then needs no
    more of them. The empty prompt is whatever the model makes of an empty text: one that was never
    trained on it, as many distilled models, makes an arbitrary origin of it.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"": 0.0, "a thing": 0.2, "a dog": 1.0})
    >>> vividness(["a thing", "a dog"], model=world, memory=None).values.round(2)
    array([0.02, 0.5 ])
    """
    engine = open_engine(settings)
    refuse_origin(engine, "vividness is a divergence from the empty prompt already")
    checked = check_prompts(prompts)
    measured = measure_pairs(engine, checked, [ORIGINS["empty"]] * len(checked))
    assert isinstance(measured, Divergence)
    about = provenance_of(engine, n_draws=measured.n_draws)
    return Vividness(checked, measured, measured.n_evaluations, about)
