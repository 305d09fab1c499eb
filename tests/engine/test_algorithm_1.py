"""The engine finds what the paper's Algorithm 1, written out with diffusers, finds."""

import numpy as np
import pytest

import pipelines
from algorithm_1 import PUBLISHED, Reference, same_levels
from conjure_kernel import load_denoiser, pairwise_divergence
from conjure_kernel.method import reverse
from measured import IGNORED, A, B

pytestmark = pytest.mark.filterwarnings(IGNORED, "ignore:.*lies at the last noise level")
PROMPTS, N_STEPS, N_DRAWS = [A, B, "a green tree"], 6, 2


@pytest.mark.parametrize(
    ("prediction_type", "w", "together"),
    [("epsilon", 1.0, False), ("v_prediction", 5.0, False), ("epsilon", 5.0, True)],
)
def test_the_engine_equals_algorithm_1(prediction_type, w, together, monkeypatch):
    monkeypatch.setitem(reverse.SAMPLERS, "published", PUBLISHED)
    model = load_denoiser(pipelines.stable_diffusion(prediction_type))
    timesteps, settings = same_levels(model.schedule, N_STEPS)
    settings |= {"n_draws": N_DRAWS, "guidance_scale": w, "model": model, "memory": None}
    ours = pairwise_divergence(PROMPTS, **settings)
    np.testing.assert_allclose(ours.grid.times, timesteps, atol=1e-3)
    reference = Reference(model.pipeline, timesteps, N_DRAWS, w, together)
    rows = []
    count = model.pipeline.unet.register_forward_pre_hook(
        lambda module, args: rows.append(len(args[0]))
    )
    theirs = reference.matrix(PROMPTS)
    count.remove()
    np.testing.assert_allclose(ours.values, theirs, rtol=1e-3)
    branches = 1 if w == 1 else 2
    assert sum(rows) == 2 * 3 * 2 * N_STEPS * N_DRAWS * branches  # 2 n (n - 1) T K, twice guided
    assert set(rows) == {2 * branches * (2 if together else 1)}
    other = pairwise_divergence(PROMPTS, **settings | {"random_state": 1})
    assert not np.allclose(other.values, theirs, rtol=1e-2)
