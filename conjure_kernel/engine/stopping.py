"""Draws where they matter: pairs get draws until their relative standard error is below `tol`.

The draws of a pair are two streams, the even and the odd ones. The length of one is chosen by the
other, and J is the mean of the two stream means. So a stream whose draws happen to be small does
not stop itself too early, which removes most of the bias of stopping. A stream needs n draws with
t^2 Var / (1.96^2 2 n) below (tol mean)^2: the quantile t of few degrees of freedom asks for more
where the variance itself is not known well. It grows by half at most before it is judged again.
Where both streams have what they need and the error of J is still above `tol`, both go on.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from scipy import special

from conjure_kernel._checks import AccuracyWarning
from conjure_kernel.engine.engine import Engine, Known, Requests
from conjure_kernel.engine.settings import Settings
from conjure_kernel.method.draws import chain_draws, mean_of, ratio, variance_of
from conjure_kernel.method.interval import freedom_of, total_of

__all__ = ["fewest_draws", "longer", "refine", "used_draws"]

LEAST_FREEDOM = 3  # of the variance of a stream, before it chooses the length of the other
GROWTH, SMALL_GROWTH = 1.5, 1.1
LEVEL = 0.95


def fewest_draws(settings: Settings) -> int:
    """Draws with which every pair starts, at least: half of them in each stream."""
    n_parts = settings.chains_per_draw * (1 if settings.shared_noise else 2)
    return 2 * (1 + math.ceil(LEAST_FREEDOM / n_parts))


def refine(engine: Engine, requests: Requests) -> tuple[dict[str, Known], dict[str, np.ndarray]]:
    """Measure as many draws as each pair needs, and weight each draw in the pair's mean.

    Parameters
    ----------
    engine : Engine
        Every pair starts with its n_draws, at least `fewest_draws`, and gets no more than its
        `max_draws`; its `tol` is the wanted relative standard error of J.
    requests : mapping of source prompt to target prompts
        It is symmetric: the source of each target is among the target's own targets.

    Returns
    -------
    known : dict of source prompt to Known
    draw_weights : dict of source prompt to array of shape (n_targets, K)
        The weights, 0 where a draw is not used; each row sums to 1.
    """
    tol, most = engine.tol, engine.max_draws // 2
    assert tol is not None
    entries = [(source, target) for source, targets in requests.items() for target in targets]
    place = {entry: i for i, entry in enumerate(entries)}
    partner = np.array([place[target, source] for source, target in entries])
    cuts = np.cumsum([len(targets) for targets in requests.values()])[:-1]
    least = max(fewest_draws(engine.settings), engine.n_draws)
    lengths = np.full((len(entries), 2), min(most, -(-least // 2)))
    while True:
        used = used_draws(lengths, lengths.max())
        known = engine.measure(requests, dict(zip(requests, np.split(used, cuts), strict=True)))
        wanted, errors = lengths.copy(), np.empty(len(lengths))
        legs = _legs(engine, known)
        for some in np.split(np.arange(len(lengths)), cuts):  # copies of everything need not fit
            parts = np.stack([legs[some], legs[partner[some]]], -3) / 2
            if engine.settings.shared_noise:
                parts = parts.sum(-3, keepdims=True)
            wanted[some], errors[some] = longer(parts, lengths[some], tol, most)
        if (wanted == lengths).all():
            break
        lengths = wanted
    _report(errors, np.array([s != t for s, t in entries]), engine)
    return known, dict(zip(requests, np.split(_weights(lengths, lengths.max()), cuts), strict=True))


def longer(
    parts: np.ndarray, lengths: np.ndarray, tol: float, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lengths (n, 2) of both streams that the draws so far ask for, and relative errors of J.

    Parameters
    ----------
    parts : array of shape (n, L, G, K)
        Draws of the independent parts of J: L legs of G chains. Those not used may be NaN.
    lengths : int array of shape (n, 2)
        Of the even and the odd stream. If nothing more is asked for, they are returned.
    tol : float
        Wanted relative standard error.
    most : int
        Greatest length of a stream.

    Returns
    -------
    lengths, errors : arrays of shape (n, 2) and (n,)
    """
    needs, half = [], parts.shape[-1] // 2
    for stream in (1, 0):
        length = lengths[:, stream]
        weights = (np.arange(half) < length[:, None]) / length[:, None]
        relative, freedom = _relative_variance(parts[..., stream::2], weights)
        factor = special.stdtrit(freedom, (1 + LEVEL) / 2) / special.ndtri((1 + LEVEL) / 2)
        needs.append(np.ceil(length * relative * factor**2 / (2 * tol**2)))
    errors = np.sqrt(_relative_variance(parts, _weights(lengths, half))[0])
    wanted = np.minimum(np.stack(needs, 1), np.ceil(GROWTH * lengths))
    unmet = (wanted <= lengths).all(1) & (errors > tol)
    wanted = np.where(unmet[:, None], np.ceil(SMALL_GROWTH * lengths), wanted)
    return np.minimum(np.maximum(wanted, lengths), most).astype(int), errors


def used_draws(lengths: np.ndarray, half: int) -> np.ndarray:
    """Bool (n, 2 half): the first draws of the even and of the odd stream."""
    position = np.arange(half)[:, None]
    return (position < lengths[:, None, :]).reshape(len(lengths), -1)


def _weights(lengths: np.ndarray, half: int) -> np.ndarray:
    """Weight (n, 2 half) of each draw in the mean of both stream means."""
    return used_draws(lengths, half) / (2.0 * np.tile(lengths, half))


def _legs(engine: Engine, known: dict[str, Known]) -> np.ndarray:
    """Directed KL of each entry, by chains: float64 (n, G, K)."""
    weights, n_chains = engine.grid.weights(engine.weighting), engine.settings.chains_per_draw
    energies = (row.energies for row in known.values())
    return np.concatenate([chain_draws(e, weights, n_chains) for e in energies]).swapaxes(-1, -2)


def _relative_variance(parts: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance of the mean over its square, and its degrees of freedom, each (n,)."""
    weights = weights[:, None, None]
    parts = np.where(weights > 0, parts, 0)
    means, variances = (f(parts, weights).swapaxes(-1, -2) for f in (mean_of, variance_of))
    freedom = freedom_of(variances, (weights > 0).sum(-1)[:, 0, 0])
    return ratio(total_of(variances), total_of(means) ** 2), freedom


def _report(errors: np.ndarray, different: np.ndarray, engine: Engine) -> None:
    """Warn of pairs that end above `tol`; each is there from both sides."""
    above = different & (errors > engine.tol)
    count, n_pairs = (int(each.sum()) // 2 for each in (above, different))
    if not count:
        return
    warnings.warn(
        f"{count} of {n_pairs} pairs are above tol={engine.tol:g} with max_draws="
        f"{engine.max_draws}; raise max_draws, or tol (`standard_errors` says how far they are).",
        category=AccuracyWarning,
        stacklevel=6,
    )
