"""Our reverse chain against diffusers' own schedulers: same pipeline, same levels, same noise.

The oracle runs the pipeline as its authors do and keeps the state after every step; the chain runs
through our instrument. Only the arithmetic of the steps differs.
"""

import diffusers
import numpy as np
import pytest
import torch

import pipelines
from conjure_kernel.method import reverse
from conjure_kernel.method.grid import make_grid
from conjure_kernel.method.reverse import SAMPLERS, ChainSettings, Sampler, standard_normal
from conjure_kernel.models.pretrained.load import load_denoiser
from measured import IGNORED, A

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(IGNORED)]

N_STEPS = 10
SOLVERS = {  # ours: diffusers' (algorithm_type, solver_order)
    "ode1": ("dpmsolver++", 1),
    "ode": ("dpmsolver++", 2),
    "sde1": ("sde-dpmsolver++", 1),
    "sde": ("sde-dpmsolver++", 2),
}
SOLVER = {"solver_type": "heun", "lower_order_final": False, "final_sigmas_type": "zero"}


@pytest.fixture
def bare_steps(monkeypatch):
    """Steps as the solvers' authors publish them: without what ours add under guidance."""
    monkeypatch.setattr(reverse, "STIFFNESS", 0.0)
    monkeypatch.setitem(SAMPLERS, "sde", Sampler(stochastic=True, order=2))  # uncorrected


class Fed(diffusers.DPMSolverMultistepScheduler):
    """Draws nothing: its noise is handed to it."""

    def step(self, *args, **kwargs):
        return super().step(*args, variance_noise=self.noise[self.step_index or 0], **kwargs)


def noise_of(denoiser, step):
    return standard_normal(denoiser.shape, seed=0, prompt=A, draw=0, step=step)[None]


def run_ours(denoiser, grid, sampler, w=1.0):
    """Return the states at every level and the clean prediction at the last, (T + 1, ...)."""
    (trajectory,) = denoiser.trace([A], [0], ChainSettings(grid, sampler, guidance_scale=w))
    return torch.cat([trajectory.x[0], trajectory.x0])


def run_theirs(denoiser, scheduler, grid, w=1.0, **levels):
    """Return the same from the pipeline's own loop, whose last step jumps to the clean image."""
    states = [float(np.hypot(grid.alpha[0], grid.sigma[0])) * noise_of(denoiser, -1)]

    def keep(pipe, index, time, tensors):
        states.append(tensors["latents"])
        return {}

    call = {"guidance_scale": w, "output_type": "latent", "callback_on_step_end": keep} | levels
    pipe = denoiser.pipeline
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = scheduler
    pipe(A, num_inference_steps=N_STEPS, latents=states[0], **call)
    assert scheduler.timesteps.tolist() == pytest.approx(grid.times.tolist(), rel=1e-6)
    return torch.cat(states)


@pytest.mark.parametrize("w", [1.0, 3.0])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_the_first_order_ode_is_ddim(prediction_type, w, bare_steps):
    denoiser = load_denoiser(pipelines.stable_diffusion(prediction_type, set_alpha_to_one=True))
    grid = make_grid(
        denoiser.schedule,
        N_STEPS,
        nodes="timesteps",
        snap=lambda times: 1 + 100 * np.floor(times / 100),  # 901, 801, ..., 1
    )
    theirs = run_theirs(denoiser, denoiser.pipeline.scheduler, grid, w)
    torch.testing.assert_close(run_ours(denoiser, grid, "ode1", w), theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", SOLVERS)
@pytest.mark.parametrize(("prediction_type", "w"), [("epsilon", 1.0), ("v_prediction", 3.0)])
def test_every_sampler_is_its_multistep_solver(sampler, prediction_type, w, bare_steps):
    denoiser = load_denoiser(pipelines.stable_diffusion(prediction_type))
    grid = make_grid(denoiser.schedule, N_STEPS, snap=np.round)
    algorithm, order = SOLVERS[sampler]
    scheduler = Fed.from_config(
        denoiser.pipeline.scheduler.config, algorithm_type=algorithm, solver_order=order, **SOLVER
    )
    scheduler.noise = [noise_of(denoiser, step) for step in range(N_STEPS)]
    theirs = run_theirs(denoiser, scheduler, grid, w, timesteps=grid.times.astype(int).tolist())
    ours = {name: run_ours(denoiser, grid, name, w) for name in SOLVERS}
    torch.testing.assert_close(ours.pop(sampler), theirs, rtol=1e-4, atol=1e-4)
    for other in ours.values():
        assert (other - theirs).norm() > 1e-2 * theirs.norm()


@pytest.mark.parametrize("name", ["stable_diffusion_3", "flux"])
def test_the_first_order_ode_is_the_euler_step_of_flow_matching(name):
    plain = {"use_dynamic_shifting": False} if name == "flux" else {}
    denoiser = load_denoiser(getattr(pipelines, name)(shift=1.0, **plain))
    grid = denoiser.make_grid(N_STEPS)
    theirs = run_theirs(
        denoiser, denoiser.pipeline.scheduler, grid, sigmas=grid.sigma.astype(np.float32).tolist()
    )
    torch.testing.assert_close(run_ours(denoiser, grid, "ode1"), theirs, rtol=1e-4, atol=1e-4)
    assert (run_ours(denoiser, grid, "ode") - theirs).norm() > 1e-2 * theirs.norm()
