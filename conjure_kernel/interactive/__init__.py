"""An interactive map in one HTML file that opens with the network off (Bokeh, inlined). Layer 5.

Hover shows a prompt's images and nearest neighbours, a click pins it and colours the others by
their distance from it, a search box dims the rest; the table below holds the same data for screen
readers and keyboards. `page.html`, `page.css` and `page.js` are the page; Bokeh draws the map.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

import conjure_kernel._layout as geometry
from conjure_kernel._checks import check_number
from conjure_kernel.interactive.figure import COLOURS, SHAPES, draw
from conjure_kernel.plot._style import HUES, check

__all__ = ["HtmlMap", "html_map"]

MAX_IMAGE = 8192  # bytes of an image as it stands in the file
MAX_SIDE = 96
MAX_CLUSTERS = len(SHAPES)


@dataclass(frozen=True)
class HtmlMap:
    """A page with an interactive map; made by `html_map`.

    Attributes
    ----------
    page : str
        The whole page, nothing to load from elsewhere.
    """

    page: str = field(repr=False)

    def save(self, path: str | Path) -> None:
        """Write the page into a file."""
        Path(path).write_text(self.page, encoding="utf-8")

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.page)}" title="Map of prompts" '
            'style="width: 100%; height: 800px; border: 0"></iframe>'
        )


def html_map(
    divergences: np.ndarray,
    labels: Sequence[str],
    *,
    images: np.ndarray | None = None,
    standard_errors: np.ndarray | None = None,
    coordinates: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    n_neighbors: int = 5,
    title: str = "Map of prompts",
    provenance: dict[str, Any] | None = None,
) -> HtmlMap:
    """Interactive map of prompts, as one HTML file.

    Parameters
    ----------
    divergences : array of shape (n, n)
        Symmetric Jeffreys divergences with a zero diagonal, in nats.
    labels : sequence of str, length n
        The prompts; whatever they hold is shown as text.
    images : uint8 array of shape (n, n_images, height, width, 3), optional
        What each prompt conjures: `ConjureDistance.conjure_images(n=4)`. The first one stands on
        the map. Kept at 96 pixels and 8 kB each at most.
    standard_errors : array of shape (n, n), optional
        Of the divergences.
    coordinates : array of shape (n, 2), optional
        From `plot.layout`, which is also the default.
    clusters : int array of shape (n,), optional
        At most 7 different values, shown by colour and shape. Default: average linkage on sqrt(J),
        cut where the silhouette is best.
    n_neighbors : int
        Neighbours listed with each prompt.
    title : str
        Of the page.
    provenance : dict, optional
        Kept in the page's metadata.

    Returns
    -------
    page : HtmlMap
        `page.save("map.html")`; a notebook shows it as it is.

    Examples
    --------
    >>> import numpy as np
    >>> page = html_map(1 - np.eye(3), ["a dog", "a cat", "<b>"])
    >>> page.save("map.html")  # doctest: +SKIP
    """
    matrix, names, errors = check(divergences, labels, standard_errors)
    check_number(n_neighbors, "n_neighbors", least=1, integer=True)
    pictures = None if images is None else _check_many(images, len(names))
    points = geometry.layout(matrix) if coordinates is None else coordinates
    points = geometry.check_coordinates(points, len(names))
    groups, medoids = _group(matrix, clusters)
    distances = np.sqrt(matrix)
    spread = errors / (2 * np.where(distances > 0, distances, np.nan))
    script, div = draw(points, names, groups, pictures is not None)
    page = (
        _environment()
        .from_string(_part("page.html"))
        .render(
            title=title,
            provenance=json.dumps(provenance or {}),
            bokeh=_bokeh_source(),
            css=_part("page.css"),
            js=_part("page.js"),
            script=script,
            div=div,
            data=_json(
                {"distances": _pack(distances), "errors": _pack(spread), "hues": HUES.split()}
            ),
            legend=[(SHAPES[g], COLOURS[g], names[m]) for g, m in enumerate(medoids)],
            rows=_rows(names, distances, spread, groups, pictures, n_neighbors),
            stress=geometry.stress(matrix, points),
            has_errors=bool(np.isfinite(spread).any()),
        )
    )
    return HtmlMap(page)


def _check_many(images: np.ndarray, n: int) -> np.ndarray:
    rgb = np.asarray(images)
    if rgb.ndim != 5 or rgb.shape[0] != n or rgb.shape[4] != 3 or rgb.dtype != np.uint8:
        came = f"{rgb.dtype} {rgb.shape}"
        raise ValueError(f"images: {came} came, uint8 ({n}, n_images, height, width, 3) is needed.")
    return rgb


def _group(matrix: np.ndarray, clusters: np.ndarray | None) -> tuple[np.ndarray, list[int]]:
    """Clusters 0, 1, ... by size, and the prompt at the middle of each."""
    n = len(matrix)
    found = _cut_tree(matrix) if clusters is None else np.asarray(clusters)
    if found.shape != (n,):
        raise ValueError(f"clusters: shape {found.shape} came, ({n},) is needed.")
    values, sizes = np.unique(found, return_counts=True)
    if len(values) > MAX_CLUSTERS:
        raise ValueError(f"clusters: {len(values)} came, {MAX_CLUSTERS} can be told apart. Merge.")
    order = values[np.argsort(-sizes, kind="stable")]
    groups = np.array([int(np.flatnonzero(order == value)[0]) for value in found])
    members = [np.flatnonzero(groups == g) for g in range(len(order))]
    return groups, [int(m[matrix[np.ix_(m, m)].sum(1).argmin()]) for m in members]


def _cut_tree(matrix: np.ndarray) -> np.ndarray:
    """Average linkage on sqrt(J), cut into 2 to 7 clusters where the silhouette is best."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform
    from sklearn.metrics import silhouette_score

    distances = np.sqrt(matrix)
    if len(matrix) < 4 or not distances.any():
        return np.zeros(len(matrix), dtype=int)
    links = linkage(squareform(distances, checks=False), "average")
    cuts = [
        fcluster(links, k, "maxclust") for k in range(2, min(MAX_CLUSTERS, len(matrix) - 1) + 1)
    ]
    cuts = [cut for cut in cuts if 1 < len(set(cut)) < len(matrix)]
    scored = [silhouette_score(distances, cut, metric="precomputed") for cut in cuts]
    return cuts[int(np.argmax(scored))] if cuts else np.zeros(len(matrix), dtype=int)


def _rows(
    names: list[str],
    distances: np.ndarray,
    errors: np.ndarray,
    groups: np.ndarray,
    pictures: np.ndarray | None,
    n_neighbors: int,
) -> list[dict[str, Any]]:
    """What the table holds, a row per prompt."""
    apart = distances + np.diag(np.full(len(names), np.inf))
    nearest = np.argsort(apart, axis=1, kind="stable")[:, : min(n_neighbors, len(names) - 1)]

    def tell(a: int, b: int) -> str:
        error = f" ± {errors[a, b]:.2f}" if np.isfinite(errors[a, b]) else ""
        return f"{distances[a, b]:.2f}{error}"

    return [
        {
            "prompt": name,
            "shape": SHAPES[groups[i]],
            "colour": COLOURS[groups[i]],
            "cluster": int(groups[i]) + 1,
            "images": [] if pictures is None else [_encode(picture) for picture in pictures[i]],
            "neighbours": [(names[j], tell(i, j)) for j in nearest[i]],
        }
        for i, name in enumerate(names)
    ]


def _encode(picture: np.ndarray) -> str:
    """Data URI of at most MAX_IMAGE bytes: PNG if it fits, else JPEG as good as fits."""
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    ways: list[tuple[str, dict[str, Any]]] = [("png", {"optimize": True})]
    ways += [("jpeg", {"quality": quality}) for quality in (90, 75, 60, 40, 20)]
    for kind, options in ways:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        uri = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
        if len(uri) <= MAX_IMAGE:
            break
    return uri


def _pack(matrix: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(matrix, "<f4").tobytes()).decode()


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data).replace("<", "\\u003c")


def _part(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")


def _bokeh_source() -> str:
    from bokeh.resources import Resources

    return "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)


def _environment() -> Any:
    from jinja2 import Environment

    return Environment(autoescape=True)
