"""Pictures: matrix, map, Shepard diagram, legs, profile, explanation, human scores.

J is the Jeffreys divergence: half the sum of both legs, in nats unless told otherwise. Tree, map
and colour scale all run with sqrt(J). Every view takes `ax=` and returns it. The only place that
imports matplotlib and bokeh; `coordinates` and `labels` have the geometry of maps.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
