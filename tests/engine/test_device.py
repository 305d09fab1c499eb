"""Every path on a device that is not the CPU: nothing mixes, and the numbers are the CPU's.

The device is simulated (see simulated.py), so that this runs where there is none; tests/gpu holds
a real one to the same.
"""

import numpy as np
import pytest
import torch

import simulated
from conjure_kernel import pairwise_divergence
from conjure_kernel.engine import batches
from conjure_kernel.models.pretrained.load import load_denoiser
from measured import IGNORED, A, B
from paths import PATHS, matrix

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(IGNORED, "ignore:.*lies at the last noise level"),
    pytest.mark.filterwarnings("ignore:n_draws=1", "ignore:1 of 1 pairs"),
    pytest.mark.skipif(
        not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"),
        reason="this torch has no backend in Python",
    ),
]


@pytest.fixture
def device():
    simulated.register()
    return simulated.Device()


@pytest.mark.parametrize(
    "change",
    [
        lambda here, there: here + there,
        lambda here, there: torch.cat([here, there]),
        lambda here, there: there.numpy(),
        lambda here, there: torch.randn(2, device="sim", generator=torch.Generator()),
    ],
)
def test_the_simulated_device_has_the_rules_of_a_real_one(device, change):
    with device:
        here, there = torch.ones(2), torch.ones(2).to("sim")
        assert there.device == torch.device("sim", 0)
        assert torch.equal((2 * there).cpu(), 2 * here)
        with pytest.raises((RuntimeError, TypeError)):
            change(here, there)


@pytest.mark.parametrize("name", PATHS)
def test_a_path_gives_the_numbers_of_the_cpu(name, device):
    path = PATHS[name]
    here, there = path.models(), [simulated.to_device(pipe) for pipe in path.models()]
    expected = path.run(*here)
    with device:
        found = path.run(*there)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-5 * np.abs(expected).max())


def test_a_call_that_does_not_fit_is_halved_there(device, monkeypatch):
    pipe = simulated.to_device(PATHS["a matrix"].models()[0])
    monkeypatch.setattr(batches, "_FITTING", {})
    run = {"memory": None, "n_steps": 2, "n_draws": 4}
    with device:
        denoiser = load_denoiser(pipe)
        assert denoiser.device.type == "sim"
        expected = pairwise_divergence([A, B], model=denoiser, **run).values
        kind, refused = type(pipe.unet), []
        forward = kind.forward

        def small(self, sample, *args, **kwargs):
            if len(sample) > 2:
                refused.append(len(sample))
                raise torch.OutOfMemoryError("out of memory")
            return forward(self, sample, *args, **kwargs)

        monkeypatch.setattr(kind, "forward", small)
        found = pairwise_divergence([A, B], model=denoiser, **run).values
    assert refused
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_offloaded_weights_come_and_go_there(device):
    expected = PATHS["a matrix"].run(*PATHS["a matrix"].models())
    (pipe,) = PATHS["a matrix"].models()
    with device:
        pipe.enable_model_cpu_offload(device=torch.device("sim", 0))
        denoiser = load_denoiser(pipe)
        assert denoiser.device.type == "sim"
        found = PATHS["a matrix"].run(denoiser)
        homes = {weight.device.type for weight in pipe.unet.parameters()}
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert homes == {"cpu"}  # given back


def test_several_workers_measure_there(device):
    path = PATHS["a matrix"]
    expected = path.run(*path.models())
    with device:
        denoiser = load_denoiser(simulated.to_device(path.models()[0]))
        denoiser._reopen, denoiser.travels = (simulated.reopen, ("a matrix", {})), True
        found = matrix(denoiser, n_jobs=2)
        assert denoiser.device.type == "sim"
    np.testing.assert_allclose(found, expected, rtol=1e-5)
