"""Clusters of prompts: levels from coarse to fine, each with names and typical members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import euclidean_distances, pairwise_distances_argmin

from conjure_kernel._checks import check_number, check_prompts, check_square, check_vectors
from conjure_kernel._table import Table
from conjure_kernel.estimators.cluster_names import cluster_names, content, hypernyms_of
from conjure_kernel.estimators.cluster_tree import ClusterTree

__all__ = ["Clusters", "find_clusters"]

FEWEST = 4  # prompts; fewer are one cluster
RESOLUTIONS = (1.0, 3.0)  # of the coarse and of the fine level
MOST_CLUSTERED = 4000  # vectors; of more a sample is, and others go where their nearest one is
MOST_TYPICAL = 3
MOST_SHOWN = 20  # clusters, in a text


@dataclass(frozen=True, repr=False)
class Clusters:
    """Clusters of n prompts, at one level or more.

    Attributes
    ----------
    levels : tuple of int arrays, each of shape (n,)
        The cluster of each prompt, 0, 1, ... by size, largest first, and of equal ones by their
        first prompt; -1 belongs to none. The first level is the coarsest; each cluster of a finer
        one lies within one of the level before.
    names : tuple of tuples of str
        `names[level][cluster]`, what its prompts have in common.
    typical : tuple of tuples of tuples of int
        `typical[level][cluster]`, positions of at most three prompts that stand for it, best first.
    """

    levels: tuple[np.ndarray, ...]
    names: tuple[tuple[str, ...], ...]
    typical: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def table(self) -> Table:
        """A row for each coarse cluster: its name, how many prompts, and what it divides into."""
        first, last = self.levels[0], self.levels[-1]
        rows = []
        for cluster, name in enumerate(self.names[0]):
            finer = [self.names[-1][i] for i in np.unique(last[(first == cluster) & (last >= 0)])]
            size = int((first == cluster).sum())
            rows.append(
                {
                    "cluster": name,
                    "prompts": size,
                    "finer": "; ".join(finer if len(finer) > 1 else []),
                }
            )
        return Table(rows)

    def __repr__(self) -> str:
        more = len(self.table) - MOST_SHOWN
        rest = f"\n... and {more} smaller ones" if more > 0 else ""
        return f"{self._title()}\n\n{Table(self.table.rows[:MOST_SHOWN])}{rest}"

    def _repr_html_(self) -> str:
        return f"<p>{self._title()}</p>{self.table._repr_html_()}"

    def _title(self) -> str:
        alone = int((self.levels[0] < 0).sum())
        return f"clusters: {len(self.table)}, prompts: {len(self.levels[0])}, in none: {alone}"


def find_clusters(
    prompts: Sequence[str],
    *,
    vectors: Any = None,
    distances: Any = None,
    hypernyms: Mapping[str, str] | Sequence[str | None] | None = None,
    n_clusters: int | None = None,
) -> Clusters:
    """Clusters of prompts, coarse and fine, with names and typical members.

    Each prompt is joined with its nearest ones, and the graph is divided where few edges cross:
    Ward's method on the diffusion map of the graph, which is spectral clustering with levels. The
    number of clusters is that of the largest modularity. A prompt most of whose neighbours are in
    other clusters belongs to none.

    Parameters
    ----------
    prompts : sequence of str, length n_prompts
        Names are made of their words.
    vectors : array of shape (n_prompts, n_features), optional
        Vectors of which Euclidean distances are taken; those of
        `ConjureEmbedding(origin="empty", normalize=True)`, of length 1, are compared by direction,
        and one of length 0 among them belongs to no cluster.
    distances : array of shape (n_prompts, n_prompts), optional
        A symmetric matrix in the place of vectors, as J, its root, or relative J. Only the order
        of distances counts for the clusters; which members are typical depends on their size.
    hypernyms : mapping of prompts to str, or sequence of str, optional
        What prompts are kinds of, for names of clusters without a word in common; prompts that the
        mapping lacks, or None, have none.
    n_clusters : int, optional
        Number of clusters of the coarse level, in the place of the one of largest modularity;
        fewer where one would hold a single prompt.

    Returns
    -------
    clusters : Clusters
        One level, or two where the finer one has more clusters. Of fewer than four prompts, or of
        prompts without any distance, one cluster at one level.

    Notes
    -----
    Results repeat. Time and memory grow with n_prompts squared, 2,000 prompts take two seconds, up
    to 4,000: of more vectors so many are clustered, and each other joins the nearest of them. Like
    any method of its kind it also divides what has no clusters: whether clusters mean something is
    for the names and the pictures to show.

    Examples
    --------
    >>> import numpy as np
    >>> from conjure_kernel import find_clusters
    >>> prompts = [
    ...     f"a {size} {kind}" for kind in ("dog", "car") for size in ("big", "red", "old", "wet")
    ... ]
    >>> vectors = [[10.0 * (i > 3), 0.1 * i] for i in range(8)]
    >>> clusters = find_clusters(prompts, vectors=vectors)
    >>> clusters.levels[0].tolist(), clusters.names[0]
    ([0, 0, 0, 0, 1, 1, 1, 1], ('dog', 'car'))
    """
    prompts = check_prompts(prompts)
    if n_clusters is not None:
        check_number(n_clusters, "n_clusters", least=1, integer=True)
    kinds = hypernyms_of(hypernyms, prompts)
    apart, kept, nearest = _distances(vectors, distances, len(prompts))
    levels = [_by_size(level, nearest) for level in _levels(apart, n_clusters)]
    typical = [_typical(level, apart, kept, prompts) for level in levels]
    spread = [np.where(nearest < 0, -1, level[nearest]) for level in levels]
    names = [
        cluster_names(level, shown, prompts, kinds)
        for level, shown in zip(spread, typical, strict=True)
    ]
    return Clusters(tuple(spread), tuple(names), tuple(typical))


def _distances(vectors: Any, distances: Any, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances among the prompts that are clustered, their positions, and the nearest to each.

    Nearest to a prompt that has no direction, where vectors are directions, is -1.
    """
    if (vectors is None) == (distances is None):
        given = "none" if vectors is None else "both"
        raise ValueError(f"vectors, distances: expected one of them, got {given}; pass one.")
    name = "vectors" if distances is None else "distances"
    rows = check_vectors(vectors) if distances is None else check_square(distances, name)
    if len(rows) != n:
        raise ValueError(f"{name}: expected a row for each of {n} prompts, got {len(rows)}.")
    if distances is not None:
        return rows, np.arange(n), np.arange(n)
    lengths = np.linalg.norm(rows, axis=1)
    somewhere = lengths > 0
    if not somewhere.any() or not np.isclose(lengths[somewhere], 1, atol=1e-3).all():
        somewhere[:] = True
    drawn = np.random.default_rng(0).permutation(np.flatnonzero(somewhere))
    kept = np.sort(drawn[:MOST_CLUSTERED])
    nearest = pairwise_distances_argmin(rows, rows[kept])
    nearest[kept] = np.arange(len(kept))
    return euclidean_distances(rows[kept].astype(float)), kept, np.where(somewhere, nearest, -1)


def _levels(apart: np.ndarray, n_clusters: int | None) -> list[np.ndarray]:
    """Labels of the coarse level and, where it has more clusters, of the fine one."""
    n = len(apart)
    if n < FEWEST or not apart.any():
        return [np.zeros(n, dtype=int)]
    tree = ClusterTree(apart)
    coarse, fine = RESOLUTIONS
    level = tree.best(coarse) if n_clusters is None else tree.cut(n_clusters)
    finer = tree.best(fine, least=level.max() + 1)
    levels = [level, finer] if finer.max() > level.max() else [level]
    return [np.where(tree.strays(level), -1, labels) for labels in levels]


def _by_size(labels: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Labels by size, with those that go where their nearest one is; clusters of one are none.

    Where all are of one, all stay. Of equal ones that of an earlier prompt is the first.
    """
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    joined = labels[nearest[nearest >= 0]]
    present, first, counts = np.unique(joined[joined >= 0], return_index=True, return_counts=True)
    order = present[np.lexsort((first, -counts))]
    order = order[sizes[order] > min(1, sizes.max() - 1)]
    rank = np.full(len(sizes) + 1, -1)  # the last for -1
    rank[order] = np.arange(len(order))
    return rank[labels]


def _typical(
    labels: np.ndarray, apart: np.ndarray, kept: np.ndarray, prompts: Sequence[str]
) -> tuple[tuple[int, ...], ...]:
    """Of each cluster the members that are nearest to it, in units of how far all others are.

    A hub, which is near to everything, is not typical of anything. "dog" and "a dog" are the same.
    """
    overall = apart.mean(1)
    found = []
    for cluster in range(labels.max() + 1):
        members = np.flatnonzero(labels == cluster)
        within = apart[np.ix_(members, members)].mean(1)
        share = within / np.where(overall[members] > 0, overall[members], 1)
        best = kept[members[np.argsort(share, kind="stable")]].tolist()
        different = {content(prompts[i]).lower(): i for i in reversed(best)}  # the best of each
        found.append(tuple(sorted(different.values(), key=best.index)[:MOST_TYPICAL]))
    return tuple(found)
