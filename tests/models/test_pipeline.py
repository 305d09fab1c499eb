"""A pipeline measured through its own loop: exact replays, honest counts, stable rows."""

import numpy as np
import pytest
import torch

import pipelines
from conjure_kernel.method.reverse import ChainSettings, standard_normal
from conjure_kernel.models.pretrained import pipeline as pipeline_module
from conjure_kernel.models.pretrained.load import load_denoiser
from conjure_kernel.models.task import Replay
from measured import IGNORED, PIPELINES, A, B, join, measured, network

pytestmark = pytest.mark.filterwarnings(IGNORED)

GUIDED = [name for name in PIPELINES if name != "flux"]
RNG = np.random.default_rng(0)
WORLD = {p: (RNG.normal(size=16), RNG.uniform(0.2, 2.0, size=16)) for p in (A, B, "")}


@pytest.mark.parametrize(
    ("name", "w"), [*((n, 1.0) for n in PIPELINES), *((n, 3.0) for n in GUIDED)]
)
def test_a_replay_of_its_own_trajectory_is_exact(name, w):
    denoiser = measured(name)
    chain = ChainSettings(denoiser.make_grid(3, substeps=2), guidance_scale=w)
    x, eps = join(denoiser.trace([A, B], [0, 1], chain))
    assert x.shape == eps.shape == (3, 4, *denoiser.shape)
    assert torch.equal(denoiser.predict_eps([A, B], x, chain.grid), eps)
    assert (denoiser.predict([A, B], x, eps, chain) == 0).all()
    assert (denoiser.predict([B, A], x, eps, chain) > 0).all()


@pytest.mark.parametrize("name", GUIDED)
def test_guided_differences_are_w_times_the_conditional_ones(name):
    denoiser, w = measured(name), 3.0
    grid = denoiser.make_grid(3)
    x, _ = join(denoiser.trace([A], [0, 1], ChainSettings(grid, guidance_scale=w)))

    def difference(scale):
        task = Replay(grid, x.repeat(1, 2, *(1,) * len(denoiser.shape)))
        denoiser.run(task, [A, B], 2, scale)
        of_a, of_b = torch.stack(task.predictions).double().split(2, dim=1)
        return of_a - of_b

    guided, conditional = difference(w), difference(1.0)
    assert (guided - w * conditional).norm() <= 1e-5 * guided.norm()


@pytest.mark.parametrize("name", GUIDED)
def test_guidance_moves_the_trajectory_and_scales_the_energies(name):
    denoiser = measured(name)
    grid = denoiser.make_grid(3)
    (plain,), (guided,) = (
        denoiser.trace([A], [0], ChainSettings(grid, guidance_scale=w)) for w in (1, 3)
    )
    assert torch.equal(plain.x[:, 0], guided.x[:, 0])  # the first node is noise
    assert not torch.allclose(plain.x[:, 1:], guided.x[:, 1:], rtol=1e-3)
    x, eps = join([guided])
    one, nine = (
        denoiser.predict([B], x, eps, ChainSettings(grid, guidance_scale=w)) for w in (1, 3)
    )
    torch.testing.assert_close(nine, 9 * one)


@pytest.mark.parametrize(("name", "w"), [("epsilon", 1.0), ("epsilon", 3.0), ("3", 3.0)])
def test_evaluations_are_the_rows_through_the_network(name, w):
    denoiser = measured(name)
    n, k, n_nodes, n_steps = 2, 3, 4, 8
    chain = ChainSettings(
        denoiser.make_grid(n_nodes, substeps=n_steps // n_nodes), guidance_scale=w
    )
    rows = []
    hook = network(denoiser.pipeline).register_forward_hook(
        lambda module, given, output: rows.append(len(output[0]))
    )

    def counts(call):
        rows.clear()
        before = denoiser.n_evaluations
        result = call()
        return result, (denoiser.n_evaluations - before, sum(rows))

    trajectories, of_trace = counts(lambda: denoiser.trace([A, B], range(k), chain))
    assert of_trace == (of_trace[1],) * 2
    assert of_trace[1] == n * k * (n_steps if w == 1 else 2 * n_steps + n_nodes)
    x, eps = join(trajectories)
    _, of_predict = counts(lambda: denoiser.predict([B, A], x, eps, chain))
    assert of_predict == (n * n_nodes * k,) * 2  # never an unconditional row
    _, of_pictures = counts(lambda: denoiser.decode(trajectories[0].x0))
    assert of_pictures == (0, k)  # pictures are counted apart
    hook.remove()


@pytest.mark.parametrize("name", ["embedded", "xl", "flux"])
def test_rows_draws_and_batches_change_a_row_only_by_rounding(name):
    denoiser = measured(name)
    chain = ChainSettings(denoiser.make_grid(3))
    (alone,) = denoiser.trace([A], [1], chain)
    noise = standard_normal(denoiser.shape, seed=0, prompt=A, draw=1, step=-1)
    first = np.hypot(chain.grid.alpha[0], chain.grid.sigma[0]) * noise
    assert torch.equal(alone.x[0, 0], first)
    together = denoiser.trace([B, A], [2, 0, 1], chain)[1]
    assert torch.equal(together.x[2, 0], first)
    for part in ("x", "eps", "x0"):
        row, reference = getattr(together, part)[2], getattr(alone, part)[0]
        torch.testing.assert_close(row, reference, rtol=1e-3, atol=1e-3)


def test_noise_is_the_same_bit_for_bit_whatever_the_batch():
    # This network answers row by row in float64: only shifted noise could tell batches apart.
    denoiser = load_denoiser(pipelines.gaussian_stable_diffusion(WORLD))
    chain = ChainSettings(denoiser.make_grid(3, substeps=2), sampler="sde", seed=5)
    first, second = denoiser.trace([A, B], [0, 1, 2], chain)
    (alone,) = denoiser.trace([B], [0], chain)
    grown = alone.extend(denoiser.trace([B], [1, 2], chain)[0])
    for part in ("x", "eps", "x0"):
        assert torch.equal(getattr(grown, part), getattr(second, part))
    (other,) = denoiser.trace([B], [0], ChainSettings(chain.grid, seed=6))
    assert not torch.equal(other.x, alone.x)
    assert not torch.equal(first.x, second.x)


@pytest.mark.parametrize("spoilt", [0, 2])
def test_a_nan_names_prompt_noise_level_and_dtype(spoilt):
    denoiser = load_denoiser(pipelines.stable_diffusion())
    chain = ChainSettings(denoiser.make_grid(3))
    x, eps = join(denoiser.trace([A, B], [0, 1], chain))
    calls = []

    def spoil(module, given, output):
        calls.append(len(output[0]))
        if len(calls) == spoilt + 1:
            output[0][3] = torch.nan  # the second row of the second prompt

    level = f"{chain.grid.node_log_snr[spoilt]:.3g} in torch.float32"
    message = rf"'{B}'.* NaN or infinity at log-SNR {level}.*bfloat16"
    denoiser.pipeline.unet.register_forward_hook(spoil)
    with pytest.raises(FloatingPointError, match=message):
        denoiser.predict([A, B], x, eps, chain)
    calls.clear()
    with pytest.raises(FloatingPointError, match=message):
        denoiser.trace([A, B], [0, 1], chain)


def decode_by_hand(name, vae, x0):
    """Return uint8 pictures, straight from the autoencoder."""
    if name == "flux":  # 16 tokens of 4 channels x 2 x 2 pixels
        x0 = x0.view(-1, 4, 4, 4, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(-1, 4, 8, 8)
    x0 = x0 / vae.config.scaling_factor + (vae.config.shift_factor or 0)
    pixels = vae.decode(x0).sample.permute(0, 2, 3, 1) / 2 + 0.5
    return (255 * pixels.clamp(0, 1)).round().to(torch.uint8).numpy()


@pytest.mark.parametrize("name", ["embedded", "epsilon", "xl", "3", "flux"])
def test_pictures_are_what_the_autoencoder_decodes(name):
    denoiser = measured(name)
    (trajectory,) = denoiser.trace([A], range(3), ChainSettings(denoiser.make_grid(3)))
    pictures = denoiser.decode(trajectory.x0)
    with torch.no_grad():
        expected = decode_by_hand(name, denoiser.pipeline.vae, trajectory.x0)
    assert pictures.dtype == np.uint8
    assert pictures.std() > 1
    assert np.array_equal(pictures, expected)
    many = denoiser.decode(torch.cat([trajectory.x0] * 6)).astype(int)  # more than a call takes
    assert 6 * len(pictures) > pipeline_module.PICTURES_A_CALL
    assert np.abs(many - np.concatenate([pictures] * 6)).max() <= 1


def test_a_loop_that_ignores_the_timesteps_is_noticed():
    class Impatient(type(pipelines.stable_diffusion())):
        def progress_bar(self, *args, **kwargs):
            self._interrupt = True
            return super().progress_bar(*args, **kwargs)

    denoiser = load_denoiser(pipelines.stable_diffusion())
    denoiser.pipeline.__class__ = Impatient
    with pytest.raises(RuntimeError, match="expected 3 steps, got 0"):
        denoiser.trace([A], [0], ChainSettings(denoiser.make_grid(3)))
