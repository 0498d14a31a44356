"""Offers to finish a word, after every key."""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from latchwork import Generate, LanguageModel, Network, Training, fit
from latchwork.errors import ConfigError, DataError

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


@cache
def foreign(unit: str, words: str, *, lowercase: bool = False) -> LanguageModel:
    """A model of a few words in a fixed order, in lines of seven."""
    text = words.split() * 200
    return fit(
        Generate(tokenizer=unit, vocabulary_size=270 if unit == "bpe" else None, lowercase=lowercase),  # type: ignore[arg-type]
        [" ".join(text).replace(" ", "\n", 1) + "\n"],
        network=Network(hidden_size=32, dropout=0.1),
        training=Training(steps=100, learning_rate=1e-2, batch_size=8, truncate=40),
    )


HINDI = "हिन्दी भारत की राजभाषा है और"
RUSSIAN = "мама мыла раму утром рано"


@pytest.mark.parametrize(("unit", "words", "typed", "word"), [
    ("char", HINDI, "और हिन", "हिन्दी"),
    ("word", HINDI, "और हि", "हिन्दी"),
    ("given", HINDI, "और हि", "हिन्दी"),
    ("bpe", HINDI, "और हिन", "हिन्दी"),
    ("bpe", RUSSIAN, "мама мы", "мыла"),
    ("char", RUSSIAN, "рано мам", "мама"),
])  # fmt: skip
def test_words_of_other_scripts_are_finished(unit: str, words: str, typed: str, word: str) -> None:
    offers = foreign(unit, words).complete(typed)
    assert offers[0].word == word
    assert not any("\ufffd" in one.word for one in offers)


@pytest.mark.parametrize("unit", ["char", "bpe", "word", "given"])
@pytest.mark.parametrize("before", ["", "Ann sees a bird.\n"])
def test_a_word_at_the_beginning_of_a_line_keeps_its_first_letters(unit: str, before: str) -> None:
    offers = writer(unit).complete(before + "An")
    assert all(one.word == "An" + one.rest for one in offers)
    assert "Ann" in {one.word for one in offers} or unit == "bpe"


@pytest.mark.parametrize("text", ["Bob finds the dog, and", "Eve likes a bird. Max", "Ann sees the cat!\nBob"])
@pytest.mark.parametrize("unit", ["char", "bpe", "word", "given"])
def test_what_is_typed_is_read_as_a_prompt_is(unit: str, text: str) -> None:
    model = writer(unit)
    typing = model.completer()
    for key in text + " ":
        typing.key(key)
    typing.type("x")
    if unit == "char":
        text += " x"
    assert np.allclose(typing._here.output, model.stream(text).reading.output, atol=1e-6)  # type: ignore[arg-type]


def test_an_abbreviation_of_given_words_is_one_word() -> None:
    model = foreign("given", "in the U.S. many U.K. men live")
    assert {one.word for one in model.complete("the U.")} == {"U.S.", "U.K."}


@pytest.mark.parametrize("unit", ["char", "bpe", "word", "given"])
def test_capitals_are_kept_where_texts_are_read_in_lower_case(unit: str) -> None:
    offers = foreign(unit, "the mouse sleeps under tables now", lowercase=True).complete("The Mou")
    assert offers[0].word == "Mouse"
    assert offers[0].rest == "se"


def test_the_probabilities_of_pieces_are_shares_of_all_ways_from_here() -> None:
    model = writer("bpe")
    for text in ("Ann se", "Ann sees the o", "Bob f"):
        offers = model.complete(text)
        assert 0.5 < sum(one.probability for one in offers) <= 1 + 1e-9


def test_nothing_is_read_of_a_text_with_an_unknown_character() -> None:
    typing = writer().completer()
    typing.type("Ann ")
    before = typing._here.output
    with pytest.raises(DataError, match="never saw"):
        typing.type("see日")
    assert before is not None
    assert np.array_equal(before, typing._here.output)  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["bpe", "word", "given"])
def test_what_is_kept_does_not_grow_with_a_text_that_has_no_blanks(unit: str) -> None:
    typing = writer(unit).completer()
    for _ in range(30):
        typing.type("cat,dog" * 20)
    typing.offers()
    assert len(typing._pending) <= 200
    assert len(typing._places) <= 600
