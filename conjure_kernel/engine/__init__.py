"""The engine, which runs a model and returns numbers.

It has the settings, the batches, the workers, and the loop that computes what the cache lacks.
"""
