"""Pictures of the page: which prompts have some, and data URIs that are small enough."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from conjure_kernel._checks import quote
from conjure_kernel.plot._style import check_images
from conjure_kernel.plot.coordinates import MANY
from conjure_kernel.plot.html.sources import Source

__all__ = ["MAX_IMAGE", "choose_pictures", "encode"]

MAX_IMAGE = 8192  # bytes of an image as it stands in the file
MAX_SIDE = 96


def choose_pictures(
    images: np.ndarray | None, pictured: np.ndarray | None, source: Source, points: np.ndarray
) -> tuple[np.ndarray, list[list[str]]]:
    """Positions of the prompts that are shown first, and the images of each as data URIs."""
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
    return kept, [] if rgb is None else [[encode(one) for one in of_one] for of_one in rgb]


def encode(picture: np.ndarray) -> str:
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
