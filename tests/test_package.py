"""What is built has every file that an installation needs, also when it is built from the sdist."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from conjure_kernel import __version__
from measured import SIBLING

ROOT = Path(__file__).parents[1]
NAME = f"conjure_kernel-{__version__}"
# Not Python, and needed all the same.
DATA = {
    *("__init__.pyi", "evaluation/__init__.pyi", "plot/__init__.pyi", "py.typed"),
    *("cli/names.tsv", "cli/prompts.txt", "plot/html/page.css", "plot/html/page.html"),
    *("plot/html/NOTICE.md", "plot/html/d3.min.js", "plot/html/parts/view.js"),
    *("models/embedded/NOTICE.md", "models/embedded/README.md"),
    "models/embedded/vocabulary.txt",
    "models/embedded/model/unet/diffusion_pytorch_model.safetensors",
}
DOCUMENTS = {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md"}


def build(target, source, folder):
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, capture_output=True, check=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Names in the sdist, and in the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    build("sdist", ROOT, folder)
    with tarfile.open(folder / f"{NAME}.tar.gz") as sdist:
        sdist.extractall(folder, filter="data")
        sources = {name.removeprefix(f"{NAME}/") for name in sdist.getnames()}
    build("wheel", folder / NAME, folder)
    with zipfile.ZipFile(folder / f"{NAME}-py3-none-any.whl") as wheel:
        return sources, {*wheel.namelist()}


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_package(built):
    package = ROOT / "conjure_kernel"
    files = {f.relative_to(ROOT).as_posix() for f in package.rglob("*") if f.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    needed = files | {f"conjure_kernel/{name}" for name in DATA}
    about = {name for name in built[1] if name.startswith(f"{NAME}.dist-info/")}
    assert built[1] - about == needed
    assert f"{NAME}.dist-info/entry_points.txt" in about
    assert not any("sibling" in name for name in built[1])


@pytest.mark.slow
def test_the_sdist_has_the_tests_and_documents(built):
    folders = {name.partition("/")[0] for name in built[0] if "/" in name}
    assert {"benchmarks", "conjure_kernel", "docs", "examples", "tests", "training"} == folders
    assert built[0] >= DOCUMENTS
    assert "tests/test_package.py" in built[0]
    assert any(name.startswith("tests/shared/sibling/model/unet/") for name in built[0])


def test_the_model_that_is_kept_with_the_tests_is_small():
    files = [file for file in SIBLING.rglob("*") if file.is_file()]
    assert 1e6 < sum(file.stat().st_size for file in files) < 6e6
    assert ROOT / "tests" in SIBLING.parents


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", text, re.M)[1] == __version__
