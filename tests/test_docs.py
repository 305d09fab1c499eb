"""Python on the pages runs as it stands, each block after those above it."""

import itertools
import re
from pathlib import Path

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
