import subprocess
import sys

import pytest

from latchwork.modalities import text_tokens

TEXTS = ["the cat sat on the mat", "a cat, a mat; the hat!", "ab ba ab", "猫が好き", "кот и кошка"]


def words(text, unit="word"):
    known = text_tokens.train([text], unit, 100, lowercase=False, zeros=False)
    return list(next(text_tokens.surfaces(known, [text])))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good film, bad end.", ["Good", "film", ",", "bad", "end", "."]),
        ("I don't, can't, DIDN’T", ["I", "do", "n't", ",", "ca", "n't", ",", "DID", "N’T"]),
        ("it's John's, they've", ["it", "'s", "John", "'s", ",", "they", "'ve"]),
        ("o'clock O'Brien rock'n'roll", ["o'clock", "O'Brien", "rock'n'roll"]),
        ("l'homme d'accord aujourd'hui", ["l'", "homme", "d'", "accord", "aujourd'hui"]),
        ("'quoted'", ["'", "quoted", "'"]),
        ("you 've does n't", ["you", "'ve", "does", "n't"]),
        ("3.5% at 10:30, 1,000", ["3.5", "%", "at", "10:30", ",", "1,000"]),
        ("so!!!!! well...", ["so", "!!!", "!!", "well", "..."]),
        ("a<br />b :) :-(", ["a", "<br />", "b", ":)", ":-("]),
        ("L'HOMME HADN'T :D", ["L'", "HOMME", "HAD", "N'T", ":D"]),
        ("👩‍👩‍👧 🇩🇪👍🏽", ["👩‍👩‍👧", "🇩🇪", "👍🏽"]),
        ("日本語の テスト", ["日", "本", "語", "の", "テ", "ス", "ト"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("ดีมาก", ["ดี", "ม", "า", "ก"]),
        ("مرحبا، عالم", ["مرحبا", "،", "عالم"]),
        ("cafe\u0301", ["café"]),
        ("a\u2028b\u00a0c\td", ["a", "b", "c", "d"]),
    ],
)  # fmt: skip
def test_words(text, expected):
    assert words(text) == expected


def test_pieces_do_not_cross_punctuation():
    for unit in ("bpe", "unigram"):
        known = text_tokens.train(["good.bad good.bad good.bad"] * 9, unit, 60, lowercase=True, zeros=False)
        assert not [piece for piece in text_tokens.vocabulary(known) if "." in piece and piece != "."]


@pytest.mark.parametrize("unit", ["word", "char", "bpe", "unigram"])
def test_small_vocabularies_hold(unit):
    texts = [*TEXTS, "".join(chr(0x4E00 + n) for n in range(300))]
    for size in (3, 10, 50):
        known = text_tokens.train(texts, unit, size, lowercase=True, zeros=False)
        assert len(text_tokens.vocabulary(known)) <= size + 2
        assert all(len(ids) for ids in text_tokens.numbers(known, texts, given=False))


STORY = [
    "The old man had taught the boy to fish and the boy loved him.",
    "But the boy did not go with him now; he had gone at the orders of his father into another boat,",
    "which caught three good fish in the first week. It made him sad.",
]


@pytest.mark.parametrize("unit", ["word", "char", "bpe", "unigram"])
def test_the_same_each_time(unit):
    runs = {text_tokens.dump(text_tokens.train(STORY, unit, 60, lowercase=True, zeros=False)) for _ in range(3)}
    assert len(runs) == 1


@pytest.mark.slow
def test_the_same_in_every_process():
    code = (
        "import sys; from latchwork.modalities import text_tokens as t; "
        "[sys.stdout.buffer.write(t.dump(t.train("
        f"{STORY!r}, unit, 60, lowercase=True, zeros=False))) for unit in ('word', 'char', 'bpe', 'unigram')]"
    )
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(runs) == 1
    assert runs.pop().count(b"[unknown]") >= 4


def test_one_text_of_one_sign():
    for unit in ("word", "char", "bpe", "unigram"):
        for text in ("a", "a" * 60, " ", "\0", "▁"):
            known = text_tokens.train([text], unit, 10, lowercase=True, zeros=False)
            assert text_tokens.dump(text_tokens.parse(text_tokens.dump(known))) == text_tokens.dump(known)
