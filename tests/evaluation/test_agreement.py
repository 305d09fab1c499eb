"""model_agreement: do two models order pairs of prompts alike."""

import numpy as np
import pytest

from conjure_kernel import GaussianDenoiser, model_agreement


def test_models_of_one_order_agree_and_one_of_reversed_order_does_not():
    names = [f"prompt {i}" for i in range(6)]
    places = np.array([0.0, 1.0, 2.5, 4.7, 7.9, 12.6])
    one, two, other = (
        GaussianDenoiser(dict(zip(names, p, strict=True)))
        for p in (places, 2 * places, places[[3, 0, 5, 2, 4, 1]])
    )
    same, apart = (model_agreement(names, one, world, memory=None) for world in (two, other))
    assert same.spearman == pytest.approx(1)
    assert (same.low, same.high) == pytest.approx((1, 1))
    assert apart.spearman < 0.5
    assert apart.low < apart.spearman < apart.high
    first = apart.ranking()[0]
    assert abs(first["rank_a"] - first["rank_b"]) >= 8
    with pytest.raises(
        ValueError, match="prompts: expected at least 3 different ones, to order pairs, got 2"
    ):
        model_agreement([*names[:2], names[0]], one, two)
