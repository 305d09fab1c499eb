"""Coordinates of prompts on a map, and how much to trust them.

`layout`, `stress` and `position_errors` are for a matrix of J. `layout_vectors` and
`representatives` are for thousands of vectors. scikit-learn and umap are imported where needed.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import cdist, pdist, squareform

from conjure_kernel._checks import (
    ConjureWarning,
    check_choice,
    check_coordinates,
    check_number,
    check_square,
    check_vectors,
)
from conjure_kernel.method.jackknife import jackknife_se

__all__ = ["MANY", "METHODS", "N_REPRESENTATIVES", "layout", "layout_vectors", "position_errors"]
__all__ += ["principal_components", "representatives", "stress"]

RandomState = int | np.random.RandomState | None
METHODS = ("mds", "umap")
FEWEST_FOR_UMAP = 5
ONE_START = 200  # prompts from which one random start is enough
MANY = 1000  # prompts above which a map shows dots, and images of some
N_REPRESENTATIVES = 300
NEAREST = 3  # vectors in whose middle one that was added goes


def layout(
    divergences: np.ndarray, *, method: str = "mds", random_state: RandomState = 0
) -> np.ndarray:
    """Points in the plane whose distances resemble sqrt(J).

    Parameters
    ----------
    divergences : array of shape (n, n)
        Symmetric Jeffreys divergences.
    method : {"mds", "umap"}, default "mds"
        "mds" minimises the squared errors of all distances, from a classical and a few random
        starts. "umap" starts from its result and keeps neighbourhoods; its distances mean little.
        It needs five prompts, and with fewer it warns and gives "mds".
    random_state : int, RandomState or None, default 0
        Seed; the same one gives the same coordinates on the same machine.

    Returns
    -------
    coordinates : ndarray of shape (n, 2)
        Centred, with the greatest extent along the first axis. Those of "mds" have the unit of
        sqrt(J), those of "umap" none.

    Examples
    --------
    >>> J = np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0]])
    >>> points = layout(J)
    >>> points.shape
    (3, 2)
    """
    distances = np.sqrt(check_square(divergences, "divergences"))
    check_choice(method, "method", METHODS)
    coordinates = _mds(distances, random_state)
    if method == "umap" and len(distances) < FEWEST_FOR_UMAP:
        warnings.warn(
            f"method='umap': expected at least {FEWEST_FOR_UMAP} prompts, got {len(distances)}; "
            "'mds' is used.",
            category=ConjureWarning,
            stacklevel=2,
        )
    elif method == "umap" and distances.any():
        coordinates = _umap(distances, coordinates, random_state, metric="precomputed")
    return principal_axes(coordinates)


def stress(divergences: np.ndarray, coordinates: np.ndarray) -> float:
    r"""Kruskal's stress-1 of a layout of sqrt(J), at the layout's best scale.

    .. math:: \min_c \sqrt{\sum_{a<b} (c \sqrt{J_{ab}} - d_{ab})^2 / \sum_{a<b} d_{ab}^2}

    Parameters
    ----------
    divergences : array of shape (n, n)
        Symmetric Jeffreys divergences.
    coordinates : array of shape (n, 2)
        The layout, whose distances are d; its unit and its scale do not matter.

    Returns
    -------
    stress : float
        From 0, if all distances are right, to 1. 0.05 is good, 0.1 fair; above 0.2 distances
        mislead.

    Examples
    --------
    >>> J = np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0]])
    >>> round(stress(J, layout(J)), 3)  # three distances always fit
    0.0
    """
    matrix = check_square(divergences, "divergences")
    wanted = squareform(np.sqrt(matrix), checks=False)
    on_map = pdist(check_coordinates(coordinates, len(matrix)))
    if not wanted.any() or not on_map.any():
        return float(wanted.any() or on_map.any())
    wanted *= (wanted @ on_map) / (wanted @ wanted)
    return float(np.sqrt(np.sum((wanted - on_map) ** 2) / np.sum(on_map**2)))


def position_errors(replicates: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Standard errors of the positions on a map, from the Monte Carlo draws of its divergences.

    This is a jackknife: the layout is computed again without each chain of each draw, from the
    coordinates on, and turned back onto them. What a map cannot show of the distances (its stress)
    is not in it.

    Parameters
    ----------
    replicates : array of shape (G, K, n, n)
        J without chain g of draw k, of at least two draws: `Divergence.replicates`.
    coordinates : array of shape (n, 2)
        `layout` of J, with method "mds".

    Returns
    -------
    errors : ndarray of shape (n, 2)
        Standard errors along both axes, in the unit of the coordinates.

    Examples
    --------
    >>> J = np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0]])
    >>> replicates = np.array([[J, 1.2 * J]])  # one chain a draw, two draws
    >>> position_errors(replicates, layout(1.1 * J)).shape
    (3, 2)
    """
    from sklearn.manifold import smacof

    values = np.asarray(replicates, dtype=np.float64)
    if values.ndim != 4 or values.shape[1] < 2 or values.shape[2] != values.shape[3]:
        raise ValueError(
            f"replicates: expected the shape (G, K, n, n) with K > 1, got {values.shape}; pass "
            "`Divergence.replicates`."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            "replicates: expected finite values, got NaN; pass a measurement without tol, whose "
            "pairs have equally many draws."
        )
    points = check_coordinates(coordinates, values.shape[-1])
    turned, centre = [], points.mean(0)
    for others in values.reshape(-1, *values.shape[2:]):
        distances = np.sqrt(others)
        near = {"init": points, "n_init": 1, "eps": 1e-9, "max_iter": 1000}
        moved = smacof((distances + distances.T) / 2, **near)[0]
        moved -= moved.mean(0)
        turned.append(moved @ orthogonal_procrustes(moved, points - centre)[0])
    return jackknife_se(np.array(turned).reshape(*values.shape[:2], -1, 2))


def layout_vectors(
    vectors: np.ndarray,
    *,
    method: str = "umap",
    n_first: int | None = None,
    random_state: RandomState = 0,
) -> np.ndarray:
    """Points in the plane whose neighbourhoods resemble those of many vectors.

    Parameters
    ----------
    vectors : array of shape (n, d)
        Vectors from `ConjureEmbedding`.
    method : {"umap", "mds"}, default "umap"
        "mds" gives the first two principal components, which is classical scaling of the distances.
        "umap" starts from these and keeps neighbourhoods of 15 within the first 64 principal
        components; its distances mean little. With fewer than five vectors it gives "mds".
    n_first : int, optional
        Vectors that are laid out together. Each of the others goes to the middle of the places of
        the three that are nearest to it, so that places stay when vectors are added. Default: all.
    random_state : int, RandomState or None, default 0
        Seed; the same one gives the same coordinates on the same machine.

    Returns
    -------
    coordinates : ndarray of shape (n, 2)
        Centred, with the greatest extent along the first axis.

    Examples
    --------
    >>> layout_vectors(np.eye(4)).shape
    (4, 2)
    """
    check_choice(method, "method", METHODS)
    rows = check_vectors(vectors)
    if n_first is not None and check_number(n_first, "n_first", least=1, integer=True) < len(rows):
        points = layout_vectors(rows[:n_first], method=method, random_state=random_state)
        near = cdist(rows[n_first:], rows[:n_first]).argsort(axis=1, kind="stable")[:, :NEAREST]
        return np.concatenate([points, points[near].mean(axis=1)])
    reduced, _ = principal_components(rows)
    start = np.zeros((len(reduced), 2))
    start[:, : reduced.shape[1]] = reduced[:, :2]
    if method == "mds" or len(reduced) < FEWEST_FOR_UMAP or not reduced.any():
        return principal_axes(start)
    return principal_axes(_umap(reduced, start, random_state, metric="euclidean"))


def representatives(
    vectors: np.ndarray, n: int = N_REPRESENTATIVES, *, random_state: RandomState = 0
) -> np.ndarray:
    """Positions of prompts that represent all: the vectors nearest to the centres of k-means.

    Parameters
    ----------
    vectors : array of shape (n_prompts, d)
        Vectors from `ConjureEmbedding`.
    n : int, default 300
        Positions that are wanted.
    random_state : int, RandomState or None, default 0
        Seed of k-means (mini-batches, in the first 64 principal components).

    Returns
    -------
    positions : int array of shape (at most n,)
        Increasing; fewer than n where vectors coincide.

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
    clusters = MiniBatchKMeans(n, n_init=1, random_state=random_state).fit(reduced)
    return np.unique(pairwise_distances_argmin(clusters.cluster_centers_, reduced))


def principal_axes(coordinates: np.ndarray) -> np.ndarray:
    """Points centred and turned to their principal axes, each with its farthest point positive."""
    centred = coordinates - coordinates.mean(axis=0)
    turned = centred @ np.linalg.svd(centred.T @ centred)[0]
    farthest = turned[np.abs(turned).argmax(axis=0), [0, 1]]
    return turned * np.where(farthest < 0, -1.0, 1.0)


def principal_components(vectors: np.ndarray, most: int = 64) -> tuple[np.ndarray, float]:
    """Principal components (n, at most `most`) of vectors, and their share of the variance."""
    from sklearn.decomposition import PCA

    if len(vectors) < 2 or not np.ptp(vectors, axis=0).any():
        return np.zeros((len(vectors), 1)), 1.0
    fitted = PCA(min(most, *vectors.shape), random_state=0)
    reduced = fitted.fit_transform(vectors)
    return reduced, float(fitted.explained_variance_ratio_.sum())


def _mds(distances: np.ndarray, random_state: RandomState) -> np.ndarray:
    """Points of least stress that SMACOF finds from the classical solution and random starts."""
    from sklearn.manifold import smacof

    n, scale = len(distances), distances.mean()
    if scale == 0:
        return np.zeros((n, 2))
    scaled = distances / scale
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ scaled**2 @ centring)
    classical = (vectors * np.sqrt(np.maximum(values, 0)))[:, :-3:-1]
    runs = [
        smacof(scaled, init=classical, n_init=1),
        smacof(scaled, n_init=4 if n < ONE_START else 1, random_state=random_state),
    ]
    return scale * min(runs, key=lambda run: run[1])[0]


def _umap(
    rows: np.ndarray, start: np.ndarray, random_state: RandomState, metric: str
) -> np.ndarray:
    """UMAP of a matrix of distances (metric "precomputed") or of vectors, from a start."""
    from umap import UMAP

    with warnings.catch_warnings():  # nobody here needs an inverse
        warnings.filterwarnings("ignore", message=".*inverse_transform will be unavailable")
        reducer = UMAP(
            n_neighbors=min(15, len(rows) - 1),
            metric=metric,
            init=start,
            random_state=random_state,
            n_jobs=1,  # anything else is overridden, with a warning
        )
        return np.asarray(reducer.fit_transform(rows), dtype=np.float64)
