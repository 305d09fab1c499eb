"""compile=True: every call has one size, whatever work is left, and the numbers stay (R42)."""

import numpy as np
import pytest
import torch

import pipelines
from conjure_kernel import load_denoiser, pairwise_divergence
from conjure_kernel.engine.batches import Batches
from conjure_kernel.models.pretrained.load import open_denoiser
from measured import IGNORED, A, B, network
from pipelines import video

pytestmark = pytest.mark.filterwarnings(IGNORED, "ignore:.*lies at the last noise level")
PROMPTS = [A, B, "a green tree"]
RUN = {"n_steps": 2, "n_draws": 3, "memory": None, "batch_size": 4}


@pytest.fixture
def folder(tmp_path):
    pipelines.stable_diffusion().save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def compiled(monkeypatch):
    """Networks that were compiled, and how; nothing is compiled in truth."""
    asked = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: asked.append((self, how)))
    return asked


def rows_of_calls(model, monkeypatch):
    sizes, kind = [], type(model.pipeline.unet)
    forward = kind.forward

    def count(self, sample, *args, **kwargs):  # of the class, as a hook would be a change
        sizes.append(len(sample))
        return forward(self, sample, *args, **kwargs)

    monkeypatch.setattr(kind, "forward", count)
    return sizes


@pytest.mark.parametrize(("w", "sizes"), [(1.0, {4}), (3.0, {4, 8})])
@pytest.mark.parametrize("share", [True, False])
def test_short_calls_are_filled_up(w, sizes, share, folder, compiled, monkeypatch):
    plain = load_denoiser(folder)
    model = load_denoiser(folder, compile=True)
    assert compiled == [(model.pipeline.unet, {"dynamic": False})]
    plain.prompts_share_a_call = model.prompts_share_a_call = share
    expected = pairwise_divergence(PROMPTS, model=plain, guidance_scale=w, **RUN)
    seen = rows_of_calls(model, monkeypatch)
    found = pairwise_divergence(PROMPTS, model=model, guidance_scale=w, **RUN)
    assert set(seen) == sizes
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-4)
    assert found.n_evaluations == expected.n_evaluations  # what fills up is not counted


def test_readings_belong_to_their_prompts(folder, compiled):
    model = load_denoiser(folder, compile=True)
    long = "a very long red car " * 10
    settings = {**RUN, "batch_size": 8, "n_draws": 2}
    with pytest.warns(UserWarning, match="1 of 3 prompts are longer"):
        pairwise_divergence([A, long, B], model=model, **settings)


def test_no_size_is_searched_for(folder, compiled):
    model, calls = load_denoiser(folder, compile=True), []
    network(model.pipeline).register_forward_hook(lambda *_: calls.append(1))
    batches = Batches(model)
    batches.tune_batch_size(A, 10**9, None)
    assert (batches.size, calls) == (128, [])


def test_a_model_of_ones_own_is_not_compiled():
    with pytest.raises(ValueError, match="compile=True: expected the defaults, as a model"):
        open_denoiser(pipelines.stable_diffusion(), compile=True)


@pytest.mark.slow
def test_one_graph_for_all_calls(folder, monkeypatch):
    graphs, compile = [], torch.nn.Module.compile

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, **how: compile(self, backend=backend, **how)
    )
    expected = pairwise_divergence(PROMPTS, model=str(folder), **RUN)
    model = load_denoiser(folder, compile=True)
    first = pairwise_divergence(PROMPTS[:2], model=model, **RUN)
    made = len(graphs)
    found = pairwise_divergence(PROMPTS, model=model, **RUN)
    assert len(graphs) == made > 0
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-4)
    np.testing.assert_allclose(first.values, expected.values[:2, :2], rtol=1e-4)


def test_both_networks_of_a_pipeline_are_compiled(compiled, tmp_path):
    video.wan_22().save_pretrained(tmp_path)
    call = {"height": 64, "width": 64, "num_frames": 1}
    pipe = load_denoiser(tmp_path, dtype="float32", compile=True, **call).pipeline
    assert [module for module, _ in compiled] == [pipe.transformer, pipe.transformer_2]
