"""Clusters as the page shows them: levels from coarse to fine, with names and typical prompts."""

from __future__ import annotations

from typing import Any

import numpy as np

from conjure_kernel.estimators.clusters import Clusters
from conjure_kernel.plot.html.columns import is_missing
from conjure_kernel.plot.html.sources import Source

__all__ = ["COLOURS", "describe_clusters", "name_groups"]

# Their contrast is at least 3:1 on the light and the dark page. The colour-blind can tell the first
# seven apart, as many as there are shapes; those after them are as different as they can be.
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#b8609a", "#7b6452", "#7142ee", "#6c89f6"),
    *("#c256f9", "#fa2564", "#a79133", "#227727", "#f346c1", "#bb1cb5", "#bb3a49"),
    *("#795ea7", "#139bbe", "#2662fe", "#0e7f7c", "#c37c77", "#7b7912", "#48a515"),
)


def describe_clusters(
    clusters: Clusters | np.ndarray | None, source: Source, names: list[str]
) -> list[dict[str, Any]]:
    """The levels as the page reads them: the cluster of each prompt, names and typical prompts."""
    n = len(names)
    if clusters is None:
        clusters = source.clusters(names)
    elif not isinstance(clusters, Clusters):
        found = np.asarray(clusters)
        if found.shape != (n,):
            raise ValueError(f"clusters: expected the shape ({n},), got {found.shape}.")
        clusters = name_groups(found, source, names)
    for level in clusters.levels:
        if len(level) != n:
            raise ValueError(f"clusters: expected levels of {n} prompts, got {len(level)}.")
    return [
        {
            "of": np.asarray(level).tolist(),
            "names": list(clusters.names[k]),
            "typical": [[int(i) for i in members] for members in clusters.typical[k]],
        }
        for k, level in enumerate(clusters.levels)
    ]


def name_groups(groups: np.ndarray, source: Source, names: list[str]) -> Clusters:
    """One level of groups, called by the prompts at their middle; -1 and missing ones are none."""
    none = np.array([is_missing(g) or (g == -1) is True for g in groups.tolist()])
    values, sizes = np.unique(groups[~none], return_counts=True)
    order = values[np.argsort(-sizes, kind="stable")]
    place = {value: g for g, value in enumerate(order.tolist())}
    level = np.array([place.get(value, -1) for value in groups.tolist()])
    typical = tuple(source.middle(np.flatnonzero(level == g)) for g in range(len(order)))
    called = tuple(f"like “{names[members[0]]}”" for members in typical)
    return Clusters((level,), (called,), (typical,))
