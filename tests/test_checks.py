"""What may come as prompts, pairs, matrices and numbers, and the messages for what may not."""

import unicodedata

import numpy as np
import pandas as pd
import pytest

from conjure_kernel import (
    ConjureEmbedding,
    ConjureNeighbors,
    GaussianDenoiser,
    pairwise_divergence,
)
from conjure_kernel._checks import (
    check_choice,
    check_memory,
    check_number,
    check_pairs,
    check_prompts,
    check_range,
    check_square,
    check_vectors,
)
from conjure_kernel.evaluation import ConjureScorer, ScoredPairs

WORDS = ["a dog", "a cat"]
CONTAINERS = [
    WORDS,
    tuple(WORDS),
    np.array(WORDS),
    np.array(WORDS, dtype=object),
    np.array(WORDS)[:, None],
    pd.Series(WORDS, index=[7, 3]),
    pd.Series(WORDS, dtype="string"),
    pd.DataFrame({"text": WORDS}),
    (w for w in WORDS),
]


@pytest.mark.parametrize("prompts", CONTAINERS, ids=lambda c: type(c).__name__)
def test_every_container_of_the_same_texts_gives_the_same_list_of_builtin_str(prompts):
    # R15, R27
    checked = check_prompts(prompts)
    assert checked == WORDS
    assert [type(p) for p in checked] == [str, str]


@pytest.mark.parametrize("text", ["", " ", "\n\t", "a" * 10_000, "cat\x00", "🐕", "<b>&'\"{}"])
def test_any_text_is_a_prompt_and_stays_as_it_is(text):
    assert check_prompts([text]) == [text]


def test_texts_that_look_the_same_are_the_same():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert check_prompts([decomposed]) == check_prompts([composed]) == [composed]


def test_the_callers_array_is_left_alone():
    given = np.array(["cafe\u0301"], dtype=object)
    check_prompts(given)
    assert given[0] == "cafe\u0301"


@pytest.mark.parametrize(
    ("prompts", "error", "message"),
    [
        (
            "a dog",
            ValueError,
            r"prompts='a dog': expected a list.*got one string; write \['a dog'\]",
        ),
        (b"a dog", ValueError, r"prompts=b'a dog': expected a list of strings, got one string"),
        ([], ValueError, "prompts: expected at least one prompt, got none"),
        (np.array([], dtype=str), ValueError, "prompts: expected at least one prompt"),
        (None, TypeError, "prompts=None: expected a list of strings"),
        (3, TypeError, "prompts=3: expected a list of strings"),
        (
            {"a dog"},
            TypeError,
            r"prompts=\{'a dog'\}: expected a list.*got set; .*in their order",
        ),
        ({"a dog": 1}, TypeError, r"prompts=\{'a dog': 1\}: expected a list of strings, got dict"),
        (["a", None], TypeError, r"prompts\[1\]=None: expected a string, got NoneType.*missing"),
        (["a", np.nan], TypeError, r"prompts\[1\]=nan: expected a string, got float"),
        (pd.Series(["a", pd.NA]), TypeError, r"prompts\[1\]=.*: expected a string, got"),
        ([7], TypeError, r"prompts\[0\]=7: expected a string, got int"),
        ([b"a"], TypeError, r"prompts\[0\]=b'a': expected a string, got bytes"),
        ([["a"]], TypeError, r"prompts\[0\]=\['a'\]: expected a string, got list"),
        (
            np.array([["a", "b"]]),
            ValueError,
            r"expected one column of text, got shape \(1, 2\)",
        ),
        (np.array("a"), ValueError, r"got shape \(\)"),
        (pd.DataFrame({"x": ["a"], "y": ["b"]}), ValueError, r"got shape \(1, 2\)"),
        (
            ["a", "half \ud83d"],
            ValueError,
            r"prompts\[1\]='half \\ud83d': expected valid text, got",
        ),
    ],
)
def test_what_is_no_list_of_texts_is_refused_with_the_offending_value(prompts, error, message):
    with pytest.raises(error, match=message):
        check_prompts(prompts)


def test_a_long_offender_is_quoted_in_short():
    with pytest.raises(ValueError, match="got one string") as caught:
        check_prompts("x" * 10_000)
    assert len(str(caught.value)) < 300


PAIRS = [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    "pairs",
    [
        PAIRS,
        [list(p) for p in PAIRS],
        np.array(PAIRS),
        pd.DataFrame(PAIRS, columns=["x", "y"]),
        zip(["a", "c"], ["b", "d"], strict=True),
    ],
    ids=lambda c: type(c).__name__,
)
def test_every_table_of_pairs_gives_two_lists(pairs):
    assert check_pairs(pairs) == (["a", "c"], ["b", "d"])


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ("ab", TypeError, r"pairs='ab': expected a list of pairs \(text_a, text_b\), got str"),
        (None, TypeError, "pairs=None: expected"),
        ([], ValueError, "pairs: expected at least one pair, got none"),
        (["ab"], ValueError, r"pairs\[0\]='ab': expected a pair"),
        ([("a", "b"), ("a", "b", "c")], ValueError, r"pairs\[1\]=\('a', 'b', 'c'\): expected a p"),
        ([("a", None)], TypeError, r"pairs\[:, 1\]\[0\]=None: expected a string"),
        ([3], ValueError, r"pairs\[0\]=3: expected a pair"),
    ],
)
def test_what_is_no_table_of_pairs_is_refused_with_the_offending_row(pairs, error, message):
    with pytest.raises(error, match=message):
        check_pairs(pairs)


def test_a_good_matrix_comes_back_as_an_independent_float64_copy():
    given = np.array([[0, 1], [1, 0]], dtype=np.float32)
    checked = check_square(given)
    checked[0, 1] = 5
    assert checked.dtype == np.float64
    assert given[0, 1] == 1  # R6


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((2, 3)), r"square matrix, got shape \(2, 3\)"),
        (np.zeros(4), r"square matrix, got shape \(4,\)"),
        (np.zeros((0, 0)), r"got shape \(0, 0\)"),
        ([[0, np.nan], [np.nan, 0]], "D: expected finite values, got NaN or infinity"),
        ([[0, np.inf], [np.inf, 0]], "D: expected finite values, got NaN or infinity"),
        ([[0, -0.25], [-0.25, 0]], "D: expected values of at least 0, got -0.25"),
        ([[0, 1], [1.5, 0]], r"D: expected a symmetric matrix, got a largest gap of 0.5"),
        ([[1, 0.5], [0.5, 1]], "D: expected a diagonal of 0, got 1; pass .*, and no kernel"),
    ],
)
def test_a_bad_matrix_is_refused_with_what_is_wrong(matrix, message):
    # R7
    with pytest.raises(ValueError, match=message):
        check_square(matrix, "D")


@pytest.mark.parametrize("value", [0, -1, 1.0, 1.5, True, "4", None, np.nan, np.inf])
def test_a_count_must_be_an_integer_of_at_least_one(value):
    with pytest.raises(
        ValueError, match=r"n_draws=.*: expected an integer of at least 1"
    ) as caught:
        check_number(value, "n_draws", least=1, integer=True)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [0, 0.0, -1, np.nan, np.inf, "1", True, None])
def test_a_bandwidth_must_be_a_finite_number_above_zero(value):
    with pytest.raises(
        ValueError, match=r"bandwidth=.*: expected a finite number above 0"
    ) as caught:
        check_number(value, "bandwidth", least=0, exclusive=True)
    assert repr(value) in str(caught.value)


def test_numpy_numbers_come_back_as_builtin_ones():
    assert type(check_number(np.int64(3), "n", least=1, integer=True)) is int
    assert type(check_number(np.float32(0.5), "h", least=0)) is float


@pytest.mark.parametrize("value", ["Kernel", None, 1, ["kernel"]])
def test_a_choice_must_be_one_of_the_named_ones(value):
    with pytest.raises(ValueError, match="expected one of 'distance', 'kernel'") as caught:
        check_choice(value, "output", ("distance", "kernel"))
    assert f"output={value!r}" in str(caught.value)


def test_a_range_of_any_two_rising_numbers_is_taken():
    assert check_range(np.array([-8, 8])) == (-8.0, 8.0)


@pytest.mark.parametrize(
    "value", [(8, -8), (1, 1), (0, np.inf), (np.nan, 1), (1,), (1, 2, 3), 5, None, ("x", "y")]
)
def test_a_range_must_be_two_finite_rising_numbers(value):
    with pytest.raises(ValueError, match="expected two finite rising numbers") as caught:
        check_range(value)
    assert f"log_snr_range={value!r}" in str(caught.value)


@pytest.mark.parametrize("check", [check_square, check_vectors])
def test_complex_numbers_are_refused(check):
    with pytest.raises(ValueError, match="expected real numbers, got complex ones"):
        check(np.zeros((2, 2), complex))


@pytest.mark.parametrize("check", [check_square, check_vectors])
@pytest.mark.parametrize("values", [[["a"]], [[None]], [[1, 2], [3]], np.array([[{}]])])
def test_what_is_no_array_of_numbers_is_refused(check, values):
    with pytest.raises(ValueError, match=r"expected an array of numbers|expected finite values"):
        check(values)


def test_integers_that_no_machine_holds_are_refused():
    with pytest.raises(ValueError, match=r"n=an integer of 1329 bits: expected an integer of at"):
        check_number(10**400, "n", least=1, integer=True)
    with pytest.raises(ValueError, match=r"n=an integer of 1329 bits: expected a finite number"):
        check_number(10**400, "n", least=1)
    with pytest.raises(ValueError, match="expected an array of numbers that a float can hold"):
        check_square([[10**400]])


def test_what_cannot_fit_into_memory_is_refused():
    with pytest.raises(MemoryError, match=r"n_draws=3: 1e\+09 GB, of [\d.,]+ GB in all"):
        check_memory(1e18, "n_draws=3")
    check_memory(1e3, "n_draws=3")


def test_tables_and_arrays_of_other_packages_are_taken_as_those_of_pandas():
    texts, others = ["a dog", "a cat", "é"], ["x", "y", "z"]
    tables = [pd.DataFrame({"a": texts, "b": others})]
    columns = [pd.Series(texts)]
    pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    tables += [pa.table({"a": texts, "b": others}), pl.DataFrame({"a": texts, "b": others})]
    columns += [pa.array(texts), pa.chunked_array([texts[:1], texts[1:]]), pl.Series(texts)]
    columns += [pa.table({"a": texts}), pl.DataFrame({"a": texts})]
    for column in columns:
        assert check_prompts(column) == texts
    for table in tables:
        assert check_pairs(table) == (texts, others)
        with pytest.raises(ValueError, match=r"expected one column of text, got shape \(3, 2\)"):
            check_prompts(table)


def test_the_advice_for_one_text_works():
    for text in ("abc", b"abc"):
        with pytest.raises(ValueError, match="got one string") as caught:
            check_prompts(text)
        advice = str(caught.value).rsplit("write ", 1)[1].rstrip(".")
        assert check_prompts(eval(advice)) == ["abc"]


def test_two_forms_of_a_letter_are_one_prompt_everywhere():
    composed, apart = (unicodedata.normalize(form, "a café") for form in ("NFC", "NFD"))
    world = GaussianDenoiser({apart: 1.0, "a bus": 0.0, "": -0.5})
    fast = {"n_steps": 2, "n_draws": 2, "check_steps": 0, "memory": None}
    assert world.exact(composed, "a bus") == world.exact(apart, "a bus")
    found = pairwise_divergence([composed, apart, "a bus"], model=world, **fast).values
    assert found[0, 1] == 0 < found[0, 2] == found[1, 2]
    scored = ScoredPairs("x", [apart, "a bus"], [composed, composed], [1.0, 0.0])
    assert scored.pairs == [(composed, composed), ("a bus", composed)]
    similar = ConjureScorer(model=world, **fast)([apart, apart], ["a bus", composed])
    assert similar.similarities[1] > similar.similarities[0]
    near = ConjureEmbedding(world, n_steps=1, n_components=8)
    nearest = ConjureNeighbors(world, n_neighbors=1, embedding=near, **fast)
    nearest.fit([composed, "a bus"])
    distances, _ = nearest.kneighbors([apart])
    assert distances[0, 0] == 0
