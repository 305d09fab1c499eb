"""Dialects proved on exact pipelines; the user's pipeline left as it was found."""

import copy
import threading

import diffusers
import numpy as np
import pytest
import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

import pipelines
from conjure_kernel.method.grid import make_grid
from conjure_kernel.method.prediction import from_eps
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.method.schedule import FlowMatching, VariancePreserving
from conjure_kernel.models.gaussian import GaussianDenoiser
from conjure_kernel.models.pretrained import instrument
from conjure_kernel.models.pretrained.dialect import read_dialect
from conjure_kernel.models.pretrained.instrument import make_instrument, quiet
from conjure_kernel.models.pretrained.load import load_denoiser
from measured import IGNORED, A, B, jeffreys, network

pytestmark = pytest.mark.filterwarnings(IGNORED)

# ---------------------------------------------------------------- dialects

RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=16)
WORLDS = {
    "wide and narrow": {A: (MEAN, np.full(16, 0.3)), B: (MEAN, np.full(16, 1.2))},
    "moved and stretched": {
        A: (MEAN, RNG.uniform(0.2, 2, 16)),
        B: (MEAN + RNG.normal(size=16) / 4, RNG.uniform(0.2, 2, 16)),
    },
}
DIALECTS = {
    "epsilon": pipelines.gaussian_stable_diffusion,
    "v_prediction": lambda w: pipelines.gaussian_stable_diffusion(w, "v_prediction"),
    "sample": lambda w: pipelines.gaussian_stable_diffusion(w, "sample"),
    "stable_diffusion_3": pipelines.gaussian_stable_diffusion_3,
    "flux": pipelines.gaussian_flux,
}


@pytest.mark.parametrize("sampler", ["sde", "ode"])
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_pipeline_that_knows_the_answer_gives_the_answer(dialect, world, sampler):
    denoiser = load_denoiser(DIALECTS[dialect](WORLDS[world]))
    grid = denoiser.make_grid(20, substeps=2)
    chain, n_draws = ChainSettings(grid, sampler), 64
    estimates = jeffreys(denoiser, A, B, chain, n_draws)
    means, variances = ({p: v[i] for p, v in WORLDS[world].items()} for i in (0, 1))
    closed_form = GaussianDenoiser(means, variances, schedule=denoiser.schedule)
    # The same chain with the same noise, without a pipeline: draw by draw.
    expected = jeffreys(closed_form, A, B, chain, n_draws)
    torch.testing.assert_close(estimates, expected, rtol=1e-3, atol=0)
    exact = closed_form.exact(A, B, grid.log_snr_range).jeffreys
    error = float(estimates.std() / n_draws**0.5)
    assert error < 0.1 * exact
    assert abs(estimates.mean() - exact) < 4 * error + 0.02 * exact


@pytest.mark.parametrize(
    ("scheduler", "prediction"),
    [
        (diffusers.DDPMScheduler(), "epsilon"),
        (diffusers.EulerDiscreteScheduler(prediction_type="v_prediction"), "v_prediction"),
        (diffusers.LCMScheduler(prediction_type="sample"), "sample"),
        (diffusers.FlowMatchHeunDiscreteScheduler(), "flow"),
        (diffusers.FlowMatchEulerDiscreteScheduler(invert_sigmas=True), "inverted_flow"),
        # Sana declares a solver that has alphas_cumprod as well.
        (
            diffusers.DPMSolverMultistepScheduler(
                use_flow_sigmas=True, prediction_type="flow_prediction"
            ),
            "flow",
        ),
        (diffusers.DPMSolverMultistepScheduler(prediction_type="flow_prediction"), "flow"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_dialect_is_read_off_the_scheduler(scheduler, prediction):
    dialect = read_dialect(scheduler)
    assert dialect.prediction == prediction
    flow = "flow" in prediction
    assert isinstance(dialect.schedule, FlowMatching if flow else VariancePreserving)
    if not flow:
        level = scheduler.alphas_cumprod[500].logit()
        assert dialect.schedule.log_snr(np.array(500)) == pytest.approx(float(level), rel=1e-5)


@pytest.mark.parametrize(
    "scheduler",
    [
        diffusers.EDMEulerScheduler(prediction_type="sample"),
        diffusers.EulerDiscreteScheduler(timestep_type="continuous", prediction_type="sample"),
        diffusers.CMStochasticIterativeScheduler(),
        diffusers.DDPMScheduler(prediction_type="score"),
    ],
    ids=lambda scheduler: type(scheduler).__name__,
)
def test_an_unknown_dialect_is_refused_by_name(scheduler):
    pipe = pipelines.stable_diffusion()
    pipe.scheduler = scheduler
    with pytest.raises(ValueError, match=f"{type(scheduler).__name__}.*: expected a FlowMatch"):
        load_denoiser(pipe)
    assert pipe.scheduler is scheduler


# ---------------------------------------------------------------- one step


class Note:
    """A task that keeps what it is told and moves to a state of its own."""

    def __init__(self, grid):
        self.grid, self.target = grid, torch.full((2, 4, 3, 3), 7.0)

    def step(self, eps, x_t):
        self.eps, self.x_t = eps, x_t
        return self.target, -self.target


def make_step(scheduler, dtype=torch.float32):
    dialect = read_dialect(scheduler)
    task = Note(make_grid(dialect.schedule, 3))
    generator = torch.Generator().manual_seed(0)
    x_t, eps = torch.randn(2, 2, 4, 3, 3, generator=generator).to(dtype)
    return make_instrument(scheduler, dialect, task), task, x_t, eps


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
@pytest.mark.parametrize(
    "kind",
    [
        diffusers.DPMSolverSDEScheduler,
        diffusers.HeunDiscreteScheduler,
        diffusers.KDPM2AncestralDiscreteScheduler,
        diffusers.KDPM2DiscreteScheduler,
        diffusers.LMSDiscreteScheduler,
    ],
)
def test_a_scheduler_that_sets_its_times_when_made_is_replaced_too(kind):
    scheduler = kind(num_train_timesteps=20)
    before = copy.deepcopy(vars(scheduler))
    instrument, task, x_t, eps = make_step(scheduler)
    instrument.set_timesteps(3)
    assert (instrument.order, instrument.init_noise_sigma) == (1, 1.0)
    ratio = task.grid.sigma / task.grid.alpha
    assert instrument.sigmas.tolist() == pytest.approx([*ratio, 0.0])  # what pipelines read
    instrument.step(eps, 0, x_t)
    torch.testing.assert_close(task.eps, eps)
    assert repr(before) == repr(vars(scheduler))


def test_methods_put_onto_a_scheduler_to_log_it_are_passed_by():
    scheduler, steps = diffusers.DDIMScheduler(), []
    scheduler.step = steps.append
    instrument, task, x_t, eps = make_step(scheduler)
    instrument.set_timesteps(3)
    instrument.step(eps, 0, x_t)
    torch.testing.assert_close(task.eps, eps)
    assert not steps
    assert scheduler.step == steps.append


class Halved(diffusers.DDIMScheduler):
    def scale_model_input(self, sample, timestep=None):
        return sample / 2


def test_a_scaling_of_the_input_that_is_not_of_diffusers_is_refused():
    patched = diffusers.DDIMScheduler()
    patched.scale_model_input = lambda sample, timestep=None: sample / 2
    for scheduler in (Halved(), patched):
        with pytest.raises(ValueError, match="of its own, which this measurement would pass"):
            read_dialect(scheduler)
    read_dialect(diffusers.EulerDiscreteScheduler())


@pytest.mark.parametrize("inverted", [False, True])
def test_a_flow_that_runs_from_noise_to_data_is_the_same_flow(inverted):
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(invert_sigmas=inverted)
    instrument, task, x_t, eps = make_step(scheduler)
    instrument.set_timesteps(3)
    s = task.grid.sigma
    assert instrument.timesteps.tolist() == pytest.approx(list(1000 * (1 - s if inverted else s)))
    velocity = eps - (x_t - s[0] * eps) / (1 - s[0])
    instrument.step(-velocity if inverted else velocity, instrument.timesteps[0], x_t)
    torch.testing.assert_close(task.eps, eps)


def test_noise_amplitudes_of_a_flow_class_are_read_as_such():
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.register_to_config(sigma_max=80.0, sigma_min=0.002)
    instrument, task, x_t, eps = make_step(scheduler)
    instrument.set_timesteps(3)
    noise = instrument.sigmas[:3]
    torch.testing.assert_close(instrument.timesteps, noise / (1 + noise))
    assert (task.grid.alpha == 1).all()
    instrument.step(eps, 0, x_t)
    torch.testing.assert_close(task.eps, eps)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_a_step_reads_eps_and_goes_where_the_task_says(prediction_type):
    instrument, task, x_t, eps = make_step(diffusers.DDIMScheduler(prediction_type=prediction_type))
    instrument.set_timesteps(50, timesteps=[3], sigmas=[0.5], mu=1.0)
    assert instrument.timesteps.tolist() == pytest.approx(task.grid.times.tolist())
    level = task.grid.alpha[0], task.grid.sigma[0]
    output = from_eps(eps, x_t, *level, prediction_type)
    state, x0 = instrument.step(output, instrument.timesteps[0], x_t, return_dict=False)
    torch.testing.assert_close(task.eps, eps)
    assert torch.equal(state, task.target)
    assert torch.equal(x0, -task.target)
    assert state is not task.target  # the pipeline may write into what it is handed
    assert instrument.scale_model_input(x_t, 3) is x_t


def test_a_step_speaks_both_tongues_and_the_networks_dtype():
    instrument, task, x_t, eps = make_step(diffusers.DDIMScheduler(), torch.bfloat16)
    result = instrument.step(eps, 0, x_t)
    assert torch.equal(result.prev_sample, task.target.bfloat16())
    assert torch.equal(result.pred_original_sample, -task.target)
    assert result.prev_sample.dtype == torch.bfloat16
    assert task.eps.dtype == torch.float32


def test_a_learned_variance_is_left_out():
    instrument, task, x_t, eps = make_step(diffusers.DDPMScheduler(variance_type="learned_range"))
    instrument.step(torch.cat([eps, eps + 1], dim=1), 0, x_t)
    assert torch.equal(task.eps, eps)


# ---------------------------------------------------------------- left as found


def picture(pipe):
    generator = torch.Generator().manual_seed(0)
    return pipe(A, generator=generator, num_inference_steps=2, output_type="np").images


def snapshot(pipe):
    modules = [c for c in pipe.components.values() if isinstance(c, torch.nn.Module)]
    libraries = (diffusers_logging, transformers_logging)
    return {
        "components": {name: id(component) for name, component in pipe.components.items()},
        "scheduler": copy.deepcopy(vars(pipe.scheduler)),
        "config": dict(pipe.config),
        "bar": copy.copy(getattr(pipe, "_progress_bar_config", None)),
        "levels": [(lib.get_verbosity(), lib.is_progress_bar_enabled()) for lib in libraries],
        "flags": [(m.training, *(p.requires_grad for p in m.parameters())) for m in modules],
        "hooks": [len(m._forward_pre_hooks) for module in modules for m in module.modules()],
    }


def assert_same(before, after):
    schedulers = before.pop("scheduler"), after.pop("scheduler")
    assert before == after
    assert repr(schedulers[0]) == repr(schedulers[1])


@pytest.mark.parametrize("bar", [None, {"leave": False}, {"disable": True}])
@pytest.mark.parametrize("name", ["stable_diffusion", "stable_diffusion_xl", "flux"])
def test_a_pipeline_is_left_as_it_was_found(name, bar):
    pipe = getattr(pipelines, name)()
    if bar is not None:
        pipe.set_progress_bar_config(**bar)
    before, image = snapshot(pipe), picture(getattr(pipelines, name)())
    denoiser = load_denoiser(pipe)
    (trajectory,) = denoiser.trace([A], [0], ChainSettings(denoiser.make_grid(2)))
    denoiser.decode(trajectory.x0)
    assert_same(before, snapshot(pipe))
    assert np.array_equal(picture(pipe), image)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("during", ["load", "trace"])
def test_a_pipeline_is_left_as_it_was_found_after_an_error(error, during):
    pipe = pipelines.stable_diffusion()
    before, image = snapshot(pipe), picture(pipelines.stable_diffusion())
    denoiser = load_denoiser(pipe) if during == "trace" else None
    freed = []
    pipe.maybe_free_model_hooks = lambda: freed.append(True)

    def fail(module, given):
        raise error("in the middle of a forward")

    hook = pipe.unet.mid_block.register_forward_pre_hook(fail)

    def measure():
        if denoiser is None:
            return load_denoiser(pipe)
        return denoiser.trace([A], [0], ChainSettings(denoiser.make_grid(2)))

    with pytest.raises(error, match="in the middle"):
        measure()
    hook.remove()
    del pipe.maybe_free_model_hooks
    assert freed
    assert_same(before, snapshot(pipe))
    assert np.array_equal(picture(pipe), image)


def test_a_second_thread_waits_and_is_refused_in_the_end(monkeypatch):
    pipe = pipelines.stable_diffusion()
    denoiser, results = load_denoiser(pipe), []
    before, chain = snapshot(pipe), ChainSettings(denoiser.make_grid(2))
    (expected,) = denoiser.trace([A], [0], chain)
    entered, leave = threading.Event(), threading.Event()

    def wait(module, given):
        entered.set()
        leave.wait(10)

    hook = network(pipe).register_forward_pre_hook(wait)
    first = threading.Thread(target=lambda: results.extend(denoiser.trace([A], [0], chain)))
    first.start()
    entered.wait(10)
    with monkeypatch.context() as patch:
        patch.setattr(instrument, "PATIENCE", 0.05)
        for other in (denoiser, load_denoiser):
            with pytest.raises(RuntimeError, match="another one of this pipeline goes on"):
                other.trace([A], [0], chain) if other is denoiser else other(pipe)
    second = threading.Thread(target=lambda: results.extend(denoiser.trace([A], [0], chain)))
    second.start()
    assert second.is_alive()
    leave.set()
    first.join()
    second.join()
    assert len(results) == 2
    hook.remove()
    assert torch.equal(results[0].x, expected.x)
    assert_same(before, snapshot(pipe))
    assert torch.equal(denoiser.trace([A], [0], chain)[0].x, expected.x)


@pytest.mark.parametrize("library", [diffusers_logging, transformers_logging])
def test_overlapping_measurements_leave_the_loggers_as_they_were(library):
    found = library.get_verbosity()
    library.set_verbosity_info()
    one, two = quiet(), quiet()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert library.get_verbosity() == library.ERROR
    two.__exit__(None, None, None)
    assert library.get_verbosity() == library.INFO
    library.set_verbosity(found)


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_training_mode_is_refused_and_kept(part):
    pipe = pipelines.stable_diffusion()
    getattr(pipe, part).train()
    with pytest.raises(ValueError, match=r"training mode; call .eval\(\)"):
        load_denoiser(pipe)
    assert getattr(pipe, part).training
