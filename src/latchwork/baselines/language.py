"""Language models without a neural network: single tokens, n tokens in a row, a compressor.

All say how many nats the same test text costs, so they compare with each other and with a network in any unit:
perplexity per token, bits per character.
"""

import lzma
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latchwork.baselines.kneser_ney import KneserNey
from latchwork.errors import DataError

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

ORDERS = {"char": 7}
"""Tokens in a row that are counted, by unit; :data:`ORDER` for the others."""

ORDER = 5

MOST_BYTES = 1 << 23
"""Of a longer training text the compressor reads so many bytes at the end: it needs a dozen times as much memory."""


@dataclass(frozen=True, eq=False)
class TextSide:
    """One side of a split.

    stream  [tokens + 1] the first is only what the others stand after
    text    what the tokens stand for; the compressor reads it
    """

    stream: Numbers
    text: str

    def __post_init__(self) -> None:
        if self.stream.ndim != 1 or not len(self.stream):
            raise DataError(f"a stream of shape {self.stream.shape}, expected [tokens + 1], of one token at least")


@dataclass(frozen=True, eq=False)
class LanguageAnswer:
    """What the test text costs by one baseline.

    nats  all of it together, -Σ ln p
    each  [tokens] of each token; None of a compressor, which knows no tokens
    """

    name: str
    nats: float
    each: Array | None
    note: str
    seconds: float


@dataclass(frozen=True)
class LanguageBaseline:
    """A rival without a network.

    fit_predict  (train, test, vocabulary, unit) -> nats of the test text, [tokens] or all together, and a note
    """

    name: str
    fit_predict: Callable[[TextSide, TextSide, int, str], tuple[Array | float, str]]


def run_language_baselines(
    train: TextSide,
    test: TextSide,
    vocabulary: int,
    unit: str,
    *,
    baselines: Sequence[LanguageBaseline] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> list[LanguageAnswer]:
    """Every baseline, fitted on the training side and asked about the test side, each token after all before it.

    unit: "char", or any other name of larger tokens. Raises :class:`DataError` for tokens that are not from 0 to
    vocabulary - 1.
    """
    every = LANGUAGE_BASELINES if baselines is None else tuple(baselines)
    answers = []
    for index, one in enumerate(every):
        if progress is not None:
            progress(one.name, index / len(every))
        began = time.perf_counter()
        nats, note = one.fit_predict(train, test, vocabulary, unit)
        each = nats if isinstance(nats, np.ndarray) else None
        total = float(np.sum(nats))
        answers.append(LanguageAnswer(one.name, total, each, note, time.perf_counter() - began))
    if progress is not None:
        progress("baselines", 1.0)
    return answers


def _unigram(train: TextSide, test: TextSide, vocabulary: int, unit: str) -> tuple[Array, str]:
    """How often each token is in training; what never is gets a little."""
    return _counted(train, test, vocabulary, 1)


def _kneser_ney(train: TextSide, test: TextSide, vocabulary: int, unit: str) -> tuple[Array, str]:
    """See :class:`~latchwork.baselines.kneser_ney.KneserNey`."""
    order = ORDERS.get(unit, ORDER)
    nats, note = _counted(train, test, vocabulary, order)
    told = f"{order} {'characters' if unit == 'char' else 'tokens'} in a row"
    return nats, f"{told}; {note}" if note else told


def _counted(train: TextSide, test: TextSide, vocabulary: int, order: int) -> tuple[Array, str]:
    model = KneserNey.fit(train.stream, vocabulary, order=order)
    return model.nats(test.stream[1:], test.stream[:1]), model.note


def _compressor(train: TextSide, test: TextSide, vocabulary: int, unit: str) -> tuple[float, str]:
    """xz: the bytes that the test text adds to the compressed training text."""
    known, asked = train.text.encode("utf-8", "surrogatepass"), test.text.encode("utf-8", "surrogatepass")
    note = ""
    if len(known) > MOST_BYTES:
        note = f"the last {MOST_BYTES / 1e6:.0f} MB of the training text"
        known = known[len(known) - MOST_BYTES :]
    window = 1 << max(16, math.ceil(math.log2(len(known) + len(asked) + 1)))
    added = _compressed(known + asked, window) - _compressed(known, window)
    return max(added, 1) * 8 * math.log(2) if asked else 0.0, note


def _compressed(data: bytes, window: int) -> int:
    """Bytes."""
    chain = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": min(window, 2 * MOST_BYTES)}
    return len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=[chain]))


LANGUAGE_BASELINES: tuple[LanguageBaseline, ...] = (
    LanguageBaseline("single tokens", _unigram),
    LanguageBaseline("Kneser-Ney n-grams", _kneser_ney),
    LanguageBaseline("xz compressor", _compressor),
)
