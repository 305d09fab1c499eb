"""Measurements with an origin, taken apart: the pairs, and both of their sides from the origin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.relative import RelativeDivergence

__all__ = ["relative_matrix", "relative_pairs"]


def relative_matrix(measured: Divergence) -> RelativeDivergence:
    """R of a matrix (n_a + 1, n_b + 1) of J whose last row and column are the origin's."""
    inner, left, right = (slice(-1), slice(-1)), (slice(-1), -1), (-1, slice(-1))
    rows, columns = measured.prompts_a[:-1], measured.prompts_b[:-1]
    from_origin = _part(measured, right, columns, paired=True)
    return RelativeDivergence(
        replace(_part(measured, inner, rows, paired=False), prompts_b=columns),
        left=_part(measured, left, rows, paired=True),
        right=replace(from_origin, forward=from_origin.backward, backward=from_origin.forward),
    )


def relative_pairs(measured: Divergence) -> RelativeDivergence:
    """R of pairs, after whose J that of all left and of all right sides from the origin stands."""
    n, names = len(measured.prompts_a) // 3, measured.prompts_a
    thirds = [slice(i * n, (i + 1) * n) for i in range(3)]
    pairs, left, right = (_part(measured, third, names[third], paired=True) for third in thirds)
    return RelativeDivergence(replace(pairs, prompts_b=measured.prompts_b[:n]), left, right)


def _part(measured: Divergence, index: Any, prompts: list[str], paired: bool) -> Divergence:
    """Some entries of a divergence: those of prompts from the origin, unless told otherwise."""
    weights = measured.draw_weights
    return replace(
        measured,
        prompts_a=prompts,
        prompts_b=[""] * len(prompts),
        forward=measured.forward[index],
        backward=measured.backward[index],
        draw_weights=None if weights is None else weights[index],
        paired=paired,
    )
