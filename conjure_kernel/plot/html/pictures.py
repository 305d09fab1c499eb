"""Pictures of the page: which prompts have some, and data URIs that are small enough."""

from __future__ import annotations

import numpy as np

from conjure_kernel._checks import quote
from conjure_kernel.plot._style import check_images
from conjure_kernel.plot.coordinates import MANY
from conjure_kernel.plot.html.sources import Source
from conjure_kernel.plot.thumbnail import data_uri

__all__ = ["choose_pictures"]


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
    return kept, [] if rgb is None else [[data_uri(one) for one in of_one] for of_one in rgb]
