"""The examples run, on the embedded model."""

import os
import re
import runpy
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from conjure_kernel import ConjureDrift, plot

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_reproduce_paper(tmp_path):
    words = ["dog", "cat", "car", "bus", "apple", "pear", "rose", "tulip", "ship", "boat", "sun"]
    lines = [f"{a}\t{b}\t{i % 5}" for i, (a, b) in enumerate(pairwise(words))]
    pairs = tmp_path / "few.tsv"
    pairs.write_text("\n".join(["word1\tword2\tscore", *lines]))
    options = ["--model", "embedded", "--tasks", pairs, "--cache", tmp_path / "cache"]
    command = [sys.executable, ROOT / "examples" / "reproduce_paper.py", *options, "--steps", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "reproduce_paper.md").read_text()
    assert re.search(r"^\| few \| 10 \| -?\d+\.\d+ \[-?[\d.]+, -?[\d.]+\] \|", page, re.M), page
    assert page.startswith("| task | pairs | -log J, eps / sigma | -log J, eps | ")
    assert page.strip() in done.stdout


@pytest.mark.slow
def test_the_drift_of_an_erasure(tmp_path, monkeypatch):
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path))
    found = runpy.run_path(str(ROOT / "examples" / "plot_drift.py"))
    drift = dict(zip(found["PROMPTS"], found["drift"].divergences_, strict=True))
    assert max(drift, key=drift.get) == found["ERASED"]
    assert max(drift[prompt] for prompt in found["HELD"]) < 0.1
    assert min(drift["red apple"], drift["cherries"]) > 3
    assert len(found["figure"].axes) == len(found["PROMPTS"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*at the last noise level")
def test_a_lora_logs_itself_and_its_files_are_a_series(tmp_path, monkeypatch, capsys):
    for package in ("peft", "tensorboard"):
        pytest.importorskip(package)
    folder = tmp_path / "lora"
    options = ["--steps", "4", "--every", "2", "--at-most", "1e9", "--folder", str(folder)]
    monkeypatch.setattr(sys, "argv", ["train_lora.py", *options])
    found = runpy.run_path(str(ROOT / "examples" / "train_lora.py"))
    logged, series = found["log"].history, found["series"]
    assert [row["step"] for row in logged.rows] == [2, 4]
    assert series.names == ["step-2.safetensors", "step-4.safetensors"]
    # The files have what was in memory when it was logged; the second has noise of its own.
    (first, second), checkpoints = logged.rows, series.verdicts().rows
    assert first["target"] == pytest.approx(checkpoints[0]["target"], rel=1e-3)
    assert second["target"] == pytest.approx(checkpoints[1]["target"], rel=0.5)
    assert 0.01 < first["target"] < second["target"]
    assert "step-4.safetensors" in (folder / "run.html").read_text()
    assert "collapsed" in capsys.readouterr().out
    # A LoRA at scale 0 is the base, and twice as much is more.
    scaled = [{folder / "step-4.safetensors": scale} for scale in (0.0, 1.0, 2.0)]
    drift = ConjureDrift("embedded", **{**found["QUICK"], "n_steps": 2})
    none, once, twice = drift.fit_series(scaled, groups=found["groups"]).verdicts().rows
    assert none["target"] < 1e-6
    assert twice["target"] > 1.5 * once["target"]


def test_the_gallery_has_each_kind_of_figure_once():
    source = (ROOT / "examples" / "plot_figures.py").read_text()
    kinds = [name for name in plot.__all__ if name.startswith("plot_")]
    assert len(kinds) > 15
    counts = {kind: len(re.findall(rf"\b{kind}\(", source)) for kind in kinds}
    assert counts == dict.fromkeys(kinds, 1) | {"plot_overview": 2}
