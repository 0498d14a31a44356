"""Offers to finish a word, after every key."""

import sys
from pathlib import Path

import pytest

from latchwork.errors import ConfigError

sys.path.insert(0, str(Path(__file__).parents[1]))
from prose import prose, writer

KNOWN = {word.strip(".,!") for word in prose().split()}


@pytest.mark.parametrize("unit", ["char", "word", "given", "bpe"])
def test_offers_begin_with_what_was_typed_and_are_different(unit: str) -> None:
    offers = writer(unit).complete("Ann sees the ol", n=3)
    assert offers
    assert offers[0].word == "old"
    assert all(one.word.startswith("ol") and one.word == "ol" + one.rest for one in offers)
    assert len({one.word for one in offers}) == len(offers) <= 3
    assert [one.probability for one in offers] == sorted((one.probability for one in offers), reverse=True)


@pytest.mark.parametrize("unit", ["char", "word", "bpe"])
def test_key_by_key_is_the_same_as_all_at_once(unit: str) -> None:
    model, text = writer(unit), "Bob finds a bi"
    typing, offers = model.completer(), []
    for key in text:
        offers = typing.key(key)
    assert [one.word for one in offers] == [one.word for one in model.complete(text)]


def test_a_new_word_is_offered_after_a_blank() -> None:
    offers = writer("word").complete("Ann ")
    assert {one.word for one in offers[:3]} <= {"sees", "likes", "finds", "hears"}


@pytest.mark.parametrize("unit", ["char", "bpe"])
def test_words_are_finished_to_their_end(unit: str) -> None:
    assert writer(unit).complete("Bob hears the ")[0].word in KNOWN


def test_what_nobody_wrote_is_not_offered() -> None:
    assert writer("word").complete("Ann sees qqq") == []


def test_a_number_of_offers_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="n is 0"):
        writer().complete("a", n=0)
