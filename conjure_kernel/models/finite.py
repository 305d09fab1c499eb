"""Where a model predicts NaN or infinity: an error that names the prompt and the noise level."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from conjure_kernel.method.grid import Grid

__all__ = ["check_ends", "check_finite", "decoded", "repeated"]


def check_finite(values: torch.Tensor, grid: Grid, prompts: Sequence[str], dtype: object) -> None:
    """Raise FloatingPointError if a value (T, R) of rows with these R prompts is not finite."""
    bad = ~torch.isfinite(values)
    if bad.any():
        node, row = (int(i) for i in bad.nonzero()[0])
        raise FloatingPointError(
            f"prompt {prompts[row]!r}: the model predicted NaN or infinity at log-SNR "
            f"{grid.node_log_snr[node]:.3g} in {dtype}; try dtype='bfloat16' or 'float32', a "
            "narrower log_snr_range or a smaller guidance_scale."
        )


def check_ends(x0: torch.Tensor, prompts: Sequence[str], dtype: object) -> None:
    """Raise FloatingPointError if the end of a chain, which is its picture, is not finite."""
    if not x0.isfinite().all():
        row = int((~x0.flatten(1).isfinite().all(1)).nonzero()[0])
        raise FloatingPointError(
            f"prompt {prompts[row]!r}: the chain ends in NaN or infinity in {dtype}; try "
            "dtype='bfloat16' or 'float32', or a smaller guidance_scale."
        )


def decoded(
    decode: Callable[[torch.Tensor], np.ndarray], x0: torch.Tensor, prompts: Sequence[str]
) -> np.ndarray:
    """Pictures of clean states, grouped by prompt; an error names the prompt of its `row`."""
    try:
        return decode(x0)
    except FloatingPointError as error:
        if (row := getattr(error, "row", None)) is None:
            raise
        named = f"prompt {repeated(prompts, len(x0))[row]!r}: {error}"
        raise FloatingPointError(named) from error


def repeated(prompts: Sequence[str], n_rows: int) -> list[str]:
    """The prompt of each of R rows, which are grouped by prompt."""
    return [prompt for prompt in prompts for _ in range(n_rows // len(prompts))]
