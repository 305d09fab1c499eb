"""An interactive map in one HTML file that needs no network, as it holds its code: ours and D3's.

The far view shows names of clusters, the near one prompts. Pointing at a prompt shows its images
and nearest neighbours, and a click pins it; search, lasso and colours are on the page as well. The
table below holds the same data for screen readers and keyboards. `page.html` and `page.css` are the
page, `parts/` what it does, and `d3.min.js` is a library (see NOTICE.md).
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from conjure_kernel._checks import check_coordinates, check_number, check_vectors
from conjure_kernel.estimators.clusters import Clusters
from conjure_kernel.plot._style import HUES, check, check_labels
from conjure_kernel.plot.canvas import spread_evenly
from conjure_kernel.plot.coordinates import MANY
from conjure_kernel.plot.html.columns import describe_columns
from conjure_kernel.plot.html.groups import COLOURS, describe_clusters
from conjure_kernel.plot.html.pictures import choose_pictures
from conjure_kernel.plot.html.sources import Matrix, Source, Vectors, pack
from conjure_kernel.plot.labels import shorten

__all__ = ["HtmlMap", "html_map"]

LABEL = 26  # letters of a prompt on the map
N_NEAR = 10  # prompts that the places of images bring near to each
CROWD = 0.5  # how far prompts go to their places where most of them are dots
STRETCH = 1.6  # of a map whose pictures are spread evenly, onto the canvas that there is
# They share one scope; the last one starts the page.
PARTS = "data colours labels places view moves cards search selection table address".split()
# HTML has no way to write these: it turns a return into a line feed, and drops NUL.
CONTROLS = {code: 0x2400 + code for code in range(32) if code not in b"\t\n"} | {127: 0x2421}


@dataclass(frozen=True)
class HtmlMap:
    """A page with an interactive map, made by `html_map`.

    Attributes
    ----------
    page : str
        The whole page, which loads nothing from elsewhere.
    """

    page: str = field(repr=False)

    def save(self, path: str | Path) -> None:
        """Write the page into a file, in place of an old one."""
        Path(path).write_text(self.page, encoding="utf-8")

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.page)}" title="Map of prompts" '
            'style="width: 100%; height: 800px; border: 0"></iframe>'
        )


def html_map(
    divergences: np.ndarray | None,
    labels: Sequence[str],
    *,
    vectors: np.ndarray | None = None,
    images: np.ndarray | None = None,
    pictured: np.ndarray | None = None,
    standard_errors: np.ndarray | None = None,
    coordinates: np.ndarray | None = None,
    clusters: Clusters | np.ndarray | None = None,
    columns: Mapping[str, Sequence[Any]] | None = None,
    n_neighbors: int = 5,
    n_first: int | None = None,
    title: str = "Map of prompts",
    unit: str = "nats",
    provenance: dict[str, Any] | None = None,
) -> HtmlMap:
    """Interactive map of prompts, as one HTML file.

    Above 1,000 prompts all are dots, except 300 representatives with images.

    Parameters
    ----------
    divergences : array of shape (n, n), or None with `vectors`
        Symmetric Jeffreys divergences with a zero diagonal, in nats.
    labels : sequence of str, length n
        The prompts; everything in them is shown as text.
    vectors : array of shape (n, d), optional
        Vectors from `ConjureEmbedding`, whose squared distances are in nats; where all have the
        length 1 (`normalize=True`), distances are shown as 1 - cosine. The file holds principal
        components of them: all that 500 prompts have, 64 of each from 3,900 on. Default:
        divergences are used.
    images : uint8 array of shape (n, n_images, height, width, 3), optional
        What each prompt conjures: `ConjureDistance.conjure_images(n=4)`. The first image stands on
        the map. Each is shrunk to at most 96 pixels and 8 kB. Default: prompts are shapes.
    pictured : int array of shape (n_pictured,), optional
        Positions of the prompts that have images, and labels before others; `images` then has
        n_pictured rows. Default: all prompts, above 1,000 `plot.representatives`.
    standard_errors : array of shape (n, n), optional
        Standard errors of the divergences, in nats. Default: unknown.
    coordinates : array of shape (n, 2), optional
        Points on the map. With images they are moved to places of equal size, above 1,000 prompts
        halfway there. Default: `plot.layout`, for vectors `plot.layout_vectors`.
    clusters : Clusters, or array of shape (n,), optional
        Named clusters at one level or more, or the cluster of each prompt, which is then called by
        its medoid; -1, None and NaN are none. Default: those of `find_clusters`.
    columns : dict of str to sequence of length n, optional
        Numbers or categories by which the page can colour the prompts, say
        ``{"vividness": vividness, "theme": themes}``; they are exported with what is selected. None
        and NaN are missing. Default: none.
    n_neighbors : int, default 5
        Neighbours listed with each prompt.
    n_first : int, optional
        With images of vectors, prompts whose places do not depend on those after them, as in
        `plot.spread_evenly`. Default: all prompts are placed together.
    title : str, default "Map of prompts"
        Title of the page.
    unit : str, default "nats"
        The unit of the divergences, or what they are relative to.
    provenance : dict, optional
        Facts for the page's metadata. Default: none.

    Returns
    -------
    page : HtmlMap
        `page.save("map.html")` writes it; a notebook shows it.

    Raises
    ------
    ValueError
        Both or none of divergences and vectors are given, or an array does not fit the labels.

    Examples
    --------
    >>> import numpy as np
    >>> page = html_map(1 - np.eye(3), ["a dog", "a cat", "<b>"])
    >>> page.save("map.html")  # doctest: +SKIP
    """
    source, names = _source_of(divergences, vectors, labels, standard_errors)
    names = [name.translate(CONTROLS) for name in names]
    check_number(n_neighbors, "n_neighbors", least=1, integer=True)
    if n_first is not None:
        check_number(n_first, "n_first", least=1, integer=True)
    points = source.layout() if coordinates is None else coordinates
    points = check_coordinates(points, len(names))
    kept, pictures = choose_pictures(images, pictured, source, points)
    if pictures:
        points = _use_canvas(points, source, n_first)
    data = {
        "prompts": names,
        "short": shorten(names, LABEL),
        "points": pack(points),
        "stretch": STRETCH if pictures else 1,
        "pictured": kept.tolist(),
        "pictures": pictures,
        "levels": describe_clusters(clusters, source, names),
        "columns": describe_columns(columns, len(names)),
        "neighbors": _neighbors(source, min(n_neighbors, len(names) - 1)),
        **source.data(),
        "measure": source.measure,
        "hues": HUES.split(),
        "palette": COLOURS,
    }
    return HtmlMap(_render(data, source, points, title, unit, provenance))


def _source_of(
    divergences: np.ndarray | None,
    vectors: np.ndarray | None,
    labels: Sequence[str],
    standard_errors: np.ndarray | None,
) -> tuple[Source, list[str]]:
    """Where distances come from, and the prompts."""
    if (divergences is None) == (vectors is None):
        raise ValueError(
            "divergences, vectors: expected one of both, got both or none; pass None for the other."
        )
    if divergences is not None:
        matrix, names, errors = check(divergences, labels, standard_errors)
        return Matrix(matrix, errors), names
    if standard_errors is not None:
        raise ValueError(
            "standard_errors: expected none with vectors, as they belong to divergences."
        )
    rows = check_vectors(vectors)
    return Vectors(rows), check_labels(labels, len(rows))


def _use_canvas(points: np.ndarray, source: Source, n_first: int | None) -> np.ndarray:
    """Places that fill a canvas evenly; where there are many points they go halfway there."""
    if len(points) <= MANY:
        near = source.near(min(N_NEAR, len(points) - 1), n_first) if len(points) > 1 else None
        return spread_evenly(points, near, n_first=n_first)
    places = spread_evenly(points)
    low, extent = points.min(0), np.ptp(points, axis=0)
    stretched = (points - low) / np.where(extent > 0, extent, 1) * np.ptp(places, axis=0)
    return CROWD * places + (1 - CROWD) * (places.min(0) + stretched)


def _neighbors(source: Source, k: int) -> dict[str, Any]:
    """The k nearest prompts of each, with distances and known errors."""
    at, distances, errors = source.nearest(k)
    known = {"errors": pack(errors)} if np.isfinite(errors).any() else {}
    return {"k": k, "at": pack(at, "<i4"), "distances": pack(distances), **known}


def _render(
    data: dict[str, Any],
    source: Source,
    points: np.ndarray,
    title: str,
    unit: str,
    provenance: dict[str, Any] | None,
) -> str:
    from jinja2 import Environment

    return (
        Environment(autoescape=True)
        .from_string(_part("page.html"))
        .render(
            title=title,
            unit=unit,
            measure=source.measure,
            provenance=json.dumps(provenance or {}),
            notice=_part("NOTICE.md"),
            library=_part("d3.min.js"),
            css=_part("page.css"),
            js="".join(_part(f"parts/{name}.js") for name in PARTS),
            data=json.dumps(data).replace("<", "\\u003c"),
            n_prompts=len(points),
            n_pictures=len(data["pictures"]),
            stress=source.stress(points),
            has_errors=bool(np.isfinite(source.errors).any()),
            note=source.note,
        )
    )


def _part(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")
