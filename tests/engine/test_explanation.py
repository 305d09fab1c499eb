"""`explain`: its arrays are the divergence, pixel by pixel; its pictures are of the same chains."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

import pipelines
from conjure_kernel import GaussianDenoiser, explain, load_denoiser
from conjure_kernel.engine.opening import open_engine
from conjure_kernel.engine.pairwise import measure_matrix
from conjure_kernel.engine.shared_chains import density
from conjure_kernel.plot import plot_explanation
from worlds import N_STEPS, SMALL, SUBSTEPS, cold, make_world

TINY = {"n_steps": 3, "n_draws": 2}


def measured_with_shared_noise(a, b, **settings):
    """The same pair through the engine, which reduces energies on the spot."""
    engine = open_engine({**settings, "memory": None})
    shared = replace(engine.settings, shared_noise=True, chains_per_draw=1)
    options = {"n_draws": engine.n_draws, "weighting": engine.weighting, "memory": None}
    engine = type(engine)(engine.denoiser, shared, check_steps=0, **options)
    return measure_matrix(engine, [a, b], [a, b])


@pytest.fixture(scope="module")
def tiny():
    """Stable Diffusion's architecture, random; latents of 8 by 8."""
    return load_denoiser(pipelines.stable_diffusion())


def worlds():
    world, (a, b, *_) = make_world()
    return world, a, b


@pytest.mark.parametrize("options", [{}, {"weighting": "noise"}, {"guidance_scale": 2.5}])
def test_pixels_and_levels_add_up_to_the_divergence_in_a_gaussian_world(options):
    world, a, b = worlds()
    found = explain(a, b, model=world, **SMALL, **options)
    expected = measured_with_shared_noise(a, b, model=world, **SMALL, **options)
    assert found.heat.shape == (2, 3, 4, 3)
    legs = found.heat.sum((2, 3))
    np.testing.assert_allclose(legs[0], expected.leg_draws[0][0, 1], rtol=1e-6)
    np.testing.assert_allclose(legs[1], expected.leg_draws[1][0, 1], rtol=1e-6)
    assert found.divergence == pytest.approx(expected.values[0, 1], rel=1e-6)
    np.testing.assert_allclose(found.profile, expected.profile[0, 1], rtol=1e-6)
    assert found.profile.sum() == pytest.approx(found.divergence, rel=1e-12)


def test_pixels_and_levels_add_up_to_the_divergence_of_a_pipeline(tiny):
    a, b = "a red car", "two white birds"
    found = explain(a, b, model=tiny, **TINY)
    expected = measured_with_shared_noise(a, b, model=tiny, **TINY)
    assert found.heat.shape == (2, 2, 3, 8, 8)
    assert found.views.shape == (2, 2, 3, 64, 64, 3)
    assert found.morph.shape == (4, 64, 64, 3)
    assert found.divergence > 0.1
    assert found.divergence == pytest.approx(expected.values[0, 1], rel=1e-6)


def test_the_error_counts_that_shared_noise_correlates_the_legs():
    world, a, b = worlds()
    found = explain(a, b, model=world, n_steps=4, n_draws=9)
    draws = measured_with_shared_noise(a, b, model=world, n_steps=4, n_draws=9).draws[0, 1]
    assert found.standard_error == pytest.approx(draws.std(ddof=1) / 3, rel=1e-6)
    assert found.profile_standard_errors.shape == (4,)
    assert (found.profile_standard_errors > 0).all()
    alone = explain(a, b, model=world, n_steps=4, n_draws=1)
    assert np.isnan(alone.standard_error)


def test_heat_lies_where_the_prompts_differ():
    world = GaussianDenoiser({"a": [0.0, 1.0, 5.0], "b": [0.0, 1.0, -5.0]})
    found = explain("a", "b", model=world, **SMALL)
    np.testing.assert_allclose(found.heat[..., :2], 0, atol=1e-20)
    assert (found.heat[..., 2] > 0).all()


def test_views_are_what_each_prompt_foresees_at_the_same_points():
    world = GaussianDenoiser({"a": [3.0] * 3, "b": [-3.0] * 3}, 0.01)
    found = explain("a", "b", model=world, **SMALL)
    of_a, of_b = (
        world.decode(torch.full((1, 3), mean, dtype=torch.float64))[0] for mean in (3.0, -3.0)
    )
    for leg in (0, 1):  # at the noisiest level each sees its own mean, whoever made the point
        np.testing.assert_allclose(found.views[leg, 0, 0], of_a, atol=2)
        np.testing.assert_allclose(found.views[leg, 1, 0], of_b, atol=2)
    np.testing.assert_array_equal(found.views[0, 0, -1], found.morph[-1])


def test_the_morph_runs_from_all_b_to_all_a(tiny):
    a, b = "a red car", "two white birds"
    found = explain(a, b, model=tiny, draw=1, **TINY)
    chain = replace(open_engine({"model": tiny, **TINY}).settings, shared_noise=True)
    grid = chain.grid(tiny)
    ends = [tiny.trace([prompt], [1], chain.chain(grid))[0].x0 for prompt in (b, a)]
    of_b, of_a = tiny.decode(torch.cat(ends))
    np.testing.assert_allclose(found.morph[0], of_b, atol=1)
    np.testing.assert_allclose(found.morph[-1], of_a, atol=1)
    assert np.abs(of_a.astype(int) - of_b).max() > 5
    assert found.switch_log_snr[0] == grid.log_snr[0]
    assert found.switch_log_snr[-1] == grid.log_snr_range[1]
    assert (np.diff(found.switch_log_snr) > 0).all()


@pytest.mark.parametrize("w", [1.0, 2.0])
def test_it_costs_what_the_notes_say(w):
    world, a, b = worlds()
    explain(a, b, model=world, guidance_scale=w, **SMALL)
    steps = N_STEPS * SUBSTEPS
    morph = steps * (N_STEPS + 3) // 2 * (1 if w == 1 else 2)
    assert world.n_evaluations == cold(2, w) + morph


def test_a_prompt_and_itself_part_nowhere():
    world, a, _ = worlds()
    found = explain(a, a, model=world, **SMALL)
    assert found.divergence == 0
    assert not found.heat.any()
    plot_explanation(found).savefig(io.BytesIO())


def test_tokens_become_rows_and_columns_by_the_pictures_proportions():
    a, b = torch.zeros(1, 2, 12, 5), torch.arange(12.0).reshape(12, 1).expand(1, 2, 12, 5)
    grid = density(a, b, np.array([1.0, 2.0]), (48, 64))
    np.testing.assert_array_equal(grid[0, 0], 5 * np.arange(12).reshape(3, 4) ** 2)
    np.testing.assert_array_equal(grid[0, 1], 2 * grid[0, 0])
    assert density(a, b, np.array([1.0, 2.0]), (10, 17)).shape == (1, 2, 12)


def test_a_notebook_shows_a_table_of_the_levels():
    world, a, b = worlds()
    found = explain(a, b, model=world, **SMALL)
    shown = found._repr_html_()
    assert shown.count("<tr>") == 1 + N_STEPS  # heading and levels
    assert shown.partition("<table>")[0].endswith(" nats</p>")
    assert f": {found.divergence:.3g} ± {found.standard_error:.2g} nats" in shown


def test_what_cannot_be_explained_is_refused_in_words():
    world, a, b = worlds()
    with pytest.raises(ValueError, match="draw=3: expected one of 0 to 2"):
        explain(a, b, model=world, draw=3, **SMALL)
    with pytest.raises(ValueError, match="draw=-1"):
        explain(a, b, model=world, draw=-1, **SMALL)
    with pytest.raises(TypeError, match="levels: expected settings among"):
        explain(a, b, model=world, levels=3)
