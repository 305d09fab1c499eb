"""A table of prompts in the form that Embedding Atlas reads."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from conjure_kernel._checks import import_optional
from conjure_kernel.plot.coordinates import layout_vectors
from conjure_kernel.plot.html.sources import Matrix, Source, Vectors

__all__ = ["atlas_table"]

N_NEIGHBORS = 15  # as many as Embedding Atlas finds itself
SIDE = 128  # of a thumbnail, in pixels


def atlas_table(
    prompts: Sequence[str],
    *,
    divergences: np.ndarray | None = None,
    vectors: np.ndarray | None = None,
    coordinates: np.ndarray | None = None,
    images: np.ndarray | None = None,
    pictured: np.ndarray | None = None,
) -> Any:
    """Table with a row for each prompt, from their divergences or their vectors.

    Parameters
    ----------
    prompts : sequence of str, length n
    divergences : array of shape (n, n), optional
        J of all pairs; or
    vectors : array of shape (n, d), optional
        those of `ConjureEmbedding`, which become a column.
    coordinates : array of shape (n, 2), optional
        Positions on the map. Default: those of `layout` or `layout_vectors`.
    images : uint8 array of shape (n_pictured, height, width, 3), optional
        A picture for each prompt, or for those in `pictured`.
    pictured : int array of shape (n_pictured,), optional
        Positions of the prompts that have a picture.

    Returns
    -------
    table : pandas.DataFrame
        text, x, y, neighbors ({"ids": rows, "distances": sqrt(J)}, nearest first), and vector and
        thumbnail ({"bytes": PNG}, or None) where they are given.
    """
    source: Source
    if vectors is None:
        J = np.asarray(divergences)
        source = Matrix(J, np.full_like(J, np.nan))
    else:
        source = Vectors(vectors)
    if coordinates is None and vectors is not None and len(prompts) < 2 * N_NEIGHBORS:
        points = layout_vectors(vectors, method="mds")  # neighbourhoods would be all of them
    else:
        points = source.layout() if coordinates is None else coordinates
    near = source.nearest(min(N_NEIGHBORS, len(prompts) - 1))
    table: dict[str, Any] = {"text": list(prompts), "x": points[:, 0], "y": points[:, 1]}
    table["neighbors"] = [
        {"ids": ids.tolist(), "distances": distances.tolist()}
        for ids, distances, _ in zip(*near, strict=True)
    ]
    if vectors is not None:
        table["vector"] = list(vectors)
    if images is not None:
        kept = range(len(prompts)) if pictured is None else pictured.tolist()
        shown = {i: {"bytes": _png(image)} for i, image in zip(kept, images, strict=True)}
        table["thumbnail"] = [shown.get(i) for i in range(len(prompts))]
    return import_optional("pandas", "tables", "a table for Embedding Atlas").DataFrame(table)


def _png(picture: np.ndarray) -> bytes:
    from PIL import Image

    image, buffer = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((SIDE, SIDE))
    image.save(buffer, "png", optimize=True)
    return buffer.getvalue()
