"""Correlations without each pair in turn: those of scipy on what is left."""

import time

import numpy as np
import pytest
from scipy import stats

from conjure_kernel.evaluation.delete_one import DELETE_ONE

SCIPY = {"spearman": stats.spearmanr, "pearson": stats.pearsonr, "kendall": stats.kendalltau}


@pytest.mark.parametrize("statistic", DELETE_ONE)
@pytest.mark.parametrize("decimals", [(9, 9), (0, 9), (0, 0)], ids=["no ties", "one side", "ties"])
@pytest.mark.parametrize("n", [5, 17, 64])
def test_values_are_scipys_without_each_pair(statistic, decimals, n):
    x, y = (np.round(3 * np.random.default_rng(d + n).normal(size=n), d) for d in decimals)
    y = y + x
    without = [(np.delete(x, i), np.delete(y, i)) for i in range(n)]
    expected = [SCIPY[statistic](*sides).statistic for sides in without]
    np.testing.assert_allclose(DELETE_ONE[statistic](x, y), expected, atol=1e-12)


@pytest.mark.parametrize("statistic", DELETE_ONE)
def test_what_is_constant_without_a_pair_is_nan_there(statistic):
    x, y = np.full(8, 0.1), np.arange(8.0)
    x[3] = 0.7
    found = DELETE_ONE[statistic](x, y)
    assert np.flatnonzero(np.isnan(found)).tolist() == [3]


@pytest.mark.parametrize("statistic", DELETE_ONE)
def test_five_thousand_pairs_take_less_than_a_second(statistic):
    x, y = np.random.default_rng(0).normal(size=(2, 5000))
    start = time.process_time()
    DELETE_ONE[statistic](x, y)
    assert time.process_time() - start < 1
