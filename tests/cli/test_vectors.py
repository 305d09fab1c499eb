"""`conjure embed` and `conjure neighbors`: what they write and print, and bad input in one line."""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conjure_kernel import ConjureEmbedding, pairwise_divergence

SMALL = ["--steps", "2"]
PROMPTS = ["strawberry", "a bus", "tomato", "a cat", "a taxi"]


def test_embed_writes_what_the_library_finds(conjure, prompts, cache, tmp_path):
    sizes = ["--components", "64", "--points", "8"]
    code, _, err = conjure("embed", prompts, "-o", tmp_path / "v.npz", *sizes)
    assert code == 0, err
    assert "up to 240 noise predictions for 5 prompts" in err
    assert "240 noise predictions made" in err  # chains, then points
    again = ConjureEmbedding(n_components=64, n_steps=2, memory=cache).fit(PROMPTS)
    vectors = again.transform(PROMPTS)
    assert again.n_evaluations_ == 0
    with np.load(tmp_path / "v.npz") as file:
        np.testing.assert_array_equal(file["vectors"], vectors)
        assert list(file["prompts"]) == PROMPTS
        assert json.loads(str(file["provenance"]))["n_steps"] == 2
    code, _, err = conjure("embed", prompts, "-o", tmp_path / "v.parquet", *sizes)
    assert code == 0, err
    frame = pd.read_parquet(tmp_path / "v.parquet")
    np.testing.assert_array_equal(np.stack(frame["vector"]), vectors)
    assert list(frame["text"]) == PROMPTS
    assert frame.attrs["n_steps"] == 2
    apart = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
    np.testing.assert_allclose(frame["neighbors"][0]["distances"], np.sort(apart[0])[1:], rtol=1e-3)


@pytest.mark.parametrize("many", [False, True])
def test_a_map_for_embedding_atlas(conjure, prompts, tmp_path, monkeypatch, many):
    if many:
        monkeypatch.setattr("conjure_kernel.plot.coordinates.MANY", 4)
    path = tmp_path / "atlas.parquet"
    code, _, err = conjure("map", prompts, "-o", path, "--draws", "2", "--layout", "mds")
    assert code == 0, err
    table = pd.read_parquet(path)
    assert list(table["text"]) == PROMPTS
    assert np.isfinite(table[["x", "y"]].to_numpy()).all()
    for i, near in enumerate(table["neighbors"]):
        assert sorted([i, *near["ids"]]) == [0, 1, 2, 3, 4]
        assert (np.diff(near["distances"]) >= 0).all()
    assert PROMPTS[table["neighbors"][0]["ids"][0]] == "tomato"
    for thumbnail in table["thumbnail"]:
        assert Image.open(io.BytesIO(thumbnail["bytes"])).size == (32, 32)
    atlas = pytest.importorskip("embedding_atlas.graph_metrics", reason="needs embedding-atlas")
    assert atlas.compute_degree_columns(table, neighbors="neighbors")[1].tolist() == [4] * 5


def test_neighbors_are_ranked_by_j(conjure, prompts, cache):
    draws = ["--draws", "2", "-k", "3"]
    code, out, err = conjure("neighbors", prompts, "apple", "tomato", *draws, "--json")
    assert code == 0, err
    found = json.loads(out)
    exact = pairwise_divergence(["apple"], PROMPTS, n_steps=2, n_draws=2, memory=cache)
    order = exact.values[0].argsort()[:3]
    assert [row["prompt"] for row in found["apple"]] == [PROMPTS[i] for i in order]
    assert [row["divergence"] for row in found["apple"]] == [exact.values[0, i] for i in order]
    assert "tomato" not in [row["prompt"] for row in found["tomato"]]
    code, out, err = conjure("neighbors", prompts, "apple", *draws)
    (most,) = re.findall(r"up to (\d+) noise predictions", err)
    work = 240 + 16 + 6 * 2 * 3 * 4 + 5 * 2 * 2 * 2  # vectors, the query's, chains and replays
    assert work <= int(most) <= 1.5 * work  # and a check of the steps
    lines = out.splitlines()
    assert lines[0] == "apple"
    assert [line.split("  ")[-1].strip() for line in lines[1:4]] == [PROMPTS[i] for i in order]


def test_a_map_of_many_is_one_page_of_vectors(conjure, prompts, tmp_path, monkeypatch):
    monkeypatch.setattr("conjure_kernel.plot.coordinates.MANY", 4)
    output = tmp_path / "map.html"
    code, _, err = conjure("map", prompts, "-o", output, "--images", "1")
    assert code == 0, err
    assert "5 prompts get vectors instead of a matrix: up to 240 noise predictions" in err
    page = output.read_text()
    assert all(prompt in page for prompt in PROMPTS)
    assert "data:image/" in page
    code, _, err = conjure("map", prompts, "-o", tmp_path / "map.png")
    assert code == 2
    assert (
        "map.png': expected a name that ends in .html or .parquet, as 5 prompts are more than 4"
        in err
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["embed", "FILE", "-o", "v.txt"], "expected a name that ends in .npz, .parquet"),
        (["embed", "FILE", "-o", "v.npz", "--components", "9"], "--components=9: expected a mult"),
        (["neighbors", "ONE", "a bus"], "FILE: expected a prompt other than 'a bus', got none"),
    ],
)
def test_bad_input_is_one_line(args, message, conjure, prompts, tmp_path):
    one = tmp_path / "one.txt"
    one.write_text("a bus")
    places = {"FILE": prompts, "ONE": one, "v.npz": tmp_path / "v.npz"}
    code, out, err = conjure(*(places.get(arg, arg) for arg in args))
    assert (code, out) == (2, "")
    assert message in err


def test_neighbors_relative_to_the_empty_prompt(conjure, prompts, cache):
    options = ["--draws", "2", "-k", "3", "--origin", "empty"]
    code, out, err = conjure("neighbors", prompts, "apple", *options, "--json")
    assert code == 0, err
    found = json.loads(out)["apple"]
    settings = {"n_steps": 2, "n_draws": 2, "memory": cache, "origin": "empty"}
    exact = pairwise_divergence(["apple"], PROMPTS, **settings)
    order = exact.values[0].argsort()[:3]
    assert [row["prompt"] for row in found] == [PROMPTS[i] for i in order]
    assert [row["relative_divergence"] for row in found] == [exact.values[0, i] for i in order]
    assert f"{exact.values[0, order[0]]:.4g}" in conjure("neighbors", prompts, "apple", *options)[1]


def test_normalized_vectors_are_written(conjure, prompts, tmp_path):
    path = tmp_path / "vectors.npz"
    code, _, err = conjure("embed", prompts, "-o", path, "--normalize", "--components", "64")
    assert code == 0, err
    vectors = np.load(path)["vectors"]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
