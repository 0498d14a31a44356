"""Lines that are not in the language of the rest, by their letters alone.

The three letters in a row of the training texts and how often each stands there are their profile. A line is as likely
as its letters are, on average, under the profile; that average is compared with the lines of the same text, more
strictly where a line is short. Where another language is at hand (the targets of the sources), a line that fits it far
better is told too. (The idea is Cavnar & Trenkle's, 1994: N-gram-based text categorization.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TABLE = 1 << 18
_LEAST = 20
"""Letters of the shortest line that is judged."""

_MANY = 4_000_000  # characters of a profile at most
_BLOCK = 1 << 20
_ADDED = 0.05
_FAR = 5.0
"""Standard deviations below the usual likelihood from which on a line is told."""

_BETTER = 1.0
"""Nats a letter that a line fits the other language better."""

_FEW = 1000
"""Letters of the smallest profile that is believed."""


@dataclass(frozen=True)
class Profile:
    """log p of three letters, [hashed]."""

    logs: NDArray[np.float32]
    letters: int

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Profile":
        """Of these texts, or of some of them where they are many."""
        step = max(1, -(-sum(map(len, texts)) // _MANY))
        counts = np.zeros(_TABLE)
        for codes, _, _ in _threes(texts[::step]):
            counts += np.bincount(codes, minlength=_TABLE)
        total = counts.sum()
        logs = np.log((counts + _ADDED) / (total + _ADDED * _TABLE))
        return cls(logs.astype(np.float32), int(total))

    def fit(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(the mean log p of the letters of each text, how many these are)."""
        sums, counts = np.zeros(len(texts)), np.zeros(len(texts), np.int64)
        for codes, rows, first in _threes(texts):
            more = np.bincount(rows, self.logs[codes])
            sums[first : first + len(more)] += more
            counts[first : first + len(more)] += np.bincount(rows)
        return sums / np.maximum(counts, 1), counts


def strangers(texts: Sequence[str], training: NDArray[np.bool_], other: Profile | None = None) -> NDArray[np.int64]:
    """The texts that are probably in another language, the least likely first."""
    own = Profile.of([one for one, learnt in zip(texts, training, strict=True) if learnt])
    if own.letters < _FEW:
        return np.zeros(0, np.int64)
    fit, letters = own.fit(texts)
    judged = letters >= _LEAST
    if judged.sum() < _LEAST:
        return np.zeros(0, np.int64)
    usual = np.median(fit[judged])
    off = (fit - usual) * np.sqrt(letters)
    # A text itself varies from line to line by more than its letters do, which counts most where they are many.
    spread = 1.4826 * np.median(np.abs(off[judged]))
    between = 1.4826 * np.median(np.abs(fit[judged] - usual))
    odd = judged & (off < -_FAR * spread) & (fit - usual < -_FAR / 2 * between)
    if other is not None and other.letters >= _FEW:
        theirs = other.fit(texts)[0]
        odd |= judged & (theirs - fit > _BETTER)
    rows = np.flatnonzero(odd)
    return rows[np.argsort(fit[rows], kind="stable")]


def _threes(texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
    """(hashed three letters in a row, the text of each counted from the first, the first) for some texts at a time."""
    begin = 0
    while begin < len(texts):
        stop, size = begin, 0
        while stop < len(texts) and (size == 0 or size + len(texts[stop]) < _BLOCK):
            size += len(texts[stop]) + 1
            stop += 1
        yield (*_of_block(texts[begin:stop]), begin)
        begin = stop


def _of_block(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Letters in lower case; all else is one blank."""
    marks = ["".join(sign if sign.isalpha() else " " for sign in one.lower()) for one in texts]
    words = [f" {' '.join(one.split())} " for one in marks]
    codes = np.frombuffer("".join(words).encode("utf-32-le", "replace"), np.uint32).astype(np.int64)
    rows = np.repeat(np.arange(len(words)), [len(one) for one in words])
    if len(codes) < 3:
        return codes[:0], rows[:0]
    inside = rows[2:] == rows[:-2]
    threes = (codes[:-2] * 1_000_003 + codes[1:-1]) * 1_000_003 + codes[2:]
    return ((threes ^ (threes >> 17)) % _TABLE)[inside], rows[2:][inside]
