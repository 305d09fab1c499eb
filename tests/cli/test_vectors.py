"""`conjure embed` and `conjure neighbors`: what they write and print, and bad input in one line."""

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from conjure_kernel import ConjureEmbedding, pairwise_divergence, plot
from conjure_kernel.cli import vectors
from conjure_kernel.cli.embedded import held, read_embedded, write_embedded
from measured import SIDE

SMALL = ["--steps", "2"]
PROMPTS = ["strawberry", "a bus", "tomato", "a cat", "a taxi"]


def test_embed_writes_what_the_library_finds(conjure, prompts, cache, tmp_path):
    sizes = ["--components", "64", "--points", "8"]
    code, _, err = conjure("embed", prompts, "-o", tmp_path / "v.npz", *sizes)
    assert code == 0, err
    assert "up to 240 noise predictions for 5 prompts" in err
    assert "240 noise predictions made" in err  # chains, then points
    again = ConjureEmbedding(n_components=64, n_steps=2, memory=cache).fit(PROMPTS)
    wanted = again.transform(PROMPTS)
    assert again.n_evaluations_ == 0
    with np.load(tmp_path / "v.npz") as file:
        np.testing.assert_array_equal(file["vectors"], wanted)
        assert list(file["prompts"]) == PROMPTS
        assert json.loads(str(file["provenance"]))["n_steps"] == 2
    code, _, err = conjure("embed", prompts, "-o", tmp_path / "v.parquet", *sizes)
    assert code == 0, err
    frame = pd.read_parquet(tmp_path / "v.parquet")
    np.testing.assert_array_equal(np.stack(frame["vector"]), wanted)
    assert list(frame["text"]) == PROMPTS
    assert frame.attrs["n_steps"] == 2
    apart = np.linalg.norm(wanted[:, None] - wanted, axis=-1)
    np.testing.assert_allclose(frame["neighbors"][0]["distances"], np.sort(apart[0])[1:], rtol=1e-3)


@pytest.mark.parametrize("many", [False, True])
def test_a_map_for_embedding_atlas(conjure, prompts, tmp_path, monkeypatch, many):
    if many:
        monkeypatch.setattr("conjure_kernel.cli.maps.FEW", 4)
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
        assert Image.open(io.BytesIO(thumbnail["bytes"])).size == (SIDE, SIDE)
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


def test_a_map_of_many_is_made_of_vectors_and_says_what_both_roads_cost(
    conjure, prompts, tmp_path, monkeypatch
):
    monkeypatch.setattr("conjure_kernel.cli.maps.FEW", 4)
    more = ["--layout", "mds", "--force"]
    for ending in ("html", "png"):
        code, _, err = conjure("map", prompts, "-o", tmp_path / f"map.{ending}", *more)
        assert code == 0, err
        # References' chains, points and images; chains and replays of two draws.
        vectors, exact = 5 * 4 * 4 + 6 * 2 * 4 + 5 * 4, 5 * 2 * 8 + 5 * 4 * 2 * 2
        assert f"5 prompts: a map of vectors, up to {vectors} noise predictions" in err
        assert f"--exact makes one of J of all pairs, for {exact}" in err
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert all(prompt in page for prompt in PROMPTS)
    assert "data:image/" in page
    drawn = Image.open(tmp_path / "map.png")
    assert json.loads(drawn.text["Description"])["normalize"] is True
    code, _, err = conjure("map", prompts, "-o", tmp_path / "exact.png", "--exact", "--quiet")
    assert code == 0, err
    assert "normalize" not in json.loads(Image.open(tmp_path / "exact.png").text["Description"])


def test_vectors_grow_for_the_price_of_new_prompts_and_places_stay(conjure, tmp_path, monkeypatch):
    path, first, more = (tmp_path / name for name in ("v.npz", "first.txt", "more.txt"))
    first.write_text("\n".join(PROMPTS), encoding="utf-8")
    more.write_text("\n".join(["a dog", "a bus", "a dog", "a lemon"]), encoding="utf-8")
    sizes = ["--normalize", "--points", "4", "--components", "64", "--images", "1"]
    assert conjure("embed", first, "-o", path, *sizes)[0] == 0
    old = read_embedded(path)
    code, _, err = conjure("embed", more, "--into", path)
    assert code == 0, err
    assert "conjure: 24 noise predictions made" in err  # two prompts: points, and an image
    new = read_embedded(path)
    assert new.prompts == [*PROMPTS, "a dog", "a lemon"]
    assert (old.n_first, new.n_first, len(new.vectors), len(new.images)) == (5, 5, 7, 7)
    np.testing.assert_array_equal(new.vectors[:5], old.vectors)
    np.testing.assert_array_equal(new.images[:5], old.images)
    settings = {**new.settings(), "n_steps": 2, "memory": None}
    whole = ConjureEmbedding(**settings).fit(["a bus"]).transform(new.prompts)
    np.testing.assert_allclose(new.vectors, whole, atol=1e-5)
    code, _, err = conjure("embed", more, "--into", path)
    assert (code, "has all 3 prompts" in err) == (0, True)

    seen = []
    monkeypatch.setattr(
        plot, "plot_mosaic", lambda points, *_, **more: seen.append((points, more)) or Figure()
    )
    for known in (old, new):
        write_embedded(path, known)
        assert conjure("map", path, "-o", tmp_path / "m.png", "--layout", "mds", "--force")[0] == 0
    np.testing.assert_array_equal(seen[1][0][:5], seen[0][0])
    places = [plot.spread_evenly(p, m["near"], n_first=m["n_first"]) for p, m in seen]
    np.testing.assert_array_equal(places[1][:5], places[0])


def test_prompts_that_two_commands_add_at_once_are_all_kept(conjure, tmp_path, monkeypatch):
    path, names = tmp_path / "v.npz", ("first", "one", "two")
    lists = dict(zip(names, ("a bus\na cat", "a dog\na lemon", "a lemon\na pear"), strict=True))
    for name, text in lists.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    sizes = ["--points", "4", "--components", "64", "--images", "1"]
    assert conjure("embed", tmp_path / "first", "-o", path, *sizes)[0] == 0
    embed = vectors._embed

    def meanwhile(*given):
        monkeypatch.setattr(vectors, "_embed", embed)
        assert conjure("embed", tmp_path / "one", "--into", path)[0] == 0
        return embed(*given)

    monkeypatch.setattr(vectors, "_embed", meanwhile)
    code, _, err = conjure("embed", tmp_path / "two", "--into", path)
    assert code == 0, err
    found = read_embedded(path)
    assert found.prompts == ["a bus", "a cat", "a dog", "a lemon", "a pear"]
    assert len(found.images) == 5
    settings = {**found.settings(), "n_steps": 2, "memory": None}
    whole = ConjureEmbedding(**settings).fit(["a bus"]).transform(found.prompts)
    np.testing.assert_allclose(found.vectors, whole, rtol=1e-5, atol=2e-5)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*names, "v.npz"])


def test_a_file_of_vectors_that_became_another_or_is_held_is_left(conjure, tmp_path, monkeypatch):
    path, other, more = (tmp_path / name for name in ("v.npz", "other.npz", "more.txt"))
    more.write_text("a dog\na lemon", encoding="utf-8")
    for name, points in ((path, "4"), (other, "2")):
        sizes = ["--points", points, "--components", "16"]
        assert conjure("embed", more, "-o", name, *sizes)[0] == 0
    more.write_text("a pear", encoding="utf-8")
    monkeypatch.setenv("CONJURE_KERNEL_LOCK_TIMEOUT", "0")
    before, embed = path.read_bytes(), vectors._embed
    with ThreadPoolExecutor(1) as other_command, ExitStack() as locks:
        other_command.submit(locks.enter_context, held(path)).result()
        code, _, err = conjure("embed", more, "--into", path)
        other_command.submit(locks.close).result()
    assert code == 2
    assert "v.npz': expected no other command that writes into it, got process" in err
    assert path.read_bytes() == before

    def meanwhile(*given):
        path.write_bytes(other.read_bytes())
        return embed(*given)

    monkeypatch.setattr(vectors, "_embed", meanwhile)
    code, _, err = conjure("embed", more, "--into", path)
    assert code == 2
    assert "v.npz': expected the vectors that were there when this command began, got " in err
    assert path.read_bytes() == other.read_bytes()


def test_a_map_that_began_with_few_prompts_is_laid_out_anew(conjure, tmp_path, monkeypatch):
    path, first, more = (tmp_path / name for name in ("v.npz", "first.txt", "more.txt"))
    first.write_text(PROMPTS[0], encoding="utf-8")
    more.write_text("\n".join(PROMPTS), encoding="utf-8")
    assert conjure("embed", first, "-o", path, "--images", "1")[0] == 0
    assert conjure("embed", more, "--into", path)[0] == 0
    seen = []
    monkeypatch.setattr(plot, "plot_mosaic", lambda *a, **more: seen.append((a, more)) or Figure())
    code, _, err = conjure("map", path, "-o", tmp_path / "m.png", "--layout", "mds")
    assert code == 0, err
    assert "4 of 5 prompts were added later: the map is laid out anew" in err
    (((points, *_), more),) = seen
    assert len({tuple(point) for point in points.round(6)}) == 5  # and not all in one place
    assert more["n_first"] == 5


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seed", "3"], "--seed=3: expected 0, with which the vectors"),
        (["--components", "512"], "--components=512: expected 64"),
        (["--components", "1024"], "--components=1024: expected 64"),  # the default, but given
        (["--normalize"], "--normalize: expected vectors of length 1 in"),
        (["--images", "2"], "--images=2: expected 0, as of the prompts in"),
        (["-o", "other.npz"], "-o, --into: expected one of them, got both"),
        (["--dtype", "bfloat16"], "--model: expected the model of"),
    ],
)
def test_vectors_that_would_not_belong_together_are_refused(
    conjure, prompts, tmp_path, more, message
):
    path = tmp_path / "v.npz"
    assert conjure("embed", prompts, "-o", path, "--components", "64")[0] == 0
    before = path.read_bytes()
    prompts.write_text("a dog")
    code, out, err = conjure("embed", prompts, "--into", path, *more)
    assert (code, out) == (2, "")
    assert message in err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("embed", ["--exact"], "--exact: expected prompts to measure, got the vectors in"),
        ("embed", ["--guidance", "7"], "--guidance=7.0: expected 1.0, with which"),
        ("embed", ["--images", "3"], "--images=3: expected at most 2, as in"),
        ("embed", ["--set", "height=8"], "--set: expected none, with which"),
        ("matrix", ["--seed", "3"], "--seed=3: expected 0, with which"),
        ("matrix", ["--origin", "empty"], "--origin='empty': expected none, with which"),
        ("matrix", ["--images", "3"], "--images=3: expected at most 2, as in"),
    ],
)
def test_a_saved_file_is_not_drawn_as_what_it_is_not(
    conjure, prompts, tmp_path, kind, more, message
):
    path, page = tmp_path / "s.npz", tmp_path / "m.html"
    assert conjure(kind, prompts, "-o", path, "--images", "2")[0] == 0
    code, _, err = conjure("map", path, "-o", page, *more)
    assert (code, message in err, page.exists()) == (2, True, False), err


def test_a_map_of_a_saved_file_has_as_many_images_as_are_wanted(conjure, prompts, tmp_path):
    for kind in ("embed", "matrix"):
        path, page = tmp_path / f"{kind}.npz", tmp_path / f"{kind}.html"
        assert conjure(kind, prompts, "-o", path, "--images", "2")[0] == 0
        for wanted in (0, 1):
            drawn = conjure(
                "map", path, "-o", page, "--images", wanted, "--layout", "mds", "--force"
            )
            assert drawn[0] == 0, drawn[2]
            assert page.read_text(encoding="utf-8").count('"data:image/png') == wanted * 5


def test_what_is_no_file_of_vectors_is_said(conjure, prompts, tmp_path):
    path = tmp_path / "v.npz"
    np.savez(path, vectors=np.eye(2))
    for words in (["embed", prompts, "--into", path], ["map", path, "-o", tmp_path / "m.png"]):
        code, _, err = conjure(*words)
        assert (code, "expected vectors that `conjure embed" in err) == (2, True)
    assert "-o, --into: expected one of them, got none" in conjure("embed", prompts)[2]


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


def test_a_page_can_be_coloured_by_columns_and_by_vividness(conjure, tmp_path, monkeypatch):
    monkeypatch.setattr("conjure_kernel.cli.maps.FEW", 2)
    table, path = tmp_path / "words.csv", tmp_path / "map.html"
    table.write_text("word,theme,score\ndog,pet,1.5\nbus,,2\ndog,other,9\ncar,road,\n", "utf-8")
    given = [table, "--column", "word", "--steps", "2", "--images", "0", "-o", path]
    assert conjure("map", *given, "--colour", "theme", "--colour", "SCORE")[0] == 0
    data = json.loads(re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"), re.S)[1])
    theme, score, vivid = data["columns"]
    assert (theme["name"], theme["kind"]) == ("theme", "category")
    assert [None if i is None else theme["names"][i] for i in theme["values"]] == [
        "pet",
        None,
        "road",
    ]
    assert (score["kind"], score["values"]) == ("number", [1.5, 2.0, None])
    assert vivid["name"] == "vividness, nats"
    assert min(vivid["values"]) > 0
    monkeypatch.setattr("conjure_kernel.cli.maps.FEW", 60)
    assert conjure("map", *given, "--force", "--colour", "theme")[0] == 0
    data = json.loads(re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"), re.S)[1])
    assert [column["name"] for column in data["columns"]] == ["theme"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["words.csv", "--column", "word", "--colour", "x", "-o", "m.html"],
            "--colour='x': expected",
        ),
        (
            ["words.csv", "--column", "word", "--colour", "word", "-o", "m.png"],
            "an .html page only",
        ),
        (["--colour", "kind", "-o", "m.html"], "--colour='kind': expected a table as FILE"),
    ],
)
def test_a_colour_that_there_is_not_is_refused(conjure, tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.csv").write_text("word,theme\ndog,pet\nbus,road\ncar,road\n", "utf-8")
    code, _, err = conjure("map", *given)
    assert code == 2
    assert message in err
