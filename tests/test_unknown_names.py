"""A name that nobody knows is an error at every entrance, and the message lists the known ones."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.base import clone

from conjure_kernel import (
    ConjureDistance,
    ConjureDrift,
    ConjureEmbedding,
    ConjureNeighbors,
    ConjurePairs,
    GaussianDenoiser,
    ImageDistance,
    MixtureDenoiser,
    ablate,
    compare,
    evaluate,
    explain,
    explain_words,
    paired_divergence,
    pairwise_divergence,
    plan,
    plot,
)
from conjure_kernel.cli import main
from conjure_kernel.engine.opening import open_engine
from conjure_kernel.estimators.base import OUTPUTS
from conjure_kernel.estimators.images import METRICS, metric_bandwidth, set_distances
from conjure_kernel.estimators.pairs import FEATURES
from conjure_kernel.evaluation import (
    ConjureScorer,
    ImageScorer,
    MTEBModel,
    ScoredPairs,
    score_divergence,
)
from conjure_kernel.evaluation.ablation import LEVELS
from conjure_kernel.evaluation.comparison import STATISTICS
from conjure_kernel.evaluation.scorers import LEGS
from conjure_kernel.method.divergence import Divergence
from conjure_kernel.method.grid import NODES, WEIGHTINGS, make_grid
from conjure_kernel.method.kernels import PSD
from conjure_kernel.method.prediction import PREDICTIONS, from_eps, to_eps
from conjure_kernel.method.reverse import SAMPLERS, ChainSettings
from conjure_kernel.method.schedule import VariancePreserving
from worlds import SMALL, make_world

WORLD, PROMPTS = make_world(3)
PAIRS = [*pairwise(PROMPTS)]
SCORED = ScoredPairs("toy", PROMPTS[:-1], PROMPTS[1:], np.arange(2.0))
SCHEDULE = VariancePreserving.log_linear()
GRID = make_grid(SCHEDULE, 3)
ONE_PAIR = (["a"], ["b"], np.ones((1, 1, 2, 3)), np.ones((1, 1, 2, 3)))
FEW = np.zeros((2, 8, 3))
RUN = {**SMALL, "model": WORLD, "memory": None}
NEAREST = ConjureNeighbors(n_neighbors=1, **RUN)


def paint(prompt, n):
    return np.zeros((n, 8, 8, 3), np.uint8)


# Every entrance of a setting that is measured with: it takes the setting as a keyword.
MEASURING = {
    "ConjureDistance": lambda **given: ConjureDistance(**RUN, **given).fit(PROMPTS),
    "ConjureDrift": lambda **given: ConjureDrift(WORLD, WORLD, **given).fit(PROMPTS),
    "ConjureNeighbors": lambda **given: clone(NEAREST).set_params(**given).fit(PROMPTS),
    "ConjurePairs": lambda **given: ConjurePairs(**RUN, **given).fit(PAIRS),
    "ConjureScorer": lambda **given: ConjureScorer(**RUN, **given)(PROMPTS, PROMPTS),
    "MTEBModel": lambda **given: MTEBModel(**RUN, **given)(PROMPTS, PROMPTS),
    "ablate": lambda **given: ablate(SCORED, sweeps={}, **{**RUN, **given}),
    "explain": lambda **given: explain(*PROMPTS[:2], **RUN, **given),
    "explain_words": lambda **given: explain_words(PROMPTS[0], **RUN, **given),
    "open_engine": lambda **given: open_engine({**RUN, **given}),
    "paired_divergence": lambda **given: paired_divergence(PROMPTS, PROMPTS, **RUN, **given),
    "pairwise_divergence": lambda **given: pairwise_divergence(PROMPTS, **RUN, **given),
    "plan": lambda **given: plan(PROMPTS, **RUN, **given),
}
SETTINGS = {
    "weighting": WEIGHTINGS,
    "sampler": SAMPLERS,
    "nodes": NODES,
}
OTHERS = [
    (
        "weighting",
        WEIGHTINGS,
        lambda name: Divergence(*ONE_PAIR, GRID, name),
    ),
    ("weighting", WEIGHTINGS, GRID.weights),
    ("weighting", WEIGHTINGS, lambda name: ablate(SCORED, sweeps={"weighting": [name]}, **RUN)),
    ("sampler", SAMPLERS, lambda name: ChainSettings(GRID, name)),
    ("sampler", SAMPLERS, lambda name: ablate(SCORED, sweeps={"sampler": [name]}, **RUN)),
    ("nodes", NODES, lambda name: make_grid(SCHEDULE, 3, nodes=name)),
    ("nodes", NODES, lambda name: ablate(SCORED, sweeps={"nodes": [name]}, **RUN)),
    ("output", OUTPUTS, lambda name: ConjureDistance(**RUN, output=name).fit(PROMPTS)),
    ("output", OUTPUTS, lambda name: ImageDistance(paint, output=name).fit(PROMPTS)),
    ("psd", PSD, lambda name: ConjureDistance(**RUN, psd=name).fit(PROMPTS)),
    ("psd", PSD, lambda name: ImageDistance(paint, psd=name).fit(PROMPTS)),
    ("metric", METRICS, lambda name: ImageDistance(paint, metric=name).fit(PROMPTS)),
    ("metric", METRICS, lambda name: ImageScorer(name, generate=paint)),
    ("metric", METRICS, lambda name: set_distances(FEW, [0], [1], name, 1.0)),
    ("metric", METRICS, lambda name: metric_bandwidth(FEW, name)),
    ("prediction", PREDICTIONS, lambda name: GaussianDenoiser({"a": 0.0}, prediction=name)),
    ("prediction", PREDICTIONS, lambda name: MixtureDenoiser({"a": [[0.0]]}, prediction=name)),
    ("prediction", PREDICTIONS, lambda name: to_eps(0.0, 0.0, 0.6, 0.8, name)),
    ("prediction", PREDICTIONS, lambda name: from_eps(0.0, 0.0, 0.6, 0.8, name)),
    ("leg", LEGS, lambda name: ConjureScorer(WORLD, leg=name)),
    ("leg", LEGS, lambda name: MTEBModel(WORLD, leg=name)),
    ("leg", LEGS, lambda name: score_divergence(paired_divergence(*PAIRS, **RUN), leg=name)),
    ("leg", LEGS, lambda name: ablate(SCORED, sweeps={}, **RUN, leg=name)),
    ("leg", LEGS, lambda name: ablate(SCORED, sweeps={"leg": [name]}, **RUN)),
    ("levels", LEVELS, lambda name: ablate(SCORED, sweeps={}, **RUN, levels=name)),
    ("levels", LEVELS, lambda name: ablate(SCORED, sweeps={"levels": [name]}, **RUN)),
    ("features", FEATURES, lambda name: ConjurePairs(**RUN, features=name).fit(PAIRS)),
    ("statistic", STATISTICS, lambda name: compare([evaluate(paired, SCORED)], statistic=name)),
    ("method", (), lambda name: plot.layout(1 - np.eye(3), method=name)),
    ("method", (), lambda name: plot.layout_vectors(np.eye(3), method=name)),
    ("mode", (), lambda name: clone(NEAREST).fit(PROMPTS).kneighbors_graph(mode=name)),
]


def paired(left, right):
    return -paired_divergence(left, right, **RUN).values


@pytest.mark.filterwarnings("ignore:n_draws")
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("entrance", MEASURING)
def test_an_unknown_setting_is_refused_wherever_something_is_measured(entrance, setting):
    with pytest.raises(ValueError, match=f"{setting}='nonsense': expected one of") as caught:
        MEASURING[entrance](**{setting: "nonsense"})
    assert all(repr(name) in str(caught.value) for name in SETTINGS[setting])


def test_vectors_have_a_weighting_and_no_others():
    with pytest.raises(ValueError, match="weighting='nonsense': expected one of"):
        ConjureEmbedding(WORLD, memory=None, weighting="nonsense").fit(PROMPTS)


@pytest.mark.parametrize(("what", "known", "use"), OTHERS, ids=[what for what, *_ in OTHERS])
def test_an_unknown_name_is_refused(what, known, use):
    with pytest.raises(ValueError, match=f"{what}='nonsense': expected one of") as caught:
        use("nonsense")
    assert all(repr(name) in str(caught.value) for name in known)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (["compare", "a", "b", "--sampler", "nonsense"], "sampler='nonsense': expected one of"),
        (["map", "--layout", "nonsense"], "--layout='nonsense': expected one of"),
    ],
)
def test_an_unknown_name_on_the_command_line_is_one_line(command, line, tmp_path, capsys):
    folder = tmp_path / "cache"
    assert main([*command, "--cache", str(folder)]) == 2
    assert line in capsys.readouterr().err
