"""Every path on a real card against the CPU: `python -m pytest -m gpu tests/gpu`, a few minutes."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import pipelines
from conjure_kernel import pairwise_divergence
from conjure_kernel.engine import batches
from conjure_kernel.models.pretrained.load import load_denoiser
from measured import IGNORED, A, B
from paths import PATHS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings(IGNORED, "ignore:.*lies at the last noise level"),
    pytest.mark.filterwarnings("ignore:n_draws=1", "ignore:1 of 1 pairs"),
]
# Of J between tiny random networks, which differ by rounding more than trained ones.
WITHIN = {torch.float32: 5e-3, torch.bfloat16: 0.3, torch.float16: 0.05}
RUN = {"n_steps": 4, "n_draws": 2, "memory": None, "check_steps": 0}


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(batches, "_FITTING", {})


@pytest.mark.parametrize("name", PATHS)
def test_a_path_gives_the_numbers_of_the_cpu(name):
    path = PATHS[name]
    expected = path.run(*path.models())
    found = path.run(*(pipe.to("cuda") for pipe in path.models()))
    # two laws of one world are no nats apart but for rounding, which is each device's own
    atol = 1e-4 * max(np.abs(expected).max(), 1e-6)
    np.testing.assert_allclose(found, expected, rtol=5e-3, atol=atol)


@pytest.mark.parametrize("dtype", WITHIN)
@pytest.mark.parametrize("kind", ["stable_diffusion", "stable_diffusion_3", "flux"])
def test_networks_of_three_kinds_in_three_dtypes(kind, dtype):
    make = getattr(pipelines, kind)
    expected = pairwise_divergence([A, B], model=make(), **RUN).values[0, 1]
    found = pairwise_divergence([A, B], model=make().to("cuda", dtype), **RUN).values[0, 1]
    assert found == pytest.approx(expected, rel=WITHIN[dtype])


def test_the_embedded_model_by_name():
    here, there = (
        pairwise_divergence(["a cat", "a bus"], device=d, dtype="float32", **RUN).values[0, 1]
        for d in ("cpu", "cuda")
    )
    assert there == pytest.approx(here, rel=5e-3)
    half = load_denoiser("embedded", device="cuda")
    assert half.dtype in (torch.float16, torch.bfloat16)


def test_offloaded_weights_give_the_same():
    pipe = pipelines.stable_diffusion()
    expected = pairwise_divergence([A, B], model=pipe, **RUN).values
    pipe.enable_model_cpu_offload()
    found = pairwise_divergence([A, B], model=pipe, **RUN).values
    np.testing.assert_allclose(found, expected, rtol=5e-3)
    assert pipe.unet.conv_in.weight.device.type == "cpu"  # given back


def test_memory_that_runs_out_halves_the_call_and_comes_back():
    pipe = pipelines.stable_diffusion().to("cuda")
    expected = pairwise_divergence([A, B], model=pipe, **RUN | {"n_draws": 64}).values
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 48e6) / total)
    try:
        call = RUN | {"n_draws": 64, "batch_size": 4096}
        found = pairwise_divergence([A, B], model=pipe, **call).values
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    np.testing.assert_allclose(found, expected, rtol=5e-3)
    torch.cuda.empty_cache()
    assert torch.cuda.memory_allocated() - before < 1e6


def test_two_workers_share_one_card(tmp_path):
    pipelines.stable_diffusion().save_pretrained(tmp_path)
    code = (
        "from conjure_kernel import pairwise_divergence as j\n"
        f"run = dict(model={str(tmp_path)!r}, memory=None, n_steps=4, n_draws=2, device='cuda', "
        "dtype='float32')\n"
        "p = ['a cat', 'a dog', 'a tree', 'the sea']\n"
        "if __name__ == '__main__':\n"
        "    one, two = (j(p, n_jobs=n, **run).values for n in (1, 2))\n"
        "    assert abs(one - two).max() < 1e-3 * one.max(), (one, two)\n"
    )
    script = tmp_path / "two.py"
    script.write_text(code)
    subprocess.run([sys.executable, str(script)], check=True, timeout=300)
