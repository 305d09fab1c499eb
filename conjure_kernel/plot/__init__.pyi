from .canvas import neighbors_of, spread_evenly
from .coordinates import layout, layout_vectors, position_errors, representatives, stress
from .explanation import plot_explanation, plot_morph, plot_strip
from .fonts import font_context
from .maps import placed_labels, plot_map
from .matrix import plot_matrix
from .models import plot_agreement, plot_drift
from .mosaic import plot_mosaic
from .overview import plot_overview
from .ratings import plot_ratings
from .relations import plot_legs, plot_profile, plot_shepard
from .scores import plot_ablation, plot_evaluations
from .series import plot_series, series_page
from .words import plot_words

__all__ = [
    "font_context",
    "layout",
    "layout_vectors",
    "neighbors_of",
    "placed_labels",
    "plot_ablation",
    "plot_agreement",
    "plot_drift",
    "plot_evaluations",
    "plot_explanation",
    "plot_legs",
    "plot_map",
    "plot_matrix",
    "plot_morph",
    "plot_mosaic",
    "plot_overview",
    "plot_profile",
    "plot_ratings",
    "plot_series",
    "plot_shepard",
    "plot_strip",
    "plot_words",
    "position_errors",
    "representatives",
    "series_page",
    "spread_evenly",
    "stress",
]
