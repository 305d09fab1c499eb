"""The examples run, on the embedded model."""

import os
import re
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
    assert page.strip() in done.stdout
