"""Diagrams that go with a map: Shepard diagram, directed legs, profile over noise levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text
from scipy.spatial.distance import pdist, squareform

from conjure_kernel._checks import check_coordinates, check_number, check_square
from conjure_kernel.method.grid import Grid
from conjure_kernel.plot._style import (
    BLUE,
    COLOURS,
    INK,
    WIDER,
    check_labels,
    fit_axes,
    new_axes,
    text_sizes,
)
from conjure_kernel.plot.coordinates import layout, stress
from conjure_kernel.plot.fonts import drawing, readable, short_names
from conjure_kernel.plot.labels import spread

__all__ = ["plot_legs", "plot_profile", "plot_shepard"]


@drawing()
def plot_shepard(
    divergences: np.ndarray, coordinates: np.ndarray, *, ax: Axes | None = None
) -> Axes:
    """Shepard diagram: distance on the map against sqrt(J), a dot per pair of prompts.

    Dots on the line are pairs whose distance is right on the map; the slope of the line is the best
    scale of the layout. What a map cannot show appears as scatter; the stress is its sum.

    Parameters
    ----------
    divergences : array of shape (n, n)
        Symmetric Jeffreys divergences.
    coordinates : array of shape (n, 2)
        The layout, e.g. from `layout`.
    ax : Axes, optional
        Where to plot. Default: axes on a new pyplot figure.

    Returns
    -------
    ax : Axes

    Examples
    --------
    >>> J = np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0]])
    >>> plot_shepard(J, layout(J)).get_xlabel()
    '√J'
    """
    matrix = check_square(divergences, "divergences")
    on_map = pdist(check_coordinates(coordinates, len(matrix)))
    wanted = squareform(np.sqrt(matrix), checks=False)
    ax = new_axes(4) if ax is None else ax
    many = max(len(wanted), 1)
    size, alpha = np.clip(3000 / many, 5, 18), np.clip(7 / many**0.5, 0.04, 0.6)
    ax.scatter(wanted, on_map, s=size, color=BLUE, alpha=alpha, linewidths=0, rasterized=True)
    scale = (wanted @ on_map) / (wanted @ wanted) if wanted.any() else 1.0
    end = wanted.max(initial=0) * 1.04 or 1.0
    ax.plot([0, end], [0, scale * end], color=INK, lw=0.8)
    ax.set(xlim=(0, end), ylim=(0, max(on_map.max(initial=0) * 1.04, scale * end)))
    ax.set(xlabel="√J", ylabel="distance on the map")
    ax.set_title(f"Shepard diagram, stress {stress(matrix, coordinates):.2f}", loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


@drawing()
def plot_profile(
    profile: np.ndarray,
    grid: Grid,
    *,
    standard_errors: np.ndarray | None = None,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """J over log-SNR, from coarse layout on the left to fine detail on the right; the area is J.

    Parameters
    ----------
    profile : array of shape (T,)
        Part of J that comes from each noise level, in nats: `Divergence.profile[i, j]` or
        `Explanation.profile`.
    grid : Grid
        The noise levels: `Divergence.grid`.
    standard_errors : array of shape (T,), optional
        Standard errors of the profile; NaN where unknown. Default: no bars.
    label : str, optional
        Entry in a legend; the steps are then lines. Default: none, and the steps are filled.
    ax : Axes, optional
        Where to plot, once or several times. Default: axes on a new pyplot figure.

    Returns
    -------
    ax : Axes

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, pairwise_divergence
    >>> world = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4})
    >>> measured = pairwise_divergence(["a dog", "a cat"], model=world, memory=None)
    >>> ax = plot_profile(measured.profile[0, 1], measured.grid)
    """
    widths = np.asarray(grid.d_log_snr)
    shares = np.asarray(profile, dtype=float)
    if shares.shape != widths.shape:
        raise ValueError(
            f"profile: expected the shape {widths.shape} of the grid, got {shares.shape}."
        )
    density = shares / widths
    ax = new_axes(4) if ax is None else ax
    # The legend is made later, by whoever calls this, and would read what is between two $.
    label = None if label is None else readable([label])[0].replace("$", r"\$")
    was_used = ax.has_data()
    edges = grid.log_snr_range[0] + np.r_[0, np.cumsum(widths)]
    fill: dict[str, Any] = {"fill": True, "color": BLUE, "alpha": 0.35}
    steps = ax.stairs(
        density, edges, **(fill if label is None else {"label": label, "baseline": None})
    )
    top = density.max()
    if standard_errors is not None:
        colour = BLUE if label is None else steps.get_edgecolor()
        middle, errors = (edges[1:] + edges[:-1]) / 2, np.asarray(standard_errors) / widths
        ax.errorbar(middle, density, errors, fmt="none", ecolor=colour, elinewidth=1, capsize=2)
        top = (density + np.nan_to_num(errors)).max()
    low = ax.get_window_extent().height < 1.2 * ax.figure.dpi
    text = "nats per unit\nof log-SNR" if low else "nats per unit of log-SNR"
    ax.set(xlim=edges[[0, -1]], xlabel="log-SNR, from noise to image", ylabel=text)
    ax.set_ylim(0, max(1.05 * top, ax.get_ylim()[1] if was_used else 0) or 1)
    ax.set_title("J over noise levels: layout to detail", loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


@drawing()
def plot_legs(
    kl: np.ndarray,
    labels: Sequence[str],
    *,
    coordinates: np.ndarray | None = None,
    n_neighbors: int = 2,
    ax: Axes | None = None,
) -> Axes:
    """Directed graph with arrows from each prompt a to the prompts b of least KL(P_a || P_b).

    An arrow from a to b says that b predicts well what a evokes; dark and thick is near. A narrow
    meaning points to a broad one that contains it more often than the other way round.

    Parameters
    ----------
    kl : array of shape (n, n)
        KL(P_row || P_column): `ConjureDistance.kl_`, `Divergence.legs[0]`.
    labels : sequence of str, length n
        The prompts; long ones are shortened with an ellipsis.
    coordinates : array of shape (n, 2), optional
        Points of the prompts. Default: `layout` of J.
    n_neighbors : int, default 2
        Arrows out of each prompt.
    ax : Axes, optional
        Where to plot. Default: axes on a new pyplot figure.

    Returns
    -------
    ax : Axes

    Examples
    --------
    >>> kl = np.array([[0, 1, 4], [2, 0, 4], [5, 4, 0]])
    >>> ax = plot_legs(kl, ["dog", "animal", "car"])
    """
    legs = np.array(kl, dtype=float)
    divergences = check_square((legs + legs.T) / 2 if legs.ndim == 2 else legs, "kl")
    names = check_labels(labels, len(legs))
    check_number(n_neighbors, "n_neighbors", least=1, integer=True)
    points = layout(divergences) if coordinates is None else coordinates
    points = check_coordinates(points, len(names))
    ax = new_axes(5) if ax is None else ax
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title("Arrows to the nearest by KL(a ‖ b)", loc="left")
    np.fill_diagonal(legs, np.inf)
    nearest = np.argsort(legs, axis=1, kind="stable")[:, : min(n_neighbors, len(legs) - 1)]
    largest = max((legs[a, row].max() for a, row in enumerate(nearest) if len(row)), default=0.0)
    texts = _place_names(ax, points, short_names(names, 24))
    for a, row in enumerate(nearest):
        for b in row:
            far = float(np.sqrt(legs[a, b] / (largest or 1)))
            arrow = {"arrowstyle": "-|>", "color": COLOURS(0.75 * far), "lw": 2 - 1.4 * far}
            arrow |= {"connectionstyle": "arc3,rad=0.12", "shrinkA": 1, "shrinkB": 1}
            arrow |= {"patchA": texts[a].get_bbox_patch(), "patchB": texts[b].get_bbox_patch()}
            ends = texts[b].get_position(), texts[a].get_position()
            # An arrow comes after the names, whose boxes cut it.
            ax.annotate("", *ends, arrowprops=arrow, zorder=4)
    return ax


def _place_names(ax: Axes, points: np.ndarray, names: list[str]) -> list[Text]:
    """Write names at their points, moved apart where they would cover each other."""
    style: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 3, "parse_math": False}
    style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    texts = [ax.text(x, y, name, **style) for (x, y), name in zip(points, names, strict=True)]
    box = text_sizes(ax, texts).max(axis=0) * [WIDER, 1.6]
    fit_axes(ax, points, box / 2)
    frame = ax.get_window_extent().get_points()
    places = ax.transData.inverted().transform(spread(ax.transData.transform(points), box, frame))
    for text, place in zip(texts, places, strict=True):
        text.set_position(place)
    return texts
