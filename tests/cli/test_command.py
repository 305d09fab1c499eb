"""The command line: what it prints and writes, and one line and exit code 2 for bad input."""

import csv
import errno
import io
import json
import os
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import diffusers
import numpy as np
import pandas as pd
import pytest

from commands import prompts_in
from conjure_kernel import ConjureDistance, accuracy_bound, cli, pairwise_divergence, plot
from conjure_kernel.cache.upkeep import cache_info
from conjure_kernel.cli import build_parser
from conjure_kernel.cli import prompts as command_prompts
from conjure_kernel.cli.compare import _at_most
from conjure_kernel.cli.options import OPTIONS, as_options, settings_of
from conjure_kernel.engine.cost import duration
from conjure_kernel.engine.engine import Engine
from conjure_kernel.evaluation.cosine import CosineScorer
from conjure_kernel.method.jackknife import jackknife_se
from conjure_kernel.models.denoiser import Denoiser
from measured import SIDE

SMALL = ["--steps", "3", "--draws", "2"]
PROMPTS = ["strawberry", "a bus", "tomato"]
COLUMNS = ["prompt_a", "prompt_b", "divergence", "standard_error", "low", "high", "kl_ab", "kl_ba"]
COLUMNS += ["distance"]


@pytest.fixture(scope="module")
def expected(cache):
    """PROMPTS as the library measures them; the cache knows them from here on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pairwise_divergence(PROMPTS, n_steps=3, n_draws=2, memory=cache)


@pytest.fixture
def conjure(call, cache):
    """Run a command on the small settings; return (exit code, stdout, lines on stderr)."""

    def run(command, *args):
        options = [] if command == "cache" else SMALL
        if "--cache" not in args and command != "explain":
            options = [*options, "--cache", cache]
        code, out, err = call(command, *options, *args)
        return code, out, err.splitlines()

    return run


@pytest.fixture
def prompts(tmp_path):
    """A file of prompts, with the white space that files have."""
    path = tmp_path / "prompts.txt"
    path.write_text("strawberry\r\n\n  a bus \ntomato", encoding="utf-8")
    return path


@pytest.fixture
def no_model(monkeypatch):
    """Fail if a model is loaded."""

    def refuse(*args, **options):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", refuse)


# ---------------------------------------------------------------- compare


def test_compare_prints_what_the_library_measures(conjure, expected):
    code, out, err = conjure("compare", "strawberry", "a bus", "--json")
    found = json.loads(out)
    assert (code, err[0]) == (0, "conjure: up to 336 noise predictions for 3 prompts")
    assert (found["prompt_a"], found["prompt_b"]) == ("strawberry", "a bus")
    low, high = expected.interval()
    wanted = {
        "divergence": expected.values,
        "standard_error": expected.standard_errors,
        "low": low,
        "high": high,
        "kl_ab": expected.legs[0],
        "kl_ba": expected.legs[1],
        "distance": expected.distances,
        "distance_standard_error": expected.distance_standard_errors,
        "accuracy_bound": accuracy_bound(expected.values),
        "detection_log_snr": expected.detection_log_snr(),
    }
    assert wanted.keys() < found.keys()
    for name, array in wanted.items():
        assert found[name] == pytest.approx(array[0, 1], rel=1e-12), name
    assert found["kl_ab"] != found["kl_ba"]
    a, b = ([prompt] for prompt in PROMPTS[:2])
    cosine = CosineScorer(references=PROMPTS[:2], n_steps=3, memory=None)(a, b)
    assert found["cosine"] == pytest.approx(cosine.similarities[0], rel=1e-3)
    error = jackknife_se(cosine.replicates)[0]
    assert found["cosine_standard_error"] == pytest.approx(error, rel=1e-3)
    options = {"n_steps": 3, "n_draws": 2, "check_steps": 0}
    relative = pairwise_divergence(PROMPTS[:2], origin="empty", memory=None, **options)
    for name in ("relative_divergence", "standard_error", "low", "high"):
        key = name if name.startswith("relative") else f"relative_{name}"
        assert found[key] == pytest.approx(relative.numbers()[name][0, 1], rel=1e-3), name
    assert json.loads(conjure("compare", *PROMPTS[:2], "--json")[1])["n_evaluations"] == 0


def test_compare_in_words(conjure, expected):
    code, out, err = conjure("compare", "strawberry", "a bus")
    assert code == 0, err
    low, high = (end[0, 1] for end in expected.interval())
    divergence, error = expected.values[0, 1], expected.distance_standard_errors[0, 1]
    lines = dict(re.split(r"  +", line, maxsplit=1) for line in out.splitlines())
    assert (lines["a"], lines["b"]) == ("strawberry", "a bus")
    assert lines["J"] == f"{divergence:.4g} nats, 95 % interval {low:.4g} to {high:.4g}"
    assert lines["KL(a || b)"] == f"{expected.legs[0][0, 1]:.4g}"
    assert lines["KL(b || a)"] == f"{expected.legs[1][0, 1]:.4g}"
    assert lines["distance"] == f"{np.sqrt(divergence):.4g} ± {error:.2g}"
    assert re.fullmatch(r"\d\.\d+, 95 % interval \S+ to \S+", lines["relative"])
    assert re.fullmatch(r"-?\d\.\d\d ± \S+", lines["cosine"])
    assert lines["viewer"].startswith("tells them apart by one image ")
    telling = expected.detection_log_snr()[0, 1]
    assert f"(log-SNR {telling:.2g})" in lines["with noise"]


def test_one_prompt_twice_is_no_distance(conjure):
    code, out, _ = conjure("compare", "tomato", "tomato", "--quiet")
    assert code == 0
    assert "0 nats, 95 % interval 0 to 0" in out
    assert "relative      0, 95 % interval 0 to 0\n" in out
    assert "cosine        1.00 ± 0\n" in out
    assert "image 50.0 % of the time" in out
    assert "with noise" not in out


def test_a_measured_list_tells_how_close_a_pair_is(conjure, expected, monkeypatch, tmp_path):
    listed = ["strawberry", "tomato", "a bus"]
    monkeypatch.setattr(command_prompts, "listed_prompts", lambda: listed)
    source = tmp_path / "prompts.txt"
    source.write_text("\n".join(listed))
    cache = ["--cache", tmp_path, "--quiet"]
    assert "among others" not in conjure("compare", "tomato", "a lemon", *cache)[1]
    path = tmp_path / "matrix.npz"
    assert conjure("matrix", source, "--origin", "empty", "-o", path, *cache)[0] == 0
    values = np.load(path)["divergences"][np.triu_indices(3, 1)]
    found = json.loads(conjure("compare", "tomato", "a lemon", *cache, "--json")[1])
    assert found["closer_than"] == np.mean(values > found["relative_divergence"])
    share = f"{found['closer_than']:.0%}"
    out = conjure("compare", "tomato", "a lemon", *cache)[1]
    assert f"among others  closer than {share} of pairs of everyday things" in out


def test_what_says_nothing_has_no_relative_divergence(conjure):
    code, out, _ = conjure("compare", "tomato", "", "--quiet")
    assert code == 0
    assert "relative      none, as one of them conjures what the empty prompt does" in out
    assert "cosine" not in out


def test_one_draw_has_no_interval_and_one_warning(conjure):
    code, out, err = conjure("compare", "strawberry", "a bus", "--draws", 1, "--quiet")
    assert code == 0
    assert "no interval from 1 draw" in out
    assert "nan" not in out
    assert [line for line in err if "--draws=1" in line] == err
    assert err[0].startswith("conjure: warning: --draws=1")
    _, out, _ = conjure("compare", "strawberry", "a bus", "--draws", 1, "--json")
    assert json.loads(out)["standard_error"] is None


def test_options_reach_the_model(conjure, tmp_path):
    options = ["--guidance", 2, "--seed", 7, "--sampler", "ode", "--dtype", "float32"]
    options += ["--device", "cpu", "--batch-size", 3, "--cache", tmp_path, "--quiet", "--json"]
    code, out, _ = conjure("compare", "tomato", "a bus", *options)
    assert code == 0
    found = json.loads(out)["provenance"]
    wanted = {"guidance_scale": 2, "seed": 7, "sampler": "ode", "n_steps": 3, "n_draws": 2}
    assert wanted.items() <= found.items()
    assert (found["model"], found["dtype"]) == ("embedded", "torch.float32")


def test_the_cost_comes_before_the_work(conjure):
    # Both prompts and the empty one: n (n - 1) T K + n G S K.
    wanted = 3 * 2 * 3 * 2 + 3 * 3 * 6 * 2
    wanted += 3 * 2 * 3 * 2 + 3 * 3 * 4 * 2  # a check with the start and every second step
    wanted += 2 * 8 * 6 + 3 * 8 * 3  # vectors: 8 draws of 2 references, 8 points of 3 prompts
    code, out, err = conjure("compare", "a lemon", "a pear", "--cache", "none", "--json")
    assert code == 0
    assert err[0] == f"conjure: up to {wanted} noise predictions for 3 prompts"
    assert json.loads(out)["n_evaluations"] == wanted
    assert conjure("compare", "a lemon", "a pear", "--cache", "none", "--quiet")[2] == []


def test_messages_name_options_where_the_library_names_parameters():
    told = "n_draws=0: expected tol or dtype='auto'; raise n_draws, not 'n_draws=x' or min_n_draws."
    assert as_options(told) == (
        "--draws=0: expected tol or --dtype='auto'; raise --draws, not 'n_draws=x' or min_n_draws."
    )
    quoted = "prompts[0]='use n_steps=5 or n_draws': n_draws=0, not \"it's n_steps\" or n_steps."
    assert as_options(quoted) == (
        "prompts[0]='use n_steps=5 or n_draws': --draws=0, not \"it's n_steps\" or --steps."
    )
    assert as_options("a='n_steps, cut...: n_steps=0.") == "a='n_steps, cut...: --steps=0."
    for name in OPTIONS:
        assert as_options(f"{name}=1: expected 2.") == f"{OPTIONS[name]}=1: expected 2."


@pytest.mark.parametrize(
    ("accuracy", "text"),
    [
        (0.5, "50.0 % of the time at most"),
        (0.87112, "87.2 % of the time at most"),  # rounded up: it is a bound
        (0.99996522, "99.9966 % of the time at most"),
        (1 - 1e-13, "every time, or nearly so"),
        (1.0, "every time, or nearly so"),
    ],
)
def test_odds(accuracy, text):
    assert _at_most(accuracy) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (119, "119 s"), (121, "2 minutes"), (7100, "118 minutes"), (7300, "2 hours")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


# ---------------------------------------------------------------- matrix


def test_npz(conjure, expected, prompts, tmp_path, no_model):
    path = tmp_path / "out.npz"
    code, out, err = conjure("matrix", prompts, "-o", path)
    assert (code, out) == (0, "")
    assert err == [f"conjure: 0 noise predictions made, '{path}' written"]
    with np.load(path, allow_pickle=False) as found:
        assert found["prompts"].tolist() == PROMPTS
        assert np.array_equal(found["divergences"], expected.values)
        assert np.array_equal(found["standard_errors"], expected.standard_errors)
        assert np.array_equal(found["kl"], expected.legs[0])
        check_provenance(json.loads(str(found["provenance"])), expected)


def test_csv(conjure, expected, prompts, tmp_path, no_model):
    path = tmp_path / "out.csv"
    assert conjure("matrix", prompts, "-o", path, "--quiet") == (0, "", [])
    with path.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == COLUMNS
    assert len(rows) == 9
    found = pd.DataFrame([[*row[:2], *map(float, row[2:])] for row in rows], columns=header)
    pd.testing.assert_frame_equal(found, expected.to_pandas(), check_exact=True)
    check_provenance(json.loads(Path(f"{path}.json").read_text()), expected)


def test_parquet(conjure, expected, prompts, tmp_path, no_model):
    path = tmp_path / "out.parquet"
    assert conjure("matrix", prompts, "-o", path, "--quiet") == (0, "", [])
    found = pd.read_parquet(path)
    pd.testing.assert_frame_equal(found, expected.to_pandas(), check_exact=True)
    check_provenance(found.attrs, expected)


@pytest.mark.parametrize("ending", ["md", "tex"])
def test_a_table_for_a_paper(conjure, expected, prompts, tmp_path, no_model, ending):
    path = tmp_path / f"out.{ending}"
    assert conjure("matrix", prompts, "-o", path, "--quiet") == (0, "", [])
    *rows, about = [line for line in path.read_text().splitlines() if line]
    cells = [c.strip(" |\\").replace("&", "|").split("|") for c in rows if PROMPTS[1] in c]
    first = [float(cell) for cell in cells[0][2:] if cell.strip()]
    assert first == pytest.approx([v[0, 1] for v in expected.numbers().values()], abs=1e-3)
    assert len(cells) == 5
    check_provenance(json.loads(about[about.index("{") : about.rindex("}") + 1]), expected)


def check_provenance(found, expected):
    assert found["model"] == "embedded"
    assert (found["n_draws"], found["n_steps"], found["weighting"]) == (2, 3, "jeffreys")
    assert found["log_snr_range"] == pytest.approx(expected.grid.log_snr_range)
    assert {"fingerprint", "guidance_scale", "sampler", "seed", "dtype"} <= found.keys()
    assert {"conjure-kernel", "torch", "diffusers"} <= found["versions"].keys()


def test_provenance_is_that_of_the_estimator(conjure, expected, cache):
    _, out, _ = conjure("compare", "strawberry", "a bus", "--json")
    estimator = ConjureDistance(n_steps=3, n_draws=2, memory=cache).fit(PROMPTS)
    wanted = json.loads(json.dumps(estimator.provenance_))
    found = json.loads(out)["provenance"]
    assert wanted.pop("versions").items() <= found.pop("versions").items()
    assert found == wanted


def test_prompts_come_from_a_csv_column(conjure, expected, tmp_path, no_model):
    source, path = tmp_path / "words.csv", tmp_path / "out.npz"
    source.write_text('\ufeffword,id\nstrawberry,1\n"a bus",2\n,3\ntomato,4\n', encoding="utf-8")
    code, out, err = conjure("matrix", source, "--column", "word", "-o", path, "--quiet")
    assert (code, out, len(err)) == (0, "", 1)
    assert "1 of 4 rows have no text and are left out (line 4)" in err[0]
    assert np.load(path)["prompts"].tolist() == PROMPTS


def test_prompts_come_from_stdin(conjure, expected, tmp_path, monkeypatch, no_model):
    data = "strawberry\na bus\ntomato\nÄpfel\n".encode().replace("Äpfel\n".encode(), b"")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), "ascii"))
    path = tmp_path / "out.npz"
    assert conjure("matrix", "-", "-o", path, "--quiet") == (0, "", [])
    assert np.load(path)["prompts"].tolist() == PROMPTS


def test_force_overwrites_and_leaves_nothing_beside(conjure, expected, prompts, tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    assert conjure("matrix", prompts, "-o", path, "--force", "--quiet")[0] == 0
    assert path.read_text().startswith("prompt_a,")
    assert {p.name for p in tmp_path.iterdir()} == {"prompts.txt", "out.csv", "out.csv.json"}


def test_a_failed_write_leaves_the_old_file(conjure, expected, prompts, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    path = tmp_path / "out.npz"
    path.write_text("old")
    monkeypatch.setattr(os, "replace", full)
    code, _, err = conjure("matrix", prompts, "-o", path, "--force", "--quiet")
    assert (code, err[-1]) == (2, f"conjure: '{path}': No space left on device.")
    assert path.read_text() == "old"
    assert {p.name for p in tmp_path.iterdir()} == {"prompts.txt", "out.npz"}


# ---------------------------------------------------------------- plan


def test_plan_tells_what_a_matrix_will_cost(conjure, prompts, monkeypatch):
    monkeypatch.setattr("conjure_kernel.engine.batches.RATE_SECONDS", 1e-9)
    code, out, err = conjure("plan", prompts, "--cache", "none", "--json")
    found = json.loads(out)
    assert (code, err) == (0, [])
    assert found["n_predictions"] == 2 * (3 * 2 * 3 * 2) + 3 * 3 * 6 * 2 + 3 * 3 * 4 * 2
    assert found["seconds"] == pytest.approx(found["n_predictions"] / found["rate"])
    code, out, _ = conjure("plan", prompts, "--cache", "none")
    names = [line.split("  ")[0] for line in out.splitlines() if not line.startswith(" ")]
    assert names == ["prompts", "noise predictions", "chains a draw", "time", "memory"]


def test_plan_of_what_is_known_loads_no_model(conjure, expected, prompts, no_model):
    code, out, err = conjure("plan", prompts)
    assert (code, err) == (0, [])
    assert "noise predictions  0; the cache has 144\n" in out


def test_plan_of_neighbors(conjure, prompts, monkeypatch):
    monkeypatch.setattr("conjure_kernel.engine.batches.RATE_SECONDS", 1e-9)
    asked = ["plan", prompts, "--cache", "none", "--neighbors"]
    code, out, _ = conjure(*asked, 1, "--json")
    found = json.loads(out)
    vectors = 3 * (8 * 6 + 8 * 3)  # chains of a draw for each of 8 points; three prompts at them
    assert (code, found["n_pairs"]) == (0, 3)
    check = 3 * 2 * 3 * 2 + 3 * 3 * 4 * 2
    assert found["n_predictions"] == vectors + 3 * 2 * 3 * 2 + 3 * 3 * 6 * 2 + check
    code, _, err = conjure(*asked, 3)
    assert code == 2
    assert len(err) == 1
    assert err[0].startswith("conjure: --neighbors=3: expected at most 2, the number of other")


# ---------------------------------------------------------------- map


@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_map(conjure, expected, prompts, tmp_path, ending, start):
    path = tmp_path / f"map.{ending}"
    code, out, err = conjure("map", prompts, "-o", path)
    assert (code, out) == (0, "")
    assert err == [f"conjure: 0 noise predictions made, '{path}' written"]
    assert path.read_bytes().startswith(start)
    assert b"fingerprint" in path.read_bytes()  # the provenance is in its metadata


def test_map_uses_the_conjured_pictures(conjure, expected, prompts, tmp_path, monkeypatch):
    from conjure_kernel import plot

    seen = {}

    def plot_overview(*args, **options):
        seen.update(options, args=args)
        return original(*args, **options)

    original = plot.plot_overview
    monkeypatch.setattr(plot, "plot_overview", plot_overview)
    code, _, err = conjure("map", prompts, "-o", tmp_path / "map.png", "--layout", "umap")
    assert code == 0
    expects = "--layout='umap': expected at least 5 prompts, got 3"
    assert err[0].startswith(f"conjure: warning: {expects}")
    matrix, labels, images = (seen[key] for key in ("divergences", "labels", "images"))
    assert np.array_equal(matrix, expected.values)
    assert np.array_equal(seen["standard_errors"], expected.standard_errors)
    assert (labels, seen["method"]) == (PROMPTS, "umap")
    assert images.shape[::3] == (3, 3)
    assert images.std(axis=(1, 2, 3)).min() > 10


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_explain_makes_a_picture(conjure, tmp_path, ending, start):
    code, out, err = conjure("explain", "tomato", "a bus", "-o", tmp_path / f"e.{ending}")
    path = tmp_path / f"e.{ending}"
    assert (code, out, err) == (0, "", [f"conjure: '{path}' written"])
    assert path.read_bytes().startswith(start)


def test_explain_writes_its_arrays(conjure, tmp_path):
    command = ["explain", "tomato", "a bus", "-o", tmp_path / "e.npz"]
    assert conjure(*command, "--draw", 1)[0] == 0
    with np.load(tmp_path / "e.npz") as file:
        assert list(file["prompts"]) == ["tomato", "a bus"]
        assert file["divergence"] == pytest.approx(file["heat"].sum() / (2 * 2), rel=1e-12)
        assert file["views"].shape == (2, 2, 3, SIDE, SIDE, 3)
        assert json.loads(str(file["provenance"]))["model"] == "embedded"


def test_map_as_a_page_and_again_from_a_saved_matrix(conjure, expected, prompts, tmp_path):
    assert conjure("map", prompts, "-o", tmp_path / "a.html", "--quiet")[0] == 0
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count('"data:image/png;base64') == len(PROMPTS) * 2  # as many as draws
    assert "fingerprint" in page
    assert conjure("matrix", prompts, "-o", tmp_path / "m.npz", "--images", 2, "--quiet")[0] == 0
    with np.load(tmp_path / "m.npz") as file:
        assert file["images"].shape == (3, 2, SIDE, SIDE, 3)
    assert conjure("map", tmp_path / "m.npz", "-o", tmp_path / "b.html")[0] == 0
    rows = [
        re.findall('id="data">.*?</script>', text, re.S)[0]
        for text in (page, (tmp_path / "b.html").read_text(encoding="utf-8"))
    ]
    assert rows[0] == rows[1]


def test_a_saved_matrix_is_redrawn_without_a_model(conjure, expected, prompts, tmp_path, no_model):
    assert conjure("matrix", prompts, "-o", tmp_path / "m.npz", "--quiet")[0] == 0
    for name in ("c.html", "c.png"):
        drawn = conjure("map", tmp_path / "m.npz", "-o", tmp_path / name, "--cache", "none")
        said = f"conjure: 0 noise predictions made, '{tmp_path / name}' written"
        assert drawn == (0, "", [said])
        assert (tmp_path / name).stat().st_size > 10_000


def test_map_without_a_file_is_of_the_bundled_names(conjure, tmp_path, monkeypatch):
    names = command_prompts.listed_names()
    assert 400 <= len(names) <= 450
    assert prompts_in(None) == list(names)
    assert len(set(names.values())) < 30
    assert all(text == text.strip() != "" for pair in names.items() for text in pair)
    few = dict(list(names.items())[:80:6])
    monkeypatch.setattr(command_prompts, "listed_names", lambda: few)
    monkeypatch.setattr("conjure_kernel.cli.maps.FEW", 4)
    monkeypatch.chdir(tmp_path)
    seen = []
    original = plot.plot_mosaic
    monkeypatch.setattr(
        plot, "plot_mosaic", lambda *a, **more: seen.append((a, more)) or original(*a, **more)
    )
    cheap = ["--steps", 1, "--layout", "mds", "--cache", tmp_path / "cache"]
    assert conjure("map", *cheap)[0] == 0
    assert Path("map.png").stat().st_size > 10_000
    (((_, labels, images), _),) = seen
    assert labels == list(few)
    assert images.shape == (14, SIDE, SIDE, 3)


def test_the_short_list_is_of_few_different_prompts(conjure, cache, tmp_path):
    bundled = command_prompts.listed_prompts()
    assert 20 <= len(bundled) == len(set(bundled)) <= 24
    assert all(prompt == prompt.strip() != "" for prompt in bundled)
    assert conjure("map", "--exact", "-o", tmp_path / "map.png", "--steps", 1, "--draws", 1)[0] == 0
    assert cache_info(cache).n_prompts >= len(bundled)


# ---------------------------------------------------------------- cache


def test_cache_info_and_clear(conjure, tmp_path):
    code, out, _ = conjure("cache", "info", "--cache", tmp_path)
    assert code == 0
    assert re.search(r"prompts +0\n", out)
    conjure("compare", "tomato", "a bus", "--cache", tmp_path, "--quiet")
    mine = tmp_path / "mine.txt"
    mine.write_text("not the cache's")
    code, out, _ = conjure("cache", "info", "--cache", tmp_path)
    assert code == 0
    assert re.search(r"models +1, in \d runs", out)
    assert re.search(r"prompts +3\n", out)  # with the empty one
    assert str(tmp_path) in out
    code, out, err = conjure("cache", "clear", "--cache", tmp_path)
    assert (code, out, len(err)) == (2, "", 1)
    assert "--yes" in err[0]
    assert re.search(r"prompts +3\n", conjure("cache", "info", "--cache", tmp_path)[1])
    code, out, err = conjure("cache", "clear", "--cache", tmp_path, "--yes")
    assert (code, err) == (0, [])
    assert re.search(r"0\.\d MB freed in .*conjure_kernel", out)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["mine.txt"]


def test_an_unwritable_cache_costs_one_warning(conjure, tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way")
    code, out, err = conjure("compare", "tomato", "a bus", "--cache", file / "sub", "--quiet")
    assert code == 0
    assert "nats" in out
    assert len(err) == 1
    assert err[0].startswith("conjure: warning: ")
    assert str(file) in err[0]


# ---------------------------------------------------------------- bad input

REPORT = "please report it, CONJURE_DEBUG=1 shows where."
BAD = {
    "no command": ([], "COMMAND"),
    "unknown command": (["conjur"], "'conjur'"),
    "one prompt": (["compare", "a"], "PROMPT"),
    "unknown option": (["compare", "a", "b", "--stepz", "3"], "--stepz"),
    "no number": (["compare", "a", "b", "--draws", "four"], "'four'"),
    "no draws": (["compare", "a", "b", "--draws", "0"], "--draws=0: expected"),
    "no steps": (["compare", "a", "b", "--steps", "-1"], "--steps=-1: expected"),
    "guidance nan": (["compare", "a", "b", "--guidance", "nan"], "--guidance=nan: expected"),
    "guidance inf": (["compare", "a", "b", "--guidance", "inf"], "--guidance=inf: expected"),
    "negative seed": (["compare", "a", "b", "--seed", "-1"], "--seed=-1: expected"),
    "sampler": (["compare", "a", "b", "--sampler", "heun"], "--sampler='heun': expected"),
    "dtype": (["compare", "a", "b", "--dtype", "float63"], "--dtype='float63': expected"),
    "device": (["compare", "a", "b", "--device", "toaster"], "'toaster'"),
    "batch size": (["compare", "a", "b", "--batch-size", "many"], "'many'"),
    "batch size 0": (["compare", "a", "b", "--batch-size", "0"], "--batch-size=0: expected"),
    "unknown model": (["compare", "a", "b", "--model", "/no/model"], "'/no/model'"),
    "no token": (["compare", "a", "b", "--model", "x/y", "--token-env", "NO_ENV"], "'NO_ENV'"),
    "half a character": (["compare", "a\udcff", "b"], "surrogate"),
    "no file": (["matrix", "missing.txt", "-o", "o.npz"], "'missing.txt': No such file"),
    "a folder": (["matrix", ".", "-o", "o.npz"], "'.': Is a directory"),
    "empty file": (["matrix", "empty.txt", "-o", "o.npz"], "'empty.txt': expected prompts"),
    "blank file": (["matrix", "blank.txt", "-o", "o.npz"], "'blank.txt': expected prompts"),
    "no UTF-8": (
        ["matrix", "latin.txt", "-o", "o.npz", "--encoding", "utf-8"],
        "'latin.txt': expected utf-8, got byte 0xc4 in line 2",
    ),
    "no encoding": (
        ["matrix", "p.txt", "-o", "o.npz", "--encoding", "utf-9"],
        "--encoding='utf-9': expected a name",
    ),
    "a NUL": (
        ["matrix", "nul.txt", "-o", "o.npz"],
        "'nul.txt': expected text, got the character 0x00 in line 2",
    ),
    "no column": (["matrix", "w.csv", "--column", "text", "-o", "o.npz"], "--column='text': "),
    "its columns": (["matrix", "w.csv", "--column", "text", "-o", "o.npz"], "'id', 'word', 'gap'"),
    "which column": (["matrix", "w.csv", "-o", "o.npz"], "'w.csv': expected --column"),
    "empty column": (
        ["matrix", "w.csv", "--column", "gap", "-o", "o.npz"],
        "'w.csv': expected pr",
    ),
    "column of nothing": (["map", "--column", "word"], "--column='word': expected a file"),
    "no output": (["matrix", "p.txt"], "--output"),
    "output exists": (["matrix", "p.txt", "-o", "old.npz"], "'old.npz': expected a new file"),
    "sidecar exists": (["matrix", "p.txt", "-o", "t.csv"], "'t.csv.json': expected a new file"),
    "map exists": (["map", "p.txt", "-o", "old.png"], "pass --force to overwrite"),
    "table ending": (["matrix", "p.txt", "-o", "o.xlsx"], "'o.xlsx': expected a name that ends in"),
    "no ending": (["matrix", "p.txt", "-o", "out"], "'out': expected"),
    "picture ending": (["map", "p.txt", "-o", "o.gif"], "'o.gif': expected"),
    "output folder": (["matrix", "p.txt", "-o", "no/o.npz"], "'no/o.npz': expected a folder"),
    "output in a file": (["map", "p.txt", "-o", "p.txt/o.png"], "'p.txt/o.png'"),
    "output is a folder": (["map", "p.txt", "-o", "dir.png", "--force"], "'dir.png': expected the"),
    "explain exists": (["explain", "a", "b", "-o", "old.npz"], "'old.npz': expected a new file"),
    "explain ending": (["explain", "a", "b", "-o", "o.csv"], "'o.csv': expected"),
    "no matrix": (["map", "old.npz", "-o", "o.html"], "'old.npz': expected a matrix"),
    "layout": (["map", "p.txt", "--layout", "tsne"], "--layout='tsne': expected one of"),
    "no neighbors": (["neighbors", "p.txt", "a", "-k", "0"], "-k=0: expected"),
    "no components": (["embed", "p.txt", "-o", "o.npz", "--components", "9"], "--components=9"),
    "400 digits": (["compare", "a", "b", "--draws", "9" * 400], "--draws=an integer of 1329 bits"),
    "images": (["matrix", "p.txt", "-o", "o.npz", "--images", "-1"], "--images=-1: expected"),
    "pairs": (["evaluate", "t.tsv", "--pairs", "0"], "--pairs=0: expected"),
    "task": (["evaluate", "x"], "PAIRS='x': expected"),
    "task columns": (
        ["ablate", "t.tsv", "--columns", "a,b,c"],
        "--columns='a': expected a",
    ),
    "draw": (["explain", "a", "bus", "--draw", "9"], "--draw=9"),
    "no such action": (["cache", "shrink"], "'shrink'"),
    "no cache at all": (["cache", "info", "--cache", "none"], "--cache=none: expected a folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_before_any_work(name, tmp_path, monkeypatch, capsys, no_model):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path / "cache"))
    Path("p.txt").write_text("lemon\npear\n")
    Path("empty.txt").touch()
    Path("blank.txt").write_text(" \n\t\n")
    Path("nul.txt").write_bytes(b"lemon\nlemon\0\n")
    Path("latin.txt").write_bytes("lemon\nÄpfel".encode("latin-1"))
    Path("w.csv").write_text("id,word,gap\n1,lemon,\n2,pear,\n")
    Path("t.tsv").write_text("word1\tword2\tscore\nlemon\tpear\t1\n")
    Path("dir.png").mkdir()
    for old in ("old.npz", "old.png", "t.csv.json"):
        Path(old).write_text("precious")
    args, words = BAD[name]
    code = cli.main(args)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert re.fullmatch(r"conjure: .+\n", err), err
    assert words in err
    assert "Traceback" not in err
    assert {p.read_text() for p in map(Path, ("old.npz", "old.png", "t.csv.json"))} == {"precious"}


def test_parquet_without_pyarrow_names_the_extra(conjure, prompts, tmp_path, monkeypatch, no_model):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = conjure("matrix", prompts, "-o", tmp_path / "out.parquet")
    assert code == 2
    assert len(err) == 1
    assert 'pip install "conjure-kernel[tables]"' in err[0]


def test_an_output_folder_that_refuses_is_found_before_any_work(conjure, prompts, no_model):
    path = "/proc/out.npz" if Path("/proc").is_dir() else "/dev/null/out.npz"
    code, _, err = conjure("matrix", prompts, "-o", path)
    assert (code, len(err)) == (2, 1)
    assert f"'{path}': expected a folder that can be written to" in err[0]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (FloatingPointError("prompt 'x': NaN\nin two lines"), 2, "prompt 'x': NaN in two lines"),
        (
            MemoryError(),
            2,
            "memory ran out (an array does not fit); use fewer prompts, draws, steps or "
            "components.",
        ),
        (KeyError("x"), 1, f"internal error: KeyError: 'x'; {REPORT}"),
    ],
)
def test_errors_on_the_way(conjure, monkeypatch, error, code, line):
    def fail(*_):
        raise error

    monkeypatch.setattr(Engine, "measure", fail)
    command = ["compare", "tomato", "a pear", "--quiet"]
    assert conjure(*command) == (code, "", [f"conjure: {' '.join(line.split())}"])
    monkeypatch.setenv("CONJURE_DEBUG", "1")
    with pytest.raises(type(error)):
        conjure(*command)


def test_a_folder_without_a_pipeline(conjure, tmp_path):
    command = ["compare", "a", "b", "--model", tmp_path, "--quiet"]
    code, _, err = conjure(*command)
    assert (code, len(err)) == (2, 1)
    assert f"model '{tmp_path}' has no model_index.json" in err[0]


def test_a_gpu_that_is_not_there(conjure, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, out, err = conjure("compare", "a pear", "a lemon", "--device", "cuda:7", "--quiet")
    assert (code, out, len(err)) == (2, "", 1)
    assert "--device='cuda:7': expected a GPU that this build of PyTorch can use" in err[0]


def test_ctrl_c_keeps_what_is_finished(conjure, monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    command = ["compare", "tomato", "a pear", "--cache", tmp_path]
    with monkeypatch.context() as patch:
        patch.setattr(Denoiser, "predict", interrupt)
        code, out, err = conjure(*command, "--quiet")
    assert (code, out, len(err)) == (130, "", 1)
    assert "kept in the cache" in err[0]
    code, _, err = conjure(*command)
    assert code == 0
    # Trajectories were kept: what is left are replays, the check of the steps, and vectors.
    assert err[0] == f"conjure: up to {36 + 36 + 72 + 168} noise predictions for 3 prompts"


def test_ctrl_c_without_a_cache(conjure, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "measure", interrupt)
    code, _, err = conjure("compare", "tomato", "a pear", "--cache", "none", "--quiet")
    assert (code, len(err)) == (130, 1)
    assert "nothing is kept" in err[0]


# ---------------------------------------------------------------- help, and the real thing


VERBS = "compare matrix plan explain words cache map drift agree evaluate ablate embed neighbors "
VERBS = [*VERBS.split(), "vividness", "completion"]


@pytest.mark.parametrize("command", [[], *([verb] for verb in VERBS)])
def test_help_has_examples_that_parse(command, capsys):
    assert cli.main([*command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    examples = re.findall(r"^  (?:.*\| )?conjure (.*?)(?:   .*| [|>] .*)?$", out, re.M)
    assert len(examples) >= 2
    assert {example.split()[0] for example in examples} >= set(command or VERBS)
    for example in examples:
        words = re.findall(r'"[^"]*"|\S+', example)
        cli.build_parser().parse_args([word.strip('"') for word in words])


def test_the_program_itself_is_quick_to_help_and_loads_no_torch():
    code = "import sys; from conjure_kernel.cli import main; code = main(['map', '--help'])"
    code += "; sys.exit(code or 'torch' in sys.modules or 'matplotlib' in sys.modules)"
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--layout" in done.stdout
    assert time.monotonic() - begun < 3  # 0.1 s on an idle machine


def test_the_program_itself(cache, expected):
    command = [sys.executable, "-m", "conjure_kernel", "compare", "strawberry", "a bus"]
    command += [*SMALL, "--cache", str(cache), "--json", "--dtype", "float32"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    warning = r"conjure: warning: --steps=3, .*so few steps may move J by up to .*raise --steps.*\n"
    assert done.returncode == 0
    assert re.fullmatch(warning, done.stderr)
    assert json.loads(done.stdout)["divergence"] == expected.values[0, 1]
    assert json.loads(done.stdout)["n_evaluations"] == 0


def test_a_warm_compare_imports_no_library_that_it_does_not_need(call, cache):
    words = ["compare", "strawberry", "a bus", *SMALL, "--json", "--dtype", "float32"]
    words += ["--cache", str(cache)]
    spent, told, _ = call(*words)
    code = "import sys; from conjure_kernel.cli import main; code = main(sys.argv[1:])"
    code += "; sys.exit(code or len({'diffusers', 'transformers', 'sklearn'} & {*sys.modules}))"
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (spent, done.returncode) == (0, 0)
    assert {**json.loads(told), "n_evaluations": 0} == json.loads(done.stdout)


def test_arguments_of_the_call_and_adapters_reach_the_model():
    words = ["compare", "a", "b", "--set", "height=32", "--set", "negative_prompt=a cat"]
    words += ["--set", "clip_skip=None", "--adapter", "style.safetensors:0.7"]
    words += ["--adapter", "C:/x.safetensors", "--variant", "fp16", "--config", "there"]
    given = settings_of(build_parser().parse_args(words))["model_kwargs"]
    assert given == {
        "variant": "fp16",
        "config": "there",
        "adapters": {"style.safetensors": 0.7, "C:/x.safetensors": 1.0},
        "height": 32,
        "negative_prompt": "a cat",
        "clip_skip": None,
    }
    with pytest.raises(ValueError, match="expected NAME=VALUE, got 'height'"):
        build_parser().parse_args(["compare", "a", "b", "--set", "height"])
