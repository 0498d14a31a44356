"""The text modality: texts become numbers of tokens, with a vocabulary that the training texts alone decide.

How texts are cut into tokens is told in :mod:`~latchwork.modalities.text_tokens`, how files are read in
:mod:`~latchwork.modalities.text_read`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pydantic
from numpy.typing import ArrayLike, NDArray

from latchwork import storage
from latchwork.errors import ConfigError, DataError, ModelFileError
from latchwork.modalities import text_tokens
from latchwork.modalities.source import SourceOptions
from latchwork.modalities.text_letters import known_letters, spell
from latchwork.modalities.text_tokens import SPECIAL, UNKNOWN, Unit
from latchwork.modalities.vectors import Vectors, read_vectors
from latchwork.sequences.examples import PAD, Encoded, Features, Labelled

MANY = 10_000
"""Tokens of the training texts from which on words that stand there once are read as unknown, see :meth:`Text.fit`."""

TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class TextCounts:
    """What the training texts were like.

    texts, tokens    how many
    middle, longest  tokens of a text: the median and the most
    cut              texts longer than ``max_length``
    unknown          tokens that are read as the unknown one
    rare             words or characters that stood there once and were left out of the vocabulary
    """

    texts: int
    tokens: int
    middle: float
    longest: int
    cut: int
    unknown: int
    rare: int


@dataclass(frozen=True)
class VectorCounts:
    """Word vectors: the file, numbers of a word, words of the vocabulary found, the share of the tokens they make."""

    name: str
    width: int
    found: int
    share: float


@dataclass(frozen=True)
class TextSettings:
    """All of a fitted :class:`Text` but its tokenizer.

    unit        what a token is: word, char, bpe, unigram; or given, where the file has the words
    vocabulary  tokens, the special ones included
    letters     the characters that words are read by, of which the first is number 2; None: words are not read so
    max_length  tokens of a text at most, and ``keep``, the end that is kept of a longer one
    """

    __pydantic_config__ = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    unit: Unit
    vocabulary: int
    letters: str | None
    max_length: int | None
    keep: Literal["start", "end", "both"]
    counts: TextCounts
    vectors: VectorCounts | None = None


@dataclass(frozen=True)
class Text:
    """Texts as fitted on training texts: what every later text is encoded with.

    settings   see there
    tokenizer  a tokenizer of Hugging Face's ``tokenizers``, as its file holds it
    """

    kind: ClassVar[str] = "text"

    settings: TextSettings
    tokenizer: bytes = field(repr=False)
    _vectors: Vectors | None = field(default=None, repr=False, compare=False)

    @classmethod
    def fit(
        cls, labelled: Labelled, rows: Sequence[int] | NDArray[np.int64], options: SourceOptions | None = None
    ) -> "Text":
        """Choose the vocabulary, from the texts of ``rows`` alone, and look up word vectors for it.

        Of words and characters, those that stand once in 10,000 tokens or more are left out (unless there is a vector
        for them): so the unknown token, which stands for all that training never saw, is learnt from them.

        Raises :class:`DataError` where no text is left, and :class:`ConfigError` where an option wants words.
        """
        options = options or SourceOptions()
        part = labelled.select(rows)
        if not len(part):
            raise DataError("there is no text to train on; give at least one row")
        unit = _unit(part, options)
        given = unit == "given"
        texts = _checked(part, given)
        zeros = given and options.vectors is None
        known = text_tokens.train(texts, unit, options.vocabulary_size, lowercase=options.lowercase, zeros=zeros)
        tokens = list(text_tokens.numbers(known, texts, given=given))
        lengths = np.array([len(own) for own in tokens])
        words = text_tokens.vocabulary(known)
        counts = np.bincount(np.concatenate(tokens), minlength=len(words))
        vectors = None if options.vectors is None else _without_special(read_vectors(options.vectors, words))
        stay = _stay(counts, vectors) if unit in ("word", "char", "given") else np.ones(len(words), np.bool_)
        if not stay.all():
            words = [word for word, stays in zip(words, stay, strict=True) if stays]
            known = text_tokens.keep(known, words)
            vectors = vectors and vectors._replace(matrix=vectors.matrix[stay], found=vectors.found[stay])
        letters = None
        if options.characters:
            letters = known_letters(
                texts if given else text_tokens.surfaces(known, texts), once=len(stay) == stay.sum()
            )
        kept = counts[stay]
        found = None if vectors is None else VectorCounts(
            vectors.name, vectors.matrix.shape[1], int(vectors.found.sum()),
            float(kept[vectors.found].sum() / counts.sum()),
        )  # fmt: skip
        limit = options.max_length
        about = TextCounts(
            texts=len(texts), tokens=int(counts.sum()), middle=float(np.median(lengths)), longest=int(lengths.max()),
            cut=0 if limit is None else int((lengths > limit).sum()),
            unknown=int(counts[UNKNOWN] + counts[~stay].sum()), rare=int((~stay).sum()),
        )  # fmt: skip
        settings = TextSettings(unit, len(words), letters, limit, options.keep, about, found)
        return cls(settings, text_tokens.dump(known), vectors)

    @property
    def features(self) -> Features:
        """A vocabulary, and characters where words are read by letter."""
        letters = self.settings.letters
        return Features(self.settings.vocabulary, 0 if letters is None else len(letters) + len(SPECIAL))

    @property
    def given(self) -> bool:
        """Whether a sequence is a tuple of words; otherwise it is a text."""
        return self.settings.unit == "given"

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The tokens, by number; of bpe and unigram "▁" is the blank before a word."""
        return tuple(text_tokens.vocabulary(self._known))

    @cached_property
    def _known(self) -> text_tokens.Tokenizer:
        return text_tokens.parse(self.tokenizer)

    def vectors(self) -> Vectors | None:
        """The word vectors that :meth:`fit` found, a row for each token: what an embedding starts from.

        None where there are none, and in a loaded model, whose embedding has its own weights by then.
        """
        return self._vectors

    # Encoding

    def encode(self, labelled: Labelled) -> list[Encoded]:
        """Tokens, and characters where words are read by letter; at least one step each, ``max_length`` at most.

        Raises :class:`DataError` where there are words and texts were learnt from, or the other way round.
        """
        texts = _checked(labelled, self.given)
        numbers = text_tokens.numbers(self._known, texts, given=self.given)
        if self.settings.letters is None:
            return [Encoded(tokens=own[self.kept(len(own))]) for own in numbers]
        letters = {letter: number for number, letter in enumerate(self.settings.letters, len(SPECIAL))}
        spelt: dict[str, NDArray[np.int64]] = {}
        encoded: list[Encoded] = []
        for own, words in zip(numbers, self._surfaces(texts), strict=True):
            kept = self.kept(len(own))
            encoded.append(Encoded(own[kept], spell([words[step] for step in kept], letters, spelt)))
        return encoded

    def kept(self, length: int) -> NDArray[np.int64]:
        """The steps that are left of a text of so many tokens: also those whose labels are left."""
        limit = self.settings.max_length
        if limit is None or length <= limit:
            return np.arange(length)
        head = {"start": limit, "end": 0, "both": limit // 4}[self.settings.keep]
        return np.concatenate([np.arange(head), np.arange(length - limit + head, length)])

    def strings(self, labelled: Labelled) -> list[tuple[str, ...]]:
        """The tokens of each text as they stand in it, one for each step of what :meth:`encode` gives."""
        texts = _checked(labelled, self.given)
        return [tuple(words[step] for step in self.kept(len(words))) for words in self._surfaces(texts)]

    def _surfaces(self, texts: Sequence[Any]) -> Any:
        return texts if self.given else text_tokens.surfaces(self._known, texts)

    def decode(self, tokens: ArrayLike) -> str:
        """The text of some tokens, for people: what is unknown stays so, and of words the blanks are guessed."""
        numbers = np.asarray(tokens, np.int64).ravel()
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(self.words):
            raise DataError(f"a token is not from 0 to {len(self.words) - 1}, the vocabulary of this model")
        parts = [self.words[number] for number in numbers if number != PAD]
        if self.settings.unit in ("word", "given"):
            return " ".join(parts)
        text = "".join(parts)
        return text if self.settings.unit == "char" else text.replace("▁", " ").strip()

    # For people

    @property
    def summary(self) -> tuple[str, ...]:
        """What was learnt from the training texts, and what of them is cut or unknown: a line each."""
        chosen, counts = self.settings, self.settings.counts
        unit = {"char": "characters", "bpe": "pieces", "unigram": "pieces"}.get(chosen.unit, "words")
        lines = [
            f"{counts.texts:,} texts of {counts.middle:,.0f} {unit} (median; the longest has {counts.longest:,}); "
            f"vocabulary {chosen.vocabulary - len(SPECIAL):,} {unit}, "
            f"{_percent(counts.unknown, counts.tokens)} of what is read is unknown"
        ]
        if counts.rare:
            lines.append(f"{counts.rare:,} {unit} that stand once are read as unknown, which is learnt from them")
        if counts.cut:
            end = {"start": "start is", "end": "end is", "both": "start (a quarter) and end are"}[chosen.keep]
            lines.append(
                f"{counts.cut:,} of {counts.texts:,} texts have more than {chosen.max_length:,} {unit} and are cut: "
                f"their {end} kept"
            )
        if (vectors := chosen.vectors) is not None:
            lines.append(
                f"{vectors.name}: {vectors.width} numbers a word, for {vectors.found:,} of "
                f"{chosen.vocabulary - len(SPECIAL):,} words ({vectors.share:.1%} of what is read)"
            )
        return tuple(lines)

    # Files

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values; the tokenizer is one of the :meth:`files`."""
        return _ADAPTER.dump_python(self.settings, mode="json")

    def files(self) -> dict[str, bytes]:
        """tokenizer.json, which Hugging Face's library reads too."""
        return {TOKENIZER_FILE: self.tokenizer}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], files: Mapping[str, bytes]) -> "Text":
        """The inverse of :meth:`to_dict` and :meth:`files`; raises :class:`ModelFileError` naming what is wrong."""
        try:
            settings = _ADAPTER.validate_json(json.dumps(dict(data)))
        except pydantic.ValidationError as error:
            raise storage.wrong_field(error, "the text part of the model file") from error
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"the text part of the model file is no JSON object ({error})") from error
        if TOKENIZER_FILE not in files:
            raise ModelFileError(f"{TOKENIZER_FILE} is missing; copy the whole model folder")
        letters, limit = settings.letters or "", settings.max_length
        if len(set(letters)) < len(letters) or (limit is not None and limit < 1):
            raise ModelFileError("the text part of the model file is damaged: letters stand twice, or max_length is 0")
        text = cls(settings, bytes(files[TOKENIZER_FILE]))
        if len(text.words) != settings.vocabulary:
            raise ModelFileError(
                f"{TOKENIZER_FILE} has {len(text.words)} tokens, expected {settings.vocabulary}; is it another model's?"
            )
        return text


_ADAPTER = pydantic.TypeAdapter(TextSettings)


def _unit(part: Labelled, options: SourceOptions) -> Unit:
    given = isinstance(part.content[0], tuple)
    if given and options.tokenizer != "word":
        raise ConfigError(f'tokenizer is "{options.tokenizer}", but the file has the words; leave it out, or "word"')
    for name in ("characters", "vectors"):
        if getattr(options, name) and options.tokenizer != "word":
            raise ConfigError(f'{name} are for words, but tokenizer is "{options.tokenizer}"; give "word"')
    return "given" if given else options.tokenizer


def _checked(labelled: Labelled, given: bool) -> list[Any]:
    """The contents: texts, or words where they are given; all of them Unicode."""
    wanted = tuple if given else str
    for content, place in zip(labelled.content, labelled.places, strict=True):
        if not isinstance(content, wanted):
            has, expected = ("a text", "a list of words") if given else ("a list of words", "a text")
            raise DataError(f"{place}: {has}, expected {expected} as in training")
        try:
            (" ".join(content) if isinstance(content, tuple) else content).encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{place}: half of a surrogate pair in the text; write it in UTF-8 again") from error
        if given and not all(content):
            raise DataError(f"{place}: a word is empty")
    return list(labelled.content)


def _without_special(vectors: Vectors) -> Vectors:
    """Padding and the unknown token are no words, whatever the file has under their names."""
    vectors.matrix[: len(SPECIAL)], vectors.found[: len(SPECIAL)] = 0, False
    return vectors


def _stay(counts: NDArray[np.int64], vectors: Vectors | None) -> NDArray[np.bool_]:
    """Which tokens the vocabulary keeps. Where half of what is read would be unknown, all of them."""
    stay = counts != 1
    if vectors is not None:
        stay |= vectors.found
    stay[: len(SPECIAL)] = True
    few = counts.sum() < MANY or counts[~stay].sum() * 2 > counts.sum()
    return np.ones_like(stay) if few else stay


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return "under 0.1 %" if 0 < share < 0.1 else f"{share:.1f} %"
