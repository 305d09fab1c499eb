"""`conjure evaluate` and `conjure ablate`: what they print and write, and bad input in one line."""

import csv
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from conjure_kernel import load_denoiser, paired_divergence
from conjure_kernel.models.pretrained.pipeline import PretrainedDenoiser

SMALL = ["--steps", "2", "--draws", "2"]
WORDS = ["dog", "cat", "bus", "car", "tomato", "house"]
PAIRS = [(a, b) for i, a in enumerate(WORDS) for b in WORDS[:i]]


@pytest.fixture
def task(tmp_path):
    path = tmp_path / "words.tsv"
    rows = [f"{a}\t{b}\t{(3 * i) % 7}" for i, (a, b) in enumerate(PAIRS)]
    path.write_text("\n".join(["word1\tword2\tscore", *rows]))
    return path


def spearman(**options):
    measured = paired_divergence(*zip(*PAIRS, strict=True), n_steps=2, n_draws=2, **options)
    scores = [(3 * i) % 7 for i in range(len(PAIRS))]
    return stats.spearmanr(-measured.values, scores).statistic


def test_evaluate_prints_and_writes_what_the_library_finds(conjure, task, cache, tmp_path):
    output = tmp_path / "out.json"
    code, out, err = conjure("evaluate", task, "--baseline", "text", "-o", output)
    assert code == 0
    assert "7 texts" in err  # with the empty one
    assert "-log R on words: 15 pairs, 0 missing" in out
    assert "text encoder, cosine on words" in out
    assert "words: all pairs, and differences of Spearman from the first" in out
    assert "Pairs that disagree most with the scores, -log R" in out
    facts = json.loads(output.read_text())
    assert facts["results"][0]["table"][0]["spearman"] == pytest.approx(
        spearman(memory=cache, origin="empty")
    )
    assert facts["differences"][0]["b"] == "text encoder, cosine"
    assert output.with_suffix(".md").read_text().strip() == out.strip()
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    code, _, err = conjure("evaluate", task, "-o", output)
    assert code == 2
    assert "out.json': expected a new file, got one that exists; pass --force" in err


def test_a_reversed_scale_is_told(conjure, task, cache):
    measured = paired_divergence(PAIRS, n_steps=2, n_draws=2, memory=cache, origin="empty")
    for sign, told in ((1, True), (-1, False)):
        rows = [f"{a}\t{b}\t{sign * j}" for (a, b), j in zip(PAIRS, measured.values, strict=True)]
        task.write_text("\n".join(["word1\tword2\tscore", *rows]))
        code, _, err = conjure("evaluate", task)
        assert code == 0, err
        assert ("words: similarity falls where scores rise (Spearman -1.00)" in err) == told


@pytest.mark.parametrize("verb", [["evaluate", "--baseline", "text"], ["ablate", "--sweep", "leg"]])
@pytest.mark.parametrize(
    ("name", "start"), [("table.tex", r"\begin{tabular}"), ("table.md", "---")]
)
def test_tables_are_written_for_a_paper(conjure, task, cache, tmp_path, verb, name, start):
    output = tmp_path / name
    code, _, err = conjure(*verb, task, "-o", output)
    assert code == 0, err
    tables = output.read_text().split("\n\n")
    assert len(tables) == (6 if verb[0] == "evaluate" else 2)  # the last is the provenance
    assert all(start in table for table in tables[:-1])
    assert '"task": ' in tables[-1]
    assert [path.name for path in tmp_path.glob("table*")] == [name]


def test_evaluate_again_costs_nothing_and_samples_by_seed(conjure, task, cache):
    for cost in (r"[1-9]\d*", "0"):  # of a check of other pairs, the first time
        code, out, err = conjure("evaluate", task, "--pairs", 12, "--seed", 0)
        assert code == 0
        assert re.search(rf"12 pairs, 0 missing; {cost} noise predictions", out), out
    assert "noise predictions" not in err


def test_several_models_are_one_table_with_differences(conjure, task, tmp_path):
    other = tmp_path / "other"
    load_denoiser("embedded").pipeline.save_pretrained(other)
    output = tmp_path / "models.csv"
    models = ["--model", "embedded", "--model", other, "--worst", 0]
    code, out, err = conjure("evaluate", task, *models, "-o", output)
    assert code == 0, err
    assert "Pairs that disagree" not in out
    rows = list(csv.DictReader(output.read_text().splitlines()))
    assert [row["name"] for row in rows] == ["embedded", "other"]
    assert rows[0]["difference"] == "nan"
    assert float(rows[1]["difference"]) == 0
    assert float(rows[1]["difference_p"]) == 1
    assert float(rows[0]["spearman_low"]) < float(rows[0]["spearman"])
    about = json.loads((tmp_path / "models.csv.json").read_text())
    assert about["model"] == ["embedded", str(other)]
    code, _, err = conjure("evaluate", task, "--leg", "ab", "-o", tmp_path / "one.csv")
    about = json.loads((tmp_path / "one.csv.json").read_text())
    known = {"model": "embedded", "leg": "ab", "n_steps": 2, "n_draws": 2, "origin": "empty"}
    assert known.items() <= about.items()


def test_a_picture_of_scores_and_similarities(conjure, task, tmp_path):
    output = tmp_path / "ratings.png"
    code, out, err = conjure("evaluate", task, "-o", output, "--worst", 2)
    assert code == 0, err
    assert output.read_bytes().startswith(b"\x89PNG")
    worst = out.rpartition("place by similarity |")[2].strip().splitlines()
    assert len(worst) == 1 + 2
    assert "probably unknown" not in err


def test_words_that_a_model_does_not_know_are_told(call, task, tmp_path):
    task.write_text("word1\tword2\tscore\nqwrtzx\tdog\t1\ncat\tdog\t2\na theory\tdog\t0\n")
    run = ["evaluate", task, *SMALL, "--cache", tmp_path]
    code, _, err = call(*run)
    assert code == 0, err
    told = "conjure: warning: probably unknown to the embedded model: 'qwrtzx', 'theory' (2 of 4 "
    assert err.count("unknown") == err.count(told) == 1
    load_denoiser("embedded").pipeline.save_pretrained(tmp_path / "other")
    code, _, err = call(*run, "--model", tmp_path / "other")
    assert code == 0, err
    assert "other: probably unknown, as its text encoder takes them for strings of letters: " in err
    assert "'qwrtzx'; it draws" in err
    assert err.count("unknown") == 1
    _, _, err = call(*run, "--model", tmp_path / "other")  # no model is loaded
    assert "unknown" not in err


def test_image_baselines_and_legs(conjure, task):
    code, out, _ = conjure(
        "evaluate", task, "--baseline", "kid", "--images", 8, "--leg", "ab", "--quiet"
    )
    assert code == 0
    assert "images, kid on words" in out
    assert "-log KL(a || b), relative on words" in out


def test_ablate_prints_and_writes(conjure, task, cache, tmp_path):
    output = tmp_path / "ablation.json"
    args = [task, "--sweep", "n_draws=1,2,3", "--sweep", "leg", "-o", output]
    code, out, err = conjure("ablate", *args)
    assert code == 0, err
    assert "words: 15 pairs" in out
    rows = json.loads(output.read_text())["table"]
    assert [(r["setting"], r["value"]) for r in rows] == [
        *(("n_draws", str(k)) for k in (1, 2, 3)),
        *(("leg", leg) for leg in ("jeffreys", "ab", "ba")),
    ]
    assert rows[1]["spearman"] == pytest.approx(spearman(memory=cache))
    assert rows[1]["base"] == "base"
    assert np.isfinite(rows[2]["difference"])
    assert output.with_suffix(".png").exists()
    assert output.with_suffix(".md").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["evaluate", "nothing"],
            "PAIRS='nothing': expected a file, .* sts12",
        ),
        (["evaluate", "no.tsv"], "'no.tsv': No such file"),
        (["evaluate", "TASK", "-o", "x.txt"], "'x.txt': expected a name .* .json"),
        (["evaluate", "TASK", "-o", "TASK"], "words.tsv': expected another file than the one that"),
        (
            ["evaluate", "TASK", "-o", "no/x.json"],
            "'no/x.json': expected a folder",
        ),
        (
            ["evaluate", "TASK", "--columns", "a,b,c"],
            "--columns='a': expected a",
        ),
        (["evaluate", "TASK", "--leg", "kl"], "--leg='kl': expected one of"),
        (
            ["evaluate", "TASK", "--model", "embedded", "--model", "embedded"],
            "--model='embedded': expected different ones, got it 2 times; give it once",
        ),
        (
            ["evaluate", "TASK", "--baseline", "kid", "--baseline", "kid"],
            "--baseline='kid': expected different ones, got it 2 times",
        ),
        (["evaluate", "TASK", "--baseline", "txet"], "--baseline='txet': expected text, it seems"),
        (
            ["evaluate", "TASK", "--baseline", "no/model"],
            "--baseline='no/model': expected one of text, divergence, .* or encoder 'no/mo",
        ),
        (
            ["evaluate", "MANY", "--worst", "301", "-o", "many.png"],
            "--worst=301: expected at most 300 pairs in a picture; lower it, or write a table",
        ),
        (["evaluate"], "PAIRS"),
        (["ablate", "TASK", "--sweep", "steps"], "--sweep='steps': expected one of"),
        (
            ["ablate", "TASK", "--sweep", "n_draws=a"],
            "--sweep='n_draws=a': expected 'n_dr",
        ),
    ],
)
def test_bad_input_is_one_line(conjure, task, monkeypatch, args, message):
    monkeypatch.setattr(PretrainedDenoiser, "load", lambda _: pytest.fail("loaded"))
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace())  # a hub's faults
    many = task.with_name("many.tsv")
    rows = [f"a dog\t{i} cats\t{i}" for i in range(301)] if "MANY" in args else []
    many.write_text("\n".join(["word1\tword2\tscore", *rows]))
    given = {"TASK": task, "MANY": many}
    code, out, err = conjure(*[given.get(arg, arg) for arg in args])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(message, err)


def test_an_origin_of_none_and_baselines_of_j_and_cosines(conjure, task, cache):
    options = ["--baseline", "divergence", "--baseline", "cosine", "--quiet"]
    code, out, _ = conjure("evaluate", task, *options)
    assert code == 0
    for name in ("-log R", "-log J", "cosine of vectors"):
        assert f"{name} on words: 15 pairs, 0 missing" in out
    code, out, _ = conjure("evaluate", task, "--origin", "none", "--quiet")
    assert code == 0
    assert "-log J on words" in out
    code, _, err = conjure("evaluate", task, "--origin", "x", "--quiet")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "--origin='x': expected one of 'empty'" in err
