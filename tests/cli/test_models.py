"""`conjure drift`: what it prints and writes, and bad input in one line."""

import csv
import json

import numpy as np
import pytest
from scipy import stats

from conjure_kernel import (
    ConjureDrift,
    GaussianDenoiser,
    cli,
    load_denoiser,
    model_agreement,
    pairwise_divergence,
)

SMALL = ["--steps", "2", "--draws", "2"]
PROMPTS = ["strawberry", "a bus", "tomato"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


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


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(PROMPTS))
    return path


@pytest.fixture
def conjure(cache, capsys):
    def run(*args):
        code = cli.main([*map(str, args), *SMALL, "--cache", str(cache)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


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
    assert (code, "exists" in err) == (2, True)


def test_drift_draws_both_models(conjure, twin, prompts, tmp_path):
    output = tmp_path / "drift.png"
    code, _, err = conjure("drift", "--model", "embedded", "--model", twin, prompts, "-o", output)
    assert code == 0, err
    assert output.read_bytes().startswith(b"\x89PNG")
    assert f"'{output}' written" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--model"),
        (["--model", "embedded"], "--model was given 1 times: pass it twice"),
        (["--model", "a", "--model", "b", "-o", "drift.txt"], "ends in .csv, .png"),
    ],
)
def test_bad_input_is_one_line(conjure, prompts, options, message):
    code, out, err = conjure("drift", prompts, *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_agree_prints_and_writes_what_the_library_finds(conjure, twin, tmp_path, cache):
    words = [*PROMPTS, "a dog", "a house"]
    path, output = tmp_path / "words.txt", tmp_path / "agree.png"
    path.write_text("\n".join(words))
    models = ["--model", "embedded", "--model", twin]
    code, out, err = conjure("agree", *models, path, "-o", output)
    assert code == 0, err
    assert output.read_bytes().startswith(b"\x89PNG")
    a, b = (
        pairwise_divergence(words, model=m, n_steps=2, n_draws=2, memory=cache).values[
            np.triu_indices(5, 1)
        ]
        for m in ("embedded", twin)
    )
    expected = stats.spearmanr(a, b).statistic
    assert expected < 0.999
    assert out.startswith(f"Spearman {expected:.3f} ± ")
    assert "95 % interval" in out
    assert "10 pairs" in out
    gaps = [abs(float(r[2]) - float(r[3])) for r in map(str.split, out.splitlines()[3:])]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0


def test_models_of_one_order_agree_and_one_of_reversed_order_does_not():
    names = [f"prompt {i}" for i in range(6)]
    places = np.array([0.0, 1.0, 2.5, 4.7, 7.9, 12.6])
    one, two, other = (
        GaussianDenoiser(dict(zip(names, p, strict=True)))
        for p in (places, 2 * places, places[[3, 0, 5, 2, 4, 1]])
    )
    same, apart = (model_agreement(names, one, world, memory=None) for world in (two, other))
    assert same.spearman == pytest.approx(1)
    assert (same.low, same.high) == pytest.approx((1, 1))
    assert apart.spearman < 0.5
    assert apart.low < apart.spearman < apart.high
    first = apart.ranking()[0]
    assert abs(first["rank_a"] - first["rank_b"]) >= 8
    with pytest.raises(ValueError, match="2 different prompts: at least 3"):
        model_agreement([*names[:2], names[0]], one, two)
