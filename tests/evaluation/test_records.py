"""Files as they come: each is read as it was meant, or refused with the line."""

from __future__ import annotations

import gzip
import io
import json
import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from commands import prompts_in
from conjure_kernel._checks import PromptWarning
from conjure_kernel.evaluation.datasets import load_pairs

PAIRS, SCORES = [("a dog", "a cat"), ("a café", "a naïve bus"), ("a tram", "a bus")], [3.5, 1.0, 4]
ROWS = [(*pair, score) for pair, score in zip(PAIRS, SCORES, strict=True)]
HEADER = ("sentence1", "sentence2", "score")


def lines(by, *, header=HEADER, rows=ROWS, decimal="."):
    table = [header, *rows] if header else rows
    return "".join(by.join(map(str, row)).replace(".", decimal) + "\n" for row in table)


def frame(**names):
    return pd.DataFrame(ROWS, columns=list(HEADER)).rename(columns=names)


def packed(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


RECORDS = [dict(zip(HEADER, row, strict=True)) for row in ROWS]
NESTED = [{"pair": {"a": a, "b": b}, "human": {"mean": s}, "tags": [1]} for a, b, s in ROWS]
PATHS = ("pair.a", "pair.b", "human.mean")
QUOTED = [("a dog, asleep", 'a "cat"', 1), ("x", "y", 2)]
# Names, what is in them, and options, of files that hold the three pairs.
READ = {
    "comma": ("p.csv", lines(","), {}),
    "semicolon": ("p.csv", lines(";"), {}),
    "semicolon and decimal comma": ("p.csv", lines(";", decimal=","), {}),
    "tab": ("p.tsv", lines("\t"), {}),
    "tab and decimal comma": ("p.tsv", lines("\t", decimal=","), {}),
    "tab in .txt": ("p.txt", lines("\t"), {}),
    "bar": ("p.csv", lines("|"), {}),
    "delimiter given": ("p.csv", lines("^"), {"delimiter": "^"}),
    "delimiter by name": ("p.txt", lines(";"), {"delimiter": "semicolon"}),
    "Windows line ends": ("p.csv", lines(",").replace("\n", "\r\n"), {}),
    "no last line end, empty lines": ("p.csv", "\n" + lines(",").strip() + "\n\n\n", {}),
    "UTF-8 with a mark": ("p.csv", lines(",").encode("utf-8-sig"), {}),
    "UTF-16 with a mark": ("p.csv", lines("\t").encode("utf-16"), {}),
    "UTF-16 without": ("p.csv", lines(",").encode("utf-16-le"), {}),
    "UTF-16, big end first": ("p.csv", lines(",").encode("utf-16-be"), {}),
    "Latin-1, said so": ("p.csv", lines(",").encode("latin-1"), {"encoding": "latin-1"}),
    "gzip": ("p.csv.gz", gzip.compress(lines(",").encode()), {}),
    "no header": ("p.csv", lines(",", header=None), {}),
    "no header, places": ("p.csv", lines(",", header=None), {"columns": (0, 1, 2)}),
    "header, places as text": ("p.csv", lines(","), {"columns": ("1", "2", "3")}),
    "no header, decimal comma": ("p.csv", lines(";", header=None, decimal=","), {}),
    "other names": ("p.csv", lines(",", header=("x", "y", "z")), {"columns": ("x", "y", "z")}),
    "names in capitals": ("p.csv", lines(",", header=("Word1", "WORD2", "Score")), {}),
    "names of SICK": ("p.txt", lines("\t", header=("sentence_A", "sentence_B", "rating")), {}),
    "comments": ("p.csv", "# rated in 2020, by 12\n" + lines(","), {"comment": "#"}),
    "JSON lines": ("p.jsonl", "\n".join(map(json.dumps, RECORDS)), {}),
    "JSON": ("p.json", json.dumps(RECORDS), {}),
    "JSON of columns": ("p.json", json.dumps(frame().to_dict("list")), {}),
    "JSON with a head": ("p.json", json.dumps({"version": 1, "data": RECORDS}), {}),
    "nested JSON": ("p.json.gz", gzip.compress(json.dumps(NESTED).encode()), {"columns": PATHS}),
    "parquet": ("p.parquet", packed(frame().to_parquet), {}),
    "a line of Excel": ("p.csv", "sep=;\n" + lines(";", decimal=","), {}),
    "a spreadsheet": ("p.xlsx", True, {}),
    "a spreadsheet without header": ("p.xlsx", False, {"columns": (0, 1, 2)}),
}


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        if isinstance(content, bool):
            pytest.importorskip("openpyxl")
            how = {"index": False, "header": content}
            content = packed(lambda buffer: frame().to_excel(buffer, **how))
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("kind", READ)
def test_pairs_are_read(kind, write):
    name, content, options = READ[kind]
    found = load_pairs(write(name, content), **options)
    assert found.pairs == PAIRS
    assert found.scores.tolist() == SCORES
    assert found.provenance["source"] == name


def test_tables_are_read():
    pl = pytest.importorskip("polars")
    for table in (frame(), pl.DataFrame(frame()), pa.Table.from_pandas(frame())):
        assert load_pairs(table).pairs == PAIRS
    renamed = load_pairs(frame(sentence1="x"), columns=("x", 1, "score"))
    assert (renamed.pairs, renamed.scores.tolist()) == (PAIRS, SCORES)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_western_letters_are_found_and_told(encoding, write):
    text = lines(",") + ("“a sign”,it\u2019s,2\n" if encoding == "cp1252" else "")
    path = write("p.csv", text.encode(encoding))
    with pytest.warns(PromptWarning, match=r"p.csv': no UTF-8, read as cp1252; .* encoding="):
        found = load_pairs(path)
    assert found.pairs[:3] == PAIRS
    assert found.provenance["encoding"] == "cp1252"
    assert found.pairs[3:] == ([("“a sign”", "it\u2019s")] if encoding == "cp1252" else [])


def test_what_is_missing_is_left_out_and_counted(write):
    text = lines(",") + "a,b,\nc,d,NA\ne,f,nan\ng,h, \n"
    message = r"4 of 7 pairs have no score and are left out \(line 5, line 6, line 7, ...\)"
    with pytest.warns(PromptWarning, match=message):
        found = load_pairs(write("p.csv", text))
    assert (found.pairs, found.provenance["without_score"]) == (PAIRS, 4)
    with pytest.warns(PromptWarning, match=r"1 of 4 pairs .* \(row 3\)"):
        load_pairs(pd.concat([frame(), pd.DataFrame([["x", "y", np.nan]], columns=list(HEADER))]))


def test_pairs_that_come_again_with_another_score_are_told(write):
    text = lines(",") + "a cat,a dog,3.5\na bus,a tram,2\n"
    with pytest.warns(PromptWarning, match=r"1 pairs come again .* 'a bus \| a tram'"):
        assert len(load_pairs(write("p.csv", text))) == 5


@pytest.mark.parametrize(
    ("first", "others", "told"),
    [
        ("w1,w2,2019", ["1.5", "3", "0"], True),
        ("a dog,a cat,10", ["1.5", "3", "0"], False),  # a rating on a scale
        ("a dog,a cat,2019", ["1850", "600", "712"], False),  # reaction times
        ("w1,w2,2019", ["0", "0", "0"], False),
    ],
)
def test_a_header_that_reads_as_a_pair_is_told(tmp_path, recwarn, first, others, told):
    lines = [first, *(f"word {i},word,{score}" for i, score in enumerate(others))]
    path = tmp_path / "p.csv"
    path.write_text("\n".join(lines))
    assert len(load_pairs(path)) == 4
    message = f"p.csv', line 1: '{first}' is read as a pair, and its score is more than 10 times"
    assert [message in str(warning.message) for warning in recwarn] == [True] * told
    n_told = len(recwarn)
    assert len(load_pairs(path, header=False)) == 4
    if told:
        assert len(load_pairs(path, columns=first.split(","))) == 3
    assert len(recwarn) == n_told


def test_quotes_are_as_the_delimiter_says_or_the_user(write):
    csv = '"a dog, asleep","a ""cat""",1\nx,y,2\n'
    assert load_pairs(write("p.csv", csv)).pairs == [row[:2] for row in QUOTED]
    tsv = '"a\tb"\t1\n'
    assert load_pairs(write("p.tsv", tsv)).pairs == [('"a', 'b"')]
    assert load_pairs(write("p.tsv", 'x y\t"a\tb"\t1\n'), quoting='"').pairs == [("x y", "a\tb")]
    stray = 'a "dog,"cat" he said,1\nx,y,2\n'
    path = write("p.csv", stray)
    with pytest.raises(ValueError, match=r"line 1: expected quotes around whole .* quoting='none'"):
        load_pairs(path)
    assert load_pairs(path, quoting="none").pairs == [('a "dog', '"cat" he said'), ("x", "y")]


def test_raw_files_of_stsb_and_of_words(write):
    raw = 'main-captions\tMSRvid\t2012test\t0001\t5.000\tA "plane", off.\tAn air plane.\n'
    raw += "main-news\thead\t2015\t0002\t1.5\tOne, two\tThree\tan added licence\tof the source\n"
    found = load_pairs(write("sts-dev.csv", raw))
    assert found.pairs == [('A "plane", off.', "An air plane."), ("One, two", "Three")]
    assert (found.scores.tolist(), found.corpora) == ([5, 1.5], ["MSRvid", "head"])
    men = load_pairs(write("MEN_dataset_natural_form_full", "sun sunlight 50.0\ncat dog 31.5\n"))
    assert (men.pairs[1], men.scores.tolist()) == (("cat", "dog"), [50, 31.5])
    wordsim = load_pairs(write("combined.csv", "Word 1,Word 2,Human (mean)\nlove,sex,6.77\n"))
    assert (wordsim.pairs, wordsim.scores[0]) == ([("love", "sex")], 6.77)
    simlex = "word1\tword2\tPOS\tSimLex999\tconc(w1)\nold\tnew\tA\t1.58\t2.7\n"
    assert load_pairs(write("SimLex-999.txt", simlex)).scores.tolist() == [1.58]


def test_tabs_with_the_quotes_of_pandas_are_read_and_those_of_texts_are_kept(write):
    table = pd.DataFrame([('a "big" dog', "x", 1.0), ("plain", "y", 2.0)], columns=list(HEADER))
    pairs = load_pairs(write("p.tsv", table.to_csv(sep="\t", index=False)))
    assert pairs.pairs == [('a "big" dog', "x"), ("plain", "y")]
    published = 'sentence1\tsentence2\tscore\n"Hello," he said\t"Go."\t1\nx\ta 5" pipe\t2\n'
    pairs = load_pairs(write("p.tsv", published))
    assert pairs.pairs == [('"Hello," he said', '"Go."'), ("x", 'a 5" pipe')]
    assert load_pairs(write("p.tsv", 'word1\tword2\tscore\n"a"\tb\t1\n')).left == ['"a"']


R = '"sentence1"X"sentence2"X"score"\n"a dog"X"a cat"X3.5\n"x"X"y"XNA\n"a bus"X"a tram"X2\n'
SHEET = 'sentence1\tsentence2\tscore\n"a dog, asleep"\tx\t1\ny\t"z, w"\t2\n'


@pytest.mark.filterwarnings("ignore:.*have no score")
def test_quotes_that_are_no_letters_are_found(write):
    read = [("a dog", "a cat"), ("a bus", "a tram")]
    assert load_pairs(write("p.tsv", R.replace("X", "\t"))).pairs == read
    assert load_pairs(write("p.txt", R.partition("\n")[2].replace("X", "\t"))).pairs == read
    assert load_pairs(write("p.csv", R.replace("X", ",").replace('"', "'"))).pairs == read
    assert load_pairs(write("p.tsv", SHEET)).pairs == [("a dog, asleep", "x"), ("y", "z, w")]
    some = SHEET.replace('"z, w"', "z, w")  # some texts have a comma and no quotes
    assert load_pairs(write("p.tsv", some)).pairs == [('"a dog, asleep"', "x"), ("y", "z, w")]
    words = load_pairs(write("p.txt", '"dog" "cat" 3.5\n"bus" "tram" 4\n'))
    assert words.pairs == [("dog", "cat"), ("bus", "tram")]


def test_space_around_texts_and_marks_between_files_are_no_letters(write):
    text = "sentence1 , sentence2 , score\n a dog , a cat , 3.5\n\ufeffa bus,a tram,1\n"
    assert load_pairs(write("p.csv", text)).pairs == [("a dog", "a cat"), ("a bus", "a tram")]
    tabs = text.replace(",", "\t")
    assert load_pairs(write("p.tsv", tabs)).pairs == [("a dog", "a cat"), ("a bus", "a tram")]


def test_other_columns_with_known_names_are_told(write):
    path = write("p.csv", lines(",", header=("word1", "word2", "similarity")))
    assert load_pairs(path).pairs == PAIRS
    table = [("word1", "word2", "similarity", "rating"), ("a", "b", 0.5, 3)]
    path = write("p.csv", "\n".join(",".join(map(str, row)) for row in table))
    with pytest.warns(PromptWarning, match="word1, word2, similarity are read, and not rating"):
        assert load_pairs(path).scores.tolist() == [0.5]
    assert load_pairs(path, columns=("word1", "word2", "rating")).scores.tolist() == [3]


def test_fields_of_several_lines_are_told(write):
    with pytest.warns(
        PromptWarning, match=r"1 rows hold a field of several lines \(first in line 5\)"
    ):
        assert len(load_pairs(write("p.csv", lines(",") + 'a,"b,3\nc,d",4\n'))) == 4


def test_words_that_spreadsheets_have_for_nothing_are_texts(write):
    pytest.importorskip("openpyxl")
    table = pd.DataFrame([("NA", "null", 1), ("None", "x", 2)], columns=list(HEADER))
    path = write("p.xlsx", packed(lambda buffer: table.to_excel(buffer, index=False)))
    assert load_pairs(path).pairs == [("NA", "null"), ("None", "x")]


def test_other_sheets_are_told(write, tmp_path):
    path = tmp_path / "p.xlsx"
    with pd.ExcelWriter(path) as writer:
        pd.DataFrame().to_excel(writer, sheet_name="empty", index=False)
        frame().to_excel(writer, sheet_name="mine", index=False)
        frame().head(1).to_excel(writer, sheet_name="old", index=False)
    with pytest.warns(PromptWarning, match="the sheet 'mine' is read, and not 'old';"):
        assert load_pairs(path).pairs == PAIRS


NUMBERS = "".join(f"{i},{a},{b}\n" for i, (a, b) in enumerate(PAIRS, 1))
REFUSED = {
    "a name twice": (
        "p.csv",
        "sentence1,sentence2,score,score\na,b,1,2\n",
        {},
        "columns='score': expected one column of that name in .*, got 2; name its place",
    ),
    "a name twice, in any case": (
        "p.csv",
        "sentence1,sentence2,Score,score\na,b,1,2\n",
        {},
        "columns='score': expected one column of that name in .*, in any case, got 2; name its pl",
    ),
    "a column twice": ("p.csv", lines(","), {"columns": (0, 0, 2)}, "expected different columns"),
    "numbers of rows": ("p.csv", NUMBERS, {}, r"expected scores, got numbers of the rows in col"),
    "no digit": ("p.csv", lines(",") + "a,b,1_5\n", {}, r"line 5: score='1_5': expected a finite"),
    "an escape": ("p.csv", lines(",").encode("iso2022_jp_2"), {}, "the character 0x1b in line 3"),
    "a key twice": (
        "p.json",
        '[{"sentence1": "a", "sentence2": "b", "score": 1, "score": 5}]',
        {},
        "expected each key once in a record, got 'score' again",
    ),
    "a revision of a file": (
        "p.csv",
        lines(","),
        {"revision": "main"},
        "revision='main': expected",
    ),
    "ragged": ("p.csv", lines(",") + "a,b\n", {}, r"line 5: expected 3 fields, .* got 2"),
    "unquoted comma": ("p.csv", lines(",") + "a dog, b,c,1\n", {}, "line 5: expected 3 .* got 4"),
    "ragged after a field of two lines": (
        "p.csv",
        lines(",") + '"two\nlines",b,1\nx,y\n',
        {},
        "line 7: expected 3",
    ),
    "an open quote": ("p.csv", lines(",") + '"a,b,1\nc,d,2\n', {}, "line 5: expected quotes"),
    "no number": ("p.csv", lines(",") + "a,b,high\n", {}, r"line 5: score='high': expected a fi"),
    "wrong encoding": (
        "p.csv",
        lines(",").encode("latin-1"),
        {"encoding": "utf-8"},
        "expected utf-8, got byte 0xe9 in line 3",
    ),
    "bytes": ("p.csv", b"\x89PNG\r\n\x1a\n\x01\x02\x03", {}, "expected text, got the character"),
    "torn gzip": ("p.csv.gz", gzip.compress(lines(",").encode())[:30], {}, "whole gzip file"),
    "torn JSON": ("p.json", json.dumps(RECORDS)[:-2], {}, "line 1: expected JSON"),
    "a torn line": ("p.jsonl", json.dumps(RECORDS[0]) + '\n{"a": ', {}, "line 2: expected JSON"),
    "JSON of a number": ("p.json", "3", {}, "expected a list of records or of texts, got 3"),
    "no parquet": ("p.parquet", b"PAR0", {}, "p.parquet': cannot be read"),
    "a missing text": (
        "p.jsonl",
        json.dumps({**RECORDS[0], "sentence2": None}),
        {},
        "line 1: sentence2=None: expected a string",
    ),
    "no such column": ("p.csv", lines(","), {"columns": "xyz"}, "columns='xyz': expected both"),
    "nor such a place": (
        "p.csv",
        lines(","),
        {"columns": (0, 1, 7)},
        "columns=7: expected a column of .* places 1 to 3",
    ),
    "a delimiter of two": ("p.csv", lines(","), {"delimiter": "::"}, "delimiter='::': expected"),
    "two numbers": ("p.csv", "1,2,3\n", {}, "expected the columns sentence1"),
    "two columns": ("p.csv", "a,b\n", {}, "expected the columns sentence1"),
    "nothing": ("p.csv", "", {}, "got no pairs"),
    "a header alone": ("p.jsonl", "\n\n", {}, "got no pairs"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_place(kind, write):
    name, content, options, message = REFUSED[kind]
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        load_pairs(write(name, content), **options)
    assert "\n" not in str(caught.value)


PROMPTS = ["a dog", "a café, at night", "naïve art"]
PARTI = "Prompt\tCategory\tChallenge\tNote\n" + "".join(f"{p}\tAnimals\tBasic\t\n" for p in PROMPTS)
GENEVAL = "\n".join(
    json.dumps({"tag": "two", "include": [{"class": "dog", "count": 1}], "prompt": p})
    for p in PROMPTS
)
NUMBERED = "\n".join(f"{i};{p}" for i, p in enumerate(PROMPTS))
LISTS = {
    "lines": ("p.txt", "\n".join(PROMPTS), []),
    "no ending": ("prompts", " \n" + "\n\n".join(PROMPTS) + "\n", []),
    "Windows": ("p.txt", "\r\n".join(PROMPTS).encode("utf-16"), []),
    "gzip": ("p.txt.gz", gzip.compress("\n".join(PROMPTS).encode()), []),
    "quoted": ("p.txt", "\n".join(f'"{p}"' for p in PROMPTS), []),
    "comments": ("p.txt", "# mine\n" + "\n".join(PROMPTS) + "\n# end", ["--comment", "#"]),
    "PartiPrompts": ("PartiPrompts.tsv", PARTI, []),
    "PartiPrompts by place": ("p.tsv", PARTI, ["--column", "1"]),
    "GenEval": ("evaluation_metadata.jsonl", GENEVAL, []),
    "T2I-CompBench": ("color_val.txt", "\n".join(PROMPTS) + "\n", []),
    "one column": ("p.csv", "words\n" + "\n".join(f'"{p}"' for p in PROMPTS), []),
    "a caption": (
        "p.csv",
        "id;caption\n" + "\n".join(f"{i};{p}" for i, p in enumerate(PROMPTS)),
        [],
    ),
    "without header": (
        "p.csv",
        NUMBERED,
        ["--column", "2", "--no-header"],
    ),
    "JSON texts": ("p.json", json.dumps(PROMPTS), []),
    "JSON texts in a head": ("p.json", json.dumps({"prompts": PROMPTS}), []),
    "a nested key": (
        "p.json",
        json.dumps([{"meta": {"prompt": p, "id": 1}} for p in PROMPTS]),
        ["--column", "meta.prompt"],
    ),
    "parquet": ("p.parquet", packed(pd.DataFrame({"text": PROMPTS, "n": 1}).to_parquet), []),
    "tabs in .txt": (
        "p.txt",
        "\n".join(f"{i}\t{p}" for i, p in enumerate(PROMPTS)),
        ["--delimiter", "tab", "--column", "2", "--no-header"],
    ),
    "doubled quotes": ("p.txt", '"a ""big"" dog"\n"x"\n', []),
    "single quotes": ("p.txt", "\n".join(f"'{p}'" for p in PROMPTS), []),
    "literal quotes": ("p.txt", '"a dog"', ["--quote", "none"]),
    "other letters": ("p.txt", "\n".join(PROMPTS).encode("cp437"), ["--encoding", "cp437"]),
}


@pytest.mark.filterwarnings("ignore:.*is taken for the name of the column")
@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_prompts_are_read(kind, write):
    name, content, options = LISTS[kind]
    expected = {"literal quotes": ['"a dog"'], "doubled quotes": ['a "big" dog', "x"]}
    assert prompts_in(write(name, content), *options) == expected.get(kind, PROMPTS)


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("p.json", '[{"prompt": "a"}, {"other": 1}, {"prompt": "b"}]', "record 2"),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": null}\n{"prompt": "b"}', "line 2"),
        ("p.csv", "prompt,n\na,1\n ,2\nb,3\n", "line 3"),
    ],
)
def test_rows_without_a_prompt_are_told(name, content, place, write):
    with pytest.warns(PromptWarning, match=rf"1 of 3 rows have no text .* \({place}\)"):
        assert prompts_in(write(name, content)) == ["a", "b"]


@pytest.mark.parametrize("form", ["- {}", "* {}", "• {}", "12. {}", "3) {}", "{},", '"{}",'])
def test_signs_of_a_list_are_told(form, write):
    rows = [form.format(prompt) for prompt in PROMPTS]
    with pytest.warns(PromptWarning, match="all lines have a (bullet or a number|comma), which"):
        assert prompts_in(write("p.txt", "\n".join(rows))) == rows


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("p.csv", "id,word\n1,a\n", [], "'p.csv': expected --column with a table; .* 'id', 'word'"),
        ("p.csv", "id,word\n1,a\n", ["--column", "no"], "--column='no': expected a column"),
        ("p.jsonl", '{"prompt": 3}', [], "line 1: expected a text, got 3"),
        ("p.csv", "prompt,n\na,1\nb, c,2\n", [], "line 3: expected 2 fields"),
        ("p.csv", "x,x\na,1\n", ["--column", "x"], "--column='x': expected one column of that"),
        ("p.txt", "# nothing\n", ["--comment", "#"], "'p.txt': expected prompts, one a line"),
    ],
)
def test_a_list_that_is_none_is_refused(name, content, options, message, write, monkeypatch):
    monkeypatch.chdir(write(name, content).parent)
    with pytest.raises(ValueError, match=message):
        prompts_in(name, *options)


def test_two_forms_of_a_letter_are_one_prompt(write):
    text = "a café\n" + unicodedata.normalize("NFD", "a café")
    assert prompts_in(write("p.txt", text)) == ["a café"] * 2
    pairs = load_pairs(write("p.csv", f"{unicodedata.normalize('NFD', 'café')},bus,1\n"))
    assert pairs.pairs == [("café", "bus")]
    assert len(pairs.within([unicodedata.normalize("NFD", "café"), "bus"])) == 1
