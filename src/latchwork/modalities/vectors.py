"""Word vectors from text files: word2vec's, with a line "words numbers" above them, and GloVe's, without it.

Mikolov et al. 2013, https://arxiv.org/abs/1301.3781; Pennington, Socher & Manning 2014,
https://aclanthology.org/D14-1162. The file is read line by line and only the words asked for are kept, so that a file
of gigabytes takes no more memory than they do.
"""

import math
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import DataError
from latchwork.modalities.text_files import stream

MAX_WIDTH = 4096
"""Numbers of a word."""
MAX_LINE = 1 << 20
"""Bytes of a line."""


class Vectors(NamedTuple):
    """matrix [words, width] float32, rows of zeros where a word is not in the file; found [words]; the file's name."""

    matrix: NDArray[np.float32]
    found: NDArray[np.bool_]
    name: str


def read_vectors(path: str | Path, words: Sequence[str]) -> Vectors:
    """The vectors of some words (in NFC), from a text file or one packed as .gz, .xz, .bz2 or .zip.

    A word that the file does not have as it is gets the vector of its lower-case form. Of a word that stands twice
    the first line counts. Raises :class:`DataError` naming the line: cut short, no number, too wide, not text.
    """
    wanted: dict[str, int] = {}
    for row, word in enumerate(words):
        wanted.setdefault(word, row)
    lower = {low for word in wanted if (low := word.lower()) not in wanted}
    rows: dict[str, NDArray[np.float32]] = {}
    with stream(path) as (name, file):
        width, lines = _begin(name, file)
        for number, line in lines:
            word = _word(name, number, line, width)
            if word in rows or not (word in wanted or word in lower):
                continue
            rows[word] = _numbers(name, number, line, width)
    matrix = np.zeros((len(words), width), np.float32)
    found = np.zeros(len(words), np.bool_)
    for row, word in enumerate(words):
        vector = rows.get(word, rows.get(word.lower()))
        if vector is not None:
            matrix[row], found[row] = vector, True
    return Vectors(matrix, found, name)


def _begin(name: str, file: BinaryIO) -> tuple[int, Iterator[tuple[int, bytes]]]:
    """The numbers of a word, and the lines with words: the first line says it, or has as many."""
    first = _line(name, 1, file)
    if not first:
        raise DataError(f"{name}: line 1 is empty; expected word vectors as text, a word and its numbers a line")
    parts = first.split()
    stated = parts[1] if len(parts) == 2 and all(part.isdigit() for part in parts) else None
    count = int(parts[0]) if stated else None
    width = int(stated) if stated else len(parts) - 1
    if not 1 <= width <= MAX_WIDTH:
        raise DataError(
            f"{name}: line 1 gives {width} numbers for a word, expected 1 to {MAX_WIDTH}; "
            "word vectors are a text file, a word and its numbers a line"
        )

    def lines() -> Iterator[tuple[int, bytes]]:
        seen, number = 0, 1
        raw: bytes | None = first if stated is None else _line(name, number := 2, file)
        while raw is not None:
            if raw:
                seen += 1
                yield number, raw
            raw = _line(name, number := number + 1, file)
        if count is not None and seen < count:
            raise DataError(f"{name}: {seen:,} words, expected {count:,} as line 1 says; the file is cut short")

    return width, lines()


def _line(name: str, number: int, file: BinaryIO) -> bytes | None:
    """The next line without its end; None after the last one."""
    line = file.readline(MAX_LINE + 1)
    if len(line) > MAX_LINE:
        raise DataError(f"{name}: line {number} is longer than {MAX_LINE:,} bytes; expected a word and its numbers")
    return line.replace(b"\t", b" ").rstrip(b" \r\n") if line else None


def _word(name: str, number: int, line: bytes, width: int) -> str:
    """The word of a line: what stands before its numbers, which may hold spaces."""
    spaces = line.count(b" ")
    if spaces < width:
        raise DataError(f"{name}: line {number} has {spaces} numbers, expected {width}")
    data = line.partition(b" ")[0] if spaces == width else line.rsplit(b" ", width)[0]
    try:
        word = data.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: line {number}: 0x{data[error.start]:02x} is not utf-8 text; expected word vectors as text, "
            "not in word2vec's binary form"
        ) from error
    return word if word.isascii() else unicodedata.normalize("NFC", word)


def _numbers(name: str, number: int, line: bytes, width: int) -> NDArray[np.float32]:
    values: list[float] = []
    for part in line.rsplit(b" ", width)[1:]:
        try:
            value = float(part)
        except ValueError:
            value = math.nan
        if not abs(value) <= 3.4e38:
            raise DataError(
                f'{name}: line {number} holds "{part[:20].decode(errors="replace")}", expected a finite number'
            )
        values.append(value)
    return np.array(values, np.float32)
