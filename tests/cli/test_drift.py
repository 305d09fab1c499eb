"""`conjure drift --series` and `conjure erasure`: what they print and write, and bad input."""

import csv
import json

import pytest
import torch
from safetensors.torch import save_file

from conjure_kernel import ConjureDrift, audit_erasure, load_denoiser

SMALL = ["--steps", "2", "--draws", "3", "--dtype", "float32"]
PROMPTS = ["strawberry", "a bus", "tomato"]
OPTIONS = {"n_steps": 2, "n_draws": 3, "dtype": "float32"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two checkpoints of the embedded model, their network's last layer ever stronger."""
    folder = tmp_path_factory.mktemp("run")
    pipeline = load_denoiser("embedded", dtype="float32").pipeline
    weights = pipeline.unet.conv_out.weight.data
    kept = weights.clone()
    for i in (1, 2):
        weights.copy_(kept * (1 + 0.02 * i))
        pipeline.save_pretrained(folder / f"step-{i}")
    weights.copy_(kept)
    return [folder / "step-1", folder / "step-2"]


def test_a_series_prints_and_writes_what_the_library_finds(conjure, run, prompts, cache, tmp_path):
    output = tmp_path / "run.csv"
    asked = ["drift", prompts, "--model", "embedded", "--target", "a dog", "--series", *run]
    code, out, err = conjure(*asked, "-o", output)
    assert code == 0, err
    assert "noise predictions to make" in err
    drift = ConjureDrift("embedded", **OPTIONS, memory=cache)
    series = drift.fit_series(run, PROMPTS, groups={"target": ["a dog"]})
    assert series.n_evaluations == 0
    first, second = out.splitlines()[1:3]
    assert first.split()[0] == "step-1"
    assert [f"{row['target']:.3g}" for row in series.verdicts().rows] == [
        first.split()[1],
        second.split()[1],
    ]
    assert first.split()[4] == "yes"
    assert "Most drifted beside the target at step-2:" in out
    assert f"{series.collateral()[0]['prompt']} (neighbours)" in out
    with output.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in series.table().rows]
    assert json.loads((tmp_path / "run.csv.json").read_text())["checkpoints"] == [
        "step-1",
        "step-2",
    ]
    code, _, err = conjure(*asked, "-o", tmp_path / "run.html")
    assert code == 0, err
    page = (tmp_path / "run.html").read_text()
    assert "step-2" in page
    assert 'src="data:image/png' in page
    assert "http" not in page


def test_an_erasure_prints_and_writes_what_the_library_finds(
    conjure, run, prompts, cache, tmp_path
):
    models = ["--model", "embedded", "--model", run[1]]
    asked = ["erasure", *models, "tomato", "--synonym", "a tomato", "--anchor", "a bus"]
    code, out, err = conjure(*asked, "--held", prompts, "-o", tmp_path / "a.md")
    assert code == 0, err
    found = audit_erasure(
        "embedded", str(run[1]), "tomato", synonyms=["a tomato"], anchors=["a bus"],
        held=["strawberry"], **OPTIONS, memory=cache,
    )  # fmt: skip
    assert found.n_evaluations == 0
    assert out.startswith("tomato: not gone")
    after = found.descriptions()[0]["after"]
    assert out.splitlines()[3].startswith(f"{after:.3g} [")
    assert "Where it went" in out
    assert "Drift beside it" in out
    assert "nan" not in out
    assert "| prompt | kind | before |" in (tmp_path / "a.md").read_text()


def test_a_lora_of_the_command_line_is_one_of_the_base(conjure, prompts, tmp_path):
    file = tmp_path / "my-lora.safetensors"
    save_file({"unet.to_k.lora_A.weight": torch.zeros(2, 2)}, file)
    code, _, err = conjure(
        "drift", "--model", "embedded", "--target", "a dog", prompts, "--series", f"{file}:0.5"
    )
    assert code == 2
    assert "my-lora.safetensors" in err
    assert "expected a LoRA file of this model" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--model", "a", "--model", "b", "--series", "c"],
            "--model: expected one model with --series, got 2",
        ),
        (["--model", "embedded", "--series", "a"], "--target: expected at least one prompt"),
        (["--model", "a", "--model", "b", "--target", "x"], "expected only with --series"),
        (
            ["--model", "a", "--series", "b", "--target", "x", "-o", "run.txt"],
            "'run.txt': expected a name that ends in",
        ),
        (["--model", "embedded", "--series", "nowhere/x", "--target", "cat"], "nowhere/x"),
    ],
)
def test_bad_input_is_one_line(conjure, prompts, options, message):
    code, out, err = conjure("drift", prompts, *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
