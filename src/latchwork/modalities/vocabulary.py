"""Vocabularies of what is written: a text into numbers, and back into the same text.

:class:`~latchwork.modalities.text.Text` reads texts to say something about them, and may drop blanks; here a model says
the text itself, so every token knows how it is put on paper. A text is in NFC (and in lower case, by option). Then

    unit    a token is                                                  decode(encode(text)) gives
    char    a code point; the newline is one as any other               the text; "\ufffd" for a character never seen
    bpe     bytes of UTF-8 that stand together often (Sennrich, Haddow  the text, always
            & Birch 2016, https://arxiv.org/abs/1508.07909, on bytes
            as Radford et al. 2019 have it); none crosses a line's end
    word    a word or sign as :mod:`~latchwork.modalities.text_tokens`  the text, with one blank for several and none
            cuts them, or the newline. What follows another token       where a line begins or ends; "<unk>" for a word
            without a blank between them has a "￭" before it: "a, b"    that is not known; "■" for "￭"
            is ``a ￭, b``
    given   what stands between blanks, or the newline                  the same

Numbers: 0 is ``<pad>`` and never in a text; 1 is ``<unk>``, whatever is not known (and, of words, the word "<unk>",
which tokenised text is full of); 2 is ``<eos>``, which says that a text ends, and stands before one that begins. Tokens
follow, the more frequent first (of bpe: the 256 bytes, then the pieces as they were merged).
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal
from unicodedata import normalize

import numpy as np
import pydantic
from numpy.typing import ArrayLike, NDArray

from latchwork import storage
from latchwork.errors import ConfigError, DataError, ModelFileError
from latchwork.modalities.text import MANY
from latchwork.modalities.text_tokens import UNKNOWN, WORD
from latchwork.modalities.writer import BYTES, JOIN, SIGNS, Writer
from latchwork.optional import load

Unit = Literal["char", "bpe", "word", "given"]
UNITS: tuple[Unit, ...] = ("char", "bpe", "word", "given")
END = 2
"""The token that says that a text ends; a text that begins stands after one."""

SPECIAL = ("<pad>", "<unk>", "<eos>")
VOCABULARY_FILE = "vocabulary.json"
MAX_FILE = 256 << 20
"""Bytes of a vocabulary.json."""

FEW = 10
"""Words (or characters) that stand once, from which on the unknown token is learnt from them."""

_CHUNK = 1 << 17  # characters: Hugging Face's library holds some hundred bytes for each
_PLURAL = {"char": "characters", "bpe": "pieces", "word": "words", "given": "words"}
_PIECE = "|".join(
    # No part is longer than 100: merging is slow in what has no blanks.
    (
        r"\n",
        r" ?[\p{L}\p{M}]{1,100}",
        r" ?\p{N}{1,100}",
        r" ?[^\s\p{L}\p{M}\p{N}]{1,100}",
        r"[^\S\n]{1,100}(?!\S)",
        r"[^\S\n]{1,100}",
    )
)


@dataclass(frozen=True)
class Vocabulary:
    """What a text is cut into, as fitted on training texts.

    unit       see the top of this file
    lowercase  whether texts are read in lower case
    tokens     by number, the three special ones first; of bpe as the library writes them: a sign for each byte
    merges     of bpe: pairs of tokens, in the order in which they are joined
    pattern    of bpe and word: where a text is cut
    """

    unit: Unit
    lowercase: bool
    tokens: tuple[str, ...] = field(repr=False)
    merges: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    pattern: str = field(default="", repr=False)

    @classmethod
    def fit(cls, texts: Iterable[str], unit: Unit, size: int, *, lowercase: bool = False) -> "Vocabulary":
        """The ``size`` most frequent tokens of these texts (of bpe: as many as were merged), or what there is.

        Of words and characters those that stand once in 10,000 tokens or more are left out, so that the unknown token
        is learnt from them; not where they are fewer than ten or more than half of all, and not of ``given``.

        Raises :class:`ConfigError` for a size that is too small, and :class:`DataError` where there is no text.
        """
        least = len(BYTES) if unit == "bpe" else 1
        if unit not in UNITS:
            raise ConfigError(f'a vocabulary of "{unit}", expected one of {", ".join(UNITS)}')
        if size < least:
            why = ": a piece is made of the 256 bytes" if unit == "bpe" else ""
            raise ConfigError(f"vocabulary_size is {size}, expected at least {least}{why}")
        if unit == "bpe":
            return cls._pieces(texts, size, lowercase)
        found = cls(unit, lowercase, SPECIAL, pattern=WORD if unit == "word" else "")
        counts = Counter[str]()
        for text in texts:
            counts.update(found._strings(text))
        if not counts:
            raise DataError("there is no text to make a vocabulary of; give at least one")
        if unit != "char":
            counts.pop(SPECIAL[UNKNOWN], None)
        known = sorted(counts, key=lambda token: (-counts[token], token))
        once = sum(count == 1 for count in counts.values())
        if unit != "given" and counts.total() >= MANY and FEW <= once <= counts.total() // 2:
            known = known[: len(known) - once]
        return cls(unit, lowercase, (*SPECIAL, *known[:size]), pattern=found.pattern)

    @classmethod
    def _pieces(cls, texts: Iterable[str], size: int, lowercase: bool) -> "Vocabulary":
        found = cls("bpe", lowercase, (*SPECIAL, *BYTES), pattern=_PIECE)
        some = False

        def chunks() -> Iterator[str]:
            nonlocal some
            for text in texts:
                for chunk in _chunks(found._clean(text)):
                    some = True
                    yield chunk

        trainer = load("tokenizers.trainers").BpeTrainer(
            vocab_size=size, min_frequency=2, max_token_length=24, initial_alphabet=list(BYTES), show_progress=False
        )
        tokenizer = found._library()
        tokenizer.train_from_iterator(chunks(), trainer)
        if not some:
            raise DataError("there is no text to make a vocabulary of; give at least one")
        model = json.loads(tokenizer.to_str())["model"]
        merges = tuple((left, right) for left, right in model["merges"])
        # The library orders the bytes by their signs, and so do we: then come the pieces as they were merged.
        known = sorted(model["vocab"], key=model["vocab"].__getitem__)
        return cls("bpe", lowercase, (*SPECIAL, *known), merges, _PIECE)

    def __len__(self) -> int:
        return len(self.tokens)

    # Encoding

    def encode(self, text: str) -> NDArray[np.int64]:
        """[tokens] int64, without an END. Raises :class:`DataError` for half of a surrogate pair."""
        return self.encode_all((text,))[0]

    def encode_all(self, texts: Iterable[str]) -> list[NDArray[np.int64]]:
        """Each text as :meth:`encode` has it; of bpe several at once."""
        if self.unit == "char":
            return [self._letters(self._clean(text)) for text in texts]
        if self.unit == "bpe":
            return self._bytes([self._clean(text) for text in texts])
        find = self._numbers.get
        return [np.array([find(token, UNKNOWN) for token in self._strings(text)], np.int64) for text in texts]

    def _letters(self, text: str) -> NDArray[np.int64]:
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        table = self._table
        return np.where(codes < len(table), table[np.minimum(codes, len(table) - 1)], UNKNOWN)

    def _bytes(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        chunks = [chunk for text in texts for chunk in _chunks(text)]
        ids = (
            np.array(own.ids, np.int64) + len(SPECIAL)
            for at in range(0, len(chunks), 1000)
            for own in self.tokenizer.encode_batch_fast(chunks[at : at + 1000], add_special_tokens=False)
        )
        empty = np.zeros(0, np.int64)
        return [np.concatenate([empty, *(next(ids) for _ in _chunks(text))]) for text in texts]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        known = {token: number for number, token in enumerate(self.tokens) if number >= len(SPECIAL)}
        if self.unit != "char":
            known[SPECIAL[UNKNOWN]] = UNKNOWN
        return known

    @cached_property
    def _table(self) -> NDArray[np.int64]:
        """The number of each code point up to the last that is known."""
        codes = [ord(token) for token in self.tokens[len(SPECIAL) :]]
        table = np.full(max(codes, default=0) + 1, UNKNOWN, np.int64)
        table[codes] = np.arange(len(SPECIAL), len(self.tokens))
        return table

    @cached_property
    def tokenizer(self) -> Any:
        """Of bpe: Hugging Face's tokenizer, which numbers from the first piece on."""
        return self._library()

    def _library(self) -> Any:
        """Hugging Face's tokenizer; it knows no special tokens, so that a text can't hold one."""
        library = load("tokenizers")
        cut, held = library.pre_tokenizers, self.tokens[len(SPECIAL) :]
        model = library.models.BPE({token: number for number, token in enumerate(held)}, list(self.merges))
        tokenizer = library.Tokenizer(model)
        tokenizer.pre_tokenizer = cut.Sequence(
            [
                cut.Split(library.Regex(self.pattern), "isolated"),
                cut.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        return tokenizer

    @cached_property
    def _cut(self) -> Callable[[str], list[tuple[str, tuple[int, int]]]]:
        library = load("tokenizers")
        words = library.pre_tokenizers.Split(library.Regex(self.pattern), "removed", invert=True)
        return words.pre_tokenize_str

    def _clean(self, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"character {error.start + 1} is U+{ord(text[error.start]):04X}, half of a surrogate pair; "
                "write the text in UTF-8 again"
            ) from error
        return normalize("NFC", text.lower() if self.lowercase else text)

    def _strings(self, text: str) -> Iterator[str]:
        """The tokens of a text, known or not. Not for bpe."""
        text = self._clean(text)
        if self.unit == "char":
            yield from text
            return
        for number, line in enumerate(text.split("\n")):
            if number:
                yield "\n"
            if self.unit == "given":
                yield from line.split()
            else:
                yield from (token for token, _ in self._words(line))

    def _words(self, line: str) -> Iterator[tuple[str, int]]:
        """The words of a line and where they begin."""
        line = line.replace(JOIN, "■")
        last = 0
        for _, (begin, stop) in self._cut(line.replace("’", "'")):
            word = line[begin:stop]
            yield (JOIN + word if begin == last and begin and word != SPECIAL[UNKNOWN] else word), begin
            last = stop

    def cut(self, text: str) -> list[str]:
        """The tokens of a text, known or not, as they stand in ``tokens``. Not for bpe."""
        return list(self._strings(text))

    def number(self, token: str) -> int:
        """The number of one of these; of the unknown token where it is none of the vocabulary's."""
        return self._numbers.get(token, UNKNOWN)

    def unknown(self, text: str) -> list[tuple[str, int]]:
        """The words or characters that are not known, each once, and which character of the text (in NFC, the first
        is 1) they begin at; nothing is unknown to bpe."""
        if self.unit == "bpe":
            return []
        found: dict[str, int] = {}
        for token, place in self._placed(self._clean(text)):
            if token not in self._numbers:
                found.setdefault(token.removeprefix(JOIN), place + 1)
        return list(found.items())

    def _placed(self, text: str) -> Iterator[tuple[str, int]]:
        if self.unit == "char":
            yield from zip(text, range(len(text)), strict=True)
            return
        start = 0
        for line in text.split("\n"):
            if start:
                yield "\n", start - 1
            if self.unit == "given":
                yield from ((one[0], start + one.start()) for one in re.finditer(r"\S+", line))
            else:
                yield from ((word, start + begin) for word, begin in self._words(line))
            start += len(line) + 1

    # Decoding

    def decode(self, tokens: ArrayLike) -> str:
        """The text of some tokens: nothing for ``<pad>`` and ``<eos>``. Raises :class:`DataError` for other numbers."""
        numbers = np.asarray(tokens, np.int64).ravel()
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise DataError(f"a token is not from 0 to {len(self) - 1}, the vocabulary of this model")
        writer = self.writer()
        return "".join([writer.push(number) for number in numbers.tolist()]) + writer.flush()

    def writer(self) -> Writer:
        """Writes a text token by token."""
        return Writer(self.unit, self.tokens)

    def show(self, token: int) -> str:
        """One token alone, for people: "<eos>", a piece as it is written, a word without its mark."""
        if token < len(SPECIAL):
            return self.tokens[token]
        if self.unit == "bpe":
            return bytes(SIGNS[sign] for sign in self.tokens[token]).decode("utf-8", "replace")
        return self.tokens[token].removeprefix(JOIN) if self.unit == "word" else self.tokens[token]

    def told(self, size: int) -> str:
        """What a reader must know who asked for ``size`` tokens; "" where there are as many."""
        have = len(self) - len(SPECIAL)
        if have >= size:
            return ""
        what = _PLURAL[self.unit]
        return f"vocabulary_size is {size:,}, but the training text gives {have:,} {what}: these are the vocabulary"

    # Files

    def to_dict(self) -> dict[str, Any]:
        """All but the tokens as plain JSON values; these are one of the :meth:`files`."""
        return {"unit": self.unit, "lowercase": self.lowercase, "size": len(self)}

    def files(self, name: str = VOCABULARY_FILE) -> dict[str, bytes]:
        """The tokens, as JSON. A model with two vocabularies gives each a name."""
        held = _Held(tokens=self.tokens, merges=self.merges, pattern=self.pattern)
        return {name: (json.dumps(held.model_dump(mode="json"), ensure_ascii=False) + "\n").encode()}

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], files: Mapping[str, bytes], name: str = VOCABULARY_FILE
    ) -> "Vocabulary":
        """The inverse of :meth:`to_dict` and :meth:`files`; raises :class:`ModelFileError` naming what is wrong."""
        about = _parsed(_About, json.dumps(dict(data), default=repr), "the vocabulary part of the model file")
        if name not in files:
            raise ModelFileError(f"{name} is missing; copy the whole model folder")
        if len(files[name]) > MAX_FILE:
            raise ModelFileError(f"{name} is larger than the {MAX_FILE:,} bytes allowed for it")
        held = _parsed(_Held, files[name], name)
        if len(held.tokens) != about.size:
            raise ModelFileError(f"{name} has {len(held.tokens)} tokens, expected {about.size}; is it another model's?")
        made = cls(about.unit, about.lowercase, held.tokens, held.merges, held.pattern)
        if why := _wrong(made):
            raise ModelFileError(f"{name} is damaged: {why}")
        return made


class _About(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    unit: Unit
    lowercase: bool
    size: int


class _Held(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    tokens: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    pattern: Annotated[str, pydantic.Field(max_length=4096)]


def _parsed(kind: Any, data: str | bytes, name: str) -> Any:
    try:
        return kind.model_validate_json(data)
    except pydantic.ValidationError as error:
        raise storage.wrong_field(error, name) from error


def _wrong(read: Vocabulary) -> str:
    """Why these can't be what :meth:`Vocabulary.fit` made; "" where they can."""
    held = read.tokens[len(SPECIAL) :]
    if read.tokens[: len(SPECIAL)] != SPECIAL or len(set(held)) < len(held) or "" in held:
        return f"its first tokens are not {', '.join(SPECIAL)}, or one is empty or stands twice"
    if read.unit == "char" and any(len(token) != 1 for token in held):
        return "a token is not one character"
    if read.unit == "bpe":
        known = set(held)
        if held[: len(BYTES)] != BYTES or not all(set(token) <= SIGNS.keys() for token in held):
            return "its first tokens are not the 256 bytes, or one is made of something else"
        if not all({left, right, left + right} <= known for left, right in read.merges):
            return "a piece is merged that is no token"
    elif read.merges:
        return f"{_PLURAL[read.unit]} are not merged"
    if read.pattern != {"bpe": _PIECE, "word": WORD}.get(read.unit, ""):
        # A pattern of somebody else's can be made to run forever on a short text.
        return "its pattern is not the one that this version cuts such texts with"
    try:
        if read.unit == "bpe":
            read.encode("")
        elif read.unit == "word":
            read._cut("")
    except Exception as error:  # noqa: BLE001  the library raises nothing narrower
        return str(error).partition("\n")[0]
    return ""


def _chunks(text: str) -> Iterator[str]:
    """The text in parts that end with a line; a line is never cut."""
    begin = 0
    while len(text) - begin > _CHUNK:
        stop = text.rfind("\n", begin, begin + _CHUNK) + 1 or text.find("\n", begin + _CHUNK) + 1
        if not stop:
            break
        yield text[begin:stop]
        begin = stop
    if begin < len(text):
        yield text[begin:]
