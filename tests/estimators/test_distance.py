"""ConjureDistance: what it returns for what is asked, and its use (R1-R9, R16, R46)."""

from __future__ import annotations

import copy
import pickle
import warnings

import diffusers
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import SpectralClustering
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline

import pipelines
from conjure_kernel import ConjureDistance, GaussianDenoiser, pairwise_divergence, plan
from conjure_kernel._checks import ConjureWarning
from conjure_kernel.models.task import Reading
from worlds import N_DRAWS, N_STEPS, SMALL, SUBSTEPS, cold, make_world

T, K, S = N_STEPS, N_DRAWS, N_STEPS * SUBSTEPS
OUTPUTS = ["distance", "divergence", "kl", "kernel"]


def estimator(world, memory=None, **options):
    return ConjureDistance(world, memory=memory, **{**SMALL, **options})


# ---------------------------------------------------------------- matrices


@pytest.mark.parametrize("output", OUTPUTS)
def test_square_matrix_is_clean(output):
    world, prompts = make_world()
    matrix = estimator(world, output=output).fit_transform(prompts)
    assert matrix.dtype == np.float64
    assert matrix.shape == (6, 6)
    assert np.isfinite(matrix).all()
    assert matrix.min() >= 0
    assert (np.diag(matrix) == (1 if output == "kernel" else 0)).all()
    assert np.array_equal(matrix, matrix.T) == (output != "kl")
    assert len(set(matrix[np.triu_indices(6, 1)])) == 15


def test_outputs_belong_together(tmp_path):
    world, prompts = make_world()
    fitted = {o: estimator(world, tmp_path, output=o, bandwidth=2.0).fit(prompts) for o in OUTPUTS}
    of = {output: model.transform(prompts) for output, model in fitted.items()}
    assert np.array_equal(of["divergence"], fitted["distance"].divergences_)
    assert np.array_equal(of["divergence"], (of["kl"] + of["kl"].T) / 2)
    assert np.array_equal(of["distance"], np.sqrt(of["divergence"]))
    assert np.array_equal(of["kernel"], np.exp(-of["divergence"] / 2))
    assert world.rows == cold(6)


def test_kl_is_that_of_the_row_from_the_column():
    world = GaussianDenoiser({"narrow": [0.0, 0.0], "wide": [0.0, 0.0]}, {"narrow": 0.5, "wide": 2})
    model = ConjureDistance(world, n_steps=20, n_draws=600, memory=None, output="kl")
    matrix = model.fit_transform(["narrow", "wide"])
    exact = world.exact("narrow", "wide", model.provenance_["log_snr_range"])
    assert matrix[0, 1] == pytest.approx(exact.kl_ab, rel=0.15)
    assert matrix[1, 0] == pytest.approx(exact.kl_ba, rel=0.15)
    assert exact.kl_ba > 1.3 * exact.kl_ab
    wide = model.transform(["wide"])
    assert wide[0, 0] == pytest.approx(exact.kl_ba, rel=0.1)


@pytest.mark.parametrize("output", OUTPUTS)
def test_transform_has_a_row_per_new_and_a_column_per_fitted_prompt(output, tmp_path):
    world, prompts = make_world()
    model = estimator(world, tmp_path, output=output, bandwidth=2.0)
    square = model.fit_transform(prompts)
    model.fit(prompts[:4])
    new = model.transform(prompts[3:])
    assert np.array_equal(new, square[3:, :4])
    assert np.array_equal(model.transform(prompts[:4]), square[:4, :4])
    parts = [model.transform(prompts[3:4]), model.transform(prompts[4:])]
    assert np.array_equal(np.vstack(parts), new)
    assert np.array_equal(model.transform([prompts[0]] * 2), square[[0, 0], :4])
    fresh = estimator(world, output=output, bandwidth=2.0).fit(prompts[:4]).transform(prompts[3:])
    np.testing.assert_allclose(fresh, new, rtol=1e-6)


@pytest.mark.parametrize("memory", [True, False], ids=["disk", "memory"])
def test_a_new_prompt_costs_its_trace_and_two_blocks_a_column(memory, tmp_path):
    world, prompts = make_world()
    model = estimator(world, tmp_path if memory else None).fit(prompts[:5])
    assert model.n_evaluations_ == world.rows == cold(5)
    model.transform(prompts[:5])
    assert world.rows == cold(5)
    model.transform(prompts[5:])
    assert world.rows - cold(5) == S * K + 2 * 5 * T * K
    model.transform(prompts[4:])
    assert world.rows - cold(5) == S * K + 2 * 5 * T * K


def test_duplicates_are_one_prompt():
    world, prompts = make_world(3)
    model = estimator(world)
    matrix = model.fit_transform([prompts[0], prompts[1], prompts[0]])
    assert world.rows == cold(2)
    assert matrix[0, 2] == matrix[2, 0] == 0
    assert matrix[0, 1] == matrix[2, 1] > 0


def test_one_prompt():
    world, prompts = make_world(1)
    for output in OUTPUTS:
        model = estimator(world, output=output)
        assert model.fit_transform(prompts).tolist() == [[float(output == "kernel")]]
        assert model.bandwidth_ == 1


def test_what_is_handed_over_stays_as_it_is():
    world, prompts = make_world()
    given = np.array(prompts, dtype=object)
    for output in OUTPUTS:
        model = estimator(world, output=output, bandwidth=2.0)
        matrix = model.fit_transform(given)
        assert given.tolist() == prompts
        before = matrix.copy()
        matrix[:] = -1  # the caller's own: the estimator keeps its values
        assert np.array_equal(model.transform(given), before)


def test_fitted_attributes():
    world, prompts = make_world()
    model = estimator(world, guidance_scale=2.0).fit(prompts)
    assert model.prompts_ == prompts
    assert model.truncated_.tolist() == [False] * 6
    assert np.array_equal(model.standard_errors_, model.standard_errors_.T)
    assert (model.standard_errors_[~np.eye(6, dtype=bool)] > 0).all()
    facts = model.provenance_
    assert facts["fingerprint"] == world.fingerprint
    assert (facts["guidance_scale"], facts["n_draws"], facts["seed"]) == (2.0, K, 0)
    assert facts["log_snr_range"] == pytest.approx((-8, 8))
    assert not hasattr(model, "min_eigenvalue_")


class Forgetful(GaussianDenoiser):
    """Reads five characters of a prompt."""

    def run(self, task, prompts, rows_per_prompt, guidance_scale):
        super().run(task, prompts, rows_per_prompt, guidance_scale)
        return [Reading(len(prompt) > 5, prompt[:5]) for prompt in prompts]


def test_cut_prompts_are_flagged_and_warned_about_warm_too(tmp_path):
    world = Forgetful({"a cat": 0.0, "a catfish": 1.0, "a catamaran": 2.0})
    for _ in range(2):
        with pytest.warns(UserWarning, match="2 prompts are indistinguishable after the cut"):
            with pytest.warns(UserWarning, match="2 of 3 prompts are longer.*'a catfish'"):
                model = estimator(world, tmp_path).fit(world.prompts)
        assert model.truncated_.tolist() == [False, True, True]
    assert model.n_evaluations_ == 0


# ---------------------------------------------------------------- kernels


def test_bandwidth_is_the_median_divergence_unless_given():
    world, prompts = make_world()
    model = estimator(world, output="kernel").fit(prompts)
    assert model.bandwidth_ == np.median(model.divergences_[np.triu_indices(6, 1)])
    assert estimator(world, output="kernel", bandwidth=3).fit(prompts).bandwidth_ == 3.0


@pytest.mark.parametrize(("bandwidth", "looks"), [(1e-3, "the identity"), (1e5, "constant")])
def test_a_useless_bandwidth_is_reported_with_a_usable_one(bandwidth, looks):
    world, prompts = make_world()
    median = estimator(world).fit(prompts).bandwidth_
    with pytest.warns(UserWarning, match=rf"nearly {looks}.*bandwidth=.median., here {median:.4g}"):
        estimator(world, output="kernel", bandwidth=bandwidth, psd="clip").fit(prompts)


@pytest.fixture(scope="module")
def indefinite():
    """World whose kernel has a negative eigenvalue: 1-D Gaussians of very unequal variance."""
    rng = np.random.default_rng(0)
    return GaussianDenoiser(rng.normal(size=(40, 1)), np.exp(rng.normal(0, 1.5, size=40)))


def test_an_indefinite_kernel_is_reported_refused_or_clipped_for_new_rows_alike(indefinite):
    prompts = indefinite.prompts
    plain = estimator(indefinite, output="kernel")
    plain.fit_transform(prompts)  # says nothing, as for spectral clustering: warnings are errors
    with pytest.warns(ConjureWarning, match="smallest eigenvalue -0.963") as told:
        plain.transform(prompts[:2])
    plain.transform(prompts)
    assert len(told) == 1
    assert plain.min_eigenvalue_ < -0.01
    with pytest.raises(ValueError, match=f"smallest eigenvalue {plain.min_eigenvalue_:.3g}"):
        estimator(indefinite, output="kernel", psd="raise").fit(prompts)
    model = estimator(indefinite, output="kernel", psd="clip")
    kernel = model.fit_transform(prompts)
    assert model.min_eigenvalue_ == plain.min_eigenvalue_
    assert np.array_equal(kernel, kernel.T)
    assert np.linalg.eigvalsh(kernel)[0] > -1e-10
    np.testing.assert_allclose(model.transform(prompts), kernel, atol=1e-12)
    np.testing.assert_allclose(model.transform(prompts[3:5]), kernel[3:5], atol=1e-12)


def test_folds_tell_once_that_the_kernel_is_not_positive_and_clusterings_never(indefinite):
    prompts = indefinite.prompts
    kernel = estimator(indefinite, output="kernel", bandwidth=1.0)
    ridge = make_pipeline(kernel, KernelRidge(alpha=1, kernel="precomputed"))
    with pytest.warns(ConjureWarning) as told:
        cross_val_score(ridge, prompts, np.arange(40.0), cv=4, scoring="r2")
    assert ['pass psd="clip"' in str(warning.message) for warning in told] == [True]
    clusters = SpectralClustering(2, affinity="precomputed", random_state=0)
    make_pipeline(clone(kernel), clusters).fit_predict(prompts)


# ---------------------------------------------------------------- random_state


def test_random_state_none_is_one_seed_per_fit(tmp_path):
    world, prompts = make_world()
    model = estimator(world, tmp_path, random_state=None)
    with pytest.warns(UserWarning, match="random_state=None"):
        square = model.fit_transform(prompts[:4])
    np.testing.assert_allclose(model.transform(prompts[:4]), square, rtol=1e-6)
    thawed = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(thawed.transform(prompts[:4]), square, rtol=1e-6)
    with pytest.warns(UserWarning, match="random_state=None"):  # it has to be measured anew
        new = thawed.transform(prompts[4:])
    np.testing.assert_allclose(new, model.transform(prompts[4:]), rtol=1e-6)
    same = estimator(world, random_state=model.seed_).fit_transform(prompts[:4])
    np.testing.assert_allclose(same, square, rtol=1e-6)
    with pytest.warns(UserWarning, match="random_state=None"):
        assert not np.allclose(model.fit_transform(prompts[:4]), square, rtol=1e-3)
    assert list(tmp_path.iterdir()) == []


def test_random_state_instance_moves_on_as_everywhere_in_scikit_learn():
    world, prompts = make_world(3)
    state = np.random.RandomState(0)
    model = estimator(world, random_state=state)
    first, second = model.fit(prompts).seed_, model.fit(prompts).seed_
    assert first != second
    assert estimator(world, random_state=np.random.RandomState(0)).fit(prompts).seed_ == first


# ---------------------------------------------------------------- clustering (R8)


def test_clusters_are_found_by_the_kernel_and_lost_by_the_silent_wrong_ways():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 8)
    world = GaussianDenoiser(20 * np.eye(3)[truth] + 3 * rng.normal(size=(24, 3)))
    steps = [
        ("conjure", estimator(world, output="kernel")),
        ("cluster", SpectralClustering(3, affinity="precomputed", random_state=0)),
    ]
    found = Pipeline(steps).fit_predict(world.prompts)
    assert adjusted_rand_score(truth, found) == 1.0
    assert abs(adjusted_rand_score(rng.permutation(truth), found)) < 0.3
    distances = estimator(world).fit_transform(world.prompts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wrong ways may also warn
        rows = SpectralClustering(3, random_state=0).fit_predict(distances)
        as_if_similar = SpectralClustering(3, affinity="precomputed", random_state=0)
        assert adjusted_rand_score(truth, rows) < 0.3
        assert adjusted_rand_score(truth, as_if_similar.fit_predict(distances)) < 0.3


# ---------------------------------------------------------------- models


@pytest.fixture(scope="module")
def pipe():
    return pipelines.stable_diffusion()


def test_a_pipeline_object_is_measured_shared_and_left_behind(pipe, tmp_path):
    prompts = ["a photo of a cat", "blue house", "two red boats"]
    model = estimator(pipe, tmp_path, n_steps=2, n_draws=2)
    matrix = model.fit_transform(prompts)
    assert matrix[np.triu_indices(3, 1)].min() > 0
    assert model.n_evaluations_ == cold(3, n_steps=2, n_draws=2)
    assert copy.deepcopy(model).model is pipe
    assert np.array_equal(copy.deepcopy(model).transform(prompts), matrix)
    assert model.conjure_images(n=2).shape[:2] == (3, 2)
    thawed = pickle.loads(pickle.dumps(model))
    assert len(pickle.dumps(model)) < 100_000
    assert np.array_equal(thawed.transform(prompts), matrix)
    new = ["a green bus"]
    with pytest.raises(ValueError, match=r"<StableDiffusionPipeline .* left behind>.*save_pretr"):
        thawed.transform(new)
    assert thawed.set_params(model=pipe).transform(new) == pytest.approx(model.transform(new))


def test_unknown_model_is_named_with_what_to_do(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("401 Client Error. Repository Not Found")

    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", refuse)
    with pytest.raises(OSError, match=r"model 'no/such-model': not a folder.*mirror.*revision"):
        ConjureDistance("no/such-model", memory=None).fit(["a cat"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"output": "similarity"}, "output='similarity': expected one of 'distance', 'divergence'"),
        ({"bandwidth": 0}, "bandwidth=0: expected a finite number above 0"),
        ({"bandwidth": "mean"}, "bandwidth='mean': expected a finite number"),
        ({"psd": None}, "psd=None: expected one of 'warn', 'clip', 'raise'"),
    ],
)
def test_bad_options(option, message):
    world, prompts = make_world(2)
    with pytest.raises(ValueError, match=message):
        estimator(world, **option).fit(prompts)
    assert world.rows == 0


# ---------------------------------------------------------------- relative to the empty prompt


@pytest.mark.parametrize("output", ["distance", "divergence", "kernel"])
def test_an_origin_reaches_every_output(output):
    world, prompts = make_world(5)
    options = {"memory": None, "origin": "empty", **SMALL}
    model = ConjureDistance(world, output=output, **options)
    matrix = model.fit_transform(prompts[:4])
    whole = pairwise_divergence(prompts, model=world, **options)
    relative = whole.values[:4, :4]
    np.testing.assert_allclose(model.divergences_, relative)
    np.testing.assert_allclose(model.standard_errors_, whole.standard_errors[:4, :4])
    np.testing.assert_allclose(model.kl_, whole.legs[0][:4, :4])  # nats, whatever the origin
    expressed = {
        "distance": np.sqrt,
        "divergence": np.copy,
        "kernel": lambda r: np.exp(-r / model.bandwidth_),
    }[output]
    np.testing.assert_allclose(matrix, expressed(relative))
    np.testing.assert_allclose(model.transform(prompts[4:]), expressed(whole.values[4:, :4]))
    assert model.provenance_["origin"] == "empty"


def test_a_direction_has_no_relative_form():
    world, prompts = make_world(2)
    with pytest.raises(ValueError, match="output='kl', origin='empty': expected another output"):
        ConjureDistance(world, output="kl", origin="empty", memory=None).fit(prompts)


def test_an_origin_costs_one_prompt_more_and_is_kept(tmp_path):
    world, prompts = make_world(4)
    options = {"memory": tmp_path, **SMALL}
    ConjureDistance(world, **options).fit(prompts)
    model = ConjureDistance(world, origin="empty", **options).fit(prompts)
    assert model.n_evaluations_ == N_DRAWS * (N_STEPS * SUBSTEPS + 2 * 4 * N_STEPS)
    assert ConjureDistance(world, origin="empty", **options).fit(prompts).n_evaluations_ == 0
    cost = plan(prompts, model=world, origin="empty", **{**options, "memory": None})
    assert cost.n_prompts == 5
    assert cost.n_predictions == N_DRAWS * (5 * N_STEPS * SUBSTEPS + 5 * 4 * N_STEPS)


def test_a_prompt_that_says_nothing_is_refused_at_fit_and_transform():
    world, prompts = make_world(3)
    model = ConjureDistance(world, origin="empty", memory=None, **SMALL)
    with pytest.raises(ValueError, match="expected prompts that conjure something else"):
        model.fit([*prompts, ""])
    with pytest.raises(ValueError, match="expected prompts that conjure something else"):
        model.fit(prompts).transform([""])
