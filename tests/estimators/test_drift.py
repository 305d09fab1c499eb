"""ConjureDrift: J between two models under one prompt, held to worlds with exact answers."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import pipelines
from conjure_kernel import ConjureDrift, GaussianDenoiser, load_denoiser
from conjure_kernel.method.schedule import FlowMatching, VariancePreserving
from conjure_kernel.models.group import ModelGroup
from conjure_kernel.models.pretrained import load as load_module
from pipelines import recent
from worlds import SMALL, make_world

RANGE = (-6.0, 6.0)
SHORT = {"n_steps": 2, "n_draws": 2, "memory": None, "check_steps": 0}
FINE = {"n_steps": 20, "n_draws": 200, "memory": None, "log_snr_range": RANGE}
BASE = {"": [0.3, -0.2], "a dog": [0.7, 0.0], "a cat": [-0.4, 1.0]}
TUNED = {"": [0.0, 0.5], "a dog": [0.2, 0.4], "a cat": [-0.4, 1.0]}
SCHEDULES = {
    "the same": VariancePreserving.log_linear(),
    "scaled linear": VariancePreserving.scaled_linear(end=0.02),
    "flow": FlowMatching(),
}


def exact(mean_a, mean_b, variance_a=1.0, variance_b=1.0):
    joint = GaussianDenoiser({"a": mean_a, "b": mean_b}, {"a": variance_a, "b": variance_b})
    return joint.exact("a", "b", RANGE)


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("sampler", ["sde", "ode"])
def test_two_worlds_have_their_exact_divergence(schedule, sampler):
    variances = {"": 1.0, "a dog": 0.5, "a cat": 2.0}
    base = GaussianDenoiser(BASE, variances)
    tuned = GaussianDenoiser(TUNED, 1.0, schedule=schedule, prediction="v_prediction")
    drift = ConjureDrift(base, tuned, sampler=sampler, **FINE).fit(["a dog", "a cat"])
    for i, prompt in enumerate(drift.prompts_):
        truth = exact(BASE[prompt], TUNED[prompt], variances[prompt])
        forward, backward = (leg[i] for leg in drift.measured_.legs)
        error = drift.standard_errors_[i]
        assert error < 0.06 * truth.jeffreys
        assert abs(drift.divergences_[i] - truth.jeffreys) < 4 * error + 0.01 * truth.jeffreys
        assert forward == pytest.approx(truth.kl_ab, rel=0.15)
        assert backward == pytest.approx(truth.kl_ba, rel=0.15)
    assert abs(truth.kl_ab / truth.kl_ba - 1) > 0.3  # so that swapped legs would be seen


def test_the_noise_of_both_models_is_independent():
    # Standard errors add the variances of both legs: right only if their draws are uncorrelated.
    rng = np.random.default_rng(0)
    prompts = [f"p{i}" for i in range(8)]
    near = [dict(zip(prompts, rng.normal(size=(8, 2)), strict=True)) for _ in range(2)]
    worlds = [GaussianDenoiser(means, v) for means, v in zip(near, (0.5, 2.0), strict=True)]
    options = {"n_steps": 4, "n_draws": 60, "check_steps": 0, "memory": None}
    drift = ConjureDrift(*worlds, **options).fit(prompts)
    weights = drift.measured_.grid.weights()
    forward, backward = drift.measured_.forward @ weights, drift.measured_.backward @ weights
    shared = [np.corrcoef(a, b)[0, 1] for a, b in zip(forward, backward, strict=True)]
    assert abs(np.mean(shared)) < 0.15


def test_guidance_does_not_cancel_between_models():
    # Of worlds that share one covariance guided predictions are those of the guided mean.
    w, prompt = 3.0, "a dog"
    drift = ConjureDrift(GaussianDenoiser(BASE), GaussianDenoiser(TUNED), guidance_scale=w, **FINE)
    found = drift.fit([prompt]).divergences_[0]
    guided = [
        np.array(world[""]) + w * (np.array(world[prompt]) - world[""]) for world in (BASE, TUNED)
    ]
    truth = exact(*guided).jeffreys
    assert found == pytest.approx(truth, rel=0.005)
    assert abs(w**2 * exact(BASE[prompt], TUNED[prompt]).jeffreys / truth - 1) > 0.2


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_a_model_has_not_drifted_from_itself(guidance_scale):
    world, prompts = make_world()
    other, _ = make_world()
    for twin in (world, other):
        options = {**SMALL, "guidance_scale": guidance_scale, "memory": None}
        drift = ConjureDrift(world, twin, **options).fit(prompts)
        assert (drift.divergences_ == 0).all()
        assert (drift.standard_errors_ == 0).all()


@pytest.mark.filterwarnings("ignore:the models compute in")
def test_the_embedded_model_has_not_drifted_from_itself_but_in_another_dtype_a_little():
    model, half = (load_denoiser("embedded", dtype=d) for d in ("float32", "bfloat16"))
    prompts = ["strawberry", "a bus"]
    warnings.filterwarnings("ignore", message=".*at the last noise level")
    options = {"n_steps": 4, "n_draws": 2, "check_steps": 0, "memory": None}
    same = ConjureDrift(model, model, **options).fit(prompts)
    rounded = ConjureDrift(model, half, **options).fit(prompts)
    assert (same.divergences_ < 1e-5).all()
    assert (rounded.divergences_ > 1e-4).all()
    assert (rounded.divergences_ < 0.2).all()


def test_cost_is_what_was_announced_and_a_cache_spares_it(tmp_path):
    worlds = [make_world(seed=seed)[0] for seed in (0, 1)]
    prompts = make_world()[1]
    for w in (1.0, 2.0):
        drift = ConjureDrift(*worlds, guidance_scale=w, memory=tmp_path, **SMALL)
        before = sum(world.rows for world in worlds)
        drift.fit(prompts)
        branches = 1 if w == 1 else 2
        expected = branches * 2 * len(prompts) * 3 * (4 * 2 + 4)  # chains and replays of 3 draws
        assert drift.n_evaluations_ == expected
        assert sum(world.rows for world in worlds) - before == expected
        again = ConjureDrift(*worlds, guidance_scale=w, memory=tmp_path, **SMALL).fit(prompts)
        assert again.n_evaluations_ == 0
        assert np.array_equal(again.divergences_, drift.divergences_)


def test_batches_do_not_change_it():
    worlds = [make_world(seed=seed)[0] for seed in (0, 1)]
    prompts = make_world()[1]
    one, many = (
        ConjureDrift(*worlds, batch_size=size, memory=None, **SMALL).fit(prompts)
        for size in (1, 64)
    )
    assert np.allclose(one.divergences_, many.divergences_, rtol=1e-12)


# ---------------------------------------------------------------- what it returns


def test_the_table_is_ranked():
    worlds = [make_world(seed=seed)[0] for seed in (0, 1)]
    prompts = make_world()[1]
    drift = ConjureDrift(*worlds, memory=None, **SMALL).fit([*prompts, prompts[0]])
    table = drift.to_pandas()
    columns = ["prompt", "divergence", "standard_error", "low", "high", "kl_ab", "kl_ba"]
    assert list(table.columns) == columns
    assert list(table["divergence"]) == sorted(drift.divergences_, reverse=True)
    value = dict(zip(drift.prompts_, drift.divergences_, strict=True))
    assert all(value[p] == j for p, j in zip(table["prompt"], table["divergence"], strict=True))
    assert len(table) == 7
    assert drift.divergences_[0] == drift.divergences_[-1]
    assert not drift.truncated_.any()


def test_pictures_of_both_start_from_the_same_noise():
    world, prompts = make_world()
    twin, _ = make_world()
    other, _ = make_world(seed=1)
    for model, alike in ((twin, True), (other, False)):
        drift = ConjureDrift(world, model, memory=None, **SMALL).fit(prompts[:2])
        images = drift.conjure_images(n=3)
        assert images.shape == (2, 2, 3, 8, 8, 3)
        assert np.array_equal(images[0], images[1]) == alike


# ---------------------------------------------------------------- sound


@pytest.fixture(scope="module")
def sounds():
    """Stable Audio, the same anew, with a shifted network, and with another autoencoder."""
    warnings.filterwarnings("ignore", ".*weight_norm", FutureWarning)  # its autoencoder's parts
    models = {name: recent.stable_audio() for name in ("base", "same", "tuned", "other")}
    with torch.no_grad():
        models["tuned"].transformer.proj_out.weight.mul_(1.1)
    models["other"].vae = recent.stable_audio(seed=1).vae
    return models


SOUND = {"n_steps": 2, "n_draws": 2, "check_steps": 0, "memory": None}
# torchsde, whose end of the interval is off by a rounding
of_sound = pytest.mark.filterwarnings("ignore:Should have t.[<>]=t")


@of_sound
@pytest.mark.filterwarnings("ignore:.*at the last noise level")
def test_models_of_sound_are_compared_but_have_no_pictures(sounds):
    prompts = ["a photo of a cat", "two red boats"]
    same = ConjureDrift(sounds["base"], sounds["same"], **SOUND).fit(prompts)
    assert (same.divergences_ == 0).all()
    drift = ConjureDrift(sounds["base"], sounds["tuned"], **SOUND).fit(prompts)
    assert (drift.divergences_ > 3 * drift.standard_errors_).all()
    assert len(drift.ranking().rows) == 2
    with pytest.raises(ValueError, match=r"StableAudioPipeline.*makes no pictures"):
        drift.conjure_images()


@of_sound
def test_other_autoencoders_of_sound_are_refused(sounds):
    with pytest.raises(ValueError, match=r"different pictures or sounds.*different autoencoders"):
        ConjureDrift(sounds["base"], sounds["other"], **SOUND).fit(["a photo of a cat"])


def test_what_decodes_to_no_number_is_refused():
    class Broken(GaussianDenoiser):
        def render(self, x0):
            return np.full((1, 8, 8, 3), np.nan)

    with pytest.raises(ValueError, match="apart by nan"):
        ConjureDrift(GaussianDenoiser(BASE), Broken(TUNED), memory=None).fit(["a dog"])


# ---------------------------------------------------------------- refusals


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"are \(2,\), those of .* \(3,\)"):
        ConjureDrift(GaussianDenoiser(BASE), make_world()[0], memory=None).fit(["a dog"])


class OtherPictures(GaussianDenoiser):
    def decode(self, x0):
        return 255 - super().decode(x0)


def test_other_autoencoders_are_refused():
    with pytest.raises(ValueError, match="different autoencoders"):
        ConjureDrift(GaussianDenoiser(BASE), OtherPictures(TUNED), memory=None).fit(["a dog"])


def test_ranges_that_do_not_overlap_are_refused():
    narrow = VariancePreserving.log_linear(-8.0, -2.0), VariancePreserving.log_linear(0.0, 8.0)
    worlds = [GaussianDenoiser(BASE, schedule=schedule) for schedule in narrow]
    with pytest.raises(ValueError, match="do not overlap"):
        ConjureDrift(*worlds, memory=None).fit(["a dog"])
    wide = GaussianDenoiser(TUNED)
    warnings.filterwarnings("ignore", message=".*at the last noise level")
    found = ConjureDrift(worlds[0], wide, memory=None).fit(["a dog"])
    assert found.measured_.grid.log_snr_range == pytest.approx((-8.0, -2.0))


class Coarse(GaussianDenoiser):
    def snap(self, times):
        return np.round(times / 2) * 2


def test_levels_that_cannot_meet_are_reported():
    schedule = VariancePreserving.scaled_linear()
    with pytest.warns(UserWarning, match="levels differ by up to 0.0"):
        ConjureDrift(
            GaussianDenoiser(BASE), Coarse(TUNED, schedule=schedule), memory=None, n_steps=4
        ).fit(["a dog"])


# ---------------------------------------------------------------- scikit-learn


def test_clones_share_the_models_and_pickles_leave_pipelines_behind():
    world, other = make_world()[0], pipelines.stable_diffusion()
    drift = ConjureDrift(world, other, n_draws=2)
    twin = clone(drift)
    assert twin.model_a is world
    assert twin.model_b is other
    assert twin.get_params() == drift.get_params()
    back = pickle.loads(pickle.dumps(drift))
    assert "left behind" in repr(back.model_b)
    with pytest.raises(ValueError, match="left behind"):
        back.fit(["a dog"])
    with pytest.raises(NotFittedError):
        twin.to_pandas()


# ---------------------------------------------------------------- the same model


@pytest.fixture
def saved(tmp_path):
    pipe = pipelines.stable_diffusion()
    pipe.save_pretrained(tmp_path)
    return pipe, str(tmp_path)


def test_a_model_has_not_drifted_from_its_own_folder(saved, monkeypatch):
    pipe, folder = saved
    monkeypatch.setattr(load_module, "has_bfloat16", lambda: True)
    for pair in ((pipe, folder), (folder, pipe)):
        drift = ConjureDrift(*pair, **SHORT).fit(["a dog", "a cat"])
        assert drift.divergences_.max() < 1e-6
    half = pipelines.stable_diffusion().to(torch.bfloat16)
    with pytest.warns(UserWarning, match="compute in torch.float32 and torch.bfloat16"):
        assert ConjureDrift(pipe, half, **SHORT).fit(["a dog"]).divergences_.max() > 1e-6


def test_two_pipelines_of_the_same_modules_are_refused(saved):
    pipe, _ = saved
    shared = type(pipe).from_pipe(pipe)
    assert shared.unet is pipe.unet
    with pytest.raises(ValueError, match=r"share their modules.*from_pretrained"):
        ConjureDrift(pipe, shared, **SHORT).fit(["a dog"])
    assert ConjureDrift(pipe, pipe, **SHORT).fit(["a dog"]).divergences_.max() < 1e-6


def test_a_flow_and_another_law_meet_on_another_device():
    pair = ModelGroup(
        GaussianDenoiser(BASE, 1.0), GaussianDenoiser(TUNED, 1.0, schedule=FlowMatching())
    )
    pair.load()
    grid = pair.make_grid(3, log_snr_range=RANGE)
    x = torch.empty(3, 2, 2, device="meta")
    assert pair._handed_over(x, x.dtype, pair.models[1], grid).device.type == "meta"


def test_what_the_encoders_cut_is_told_once_by_its_own_name(saved):
    pipe, folder = saved
    long = "a very long red car " * 10
    with pytest.warns(UserWarning, match=r"1 of 2 prompts are longer.*'a very long red car"):
        ConjureDrift(pipe, folder, **SHORT).fit(["a dog", long])
