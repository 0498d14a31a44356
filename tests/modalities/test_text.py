import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError, ModelFileError
from latchwork.modalities import SourceOptions, Text, read_text
from latchwork.modalities.text_letters import LETTERS
from latchwork.sequences.examples import Labelled, collate

UNITS = ("word", "char", "bpe", "unigram")
FEW = settings(max_examples=25)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
words = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=1, max_size=6)


def labelled(content):
    names = tuple(str(row) for row in range(len(content)))
    return Labelled(tuple(content), (None,) * len(content), names, names)


def fitted(content, **options):
    return Text.fit(labelled(content), range(len(content)), SourceOptions(**options))


FILMS = ["A good film, it's good!", "Not a good film.", "Je n'aime pas l'été", "日本語 и русский 👍🏽", "good good bad"]
BY_UNIT = {unit: fitted(FILMS, tokenizer=unit, vocabulary_size=40) for unit in UNITS}
BY_LETTER = fitted(FILMS, characters=True)
GIVEN = fitted([("The", "cat", "sat", "in", "1997"), ("10 000", "cats")], characters=True)


def same(one, two):
    assert len(one) == len(two)
    for first, second in zip(one, two, strict=True):
        assert np.array_equal(first.tokens, second.tokens)
        assert (first.characters is None) == (second.characters is None)
        assert first.characters is None or np.array_equal(first.characters, second.characters)


@pytest.mark.parametrize("unit", UNITS)
@given(content=st.lists(texts, min_size=1, max_size=4))
@FEW
def test_any_text_encodes(unit, content):
    text = BY_UNIT[unit]
    given_texts = labelled(content)
    encoded = text.encode(given_texts)
    for one, strings in zip(encoded, text.strings(given_texts), strict=True):
        assert one.tokens is not None
        assert one.tokens.dtype == np.int64
        assert len(one.tokens) == len(strings) >= 1
        assert 1 <= one.tokens.min() <= one.tokens.max() < text.features.vocabulary
    same(encoded, [text.encode(labelled([one]))[0] for one in content])
    same(encoded, Text.from_dict(json.loads(json.dumps(text.to_dict())), text.files()).encode(given_texts))


@pytest.mark.parametrize("unit", UNITS)
@given(content=st.lists(texts, min_size=1, max_size=4), others=st.lists(texts, min_size=1, max_size=3))
@FEW
def test_training_rows_alone_decide(unit, content, others):
    options = SourceOptions(tokenizer=unit, vocabulary_size=50, characters=unit == "word")
    rows = range(len(content))
    text = Text.fit(labelled([*content, *others]), rows, options)
    assert text == Text.fit(labelled(content), rows, options)
    assert text == Text.fit(labelled([*others, *content]), [row + len(others) for row in rows], options)
    again = Text.from_dict(text.to_dict(), text.files())
    assert again == text
    same(again.encode(labelled(others)), text.encode(labelled(others)))


@given(content=st.lists(words, min_size=1, max_size=4))
@FEW
def test_given_words_keep_their_number(content):
    content = [tuple(one) for one in content]
    encoded = GIVEN.encode(labelled(content))
    assert [len(one) for one in encoded] == [len(one) for one in content]
    same(encoded, [GIVEN.encode(labelled([one]))[0] for one in content])
    assert GIVEN.strings(labelled(content)) == content
    own = fitted(content, lowercase=False)
    assert all((one.tokens > 1).all() for one in own.encode(labelled(content)))


@given(content=st.lists(texts, min_size=1, max_size=4))
@FEW
def test_words_by_letter(content):
    encoded = BY_LETTER.encode(labelled(content))
    batch = collate(encoded)
    for one in encoded:
        assert one.characters is not None
        assert len(one.characters) == len(one)
        assert 1 <= one.characters.shape[1] <= LETTERS
        assert (one.characters[:, 0] > 0).all()
        assert one.characters.max() < BY_LETTER.features.characters
    assert batch.characters is not None
    assert batch.characters.shape[:2] == batch.tokens.shape


def test_what_a_word_reads():
    one = GIVEN.encode(labelled([("cats", "Cat", "IN", "2024", "dog")]))[0]
    tokens = [GIVEN.words[token] for token in one.tokens]
    assert tokens == ["cats", "cat", "in", "0000", "[unknown]"]  # lower case, digits as 0
    letters = GIVEN.settings.letters
    spelt = ["".join(letters[number - 2] for number in row if number > 1) for row in one.characters]
    assert spelt == ["cats", "at", "", "0", ""]  # with their case; C, I, N, 2, 4, d, o and g were never seen
    long = GIVEN.encode(labelled([("a" * 40 + "s",)]))[0].characters[0]
    assert [letters[number - 2] for number in long] == ["a"] * 23 + ["s"]


def test_more_frequent_first_then_by_character():
    assert fitted(["b a b c", "b d d"]).words == ("[pad]", "[unknown]", "b", "d", "a", "c")
    assert fitted(["b a b c", "b d d"], vocabulary_size=3).words == ("[pad]", "[unknown]", "b", "d", "a")
    assert fitted(["É é E\u0301"]).words[2:] == ("é",)
    assert fitted(["É é E\u0301"], lowercase=False).words[2:] == ("É", "é")


@pytest.mark.parametrize("unit", UNITS)
def test_decode(unit):
    text = fitted(["good film. not bad"] * 3, tokenizer=unit)
    expected = {"word": "good film . not bad"}.get(unit, "good film. not bad")
    encoded = text.encode(labelled(["Good film. Not bad"]))[0]
    assert text.decode(encoded.tokens) == expected
    assert text.decode([0, *encoded.tokens, 0, 0]) == expected
    assert "[unknown]" in text.decode(text.encode(labelled(["good ξ"]))[0].tokens)
    with pytest.raises(DataError, match="vocabulary of this model"):
        text.decode([10_000])


@pytest.mark.parametrize(("keep", "left"), [("start", "a b c d"), ("end", "c d e f"), ("both", "a d e f")])
def test_cut_and_said(keep, left):
    text = fitted(["a b c d e f", "a b"], max_length=4, keep=keep, characters=True)
    long, short = text.encode(labelled(["a b c d e f", "a b"]))
    assert text.decode(long.tokens) == left
    assert len(long.characters) == 4
    assert text.strings(labelled(["A b c d e f"]))[0][1:] == tuple(left.split())[1:]
    assert len(short) == 2
    assert "1 of 2 texts have more than 4 words and are cut" in text.summary[1]
    assert np.array_equal(text.kept(2), [0, 1])


def test_words_that_stand_once_teach_the_unknown_one():
    content = [f"good film number{row % 5} w{row}" for row in range(3000)]
    text = fitted(content)
    assert text.settings.counts.rare == 3000
    assert "[unknown]" in text.decode(text.encode(labelled(["w7 film"]))[0].tokens)
    assert "3,000 words that stand once" in text.summary[1]
    assert fitted(content[:500]).settings.counts.rare == 0  # too few to leave any out
    different = fitted([" ".join(f"{row}w{column}" for column in "abcd") for row in range(3000)])
    assert different.settings.counts.rare == 0  # nearly all stand once


def test_word_vectors(tmp_path):
    path = tmp_path / "small.txt"
    path.write_text("film 1 2\nGood 3 4\nbad 5 6\n[pad] 7 8\n[unknown] 7 8\nother 9 9\n")
    text = fitted(["good film", "no film"], vectors=path)
    vectors = text.vectors()
    assert vectors.matrix.dtype == np.float32
    rows = dict(zip(text.words, vectors.matrix.tolist(), strict=True))
    assert rows == {"[pad]": [0, 0], "[unknown]": [0, 0], "film": [1, 2], "good": [0, 0], "no": [0, 0]}
    assert vectors.found.tolist() == [False, False, True, False, False]
    assert text.summary[-1] == "small.txt: 2 numbers a word, for 1 of 3 words (50.0% of what is read)"
    again = Text.from_dict(text.to_dict(), text.files())
    assert again == text
    assert again.vectors() is None
    cased = fitted(["Film Bad"], vectors=path, lowercase=False)
    assert cased.vectors().found.sum() == 2  # by their lower case


def test_rare_words_with_a_vector_stay(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("w7 1 2\nnumber1 1 2\n")
    content = [f"good film number{row % 5} w{row}" for row in range(3000)]
    text = fitted(content, vectors=path)
    assert "w7" in text.words
    assert "w8" not in text.words
    assert len(text.vectors().matrix) == len(text.words)
    assert text.vectors().found[text.words.index("w7")]


def test_digits_stay_where_there_are_vectors(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("1997 1 2\n")
    assert "1997" in fitted([("in", "1997")], vectors=path).words


def test_a_text_of_special_names():
    text = fitted(["x [pad] [unknown] y", "[pad]"], tokenizer="word")
    assert 0 not in text.encode(labelled(["[pad] [unknown]"]))[0].tokens
    words = fitted([("[pad]", "[unknown]", "x")])
    assert words.encode(labelled([("[pad]", "[unknown]", "x")]))[0].tokens.tolist() == [1, 1, 2]
    for unit in ("bpe", "unigram"):
        pieces = fitted(["x [pad] [unknown] y", "[pad]"], tokenizer=unit)
        assert (pieces.encode(labelled(["[pad] [unknown]"]))[0].tokens > 1).any()


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ([], {}, "no text to train on"),
        ([("a", "b")], {"tokenizer": "bpe"}, "but the file has the words"),
        (["a"], {"tokenizer": "char", "characters": True}, "characters are for words"),
        (["a"], {"tokenizer": "bpe", "vectors": Path("x")}, "vectors are for words"),
        (["a", ("b",)], {}, "1: a list of words, expected a text"),
        ([("b",), "a"], {}, "1: a text, expected a list of words"),
        (["a", "\ud800"], {}, "1: half of a surrogate pair"),
        ([("a", "")], {}, "a word is empty"),
        (["a"], {"vectors": Path("nowhere.txt")}, "no such file"),
    ],
)
def test_refused(content, options, message):
    with pytest.raises((DataError, ConfigError), match=message):
        fitted(content, **options)


def test_a_damaged_file_is_refused():
    text = BY_LETTER
    good, files = text.to_dict(), text.files()
    for change, message in [
        ({"unit": "syllable"}, "field unit"),
        ({"vocabulary": 7}, "expected 7; is it another"),
        ({"extra": 1}, "field extra"),
        ({"letters": "aa"}, "letters stand twice"),
        ({"max_length": 0}, "max_length is 0"),
        ({"counts": 3}, "field counts"),
    ]:
        with pytest.raises(ModelFileError, match=message):
            Text.from_dict({**good, **change}, files)
    other = json.loads(files["tokenizer.json"])
    for data, message in [
        (None, "tokenizer.json is missing"),
        (b"{}", "tokenizer.json is damaged"),
        (b"\xff", "tokenizer.json is damaged"),
        (files["tokenizer.json"][:-20], "tokenizer.json is damaged"),
        (json.dumps({**other, "model": {**other["model"], "vocab": {"[unknown]": 0}}}).encode(), "first tokens"),
        (json.dumps({**other, "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0,
                     "direction": "Right"}}).encode(), "adds, cuts or pads"),
    ]:  # fmt: skip
        with pytest.raises(ModelFileError, match=message):
            Text.from_dict(good, {} if data is None else {"tokenizer.json": data})


@pytest.mark.data
def test_real_files():
    folder = Path(os.environ["LATCHWORK_DATA"])
    options = SourceOptions(text="2", label="1")
    sms = read_text(folder / "sms_spam" / "sms.tsv", options, "classify")
    assert len(sms) == 5574  # quotes are letters: a csv reader finds 5,572
    assert sms.labels.count("spam") == 747
    text = Text.fit(sms, range(4000), options)
    assert len(text.encode(sms)) == 5574
    chunks = read_text(folder / "conll2000" / "conll2000.zip" / "conll2000" / "test.txt", SourceOptions(), "label")
    assert (len(chunks), chunks.labels[0][:2]) == (2012, ("B-NP", "I-NP"))
    tagged = read_text(folder / "ud_english_ewt" / "en_ewt-ud-dev.conllu.gz", SourceOptions(), "label")
    assert (len(tagged), sum(map(len, tagged.content))) == (2001, 25147)
    disease = read_text(folder / "ncbi_disease" / "devel.tsv", SourceOptions(), "label")
    assert (len(disease), sum(map(len, disease.content))) == (923, 23969)
