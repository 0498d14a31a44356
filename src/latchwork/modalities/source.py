"""How a file of labelled sequences is read: one set of options for texts, records and images."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from latchwork.errors import ConfigError

MAX_SIDE = 4096
"""Rows and columns of an image at most."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Where the sequences of a file are, and how they are read.

    Args:
        label: Column of the label. None: "label" where there is such a column. Several labels of one sequence stand
            in one cell, separated by ``|``.
        labels: A file of its own with the labels: the id column and the label column.
        text: Column of the text. None: "text" where there is such a column and no ``id``.
        id: Column that names the sequence: rows with the same id are its steps. Without it (and without a text) each
            row is a sequence, its columns the steps.
        group: Column of the entity (a patient, a speaker) that may not be in training and test at once.
        time: Column of the time of a step: a date, a number, or hours and minutes. Steps are sorted by it.
        split: Column that says train, validation or test.
        columns: Columns that are read as the numbers of a step. None: all that are left.
        static: Columns that hold for the whole sequence.
        ignore: Columns that are left out.
        variable: Of a table of events (time, variable, value): the column that names the variable.
        value: The column of its value.
        missing: A number that means "not measured", such as -1.
        period: Time between two steps, in the file's units (hours for hours and minutes): rows of the same period
            become one step. None: as the rows are.
        tokenizer: Texts are cut into words, characters, or pieces that BPE or a unigram model finds.
        vocabulary_size: Tokens known at most; the rest are one unknown token.
        lowercase: Texts are read in lower case.
        max_length: Steps of a sequence at most. None: no limit.
        keep: Which end of a longer one is kept: "start", "end", or "both" (a quarter from the start).
        vectors: A file of word vectors (word2vec or GloVe text) that the embedding starts from.
        characters: Each word is also read letter by letter. None: the task decides.
        image_size: Images are brought to so many rows and columns. None: as the first training image.
        by_time: Split by time: the latest sequences are for the test (pieces of one long sequence may then be in
            different parts).
    """

    label: str | None = None
    labels: Path | None = None
    text: str | None = None
    id: str | None = None
    group: str | None = None
    time: str | None = None
    split: str | None = None
    columns: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    variable: str | None = None
    value: str | None = None
    missing: float | None = None
    period: float | None = None
    tokenizer: Literal["word", "char", "bpe", "unigram"] = "word"
    vocabulary_size: int = 20_000
    lowercase: bool = True
    max_length: int | None = None
    keep: Literal["start", "end", "both"] = "start"
    vectors: Path | None = None
    characters: bool | None = None
    image_size: int | None = None
    by_time: bool = False

    def __post_init__(self) -> None:
        for name, least in (("vocabulary_size", 3), ("max_length", 1), ("image_size", 4)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}, expected at least {least}")
        if self.image_size is not None and self.image_size > MAX_SIDE:
            raise ConfigError(f"image_size is {self.image_size}, expected at most {MAX_SIDE}")
        for name, allowed in (("tokenizer", ("word", "char", "bpe", "unigram")), ("keep", ("start", "end", "both"))):
            if getattr(self, name) not in allowed:
                raise ConfigError(f'{name} is "{getattr(self, name)}", expected one of {", ".join(allowed)}')
        if (self.variable is None) != (self.value is None):
            raise ConfigError("variable and value belong together: a table of events has a column for each")
        if self.period is not None and not self.period > 0:
            raise ConfigError(f"period is {self.period}, expected a number above 0")


_READING = ("label", "labels", "text", "id", "group", "time", "split", "columns", "static", "ignore", "variable",
            "value", "missing", "period")  # fmt: skip
"""What is looked at while a file is read; the rest is for what is fitted to the sequences."""


def only(options: SourceOptions, used: Collection[str], name: str, remedy: str = "") -> None:
    """Raise :class:`ConfigError` for an option that says where something is in a file, and that this file, called
    ``name``, has no use for: passed over in silence, a ``group`` would not keep patients apart.

    used    the options that the kind of file has a use for
    remedy  what can be given instead
    """
    usual = SourceOptions()
    for one in _READING:
        if one not in used and getattr(options, one) != getattr(usual, one):
            instead = f", or {remedy}" if remedy else ""
            raise ConfigError(f"{one} has no meaning for {name}; leave it out{instead}")


def without_places(options: SourceOptions) -> SourceOptions:
    """The options without those that say where something is in a file."""
    usual = SourceOptions()
    return replace(options, **{one: getattr(usual, one) for one in _READING})
