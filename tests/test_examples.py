"""The examples run, on the embedded model."""

import os
import re
import runpy
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

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
