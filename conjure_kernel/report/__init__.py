"""A report of a model: what is known about it after a few thousand predictions, on one page."""
