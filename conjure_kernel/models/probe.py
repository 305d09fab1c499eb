"""The behavioural probe: a model's answers to fixed questions, which tell it from another.

Two prompts are asked at three noise levels; of each answer 16 random projections are kept. Two
answers are the same where they differ by less than a hundredth of what the two prompts differ by,
as that is what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from conjure_kernel.method.reverse import standard_normal

__all__ = ["PROMPTS", "SAME", "probe_of", "same_answer"]

PROMPTS = ("a photograph of a dog", "two red umbrellas and a very small house by the sea in winter")
N_LEVELS = 3
N_PROJECTIONS = 16
SAME = 0.01  # of the difference between the two prompts


def probe_of(eps: torch.Tensor) -> tuple[float, ...]:
    """Projections of the predictions ``(2, 3, *shape)`` of both prompts at each level, flat."""
    shape = (N_PROJECTIONS, *eps.shape[2:])
    directions = standard_normal(shape, seed=0, prompt="probe", draw=0, step=1).double()
    answers = eps.double().cpu().flatten(2) @ directions.flatten(1).T
    return tuple(float(v) for v in (answers / directions[0].numel() ** 0.5).flatten())


def same_answer(
    probe: Sequence[float] | None, known: Sequence[float] | None, dtype: torch.dtype = torch.float32
) -> bool:
    """Tell whether two models of one fingerprint answer alike, but for rounding in `dtype`.

    Examples
    --------
    >>> probe = np.linspace(-1, 1, 96)
    >>> same_answer(probe, 1.00001 * probe), same_answer(probe, 1.1 * probe)
    (True, False)
    """
    if probe is None or known is None:
        return True
    if len(probe) != len(known):
        return False
    a, b = (np.reshape(p, (-1, 2, N_LEVELS, N_PROJECTIONS)) for p in (probe, known))
    apart = np.sqrt(np.square(a[:, 0] - a[:, 1]).mean(-1))
    size = np.sqrt(np.square(a).mean((1, 3)))
    moved = np.sqrt(np.square(a - b).mean((1, 3)))
    rounding = torch.finfo(dtype).eps if dtype.is_floating_point else 0.0
    return bool((moved <= SAME * apart + max(2 * rounding, 1e-4) * size).all())
