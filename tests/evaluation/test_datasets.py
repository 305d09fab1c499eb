"""Scored pairs from files and a hub: what is read, and errors that name the place."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from conjure_kernel.evaluation.datasets import TASKS, ScoredPairs, load_pairs

TSV = 'sentence1\tsentence2\tscore\tsource\nA "dog".\tA cat, too.\t2.5\tnews\nOne\tTwo\t0\tforum\n'


@pytest.fixture
def write(tmp_path):
    def write(text, name="pairs.tsv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the `datasets` library; holds what was asked and what is answered."""
    rows = [{"sentence1": "a", "sentence2": "b", "score": 1, "genre": "g", "dataset": "MSR"}]
    state = SimpleNamespace(asked=None, answer=rows)

    def load_dataset(name, **options):
        state.asked = (name, options)
        if isinstance(state.answer, Exception):
            raise state.answer
        return state.answer

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return state


def test_tsv_is_literal_and_csv_quoted(write):
    loaded = load_pairs(write(TSV))
    assert loaded.pairs == [('A "dog".', "A cat, too."), ("One", "Two")]
    assert loaded.scores.tolist() == [2.5, 0]
    assert loaded.corpora == ["news", "forum"]
    assert (loaded.name, loaded.provenance) == ("pairs", {"source": "pairs.tsv"})
    words = load_pairs(write('\ufeffword1,word2,score\n"a, b",c,3\n', "words.csv"))
    assert (words.pairs, words.corpora) == ([("a, b", "c")], None)


def test_columns_can_be_named(write):
    path = write("id,x,y,gold\n7,a,b,1.5\n", "x.csv")
    assert load_pairs(path, columns=("x", "y", "gold")).scores.tolist() == [1.5]


def test_several_ratings_are_the_same_pairs_with_other_scores(write):
    path = write("word1,word2,shape,food\na,b,1.5,0\nc,d,2,7\n", "x.csv")
    both = load_pairs(path, score=["shape", "food"])
    assert list(both) == ["shape", "food"]
    assert both["shape"].pairs == both["food"].pairs == [("a", "b"), ("c", "d")]
    assert [one.scores.tolist() for one in both.values()] == [[1.5, 2], [0, 7]]
    assert [one.name for one in both.values()] == ["x, shape", "x, food"]
    assert load_pairs(path, score="food").scores.tolist() == [0, 7]
    named = load_pairs(path, columns=("word2", "word1", "none"), score=("shape",))["shape"]
    assert named.left == ["b", "d"]
    with pytest.raises(ValueError, match=r"expected the columns .*word1, word2, taste.*got word1"):
        load_pairs(path, score=["shape", "taste"])
    with pytest.raises(ValueError, match=r"score=\[\]: expected at least one name"):
        load_pairs(path, score=[])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sentence1\tsentence2\tscore\na\tb\n",
            r"line 2: expected 3 fields, as in line 1 .* got 2",
        ),
        (
            "sentence1\tsentence2\tscore\na\tb\t1\nc\td\tinf\n",
            r"line 3: score='inf': expected a finite number",
        ),
        ("sentence1\tsentence2\tscore\na\tb\thigh\n", r"line 2: score='high': expected a finite"),
        ("sentence1\tsentence2\tscore\na\tb\t\n", "expected pairs with a score, got 1 without"),
        ("a\tb\tscore\nx\ty\t1\n", "expected the columns sentence1, sentence2, score or .* a, b, "),
        ("sentence1\tsentence2\tscore\n", "expected a header and one pair a line, got no pairs"),
        ("", "expected a header and one pair a line, got no pairs"),
        (b"sentence1\tsentence2\tscore\na\tb\x01\t1\n", "expected text, got .* 0x01 in line 2"),
    ],
)
def test_a_bad_file_is_named_with_its_line(write, text, message):
    with pytest.raises(ValueError, match=rf"(?s)pairs.tsv.*{message}"):
        load_pairs(write(text))


def test_bad_names(tmp_path):
    with pytest.raises(ValueError, match=r"source='stsb': expected a file, .* tasks sts12"):
        load_pairs("stsb")
    with pytest.raises(FileNotFoundError):
        load_pairs(tmp_path / "none.tsv")


def test_a_task_comes_from_the_hub(hub):
    loaded = load_pairs("sts-b", split="validation", revision="abc")
    assert hub.asked == ("mteb/stsbenchmark-sts", {"split": "validation", "revision": "abc"})
    assert loaded.pairs == [("a", "b")]
    assert loaded.corpora == ["MSR"]
    assert loaded.provenance["source"] == "mteb/stsbenchmark-sts"
    assert len(TASKS) == 7


def test_a_hub_that_fails_is_told_as_such(hub):
    hub.answer = ConnectionError("no route")
    with pytest.raises(OSError, match=r"'sts12': mteb/sts12-sts .* ConnectionError: no route"):
        load_pairs("sts12")
    hub.answer = [{"sentence1": "a", "sentence2": None, "score": 1.0}]
    with pytest.raises(TypeError, match=r"sts12-sts.*None: expected a string"):
        load_pairs("sts12")
    hub.answer = [{"sentence1": "a", "sentence2": "b", "score": None}]
    with pytest.raises(ValueError, match=r"sts12-sts.*: expected pairs with a score"):
        load_pairs("sts12")


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"'sick-r'.*conjure-kernel\[scores\]"):
        load_pairs("sick-r")


def test_samples_and_subsets_say_so():
    names = [str(i) for i in range(50)]
    pairs = ScoredPairs("x", names, names[::-1], np.arange(50.0), names)
    some = pairs.sample(10, seed=3)
    assert len(some) == 10
    assert some.scores.tolist() == [float(name) for name in some.left] == sorted(some.scores)
    assert some.left == some.corpora == pairs.sample(10, seed=3).left
    assert some.left != pairs.sample(10, seed=4).left
    assert some.provenance["subset"] == "10 of 50: drawn with seed 3"
    assert pairs.sample(50) is pairs
    inner = pairs.within(names[10:40]).sample(5)
    assert inner.provenance["subset"].endswith("; of 30 of 50: both texts known")
    assert all(10 <= int(name) < 40 for pair in inner.pairs for name in pair)
    with pytest.raises(ValueError, match=r"x: expected at least one pair, got none \(both texts"):
        pairs.within(["a"])


def test_pairs_without_one_of_several_ratings_are_left_out_of_all(write):
    path = write("word1,word2,shape,food\na,b,1.5,0\nc,d,,7\ne,f,3,n/a\ng,h,4,5\n", "x.csv")
    with pytest.warns(UserWarning, match="2 of 4 pairs have no score and are left out"):
        both = load_pairs(path, score=["shape", "food"])
    assert both["shape"].pairs == both["food"].pairs == [("a", "b"), ("g", "h")]
    assert [one.scores.tolist() for one in both.values()] == [[1.5, 4], [0, 5]]


@pytest.mark.parametrize("first", ["5/10", "1.000,5"])
def test_a_first_score_that_is_no_number_is_no_header(write, first):
    path = write(f"a\tb\t{first}\nc\td\t2\n", "x.tsv")
    with pytest.raises(ValueError, match=r"x.tsv', line 1.*expected a finite number"):
        load_pairs(path, columns=(0, 1, 2))


def test_a_first_score_that_is_missing_is_counted(write):
    path = write("a\tb\tn/a\nc\td\t2\n", "x.tsv")
    with pytest.warns(UserWarning, match="1 of 2 pairs have no score"):
        assert load_pairs(path, columns=(0, 1, 2)).pairs == [("c", "d")]


@pytest.mark.parametrize(
    "scores", [("1,000", "999", "12,500"), ("3.5", "3,500"), ("1.500", "900", "2,5")]
)
def test_commas_between_thousands_are_not_read_as_decimals(write, scores):
    lines = [f"a{i};b;{score}" for i, score in enumerate(scores)]
    path = write("\n".join(["word1;word2;score", *lines]), "x.csv")
    with pytest.raises(ValueError, match=r"x.csv', line \d.*may stand before decimals or between"):
        load_pairs(path)


def test_decimal_commas_are_read_where_they_can_be_nothing_else(write):
    path = write("word1;word2;score\na;b;1,5\nc;d;2,125\ne;f;3\n", "x.csv")
    assert load_pairs(path).scores.tolist() == [1.5, 2.125, 3]


def test_an_empty_text_is_refused_with_its_line(write):
    with pytest.raises(ValueError, match=r"x.csv', line 3: word1: expected a text, got an empty"):
        load_pairs(write("word1,word2,score\na,b,1\n,bus,7\n", "x.csv"))
