"""Pictures: matrix, map, Shepard diagram, legs, profile, explanation, human scores.

J is the Jeffreys divergence, half the sum of both legs, in nats where nothing else is said. Tree,
map and colour scale all run with sqrt(J). The functions that plot one diagram take `ax=` and return
it. This folder alone imports matplotlib; `coordinates` and `labels` hold the geometry of
maps.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
