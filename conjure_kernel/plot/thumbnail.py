"""Small pictures for pages, as text."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

__all__ = ["MAX_IMAGE", "data_uri"]

MAX_IMAGE = 8192  # bytes of an image as it stands in the file
MAX_SIDE = 96


def data_uri(picture: np.ndarray) -> str:
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
