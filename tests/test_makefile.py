"""The Makefile installs what is missing, and nothing into an environment that is ready."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALLS = ["torch", "-e .", "-e .[dev]"]  # what an environment of a developer is made of


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_an_environment_is_made_again_only_if_pyproject_says_something_else(tmp_path):
    project, pip, log = (tmp_path / name for name in ("pyproject.toml", "venv/bin/pip", "log"))
    shutil.copy(ROOT / "Makefile", tmp_path)
    project.write_text("version = 1\n")
    pip.parent.mkdir(parents=True)
    pip.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    pip.chmod(0o755)

    def installed():
        log.write_text("")
        command = ["make", "install", "VENV=venv", "PYTHON=true", "TORCH=torch"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        return [line.removeprefix("install ") for line in log.read_text().splitlines()]

    def stamp(path, seconds):
        os.utime(path, (path.stat().st_mtime + seconds,) * 2)

    assert installed() == INSTALLS
    stamp(project, 60)  # as a checkout of the same words does
    assert installed() == []
    for path in tmp_path.glob("venv/.*"):
        stamp(path, -60)
    project.write_text("version = 2\n")
    stamp(project, -3600)  # as an archive may have it
    assert installed() == INSTALLS
    assert installed() == []
