"""`ConjureDrift.fit_series`: values and costs held to worlds, and to two models at a time."""

import numpy as np
import pytest

from conjure_kernel import ConjureDrift, GaussianDenoiser, load_denoiser, vividness
from conjure_kernel.method.schedule import FlowMatching
from worlds import SMALL, make_world

MEANS = {"": 0.0, "a dog": 0.7, "a puppy": 0.9, "a cat": -0.4, "a bus": 2.0}
PROMPTS = ["a puppy", "a cat", "a bus"]
TARGET = {"target": ["a dog"]}


def tuned(dog, bus=2.0, width=1.0, **options):
    """The base, whose dogs and buses are elsewhere."""
    variances = {**dict.fromkeys(MEANS, 1.0), "a dog": width}
    return GaussianDenoiser({**MEANS, "a dog": dog, "a bus": bus}, variances, **options)


BASE = tuned(0.7)


def fit(checkpoints, base=BASE, **options):
    options = {"n_draws": 4, "memory": None, "check_steps": 0, **options}
    return ConjureDrift(base, **options).fit_series(
        checkpoints, PROMPTS, groups=TARGET, n_neighbors=1
    )


def test_every_figure_is_that_of_two_models():
    # One covariance: no Monte Carlo error, so that other noise gives the same numbers.
    worlds = [tuned(1.0), tuned(1.5, 2.1), tuned(1.7, 3.0)]
    series, options = fit(worlds), {"n_draws": 4, "memory": None, "check_steps": 0}
    before = BASE
    for i, world in enumerate(worlds):
        drift = ConjureDrift(BASE, world, **options).fit(series.prompts)
        assert series.drifts[i].values == pytest.approx(drift.divergences_, abs=1e-9)
        step = ConjureDrift(before, world, **options).fit(series.prompts)
        assert series.steps[i].values == pytest.approx(step.divergences_, abs=1e-9)
        own = vividness(series.prompts, model=world, **options).values
        assert series.vividness[i + 1].legs[0] == pytest.approx(own, abs=1e-9)
        before = world
    assert series.groups == {
        "target": ["a dog"],
        "neighbours": ["a puppy"],
        "held": ["a cat", "a bus"],
    }
    assert [row["reached"] for row in series.verdicts().rows] == [True] * 3
    assert series.collateral()[0]["prompt"] == "a bus"
    assert (series.collateral()[0]["rank_least"], series.collateral()[0]["rank_most"]) == (1, 1)
    assert len(series.table()) == 3 * 4
    assert len(series.curves()) == 3 * 3


def test_the_turning_point_and_a_collapse_are_told():
    worlds = [tuned(1.5), tuned(2.5, 2.1), tuned(2.6, 8.0), tuned(2.6, 9.0, width=0.01)]
    series = fit(worlds, n_draws=40)
    assert (series.turning.first, series.turning.told) == (1, 1)
    assert series.turning.share == 1
    assert [row["collapsed"] for row in series.verdicts().rows][2:] == [False, True]
    assert series.verdicts()[1]["excess"] > 0
    assert np.isnan(series.verdicts()[3]["excess"])


def test_one_draw_gives_no_verdict():
    series = fit([tuned(1.0, width=0.5)], n_draws=2)
    assert series.verdicts()[0]["collapsed"] is None


def test_what_has_not_changed_is_not_reached():
    series = fit([tuned(0.7), tuned(0.7, 3.0)])
    assert [row["target"] for row in series.verdicts().rows] == [0, 0]
    assert [row["reached"] for row in series.verdicts().rows] == [None, None]


def test_a_given_floor_is_what_reach_is_compared_with():
    options = {"n_draws": 4, "memory": None, "check_steps": 0}
    drift = ConjureDrift(BASE, **options)
    series = drift.fit_series([tuned(0.8), tuned(1.9)], groups=TARGET, floor=tuned(1.0))
    assert [row["reached"] for row in series.verdicts().rows] == [False, True]
    assert series.prompts == ["a dog"]
    assert len(series.collateral()) == 0


@pytest.mark.parametrize("w", [1.0, 2.0])
def test_the_base_is_traced_once_and_the_cost_is_what_was_planned(tmp_path, w):
    worlds = [make_world(seed=seed)[0] for seed in range(4)]
    prompts = make_world()[1]
    drift = ConjureDrift(worlds[0], memory=tmp_path, guidance_scale=w, **SMALL)
    arguments = (worlds[1:], prompts[1:]), {"groups": {"target": prompts[:1]}}
    planned = drift.plan_series(*arguments[0], **arguments[1]).n_predictions
    before = sum(world.rows for world in worlds)
    series = drift.fit_series(*arguments[0], **arguments[1])
    n, branches = len(prompts), 1 if w == 1 else 2
    chains = (n + 1) * 4 * 3 * 8  # four models, each with the empty prompt; three draws
    replays = 2 * 3 * 4 * (n + (n - 1) + 3 * 2 * n + 2 * n + 1)
    assert series.n_evaluations == planned == branches * (chains + replays)
    assert sum(world.rows for world in worlds) - before == series.n_evaluations
    assert drift.plan_series(*arguments[0], **arguments[1]).n_predictions == 0
    again = drift.fit_series(*arguments[0], **arguments[1])
    assert again.n_evaluations == 0
    assert str(again.verdicts()) == str(series.verdicts())
    # A further checkpoint costs its own chains, and those of the models that it is beside.
    more = [*worlds[1:], make_world(seed=4)[0]]
    planned = drift.plan_series(more, prompts[1:], **arguments[1]).n_predictions
    longer = drift.fit_series(more, prompts[1:], **arguments[1])
    assert longer.n_evaluations == planned
    assert longer.n_evaluations < series.n_evaluations


def test_neighbours_may_be_given():
    groups = {"target": ["a dog"], "neighbours": ["a bus"], "held": ["a cat"]}
    drift = ConjureDrift(BASE, memory=None, check_steps=0)
    series = drift.fit_series([tuned(1.0)], ["a puppy"], groups=groups)
    assert series.groups["neighbours"] == ["a bus"]
    assert series.groups["held"] == ["a puppy", "a cat"] or series.groups["held"] == [
        "a cat",
        "a puppy",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoints": []}, r"checkpoints=\[\]: expected a list of at least one model"),
        ({"checkpoints": "a-folder"}, "checkpoints='a-folder': expected a list"),
        ({"groups": {"held": ["a dog"]}}, "expected a mapping with 'target'"),
        ({"groups": {"target": ["a dog"], "held": ["a dog"]}}, "each prompt in one group"),
        ({"prompts": [""]}, "expected none that is empty"),
        ({"n_neighbors": -1}, "n_neighbors=-1"),
        ({"checkpoints": [{"lora.safetensors": 1.0}]}, "expected the base by name"),
    ],
)
def test_bad_input_is_refused(change, message):
    given = {"checkpoints": [tuned(1.0)], "prompts": ["a cat"], "groups": TARGET, **change}
    with pytest.raises(ValueError, match=message):
        ConjureDrift(BASE, memory=None).fit_series(**given)


def test_tol_and_models_of_another_scale_are_refused():
    with pytest.raises(ValueError, match=r"tol=0.1: expected None"):
        fit([tuned(1.0)], tol=0.1)
    with pytest.raises(ValueError, match="expected models of one process"):
        fit([tuned(1.0, schedule=FlowMatching())])


def test_checkpoints_are_named_and_come_from_folders(tmp_path):
    model = load_denoiser("embedded", dtype="float32")
    weights = model.pipeline.unet.conv_out.weight.data
    kept = weights.clone()
    for i in (1, 2):
        weights.copy_(kept * (1 + 0.2 * i))
        model.pipeline.save_pretrained(tmp_path / f"step-{i}")
    weights.copy_(kept)
    drift = ConjureDrift("embedded", n_steps=2, n_draws=2, check_steps=0, memory=None)
    drift.set_params(dtype="float32")
    folders = [tmp_path / f"step-{i}" for i in (1, 2)]
    groups = {"target": ["a strawberry"]}
    series = drift.fit_series(folders, ["a bus"], groups=groups, n_neighbors=0)
    assert series.names == ["step-1", "step-2"]
    first, second = (d.values for d in series.drifts)
    assert (second > 2 * first).all()
    assert (series.floor.values < 1e-5).all()
    assert series.provenance["checkpoints"] == series.names
