"""Pictures of clean states, made by a pipeline's own decoder: a replay of one step."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from conjure_kernel._checks import ConjureWarning
from conjure_kernel.method.grid import Grid

__all__ = ["Show", "check_pictures", "pictures_in"]


class Show:
    """Task of one step that hands the pipeline stored clean states to decode."""

    def __init__(self, grid: Grid, x0: torch.Tensor) -> None:
        self.grid, self.state = grid, x0

    def step(self, eps: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Go to the clean states, whatever is predicted."""
        return self.state, self.state


def pictures_in(made: np.ndarray, name: str) -> np.ndarray:
    """Pictures (R, H, W, C); for a video, its frame in the middle."""
    if made.ndim == 5:
        made = made[:, made.shape[1] // 2]
    if made.ndim != 4:
        raise ValueError(
            f"{name} makes no pictures: expected (height, width, channels) for each row, got shape "
            f"{made.shape[1:]}; read what it makes with `render`."
        )
    return made


def check_pictures(result: Any, name: str, first: int = 0) -> None:
    """Raise FloatingPointError if a picture is not finite; warn if a checker has blacked one out.

    The error has the `row` of the picture, of which `first` were made before. The measurement is
    not concerned: no picture enters it.
    """
    made = np.asarray(result[0])
    finite = np.isfinite(made.reshape(len(made), -1)).all(1)
    if not finite.all():
        error: Any = FloatingPointError(
            f"{name}: a decoded picture has NaN or infinity; load it with dtype='bfloat16' or "
            "'float32', or its autoencoder alone (pipeline.vae.to(torch.float32)). Divergences "
            "need no picture."
        )
        error.row = first + int(finite.argmin())
        raise error
    flags = result[1] if len(result) > 1 and isinstance(result[1], list) else []
    if n_black := sum(flag is True or flag == 1 for flag in flags):
        warnings.warn(
            f"{name}: its safety checker has put a black picture in the place of {n_black} of "
            f"{len(flags)}; to see what is measured, pass a pipeline that was loaded with "
            "safety_checker=None, or set pipeline.safety_checker = None: J stays the same.",
            category=ConjureWarning,
            stacklevel=5,
        )
