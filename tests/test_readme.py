"""The README's own Python runs as it stands, on the embedded model."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ALL = re.findall(r"(<!-- not run: [^\n]*-->\n)?```python\n(.*?)```", README, re.S)
BLOCKS = [block for skipped, block in ALL if not skipped]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n", 1)[0][:60])
def test_block_runs(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path))
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_first_block_finds_its_clusters(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path))
    names = {}
    exec(compile(BLOCKS[0], "README.md", "exec"), names)
    fruit, vehicles = names["pipeline"]["cluster"].labels_.reshape(2, 2)
    assert fruit[0] == fruit[1] != vehicles[0] == vehicles[1]


def test_there_are_blocks_and_linked_files_exist():
    assert len(ALL) == README.count("```python") > len(BLOCKS) >= 2
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing
