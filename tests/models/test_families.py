"""Every family of the registry: exact replays, exact worlds, and a pipeline left as it was."""

import functools
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.models.gaussian import GaussianDenoiser
from conjure_kernel.models.pretrained.calibrate import COMPANION, PROBE
from conjure_kernel.models.pretrained.load import load_denoiser
from conjure_kernel.models.task import Replay
from measured import IGNORED, A, B, jeffreys
from pipelines import table
from pipelines.registry import FAMILIES, REFUSED

pytestmark = [
    pytest.mark.filterwarnings(IGNORED),
    pytest.mark.filterwarnings("ignore:.* is distilled:UserWarning"),
    # Chroma's and PRX's pipelines and Stable Audio's autoencoder are built from older parts.
    pytest.mark.filterwarnings("ignore:.*(weight_norm|FluxPosEmbed|LoraLoaderMixin):FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*(callback_steps|initial images):FutureWarning"),
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),  # of Mochi's own
    # torchsde, whose end of the interval is off by a rounding.
    pytest.mark.filterwarnings("ignore:Should have t.>=t0"),
    pytest.mark.filterwarnings("ignore:Should have t.<=t1"),
]

BY_NAME = {family.name: family for family in FAMILIES}
each_family = pytest.mark.parametrize("name", BY_NAME)


@functools.cache
def load(name):
    """Return one denoiser per family: tests leave it as they found it."""
    family = BY_NAME[name]
    return load_denoiser(family.build(), **family.call)


def guidances(denoiser):
    found = denoiser.calibration
    return (1.0,) if found.guidance_fault or found.both_branches else (1.0, 3.0)


@each_family
def test_a_replay_is_exact_and_guidance_a_factor(name):
    denoiser = load(name)
    grid, ends = denoiser.make_grid(2), {}
    for w in guidances(denoiser):
        chain = ChainSettings(grid, guidance_scale=w)
        (of_a,) = denoiser.trace([A], [0, 1], chain)
        x, eps = of_a.x.transpose(0, 1), of_a.eps.transpose(0, 1)
        assert (denoiser.predict([A], x, eps, chain) == 0).all()
        assert (denoiser.predict([B], x, eps, chain) > 0).all()
        differences = []
        for prompt in (A, B):
            task = Replay(grid, x)
            denoiser.run(task, [prompt], 2, w)
            differences.append(torch.stack(task.predictions).double())
        ends[w] = x, differences[0] - differences[1]
        if w != 1:
            plain = [denoiser.predict_eps([p], x, grid).double() for p in (A, B)]
            gap = ends[w][1] - w * (plain[0] - plain[1])
            assert gap.norm() <= 1e-4 * ends[w][1].norm()


def make_world(size):
    rng = np.random.default_rng(0)
    mean = rng.normal(size=size)
    means = {p: mean + rng.normal(size=size) / 8 for p in (A, B, PROBE, COMPANION)}
    return {p: (m, rng.uniform(0.5, 1.5, size)) for p, m in means.items()} | {
        "": (0.7 * mean, np.ones(size))
    }


@each_family
def test_a_pipeline_that_knows_the_answer_gives_the_answer(name):
    family = BY_NAME[name]
    world = make_world(int(np.prod(load(name).shape)))
    denoiser = load_denoiser(family.exact(world), **family.call)
    means, variances = ({p: v[i] for p, v in world.items()} for i in (0, 1))
    closed_form = GaussianDenoiser(means, variances, schedule=denoiser.schedule)
    for w in guidances(denoiser):
        chain = ChainSettings(denoiser.make_grid(16, substeps=2), guidance_scale=w)
        estimates = jeffreys(denoiser, A, B, chain, 2)
        # The same chain with the same noise, without a pipeline: draw by draw.
        expected = jeffreys(closed_form, A, B, chain, 2)
        torch.testing.assert_close(estimates, expected, rtol=1e-3, atol=0)
        if w == 1:
            exact = closed_form.exact(A, B, chain.grid.log_snr_range).jeffreys
            error = float(jeffreys(closed_form, A, B, chain, 16).std() / 2**0.5)
            assert error < 0.15 * exact
            assert abs(estimates.mean() - exact) < 4 * error + 0.02 * exact


def outputs(pipeline, call):
    """Return what the pipeline's user gets from one seed, with its own scheduler."""
    torch.manual_seed(0)  # of pipelines that draw a prior of their own
    generator = torch.Generator().manual_seed(0)
    options = {name: value for name, value in call.items() if value is not None}
    made = pipeline(
        prompt=A, num_inference_steps=2, generator=generator, output_type="np", **options
    )
    return [np.asarray(value) for value in made.values() if not isinstance(value, list | bool)]


@pytest.mark.parametrize("name", [f.name for f in FAMILIES if f.pictures])
def test_the_users_pipeline_draws_the_same_before_and_after(name, monkeypatch):
    family = BY_NAME[name]
    pipeline = family.build()
    pipeline.set_progress_bar_config(disable=True)
    scheduler, before = pipeline.scheduler, outputs(pipeline, family.call)
    denoiser = load_denoiser(pipeline, **family.call)
    chain = ChainSettings(denoiser.make_grid(2))
    denoiser.trace([A], [0], chain)
    network = pipeline.unet if hasattr(pipeline, "unet") else pipeline.transformer
    for error in (ValueError("of ours"), KeyboardInterrupt()):
        with monkeypatch.context() as broken:
            broken.setattr(network, "forward", Mock(side_effect=error))
            with pytest.raises(type(error)):
                denoiser.trace([A], [0], chain)
    assert pipeline.scheduler is scheduler
    after = outputs(pipeline, family.call)
    assert before
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_in_the_order_of_another_prompt_are_noticed():
    family = BY_NAME["Kandinsky 5"]  # hands its rows the prompts' pooled embeddings in turn
    assert not load_denoiser(family.exact(make_world(256)), **family.call).prompts_share_a_call


def test_the_table_of_the_page_is_what_loading_found():
    assert table.committed() == table.table_of([table.row_of(f, load(f.name)) for f in FAMILIES])
    assert table.committed(table.REASONS) == table.refusals()


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_cannot_be_measured_is_refused_with_the_reason(case):
    pipeline = case.build()
    with pytest.raises(ValueError, match=case.message):
        load_denoiser(pipeline, **case.call)


def test_a_scale_at_which_the_pipeline_does_not_guide_is_refused():
    denoiser = load("Cosmos 2")  # counts its scale from 0
    assert denoiser.calibration.guidance(3.0) == {"guidance_scale": 2.0}
    with pytest.raises(ValueError, match=r"guidance_scale=1.5: expected 1, or more than 2,"):
        denoiser.calibration.guidance(1.5)


# Of all 48, those where rounding outweighs something that is asked.
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "name", ["Ovis-Image", "Cosmos 2", "Mochi", "AnimateDiff", "Lumina-Next", "Lumina 2"]
)
def test_half_precision_is_told_from_a_fault(name, dtype):
    pipeline = BY_NAME[name].build()
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.to(dtype)
    found = load_denoiser(pipeline, **BY_NAME[name].call).calibration
    facts = ("guidance_offset", "guidance_fault", "both_branches", "prompts_share_a_call")
    expected = load(name).calibration
    assert [getattr(found, n) for n in facts] == [getattr(expected, n) for n in facts]


@each_family
def test_calibration_is_cheap(name):
    assert load(name).calibration.n_evaluations < 40
