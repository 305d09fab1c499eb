"""Which words of a prompt the embedded model was not taught."""

import pytest

from conjure_kernel import embedded_vocabulary
from conjure_kernel.cli.prompts import listed_names, listed_prompts
from conjure_kernel.models.vocabulary import untaught_words

TAUGHT = [
    "dog",
    "a photo of a dog",
    "a red heart on a blue background",
    "two bananas",
    "three puppies",
    "a small teddy bear",
    "a cat left of a dog",
    "A  DOG!",
    "Ice-Cream, a picture",
    "T-shirt",
    "a café",  # as the tokenizer reads it
    "a dog's cat",
    "a dog\u2019s cat",
    "tomatoes",  # the list has another spelling
    "two policemen",
    "1st Place Medal",
    "do\u200bg",
    "",  # the origin
    " ",
]
UNTAUGHT = {
    "theory": ["theory"],
    "A Theory of quarks": ["Theory", "quarks"],
    "a 1st place medal": [],
    "a 1st dog": ["1st"],
    "two octopi": ["octopi"],  # no regular plural
    "this is a dog": ["this", "is"],
    "hates, cares": ["hates", "cares"],  # of no hat and no car
    "two brushes": [],
    "as": ["as"],
    "2 dogs": ["2"],
    "dog \U0001f436": ["\U0001f436"],
    "\u72ac": ["\u72ac"],
    "dog (-: !": [],
    "...": ["..."],
}


@pytest.mark.parametrize("prompt", [*TAUGHT, *UNTAUGHT])
def test_prompts_of_taught_words_are_known(prompt):
    assert untaught_words(prompt) == UNTAUGHT.get(prompt, [])


def test_everything_that_the_model_was_taught_or_the_package_lists_is_known():
    listed = [*embedded_vocabulary(), *listed_names(), *listed_prompts()]
    assert not [prompt for prompt in listed if untaught_words(prompt)]


def test_phrases_are_found_where_words_of_them_begin_others(monkeypatch):
    phrases = frozenset([("a",), ("a", "b"), ("b", "c"), ("d",)])
    monkeypatch.setattr("conjure_kernel.models.vocabulary._phrases", lambda: (phrases, 2))
    assert untaught_words("a b c d c") == ["c"]
    phrases = frozenset([("a", "b", "c"), ("c", "d")])  # the second costs more than it saves
    monkeypatch.setattr("conjure_kernel.models.vocabulary._phrases", lambda: (phrases, 3))
    assert untaught_words("a b c d") == ["d"]
