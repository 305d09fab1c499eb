"""Whatever changes a prediction changes the fingerprint; whatever does not, does not."""

import copy
import json
import shutil

import accelerate
import diffusers
import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPConfig

import pipelines
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.models.pretrained.fingerprint import fingerprint_pipeline
from conjure_kernel.models.pretrained.load import load_denoiser, open_denoiser
from measured import IGNORED, A

pytestmark = pytest.mark.filterwarnings(IGNORED)

NAMES = ["stable_diffusion", "stable_diffusion_xl", "stable_diffusion_3", "flux"]


def fingerprint(pipe, **call):
    return open_denoiser(pipe, **call).fingerprint


@pytest.fixture(scope="module")
def plain():
    return fingerprint(pipelines.stable_diffusion())


@pytest.mark.parametrize("name", NAMES)
def test_the_same_pipeline_again_has_the_same_fingerprint(name, tmp_path):
    pipe = getattr(pipelines, name)()
    pipe.save_pretrained(tmp_path)
    others = [getattr(pipelines, name)(), diffusers.DiffusionPipeline.from_pretrained(tmp_path)]
    if name == "flux":  # an attribute that no file has
        others[1].default_sample_size = pipelines.SIDE
    assert {fingerprint(other) for other in others} == {fingerprint(pipe)}


@pytest.mark.parametrize("name", NAMES)
def test_a_fingerprint_does_not_change_with_use(name):
    pipe = getattr(pipelines, name)()
    plain = fingerprint_pipeline(pipe)
    denoiser = load_denoiser(pipe)
    denoiser.trace([A], [0], ChainSettings(denoiser.make_grid(2)))
    pipe.tokenizer(A, truncation=True, max_length=3, padding="max_length")
    assert fingerprint_pipeline(pipe) == plain


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.fuse_qkv_projections(),
        lambda p: (p.fuse_qkv_projections(), p.unfuse_qkv_projections()),
        lambda p: (p.enable_freeu(0.9, 0.2, 1.5, 1.6), p.disable_freeu()),
        lambda p: p.enable_attention_slicing(1),
        lambda p: p.unet.set_attn_processor(AttnProcessor()),
        lambda p: p.register_modules(unet=torch.compile(p.unet, backend="eager")),
        lambda p: p.unet.compile(backend="eager"),
        lambda p: (p.vae.enable_slicing(), p.vae.enable_tiling()),
        lambda p: p.unet.to(memory_format=torch.channels_last),
        lambda p: p.unet.enable_gradient_checkpointing(),
    ],
)
def test_what_computes_the_same_has_the_same_name(change):
    pipe = pipelines.stable_diffusion()
    change(pipe)
    assert fingerprint_pipeline(pipe) == fingerprint_pipeline(pipelines.stable_diffusion())


def test_a_checker_of_pictures_is_no_part_of_the_name(plain):
    pipe = pipelines.stable_diffusion()
    pipe.register_modules(safety_checker=StableDiffusionSafetyChecker(CLIPConfig()))
    assert fingerprint(pipe) == plain
    pipe.safety_checker = None
    assert fingerprint(pipe) == plain


@pytest.mark.parametrize("component", ["unet", "text_encoder", "vae"])
def test_one_changed_weight_is_seen(component, plain):
    pipe = pipelines.stable_diffusion()
    weight = list(getattr(pipe, component).parameters())[-1]
    weight.data.flatten()[-1] += 1e-6
    assert fingerprint(pipe) != plain


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_another_dtype_is_seen(dtype, plain):
    assert fingerprint(pipelines.stable_diffusion().to(dtype)) != plain


@pytest.mark.parametrize(
    "scheduler", [{"prediction_type": "v_prediction"}, {"beta_end": 0.013}], ids=str
)
def test_another_noise_schedule_is_seen(scheduler, plain):
    assert fingerprint(pipelines.stable_diffusion(**scheduler)) != plain


def change_limit(tokenizer):
    tokenizer.model_max_length = 8


def change_padding(tokenizer):
    tokenizer.pad_token = "!"


def change_merges(tokenizer):
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    rules["model"]["merges"].pop()
    tokenizer._tokenizer = type(tokenizer.backend_tokenizer).from_str(json.dumps(rules))


def add_a_word(tokenizer):
    tokenizer.add_tokens(["umbrella"])


@pytest.mark.parametrize("change", [change_limit, change_padding, change_merges, add_a_word])
def test_another_tokenizer_is_seen(change, plain):
    pipe = pipelines.stable_diffusion()
    change(pipe.tokenizer)
    assert fingerprint(pipe) != plain


def test_a_setting_of_the_pipeline_itself_is_seen():
    pipes = [pipelines.stable_diffusion_xl() for _ in range(2)]
    pipes[1].register_to_config(force_zeros_for_empty_prompt=False)
    assert fingerprint(pipes[0]) != fingerprint(pipes[1])


class Adapted(torch.nn.Linear):
    """What peft puts in a layer's place, as far as it concerns a fingerprint."""

    active_adapters, disable_adapters, merged_adapters = ("one",), False, ()


@pytest.mark.parametrize(
    "change",
    [
        {"scaling": {"one": 0.5}},
        {"active_adapters": ()},
        {"disable_adapters": True},
        {"merged_adapters": ("one",)},
    ],
    ids=str,
)
def test_an_adapters_scale_and_switches_are_seen(change):
    pipes = [pipelines.stable_diffusion() for _ in range(3)]
    for pipe in pipes:
        layer = pipe.unet.time_embedding.linear_1
        layer.__class__, layer.scaling = Adapted, {"one": 1.0}
    for name, value in change.items():
        setattr(pipes[2].unet.time_embedding.linear_1, name, value)
    same, again, other = map(fingerprint, pipes)
    assert same == again != other


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"height": 64}, {"height": 32}),
        ({"negative_prompt": "blur"}, {}),
        # Content counts, not the abbreviated text or the address that repr would give.
        ({"prompt_embeds": torch.zeros(2000)}, {"prompt_embeds": torch.eye(2000)[1000]}),
        ({"mask": np.zeros(2000)}, {"mask": np.eye(2000)[1000]}),
        ({"image": Image.new("RGB", (9, 9))}, {"image": Image.new("RGB", (9, 9), "red")}),
    ],
    ids=lambda call: next(iter(call), "none"),
)
def test_other_call_arguments_are_seen(one, two):
    pipe = pipelines.stable_diffusion()
    assert fingerprint(pipe, **one) == fingerprint(pipe, **copy.deepcopy(one))
    assert fingerprint(pipe, **one) != fingerprint(pipe, **two)


def test_offload_is_irrelevant(plain):
    pipe = pipelines.stable_diffusion()
    accelerate.cpu_offload(pipe.unet, execution_device="cpu")  # the weights go to "meta"
    assert pipe.unet.conv_in.weight.is_meta
    assert fingerprint(pipe) == plain
    changed = pipelines.stable_diffusion()
    changed.unet.conv_in.weight.data[0] += 1
    accelerate.cpu_offload(changed.unet, execution_device="cpu")
    assert fingerprint(changed) != plain


# ---------------------------------------------------------------- folders


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    pipelines.stable_diffusion().save_pretrained(path)
    return path


def test_a_folder_is_known_by_its_bytes_wherever_it_lies(folder, tmp_path):
    first, second = tmp_path / "elsewhere", tmp_path / "changed"
    shutil.copytree(folder, first)
    shutil.copytree(folder, second)
    (first / ".cache").mkdir()
    (first / ".cache" / "lock").touch()
    weights = second / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    found = fingerprint(str(folder))
    assert fingerprint(first) == found
    assert fingerprint(second) != found
    content[-1] ^= 1
    weights.write_bytes(content)
    assert fingerprint(second) == found
    weights.rename(weights.with_stem("renamed"))
    assert fingerprint(second) != found


def test_a_folders_call_arguments_are_seen(folder):
    assert fingerprint(folder, height=32) != fingerprint(folder)
