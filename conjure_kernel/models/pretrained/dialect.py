"""How a scheduler writes noise levels and predictions: `read_dialect`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from conjure_kernel.method.schedule import (
    FlowMatching,
    Preconditioned,
    Schedule,
    VarianceExploding,
    VariancePreserving,
)

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

__all__ = ["Dialect", "read_dialect"]

LAWS: dict[type, str] = {
    FlowMatching: "flow matching",
    Preconditioned: "EDM",
    VarianceExploding: "variance exploding",
    VariancePreserving: "variance preserving",
}
WORDS = {"epsilon": "eps", "v_prediction": "v", "sample": "x_0", "flow": "the velocity"}
WORDS |= {"inverted_flow": "the velocity towards data", "edm_epsilon": "EDM's F"}
WORDS |= {"edm_v_prediction": "v of unit data"}
SIGMAS = 4096  # points of the table of a schedule in sigma space


@dataclass(frozen=True)
class Dialect:
    """How a family of schedulers writes noise levels and predictions.

    Attributes
    ----------
    schedule : Schedule
    prediction : str
        One of `method.prediction.PREDICTIONS`.
    """

    schedule: Schedule
    prediction: str

    @property
    def law(self) -> str:
        """Both in words."""
        return f"{LAWS[type(self.schedule)]}, the network says {WORDS[self.prediction]}"


def read_dialect(scheduler: SchedulerMixin) -> Dialect:
    """Dialect of a diffusers scheduler; ValueError if it is unknown."""
    config, name = scheduler.config, type(scheduler).__name__
    if not _is_from_diffusers(scheduler, "scale_model_input"):
        raise ValueError(
            f"scheduler {name}: expected a scale_model_input of diffusers, got one of its own, "
            "which this measurement would pass by; scale the input in the network, or set a "
            "scheduler of diffusers that has the same noise levels."
        )
    prediction = config.get("prediction_type", "epsilon")
    # Some flow models declare a solver that also has alphas_cumprod: flow is asked first.
    is_flow = name.startswith("FlowMatch") or config.get("use_flow_sigmas", False)
    if is_flow or prediction == "flow_prediction":
        return _read_flow(scheduler)
    if hasattr(scheduler, "precondition_outputs") and prediction in ("epsilon", "v_prediction"):
        return Dialect(_preconditioned(scheduler), f"edm_{prediction}")
    alphas_cumprod = getattr(scheduler, "alphas_cumprod", None)
    in_sigma_time = config.get("timestep_type", "discrete") != "discrete"
    known = prediction in ("epsilon", "v_prediction", "sample")
    if alphas_cumprod is None or in_sigma_time or not known:
        raise ValueError(
            f"scheduler {name} (prediction_type={prediction!r}): expected a FlowMatch or EDM one, "
            "or one with alphas_cumprod and discrete time that predicts epsilon, v_prediction or "
            "sample; set the scheduler that the model was trained with."
        )
    return Dialect(VariancePreserving(alphas_cumprod.cpu().numpy()), prediction)


def _is_from_diffusers(scheduler: Any, method: str) -> bool:
    """Tell whether a method is the library's, not that of a subclass or put onto the object."""
    function = getattr(scheduler, method, None)
    home = getattr(getattr(function, "__func__", None), "__module__", "")
    return function is None or home.partition(".")[0] == "diffusers"


def _read_flow(scheduler: Any) -> Dialect:
    """Dialect of a flow; a solver of another kind may declare that it predicts eps or x_0 there."""
    config, name = scheduler.config, type(scheduler).__name__
    n_times, inverted = config.get("num_train_timesteps", 1000), config.get("invert_sigmas", False)
    if inverted:  # time and velocity run from noise to data
        return Dialect(FlowMatching(n_times, inverted=True), "inverted_flow")
    if (most := config.get("sigma_max") or 0) > 1:  # Cosmos: amplitudes of noise, not of a flow
        return Dialect(VarianceExploding(config.get("sigma_min") or 0.002, most), "epsilon")
    declared = config.get("prediction_type", "flow_prediction")
    if name.startswith("FlowMatch") or declared == "flow_prediction":
        return Dialect(FlowMatching(n_times), "flow")
    if declared in ("epsilon", "sample"):
        return Dialect(FlowMatching(n_times), declared)
    raise ValueError(
        f"scheduler {name} (prediction_type={declared!r} with use_flow_sigmas): expected "
        "flow_prediction, epsilon or sample in a flow; set the scheduler that the model was "
        "trained with."
    )


def _preconditioned(scheduler: Any) -> Preconditioned:
    config = scheduler.config
    noise = np.geomspace(config["sigma_min"], config["sigma_max"], SIGMAS)
    times = scheduler.precondition_noise(torch.as_tensor(noise))
    return Preconditioned(noise, times.numpy(), config["sigma_data"])
