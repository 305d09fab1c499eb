"""How many chains a draw should have: more lower the variance of J, and cost more to trace."""

from __future__ import annotations

from typing import Any

from conjure_kernel.engine.engine import Engine

__all__ = ["VARIANCES", "cheapest_chains"]

# Variance of J with so many chains a draw, in shares of that with one, at equal replays: medians of
# the pairs of the embedded model (docs/accuracy.md). Gaussian worlds gain a little more.
VARIANCES = {1: 1.0, 2: 1 / 1.85, 3: 1 / 2.38, 5: 1 / 2.86}


def cheapest_chains(engine: Engine, n_prompts: int, n_pairs: int) -> dict[str, Any]:
    """Chains a draw with the fewest predictions for one error of J, from an empty cache.

    Parameters
    ----------
    engine : Engine
    n_prompts, n_pairs : int
        Distinct prompts that are traced, and pairs of which J is measured.

    Returns
    -------
    cheapest : dict
        "cheapest_chains", at most the number of noise levels, and "cheapest_share": the predictions
        with so many, in shares of those with the engine's own number.
    """
    own = engine.settings.chains_per_draw
    traces, replays = engine.n_predictions(n_prompts, 0), engine.n_predictions(0, 2 * n_pairs)
    costs = {
        n: (traces * n / own + replays) * variance
        for n, variance in VARIANCES.items()
        if n <= engine.settings.n_steps
    }
    best = min(costs, key=lambda n: costs[n])
    # A number that was not measured has the variance of the next smaller one that was.
    known = max(n for n in VARIANCES if n <= own)
    share = costs[best] / ((traces + replays) * VARIANCES[known])
    return {"cheapest_chains": best, "cheapest_share": share}
