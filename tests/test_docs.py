"""Python on the pages runs as it stands, each block after those above it."""

import ast
import importlib
import inspect
import itertools
import re
from pathlib import Path

import diffusers
import numpy as np
import pytest

PAGES = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"(<!-- not run.*-->\n)?```python\n(.*?)```", re.S)


def blocks(page):
    """Blocks of a page that are to run."""
    found = BLOCK.findall((PAGES / page).read_text(encoding="utf-8"))
    return [block for skipped, block in found if not skipped and "+SKIP" not in block]


def run(page, names):
    """Run a page from its first block to its last."""
    for block in blocks(page):
        exec(compile(block, page, "exec"), names)
    return names


@pytest.mark.slow
def test_human_scores(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path))
    words = ["dog", "cat", "car", "bus", "apple", "pear", "rose"]
    pairs = enumerate(itertools.combinations(words, 2))
    lines = ["word1\tword2\tscore", *(f"{a}\t{b}\t{i % 7}" for i, (a, b) in pairs)]
    Path("pairs.tsv").write_text("\n".join(lines))
    names = {}
    first, *others = blocks("human_scores.md")
    exec(compile(first, "human_scores.md", "exec"), names)
    out = capsys.readouterr().out
    assert "-log J on pairs: 21 pairs" in out
    assert "| -log J | text encoder, cosine | 21 |" in out
    assert others
    for block in others:
        exec(compile(block, "human_scores.md", "exec"), names)
    assert names["predicted"].shape == (21,)


def test_quick_start(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path))
    run("quick_start.md", {})
    assert capsys.readouterr().out.count("\n") == 9  # two matrices of 4 rows, and the clusters


def test_a_denoiser_of_ones_own():
    found = run("checkpoint.md", {})["measured"].values
    np.testing.assert_allclose(found, [[0, 0.5, 2], [0.5, 0, 0.5], [2, 0.5, 0]], rtol=0.01)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # some blocks show what goes wrong
def test_clustering(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path))
    names = run("clustering.md", {})
    assert names["search"].best_estimator_[0].n_evaluations_ == 0
    out = capsys.readouterr().out
    scores = dict(re.findall(r"^(\w+, [\w ]+): (\S+)$", out, re.M))
    right = float(scores.pop("kernel, precomputed"))
    assert len(scores) == 3
    assert all(float(wrong) < right - 0.1 for wrong in scores.values())


@pytest.mark.slow
def test_many_machines(capsys):
    run("many_machines.md", {})
    assert capsys.readouterr().out == "True\n"


def test_the_papers_settings(capsys):
    run("api.md", {})
    assert capsys.readouterr().out == "CompVis/stable-diffusion-v1-4 paper timesteps\n"


LISTED = re.findall(r"^   ((?:\w+\.)*\w+)$", (PAGES / "api.md").read_text(encoding="utf-8"), re.M)


def test_every_public_name_is_in_the_reference():
    from conjure_kernel import __all__, plot

    public = {*__all__, *(f"plot.{name}" for name in plot.__all__)} - {"__version__"}
    assert len(public) > 30
    assert not public - set(LISTED)


@pytest.mark.parametrize("name", LISTED)
def test_every_name_of_the_reference_has_an_example(name):
    """In its docstring, or on the page where it cannot have one (`PAPER`, a dictionary)."""
    module, _, last = f"conjure_kernel.{name}".rpartition(".")
    thing = getattr(importlib.import_module(module), last)
    if isinstance(thing, dict):
        assert name in "".join(blocks("api.md"))
    else:
        assert ">>>" in thing.__doc__


def rows_of(page, begin, end):
    """Cells of the table between two marks of a page."""
    text = (PAGES / page).read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]
    return [line.strip("| ").split(" | ") for line in text.strip().splitlines()[2:]]


def test_the_published_models_are_of_the_families_and_guided_as_by_default():
    families = rows_of("models.md", "<!-- table: made from the tests -->", "<!-- end of the table")
    pipelines = {family: cells[0].strip("`") for family, *cells in families}
    rows = rows_of("models.md", "<!-- models -->", "<!-- end of models")
    assert len(rows) > 15
    for family, w, billions, gigabytes, line in rows:
        call = ast.parse(line.strip("`")).body[0].value
        assert call.func.id == "ConjureDistance"
        assert "/" in ast.literal_eval(call.args[0])
        call_of = inspect.signature(getattr(diffusers, pipelines[family]).__call__).parameters
        for keyword in call.keywords:
            assert keyword.arg == "model_kwargs"
            assert set(ast.literal_eval(keyword.value)) <= set(call_of)
        assert float(gigabytes) == pytest.approx(2 * float(billions), 0.01)
        assert w == "1" or float(w.split(",")[0]) == call_of["guidance_scale"].default
