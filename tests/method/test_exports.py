"""Divergences leave for other packages with their names, and come back with their numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from conjure_kernel import GaussianDenoiser, paired_divergence, pairwise_divergence

PROMPTS = ["a dog", "a cat", "ein Hündchen"]
WORLD = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4, "ein Hündchen": 0.2})
SETTINGS = {"model": WORLD, "memory": None, "n_steps": 4, "n_draws": 3}


def again(data):
    """J of a data set of xarray, from its energies."""
    draw_weight = data.get("draw_weight", 1 / data.sizes["draw"])
    energies = (data.forward + data.backward) / 2 * data.weight
    return (energies.sum("level") * draw_weight).sum("draw")


def test_xarray_holds_everything_by_name(tmp_path):
    xarray = pytest.importorskip("xarray")
    found = pairwise_divergence(PROMPTS, **SETTINGS)
    data = found.to_xarray()
    assert dict(data.forward.sizes) == {"prompt_a": 3, "prompt_b": 3, "draw": 3, "level": 4}
    cell = data.sel(prompt_a="a cat", prompt_b="ein Hündchen")
    np.testing.assert_array_equal(cell.backward, found.backward[1, 2])
    assert float(cell.standard_error) == found.standard_errors[1, 2]
    data.to_netcdf(tmp_path / "j.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "j.nc", engine="scipy") as kept:
        np.testing.assert_allclose(again(kept), found.values, rtol=1e-6)
        np.testing.assert_array_equal(kept.log_snr, found.grid.node_log_snr)
        assert kept.prompt_b.values.tolist() == PROMPTS
        assert kept.attrs == {"weighting": "jeffreys"}


def test_xarray_of_pairs_and_of_draws_that_differ():
    pytest.importorskip("xarray")
    pairs = [("a dog", "a cat"), ("a cat", "ein Hündchen")]
    weights = np.array([[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]])
    found = dataclasses.replace(paired_divergence(pairs, **SETTINGS), draw_weights=weights)
    data = found.to_xarray()
    assert data.forward.dims == ("pair", "draw", "level")
    assert data.prompt_a.values.tolist() == ["a dog", "a cat"]
    np.testing.assert_allclose(again(data), found.values)
    assert data.draws.notnull().sum("draw").values.tolist() == [2, 3]


def test_rdms_are_one_a_draw_with_the_prompts_as_descriptors():
    rsatoolbox = pytest.importorskip("rsatoolbox")
    found = pairwise_divergence(PROMPTS, **SETTINGS)
    rdms = found.to_rdms()
    assert isinstance(rdms, rsatoolbox.rdm.RDMs)
    assert rdms.pattern_descriptors["prompt"] == PROMPTS
    assert rdms.rdm_descriptors["draw"] == [0, 1, 2]
    np.testing.assert_allclose(rdms.get_matrices().mean(0), found.values)
    only = rdms.subset_pattern("prompt", ["a dog", "ein Hündchen"]).dissimilarities
    np.testing.assert_allclose(only[:, 0], found.draws[0, 2])
    compared = rsatoolbox.rdm.compare(rdms, rdms, method="spearman")
    np.testing.assert_allclose(np.diag(compared), 1)


def test_rdms_are_of_all_pairs_of_one_list():
    found = pairwise_divergence(PROMPTS, **SETTINGS)
    for other in (
        pairwise_divergence(PROMPTS, PROMPTS[:2], **SETTINGS),
        dataclasses.replace(found, paired=True),
    ):
        with pytest.raises(ValueError, match="to_rdms: expected all pairs of one list"):
            other.to_rdms()
