"""Texts as the source of a translation, and what of them can be copied into the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import DataError, ModelFileError
from latchwork.modalities import END, Vocabulary
from latchwork.modalities.text_tokens import UNKNOWN
from latchwork.sequences import Encoded, Features, Labelled

Tokens = NDArray[np.int64]
FILE = "source.json"


@dataclass(frozen=True)
class SourceText:
    """Texts to read: the tokens of a vocabulary, ``limit`` at most, and an END, so that none is empty."""

    kind: ClassVar[str] = "text"

    vocabulary: Vocabulary
    limit: int | None = None

    @property
    def features(self) -> Features:
        """A vocabulary."""
        return Features(vocabulary=len(self.vocabulary))

    def encode(self, labelled: Labelled) -> list[Encoded]:
        """[steps] of each text; raises :class:`DataError` for what is no text."""
        for content, place in zip(labelled.content, labelled.places, strict=True):
            if not isinstance(content, str):
                raise DataError(f"{place}: a {type(content).__name__}, expected a text as in training")
        return [
            Encoded(tokens=np.append(one[: self.limit], END)) for one in self.vocabulary.encode_all(labelled.content)
        ]

    def words(self, text: str, tokens: Tokens) -> list[str]:
        """What each step of an encoded text stands for, as a token of a vocabulary; "" for the END."""
        known = self.vocabulary.tokens
        if (tokens == UNKNOWN).any():
            found = self.vocabulary.cut(text)[: len(tokens) - 1]
        else:
            found = [known[token] for token in tokens[:-1].tolist()]
        return [*found, ""]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the tokens are one of the :meth:`files`."""
        return {"vocabulary": self.vocabulary.to_dict(), "limit": self.limit}

    def files(self) -> dict[str, bytes]:
        """The tokens."""
        return self.vocabulary.files(FILE)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], files: Mapping[str, bytes]) -> "SourceText":
        """The inverse of :meth:`to_dict` and :meth:`files`."""
        limit = data.get("limit")
        if set(data) != {"vocabulary", "limit"} or not (limit is None or (type(limit) is int and limit > 0)):
            raise ModelFileError("the source part of the model file is damaged: expected a vocabulary and a limit")
        return cls(Vocabulary.from_dict(data["vocabulary"], files, FILE), limit)


@dataclass(frozen=True)
class Known:
    """The target's tokens by what they stand for, to tell which words of a source it has."""

    vocabulary: Vocabulary

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Token -> number, the special ones not among them."""
        tokens = self.vocabulary.tokens
        return {token: number for number, token in enumerate(tokens) if number > END}

    def copied(self, words: Sequence[str]) -> tuple[Tokens, tuple[str, ...]]:
        """The words of a source as numbers of the target, from the vocabulary's size on those it doesn't know; and
        these. The END stays one.
        """
        own: dict[str, int] = {}
        found = np.empty(len(words), np.int64)
        for step, word in enumerate(words):
            number = END if word == "" else self.numbers.get(word)
            if number is None:
                number = own.setdefault(word, len(self.vocabulary) + len(own))
            found[step] = number
        return found, tuple(own)

    def target(self, text: str, tokens: Tokens, extra: Sequence[str]) -> Tokens:
        """A target's tokens, in which words that the vocabulary doesn't know and the source has are those copied."""
        if not extra or not (tokens == UNKNOWN).any():
            return tokens
        behind = {word: len(self.vocabulary) + place for place, word in enumerate(extra)}
        words = self.vocabulary.cut(text)
        pairs = zip(tokens.tolist(), words, strict=True)
        return np.array([behind.get(word, token) if token == UNKNOWN else token for token, word in pairs], np.int64)
