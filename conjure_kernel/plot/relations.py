"""Diagrams beside the map: Shepard diagram, directed legs, profile over noise levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.text import Text
from scipy.spatial.distance import pdist, squareform

from conjure_kernel._checks import check_number, check_prompts, check_square
from conjure_kernel.method.schedule import Grid
from conjure_kernel.plot._style import BLUE, COLOURS, INK, STYLE, new_axes
from conjure_kernel.plot.coordinates import check_coordinates, layout, stress
from conjure_kernel.plot.labels import fit_limits, shorten, spread

__all__ = ["plot_legs", "plot_profile", "plot_shepard"]


@rc_context(STYLE)
def plot_shepard(
    divergences: np.ndarray, coordinates: np.ndarray, *, ax: Axes | None = None
) -> Axes:
    """Shepard diagram: distance on the map against sqrt(J), a dot per pair of prompts.

    Dots on the line are pairs that the map shows rightly; its slope is the layout's best scale.
    What the map must leave out shows as scatter, and in sum as the stress.

    Parameters
    ----------
    divergences : array of shape (n, n)
        Symmetric Jeffreys divergences.
    coordinates : array of shape (n, 2)
        The layout.
    ax : Axes, optional
        Where to draw; by default a new pyplot figure.

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
    drawn = pdist(check_coordinates(coordinates, len(matrix)))
    wanted = squareform(np.sqrt(matrix), checks=False)
    ax = new_axes(4) if ax is None else ax
    size = float(np.clip(400 / max(len(wanted), 1), 3, 18))
    ax.scatter(wanted, drawn, s=size, color=BLUE, alpha=0.6, linewidths=0, rasterized=True)
    scale = (wanted @ drawn) / (wanted @ wanted) if wanted.any() else 1.0
    end = wanted.max(initial=0) * 1.04 or 1.0
    ax.plot([0, end], [0, scale * end], color=INK, lw=0.8)
    ax.set(xlim=(0, end), ylim=(0, max(drawn.max(initial=0) * 1.04, scale * end)))
    ax.set(xlabel="√J", ylabel="distance on the map")
    ax.set_title(f"Shepard diagram, stress {stress(matrix, coordinates):.2f}", loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


@rc_context(STYLE)
def plot_profile(
    profile: np.ndarray,
    grid: Grid,
    *,
    standard_errors: np.ndarray | None = None,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """J over log-SNR: coarse layout on the left, fine detail on the right; its area is J.

    Parameters
    ----------
    profile : array of shape (T,)
        Share of J that each noise level holds: `Divergence.profile[i, j]`, `Explanation.profile`.
    grid : Grid
        The noise levels: `Divergence.grid`.
    standard_errors : array of shape (T,), optional
        Of the profile; NaN where unknown.
    label : str, optional
        For a legend; without one the steps are filled.
    ax : Axes, optional
        Where to draw, once or several times; by default a new pyplot figure.

    Returns
    -------
    ax : Axes

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, pairwise_divergence
    >>> world = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4})
    >>> found = pairwise_divergence(["a dog", "a cat"], model=world, memory=None)
    >>> ax = plot_profile(found.profile[0, 1], found.grid)
    """
    widths = np.asarray(grid.d_log_snr)
    shares = np.asarray(profile, dtype=float)
    if shares.shape != widths.shape:
        raise ValueError(f"profile: shape {shares.shape} came, {widths.shape} is needed.")
    density = shares / widths
    ax = new_axes(4) if ax is None else ax
    was_drawn = ax.has_data()
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
    ax.set(xlim=edges[[0, -1]], xlabel="log-SNR, from noise to image", ylabel="nats per unit")
    ax.set_ylim(0, max(1.05 * top, ax.get_ylim()[1] if was_drawn else 0) or 1)
    ax.set_title("J over noise levels: layout to detail", loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


@rc_context(STYLE)
def plot_legs(
    kl: np.ndarray,
    labels: Sequence[str],
    *,
    coordinates: np.ndarray | None = None,
    n_neighbors: int = 2,
    ax: Axes | None = None,
) -> Axes:
    """Directed graph: from each prompt a, arrows to those b of least KL(P_a || P_b).

    An arrow a to b reads: what a evokes, b foresees. Dark and thick is near. A narrow meaning
    points to a broad one that holds it, more often than back.

    Parameters
    ----------
    kl : array of shape (n, n)
        KL(P_row || P_column): `ConjureDistance.kl_`, `Divergence.legs[0]`.
    labels : sequence of str, length n
        The prompts.
    coordinates : array of shape (n, 2), optional
        Where they stand; by default the layout of J.
    n_neighbors : int
        Arrows out of each prompt.
    ax : Axes, optional
        Where to draw; by default a new pyplot figure.

    Returns
    -------
    ax : Axes

    Examples
    --------
    >>> kl = np.array([[0, 1, 4], [2, 0, 4], [5, 4, 0]])
    >>> ax = plot_legs(kl, ["dog", "animal", "car"])
    """
    legs, names = np.array(kl, dtype=float), check_prompts(labels, "labels")
    divergences = check_square((legs + legs.T) / 2 if legs.ndim == 2 else legs, "kl")
    if len(names) != len(legs):
        raise ValueError(f"labels: {len(names)} came, {len(legs)} are needed, one a row.")
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
    texts = _place_names(ax, points, shorten(names, 24))
    for a, row in enumerate(nearest):
        for b in row:
            far = float(np.sqrt(legs[a, b] / (largest or 1)))
            arrow = {"arrowstyle": "-|>", "color": COLOURS(0.75 * far), "lw": 2 - 1.4 * far}
            arrow |= {"connectionstyle": "arc3,rad=0.12", "shrinkA": 1, "shrinkB": 1}
            arrow |= {"patchA": texts[a].get_bbox_patch(), "patchB": texts[b].get_bbox_patch()}
            ends = texts[b].get_position(), texts[a].get_position()
            ax.annotate(
                "", *ends, arrowprops=arrow, zorder=4
            )  # after the names, whose boxes cut it
    return ax


def _place_names(ax: Axes, points: np.ndarray, names: list[str]) -> list[Text]:
    """Names at their points, or pushed apart where they would cover each other."""
    style: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 3, "parse_math": False}
    style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    texts = [ax.text(x, y, name, **style) for (x, y), name in zip(points, names, strict=True)]
    ruler = RendererAgg(1, 1, ax.figure.dpi)
    largest = np.max([text.get_window_extent(ruler).size for text in texts], axis=0)
    box = largest * [1.17, 1.6]  # at 90 dots an inch text is up to a sixth wider
    size = np.array(ax.get_window_extent().size)
    low, high = fit_limits(points, size, box / 2)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    ax.set_aspect("equal", adjustable="datalim")
    frame = ax.get_window_extent().get_points()
    places = ax.transData.inverted().transform(spread(ax.transData.transform(points), box, frame))
    for text, place in zip(texts, places, strict=True):
        text.set_position(place)
    return texts
