"""What all pictures share: colours, fonts (the user's) and checks; nothing stays in rcParams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from conjure_kernel._checks import check_prompts, check_square

__all__ = ["BLUE", "COLOURS", "GREY", "HUES", "INK", "STYLE", "check", "check_images", "new_axes"]

INK, GREY, BLUE = "#2b2b33", "#85858f", "#0e6096"
# Dark is near. Equal steps of lightness in OKLab, hence perceptually uniform.
HUES = "#2f215b #2b3f7c #0e6096 #0082a5 #13a0a6 #63baa7 #9ed1ae #d1e7c1 #fbfdde"
COLOURS = LinearSegmentedColormap.from_list("conjure", HUES.split())
STYLE: dict[str, Any] = {"axes.facecolor": "white", "figure.facecolor": "white"}
STYLE |= {"font.size": 7.5, "axes.titlesize": 9, "xtick.labelsize": 7, "axes.grid": False}
STYLE |= {"axes.labelsize": 7.5, "ytick.labelsize": 7}
STYLE |= dict.fromkeys(["text.color", "axes.titlecolor", "xtick.color", "ytick.color"], INK)


def check(
    divergences: np.ndarray, labels: Sequence[str], standard_errors: np.ndarray | None
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Matrix, names and standard errors (NaN where unknown) that belong together."""
    matrix, names = check_square(divergences, "divergences"), check_prompts(labels, "labels")
    if matrix.trace() > 0:
        raise ValueError(f"divergences: trace {matrix.trace():.6g} came, 0 is needed. A kernel?")
    if len(names) != len(matrix):
        raise ValueError(f"labels: {len(names)} came, {len(matrix)} are needed, one a row.")
    errors = np.array(matrix * np.nan if standard_errors is None else standard_errors, dtype=float)
    if errors.shape != matrix.shape:
        raise ValueError(f"standard_errors: shape {errors.shape} came, {matrix.shape} is needed.")
    return matrix, names, errors


def check_images(images: np.ndarray, n: int) -> np.ndarray:
    rgb = np.asarray(images)
    if rgb.ndim != 4 or rgb.shape[::3] != (n, 3) or rgb.dtype != np.uint8:
        came = f"{rgb.dtype} {rgb.shape}"
        raise ValueError(f"images: {came} came, uint8 ({n}, height, width, 3) is needed.")
    return rgb


def new_axes(side: float) -> Axes:
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(1.65 * side, 1.25 * side), dpi=150)
    return figure.add_axes((0.12, 0.12, 0.62, 0.8))
