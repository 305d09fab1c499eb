"""`conjure words`: what it prints and writes, and bad input in one line."""

import json

import numpy as np
import pytest

from conjure_kernel import explain_words

SMALL = ["--steps", "2", "--draws", "2"]
PROMPT = "two red apples"


@pytest.fixture
def words(call, tmp_path):
    """Write what is found of the prompt into a file; return (exit code, stdout, stderr, path)."""

    def run(name, *more, prompt=PROMPT):
        path = tmp_path / name
        return *call("words", prompt, "-o", path, *SMALL, *more), path

    return run


def test_words_prints_and_writes_what_the_library_finds(words):
    found = explain_words(PROMPT, n_steps=2, n_draws=2, shapley=True)
    code, out, err, path = words("w.npz", "--shapley")
    assert code == 0, err
    first, last = err.splitlines()
    cost = 2 * (8 * 4 + 2 * 7 * 2)
    assert first == f"conjure: about {cost} noise predictions for 3 words"
    assert last.startswith(f"conjure: {cost} noise predictions made")
    for line, word, j, share in zip(
        out.splitlines(), PROMPT.split(), found.divergences, found.shapley.values, strict=True
    ):
        numbers = line.split()
        assert (float(numbers[0]), numbers[6]) == (pytest.approx(j, rel=1e-3), word)
        assert float(numbers[3]) == pytest.approx(share, rel=1e-3)
    with np.load(path) as file:
        assert str(file["prompt"]) == PROMPT
        assert list(file["words"]) == PROMPT.split()
        for name in ("divergences", "standard_errors", "profile", "heat", "images"):
            np.testing.assert_allclose(file[name], getattr(found, name), rtol=1e-6)
        np.testing.assert_allclose(file["shapley_values"], found.shapley.values, rtol=1e-6)
        assert (file["shapley_sampling_errors"] == 0).all()
        assert len(file["log_snr"]) == 2
        assert json.loads(str(file["provenance"]))["model"] == "embedded"


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("html", b"<!doctype html>")])
def test_words_makes_a_picture_or_a_page(words, ending, start):
    code, out, err, path = words(f"w.{ending}", "--quiet", prompt="red <apples>")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 2
    data = path.read_bytes()
    assert data.startswith(start)
    if ending == "html":
        page = data.decode()
        assert page.count("<span") == 2
        assert "&lt;apples&gt;" in page
        assert "<apples>" not in page
        assert "&quot;model&quot;: &quot;embedded&quot;" in page


@pytest.mark.parametrize(
    ("name", "more", "prompt", "message"),
    [
        ("w.csv", [], PROMPT, "w.csv': expected a name that ends in .png"),
        ("w.png", [], " ", "prompt=' ': expected at least one word"),
        ("w.png", ["--shapley"], "a b c d e f g h i", "at most 8 words, got 9"),
        ("w.png", ["--orders", "5"], PROMPT, "--orders=5: expected an even number"),
    ],
)
def test_bad_input_is_one_line(words, name, more, prompt, message):
    code, out, err, path = words(name, *more, prompt=prompt)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not path.exists()
