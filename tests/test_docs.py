"""Python on the pages runs as it stands, each block after those above it."""

import ast
import importlib
import inspect
import itertools
import re
from pathlib import Path

import diffusers
import pytest

PAGES = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"(<!-- not run.*-->\n)?```python\n(.*?)```", re.S)


def blocks(page):
    """Blocks of a page that are to run."""
    found = BLOCK.findall((PAGES / page).read_text(encoding="utf-8"))
    return [block for skipped, block in found if not skipped]


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
    names, (first, second) = {}, blocks("quick_start.md")
    exec(compile(first, "quick_start.md", "exec"), names)
    exec(compile(second, "quick_start.md", "exec"), names)
    assert capsys.readouterr().out.count("\n") == 9  # two matrices of 4 rows, and the clusters


LISTED = re.findall(r"^   ((?:\w+\.)*\w+)$", (PAGES / "api.md").read_text(encoding="utf-8"), re.M)
# An abstract class, whose subclasses have examples, and a dictionary.
NO_EXAMPLE = {"Denoiser", "PAPER"}


def test_every_public_name_is_in_the_reference():
    from conjure_kernel import __all__, plot

    public = {*__all__, *(f"plot.{name}" for name in plot.__all__)} - {"__version__"}
    assert len(public) > 30
    assert not public - set(LISTED)


@pytest.mark.parametrize("name", sorted(set(LISTED) - NO_EXAMPLE))
def test_every_name_of_the_reference_has_an_example(name):
    module, _, last = f"conjure_kernel.{name}".rpartition(".")
    assert ">>>" in getattr(importlib.import_module(module), last).__doc__


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
