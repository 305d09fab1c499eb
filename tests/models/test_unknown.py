"""Words that text encoders take for strings of letters."""

from types import SimpleNamespace

import pytest

from conjure_kernel import load_denoiser
from conjure_kernel.models.pretrained.unknown import unknown_words

KNOWN = ["strawberry", "alligator", "Zürich", "snowman", "lemonade", "philosopher", "democracy"]
INVENTED = ["qwrtzx", "blorf", "svkwhelq", "xjvgmgf", "vapoqun"]


@pytest.fixture(scope="module")
def pipeline():
    return load_denoiser("embedded", dtype="float32").pipeline


def test_invented_words_are_told_from_words(pipeline):
    texts = [*(f"a {word} on a red table" for word in KNOWN), *INVENTED]
    assert unknown_words(pipeline, texts) == INVENTED


def test_known_words_and_short_ones_cost_no_encoding(pipeline, monkeypatch):
    monkeypatch.setattr(
        "conjure_kernel.models.pretrained.unknown.text_features", lambda *_: pytest.fail("encoded")
    )
    assert unknown_words(pipeline, ["a dog", "xq", "", "12345", "strawberry"]) == []


def test_a_pipeline_without_tokenizers_knows_everything():
    assert unknown_words(SimpleNamespace(components={}), ["qwrtzx"]) == []
