"""--size, --dpi, --format and --font: what every command that writes a picture does with them."""

import re
from argparse import Namespace
from pathlib import Path

import matplotlib.figure
import pytest
from PIL import Image

from conjure_kernel.cli.pictures import check_picture

SMALL = ["--steps", "2", "--draws", "2", "--quiet"]
PROMPTS = ["$5 and $6", "a bus", "tomato"]
TWO = ["--model", "embedded", "--model", "embedded"]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{p}\t{q}\t{i}" for i, (p, q) in enumerate(zip(PROMPTS, PROMPTS[::-1], strict=True))]
    (tmp_path / "pairs.tsv").write_text("\n".join(["word1\tword2\tscore", *rows]))


COMMANDS = {
    "map": ["map", "prompts.txt", "-o", "picture"],
    "matrix": ["matrix", "prompts.txt", "-o", "picture"],
    "drift": ["drift", *TWO, "prompts.txt", "-o", "picture"],
    "agree": ["agree", *TWO, "prompts.txt", "-o", "picture"],
    "evaluate": ["evaluate", "pairs.tsv", "-o", "picture.json"],
    "ablate": ["ablate", "pairs.tsv", "--sweep", "weighting", "-o", "picture.json"],
    "explain": ["explain", "a bus", "$5 and $6", "-o", "picture"],
    "words": ["words", "a bus", "-o", "picture"],
}


def run(call, cache, name, *options):
    kept = [] if name in ("explain", "words") else ["--cache", cache]
    return call(*COMMANDS[name], *SMALL, *kept, *options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_picture_has_the_size_and_the_dots_that_were_asked_for(name, call, cache, prompts):
    code, _, err = run(call, cache, name, "--size", "3.5x5", "--dpi", "40", "--format", "png")
    assert code == 0, err
    with Image.open("picture.png") as picture:
        assert picture.size == (140, 200)
        assert picture.text["Description"].startswith("{")


def test_without_a_height_it_is_what_the_picture_needs(call, cache, prompts):
    code, _, err = run(call, cache, "map", "--size", "3.5", "--dpi", "40", "--format", "png")
    assert code == 0, err
    with Image.open("picture.png") as picture:
        assert picture.width == 140
        assert picture.height > 150


def test_format_names_what_has_no_ending(call, cache, prompts, tmp_path):
    for kind, start in (("pdf", b"%PDF"), ("svg", b"<?xml")):
        assert run(call, cache, "map", "--format", kind)[0] == 0
        assert (tmp_path / f"picture.{kind}").read_bytes().startswith(start)
    assert run(call, cache, "evaluate", "--format", "svg", "--force")[0] == 0
    assert {path.name for path in tmp_path.glob("picture.*")} >= {"picture.json", "picture.md"}
    args = Namespace(format="pdf", output=Path("map.png"), default_output="map.png")
    check_picture(args)
    assert args.output == Path("map.pdf")
    args = Namespace(format="pdf", output=Path("v1.2"), default_output="map.png")
    check_picture(args)
    assert args.output == Path("v1.2.pdf")


def test_a_font_is_used(call, cache, prompts, tmp_path):
    assert run(call, cache, "matrix", "--format", "svg", "--font", "DejaVu Serif")[0] == 0
    assert "DejaVuSerif" in (tmp_path / "picture.svg").read_text()
    assert matplotlib.rcParams["font.family"] == ["sans-serif"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "wide"], "argument --size: expected inches such as 3.5 or 3.5x2.5, got 'wide'"),
        (["--size", "1"], "--size=1: expected 2 to 60 inches"),
        (["--dpi", "0"], "argument --dpi: expected dots an inch, 10 to 2400, got '0'"),
        (["--font", "Nonsense"], "--font='Nonsense': expected an installed font, or a file"),
        (["-o", "a.png", "--format", "pdf"], "--format=pdf: expected the name of OUTPUT to end"),
        (["-o", "map.png", "--format", "pdf"], "--format=pdf: expected the name of OUTPUT to end"),
        (["--size", "60", "--dpi", "2400"], "--size=60, --dpi=2400"),
        (["-o", "a.csv", "--format", "pdf"], "--format=pdf: expected the name of OUTPUT to end"),
    ],
)
def test_what_cannot_be_is_one_line_before_any_work(call, prompts, tmp_path, options, message):
    code, out, err = call("map", "prompts.txt", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert len(re.findall("^conjure: ", err, re.M)) == 1
    assert not list(tmp_path.glob("*.png"))
