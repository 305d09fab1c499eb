"""Divergences as numbers: `pairwise_divergence` (a matrix), `paired_divergence` (a vector)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np

from conjure_kernel._checks import AccuracyWarning, check_pairs, check_prompts
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.ledger import Known, Requests, pairs_from_origin, requests_of_pairs
from conjure_kernel.engine.opening import open_engine
from conjure_kernel.engine.reading import report_reading
from conjure_kernel.engine.steps import checked_steps
from conjure_kernel.engine.stopping import refine
from conjure_kernel.engine.turns import in_turn
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.origin import relative_matrix, relative_pairs
from conjure_kernel.method.relative import RelativeDivergence
from conjure_kernel.models.group import ModelGroup, bare

__all__ = ["Measured", "measure_matrix", "measure_pairs", "paired_divergence"]
__all__ += ["pairwise_divergence"]

LAST_NODE_SHARE = 0.25
Measured = Divergence | RelativeDivergence  # the latter where there is an origin


@overload
def pairwise_divergence(
    a: Sequence[str], b: Sequence[str] | None = None, *, origin: None = None, **settings: Any
) -> Divergence: ...
@overload
def pairwise_divergence(
    a: Sequence[str], b: Sequence[str] | None = None, *, origin: str, **settings: Any
) -> RelativeDivergence: ...
def pairwise_divergence(
    a: Sequence[str], b: Sequence[str] | None = None, **settings: Any
) -> Measured:
    """Jeffreys divergence of every prompt in `a` from every prompt in `b`.

    It is half the sum of both directed KL legs, in nats (weighting="jeffreys").

    Parameters
    ----------
    a : sequence of str, length n_a
        The rows. Equal prompts are computed once.
    b : sequence of str, length n_b, optional
        The columns. Default: `a`, which gives a symmetric matrix with zeros on its diagonal.
    **settings
        The parameters of `ConjureDistance`: model, model_kwargs, n_steps, n_draws, guidance_scale,
        weighting, sampler, substeps, nodes, log_snr_range, memory, device, dtype, batch_size,
        n_jobs, tol, max_draws, shared_noise, chains_per_draw, check_steps, random_state, verbose,
        origin.

    Returns
    -------
    divergence : Divergence
        The matrix (n_a, n_b): ``.values`` (at least 0), ``.standard_errors``, ``.interval()``,
        ``.legs``, ``.profile``, ``.to_pandas()``. With ``origin="empty"`` it is a
        `RelativeDivergence`, in units of what both prompts are away from the empty one.

    Raises
    ------
    ValueError, TypeError
        A prompt or a setting is not valid.
    FloatingPointError
        The model predicts NaN or infinity.

    Notes
    -----
    For n prompts, T nodes and K draws of G chains the cost is n (n - 1) T K + n G S K predictions
    with S = T * substeps, and that of `check_steps` pairs with half of the steps.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": [0.7, 0], "a cat": [-0.4, 0]})
    >>> pairwise_divergence(["a dog", "a cat"], model=world, memory=None).values.round(3)
    array([[0.   , 0.605],
           [0.605, 0.   ]])
    """
    rows = check_prompts(a, "a")
    columns = rows if b is None else check_prompts(b, "b")
    return measure_matrix(open_engine(settings), rows, columns)


@overload
def paired_divergence(
    a: Sequence[str], b: Sequence[str] | None = None, *, origin: None = None, **settings: Any
) -> Divergence: ...
@overload
def paired_divergence(
    a: Sequence[str], b: Sequence[str] | None = None, *, origin: str, **settings: Any
) -> RelativeDivergence: ...
def paired_divergence(
    a: Sequence[str], b: Sequence[str] | None = None, **settings: Any
) -> Measured:
    """Jeffreys divergence of a[i] from b[i] for every i, and of no other pairs.

    Parameters
    ----------
    a, b : sequences of str, length n_pairs
        The two sides; or `a` alone, a list of (text_a, text_b). Pairs that share a text share its
        trajectories.
    **settings
        The settings of `pairwise_divergence`.

    Returns
    -------
    divergence : Divergence
        The vector (n_pairs,), with the same attributes as the matrix of `pairwise_divergence`.

    Raises
    ------
    ValueError, TypeError
        A prompt or a setting is not valid, or `a` and `b` differ in length.
    FloatingPointError
        The model predicts NaN or infinity.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4, "a car": 3.0})
    >>> pairs = [("a dog", "a cat"), ("a dog", "a car")]
    >>> paired_divergence(pairs, model=world, memory=None).values.round(2)
    array([0.6 , 2.64])
    """
    if b is None:
        left, right = check_pairs(a, "a")
    else:
        left, right = check_prompts(a, "a"), check_prompts(b, "b")
    if len(left) != len(right):
        raise ValueError(
            f"a and b: expected equally many prompts, got {len(left)} and {len(right)}; pass one "
            "of each for every pair."
        )
    return measure_pairs(open_engine(settings), left, right)


def measure_pairs(
    engine: Engine,
    left: list[str],
    right: list[str],
    *,
    n_draws: np.ndarray | None = None,
    check: bool = True,
) -> Measured:
    """Divergence of left[i] from right[i]; repeated pairs and texts are measured once.

    Parameters
    ----------
    engine : Engine
    left, right : list of str
    n_draws : int array of shape (n_pairs,), optional
        Draws of each pair. Default: all of the engine's, or what its `tol` needs.
    check : bool
        Whether the steps are checked, and warnings come.
    """
    if engine.origin is None:
        return _measure_pairs(engine, left, right, n_draws, check)
    if n_draws is not None:  # all draws of both sides from the origin
        n_draws = np.r_[n_draws, np.full(2 * len(left), engine.n_draws)]
    sides = pairs_from_origin(left, right, engine.origin)
    return relative_pairs(_measure_pairs(engine, *sides, n_draws, check))


def measure_matrix(engine: Engine, rows: list[str], columns: list[str]) -> Measured:
    """Divergence of each row from each column; repeated prompts are measured once."""
    if engine.origin is None:
        return _measure_matrix(engine, rows, columns)
    origin = [engine.origin]
    return relative_matrix(_measure_matrix(engine, rows + origin, columns + origin))


def _measure_pairs(
    engine: Engine,
    left: list[str],
    right: list[str],
    n_draws: np.ndarray | None = None,
    check: bool = True,
) -> Divergence:
    wanted = requests_of_pairs(left, right)
    place = {source: {t: i for i, t in enumerate(targets)} for source, targets in wanted.items()}
    used, draws = None, None
    if n_draws is not None:
        draws = {s: np.zeros((len(t), n_draws.max()), bool) for s, t in wanted.items()}
        for s, t, n in zip(left, right, n_draws, strict=True):
            draws[s][place[s][t], :n] = draws[t][place[t][s], :n] = True
        used = (np.arange(n_draws.max()) < n_draws[:, None]) / n_draws[:, None]
    known, draw_weights, spent = _measure(engine, wanted, draws)
    forward, backward = (
        np.stack([known[s].energies[place[s][t]] for s, t in zip(*sides, strict=True)])
        for sides in ((left, right), (right, left))
    )
    if draw_weights is not None:
        used = np.stack([draw_weights[s][place[s][t]] for s, t in zip(left, right, strict=True)])
    measured = _divergence(
        engine,
        prompts_a=left,
        prompts_b=right,
        forward=forward,
        backward=backward,
        paired=True,
        n_evaluations=spent,
        draw_weights=used,
    )
    return _finished(engine, measured) if check else measured


def _measure_matrix(engine: Engine, rows: list[str], columns: list[str]) -> Divergence:
    left, right = list(dict.fromkeys(rows)), list(dict.fromkeys(columns))
    twice = set(left) & set(right)
    union = list(dict.fromkeys([*right, *left]))
    requests = {p: left for p in right} | {p: union if p in twice else right for p in left}
    known, draw_weights, spent = _measure(engine, requests)

    def matrix(rows_of: Mapping[str, np.ndarray], sources: list[str], targets: list[str]) -> Any:
        first = rows_of[sources[0]]
        filled = np.empty((len(sources), len(targets), *first.shape[1:]), first.dtype)
        for row, source in zip(filled, sources, strict=True):
            have = requests[source]
            row[:] = rows_of[source][slice(None) if have == targets else _places(have, targets)]
        return filled

    energies = {source: row.energies for source, row in known.items()}
    forward = matrix(energies, left, right)
    backward = forward if left == right else matrix(energies, right, left)
    used = None if draw_weights is None else matrix(draw_weights, left, right)
    if left != rows or right != columns:
        i, j = _places(left, rows), _places(right, columns)
        forward, backward = forward[np.ix_(i, j)], backward[np.ix_(j, i)]
        used = used if used is None else used[np.ix_(i, j)]
    measured = _divergence(
        engine,
        prompts_a=rows,
        prompts_b=columns,
        forward=forward,
        backward=backward.swapaxes(0, 1),
        paired=False,
        n_evaluations=spent,
        draw_weights=used,
    )
    return _finished(engine, measured)


@in_turn
def _measure(
    engine: Engine, requests: Requests, draws: Mapping[str, np.ndarray] | None = None
) -> tuple[dict[str, Known], dict[str, np.ndarray] | None, int]:
    """Energies of each source, weights of its draws if `tol` chose them, and predictions spent."""
    before, draw_weights = engine.denoiser.n_evaluations, None
    if engine.tol is None or draws is not None:
        known = engine.measure(requests, draws)
    else:
        known, draw_weights = refine(engine, requests)
    if isinstance(engine.denoiser, ModelGroup):  # whatever any model cut, once for each prompt
        names = bare(list(known))
        rows = [(row.truncated, name, row) for name, row in zip(names, known.values(), strict=True)]
        report_reading(
            engine, {name: row for _, name, row in sorted(rows, key=lambda item: item[:2])}
        )
    else:
        report_reading(engine, known)
    return known, draw_weights, engine.denoiser.n_evaluations - before


def _places(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Index of each wanted name among the names."""
    place = {name: i for i, name in enumerate(names)}
    return [place[name] for name in wanted]


def _divergence(engine: Engine, **parts: Any) -> Divergence:
    """Divergence of these parts."""
    return Divergence(
        grid=engine.grid,
        weighting=engine.weighting,
        n_chains=engine.settings.chains_per_draw,
        shared_noise=engine.settings.shared_noise,
        **parts,
    )


def _finished(engine: Engine, measured: Divergence) -> Divergence:
    """Warn of what a divergence depends on or lacks; check the steps."""
    share = measured.last_share
    if share > max(LAST_NODE_SHARE, 2 / len(measured.grid.d_log_snr)):
        engine.tell(
            f"{share:.0%} of the divergence lies at the last noise level (log-SNR "
            f"{measured.grid.node_log_snr[-1]:.3g}), so its value depends on where the range ends; "
            "quote it with log_snr_range, or raise n_steps.",
            AccuracyWarning,
            "range",
        )
    if measured.n_draws == 1:
        text = "n_draws=1: there is no standard error; raise n_draws to at least 2."
        engine.tell(text, AccuracyWarning)
    return checked_steps(engine, measured)
