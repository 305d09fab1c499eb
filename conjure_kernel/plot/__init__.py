"""Pictures: matrix, map, Shepard diagram, legs, profile, explanation, human scores.

J is the Jeffreys divergence: half the sum of both legs, in nats unless told otherwise. Tree, map
and colour scale all run with sqrt(J). Every view takes `ax=` and returns it. Layer 5, the only
place that imports matplotlib; the geometry of maps is in `_layout`.
"""

from conjure_kernel._crowd import layout_vectors, representatives
from conjure_kernel._layout import layout, position_errors, stress
from conjure_kernel.plot.explanation import plot_explanation, plot_morph, plot_strip
from conjure_kernel.plot.maps import drawn_labels, plot_map
from conjure_kernel.plot.matrix import plot_matrix
from conjure_kernel.plot.models import plot_agreement, plot_drift
from conjure_kernel.plot.overview import plot_overview
from conjure_kernel.plot.relations import plot_legs, plot_profile, plot_shepard
from conjure_kernel.plot.scores import plot_ablation, plot_evaluations

__all__ = [
    "drawn_labels",
    "layout",
    "layout_vectors",
    "plot_ablation",
    "plot_agreement",
    "plot_drift",
    "plot_evaluations",
    "plot_explanation",
    "plot_legs",
    "plot_map",
    "plot_matrix",
    "plot_morph",
    "plot_overview",
    "plot_profile",
    "plot_shepard",
    "plot_strip",
    "position_errors",
    "representatives",
    "stress",
]
