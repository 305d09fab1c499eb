"""Geometry of a map of thousands of prompts, given as vectors: where they go, who stands for them.

Everything here is linear in the number of prompts, or nearly so. Layer 4, no drawing; scikit-learn
and umap are imported where they are used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from conjure_kernel._checks import check_choice, check_number
from conjure_kernel._layout import FEWEST_FOR_UMAP, RandomState, principal_axes

__all__ = ["MANY", "N_REPRESENTATIVES", "check_vectors", "layout_vectors", "representatives"]
__all__ += ["principal_components"]

MANY = 1000  # prompts above which a map shows dots, and images of some
N_REPRESENTATIVES = 300
MOST_COMPONENTS = 64


def layout_vectors(
    vectors: np.ndarray, *, method: str = "umap", random_state: RandomState = 0
) -> np.ndarray:
    """Points in the plane whose neighbourhoods resemble those of many vectors.

    Parameters
    ----------
    vectors : array of shape (n, d)
        From `ConjureEmbedding`.
    method : {"umap", "mds"}
        "mds" are the first two principal components: classical scaling of the distances. "umap"
        starts there and keeps neighbourhoods of 15 within the first 64 principal components; its
        distances mean little. With fewer than five vectors it is "mds".
    random_state : int, RandomState or None
        The same seed gives the same coordinates on the same machine.

    Returns
    -------
    coordinates : ndarray of shape (n, 2)
        Centred, greatest extent along the first axis.

    Examples
    --------
    >>> layout_vectors(np.eye(4)).shape
    (4, 2)
    """
    check_choice(method, "method", ("umap", "mds"))
    reduced, _ = principal_components(check_vectors(vectors))
    start = np.zeros((len(reduced), 2))
    start[:, : reduced.shape[1]] = reduced[:, :2]
    if method == "mds" or len(reduced) < FEWEST_FOR_UMAP or not reduced.any():
        return principal_axes(start)
    from umap import UMAP

    settings: dict[str, Any] = {"n_neighbors": min(15, len(reduced) - 1), "n_jobs": 1}
    reducer = UMAP(init=start, random_state=random_state, **settings)
    return principal_axes(np.asarray(reducer.fit_transform(reduced), dtype=np.float64))


def representatives(
    vectors: np.ndarray, n: int = N_REPRESENTATIVES, *, random_state: RandomState = 0
) -> np.ndarray:
    """Positions of prompts that stand for all: the vectors nearest to the centres of k-means.

    Parameters
    ----------
    vectors : array of shape (n_prompts, d)
        From `ConjureEmbedding`.
    n : int
        How many are wanted.
    random_state : int, RandomState or None
        Of k-means (mini-batches, in the first 64 principal components).

    Returns
    -------
    positions : int array of shape (at most n,)
        Increasing. Fewer than n where vectors coincide.

    Examples
    --------
    >>> representatives(np.array([[0.0], [0.1], [0.2], [5.0]]), 2)
    array([1, 3])
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import pairwise_distances_argmin

    check_number(n, "n", least=1, integer=True)
    reduced, _ = principal_components(check_vectors(vectors))
    distinct, first = np.unique(reduced, axis=0, return_index=True)
    if len(distinct) <= n:
        return np.sort(first)
    found = MiniBatchKMeans(n, n_init=1, random_state=random_state).fit(reduced)
    return np.unique(pairwise_distances_argmin(found.cluster_centers_, reduced))


def principal_components(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """At most 64 principal components (n, k) of vectors, and their share of the variance."""
    from sklearn.decomposition import PCA

    if len(vectors) < 2 or not np.ptp(vectors, axis=0).any():
        return np.zeros((len(vectors), 1)), 1.0
    fitted = PCA(min(MOST_COMPONENTS, *vectors.shape), random_state=0)
    reduced = fitted.fit_transform(vectors)
    return reduced, float(fitted.explained_variance_ratio_.sum())


def check_vectors(vectors: Any) -> np.ndarray:
    """Finite rows of numbers."""
    rows = np.asarray(vectors)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"vectors: shape {rows.shape} came, (n, d) is needed.")
    if not np.isfinite(rows).all():
        raise ValueError("vectors hold NaN or infinity: drop those prompts first.")
    return rows
