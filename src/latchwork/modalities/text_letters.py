"""Words letter by letter: what a network reads of a word that it does not know."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from latchwork.modalities.text_tokens import UNKNOWN

LETTERS = 24
"""Characters that are read of a word: of a longer one half from its start and half from its end."""
MANY_LETTERS = 5_000
"""Characters known at most."""


def known_letters(texts: Iterable[Sequence[str]], *, once: bool) -> str:
    """The characters of these words, in NFC and with their case, the most frequent first.

    once  keep those that stand once, too
    """
    words = Counter[str]()
    for text in texts:
        words.update(text)
    counts = Counter[str]()
    for word, count in words.items():
        for letter in unicodedata.normalize("NFC", word):
            counts[letter] += count
    known = [letter for letter, count in counts.items() if once or count > 1]
    return "".join(sorted(known, key=lambda letter: (-counts[letter], letter))[:MANY_LETTERS])


def spell(words: Sequence[str], letters: Mapping[str, int], spelt: dict[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """[words, letters] int64, 0 past a word's end; ``spelt`` remembers words between calls."""
    rows: list[NDArray[np.int64]] = []
    for word in words:
        if (row := spelt.get(word)) is None:
            signs = unicodedata.normalize("NFC", word)
            if len(signs) > LETTERS:
                signs = signs[: LETTERS // 2] + signs[-(LETTERS // 2) :]
            row = spelt[word] = np.array([letters.get(sign, UNKNOWN) for sign in signs] or [UNKNOWN], np.int64)
        rows.append(row)
    spelling = np.zeros((len(rows), max((len(row) for row in rows), default=1)), np.int64)
    for at, row in enumerate(rows):
        spelling[at, : len(row)] = row
    return spelling
