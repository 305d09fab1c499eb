"""ablate: one setting at a time, each equal to its own measurement, with nothing measured twice."""

import json

import numpy as np
import pytest
from scipy import stats

from conjure_kernel import ablate, paired_divergence
from conjure_kernel.engine.parameters import Parameters
from conjure_kernel.evaluation.ablation import settings_to_measure
from conjure_kernel.evaluation.datasets import ScoredPairs
from worlds import make_world

SWEEPS = {
    "guidance_scale": (1.0, 2.0),
    "n_steps": (4, 6),
    "n_draws": (2, 3, 5),
    "weighting": ("jeffreys", "paper"),
    "levels": ("all", "early", "middle", "late"),
    "leg": ("jeffreys", "ab", "ba"),
}
BASE = {"n_steps": 6, "n_draws": 3, "memory": None, "chains_per_draw": 1, "check_steps": 0}


@pytest.fixture(scope="module")
def done():
    world, prompts = make_world(8)
    rng = np.random.default_rng(0)
    left, right = ([prompts[i] for i in rng.integers(8, size=24)] for _ in "ab")
    pairs = ScoredPairs("toys", left, right, rng.normal(size=24))
    result = ablate(pairs, model=world, sweeps=SWEEPS, **BASE)
    return result, pairs, world, world.rows


def spearman(pairs, divergences):
    return stats.spearmanr(-divergences, pairs.scores).statistic


@pytest.mark.filterwarnings("ignore:.*of the divergence lies at the last")
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("guidance_scale", 2.0),
        ("n_steps", 4),
        ("n_draws", 2),
        ("n_draws", 5),
        ("weighting", "paper"),
    ],
)
def test_each_row_is_its_own_measurement(done, setting, value):
    result, pairs, world, _ = done
    options = {"model": world, **BASE, setting: value}
    measured = paired_divergence(pairs.left, pairs.right, **options)
    row = result.table.find(setting=setting, value=str(value).removesuffix(".0"))
    assert row["spearman"] == pytest.approx(spearman(pairs, measured.values), abs=1e-9)


def test_legs_and_bands(done):
    result, pairs, world, _ = done
    measured = paired_divergence(pairs.left, pairs.right, model=world, **BASE)
    for leg, values in zip(("ab", "ba"), measured.legs, strict=True):
        row = result.table.find(setting="leg", value=leg)
        assert row["spearman"] == pytest.approx(spearman(pairs, values))
    for band, levels in (("early", [0, 1]), ("middle", [2, 3]), ("late", [4, 5])):
        row = result.table.find(setting="levels", value=band)
        expected = spearman(pairs, measured.profile[:, levels].sum(1))
        assert row["spearman"] == pytest.approx(expected)
    assert len({row["spearman"] for row in result.table.rows}) > 6


def test_only_settings_of_the_chain_cost_predictions(done):
    result, pairs, _, spent = done
    texts = len({t for pair in pairs.pairs for t in pair})
    distinct = len({frozenset(pair) for pair in pairs.pairs if pair[0] != pair[1]})

    def cost(steps, draws, w=1):
        own = 2 * steps if w == 1 else 5 * steps
        return draws * (texts * own + 2 * distinct * steps)

    assert spent == cost(6, 5) + cost(6, 3, w=2) + cost(4, 3)
    costs = {(r["setting"], r["value"]): r["n_evaluations"] for r in result.table.rows}
    assert costs["leg", "ab"] == costs["n_draws", "5"] == costs["levels", "late"] == 0
    assert costs["guidance_scale", "2"] == cost(6, 3, w=2)


def test_the_base_is_marked_and_the_rest_has_a_difference_from_it(done):
    result, *_ = done
    base = [row for row in result.table.rows if row["base"]]
    assert {(row["setting"], row["value"]) for row in base} == {
        ("guidance_scale", "1"),
        ("n_steps", "6"),
        ("n_draws", "3"),
        ("weighting", "jeffreys"),
        ("levels", "all"),
        ("leg", "jeffreys"),
    }
    for row in result.table.rows:
        gap = row["spearman"] - base[0]["spearman"]
        assert (
            np.isnan(row["difference"]) if row["base"] else row["difference"] == pytest.approx(gap)
        )
    assert "| n_draws | 3 | base | 24 |" in str(result)
    json.dumps(result.to_dict(), allow_nan=False)


def test_the_runs_are_known_before(done):
    runs = settings_to_measure(SWEEPS, BASE)
    assert [run["n_draws"] for run in runs] == [5, 3, 3]
    assert [run.get("guidance_scale") for run in runs] == [None, 2.0, None]
    assert settings_to_measure({"leg": ("ab",)}, {}) == [{"n_draws": Parameters.n_draws}]


def test_errors(done):
    _, pairs, world, _ = done
    with pytest.raises(TypeError, match=r"draws: expected settings among batch_size, .*; "):
        ablate(pairs, model=world, sweeps={"draws": (1,)})
    with pytest.raises(ValueError, match="levels='first'"):
        ablate(pairs, model=world, sweeps={"levels": ("first",)}, **BASE)


@pytest.mark.filterwarnings("ignore:.*pairs are above tol")
def test_draws_that_a_tolerance_chooses_are_not_cut_again(done):
    """It raised a broadcast error."""
    _, pairs, world, _ = done
    settings = {"model": world, **BASE, "tol": 0.2, "max_draws": 24}
    sweeps = {"n_draws": (3, 16), "weighting": ("jeffreys", "paper"), "leg": ("ab",)}
    result = ablate(pairs, sweeps=sweeps, **settings)
    for n_draws in (3, 16):
        options = {**settings, "n_draws": n_draws}
        measured = paired_divergence(pairs.left, pairs.right, **options)
        row = result.table.find(setting="n_draws", value=str(n_draws))
        assert row["spearman"] == pytest.approx(spearman(pairs, measured.values))
        assert row["n_evaluations"] > 0
    assert result.table.find(setting="leg")["n_evaluations"] == 0
    runs = settings_to_measure(sweeps, {"tol": 0.2})
    assert [run.get("n_draws") for run in runs] == [None, 3, 16]
    both = ablate(pairs, model=world, sweeps={"tol": (None, 0.2)}, **BASE)
    assert [row["base"] for row in both.table.rows] == ["base", ""]
    assert both.table[0]["spearman"] != both.table[1]["spearman"]


def test_models_of_one_name_are_two_models(done):
    _, pairs, world, _ = done

    class Named(type(world)):
        def __repr__(self):
            return "a model"

    (one, _), (other, _) = (make_world(8, kind=Named, seed=seed) for seed in (0, 1))
    table = ablate(pairs, model=one, sweeps={"model": (one, other)}, **BASE).table
    for row, model in zip(table.rows, (one, other), strict=True):
        measured = paired_divergence(pairs.left, pairs.right, model=model, **BASE)
        assert row["spearman"] == pytest.approx(spearman(pairs, measured.values))
    assert [row["base"] for row in table.rows] == ["base", ""]


@pytest.mark.parametrize(("setting", "value"), [("weighting", "x"), ("leg", ""), ("levels", "no")])
def test_values_of_a_sweep_that_do_not_exist_are_refused(setting, value):
    pairs = ScoredPairs("toy", ["a", "a", "b"], ["b", "c", "c"], np.array([5.0, 2.0, 1.0]))
    with pytest.raises(ValueError, match=f"{setting}='{value}': expected one of"):
        ablate(pairs, sweeps={setting: [value]}, model="embedded", memory=None)
