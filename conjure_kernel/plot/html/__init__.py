"""An interactive map in one HTML file that needs no network, as it holds Bokeh's own code.

Pointing at a prompt shows its images and nearest neighbours. A click pins it and colours the others
by their distance from it, and a search dims what does not match. The table below holds the same
data for screen readers and keyboards. `page.html`, `page.css` and `page.js` are the page, and
`figure` plots the map.
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

from conjure_kernel._checks import check_coordinates, check_number, check_vectors, quote
from conjure_kernel.plot._style import HUES, check, check_images, check_labels
from conjure_kernel.plot.coordinates import MANY
from conjure_kernel.plot.html.figure import COLOURS, SHAPES, render_map
from conjure_kernel.plot.html.sources import Matrix, Source, Vectors

__all__ = ["HtmlMap", "html_map"]

MAX_IMAGE = 8192  # bytes of an image as it stands in the file
MAX_SIDE = 96
MAX_CLUSTERS = len(SHAPES)
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
    clusters: np.ndarray | None = None,
    n_neighbors: int = 5,
    title: str = "Map of prompts",
    unit: str = "nats",
    provenance: dict[str, Any] | None = None,
) -> HtmlMap:
    """Interactive map of prompts, as one HTML file.

    Above 1,000 prompts all are dots, except 300 representatives with images and labels.

    Parameters
    ----------
    divergences : array of shape (n, n), or None with `vectors`
        Symmetric Jeffreys divergences with a zero diagonal, in nats.
    labels : sequence of str, length n
        The prompts; everything in them is shown as text.
    vectors : array of shape (n, d), optional
        Vectors from `ConjureEmbedding`, whose squared distances are in nats. The file holds at most
        64 principal components of them, so its size is linear in n. Default: divergences are used.
    images : uint8 array of shape (n, n_images, height, width, 3), optional
        What each prompt conjures: `ConjureDistance.conjure_images(n=4)`. The first image stands on
        the map. Each is shrunk to at most 96 pixels and 8 kB. Default: prompts are shapes.
    pictured : int array of shape (n_pictured,), optional
        Positions of the prompts with images or labels; `images` then has n_pictured rows. Default:
        all prompts, above 1,000 `plot.representatives`.
    standard_errors : array of shape (n, n), optional
        Standard errors of the divergences, in nats. Default: unknown.
    coordinates : array of shape (n, 2), optional
        Points on the map. Default: `plot.layout`, for vectors `plot.layout_vectors`.
    clusters : int array of shape (n,), optional
        At most 7 different values, shown by colour and shape. Default: average linkage on sqrt(J),
        for vectors k-means, with as many clusters as have the best silhouette.
    n_neighbors : int, default 5
        Neighbours listed with each prompt.
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
    points = source.layout() if coordinates is None else coordinates
    points = check_coordinates(points, len(names))
    kept, pictures = _choose(images, pictured, source, points)
    groups, medoids = _group(source, len(names), clusters)
    script, div = render_map(points, names, groups, kept, bool(pictures))
    page = (
        _environment()
        .from_string(_part("page.html"))
        .render(
            title=title,
            unit=unit,
            provenance=json.dumps(provenance or {}),
            bokeh=_bokeh_source(),
            css=_part("page.css"),
            js=_part("page.js"),
            script=script,
            div=div,
            data=_json(
                {**source.data(), "hues": HUES.split(), "shown": kept.tolist(), "most_rows": MANY}
            ),
            legend=[(SHAPES[g], COLOURS[g], names[m]) for g, m in enumerate(medoids)],
            rows=_rows(names, source, groups, pictures, n_neighbors),
            stress=source.stress(points),
            has_errors=bool(np.isfinite(source.errors).any()),
            note=source.note,
            most_rows=MANY,
            n_pictures=len(pictures),
        )
    )
    return HtmlMap(page)


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


def _choose(
    images: np.ndarray | None, pictured: np.ndarray | None, source: Source, points: np.ndarray
) -> tuple[np.ndarray, dict[int, list[str]]]:
    """Positions of the prompts with an image or a label, and the images of each as data URIs."""
    n = len(points)
    if pictured is None:
        kept = np.arange(n) if n <= MANY else source.representatives(points)
        rgb = None if images is None else check_images(images, n, several=True)[kept]
    else:
        kept = np.asarray(pictured)
        whole = kept.ndim == 1 and kept.size and kept.dtype.kind in "iu"
        if not whole or len(set(kept)) < len(kept) or kept.min() < 0 or kept.max() >= n:
            raise ValueError(
                f"pictured={quote(pictured)}: expected different positions from 0 to {n - 1}."
            )
        rgb = None if images is None else check_images(images, len(kept), several=True)
    pairs = () if rgb is None else zip(kept, rgb, strict=True)
    return kept, {int(i): [_encode(picture) for picture in of_one] for i, of_one in pairs}


def _group(source: Source, n: int, clusters: np.ndarray | None) -> tuple[np.ndarray, list[int]]:
    """Clusters 0, 1, ... by size, and the prompt at the middle of each."""
    cluster_of = source.cluster(MAX_CLUSTERS) if clusters is None else np.asarray(clusters)
    if cluster_of.shape != (n,):
        raise ValueError(f"clusters: expected the shape ({n},), got {cluster_of.shape}.")
    values, sizes = np.unique(cluster_of, return_counts=True)
    if len(values) > MAX_CLUSTERS:
        raise ValueError(
            f"clusters: expected at most {MAX_CLUSTERS} different ones, as many as there are "
            f"shapes, got {len(values)}; merge some."
        )
    order = values[np.argsort(-sizes, kind="stable")]
    groups = np.array([int(np.flatnonzero(order == value)[0]) for value in cluster_of])
    return groups, [source.middle(np.flatnonzero(groups == g)) for g in range(len(order))]


def _rows(
    names: list[str], source: Source, groups: np.ndarray, images: dict[int, list[str]], k: int
) -> list[dict[str, Any]]:
    """Rows of the page's table, one per prompt."""
    neighbors = source.nearest(min(k, len(names) - 1))

    def describe(distance: float, error: float) -> str:
        return f"{distance:.2f}" + (f" ± {error:.2f}" if np.isfinite(error) else "")

    return [
        {
            "prompt": name,
            "shape": SHAPES[group],
            "colour": COLOURS[group],
            "cluster": int(group) + 1,
            "images": images.get(i, []),
            "neighbors": [(names[j], describe(d, e)) for j, d, e in zip(*nearest, strict=True)],
        }
        for i, (name, group, *nearest) in enumerate(zip(names, groups, *neighbors, strict=True))
    ]


def _encode(picture: np.ndarray) -> str:
    """Data URI of at most MAX_IMAGE bytes, as PNG if it fits, else as the best JPEG that does."""
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
