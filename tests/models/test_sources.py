"""Files of a model: folders, single files and adapters; what they are called in the cache."""

import diffusers
import pytest
import torch
from safetensors.torch import save_file

import pipelines
from conjure_kernel.models.pretrained.load import _pick_dtype, load_denoiser, open_denoiser
from conjure_kernel.models.pretrained.pipeline import PretrainedDenoiser
from conjure_kernel.models.pretrained.sources import find_source
from measured import IGNORED

pytestmark = pytest.mark.filterwarnings(IGNORED)
KINDS = {
    "cond_stage_model.transformer": "StableDiffusionPipeline",
    "conditioner.embedders.1.model": "StableDiffusionXLPipeline",
    "model.diffusion_model.joint_blocks.0": "StableDiffusion3Pipeline",
    "model.diffusion_model.double_blocks.0": "FluxPipeline",
}


def write(path, name="cond_stage_model.transformer", value=1.0, dtype=torch.float32):
    save_file({f"{name}.weight": torch.full((2,), value, dtype=dtype)}, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    pipelines.stable_diffusion().save_pretrained(path)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_a_single_file_is_opened_by_the_pipeline_of_its_weights(name, tmp_path, monkeypatch):
    file, seen = write(tmp_path / "model.safetensors", name), []

    def from_single_file(path, **options):
        seen.append((path, options))
        return pipelines.stable_diffusion()

    monkeypatch.setattr(getattr(diffusers, KINDS[name]), "from_single_file", from_single_file)
    assert load_denoiser(file, dtype="float32", device="cpu").shape == (4, 8, 8)
    assert seen == [(str(file), {"torch_dtype": torch.float32})]


def test_configs_of_a_single_file_name_its_pipeline_and_belong_to_its_name(
    folder, tmp_path, monkeypatch
):
    file, seen = write(tmp_path / "model.safetensors", "anything"), []

    def from_single_file(path, **options):
        seen.append(options["config"])
        return pipelines.stable_diffusion()

    monkeypatch.setattr(diffusers.StableDiffusionPipeline, "from_single_file", from_single_file)
    denoiser = load_denoiser(str(file), config=str(folder), device="cpu", dtype="float32")
    assert seen == [str(folder)]
    assert denoiser.fingerprint != open_denoiser(file).fingerprint
    other = write(tmp_path / "other.safetensors", "anything", value=2.0)
    assert len({open_denoiser(f).fingerprint for f in (file, other)}) == 2
    with pytest.raises(OSError, match=r"weights of a whole Stable Diffusion.*config="):
        load_denoiser(file)
    with pytest.raises(ValueError, match=r"config=.*only with a single .safetensors file"):
        open_denoiser(folder, config=str(folder))


def test_adapters_are_loaded_with_their_scales_and_change_the_name(folder, tmp_path, monkeypatch):
    files = [write(tmp_path / f"{n}.safetensors", value=n) for n in (1, 2)]
    calls = []
    kind = diffusers.StableDiffusionPipeline
    monkeypatch.setattr(kind, "load_lora_weights", lambda self, *a, **k: calls.append((a, k)))
    monkeypatch.setattr(kind, "set_adapters", lambda self, *a: calls.append(a))
    plain = open_denoiser(folder).fingerprint
    both = {files[0]: 1.0, str(files[1]): 0.5}
    denoiser = load_denoiser(folder, adapters=both, device="cpu", dtype="float32")
    where = (str(tmp_path),)
    assert calls == [
        (where, {"weight_name": "1.safetensors", "adapter_name": "adapter_0"}),
        (where, {"weight_name": "2.safetensors", "adapter_name": "adapter_1"}),
        (["adapter_0", "adapter_1"], [1.0, 0.5]),
    ]
    others = [{files[0]: 1.0}, {files[0]: 0.5}, {files[1]: 1.0}]
    names = [open_denoiser(folder, adapters=a).fingerprint for a in others]
    assert len({plain, denoiser.fingerprint, *names}) == 5
    backwards = dict(reversed(both.items()))
    assert open_denoiser(folder, adapters=backwards).fingerprint == denoiser.fingerprint
    with pytest.raises(OSError, match=r"adapters: .*nowhere.* is no file"):
        open_denoiser(folder, adapters={tmp_path / "nowhere": 1.0})
    with pytest.raises(ValueError, match=r"expected the defaults.*load its adapters"):
        open_denoiser(pipelines.stable_diffusion(), adapters=both)


def test_an_adapter_that_does_not_fit_is_named(folder, tmp_path):
    file = write(tmp_path / "lora.safetensors")
    with pytest.raises((ImportError, ValueError), match=r"adapters: .*lora.*package peft"):
        load_denoiser(folder, adapters={file: 1.0}, device="cpu", dtype="float32")


def test_weights_published_in_bfloat16_run_in_it_on_a_gpu(tmp_path):
    gpu = torch.device("cuda")
    for dtype, expected in ((torch.bfloat16, torch.bfloat16), (torch.float32, torch.float16)):
        pipe = pipelines.stable_diffusion_3().to(dtype)
        pipe.save_pretrained(tmp_path / str(dtype))
        source = find_source(str(tmp_path / str(dtype)))
        assert _pick_dtype("auto", gpu, source) == expected
        assert _pick_dtype("float32", gpu, source) == torch.float32


def test_a_model_that_overflows_in_float16_is_opened_in_bfloat16():
    opened = []

    def read(dtype):
        pipe = pipelines.stable_diffusion()
        if dtype == torch.float16:
            pipe.unet.conv_in.weight.data.fill_(torch.inf)
        opened.append(dtype)
        return pipe.to(dtype)

    given = {"name": "m", "fingerprint": lambda: "0", "dtype": torch.float16, "call_kwargs": {}}
    denoiser = PretrainedDenoiser(read, **given, spare_dtype=torch.bfloat16).load()
    assert opened == [torch.float16, torch.bfloat16]
    assert denoiser.dtype == denoiser.pipeline.unet.dtype == torch.bfloat16
    with pytest.raises(FloatingPointError, match="bfloat16"):
        PretrainedDenoiser(read, **given).load()
