"""The models that predict noise: the `Denoiser`, closed-form worlds and pipelines of diffusers.

`gaussian.py` has worlds whose answers are known exactly; `pretrained/` measures a pipeline through
its own loop; `pair.py` makes one model of two. The weights of the small model that ships with the
package are in `embedded/`.
"""

from conjure_kernel.method.schedule import (
    FlowMatching,
    Preconditioned,
    Schedule,
    VariancePreserving,
)
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.gaussian import GaussianDenoiser, MixtureDenoiser
from conjure_kernel.models.task import Reading, Task, Trajectory

__all__ = [
    "Denoiser",
    "FlowMatching",
    "GaussianDenoiser",
    "MixtureDenoiser",
    "Preconditioned",
    "Reading",
    "Schedule",
    "Task",
    "Trajectory",
    "VariancePreserving",
]
