"""Models by name, folder or object; each failure says what came and what to do."""

import copy
import pickle
import time

import diffusers
import numpy as np
import pytest
import torch
from sklearn.base import clone

import pipelines
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.models.gaussian import GaussianDenoiser
from conjure_kernel.models.pretrained.load import load_denoiser, open_denoiser
from measured import IGNORED, A, jeffreys, measured

pytestmark = pytest.mark.filterwarnings(IGNORED)

NAMES = ["stable_diffusion", "stable_diffusion_xl", "stable_diffusion_3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    pipelines.stable_diffusion().save_pretrained(path)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_pipeline_measures_like_the_object(name, tmp_path):
    pipe = getattr(pipelines, name)()
    pipe.save_pretrained(tmp_path)
    from_object, from_folder = load_denoiser(pipe), load_denoiser(str(tmp_path))
    chain = ChainSettings(from_object.make_grid(3))
    (one,), (two,) = (d.trace([A], [0], chain) for d in (from_object, from_folder))
    # Not bit for bit: weights that lie elsewhere in memory are added up in another order.
    torch.testing.assert_close(one.x, two.x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one.eps, two.eps, rtol=1e-4, atol=1e-4)
    assert from_object.probe == pytest.approx(from_folder.probe, rel=1e-4)
    assert (from_folder.device.type, from_folder.dtype) == ("cpu", torch.float32)


def test_a_folder_without_a_text_encoder_is_opened_without_it(tmp_path):
    parts = pipelines.stable_diffusion_3().components
    parts |= {"text_encoder_3": None, "tokenizer_3": None}
    diffusers.StableDiffusion3Pipeline(**parts).save_pretrained(tmp_path)
    assert load_denoiser(tmp_path).pipeline.text_encoder_3 is None


def test_nothing_is_read_before_it_is_needed(folder, monkeypatch):
    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", None)
    denoiser = open_denoiser(folder)
    assert len(denoiser.fingerprint) == 32
    assert not hasattr(denoiser, "schedule")
    assert repr(denoiser) == f"PretrainedDenoiser({str(folder)!r})"


def test_loading_twice_reads_once():
    denoiser = measured("embedded")
    pipe = denoiser.pipeline
    assert denoiser.load().pipeline is pipe


def test_half_precision_gives_the_same_divergence_within_a_few_percent():
    half, full = load_denoiser("embedded", dtype="bfloat16"), measured("embedded")
    assert half.dtype == half.pipeline.unet.dtype == torch.bfloat16
    of_half, of_full = (
        jeffreys(d, "a red circle", "a blue square", ChainSettings(d.make_grid(8)), 1)
        for d in (half, full)
    )
    assert of_half.item() == pytest.approx(of_full.item(), rel=0.04)
    (trajectory,) = half.trace([A], [0], ChainSettings(half.make_grid(2)))
    assert trajectory.x.dtype == torch.bfloat16
    assert trajectory.eps.dtype == torch.float32
    assert half.decode(trajectory.x0).dtype == np.uint8


# ---------------------------------------------------------------- copies


def test_a_denoiser_by_name_travels_without_its_weights(folder):
    denoiser = load_denoiser(folder, height=32, width=32)
    luggage = pickle.dumps(denoiser)
    assert len(luggage) < 1000
    arrived = pickle.loads(luggage)
    assert arrived.calibration is None
    assert arrived.fingerprint == denoiser.fingerprint
    assert arrived.load().probe == denoiser.probe


def test_a_denoiser_around_an_object_does_not_travel():
    denoiser = measured("epsilon")
    with pytest.raises(TypeError, match=r"save_pretrained.*n_jobs=1"):
        pickle.dumps(denoiser)


def test_clones_share_the_weights():
    denoiser = measured("epsilon")
    assert clone(denoiser) is denoiser
    assert copy.deepcopy(denoiser) is denoiser


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("given", [{"device": "cpu"}, {"dtype": "float32"}])
@pytest.mark.parametrize("make", [pipelines.stable_diffusion, lambda: GaussianDenoiser([0.0, 1.0])])
def test_an_object_stays_where_and_as_it_is(make, given):
    with pytest.raises(ValueError, match=r"passed in stays .* leave them out"):
        load_denoiser(make(), **given)


def test_a_denoiser_is_taken_as_it_is():
    world = GaussianDenoiser([0.0, 1.0])
    assert load_denoiser(world) is world


@pytest.mark.parametrize("model", [3, None, ["embedded"]])
def test_a_model_of_the_wrong_kind(model):
    with pytest.raises(TypeError, match=f"expected 'embedded', .*got {type(model).__name__};"):
        load_denoiser(model)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"device": "abacus"}, "device='abacus': expected 'auto', 'cpu', 'cuda'"),
        ({"dtype": "int8"}, "dtype='int8': expected one of 'auto', 'float32', 'float16'"),
        ({"dtype": torch.float64}, "dtype=torch.float64: expected one of"),
        ({"dtype": None}, "dtype=None: expected one of"),
    ],
)
def test_a_wrong_device_or_dtype(given, message):
    with pytest.raises(ValueError, match=message):
        load_denoiser("embedded", **given)


@pytest.mark.parametrize(
    ("capabilities", "device", "dtype"),
    [
        ({}, "cpu", torch.float32),
        ({"avx512_bf16": True}, "cpu", torch.bfloat16),
        ({"amx_bf16": True}, "cpu", torch.bfloat16),
        ({"avx512_bf16": False, "avx2": True}, "cpu", torch.float32),
        ({"avx512_bf16": True}, "mps", torch.float32),
        ({"avx512_bf16": True}, "cuda", torch.float16),
    ],
)
def test_auto_is_the_fastest_precision_that_agrees(capabilities, device, dtype, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert open_denoiser("embedded", device=device).dtype == dtype
    assert open_denoiser("embedded", device=device, dtype="float32").dtype == torch.float32


def test_auto_without_anybody_to_ask(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert open_denoiser("embedded", device="cpu").dtype == torch.float32


def test_a_dtype_of_torch_is_as_good_as_its_name():
    assert open_denoiser("embedded", dtype=torch.bfloat16).dtype == torch.bfloat16


def test_a_folder_that_is_no_pipeline(tmp_path):
    with pytest.raises(OSError, match=rf"{tmp_path}.* has no model_index.json.*save_pretrained"):
        load_denoiser(tmp_path)


ADVICE = r"'nobody/nothing'.*not a folder.*mirror.*revision=.*token_env=.*save_pretrained"


@pytest.mark.parametrize("name", ["./gone", "/no/model", "../a/b", "lora.safetensors", "a/b/c"])
def test_a_path_with_nothing_there_is_no_name_of_the_hub(name, monkeypatch):
    monkeypatch.setattr(
        diffusers.DiffusionPipeline, "download", lambda *a, **k: pytest.fail("asked")
    )
    with pytest.raises(OSError, match=r"expected a folder or file that exists, got a path with"):
        load_denoiser(name)


def test_an_unknown_name_fails_soon_and_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    start = time.monotonic()
    with pytest.raises(OSError, match=ADVICE):
        load_denoiser("nobody/nothing")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("error", [OSError, ValueError, RuntimeError])
def test_whatever_the_hub_says_is_quoted_in_one_line(error, monkeypatch):
    def download(*args, **kwargs):
        raise error("404 gone\nRequest ID: ...")

    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", download)
    with pytest.raises(OSError, match=rf"{error.__name__}: 404 gone\)") as caught:
        load_denoiser("nobody/nothing")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, error)


def test_what_was_asked_for_reaches_the_hub(monkeypatch, folder):
    asked = {}

    def download(name, **kwargs):
        asked.update(kwargs, name=name)
        return str(folder)

    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", download)
    monkeypatch.setenv("MY_TOKEN", "secret")
    given = {"revision": "v1", "token_env": "MY_TOKEN"}
    denoiser = load_denoiser("nobody/nothing", **given)
    assert asked["name"] == "nobody/nothing"
    assert asked["revision"] == "v1"
    assert asked["token"] == "secret"
    assert asked["use_safetensors"] is True
    assert b"secret" not in pickle.dumps(denoiser)
    assert denoiser.fingerprint == open_denoiser(folder).fingerprint


def test_a_token_that_is_not_set(monkeypatch):
    monkeypatch.delenv("NO_TOKEN", raising=False)
    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", None)
    with pytest.raises(ValueError, match="token_env='NO_TOKEN': expected the name of"):
        load_denoiser("nobody/nothing", token_env="NO_TOKEN")
