"""ConjureKernel in scikit-learn's Gaussian processes (R19, R20)."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel
from sklearn.model_selection import KFold, cross_val_predict

from conjure_kernel import ConjureDistance, ConjureKernel, GaussianDenoiser
from conjure_kernel.method.kernels import median_bandwidth, smallest_eigenvalue
from worlds import SMALL, make_world


@pytest.fixture(scope="module")
def indefinite():
    """Kernel that needs repair, its prompts, and the plain exp(-J / h)."""
    rng = np.random.default_rng(0)
    names = [f"text {i}" for i in range(40)]
    means = dict(zip(names, 2 * rng.normal(size=(40, 1)), strict=True))
    spreads = dict(zip(names, rng.uniform(0.05, 3, size=(40, 1)), strict=True))
    world = GaussianDenoiser(means, spreads)
    distance = ConjureDistance(world, memory=None, output="divergence", **SMALL)
    divergences = distance.fit_transform(names)
    kernel = ConjureKernel(distance, bandwidth=median_bandwidth(divergences))
    return kernel, names, np.exp(-divergences / kernel.bandwidth), means


def test_the_kernel_is_repaired_and_keeps_its_diagonal(indefinite):
    kernel, names, plain, _ = indefinite
    assert smallest_eigenvalue(plain) < -0.01
    square = kernel(names)
    assert smallest_eigenvalue(square) > -1e-12
    assert (np.diag(square) == 1).all()
    assert (kernel.diag(names) == 1).all()
    np.testing.assert_allclose(square, plain, atol=0.3)


def test_new_rows_go_through_the_same_map(indefinite):
    kernel, names, _, _ = indefinite
    square = kernel(names[:30])
    np.testing.assert_allclose(kernel(names[:30], names[:30]), square, atol=1e-9)
    joint = kernel(names, names[:30])
    np.testing.assert_allclose(joint[:30], square, atol=1e-9)
    explained = joint @ np.linalg.pinv(square, rcond=1e-10, hermitian=True) @ joint.T
    assert np.diag(explained).max() < 1 + 1e-6  # so that no predicted variance is negative


def test_without_negative_eigenvalues_nothing_is_changed():
    world, prompts = make_world(4)
    distance = ConjureDistance(world, memory=None, **SMALL)
    kernel = ConjureKernel(distance, bandwidth=0.5)
    plain = np.exp(-(distance.fit_transform(prompts) ** 2) / 0.5)
    np.testing.assert_allclose(kernel(prompts), plain, atol=1e-6)
    np.testing.assert_allclose(kernel(prompts[:1], prompts[1:]), plain[:1, 1:], atol=1e-6)


def test_the_gradient_is_that_of_finite_differences(indefinite):
    kernel, names, _, _ = indefinite
    _, gradient = kernel(names, eval_gradient=True)
    step = 1e-5
    above, below = (kernel.clone_with_theta(kernel.theta + s)(names) for s in (step, -step))
    numeric = (above - below) / (2 * step)
    assert np.abs(numeric).max() > 0.1
    np.testing.assert_allclose(gradient[..., 0], numeric, atol=1e-6)


def test_a_search_for_the_bandwidth_asks_nothing_of_the_model():
    world, prompts = make_world(12)
    y = np.array([float(world._of(prompt).means[0, 0]) for prompt in prompts])
    kernel = ConjureKernel(ConjureDistance(world, memory=None, **SMALL), bandwidth=1.0)
    kernel(prompts)
    spent = world.rows
    model = GaussianProcessRegressor(
        ConstantKernel() * kernel + WhiteKernel(0.1), n_restarts_optimizer=3, random_state=0
    ).fit(prompts, y)
    assert world.rows == spent
    assert model.kernel_.k1.k2.bandwidth != 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, deviation = model.predict(prompts, return_std=True)
    assert (deviation > 0).all()


def test_regression_on_texts_finds_scores_and_not_shuffled_ones():
    rng = np.random.default_rng(0)
    names, means = [f"text {i}" for i in range(40)], rng.normal(size=(40, 1))
    world = GaussianDenoiser(dict(zip(names, means, strict=True)), 0.5)
    kernel = ConjureKernel(ConjureDistance(world, memory=None, **SMALL), bandwidth=2.0)
    model = GaussianProcessRegressor(kernel, alpha=0.1, normalize_y=True, optimizer=None)
    folds = KFold(5, shuffle=True, random_state=0)
    for y, least, most in ((means[:, 0], 0.9, 1), (rng.permutation(means[:, 0]), -1, 0.4)):
        found = cross_val_predict(model, names, y, cv=folds)
        assert least < np.corrcoef(found, y)[0, 1] < most


def test_copies_share_what_is_measured_and_pickles_hold_no_weights(indefinite):
    kernel, names, _, _ = indefinite
    square = kernel(names)
    assert clone(kernel)._measured is kernel._measured
    assert clone(kernel) == kernel
    twin = pickle.loads(pickle.dumps(kernel._measured))
    assert twin._engine is None
    assert len(twin._matrices) == len(kernel._measured._matrices)
    assert np.array_equal(kernel(names), square)


def test_settings_of_the_distance_are_heeded():
    world, prompts = make_world(5)
    distance = ConjureDistance(world, memory=None, **SMALL)
    kernel = ConjureKernel(distance, bandwidth=1.0)
    first = kernel(prompts)
    distance.set_params(weighting="noise")
    assert not np.allclose(kernel(prompts), first)


def test_no_model_is_taken_for_another_of_its_text():
    """A memo by the parameters' text, where an object is its address, mixed models up."""
    texts = []

    class Named(GaussianDenoiser):
        def __repr__(self):
            return "a model"

    kernel, prompts = ConjureKernel(bandwidth=1.0), make_world(4)[1]
    for seed in range(3):
        world, _ = make_world(4, kind=Named, seed=seed)
        distance = ConjureDistance(world, memory=None, **SMALL)
        texts.append(str(distance.get_params()))
        kernel.set_params(distance=distance)
        fresh = ConjureKernel(distance, 1.0)
        assert np.array_equal(kernel(prompts), fresh(prompts))
    assert len(set(texts)) == 1


def test_a_pickled_kernel_knows_its_matrices_by_their_content():
    world, prompts = make_world(4)
    kernel = ConjureKernel(ConjureDistance(world, memory=None, **SMALL), 1.0)
    square, spent = kernel(prompts), world.rows
    twin = ConjureKernel(ConjureDistance(world, memory=None, **SMALL), 1.0)
    twin._measured = pickle.loads(pickle.dumps(kernel._measured))
    assert np.array_equal(twin(prompts), square)
    assert world.rows == spent
    other, _ = make_world(4, seed=1)
    twin.set_params(distance=ConjureDistance(other, memory=None, **SMALL))
    assert not np.array_equal(twin(prompts), square)


def test_fixed_bandwidth_and_errors(indefinite):
    kernel, names, _, _ = indefinite
    fixed = ConjureKernel(kernel.distance, 2.0, "fixed")
    _, gradient = fixed(names[:3], eval_gradient=True)
    assert gradient.shape == (3, 3, 0)
    with pytest.raises(ValueError, match="eval_gradient=True: expected no Y"):
        kernel(names, names, eval_gradient=True)
    with pytest.raises(TypeError, match=r"X\[0\]=1"):
        kernel([1, 2])
    assert repr(fixed) == "ConjureKernel(bandwidth=2)"
