"""`conjure vividness`: a list from vivid to vague, and a file."""

import csv
import json

import pytest

from conjure_kernel import vividness

SMALL = ["--steps", "3", "--draws", "2"]
PROMPTS = ["strawberry", "a bus", "tomato"]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join([*PROMPTS, PROMPTS[0]]))
    return path


def test_prompts_are_listed_from_vivid_to_vague(call, prompts, tmp_path):
    options = [*SMALL, "--cache", tmp_path / "cache"]
    code, out, err = call("vividness", prompts, *options)
    assert code == 0
    assert err.startswith("conjure: up to ")
    found = vividness(PROMPTS, n_steps=3, n_draws=2, memory=tmp_path / "cache")
    assert found.n_evaluations == 0
    ranked = sorted(zip(found.values, PROMPTS, strict=True), reverse=True)
    lines = out.splitlines()
    assert [line.rsplit("  ", 1)[-1].strip() for line in lines] == [p for _, p in ranked]
    assert lines[0].split()[0] == f"{ranked[0][0]:.3g}"
    assert call("vividness", prompts, *options)[2] == ""  # nothing is left to be done


def test_a_table_is_written_with_its_provenance(call, prompts, tmp_path):
    path = tmp_path / "vividness.csv"
    options = [*SMALL, "--cache", "none", "-o", path]
    code, out, err = call("vividness", prompts, *options)
    assert (code, out) == (0, "")
    assert "vividness.csv' written" in err
    rows = list(csv.DictReader(path.read_text().splitlines()))
    values = [float(row["vividness"]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert all(float(row["low"]) < float(row["vividness"]) < float(row["high"]) for row in rows)
    assert json.loads((tmp_path / "vividness.csv.json").read_text())["n_draws"] == 2
    assert call("vividness", prompts, *options)[0] == 2  # the file exists


@pytest.mark.parametrize("ending", ["md", "tex"])
def test_a_table_for_a_paper(call, prompts, tmp_path, ending):
    path = tmp_path / f"vividness.{ending}"
    assert call("vividness", prompts, *SMALL, "--cache", "none", "-o", path, "--quiet")[0] == 0
    assert all(prompt in path.read_text() for prompt in PROMPTS)


def test_a_first_line_that_becomes_a_name_is_told(call, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("tomato\nstrawberry\n")
    options = [*SMALL, "--cache", "none", "--quiet"]
    code, out, err = call("vividness", path, *options)
    assert code == 0
    assert "the first line, 'tomato', is taken for the name of the column" in err
    assert "tomato" not in out
    code, out, err = call("vividness", path, "--no-header", *options)
    assert (code, err) == (0, "")
    assert "tomato" in out
