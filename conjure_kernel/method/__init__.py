"""The mathematics: noise schedules, the reverse chain, divergences, kernels and their errors.

No model and no file is known here.
"""
