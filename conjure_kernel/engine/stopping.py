"""Draws where they matter: pairs get draws until their relative standard error is below `tol`.

The draws of a pair are two streams, the even and the odd ones. The length of one is chosen by the
other (Var / (2 tol^2 mean^2) of its draws so far), and J is the mean of the two stream means. So a
stream whose draws happen to be small does not stop itself too early, which costs about a fifth more
draws and removes most of the bias of stopping.
"""

from __future__ import annotations

import warnings

import numpy as np

from conjure_kernel._checks import AccuracyWarning
from conjure_kernel.engine.engine import Engine, Known, Requests
from conjure_kernel.method.draws import chain_draws, leg_draws, mean_of, ratio, variance_of

__all__ = ["LEAST_DRAWS", "refine"]

PILOT = 4  # draws of each stream before it chooses the length of the other
LEAST_DRAWS = 2 * PILOT


def refine(engine: Engine, requests: Requests) -> tuple[dict[str, Known], dict[str, np.ndarray]]:
    """Measure as many draws as each pair needs, and weight each draw in the pair's mean.

    Parameters
    ----------
    engine : Engine
        Every pair starts with its n_draws, at least 8, and gets no more than its `max_draws`; its
        `tol` is the wanted relative standard error of J.
    requests : mapping of source prompt to target prompts
        It is symmetric: the source of each target is among the target's own targets.

    Returns
    -------
    known : dict of source prompt to Known
    draw_weights : dict of source prompt to array of shape (n_targets, K)
        The weights, 0 where a draw is not used; each row sums to 1.
    """
    tol, max_draws = engine.tol, engine.max_draws
    assert tol is not None
    entries = [(source, target) for source, targets in requests.items() for target in targets]
    place = {entry: i for i, entry in enumerate(entries)}
    partner = np.array([place[target, source] for source, target in entries])
    cuts = np.cumsum([len(targets) for targets in requests.values()])[:-1]
    most, weights = max_draws // 2, engine.grid.weights(engine.weighting)
    lengths = np.full((len(entries), 2), min(most, max(PILOT, -(-engine.n_draws // 2))))
    while True:
        used = _used(lengths)
        known = engine.measure(requests, dict(zip(requests, np.split(used, cuts), strict=True)))
        legs = np.concatenate([leg_draws(row.energies, weights) for row in known.values()])
        values = np.where(used, (legs + legs[partner]) / 2, 0)
        needs = np.stack([_need(values[:, i::2], lengths[:, i], tol) for i in (1, 0)], 1)
        longer = np.minimum(np.maximum(lengths, needs), most)
        if (longer == lengths).all():
            break
        lengths = longer
    draw_weights = used / (2.0 * np.tile(lengths, used.shape[1] // 2))
    errors = _relative_errors(engine, known, draw_weights, partner)
    _report(errors, (lengths == most).all(1), np.array([s != t for s, t in entries]), engine)
    return known, dict(zip(requests, np.split(draw_weights, cuts), strict=True))


def _relative_errors(
    engine: Engine, known: dict[str, Known], draw_weights: np.ndarray, partner: np.ndarray
) -> np.ndarray:
    """Standard error of J over J of each entry, as `Divergence` reports it."""
    weights, n_chains = engine.grid.weights(engine.weighting), engine.settings.chains_per_draw
    energies = (row.energies for row in known.values())
    legs = np.concatenate([chain_draws(e, weights, n_chains) for e in energies]).swapaxes(-1, -2)
    legs = np.where(draw_weights[:, None] > 0, legs, 0)
    if engine.settings.shared_noise:
        legs = (legs + legs[partner]) / 2
    variance = variance_of(legs, draw_weights).sum(-1)
    if not engine.settings.shared_noise:
        variance = (variance + variance[partner]) / 4
    means = mean_of(legs.sum(1), draw_weights)
    return ratio(np.sqrt(variance), (means + means[partner]) / 2)


def _report(errors: np.ndarray, full: np.ndarray, different: np.ndarray, engine: Engine) -> None:
    """Warn of pairs that end above `tol`; each is there from both sides."""
    above = different & (errors > engine.tol)
    if not above.any():
        return
    at_most = int((above & full).sum()) // 2
    count, n_pairs = int(above.sum()) // 2, int(different.sum()) // 2
    advice = "raise max_draws, or tol" if at_most else "lower tol, which is met on average"
    warnings.warn(
        f"{count} of {n_pairs} pairs are above tol={engine.tol:g}, {at_most} of them with "
        f"max_draws={engine.max_draws}; {advice} (`standard_errors` says how far they are).",
        category=AccuracyWarning,
        stacklevel=6,
    )


def _used(lengths: np.ndarray) -> np.ndarray:
    """Bool (n, K): the first draws of the even and of the odd stream."""
    position = np.arange(lengths.max())[:, None]
    return (position < lengths[:, None, :]).reshape(len(lengths), -1)


def _need(values: np.ndarray, lengths: np.ndarray, tol: float) -> np.ndarray:
    """Draws that a stream needs, judged by the values (n, K / 2), zero-padded, of the other."""
    mean = values.sum(1) / lengths
    seen = np.arange(values.shape[1]) < lengths[:, None]
    variance = np.where(seen, values - mean[:, None], 0)
    variance = np.square(variance).sum(1) / (lengths - 1)
    relative = variance / np.where(mean > 0, mean, 1) ** 2
    return np.ceil(relative / (2 * tol**2)).astype(int)
