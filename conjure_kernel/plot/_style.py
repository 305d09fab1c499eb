"""What all pictures share: colours, fonts, axes and checks; the user's rcParams stay unchanged."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text

from conjure_kernel._checks import check_prompts, check_square
from conjure_kernel.plot.labels import fit_limits

__all__ = ["BLUE", "COLOURS", "GREY", "HUES", "INK", "STYLE", "WIDER", "check", "check_images"]
__all__ += [
    "NARROW",
    "Size",
    "check_labels",
    "check_size",
    "fit_axes",
    "headline",
    "inches",
    "is_wide",
]
__all__ += ["name_ticks", "new_axes", "new_figure", "text_sizes"]

INK, GREY, BLUE = "#2b2b33", "#85858f", "#0e6096"
# Dark is near. Equal steps of lightness in OKLab, hence perceptually uniform.
HUES = "#2f215b #2b3f7c #0e6096 #0082a5 #13a0a6 #63baa7 #9ed1ae #d1e7c1 #fbfdde"
COLOURS = LinearSegmentedColormap.from_list("conjure", HUES.split())
STYLE: dict[str, Any] = {"axes.facecolor": "white", "figure.facecolor": "white"}
STYLE |= {"font.size": 7.5, "axes.titlesize": 9, "xtick.labelsize": 7, "axes.grid": False}
STYLE |= {"axes.labelsize": 7.5, "ytick.labelsize": 7}
STYLE |= {"text.parse_math": False, "text.usetex": False}  # a dollar sign in a prompt is one
STYLE |= dict.fromkeys(["text.color", "axes.titlecolor", "xtick.color", "ytick.color"], INK)
NARROW = 6.0  # inches; below, panels stand above each other and names are shorter
LEAST_SIDE, MOST_SIDE = 2.0, 60.0
Size = float | tuple[float, float] | None
WIDER = 1.17  # text at 90 dots an inch is up to a sixth wider than at others


def check(
    divergences: np.ndarray, labels: Sequence[str], standard_errors: np.ndarray | None
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Matrix, names and standard errors (NaN where unknown) that belong together."""
    matrix = check_square(divergences, "divergences")
    names = check_labels(labels, len(matrix))
    errors = np.array(matrix * np.nan if standard_errors is None else standard_errors, dtype=float)
    if errors.shape != matrix.shape:
        raise ValueError(
            f"standard_errors: expected the shape {matrix.shape} of the divergences, got "
            f"{errors.shape}."
        )
    return matrix, names, errors


def check_labels(labels: Sequence[str], n: int) -> list[str]:
    """The n prompts of as many rows or points."""
    names = check_prompts(labels, "labels")
    if len(names) != n:
        raise ValueError(f"labels: expected {n}, one for each prompt, got {len(names)}.")
    return names


def check_images(images: np.ndarray, n: int, several: bool = False) -> np.ndarray:
    """One image of each of n prompts (n, H, W, 3), or several of each (n, n_images, H, W, 3)."""
    rgb = np.asarray(images)
    axes = "n_images, height, width, 3" if several else "height, width, 3"
    fits = rgb.ndim == 4 + several and rgb.shape[0] == n and rgb.shape[-1] == 3
    if not fits or rgb.dtype != np.uint8:
        raise ValueError(
            f"images: expected uint8 of shape ({n}, {axes}), got {rgb.dtype} of shape {rgb.shape}."
        )
    return rgb


def check_size(size: Size, default: float = 10.0) -> tuple[float, float | None]:
    """Width of a figure, and its height where one is given, in inches."""
    if size is None:
        return default, None
    given = np.atleast_1d(np.asarray(size, dtype=float)).tolist()
    if len(given) > 2 or not all(LEAST_SIDE <= side <= MOST_SIDE for side in given):
        text = "x".join(f"{side:g}" for side in given)
        raise ValueError(
            f"size={text}: expected {LEAST_SIDE:g} to {MOST_SIDE:g} inches, as a width or as "
            "(width, height)."
        )
    return given[0], given[1] if len(given) == 2 else None


def name_ticks(axis: Any, places: Any, names: Sequence[str], **style: Any) -> None:
    """Ticks that are named by prompts, in the font of this picture on any axes."""
    family = rcParams["font.family"]
    axis.set_ticks(places, names, parse_math=False, fontfamily=family, **style)


def is_wide(ax: Axes) -> bool:
    """Whether the figure has room for whole sentences beside its panels."""
    return bool(ax.figure.bbox.width / ax.figure.dpi >= NARROW)


def inches(ax: Axes) -> float:
    """Width of axes."""
    part = ax.get_position(original=True).width
    return float(part * ax.figure.bbox.width / ax.figure.dpi)


def headline(figure: Figure, text: str, most_lines: int = 2) -> float:
    """Title at the top left, in lines as the figure is wide; return its height in inches."""
    width, height = figure.get_size_inches()
    size = 11 if width >= NARROW else 8
    lines = textwrap.wrap(text, max(20, int(110 * width / size)))
    if len(lines) > most_lines:
        lines = [*lines[: most_lines - 1], lines[most_lines - 1] + " …"]
    figure.text(0.0125, 1 - 0.1 / height, "\n".join(lines), size=size, va="top")
    return 0.1 + len(lines) * 1.25 * size / 72


def new_axes(side: float) -> Axes:
    """Axes on a new pyplot figure."""
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(1.65 * side, 1.25 * side), dpi=150)
    return figure.add_axes((0.12, 0.12, 0.62, 0.8))


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """A figure of so many inches, outside pyplot, that lays itself out."""
    figure = Figure((width, height), layout="constrained", **options)
    FigureCanvasAgg(figure)
    return figure


def fit_axes(ax: Axes, points: np.ndarray, margin: np.ndarray) -> None:
    """Limits in which all points lie at least `margin` pixels inside, on one scale."""
    low, high = fit_limits(points, np.array(ax.get_window_extent().size), margin)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    ax.set_aspect("equal", adjustable="datalim")


def text_sizes(ax: Axes, texts: Sequence[Text]) -> np.ndarray:
    """Widths and heights (n, 2) of texts in pixels, before anything is plotted."""
    ruler = RendererAgg(1, 1, ax.figure.dpi)
    return np.array([text.get_window_extent(ruler).size for text in texts])
