"""Completing the word that is being typed: a few continuations after every key."""

from bisect import bisect_left, bisect_right
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError
from latchwork.modalities import END
from latchwork.modalities.writer import JOIN
from latchwork.sequences import concatenate
from latchwork.streaming.text import NEVER, Reading, tokens_of
from latchwork.tasks import LanguagePipeline

LONGEST = 24
"""Tokens of a completion at most, of characters and pieces."""


class Completion(NamedTuple):
    """A way to finish the word.

    word         the whole word, what was typed of it among it
    rest         what is left to type
    probability  of the word, of characters and pieces: of this way to go on, among all ways from here
    """

    word: str
    rest: str
    probability: float


class Completer:
    """What was typed so far, and how its last word may go on.

        typing = Completer(pipeline)
        for key in "The qu":
            offers = typing.key(key)             # the n most probable continuations of the current word

    Of words one look at the scores answers every key until the word ends, since the vocabulary is sorted. Of characters
    and pieces the n most probable next ones are each followed by what is most probable then, side by side, until the
    word ends; so no two of them go on with the same character or piece.
    """

    def __init__(self, pipeline: LanguagePipeline, n: int = 5) -> None:
        if n < 1:
            raise ConfigError(f"n is {n}, expected at least 1")
        vocabulary = pipeline.vocabulary
        self.pipeline, self.n, self.unit = pipeline, min(n, len(vocabulary) - len(NEVER)), vocabulary.unit
        self._here = Reading(pipeline)
        self._ahead = Reading(pipeline, self.n) if self.unit in ("char", "bpe") else None
        self._here.read(np.array([END]))
        self._inside = np.array([_inside(vocabulary.show(token)) for token in range(len(vocabulary))])
        self._inside[: END + 1] = False
        self._sorted: list[tuple[str, int]] = []
        if self._ahead is None or self.unit == "bpe":
            shown = ((self._spelt(token), token) for token in range(END + 1, len(vocabulary)))
            self._sorted = sorted(one for one in shown if one[0])
        self._keys = [word for word, _ in self._sorted]
        self._numbers = np.array([token for _, token in self._sorted], np.int64)
        self.typed = ""
        """What was typed of the word that is not finished yet; of characters: of the last word, all of it read."""
        self._shares: NDArray[np.float64] | None = None

    def _spelt(self, token: int) -> str:
        """A token as it begins a word; "" where it doesn't."""
        vocabulary = self.pipeline.vocabulary
        if self.unit == "bpe":
            text = vocabulary.show(token)
            return text if text.startswith(" ") and _inside(text) and len(text) > 1 else ""
        word = vocabulary.tokens[token]
        return "" if word.startswith(JOIN) or not _inside(word) else word

    def type(self, text: str) -> None:
        """Read a text without asking for anything."""
        for part in _parts(text):
            self._add(part)

    def key(self, text: str) -> list[Completion]:
        """Read what was typed, usually one character, and say how the word may go on."""
        self.type(text)
        return self.offers()

    def _add(self, part: str) -> None:
        """A run of letters, or one other character."""
        word = _inside(part)
        if self.unit == "char":
            self._here.read_all(tokens_of(self.pipeline, part))
            self.typed = self.typed + part if word else ""
            return
        if word:
            self.typed += part
            return
        blank = part.isspace() and part != "\n"
        if self.unit == "bpe":
            # A blank is read with the word that follows it.
            if self.typed:
                self._read(self.typed)
            self.typed = part if part == " " else ""
            if part != " ":
                self._read(part)
            return
        if self.typed:
            self._read(self.typed)
            self.typed = ""
        if not blank:
            self._read(part)

    def _read(self, text: str) -> None:
        self._here.read_all(self.pipeline.vocabulary.encode(text))
        self._shares = None

    def offers(self) -> list[Completion]:
        """The n most probable ways to go on from here, the most probable first; fewer where there are fewer."""
        if self.unit == "char":
            first = self._order(self._probabilities())
            found = self._follow(first[0], first[1], self._here.state, "")
        elif self.unit == "bpe":
            found = self._pieces()
        else:
            found = self._words()
        unique = {}
        for one in sorted(found, key=lambda one: -one.probability):
            if one.rest:
                unique.setdefault(one.word, one)
        return list(unique.values())[: self.n]

    def _probabilities(self) -> NDArray[np.float64]:
        """Of each token after what was read; kept until more is read, of words and pieces."""
        if self._shares is None or self.unit == "char":
            self._shares = _softmax(self._here.scores[0])
        return self._shares

    def _order(self, shares: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The n most probable tokens that go on with a word."""
        own = np.where(self._inside, shares, 0.0)
        best = np.argpartition(own, -self.n)[-self.n :]
        best = best[np.argsort(-own[best], kind="stable")]
        return best, own[best]

    def _words(self) -> list[Completion]:
        typed = self.typed.lower() if self.pipeline.vocabulary.lowercase else self.typed
        numbers = self._range(typed)
        if not len(numbers):
            return []
        shares = self._probabilities()[numbers]
        best = np.argsort(-shares, kind="stable")[: self.n + 1]
        words = self.pipeline.vocabulary.tokens
        return [
            Completion(words[numbers[at]], words[numbers[at]][len(typed) :], float(shares[at])) for at in best.tolist()
        ]

    def _range(self, typed: str) -> NDArray[np.int64]:
        """The tokens that begin with what was typed."""
        begin = bisect_left(self._keys, typed)
        return self._numbers[begin : bisect_right(self._keys, typed + "\U0010ffff")]

    def _pieces(self) -> list[Completion]:
        shares, typed = self._probabilities(), self.typed
        starts = typed or " "
        numbers = self._range(starts)
        own = shares[numbers]
        best = np.argsort(-own, kind="stable")[: self.n]
        found = self._follow(numbers[best], own[best], self._here.state, starts)
        if len(typed) > 1:
            # The word as it stands, cut into the pieces that the tokenizer would make of it, goes on too.
            tokens = self.pipeline.vocabulary.encode(typed)
            trial = Reading(self.pipeline)
            trial.place(self._here.state, self._here.output)
            trial.read_all(tokens)
            share = float(shares[tokens[0]])
            after = _softmax(trial.scores[0])
            first, chances = self._order(after)
            found += [
                one._replace(word=typed[1:] + one.word, rest=one.word, probability=share * one.probability)
                for one in self._follow(first, chances, trial.state, "")
            ]
        return found

    def _follow(
        self, tokens: NDArray[np.int64], shares: NDArray[np.float64], state: Any, typed: str
    ) -> list[Completion]:
        """Each of these tokens, followed by the most probable ones until the word ends."""
        assert self._ahead is not None
        tokens, shares = tokens[shares > 0], shares[shares > 0]
        count = len(tokens)
        if not count:
            return []
        rows = np.concatenate([tokens, np.full(self.n - count, tokens[0])])
        self._ahead.place(concatenate([state] * self.n) if self.n > 1 else state, None)
        show = self.pipeline.vocabulary.show
        texts = [show(token) for token in tokens.tolist()]
        live = np.ones(count, bool)
        for _ in range(LONGEST):
            self._ahead.read(rows)
            following = self._ahead.scores[:count].argmax(1)
            going = self._inside[following]
            if self.unit == "bpe":
                going &= np.array([not show(token).startswith(" ") for token in following.tolist()])
            live &= going
            if not live.any():
                break
            for row in np.flatnonzero(live).tolist():
                texts[row] += show(int(following[row]))
            rows[:count] = np.where(live, following, rows[:count])
        written = [text[len(typed) :] for text in texts]
        begun = self.typed if self.unit == "char" else ""
        words = [begun + text.lstrip(" ") for text in texts]
        return [Completion(*one) for one in zip(words, written, shares.tolist(), strict=True)]


def _inside(text: str) -> bool:
    """Whether a text is (part of) one word."""
    core = text.removeprefix(" ")
    return bool(core) and all(one.isalnum() or one in "'’-_" or ord(one) > 0x2E7F for one in core)


def _parts(text: str) -> list[str]:
    """Runs of what makes words, and every other character alone."""
    parts: list[str] = []
    for one in text:
        if parts and _inside(one) and _inside(parts[-1]) and one != " ":
            parts[-1] += one
        else:
            parts.append(one)
    return parts


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    own = scores.astype(np.float64)
    own -= own.max()
    shares = np.exp(own)
    shares[list(NEVER)] = 0.0
    return shares / shares.sum()
