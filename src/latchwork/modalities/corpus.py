"""Texts that a model learns to write: what was read, and the options that say how."""

from dataclasses import dataclass
from typing import Literal

from latchwork.errors import ConfigError, DataError
from latchwork.sequences.examples import Part

_TOKENIZERS = (None, "char", "bpe", "word", "given")
_SAMPLE = 200_000  # characters


@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """How texts are read that a model learns to write.

    Args:
        text: Column of the text in a table (csv, tsv, JSON lines, Parquet). None: "text" where there is such a column.
        pattern: Files of a folder that are read, such as "*.py"; with a "/" in it, of their path in the folder. None:
            text files (.txt, .text, .md, packed or not).
        tokenizer: Texts are cut into characters, pieces that BPE finds, words, or given: at blanks alone, for text that
            is tokenised already. None: the task decides.
        vocabulary_size: Tokens known at most. None: the task decides.
        lowercase: Texts are read in lower case.
    """

    text: str | None = None
    pattern: str | None = None
    tokenizer: Literal["char", "bpe", "word", "given"] | None = None
    vocabulary_size: int | None = None
    lowercase: bool = False

    def __post_init__(self) -> None:
        if self.tokenizer not in _TOKENIZERS:
            raise ConfigError(f'tokenizer is "{self.tokenizer}", expected one of char, bpe, word, given')
        least = 256 if self.tokenizer == "bpe" else 1
        if self.vocabulary_size is not None and self.vocabulary_size < least:
            why = ": a piece is made of the 256 bytes" if least > 1 else ""
            raise ConfigError(f"vocabulary_size is {self.vocabulary_size}, expected at least {least}{why}")
        for name in ("text", "pattern"):
            if getattr(self, name) == "":
                raise ConfigError(f"{name} is empty; leave it out, or name one")


@dataclass(frozen=True)
class Corpus:
    """Texts in the order of the files.

    documents  one each: a file, a row of a table
    places     where each stands, for people
    parts      the part that each was given for; None: nobody said
    sha256     of the files
    name       of the file or the folder
    """

    documents: tuple[str, ...]
    places: tuple[str, ...]
    parts: tuple[Part | None, ...] | None = None
    sha256: str = ""
    name: str = "the texts"

    def __post_init__(self) -> None:
        for name in ("places", "parts"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.documents):
                raise DataError(f"{name} has {len(value)} entries for {len(self.documents)} texts, expected as many")

    def __len__(self) -> int:
        return len(self.documents)

    def of(self, part: Part | None) -> tuple[str, ...]:
        """The documents of a part; of None those that no part was given for."""
        if self.parts is None:
            return self.documents if part is None else ()
        return tuple(one for one, own in zip(self.documents, self.parts, strict=True) if own == part)


def tokenised(text: str) -> bool:
    """Whether a text is cut by blanks already: it holds ``<unk>``, or most commas, and points where a line ends,
    stand alone (other signs do so in raw French too).

    Looks at the first 200,000 characters.

    >>> tokenised("the man , who came in , said no .")
    True
    >>> tokenised("The man, who came in, said no.")
    False
    """
    return bool(cut_by_blanks(text[:_SAMPLE]))


def cut_by_blanks(text: str) -> bool | None:
    """The same of all of a text, and None where it has neither."""
    alone = attached = 0
    for line in text.split("\n"):
        words = line.split()
        if "<unk>" in words:
            return True
        # Behind another word than the last a point may belong to an abbreviation.
        marks = [word for word in words if word[-1] == ","] + [word for word in words[-1:] if word[-1] == "."]
        single = sum(len(word) == 1 for word in marks)
        alone, attached = alone + single, attached + len(marks) - single
    return alone > 2 * attached if alone or attached else None
