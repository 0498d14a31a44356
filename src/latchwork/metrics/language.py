"""How well a language model expects a text: perplexity for each token, bits for each character."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import DataError
from latchwork.metrics.paired import Interval
from latchwork.metrics.resample import Difference, bootstrap_sums, paired_difference
from latchwork.metrics.scores import Scores, perplexity

Array = NDArray[np.float64]

BLOCK = 1_000
"""Tokens in a row that are drawn together for the intervals; fewer where that would leave fewer than :data:`BLOCKS`."""

BLOCKS = 40

_UNITS = {"char": "character", "bpe": "BPE token", "word": "word", "given": "word"}


@dataclass(frozen=True)
class LanguageScore:
    """The figures of one model on one text; made by :func:`language_score`.

    perplexity          exp(nats / tokens): comparable between models with the same tokens only
    bits_per_character  nats / (ln 2 · characters): comparable whatever the tokens are
    nats                -Σ ln p over the tokens, once over everything
    tokens              how many were asked for: all of the text, unknown ones and the <eos> after texts among them
    characters          of the text (code points), blanks and line ends among them
    unit                what a token is: "char", "bpe", "word", "given"
    lines, ends         how many of the tokens are ends of lines, and <eos>
    unknown             how many are <unk>

    Both intervals draw stretches of the text again, see :func:`blocks`; NaN bounds where only the sum is known.
    """

    perplexity: Interval
    bits_per_character: Interval
    nats: float
    tokens: int
    characters: int
    unit: str
    lines: int
    ends: int
    unknown: int

    @property
    def token(self) -> str:
        """What people call a token."""
        return _UNITS.get(self.unit, "token")

    @property
    def rule(self) -> str:
        """What was counted, in a sentence."""
        counted = f"perplexity is for each of {self.tokens:,} {self.token}s"
        among = [f"{count:,} {name}" for count, name in ((self.lines, "ends of lines"), (self.ends, "<eos>")) if count]
        said = f"{counted}, {' and '.join(among)} among them" if among else f"{counted}, no <eos> among them"
        if not self.unknown:
            return said
        return (
            f"{said}; {self.unknown / max(self.tokens, 1):.1%} are <unk>, for {self.token}s that are not spelled: "
            "bits for each character are too few by those"
        )

    def scores(self) -> Scores:
        """As other tasks tell theirs."""
        return Scores(
            self.tokens,
            {"perplexity": self.perplexity.value, "bits_per_character": self.bits_per_character.value},
            {"perplexity": f"perplexity per {self.token}", "bits_per_character": "bits per character"},
            {"perplexity": self.rule},
        )


def language_score(
    nats: Array | float,
    *,
    tokens: int,
    characters: int,
    unit: str,
    lines: int = 0,
    ends: int = 0,
    unknown: int = 0,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> LanguageScore:
    """Score a text by what its tokens cost: nats [tokens] of each, or their sum, which gives no interval.

    Raises :class:`DataError` for an empty text, another number of tokens, or a nat that is no number.
    """
    if tokens < 1 or characters < 1:
        raise DataError(f"a text of {tokens} tokens and {characters} characters, expected at least 1 to score")
    each = np.asarray(nats, np.float64)
    if each.ndim and each.shape != (tokens,):
        raise DataError(f"nats have shape {each.shape}, expected [{tokens}]: one for each token")
    if np.isnan(each).any():
        raise DataError(f"token {int(np.isnan(each).argmax())} costs NaN nats, expected numbers: did training diverge?")
    total = float(each.sum())
    found = Interval(perplexity(total, tokens), math.nan, math.nan)
    bits = Interval(total / math.log(2) / characters, math.nan, math.nan)
    if each.ndim and math.isfinite(total):
        sums = _sums(each)
        options = {"samples": samples, "level": level, "seed": seed}
        groups = np.arange(len(sums))
        drawn = bootstrap_sums(sums, _perplexity, groups, within=(1.0, math.inf), **options)
        found = Interval(found.value, drawn.lower, drawn.upper)
        scale = tokens / math.log(2) / characters
        drawn = bootstrap_sums(sums, lambda one: one[..., 0] / one[..., 1], groups, within=(0.0, math.inf), **options)
        bits = Interval(bits.value, drawn.lower * scale, drawn.upper * scale)
    return LanguageScore(found, bits, total, tokens, characters, unit, lines, ends, unknown)


def language_difference(
    first: Array, second: Array, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> Difference:
    """Perplexity of the first less that of the second, both by what they ask for the same tokens: nats [tokens].

    The same stretches of the text are drawn for both.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(f"nats of two models have shapes {first.shape} and {second.shape}, expected the same [tokens]")
    ours, theirs = _sums(first), _sums(second)
    return paired_difference(
        lambda weights: float(_perplexity(weights @ ours)),
        lambda weights: float(_perplexity(weights @ theirs)),
        np.arange(len(ours)),
        samples=samples,
        level=level,
        seed=seed,
    )


def blocks(tokens: int) -> NDArray[np.int64]:
    """[tokens] the stretch of the text that each token is in: what stands together is alike, so it is drawn together.

    Stretches of 1,000 tokens; of a fortieth of a text that is shorter than 40,000, but not below 50.
    """
    size = int(np.clip(tokens // BLOCKS, 50, BLOCK))
    return np.arange(tokens) // size


def _sums(nats: Array) -> Array:
    """[blocks, 2]: nats and tokens."""
    block = blocks(len(nats))
    columns = (nats, np.ones(len(nats)))
    return np.stack([np.bincount(block, one).astype(np.float64) for one in columns], axis=1)


def _perplexity(sums: Array) -> Array:
    return np.exp(np.minimum(sums[..., 0] / sums[..., 1], 700.0))
