import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.modalities.text_unigram import unigram_pieces

SEEDS = ["low", "er", "est", "wid", "lowe", "new", "ow"]


def test_pieces_that_save_most_stay():
    words, counts = ["lower", "lowest", "wider", "widest"], np.array([5, 4, 3, 2])
    pieces = unigram_pieces(words, counts, SEEDS, 12)
    letters = set("lowertsid")
    assert letters < set(pieces)
    assert {piece for piece in pieces if len(piece) > 1} == {"low", "er", "est"}
    # low 9, er 8, est 6, and w i d five times each; the other characters, which never stand alone, half a time
    assert pieces["low"] == round(math.log(9 / 38), 6)
    assert pieces["est"] == round(math.log(6 / 38), 6)
    assert pieces["t"] == round(math.log(0.5 / 38), 6)
    assert unigram_pieces([], np.zeros(0, np.int64), SEEDS, 12) == {}


words_ = st.dictionaries(st.text("abcé▁", min_size=1, max_size=6), st.integers(1, 9), min_size=1, max_size=8)


@given(words=words_, seeds=st.lists(st.text("abcé▁", min_size=1, max_size=4), max_size=9), extra=st.integers(0, 6))
@settings(max_examples=40)
def test_size_letters_and_order_of_words(words, seeds, extra):
    letters = set("".join(words))
    size = len(letters) + extra
    names, counts = list(words), np.array(list(words.values()))
    pieces = unigram_pieces(names, counts, seeds, size)
    assert len(pieces) <= size
    assert letters <= set(pieces)
    back = unigram_pieces(names[::-1], counts[::-1], seeds[::-1], size)
    assert back == pieces
