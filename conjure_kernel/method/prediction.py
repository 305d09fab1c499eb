"""What a network's output means: epsilon, v, x_0, a flow's velocity, or EDM's; all become epsilon.

With x_t = alpha x_0 + sigma eps: v = alpha eps - sigma x_0, flow = eps - x_0 and inverted_flow its
negative, whatever the schedule's alpha and sigma. edm_v_prediction is v of data scaled to unit
variance, edm_epsilon its negative. The functions work on tensors and on arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from conjure_kernel._checks import check_choice

__all__ = ["PREDICTIONS", "Parametrisation", "from_eps", "to_eps"]


class Parametrisation(NamedTuple):
    """Both ways between a network's output and eps: functions of (value, x_t, alpha, sigma)."""

    to_eps: Callable[[Any, Any, float, float], Any]
    from_eps: Callable[[Any, Any, float, float], Any]


def to_eps(output: Any, x_t: Any, alpha: float, sigma: float, prediction: str) -> Any:
    """Noise prediction from a network's output in one of the `PREDICTIONS`."""
    check_choice(prediction, "prediction", tuple(PREDICTIONS))
    return PREDICTIONS[prediction].to_eps(output, x_t, alpha, sigma)


def from_eps(eps: Any, x_t: Any, alpha: float, sigma: float, prediction: str) -> Any:
    """Output of a network of the given parametrisation that means this noise prediction."""
    check_choice(prediction, "prediction", tuple(PREDICTIONS))
    return PREDICTIONS[prediction].from_eps(eps, x_t, alpha, sigma)


def _clean(eps: Any, x_t: Any, alpha: float, sigma: float) -> Any:
    return (x_t - sigma * eps) / alpha


def _v_to_eps(output: Any, x_t: Any, alpha: float, sigma: float) -> Any:
    size = alpha**2 + sigma**2  # 1 if variance preserving
    return (alpha / size) * output + (sigma / size) * x_t


def _flow_to_eps(output: Any, x_t: Any, alpha: float, sigma: float) -> Any:
    size = alpha + sigma  # 1 if flow matching
    return x_t / size + (alpha / size) * output


def _edm_v_to_eps(output: Any, x_t: Any, alpha: float, sigma: float) -> Any:
    return sigma * x_t + np.sqrt(1 - sigma**2) * output


def _edm_v_from_eps(eps: Any, x_t: Any, alpha: float, sigma: float) -> Any:
    return (eps - sigma * x_t) / np.sqrt(1 - sigma**2)


PREDICTIONS: dict[str, Parametrisation] = {
    "epsilon": Parametrisation(lambda out, x, a, s: out, lambda eps, x, a, s: eps),
    "v_prediction": Parametrisation(
        _v_to_eps, lambda eps, x, a, s: a * eps - s * _clean(eps, x, a, s)
    ),
    "sample": Parametrisation(lambda out, x, a, s: (x - a * out) / s, _clean),
    "flow": Parametrisation(_flow_to_eps, lambda eps, x, a, s: eps - _clean(eps, x, a, s)),
    "inverted_flow": Parametrisation(
        lambda out, x, a, s: _flow_to_eps(-out, x, a, s),
        lambda eps, x, a, s: _clean(eps, x, a, s) - eps,
    ),
    "edm_epsilon": Parametrisation(
        lambda out, x, a, s: _edm_v_to_eps(-out, x, a, s),
        lambda eps, x, a, s: -_edm_v_from_eps(eps, x, a, s),
    ),
    "edm_v_prediction": Parametrisation(_edm_v_to_eps, _edm_v_from_eps),
}
