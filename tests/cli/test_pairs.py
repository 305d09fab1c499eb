"""`conjure pairs`: what it prints and writes of listed pairs, and files that hold none."""

import csv
import json

import pytest

from conjure_kernel import paired_divergence

SMALL = ["--steps", "2", "--draws", "2"]
PAIRS = [("strawberry", "tomato"), ("a bus", "a taxi"), ("a cat", "a bus")]


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "pairs.csv"
    lines = ["id;word1;word2;score", *(f"{i};{a};{b};{i},5" for i, (a, b) in enumerate(PAIRS))]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def expected(cache):
    def measure():
        return paired_divergence(PAIRS, n_steps=2, n_draws=2, memory=cache)

    return measure


def test_each_pair_is_printed_with_its_interval(conjure, listed, expected):
    code, out, err = conjure("pairs", listed)
    assert code == 0, err
    assert "noise predictions for 3 pairs, 5 texts" in err
    found, (low, high) = expected(), expected().interval()
    assert found.n_evaluations == 0
    for i, line in enumerate(out.splitlines()[1:]):
        assert line.endswith("  " + " | ".join(PAIRS[i]))
        j, start, _, end = line.split()[:4]
        numbers = [float(x) for x in (j, start, end)]
        assert numbers == pytest.approx([found.values[i], low[i], high[i]], rel=1e-3)


def test_tables_are_written_and_columns_named(conjure, listed, expected, tmp_path):
    output = tmp_path / "j.csv"
    code, out, err = conjure("pairs", listed, "--columns", "3,word1", "-o", output, "--json")
    assert code == 0, err
    with output.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["prompt_b"], row["prompt_a"]) for row in rows] == PAIRS
    assert [float(row["divergence"]) for row in rows] == pytest.approx(expected().values, rel=1e-6)
    assert [float(row["kl_ba"]) for row in rows] == pytest.approx(expected().legs[0], rel=1e-6)
    assert json.loads((tmp_path / "j.csv.json").read_text())["n_draws"] == 2
    assert [row["prompt_a"] for row in json.loads(out)] == [b for _, b in PAIRS]


def test_relative_to_the_empty_prompt(conjure, listed, cache):
    code, out, err = conjure("pairs", listed, "--origin", "empty")
    assert code == 0, err
    found = paired_divergence(PAIRS, n_steps=2, n_draws=2, memory=cache, origin="empty")
    assert found.n_evaluations == 0
    lines = out.splitlines()
    assert lines[0].startswith("relative ")
    numbers = [float(line.split()[0]) for line in lines[1:]]
    assert numbers == pytest.approx(found.values, rel=1e-3)


def test_files_without_header(conjure, tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("strawberry,tomato\na bus,a taxi\n")
    code, out, err = conjure("pairs", path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "name two with --columns=..., or pass --no-header." in err
    code, out, err = conjure("pairs", path, "--no-header")
    assert code == 0, err
    assert len(out.splitlines()) == 3
    path.write_text("tomato,3.5,strawberry\n")
    assert conjure("pairs", path)[1].splitlines()[1].endswith("  tomato | strawberry")


@pytest.mark.parametrize(
    ("text", "args", "message"),
    [
        ("", [], "'p.csv': expected one pair a line, got no pairs"),
        ("word1,word2\na\n", [], "'p.csv', line 2: expected 2 fields"),
        ("word1,word2\na,b\n", ["--columns", "word1"], "--columns=['word1']: expected those of"),
        ("a,3\n", [], "'p.csv': expected two texts a line"),
        ("word1,word2\na,b\n", ["-o", "x.npz"], "'x.npz': expected a name that ends in .csv, .md"),
    ],
)
def test_bad_input_is_one_line(conjure, tmp_path, monkeypatch, text, args, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.csv").write_text(text)
    code, out, err = conjure("pairs", "p.csv", *args)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
