"""Benchmarks that take a GPU or many minutes: the road that they take, on toys."""

import csv

import diffusers
import numpy as np
import pytest
import torch
from sklearn.metrics import euclidean_distances

import _dit
import _results
import clusters
import drift
import gpu
import interval_coverage
import overhead
import series
import words
from conjure_kernel import load_denoiser
from measured import IGNORED
from training import planted

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(IGNORED)]


@pytest.fixture(autouse=True)
def tables(tmp_path, monkeypatch):
    monkeypatch.setattr(_results, "HERE", tmp_path)

    def read(name):
        with (tmp_path / "results" / f"{name}.csv").open() as stream:
            return list(csv.DictReader(stream))

    return read


def test_gpu_refuses_a_machine_without_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"no CUDA device.*try the code with --tiny"):
        gpu.main([])


def test_gpu_on_a_toy(tables, capsys):
    gpu.main(["--tiny", "--seconds", "0.01"])
    row, transformer = tables("gpu")
    assert (row["model"], transformer["model"]) == ("tiny sd14", "tiny sd3")
    assert float(transformer["engine_of_bare"]) > 0
    n = gpu.TINY["prompts"]
    assert int(row["engine_predictions"]) == n * (n - 1) * 10 + n * 3 * 20
    share = float(row["engine_per_second"]) / float(row["bare_per_second"])
    assert float(row["engine_of_bare"]) == pytest.approx(share, rel=0.01)
    assert float(row["vectors_per_second"]) > 0
    sts = 1379 * (2 * 3 * 20 + 2 * 10) / float(row["pairs_per_second"]) / 60
    assert float(row["sts_b_minutes"]) == pytest.approx(sts, rel=0.05)
    beside = tables("algorithm_1")
    assert [float(row["guidance"]) for row in beside] == [1, 5]
    assert all(float(row["largest_difference"]) < 1e-4 for row in beside)
    assert "engine_of_bare" in capsys.readouterr().out


def test_overhead_on_a_toy(tables, capsys):
    overhead.main(["--tiny", "--rows", "2", "--steps", "3", "--rounds", "3"])
    (row,) = tables("overhead")
    assert row["model"] == "tiny"
    assert int(row["bare_predictions"]) == int(row["replay_predictions"]) == 2 * 3 * 3
    assert int(row["pipeline_predictions"]) == 2 * 4 * 3  # PNDM repeats a step
    for way in ("replay", "pipeline"):
        low, high = map(float, row[f"{way}_range"].split())
        assert low <= float(row[f"{way}_of_bare"]) <= high
    assert capsys.readouterr().out.count("round") == 3 + 1


@pytest.mark.parametrize("design", ["one hub", "all pairs of 15"])
def test_interval_coverage_of_a_few_repetitions(tables, capsys, design):
    interval_coverage.main(["--repetitions", "10", "--designs", design])
    rows = tables("interval_coverage")
    assert len(rows) == 3 * 4
    for figure in interval_coverage.FIGURES:
        assert sum(float(row[figure]) for row in rows) / len(rows) > 85
    assert f"| {design} | 0.900 | 0.600 |" in capsys.readouterr().out


def test_maps_of_words_on_four_scenes(capsys):
    words.main(["--scenes", "4", "--draws", "1", "--list"])
    *scenes, _, _, colour, count, _ = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in scenes] == ["colour", "count"] * 2
    for cells, n in ((colour, 4), (count, 2)):
        _, _, scenes, share, chance, other, *_ = (cell.strip() for cell in cells.split("|"))
        assert int(scenes) == n
        assert 0 < float(chance) < float(share) < 1
        assert float(other) < float(share)


def test_the_true_size_is_that_of_stable_diffusion():
    pipeline = gpu.make_pipeline({**gpu.TRUE, "text": gpu.TINY["text"]}, "meta")
    assert sum(p.numel() for p in pipeline.unet.parameters()) == 859_520_964
    assert pipeline.unet.config.sample_size == 64
    with torch.device("meta"):
        transformer = diffusers.SD3Transformer2DModel(**_dit.TRUE["transformer"])
    assert 2.0e9 < sum(p.numel() for p in transformer.parameters()) < 2.1e9


@pytest.mark.filterwarnings("ignore:.*at the last noise level", "ignore:the models compute in")
def test_drift_of_two_prompts(tables, tmp_path, capsys):
    options = ["--prompts", "2", "--steps", "1", "--draws", "2", "--folder", str(tmp_path)]
    drift.main(["--tiny", *options])
    rows = {row["against"]: row for row in tables("drift")}
    assert list(rows) == ["fine-tuned", "8-bit", "bfloat16", "small calls"]
    value = {name: float(row["concept"]) for name, row in rows.items()}
    assert value["fine-tuned"] > 3 * value["8-bit"] > 4 * value["bfloat16"] > 0
    assert value["small calls"] < 1e-6
    for row in rows.values():
        assert (row["prompts"], row["draws"], row["rank"]) in (("2", "2", "1"), ("2", "2", "2"))
        assert float(row["standard_error"]) <= float(row["concept"])
        assert float(row["median"]) == float(row["largest_other"])  # of the one other prompt
    assert rows["bfloat16"]["dtype"] == "bfloat16"
    assert capsys.readouterr().out.count("a strawberry") == 4
    rounded = load_denoiser(tmp_path / "int8", dtype="float32").load().pipeline.unet
    weights = rounded.mid_block.resnets[0].conv1.weight.flatten(1)
    in_steps = 127 * weights / weights.abs().amax(1, keepdim=True)
    assert (in_steps - in_steps.round()).abs().max() < 1e-3


@pytest.mark.filterwarnings("ignore:Graph is not fully connected")
@pytest.mark.parametrize("method", [m for m in clusters.CHOOSING if "propagation" not in m])
def test_methods_that_choose_the_number_find_far_groups(method):
    kinds = np.repeat(np.arange(3), 20)
    rows = np.random.default_rng(0).standard_normal((60, 5)) / 3 + 10 * np.eye(3, 5)[kinds]
    rand, pure = clusters.scored(clusters.CHOOSING[method](euclidean_distances(rows)), kinds)
    assert pure > 0.6
    assert rand > (0.2 if "fine" in method else 0.9)


def test_the_score_of_strays():
    kinds = np.array([0, 0, 0, 1, 1, 1])
    assert clusters.scored(kinds, kinds) == (1, 1)
    rand, pure = clusters.scored(np.array([0, 0, -1, 1, 1, -1]), kinds)
    assert 0 < rand < 1
    assert pure == pytest.approx(4 / 6)


def test_name_sets_have_the_sizes_that_the_page_says():
    sizes = {
        name: (len(prompts), [len(set(labels)) for labels in by.values()])
        for name, (prompts, by) in clusters.name_sets().items()
    }
    assert sizes == {
        "words": (60, [5]),
        "kinds": (205, [5]),
        "hypernyms": (570, [26]),
        "colours": (96, [8, 12]),
        "forms": (200, [40]),
    }


@pytest.mark.filterwarnings("ignore:.*at the last noise level")
def test_what_was_planted_in_a_few_steps(tables, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(planted, "HELD", "apple cat")
    monkeypatch.setattr(series, "MOST_PICTURES", 4)
    monkeypatch.setattr(series, "ANCHORS", ["a tomato"])
    sizes = ["--steps", "1", "2", "3", "4", "5", "--erase", "2", "1", "--pictures", "2"]
    planted.main([str(tmp_path), *sizes])
    series.main([str(tmp_path), "--prompts", "4", "--draws", "2", "--steps", "2"])
    (row,), (erased,) = tables("series"), tables("erasures")
    assert (row["prompts"], row["draws"]) == ("4", "2")
    assert float(row["order"]) > 0.5
    assert 1 <= int(row["rank"]) <= 4
    assert 1 <= int(row["kid_rank"]) <= 4
    for name in ("drift", "kid", "classifier"):
        low, high = map(float, erased[f"{name}_interval"].split())
        assert low <= float(erased[name]) <= high
    assert len(erased["distances"].split()) == 6
    assert "gone-1: gone" in capsys.readouterr().out


def test_the_interval_of_an_area_under_the_curve():
    assert series.auc([3, 4, 5], [0, 1, 2])[0::2] == (1.0, 1.0)
    value, low, high = series.auc([1, 3, 5], [0, 2, 4])
    assert value == pytest.approx(6 / 9)
    assert 0 < low < value < high < 1
    many = series.auc(range(50, 150), range(100))
    assert many[2] - many[1] < high - low
