"""From energies to divergences, their errors and what they mean to a viewer."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from conjure_kernel.engine.pairwise import paired_divergence, pairwise_divergence
from conjure_kernel.method.accuracy import accuracy_bound, divergence_for_accuracy
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.draws import leg_draws
from conjure_kernel.method.grid import make_grid
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.method.schedule import FlowMatching, VariancePreserving
from conjure_kernel.models.gaussian import GaussianDenoiser

GRID = make_grid(VariancePreserving.log_linear(), 5, substeps=2)


def made_up(n_draws=4, *, shape=(2, 3), grid=GRID, seed=0, **options):
    """Divergence of random energies that differ between the legs."""
    rng = np.random.default_rng(seed)
    size = (*shape, n_draws, grid.n_nodes)
    forward, backward = rng.gamma(2.0, 1.0, size), rng.gamma(2.0, 3.0, size)
    names = [f"a{i}" for i in range(shape[0])], [f"b{j}" for j in range(shape[-1])]
    return Divergence(*names, forward, backward, grid, **options)


def measure(world, prompts, **settings):
    return pairwise_divergence(prompts, model=world, memory=None, **settings)


@pytest.fixture
def triple():
    """Three 8-D prompts of unequal covariances."""
    rng = np.random.default_rng(1)
    return GaussianDenoiser(0.4 * rng.normal(size=(3, 8)), rng.uniform(0.3, 1.5, size=(3, 8)))


# Legs and J


def test_a_leg_is_the_weighted_sum_over_nodes_and_the_mean_over_draws():
    found = made_up()
    expected = np.zeros((2, 3))
    for t in range(5):
        expected += GRID.d_log_snr[t] / 2 * found.forward[..., t].mean(-1)
    np.testing.assert_allclose(found.legs[0], expected)
    np.testing.assert_allclose(found.legs[1], (found.backward @ (GRID.d_log_snr / 2)).mean(-1))


def test_j_is_half_the_sum_of_the_legs_and_its_draws_average_to_it():
    found = made_up()
    np.testing.assert_allclose(found.values, (found.legs[0] + found.legs[1]) / 2)
    np.testing.assert_allclose(found.draws.mean(-1), found.values)
    np.testing.assert_allclose(found.distances**2, found.values)
    assert found.draws.shape == (2, 3, 4)
    assert found.n_draws == 4


@pytest.mark.parametrize("weighting", ["jeffreys", "paper", "noise"])
def test_each_weighting_uses_its_own_weights(weighting):
    found = made_up(weighting=weighting)
    expected = (found.forward + found.backward).mean(-2) @ GRID.weights(weighting) / 2
    np.testing.assert_allclose(found.values, expected)


def test_float32_energies_are_summed_in_float64():
    energies = np.full((1, 1, 1, 5), 1 / 3, np.float32)
    assert leg_draws(energies, GRID.d_log_snr).dtype == np.float64


def test_a_square_matrix_is_exactly_symmetric_with_an_exactly_zero_diagonal(triple):
    # R1: bit for bit
    found = measure(triple, triple.prompts, n_draws=7)
    for matrix in (found.values, found.standard_errors, found.distances, *found.interval()):
        assert (matrix == matrix.T).all()
        assert (np.diag(matrix) == 0).all()
        assert np.isfinite(matrix).all()
        assert matrix.dtype == np.float64
        assert (matrix[~np.eye(3, dtype=bool)] > 0).all()
    assert (found.legs[0] == found.legs[1].T).all()
    np.testing.assert_allclose(found.profile, found.profile.swapaxes(0, 1), rtol=1e-12)


def test_a_subset_in_another_order_gives_the_same_entries(triple):
    # R4
    whole = measure(triple, triple.prompts).values
    some = measure(triple, triple.prompts[:0:-1]).values
    np.testing.assert_allclose(some, whole[:0:-1, :0:-1], rtol=1e-6)


def test_equal_prompts_are_at_zero_and_cost_nothing(triple):
    # R2
    a, b, _ = triple.prompts
    found = measure(triple, [a, b, a])
    assert found.values[0, 2] == found.standard_errors[0, 2] == 0
    assert (found.values[0] == found.values[2]).all()
    assert found.n_evaluations == measure(triple, [a, b]).n_evaluations


def test_pairs_are_the_entries_of_the_matrix(triple):
    a, b, c = triple.prompts
    matrix = measure(triple, [a, b, c])
    pairs = paired_divergence([(a, b), (c, a), (b, b)], model=triple, memory=None)
    np.testing.assert_allclose(pairs.values, matrix.values[[0, 2, 1], [1, 0, 1]], rtol=1e-6)
    np.testing.assert_allclose(pairs.legs[0], matrix.legs[0][[0, 2, 1], [1, 0, 1]], rtol=1e-6)
    assert pairs.values[2] == 0


# Uncertainty


def test_the_standard_error_adds_the_variances_of_both_legs():
    found = made_up(6)
    forward, backward = found.leg_draws
    for i, j in np.ndindex(2, 3):
        s_ab, s_ba = np.std(forward[i, j], ddof=1), np.std(backward[i, j], ddof=1)
        expected = math.sqrt((s_ab**2 + s_ba**2) / (4 * 6))
        assert found.standard_errors[i, j] == pytest.approx(expected)
        in_distance = expected / (2 * math.sqrt(found.values[i, j]))
        assert found.distance_standard_errors[i, j] == pytest.approx(in_distance)


@pytest.mark.parametrize("level", [0.95, 0.5])
@pytest.mark.parametrize("n_draws", [2, 4, 30])
def test_the_interval_is_on_the_log_scale_and_knows_that_draws_are_skewed(n_draws, level):
    found = made_up(n_draws)
    low, high = found.interval(level)
    forward, backward = found.leg_draws
    for i, j in np.ndindex(2, 3):
        value, legs = found.values[i, j], [leg[i, j] / 2 for leg in (forward, backward)]
        # Welch's t test of two samples has Satterthwaite's degrees of freedom.
        few, most = stats.ttest_ind(*legs, equal_var=False).df, 2 * (n_draws - 1)
        quantile = stats.t.ppf((1 + level) / 2, math.sqrt(few * most))
        squares = sum(leg.var(ddof=1) / n_draws for leg in legs)
        # Cox: the variance of a log-normal variance s^2 is s^4 / (2 K) on the scale of its mean.
        squares += sum(leg.var(ddof=1) ** 2 / leg.mean() ** 2 / (2 * n_draws) for leg in legs)
        factor = math.exp(quantile * math.sqrt(squares) / value)
        assert low[i, j] == pytest.approx(value / factor)
        assert high[i, j] == pytest.approx(value * factor)


def test_legs_without_spread_give_an_interval_without_width(shared):
    found = measure(shared, ["a", "b"])
    low, high = found.interval()
    np.testing.assert_allclose(high, low, rtol=1e-5)
    assert np.isfinite(low).all()


def test_one_draw_has_a_value_and_no_error():
    found = made_up(1)
    assert np.isfinite(found.values).all()
    for unknown in (
        found.standard_errors,
        found.distance_standard_errors,
        *found.interval(),
        found.profile_standard_errors,
    ):
        assert np.isnan(unknown).all()


@pytest.mark.parametrize("n_draws", [4, 16])
def test_about_95_of_100_intervals_cover_the_limit(n_draws):
    world = GaussianDenoiser({"a": [0.7, 0.2], "b": [-0.4, 0.0]}, {"a": [0.5, 1.1], "b": 1.3})
    repetitions = 300
    chain = ChainSettings(world.make_grid(10, substeps=2))
    energies = []
    for source, target in (("a", "b"), ("b", "a")):
        (found,) = world.trace([source], range(repetitions * n_draws), chain)
        x, eps = found.x.transpose(0, 1), found.eps.transpose(0, 1)
        grouped = world.predict([target], x, eps, chain).T.numpy()
        energies.append(grouped.reshape(repetitions, n_draws, -1))
    names = [""] * repetitions
    measured = Divergence(names, names, *energies, chain.grid, paired=True)
    low, high = measured.interval()
    limit = measured.values.mean()
    # Binomial error of 300 repetitions: 1.3 points. The naive interval covers 81 to 86 at K = 4.
    assert 0.91 < np.mean((low < limit) & (limit < high)) < 0.985
    naive = np.abs(measured.values - limit) < 1.96 * measured.standard_errors
    assert n_draws > 4 or naive.mean() < 0.9


def test_four_times_the_draws_halve_the_error(triple):
    # R45
    few, many = (measure(triple, triple.prompts, n_draws=n).standard_errors for n in (100, 400))
    above = np.triu_indices(3, 1)
    np.testing.assert_allclose(few[above] / many[above], 2, rtol=0.25)


def test_the_same_seed_repeats_and_others_differ_by_about_the_stated_error(triple):
    # R46
    names = triple.prompts[:2]
    runs = [measure(triple, names, n_draws=16, random_state=seed) for seed in range(40)]
    assert (measure(triple, names, n_draws=16, random_state=3).values == runs[3].values).all()
    values = np.array([run.values[0, 1] for run in runs])
    errors = np.array([run.standard_errors[0, 1] for run in runs])
    assert len(set(values)) == 40
    assert 0.75 < np.std(values, ddof=1) / np.sqrt(np.mean(errors**2)) < 1.3


def test_errors_are_those_of_independent_noise_between_prompts(triple):
    (a, b), draws = triple.prompts[:2], 400
    forward, backward = (
        leg[0]
        for leg in paired_divergence([(a, b)], model=triple, memory=None, n_draws=draws).leg_draws
    )
    assert abs(np.corrcoef(forward, backward)[0, 1]) < 4 / math.sqrt(draws)


# Profiles


@pytest.mark.parametrize("weighting", ["jeffreys", "paper", "noise"])
def test_the_profile_sums_to_j_and_adds_up_to_the_cumulative_one(weighting):
    found = made_up(weighting=weighting)
    assert found.profile.shape == (2, 3, 5)
    np.testing.assert_allclose(found.profile.sum(-1), found.values)
    np.testing.assert_allclose(found.cumulative, np.cumsum(found.profile, -1))
    np.testing.assert_allclose(found.cumulative[..., -1], found.values)


def test_the_profiles_error_is_that_of_a_divergence_of_one_node():
    found = made_up(6)
    for t in range(5):
        spread = (
            found.forward[..., t].var(-1, ddof=1) + found.backward[..., t].var(-1, ddof=1)
        ) / 24
        expected = GRID.d_log_snr[t] / 2 * np.sqrt(spread)
        np.testing.assert_allclose(found.profile_standard_errors[..., t], expected)


def test_the_cumulative_profile_is_the_divergence_of_blurred_images(shared):
    grid = shared.make_grid(100, substeps=2)
    found = measure(shared, ["a", "b"], n_steps=100, n_draws=2)
    edges = grid.log_snr_range[0] + np.cumsum(grid.d_log_snr)
    for t in (20, 50, 99):
        blurred = shared.exact("a", "b", (-8, edges[t])).jeffreys
        assert found.cumulative[0, 1, t] == pytest.approx(blurred, rel=2e-3)


def evenly_spread(total):
    """J of `total` nats, the same in every unit of log-SNR from -8 to 8."""
    energies = np.full((1, 1, 2, 5), 2 * total / 16)
    return Divergence(["a"], ["b"], energies, energies, GRID)


def test_the_detection_level_is_where_the_cumulative_profile_crosses_the_threshold():
    threshold = divergence_for_accuracy(0.75)
    found = evenly_spread(4 * threshold)
    np.testing.assert_allclose(found.detection_log_snr(), [[-4.0]])
    np.testing.assert_allclose(evenly_spread(1.6 * threshold).detection_log_snr(), [[2.0]])
    assert found.detection_log_snr(0.9) > found.detection_log_snr(0.75)
    assert found.detection_log_snr().shape == (1, 1)


def test_prompts_that_nobody_can_tell_apart_have_no_detection_level():
    assert np.isnan(evenly_spread(0.5).detection_log_snr()).all()
    assert np.isnan(evenly_spread(0.0).detection_log_snr()).all()
    assert np.isfinite(evenly_spread(0.56).detection_log_snr()).all()


def test_the_detection_level_hardly_depends_on_where_the_range_ends(shared):
    settings = {"n_steps": 60, "n_draws": 2}
    wide, narrow = (
        measure(shared, ["a", "c"], log_snr_range=(-8, end), **settings) for end in (8, 4)
    )
    one, other = (float(run.detection_log_snr()[0, 1]) for run in (wide, narrow))
    assert one == pytest.approx(other, abs=0.05)


@pytest.mark.parametrize("weighting", ["paper", "noise"])
def test_a_detection_level_needs_nats(weighting):
    with pytest.raises(ValueError, match=f"weighting='{weighting}': expected 'jeffreys'"):
        made_up(weighting=weighting).detection_log_snr()


# What J means


@pytest.mark.parametrize(
    ("accuracy", "divergence"), [(0.5, 0.0), (0.75, 0.5493), (0.9, 1.7578), (0.99, 4.50)]
)
def test_the_figures_of_accuracy(accuracy, divergence):
    assert divergence_for_accuracy(accuracy) == pytest.approx(
        divergence, abs=5e-3 if accuracy > 0.95 else 5e-5
    )
    exactly = divergence_for_accuracy(accuracy)
    assert accuracy_bound(exactly) == pytest.approx(accuracy, abs=1e-9)


def test_the_accuracy_bound_inverts_and_rises():
    divergences = np.array([[1e-6, 1e-3, 0.1], [1.0, 5.0, 20.0]])
    bound = accuracy_bound(divergences)
    assert bound.shape == divergences.shape
    assert (np.diff(bound.ravel()) > 0).all()
    assert ((bound > 0.5) & (bound < 1)).all()
    again = [divergence_for_accuracy(float(a)) for a in bound.ravel()]
    np.testing.assert_allclose(again, divergences.ravel(), rtol=1e-6)
    assert accuracy_bound(1e6) <= 1


def test_no_viewer_of_gaussian_images_beats_the_bound():
    for gap in (0.3, 1.0, 3.0):
        world = GaussianDenoiser({"a": 0.0, "b": gap})
        best = stats.norm.cdf(gap / 2)  # the likelihood-ratio viewer
        assert best <= accuracy_bound(world.exact("a", "b").jeffreys)


@pytest.mark.parametrize("accuracy", [0.4, 1.0, 1.2, math.nan])
def test_an_accuracy_out_of_range_is_refused(accuracy):
    with pytest.raises(
        ValueError, match=rf"accuracy={accuracy!r}: expected a number in \[0.5, 1\)"
    ):
        divergence_for_accuracy(accuracy)


# Tables


def test_a_matrix_becomes_one_row_per_cell():
    found = made_up()
    table = found.to_pandas()
    assert list(zip(table.prompt_a, table.prompt_b, strict=True)) == [
        (a, b) for a in ("a0", "a1") for b in ("b0", "b1", "b2")
    ]
    row = table.iloc[4]
    assert row.divergence == found.values[1, 1]
    assert row.standard_error == found.standard_errors[1, 1]
    assert (row.low, row.high) == tuple(end[1, 1] for end in found.interval())
    assert (row.kl_ab, row.kl_ba) == tuple(leg[1, 1] for leg in found.legs)
    assert row.distance == found.distances[1, 1]


def test_pairs_become_one_row_each_and_keep_their_texts():
    found = dataclasses.replace(
        made_up(shape=(3,)), prompts_a=["x\x00", "", "y" * 5000], paired=True
    )
    table = found.to_pandas()
    assert table.prompt_a.tolist() == ["x\x00", "", "y" * 5000]
    assert table.prompt_b.tolist() == ["b0", "b1", "b2"]
    np.testing.assert_array_equal(table.divergence, found.values)


def test_the_papers_weighting_of_flow_models_is_finite():
    # R36: sigma is never 0 at a node
    found = made_up(grid=make_grid(FlowMatching(), 10, nodes="timesteps"), weighting="paper")
    assert np.isfinite(found.values).all()
