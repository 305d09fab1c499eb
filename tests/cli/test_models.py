"""`conjure check`, `drift` and `agree`: what they print and write, and bad input in one line."""

import csv
import json
import re

import diffusers
import numpy as np
import pytest
from PIL import Image
from scipy import stats

import pipelines
from conjure_kernel import ConjureDrift, load_denoiser
from conjure_kernel.engine.opening import open_engine
from conjure_kernel.engine.pairwise import measure_matrix
from measured import SIBLING, SIDE

SMALL = ["--steps", "2", "--draws", "2"]
PROMPTS = ["strawberry", "a bus", "tomato"]


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """The embedded model with its network's last layer half as strong again."""
    folder = tmp_path_factory.mktemp("models") / "twin"
    pipeline = load_denoiser("embedded", dtype="float32").pipeline
    weights = pipeline.unet.conv_out.weight.data
    kept = weights.clone()
    weights *= 1.5
    pipeline.save_pretrained(folder)
    weights.copy_(kept)
    return folder


def test_drift_prints_and_writes_what_the_library_finds(conjure, twin, prompts, cache, tmp_path):
    models = ["--model", "embedded", "--model", twin]
    output = tmp_path / "drift.csv"
    code, out, err = conjure("drift", *models, prompts, "-o", output)
    assert code == 0, err
    drift = ConjureDrift("embedded", str(twin), n_steps=2, n_draws=2, memory=cache).fit(PROMPTS)
    assert drift.n_evaluations_ == 0
    with output.open() as stream:
        rows = list(csv.DictReader(stream))
    expected = drift.ranking().rows
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in expected]
    assert [float(row["divergence"]) for row in rows] == [row["divergence"] for row in expected]
    assert expected[-1]["divergence"] > 0.01
    printed = out.splitlines()[1:]
    assert [line.split("  ")[-1].strip() for line in printed] == [r["prompt"] for r in expected]
    assert [float(line.split()[0]) for line in printed] == pytest.approx(
        [row["divergence"] for row in expected], rel=1e-3
    )
    about = json.loads((tmp_path / "drift.csv.json").read_text())
    assert about["models"] == ["embedded", str(twin)]
    code, _, err = conjure("drift", *models, prompts, "-o", output)
    assert (code, "expected a new file" in err) == (2, True)
    code, _, err = conjure("drift", *models, prompts, "-o", tmp_path / "drift.tex")
    assert code == 0, err
    assert (
        f"{expected[0]['prompt']} & {expected[0]['divergence']:.3f}"
        in (tmp_path / "drift.tex").read_text()
    )


def test_drift_pictures_both_models(conjure, twin, prompts, tmp_path):
    output = tmp_path / "drift.png"
    code, _, err = conjure("drift", "--model", "embedded", "--model", twin, prompts, "-o", output)
    assert code == 0, err
    assert output.read_bytes().startswith(b"\x89PNG")
    assert f"'{output}' written" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--model"),
        (["--model", "embedded"], "--model: expected two models, A and B, got 1"),
        (
            ["--model", "a", "--model", "b", "-o", "drift.txt"],
            "'drift.txt': expected a name that",
        ),
    ],
)
def test_bad_input_is_one_line(conjure, prompts, options, message):
    code, out, err = conjure("drift", prompts, *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_agree_prints_and_writes_what_the_library_finds(conjure, tmp_path, cache):
    words = [*PROMPTS, "a dog", "a house"]
    path, output = tmp_path / "words.txt", tmp_path / "agree.png"
    path.write_text("\n".join(words))
    models = ["--model", "embedded", "--model", SIBLING]
    code, out, err = conjure("agree", *models, path, "-o", output)
    assert code == 0, err
    assert output.read_bytes().startswith(b"\x89PNG")
    settings = {"n_steps": 2, "n_draws": 2, "memory": cache, "check_steps": 0}
    engines = [
        open_engine({**settings, "model": model}, role=role)  # each model has noise of its own
        for role, model in enumerate(("embedded", SIBLING))
    ]
    above = np.triu_indices(5, 1)
    a, b = (measure_matrix(engine, words, words).values[above] for engine in engines)
    expected = stats.spearmanr(a, b).statistic
    assert expected < 0.999
    assert out.startswith(f"Spearman {expected:.3f} ± ")
    assert "95 % interval" in out
    assert "10 pairs" in out
    gaps = [abs(float(r[2]) - float(r[3])) for r in map(str.split, out.splitlines()[3:])]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0


# ---------------------------------------------------------------- check


def test_check_describes_a_model_on_one_page(conjure, tmp_path):
    picture = tmp_path / "three.png"
    code, out, err = conjure("check", "embedded", "--dtype", "float32", "-o", picture)
    assert code == 0, err
    page = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in out.splitlines() if line)
    assert page["law"] == "variance preserving, the network says v"
    assert (page["guidance"], page["prompts a call"]) == ("any w", "many")
    assert page["state"] == "4 x 8 x 8 on cpu"
    assert page["self-replay"].startswith("0 of")
    assert int(page["asked at load"].split()[0]) < 40
    assert page["tokenizer reads"] == "16 tokens"
    with Image.open(picture) as image:
        assert image.size == (3 * SIDE, SIDE)


def test_check_says_that_prompts_change_nothing(conjure, tmp_path):
    pipelines.gaussian_stable_diffusion({"": (np.zeros(16), np.ones(16))}).save_pretrained(tmp_path)
    code, out, err = conjure("check", tmp_path, "--dtype", "float32")
    assert (code, out) == (2, "")
    assert "expected that the prompt changes what is predicted" in err


def test_check_says_why_a_model_cannot_be_measured(conjure, tmp_path):
    pipe = pipelines.stable_diffusion()
    pipe.scheduler = diffusers.CMStochasticIterativeScheduler()
    pipe.save_pretrained(tmp_path)
    code, out, err = conjure("check", tmp_path)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("conjure: scheduler CMStochasticIterativeScheduler")
