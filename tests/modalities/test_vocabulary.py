import copy
import functools
import json
import re
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError, ModelFileError
from latchwork.modalities import END, Vocabulary

STORY = (
    'The old man had taught the boy to fish, and the boy loved him.\n"No," the old man said (quietly). '
    "You're with a lucky boat; stay with them!\n\nIt made the boy sad: 84 days, 3.5 fish a day, no <unk> at all.\n"
)
PIECES = Vocabulary.fit([STORY] * 3, "bpe", 300)
WORDS = Vocabulary.fit([STORY], "word", 100)
UNITS = ("char", "bpe", "word", "given")


@functools.cache
def fitted(unit, size=400, **options):
    return Vocabulary.fit([STORY] * 3, unit, size, **options)


def lines(text):
    """A text up to runs of blanks: the words of its lines."""
    return [re.split(r"\s+", line.strip()) for line in text.split("\n")]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("lowercase", [False, True])
def test_back_again(unit, lowercase):
    known = fitted(unit, lowercase=lowercase)
    text = STORY.lower() if lowercase else STORY
    tokens = known.encode(STORY)
    assert tokens.dtype == np.int64
    assert tokens.min() >= (3 if unit in ("char", "bpe") else 1)
    assert known.decode(tokens) == text
    assert known.tokens[:3] == ("<pad>", "<unk>", "<eos>")
    assert known.unknown(STORY) == []
    assert len(known) == len(known.tokens) <= 403


@given(st.text())
def test_pieces_give_any_text_back(text):
    assert PIECES.decode(PIECES.encode(text)) == normalize("NFC", text)


@given(st.text())
def test_characters_give_what_is_known_back(text):
    known = fitted("char")
    expected = "".join(sign if sign in STORY else "\ufffd" for sign in normalize("NFC", text))
    assert known.decode(known.encode(text)) == expected


@given(st.text() | st.text("ab'’.,!<>/ \n\t-￭1é\u0301猫"))
def test_words_give_the_text_back_up_to_runs_of_blanks(text):
    text = normalize("NFC", text)
    for unit in ("word", "given"):
        known = Vocabulary.fit([text, "a"], unit, 10_000)
        again = known.decode(known.encode(text))
        expected = text.replace("￭", "■") if unit == "word" else text
        assert lines(again) == lines(expected)
        assert known.decode(known.encode(again)) == again


@given(st.lists(st.integers(0, len(PIECES) - 1)), st.lists(st.integers(0, len(WORDS) - 1)))
def test_a_writer_says_what_decode_says(pieces, words):
    for known, tokens in ((PIECES, pieces), (WORDS, words)):
        writer = known.writer()
        said = ""
        for token in tokens:
            fork = writer.copy()
            said += writer.push(token)
            fork.push(END)  # leaves the first as it is
        assert said + writer.flush() == known.decode(tokens)
        assert writer.flush() == ""


def test_half_a_character():
    tokens = PIECES.encode("é").tolist()
    assert len(tokens) == 2
    writer = PIECES.writer()
    assert writer.push(tokens[0]) == ""
    assert copy.copy(writer).flush() == "\ufffd"
    assert writer.push(tokens[1]) == "é"
    assert PIECES.decode([tokens[0], END, tokens[1]]) == "\ufffd\ufffd"
    assert PIECES.show(tokens[0]) == "\ufffd"


def test_marks_of_words():
    shown = [WORDS.tokens[number] for number in WORDS.encode('"No," (quietly).')]
    assert shown == ['"', "￭No", "￭,", '￭"', "(", "￭quietly", "￭)", "￭."]
    assert WORDS.decode(WORDS.encode("the  boy ,the man")) == "the boy <unk> <unk> man"
    assert WORDS.show(WORDS.encode("fish,")[1]) == ","
    assert WORDS.decode([END, *WORDS.encode("the boy"), END, *WORDS.encode("the man")]) == "the boythe man"


def test_what_is_not_known():
    text = "The boy wept, in Rome\nand the boy wept"
    assert WORDS.unknown(text) == [("wept", 9), ("in", 15), ("Rome", 18)]
    assert fitted("given").unknown("a fish\n\na boys,  wept ") == [("boys,", 11), ("wept", 18)]
    assert fitted("char").unknown("a ßoy #1\nß") == [("ß", 3), ("#", 7), ("1", 8)]
    assert PIECES.unknown("猫") == []
    assert Vocabulary.fit(["a b"], "given", 9).unknown("a\nb") == [("\n", 2)]


@pytest.mark.parametrize("unit", ["word", "given"])
def test_special_words_in_a_text(unit):
    known = Vocabulary.fit(["a <unk> <pad> <eos> <unk> [pad]"] * 3, unit, 50)
    tokens = known.encode("<unk> <pad> <eos>").tolist()
    assert tokens[0] == 1
    assert min(tokens[1:]) > END
    assert known.decode(tokens) == "<unk> <pad> <eos>"


def test_special_words_are_pieces_as_others():
    known = Vocabulary.fit(["<pad><eos><unk>" * 50], "bpe", 400)
    assert known.encode("<pad><eos><unk>").min() > END
    assert known.decode(known.encode("<eos>")) == "<eos>"


def test_the_more_frequent_first_and_no_more_than_asked():
    known = Vocabulary.fit(["b a a\n", "c b a\n"], "given", 3)
    assert known.tokens[3:] == ("a", "\n", "b")
    assert known.encode("a c").tolist() == [3, 1]
    assert Vocabulary.fit(["abca"], "char", 2).tokens[3:] == ("a", "b")


def test_what_stands_once_is_left_out_of_much_text():
    body = "a b c d e f g h i j\n" * 1000
    rare = " ".join(f"rare{number}" for number in range(10))
    for unit, left in (("word", 11), ("given", 21)):
        assert len(Vocabulary.fit([body, rare], unit, 100)) == 3 + left
    few = " ".join(f"rare{number}" for number in range(9))
    assert len(Vocabulary.fit([body, few], "word", 100)) == 3 + 20
    assert len(Vocabulary.fit([body, "$"], "char", 100)) == 3 + 13


def test_a_vocabulary_larger_than_the_text_supports_is_told():
    known = fitted("word", 5000)
    have = len(known) - 3
    assert known.told(5000) == (
        f"vocabulary_size is 5,000, but the training text gives {have} words: these are the vocabulary"
    )
    assert known.told(have) == ""
    assert "pieces" in fitted("bpe", 5000).told(5000)


def test_bad_sizes_units_and_texts():
    with pytest.raises(ConfigError, match=r"vocabulary_size is 255, expected at least 256: a piece is made of the 256"):
        Vocabulary.fit(["a"], "bpe", 255)
    with pytest.raises(ConfigError, match="vocabulary_size is 0, expected at least 1"):
        Vocabulary.fit(["a"], "word", 0)
    with pytest.raises(ConfigError, match='a vocabulary of "words", expected one of char, bpe, word, given'):
        Vocabulary.fit(["a"], "words", 5)
    for unit in UNITS:
        with pytest.raises(DataError, match="there is no text"):
            Vocabulary.fit([""], unit, 300)
        with pytest.raises(DataError, match=r"character 3 is U\+D800, half of a surrogate pair"):
            fitted(unit).encode("ab\ud800")
        with pytest.raises(DataError, match=r"a token is not from 0 to \d+, the vocabulary"):
            fitted(unit).decode([5000])
        assert fitted(unit).encode("").tolist() == []
        assert fitted(unit).decode([]) == ""


@pytest.mark.parametrize("unit", UNITS)
def test_several_texts_and_long_ones(unit):
    known = fitted(unit)
    texts = ["the boy", "", "the\nman \n\n said " * 20_000, "a"]
    for text, tokens in zip(texts, known.encode_all(texts), strict=True):
        assert tokens.tolist() == known.encode(text).tolist()
    assert known.decode(known.encode(texts[2])).split() == texts[2].split()
    long = "the boy" * 30_000  # a line without an end
    assert known.decode(known.encode(long)).startswith("the ")


def test_a_long_text_is_cut_as_a_short_one():
    some = "the  \n boy\t\n\n   fish\n"
    text = some * 10_000
    whole = PIECES.encode(text)
    assert whole.tolist() == PIECES.encode(some * 10).tolist() * 1000
    assert PIECES.decode(whole) == text


@pytest.mark.parametrize("unit", UNITS)
def test_saved_and_loaded(unit):
    known = fitted(unit, lowercase=True)
    about = json.loads(json.dumps(known.to_dict()))
    again = Vocabulary.from_dict(about, known.files())
    assert again == known
    assert again.encode(STORY).tolist() == known.encode(STORY).tolist()
    assert fitted(unit, lowercase=True).files() == known.files()
    assert Vocabulary.from_dict(about, known.files("source.json"), "source.json") == known


def damaged(known, **changed):
    held = json.loads(known.files()["vocabulary.json"]) | changed
    return {"vocabulary.json": json.dumps(held).encode()}


@pytest.mark.parametrize(
    ("known", "about", "changed", "why"),
    [
        (WORDS, {"size": 5}, {}, "expected 5; is it another model's"),
        (WORDS, {"size": "5"}, {}, "field size"),
        (WORDS, {"more": 1}, {}, "field more"),
        (WORDS, {"unit": "words"}, {}, "field unit"),
        (WORDS, {}, {"tokens": [3]}, "field tokens.0"),
        (WORDS, {}, {"pattern": "("}, "vocabulary.json is damaged: "),
        (WORDS, {}, {"pattern": "(a+)+$"}, "its pattern is not the one"),
        (PIECES, {}, {"pattern": r"(\p{L}+)+\n"}, "its pattern is not the one"),
        (WORDS, {}, {"merges": [["a", "b"]]}, "words are not merged"),
        (WORDS, {"size": 2}, {"tokens": ["a", "b"]}, "its first tokens"),
        (WORDS, {"size": 5}, {"tokens": ["<pad>", "<unk>", "<eos>", "a", "a"]}, "stands twice"),
        (WORDS, {"unit": "char"}, {}, "not one character"),
        (WORDS, {"unit": "bpe"}, {}, "not the 256 bytes"),
        (PIECES, {}, {"merges": [["a", "猫"]]}, "merged that is no token"),
    ],
)
def test_damaged_files(known, about, changed, why):
    with pytest.raises(ModelFileError, match=why):
        Vocabulary.from_dict(known.to_dict() | about, damaged(known, **changed))


def test_missing_files():
    with pytest.raises(ModelFileError, match=r"vocabulary.json is missing"):
        Vocabulary.from_dict(WORDS.to_dict(), {})
    with pytest.raises(ModelFileError, match="damaged"):
        Vocabulary.from_dict(WORDS.to_dict(), {"vocabulary.json": b"\xff{"})
