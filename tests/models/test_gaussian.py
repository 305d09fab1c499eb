"""Closed-form worlds, and the estimator held against them."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import expit

from conjure_kernel.engine.pairwise import pairwise_divergence
from conjure_kernel.method import reverse
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.method.schedule import FlowMatching, VariancePreserving
from conjure_kernel.models.gaussian import Exact, GaussianDenoiser, MixtureDenoiser

RANGE = (-8.0, 8.0)
BIMODAL = {
    "coin": ([0.3, 0.7], [[-1.2], [1.0]], [[0.05], [0.2]]),
    "edge": ([0.5, 0.5], [[-0.4], [0.9]], [[0.3], [0.1]]),
}


MEANS, VARIANCES = {"a": 0.7, "b": -0.4}, {"a": 0.5, "b": 1.3}  # as in `pair`


def copies(n, means=MEANS, variances=VARIANCES, **options):
    """A world of n independent coordinates, each as given: J is n times that of one.

    One draw of it is n draws of the small world, at the price of one.
    """
    means, variances = ({p: np.full(n, v) for p, v in of.items()} for of in (means, variances))
    return GaussianDenoiser(means, variances, **options)


def measure(world, a="a", b="b", **settings):
    """J, its standard error, both legs."""
    found = pairwise_divergence([a], [b], model=world, memory=None, **settings)
    legs = [float(leg[0, 0]) for leg in found.legs]
    return float(found.values[0, 0]), float(found.standard_errors[0, 0]), legs


def noised_density(world, prompt, log_snr):
    """Density of a 1-D prompt's images noised to a level, written with numpy alone."""
    m = world._of(prompt)
    alpha, sigma = (float(part) for part in world.schedule.alpha_sigma(log_snr))
    variances = alpha**2 * m.variances.numpy()[:, 0] + sigma**2
    means, weights = alpha * m.means.numpy()[:, 0], m.weights.numpy()
    scale = weights / np.sqrt(2 * np.pi * variances)
    return lambda x: float((scale * np.exp(-((x - means) ** 2) / (2 * variances))).sum())


def brute_force_kl(world, a, b, log_snr, reach=7):
    p, q = (noised_density(world, prompt, log_snr) for prompt in (a, b))
    ends = {"a": -reach, "b": reach, "limit": 400, "epsabs": 1e-10}
    return quad(lambda x: p(x) * math.log(p(x) / q(x)), **ends)[0]


# The truth


def test_the_figures_of_the_documentation(pair):
    assert pair.exact("a", "b").kl_ab == pytest.approx(0.63545, abs=1e-5)
    assert pair.exact("a", "b", RANGE).kl_ab == pytest.approx(0.63499, abs=1e-5)
    assert pair.exact("a", "b", (-5.4, 7.5)).kl_ab == pytest.approx(0.63232, abs=1e-5)


@pytest.mark.parametrize("log_snr_range", [RANGE, (-5.4, 7.5), (-1.0, 2.0)])
def test_exact_is_the_kl_of_noised_images_at_the_end_minus_at_the_start(pair, log_snr_range):
    low, high = log_snr_range
    for a, b in (("a", "b"), ("b", "a")):
        expected = brute_force_kl(pair, a, b, high, 11) - brute_force_kl(pair, a, b, low, 11)
        assert pair.exact(a, b, log_snr_range).kl_ab == pytest.approx(expected, abs=1e-7)


def test_exact_is_girsanovs_integral(pair):
    points, weights = np.polynomial.hermite_e.hermegauss(20)

    def gap(log_snr):
        alpha, sigma = (float(part) for part in pair.schedule.alpha_sigma(log_snr))
        x = torch.as_tensor(alpha * 0.7 + math.sqrt(alpha**2 * 0.5 + sigma**2) * points)[:, None]
        eps_a, eps_b = (pair._eps([p], x, alpha, sigma) for p in ("a", "b"))
        return float((eps_a - eps_b).square().numpy()[:, 0] @ weights) / math.sqrt(2 * math.pi)

    integral = quad(gap, *RANGE)[0] / 2
    assert pair.exact("a", "b", RANGE).kl_ab == pytest.approx(integral, abs=1e-9)


def test_exact_is_the_textbook_kl_for_full_covariances():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(2, 3))
    p, q = (m @ m.T + 0.1 * np.eye(3) for m in rng.normal(size=(2, 3, 3)))
    world = GaussianDenoiser(means, [p, q])
    gap = means[1] - means[0]
    expected = np.trace(np.linalg.inv(q) @ p) - 3 + gap @ np.linalg.inv(q) @ gap
    expected = (expected + math.log(np.linalg.det(q) / np.linalg.det(p))) / 2
    assert world.exact("prompt 0", "prompt 1").kl_ab == pytest.approx(expected, rel=1e-10)


def test_exact_swaps_its_legs_with_its_prompts_and_is_half_their_sum(pair):
    one, other = pair.exact("a", "b", RANGE), pair.exact("b", "a", RANGE)
    assert one == (other.kl_ba, other.kl_ab)
    assert one.jeffreys == (one.kl_ab + one.kl_ba) / 2
    assert Exact(1.0, 3.0).jeffreys == 2.0
    assert pair.exact("a", "a", RANGE) == (0, 0)


def test_exact_does_not_depend_on_the_schedule(pair):
    flow = GaussianDenoiser(MEANS, VARIANCES, schedule=FlowMatching(), prediction="flow")
    assert flow.exact("a", "b", RANGE) == pair.exact("a", "b", RANGE)


# The predictions


@pytest.mark.parametrize("level", [-4.0, 0.0, 5.0])
@pytest.mark.parametrize("full", [False, True])
def test_the_prediction_is_the_gradient_of_the_log_density(level, full):
    generator = torch.Generator().manual_seed(0)
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    means = torch.randn(3, 2, dtype=torch.float64, generator=generator)
    covariances = torch.rand(3, 2, dtype=torch.float64, generator=generator) + 0.1
    if full:
        root = torch.randn(3, 2, 2, dtype=torch.float64, generator=generator)
        covariances = root @ root.mT + 0.1 * torch.eye(2, dtype=torch.float64)
    world = MixtureDenoiser({"a": (weights, means, covariances)})
    alpha, sigma = (float(part) for part in world.schedule.alpha_sigma(level))
    full_covariances = covariances if full else torch.diag_embed(covariances)
    noised = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(weights),
        torch.distributions.MultivariateNormal(
            alpha * means, alpha**2 * full_covariances + sigma**2 * torch.eye(2)
        ),
    )
    x = torch.randn(20, 2, dtype=torch.float64, generator=generator).requires_grad_()
    (score,) = torch.autograd.grad(noised.log_prob(x).sum(), x)
    torch.testing.assert_close(world._eps(["a"], x.detach(), alpha, sigma), -sigma * score)


def test_predictions_far_from_every_mode_are_finite():
    world = MixtureDenoiser(BIMODAL)
    alpha, sigma = world.schedule.alpha_sigma(8.0)
    x = torch.tensor([[-1e3], [1e3]], dtype=torch.float64)
    assert torch.isfinite(world._eps(["coin"], x, alpha, sigma)).all()


# The estimator


def test_with_one_covariance_a_single_draw_is_the_sum_over_the_grid(shared):
    with pytest.warns(UserWarning, match="n_draws=1: there is no standard error"):
        one, se, legs = measure(shared, n_draws=1)
    many, no_error, _ = measure(shared, n_draws=8, random_state=5)
    grid = shared.make_grid(10, substeps=2)
    covariance, gap = np.array([[0.8, 0.3], [0.3, 0.5]]), np.array([1.1, -0.2])
    total = 0.0
    for level, width in zip(grid.node_log_snr, grid.d_log_snr, strict=True):
        alpha, sigma = shared.schedule.alpha_sigma(level)
        noised = alpha**2 * covariance + sigma**2 * np.eye(2)
        shift = np.linalg.solve(noised, alpha * gap)
        total += width / 2 * sigma**2 * shift @ shift
    assert one == pytest.approx(total, rel=1e-6)
    assert many == pytest.approx(total, rel=1e-6)
    assert legs[0] == pytest.approx(legs[1], rel=1e-6)
    assert no_error < 1e-6 * one
    assert math.isnan(se)


def test_with_one_covariance_the_bias_shrinks_with_the_square_of_the_steps(shared):
    settings = {"n_draws": 2, "log_snr_range": (-3, 3)}
    truth = shared.exact("a", "b", (-3, 3)).jeffreys
    errors = [measure(shared, n_steps=n, **settings)[0] / truth - 1 for n in (5, 10, 20)]
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 4, rtol=0.1)
    assert abs(errors[-1]) < 0.002
    assert measure(shared)[0] == pytest.approx(shared.exact("a", "b", RANGE).jeffreys, rel=1e-3)


def test_with_one_covariance_turning_the_world_changes_nothing(shared):
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    means = {p: turn @ shared._of(p).means[0].numpy() for p in shared.prompts}
    turned = GaussianDenoiser(
        means, dict.fromkeys(means, turn @ np.array([[0.8, 0.3], [0.3, 0.5]]) @ turn.T)
    )
    assert measure(turned)[0] == pytest.approx(measure(shared)[0], rel=1e-6)


@pytest.mark.parametrize("sampler", ["sde", "ode"])
@pytest.mark.parametrize("log_snr_range", [RANGE, (-5.4, 7.5)])
def test_with_unequal_variances_the_estimate_is_right_within_its_error(
    pair, sampler, log_snr_range
):
    truth = pair.exact("a", "b", log_snr_range)
    settings = {"n_steps": 40, "n_draws": 40, "log_snr_range": log_snr_range}
    value, se, legs = (np.divide(v, 50) for v in measure(copies(50), sampler=sampler, **settings))
    assert abs(value - truth.jeffreys) < 4 * se
    assert se < 0.03 * truth.jeffreys
    assert legs == pytest.approx([truth.kl_ab, truth.kl_ba], rel=0.1)
    assert legs[0] < 0.7 * legs[1]  # 0.63 and 1.53: a swap of legs would show


def test_with_full_unequal_covariances_the_estimate_is_right_within_its_error():
    rng = np.random.default_rng(3)
    means = 0.5 * rng.normal(size=(2, 12))
    covariances = [m @ m.T / 12 + 0.3 * np.eye(12) for m in rng.normal(size=(2, 12, 12))]
    world = GaussianDenoiser(means, covariances)
    names = "prompt 0", "prompt 1"
    value, se, _ = measure(world, *names, n_steps=40, n_draws=200)
    truth = world.exact(*names, RANGE).jeffreys
    assert abs(value - truth) < 4 * se
    assert se < 0.03 * truth


PARAMETRISATIONS = ["epsilon", "v_prediction", "sample", "flow"]


@pytest.mark.parametrize("prediction", PARAMETRISATIONS)
@pytest.mark.parametrize(
    "schedule", [VariancePreserving.log_linear(), FlowMatching()], ids=["v", "f"]
)
def test_every_parametrisation_of_one_world_gives_the_same_divergence(pair, schedule, prediction):
    # R35
    settings = {"n_steps": 30, "n_draws": 10}
    reference, _, _ = measure(copies(40, schedule=schedule), **settings)
    world = copies(40, schedule=schedule, prediction=prediction)
    value, se, _ = measure(world, **settings)
    assert value == pytest.approx(reference, rel=1e-6)
    assert abs(value - 40 * pair.exact("a", "b", RANGE).jeffreys) < 4 * se
    assert se < 0.1 * value


def test_the_schedule_does_not_change_the_divergence():
    settings = {"n_steps": 30, "n_draws": 20}
    one, se, _ = measure(copies(50), **settings)
    other, other_se, _ = measure(copies(50, schedule=FlowMatching()), **settings)
    assert one == pytest.approx(other, rel=0.01)  # the same noise at the same levels
    assert max(se, other_se) < 0.05 * one


def test_guided_divergence_of_one_covariance_is_the_square_of_the_guidance_times(shared):
    means = {p: shared._of(p).means[0].numpy() for p in shared.prompts} | {"": [0.0, 0.0]}
    world = GaussianDenoiser(means, [[[0.8, 0.3], [0.3, 0.5]]] * len(means))
    plain, guided = (measure(world, guidance_scale=w)[0] for w in (1.0, 3.0))
    assert guided == pytest.approx(9 * plain, rel=1e-5)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_guiding_one_covariance_is_moving_the_mean(scale, monkeypatch):
    monkeypatch.setattr(reverse, "STIFFNESS", 0.0)  # the step that guidance changes
    empty, mean = np.array([0.2, -0.1]), np.array([1.0, 0.5])
    world = GaussianDenoiser({"": empty, "a": mean}, 0.4)
    moved = GaussianDenoiser({"a": empty + scale * (mean - empty)}, 0.4)
    (guided,), (plain,) = (
        w.trace(["a"], [0, 1], ChainSettings(w.make_grid(6, substeps=2), guidance_scale=g))
        for w, g in ((world, scale), (moved, 1.0))
    )
    torch.testing.assert_close(guided.x, plain.x)
    torch.testing.assert_close(guided.x0, plain.x0)


def test_guidance_moves_the_marginals():
    # J_w is not w^2 J
    world = copies(50, {"": 0.2, "a": 1.0, "b": -0.6}, {"": 1.5, "a": 0.4, "b": 0.7})
    (plain, se, _), (guided, guided_se, _) = (
        measure(world, n_draws=60, guidance_scale=w) for w in (1.0, 3.0)
    )
    assert abs(guided - 9 * plain) > 10 * math.hypot(9 * se, guided_se)


# Mixtures


def test_monte_carlo_is_exact_for_one_component():
    world = GaussianDenoiser(MEANS, VARIANCES)
    truth, found = world.exact("a", "b", RANGE), world.monte_carlo("a", "b", RANGE, n=200_000)
    assert found.kl_ab == pytest.approx(truth.kl_ab, rel=0.01)
    assert found.kl_ba == pytest.approx(truth.kl_ba, rel=0.01)
    again, other = (world.monte_carlo("a", "b", RANGE, n=1000, seed=s) for s in (0, 1))
    assert again == world.monte_carlo("a", "b", RANGE, n=1000)
    assert again != other


def test_monte_carlo_agrees_with_the_integral_over_densities():
    world = MixtureDenoiser(BIMODAL)
    found = world.monte_carlo("coin", "edge", RANGE, n=200_000)
    for value, (a, b) in zip(found, (("coin", "edge"), ("edge", "coin")), strict=True):
        truth = brute_force_kl(world, a, b, 8.0) - brute_force_kl(world, a, b, -8.0)
        assert value == pytest.approx(truth, rel=0.02)


def test_the_estimator_agrees_with_brute_force_for_several_modes():
    world = MixtureDenoiser(BIMODAL)
    legs = [
        brute_force_kl(world, a, b, 8.0) - brute_force_kl(world, a, b, -8.0)
        for a, b in (("coin", "edge"), ("edge", "coin"))
    ]
    value, se, found = measure(world, "coin", "edge", n_steps=30, n_draws=800)
    assert abs(value - np.mean(legs)) < 4 * se
    assert se < 0.06 * value
    assert found == pytest.approx(legs, rel=0.15)


# Faces


def test_an_array_of_means_names_its_prompts_by_their_place():
    world = GaussianDenoiser(np.zeros((3, 2)), 0.5)
    assert world.prompts == ["prompt 0", "prompt 1", "prompt 2"]
    assert world.shape == (2,)


def test_an_unknown_prompt_is_named_with_some_that_are_known(pair):
    message = r"prompt 'a bird' is not in this world: expected one of 'a', 'b'; add it"
    with pytest.raises(ValueError, match=message):
        measure(pair, "a", "a bird")
    with pytest.raises(ValueError, match=message):
        pair.exact("a bird", "a")


def test_guidance_without_an_empty_prompt_says_what_is_missing(pair):
    with pytest.raises(ValueError, match="prompt '' is not in this world"):
        measure(pair, guidance_scale=2.0)


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        (([1.0], [0.0], [1.0]), r"'a'.*expected weights \(M,\).*shapes \[\(1,\), \(1,\), \(1,\)\]"),
        (([1.0], [[0.0]], [[1.0, 1.0]]), r"shapes \[\(1,\), \(1, 1\), \(1, 2\)\]"),
        (([0.5, 0.5], [[0.0]], [[1.0]]), r"shapes \[\(2,\), \(1, 1\), \(1, 1\)\]"),
        (([1.0], [[0.0]], [[-0.5]]), "'a': expected variances of at least 0, got -0.5"),
        (([1.0], [[0.0]], [[np.nan]]), "'a': expected variances of at least 0, got nan"),
        (([0.5, 0.6], [[0.0], [1.0]], [[1.0], [1.0]]), r"sum to 1, got \[0.5, 0.6\]"),
        (([1.5, -0.5], [[0.0], [1.0]], [[1.0], [1.0]]), r"at least 0 .*got \[1.5, -0.5\]"),
    ],
)
def test_what_is_no_mixture_is_refused(mixture, message):
    with pytest.raises(ValueError, match=message):
        MixtureDenoiser({"a": mixture})


def test_worlds_of_several_dimensions_or_parametrisations_are_refused():
    with pytest.raises(ValueError, match=r"means: expected one number of dimensions, got \[1, 2\]"):
        GaussianDenoiser({"a": [0.0], "b": [0.0, 1.0]})
    with pytest.raises(ValueError, match="prediction='score': expected one of"):
        GaussianDenoiser({"a": 0.0}, prediction="score")


def test_equal_worlds_have_equal_fingerprints_and_every_difference_shows():
    def fingerprint(means=(0.0, 1.0), variance=0.5, **options):
        return GaussianDenoiser(np.array(means), variance, **options).fingerprint

    different = [
        fingerprint(),
        fingerprint((0.0, 1.1)),
        fingerprint(variance=0.6),
        fingerprint(prediction="sample"),
        fingerprint(schedule=FlowMatching()),
        fingerprint(
            schedule=VariancePreserving(expit(VariancePreserving.log_linear().table[:900]))
        ),
        GaussianDenoiser({"prompt 0": 0.0, "prompt 2": 1.0}, 0.5).fingerprint,
    ]
    assert len(set(different)) == len(different)
    assert fingerprint() == different[0]


def test_pictures_are_flat_colours_that_follow_the_state():
    world = GaussianDenoiser(np.zeros((1, 3)))
    pictures = world.decode(torch.tensor([[0.0, -50.0, 50.0], [50.0, 0.0, 0.0]]))
    assert pictures.shape == (2, 8, 8, 3)
    assert pictures.dtype == np.uint8
    assert (pictures[0] == [128, 0, 255]).all()
    assert (pictures[1] == [255, 128, 128]).all()
    assert GaussianDenoiser({"a": 0.0}).decode(torch.zeros(1, 1)).shape == (1, 8, 8, 3)
