"""How the next token is drawn from a model's scores, and where a text ends.

What is done to the scores of one step, in the order of Hugging Face's ``generate``:

    repetition_penalty    s of a token that was said: s / p where s > 0, s p where not (Keskar et al. 2019,
                          https://arxiv.org/abs/1909.05858, with the sign of Hugging Face)
    no_repeat_ngram_size  tokens that would repeat n in a row are left out (Paulus et al. 2017,
                          https://arxiv.org/abs/1705.04304)
    temperature           s / T
    top_k                 the k with the highest scores, and what ties with the last of them
    top_p                 the fewest most probable tokens whose probabilities sum to p or more (Holtzman et al. 2019,
                          https://arxiv.org/abs/1904.09751)
    min_p                 tokens with at least min_p of the most probable one's probability (Nguyen et al. 2024,
                          https://arxiv.org/abs/2407.01082)

A token that was said is one of the last :data:`WINDOW`, those of the prompt among them: so memory and time of a token
do not grow with the text. Hugging Face looks at the whole text; up to so many tokens the two agree.
"""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latchwork.errors import ConfigError, LatchworkError, StateError, did_you_mean

WINDOW = 1_000
"""So many tokens back, repetition_penalty and no_repeat_ngram_size remember what was said."""

_SORTED = 256  # so many of the highest probabilities are sorted first: top_p rarely needs more
_GOLDEN = 0x9E3779B97F4A7C15
_BITS = 2**64 - 1


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a text is continued; every option at its default draws from the model's own probabilities.

    Args:
        max_new_tokens: Tokens after the prompt, at most.
        temperature: Scores are divided by it: below 1 the probable becomes more so. top_k=1 always takes the most
            probable token.
        top_k: Draw among so many of the highest scores. 0: among all.
        top_p: Draw among the fewest tokens that have this much of the probability together. 1: among all.
        min_p: Draw among tokens with at least this share of the most probable one's probability. 0: among all.
        repetition_penalty: Above 1, what was said among the last 1,000 tokens becomes less probable.
        no_repeat_ngram_size: So many tokens in a row never come twice within the last 1,000. 0: they may.
        seed: The same seed, prompt and options give the same text.
        stop: Texts that end the generation; they are not part of what comes out.
    """

    max_new_tokens: int = 200
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    seed: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("max_new_tokens", 1), ("top_k", 0), ("no_repeat_ngram_size", 0), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"{name} is {value!r}, expected a whole number, at least {least}")
        if self.seed >= 2**63:
            raise ConfigError(f"seed is {self.seed}, expected a whole number below 2**63")
        if self.no_repeat_ngram_size > WINDOW:
            raise ConfigError(
                f"no_repeat_ngram_size is {self.no_repeat_ngram_size}, expected at most {WINDOW}: "
                "so many tokens are remembered"
            )
        if not _number(self.temperature) or self.temperature <= 0:
            raise ConfigError(
                f"temperature is {self.temperature!r}, expected a number above 0; "
                "top_k=1 always takes the most probable token"
            )
        if not _number(self.top_p) or not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p!r}, expected a probability above 0 and up to 1 (1: all tokens)")
        if not _number(self.min_p) or not 0 <= self.min_p <= 1:
            raise ConfigError(f"min_p is {self.min_p!r}, expected a share from 0 (all tokens) to 1")
        if not _number(self.repetition_penalty) or not 0.01 <= self.repetition_penalty <= 100:
            raise ConfigError(
                f"repetition_penalty is {self.repetition_penalty!r}, expected a number from 0.01 to 100 (1: no penalty)"
            )
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        if not all(isinstance(one, str) and one for one in stop):
            raise ConfigError(f"stop is {list(stop)}, expected texts of at least one character")
        object.__setattr__(self, "stop", stop)

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> "Sampling":
        """From a config file's table. An unknown name is a ConfigError that says which was probably meant.

        >>> Sampling.from_mapping({"temprature": 0.5})
        Traceback (most recent call last):
            ...
        latchwork.errors.ConfigError: sampling has no option "temprature"; did you mean "temperature"?
        """
        names = [field.name for field in fields(cls)]
        for name in options:
            if name not in names:
                raise ConfigError(f'sampling has no option "{name}"{did_you_mean(name, names)}')
        return cls(**options)

    def to_mapping(self) -> dict[str, Any]:
        """Every option by name; the inverse of :meth:`from_mapping`."""
        return asdict(self)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class Sampler:
    """Draws token after token, and remembers what :class:`Sampling` needs: the last :data:`WINDOW` tokens.

    The draw of the n-th token depends on the seed, ``number`` and n alone, so a copy goes on as the original does.

    Args:
        sampling: The options.
        vocabulary_size: Scores in each step.
        never: Tokens that are never drawn, such as the padding.
        number: Which of several texts that are drawn with one seed.
    """

    def __init__(self, sampling: Sampling, vocabulary_size: int, *, never: Sequence[int] = (), number: int = 0) -> None:
        if vocabulary_size < 1:
            raise ConfigError(f"vocabulary_size is {vocabulary_size}, expected at least 1")
        self.sampling = sampling
        self.vocabulary_size = vocabulary_size
        self.number = number
        self.drawn = 0
        self._never = np.array(sorted(set(never)), np.int64)
        if len(self._never) and not 0 <= self._never[0] <= self._never[-1] < vocabulary_size:
            raise ConfigError(f"never is {list(never)}, expected tokens from 0 to {vocabulary_size - 1}")
        self._recent: deque[int] = deque()
        self._counts = np.zeros(vocabulary_size if sampling.repetition_penalty != 1 else 0, np.int64)
        self._after: dict[tuple[int, ...], Counter[int]] = {}

    def seen(self, tokens: int | Iterable[int]) -> None:
        """Remember tokens that were not drawn here: those of the prompt. What :meth:`next` gives is remembered by it.

        Raises :class:`LatchworkError` for a token outside the vocabulary.
        """
        given = (tokens,) if isinstance(tokens, (int, np.integer)) else tokens
        given = [int(one) for one in given]
        wrong = next((one for one in given if not 0 <= one < self.vocabulary_size), None)
        if wrong is not None:
            raise LatchworkError(f"token {wrong} is none of the vocabulary's, expected 0 to {self.vocabulary_size - 1}")
        for one in given[-WINDOW:]:
            self._remember(one)

    def next(self, scores: ArrayLike) -> int:
        """Draw a token from the model's scores [vocabulary], logits or log-probabilities, and remember it.

        -inf is a token that can't come. Raises :class:`LatchworkError` for NaN, for inf, or where no token is left.
        """
        tokens, probabilities = self.distribution(scores)
        sums = np.cumsum(probabilities)
        place = int(np.searchsorted(sums, self._uniform() * sums[-1], side="right"))
        token = int(tokens[min(place, len(tokens) - 1)])
        self.drawn += 1
        self._remember(token)
        return token

    def distribution(self, scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The tokens that may come, in no particular order, and their probabilities, which sum to 1."""
        options = self.sampling
        s = self._checked(scores)
        if options.repetition_penalty != 1:
            said = np.flatnonzero(self._counts)
            s[said] = np.where(s[said] > 0, s[said] / options.repetition_penalty, s[said] * options.repetition_penalty)
        s = self._without_repeats(s)
        tokens = np.arange(len(s))
        if 0 < options.top_k < len(s):  # dividing keeps the order
            least = np.partition(s, -options.top_k)[-options.top_k]
            tokens = np.flatnonzero((s >= least) & (s > -np.inf))
            s = s[tokens]
        s -= s.max()
        if options.temperature != 1:
            with np.errstate(over="ignore"):  # near 0 all but the highest become -inf
                s /= options.temperature
        p = np.exp(s)
        p /= p.sum()
        if options.top_p < 1:
            kept = _nucleus(p, options.top_p)
            tokens, p = tokens[kept], p[kept]
        if options.min_p > 0:
            kept = p >= options.min_p * p.max()
            tokens, p = tokens[kept], p[kept]
        return tokens, p / p.sum()

    def copy(self) -> "Sampler":
        """Another that goes on from here as this one does."""
        return Sampler.from_dict(self.sampling, self.vocabulary_size, self.to_dict(), never=self._never.tolist())

    def to_dict(self) -> dict[str, Any]:
        """What is remembered, in plain values for JSON; see :meth:`from_dict`."""
        return {"number": self.number, "drawn": self.drawn, "recent": list(self._recent)}

    @classmethod
    def from_dict(
        cls, sampling: Sampling, vocabulary_size: int, saved: Mapping[str, Any], *, never: Sequence[int] = ()
    ) -> "Sampler":
        """The inverse of :meth:`to_dict`. Raises :class:`StateError` for what that does not write."""
        number, drawn, recent = (saved.get(name) for name in ("number", "drawn", "recent"))
        for name, value in (("number", number), ("drawn", drawn)):
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
                raise StateError(f"a sampler's {name} is {value!r}, expected a whole number of at least 0")
        known = isinstance(recent, (list, tuple)) and len(recent) <= WINDOW
        if not known or not all(type(one) is int and 0 <= one < vocabulary_size for one in recent or ()):
            raise StateError(
                f"a sampler's recent tokens are not up to {WINDOW} whole numbers below {vocabulary_size}: "
                "is this the state of another model?"
            )
        sampler = cls(sampling, vocabulary_size, never=never, number=int(number or 0))
        sampler.drawn = int(drawn or 0)
        sampler.seen(recent or ())
        return sampler

    def _checked(self, scores: ArrayLike) -> NDArray[np.float64]:
        """A copy in float64."""
        s = np.array(scores, np.float64)
        if s.shape != (self.vocabulary_size,):
            raise LatchworkError(f"scores have shape {s.shape}, expected [{self.vocabulary_size}]")
        highest = s.max()
        if math.isnan(highest) or highest == math.inf:
            token = int(np.argmax(np.isnan(s) | (s == np.inf)))
            raise LatchworkError(
                f"the model's score of token {token} is {s[token]}, expected a number: did training diverge?"
            )
        s[self._never] = -np.inf
        if len(self._never):
            highest = s.max()
        if highest == -math.inf:
            raise LatchworkError("the model's scores leave no token to draw: every one of them is -inf")
        return s

    def _without_repeats(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where nothing else is left, a repeat is allowed."""
        size = self.sampling.no_repeat_ngram_size
        if not size or len(self._recent) < size:
            return s
        followers = self._after.get(self._last(size - 1))
        if not followers:
            return s
        without = s.copy()
        without[list(followers)] = -np.inf
        return s if without.max() == -np.inf else without

    def _last(self, count: int) -> tuple[int, ...]:
        return tuple(self._recent[at] for at in range(-count, 0))

    def _remember(self, token: int) -> None:
        size = self.sampling.no_repeat_ngram_size
        if size and len(self._recent) >= size - 1:
            self._after.setdefault(self._last(size - 1), Counter())[token] += 1
        self._recent.append(token)
        if len(self._counts):
            self._counts[token] += 1
        if len(self._recent) > WINDOW:
            self._forget()

    def _forget(self) -> None:
        """The oldest token, and the n tokens in a row that began with it."""
        size = self.sampling.no_repeat_ngram_size
        if size:
            first = tuple(self._recent[at] for at in range(size - 1))
            followers, follower = self._after[first], self._recent[size - 1]
            followers[follower] -= 1
            if not followers[follower]:
                del followers[follower]
            if not followers:
                del self._after[first]
        oldest = self._recent.popleft()
        if len(self._counts):
            self._counts[oldest] -= 1

    def _uniform(self) -> float:
        """The draw of this token, in [0, 1): made from a count, so nothing but the count is kept."""
        stream = _mixed(_mixed(self.sampling.seed) + self.number)
        return (_mixed(stream + self.drawn * _GOLDEN) >> 11) * 2.0**-53


def _mixed(value: int) -> int:
    """SplitMix64 (Steele, Lea & Flood 2014, https://doi.org/10.1145/2714064.2660195): 64 random-looking bits."""
    z = (value + _GOLDEN) & _BITS
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _BITS
    return z ^ (z >> 31)


def _nucleus(p: NDArray[np.float64], share: float) -> NDArray[np.int64]:
    """Places of the fewest highest probabilities that sum to the share, highest first."""
    size = _SORTED
    while size < len(p):
        highest = np.argpartition(p, -size)[-size:]
        if p[highest].sum() >= share:
            break
        size *= 8
    else:
        highest = np.arange(len(p))
    order = highest[np.argsort(-p[highest], kind="stable")]
    sums = np.cumsum(p[order])
    return order[: int(np.searchsorted(sums, share - 1e-12, side="left")) + 1]


class Stopping:
    """Watches a text that comes in pieces for the first of some texts that end it; gives out what is safe to show.

    A piece may end in the middle of such a text, so what could be its beginning is held back: at most one character
    less than the longest has. Where several begin at the same place, or overlap, the one that is complete first counts.

    >>> watch = Stopping(("END",))
    >>> [watch.push(piece) for piece in ("one E", "N two EN", "D three")], watch.stopped
    (['one ', 'EN two ', ''], True)
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self.stop = tuple(stop)
        self.stopped = False
        self._held = ""

    def push(self, piece: str) -> str:
        """Take in a piece; returns what can be shown now. After the end nothing comes out any more."""
        if self.stopped:
            return ""
        text = self._held + piece
        ends = [(at + len(one), at) for one in self.stop if (at := text.find(one)) >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)[1]]
        held = max((_overlap(text, one) for one in self.stop), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """What was held back, at the end of a text that was not stopped."""
        held, self._held = self._held, ""
        return held

    def copy(self) -> "Stopping":
        """Another that goes on from here as this one does."""
        other = Stopping(self.stop)
        other.stopped, other._held = self.stopped, self._held
        return other


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of the text that are a beginning of the other."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
