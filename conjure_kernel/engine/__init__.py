"""What runs a model and returns numbers.

Settings, batches, workers, and the loop that fills in what the cache lacks.
"""
