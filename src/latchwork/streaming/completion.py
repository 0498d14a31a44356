"""Completing the word that is being typed: a few continuations after every key."""

import codecs
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from unicodedata import category, normalize

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError
from latchwork.modalities import END
from latchwork.modalities.writer import JOIN, SIGNS
from latchwork.sequences import concatenate
from latchwork.streaming.text import NEVER, Reading, tokens_of
from latchwork.tasks import LanguagePipeline

LONGEST = 24
"""Tokens of a completion at most, of characters and pieces."""

MOST = 100
"""Characters without a blank that are looked at together; what stands before them is read, and cut there."""

_WITHIN = "'’-_\u200c\u200d"  # beside letters, their marks and digits; the last two join letters in some scripts


class Completion(NamedTuple):
    """A way to finish the word.

    word         the whole word, what was typed of it among it
    rest         what is left to type
    probability  of the word, of characters and pieces: of this way to go on, among all ways from here
    """

    word: str
    rest: str
    probability: float


@dataclass(eq=False)
class _Place:
    """Where a model stands after some tokens. shares: of each token to come next, found when they are asked for."""

    state: Any
    output: NDArray[np.float32] | None
    shares: NDArray[np.float64] | None = None


class _Way(NamedTuple):
    """A token to go on with: how many of its bytes are typed already, how probable it is, and where it is read."""

    token: int
    begun: int
    probability: float
    place: _Place


class _Sorted:
    """Tokens by how they begin: all that begin alike stand together."""

    def __init__(self, spelt: Sequence[tuple[bytes, int]]) -> None:
        pairs = sorted(spelt)
        self.keys = [key for key, _ in pairs]
        self.numbers = np.array([number for _, number in pairs], np.int64)

    def longer(self, begun: bytes) -> NDArray[np.int64]:
        """Those that begin so and go on."""
        begin = bisect_left(self.keys, begun)
        stop = bisect_left(self.keys, begun + b"\xff")  # in no UTF-8, and no piece begins with it
        return self.numbers[begin + (begin < stop and self.keys[begin] == begun) : stop]


class Completer:
    """What was typed so far, and how its last word may go on.

        typing = Completer(pipeline)
        for key in "The qu":
            offers = typing.key(key)             # the n most probable continuations of the current word

    What stands behind the last blank is cut as training texts were, with every key anew. Of words one look at the
    scores answers every key until the word ends, since the vocabulary is sorted. Of characters and pieces the n most
    probable next ones are each followed by what is most probable then, side by side, until the word ends; so no two of
    them go on with the same character, or with the same piece after the same ones.
    """

    def __init__(self, pipeline: LanguagePipeline, n: int = 5) -> None:
        if n < 1:
            raise ConfigError(f"n is {n}, expected at least 1")
        vocabulary = pipeline.vocabulary
        self.pipeline, self.n, self.unit = pipeline, min(n, len(vocabulary) - len(NEVER)), vocabulary.unit
        self._here, self._trial = Reading(pipeline), Reading(pipeline)
        self._ahead = Reading(pipeline, self.n) if self.unit in ("char", "bpe") else None
        self._here.begin()
        self._places: dict[tuple[int, ...], _Place] = {}
        self._pending, self._joined = "", False
        own = range(END + 1, len(vocabulary))
        if self.unit in ("char", "bpe"):
            self._spelt = [b"", b"", b"", *(self._bytes(vocabulary.tokens[token]) for token in own)]
            within = [token for token in own if _may_stand_in_a_word(self._spelt[token])]
            self._goes_on = np.zeros(len(vocabulary), bool)
            self._goes_on[[token for token in within if not self._spelt[token].startswith(b" ")]] = True
            self._longest = max(map(len, self._spelt))
            self._starts = _Sorted([(self._spelt[token], token) for token in within])
        else:
            words = [(vocabulary.tokens[token], token) for token in own if _wordy(vocabulary.show(token))]
            joined = [(word, token) for word, token in words if self._is_joined(word)]
            self._after_blank = _Sorted([(word.encode(), token) for word, token in words if not self._is_joined(word)])
            self._after_sign = _Sorted([(word[1:].encode(), token) for word, token in joined])
        self._open = ""

    def _bytes(self, token: str) -> bytes:
        return token.encode() if self.unit == "char" else bytes(SIGNS[sign] for sign in token)

    def _is_joined(self, token: str) -> bool:
        return self.unit == "word" and token.startswith(JOIN)

    @property
    def typed(self) -> str:
        """What was typed of the word that is not finished yet."""
        return self._pending.strip() if self.unit == "given" else _last_word(self._open)

    def type(self, text: str) -> None:
        """Read a text without asking for anything. Raises :class:`DataError` for characters that training never saw;
        nothing is read then.
        """
        text = normalize("NFC", text)
        if self.unit == "char":
            self._here.read_all(tokens_of(self.pipeline, text))
            self._places.clear()
        else:
            self._behind_blank(self._pending + text)
        self._open = _last_word(self._open + text)[-MOST:]

    def _behind_blank(self, text: str) -> None:
        """Keep the last word and the blanks before it, and read the rest: it is cut the same whatever follows."""
        at = _last_blank(text)
        if len(text) - at > MOST:
            run = len(_last_word(text[-MOST:]))
            at = len(text) - (run if run < MOST else 0)
        encode = self.pipeline.vocabulary.encode
        head, rest = text[:at], text[at:]
        mark = self._mark
        tokens = encode(mark + head)[len(mark) :] if head else np.zeros(0, np.int64)
        encode(rest)  # what is no text is refused before anything is read
        if head:
            self._here.read_all(tokens)
            self._places.clear()
            self._joined = not head[-1].isspace()
        self._pending = rest

    @property
    def _mark(self) -> str:
        """A sign to put before the text so that it is cut as what stands behind another word; its token is dropped."""
        return "\0" if self._joined and self.unit == "word" else ""

    def key(self, text: str) -> list[Completion]:
        """Read what was typed, usually one character, and say how the word may go on."""
        self.type(text)
        return self.offers()

    def offers(self) -> list[Completion]:
        """The n most probable ways to go on from here, the most probable first; fewer where there are fewer."""
        if self._ahead is None:
            found = self._words()
        else:
            found = self._follow(self._characters() if self.unit == "char" else self._pieces())
        unique: dict[str, Completion] = {}
        for rest, probability in sorted(found, key=lambda one: -one[1]):
            if rest and _wordy(self.typed + rest):
                unique.setdefault(rest, Completion(self.typed + rest, rest, probability))
        return list(unique.values())[: self.n]

    def _place(self, tokens: Sequence[int]) -> _Place:
        """Where the model stands after these tokens, behind what was read; kept until more is read."""
        if () not in self._places:
            self._places[()] = _Place(self._here.state, self._here.output)
        wanted = tuple(tokens)
        known = next(size for size in range(len(wanted), -1, -1) if wanted[:size] in self._places)
        for size in range(known, len(wanted)):
            before = self._places[wanted[:size]]
            self._trial.place(before.state, before.output)
            self._trial.read(np.array([wanted[size]]))
            self._places[wanted[: size + 1]] = _Place(self._trial.state, self._trial.output)
        return self._places[wanted]

    def _shares(self, place: _Place) -> NDArray[np.float64]:
        if place.shares is None:
            self._trial.place(place.state, place.output)
            place.shares = _softmax(self._trial.scores[0])
        return place.shares

    def _words(self) -> list[tuple[str, float]]:
        """(what is left to type, probability) of words."""
        vocabulary, mark = self.pipeline.vocabulary, self._mark
        text = mark + self._pending
        strings = vocabulary.cut(text)[len(mark) :]
        begun, table = "", self._after_blank
        if text and not text[-1].isspace():
            last = strings.pop() if strings and _wordy(strings[-1]) else ""
            begun = last.removeprefix(JOIN) if self.unit == "word" else last
            table = self._after_sign if self._is_joined(last) or not last else table
        numbers = table.longer(begun.encode())
        head, sign, tail = begun.rpartition("'")
        if not len(numbers) and head and self.unit == "word":
            # What stands behind an apostrophe may be a word of its own that is not whole yet: I'l, I 'll.
            strings.append(JOIN + head if table is self._after_sign else head)
            begun = sign + tail
            numbers = self._after_sign.longer(begun.encode())
        elif begun and not len(numbers):
            numbers = self._after_blank.longer(begun.encode())
        if not len(numbers):
            return []
        shares = self._shares(self._place([vocabulary.number(one) for one in strings]))[numbers]
        best = _highest(shares, self.n)
        return [(vocabulary.show(int(numbers[at]))[len(begun) :], float(shares[at])) for at in best]

    def _characters(self) -> list[_Way]:
        place = self._place(())
        own = np.where(self._goes_on, self._shares(place), 0.0)
        return [_Way(at, 0, float(own[at]), place) for at in _highest(own, self.n)]

    def _pieces(self) -> list[_Way]:
        """Wherever a piece of the word may end, what begins with the rest of what was typed and goes on."""
        encode = self.pipeline.vocabulary.encode
        base, last = self._last_piece()
        before, tokens = encode(base).tolist(), encode(last).tolist()
        ways: list[_Way] = []
        share, total = 1.0, 0.0
        for at in range(len(tokens) + 1):
            begun = b"".join(self._spelt[token] for token in tokens[at:])
            if len(begun) >= self._longest:
                continue  # no piece has it all: the tokens up to here are certain
            place = self._place([*before, *tokens[:at]])
            shares = self._shares(place)
            numbers = self._starts.longer(begun) if begun else np.flatnonzero(self._goes_on)
            own = share * shares[numbers]
            ways += [_Way(int(numbers[one]), len(begun), float(own[one]), place) for one in _highest(own, self.n)]
            total += float(own.sum()) if begun else share
            share *= float(shares[tokens[at]]) if begun else 1.0
        best = sorted(ways, key=lambda one: -one.probability)[: self.n]
        return [one._replace(probability=one.probability / total) for one in best] if total else []

    def _last_piece(self) -> tuple[str, str]:
        """What is cut whatever follows, and what may still become longer: letters or digits, and the blank before."""
        text = self._pending
        text = text.lower() if self.pipeline.vocabulary.lowercase else text
        at = len(text)
        while at and _kind(text[at - 1]) and _kind(text[at - 1]) == _kind(text[-1]):
            at -= 1
        if at and text[at - 1] == " ":
            at -= 1
        return text[:at], text[at:]

    def _follow(self, ways: Sequence[_Way]) -> list[tuple[str, float]]:
        """Each of these ways, followed by the most probable tokens until the word ends."""
        assert self._ahead is not None
        ways = [one for one in ways if one.probability > 0]
        count = len(ways)
        if not count:
            return []
        padded = [*ways, *[ways[0]] * (self.n - count)]
        rows = np.array([one.token for one in padded])
        states = [one.place.state for one in padded]
        self._ahead.place(concatenate(states) if self.n > 1 else states[0], None)
        rests = [self._spelt[one.token][one.begun :] for one in ways]
        live = np.array([_whole(rest) is not None for rest in rests])
        rests = [rest if going else b"" for rest, going in zip(rests, live.tolist(), strict=True)]
        for _ in range(LONGEST):
            self._ahead.read(rows)
            following = self._ahead.scores[:count].argmax(1)
            live &= self._goes_on[following]
            for row in np.flatnonzero(live).tolist():
                longer = rests[row] + self._spelt[int(following[row])]
                live[row] = _whole(longer) is not None
                rests[row] = longer if live[row] else rests[row]
            if not live.any():
                break
            rows[:count] = np.where(live, following, rows[:count])
        return [((_whole(rest) or "").lstrip(" "), way.probability) for rest, way in zip(rests, ways, strict=True)]


def _last_blank(text: str) -> int:
    """Where the last word begins, with the blanks before it; they are not of the line before."""
    at = len(text)
    while at and not text[at - 1].isspace():
        at -= 1
    while at and text[at - 1].isspace() and text[at - 1] != "\n":
        at -= 1
    return at


def _last_word(text: str) -> str:
    """The letters, digits and signs within words that a text ends with; "" for signs alone."""
    at = len(text)
    while at and _inside(text[at - 1]):
        at -= 1
    return text[at:] if _wordy(text[at:]) else ""


def _inside(sign: str) -> bool:
    """Whether a character is part of a word."""
    return sign.isalnum() or sign in _WITHIN or category(sign)[0] == "M"


def _wordy(text: str) -> bool:
    """Whether there is something to read in it, and it is no tag."""
    return any(map(str.isalnum, text)) and not text.startswith("<")


def _kind(sign: str) -> str:
    """Letters with their marks, or digits, stand in one piece; others are ""."""
    return {"L": "L", "M": "L", "N": "N"}.get(category(sign)[0], "")


def _whole(data: bytes) -> str | None:
    """The text of the bytes, without a last character that is not whole; None where it is no part of a word."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return None
    return text if all(map(_inside, text.removeprefix(" "))) else None


def _may_stand_in_a_word(data: bytes) -> bool:
    """Whether a token is part of a word, or may be: it may begin or end in the middle of a character."""
    begin = next((at for at, byte in enumerate(data) if byte & 0xC0 != 0x80), len(data))
    return begin < 4 and _whole(data[begin:]) is not None


def _highest(values: NDArray[np.float64], count: int) -> list[int]:
    """Places of the highest values, the highest first."""
    found = np.argpartition(values, -count)[-count:] if count < len(values) else np.arange(len(values))
    return found[np.argsort(-values[found], kind="stable")].tolist()


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    own = scores.astype(np.float64)
    own -= own.max()
    shares = np.exp(own)
    shares[list(NEVER)] = 0.0
    return shares / shares.sum()
