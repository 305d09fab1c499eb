"""Benchmarks of machines that the tests do not run on: the road that they take, on toys."""

import csv
import sys
from pathlib import Path

import pytest
import torch

from measured import IGNORED

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import _results
import gpu

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
    (row,) = tables("gpu")
    n = gpu.TINY["prompts"]
    assert int(row["engine_predictions"]) == n * n * 10 + n * 10
    share = float(row["engine_per_second"]) / float(row["bare_per_second"])
    assert float(row["engine_of_bare"]) == pytest.approx(share, rel=0.01)
    assert float(row["vectors_per_second"]) > 0
    sts = 1379 * (2 * 20 + 2 * 10) / float(row["pairs_per_second"]) / 60
    assert float(row["sts_b_minutes"]) == pytest.approx(sts, rel=0.05)
    beside = tables("algorithm_1")
    assert [float(row["guidance"]) for row in beside] == [1, 5]
    assert all(float(row["largest_difference"]) < 1e-4 for row in beside)
    assert "engine_of_bare" in capsys.readouterr().out


def test_the_true_size_is_that_of_stable_diffusion():
    pipeline = gpu.make_pipeline({**gpu.TRUE, "text": gpu.TINY["text"]}, "meta")
    assert sum(p.numel() for p in pipeline.unet.parameters()) == 859_520_964
    assert pipeline.unet.config.sample_size == 64
