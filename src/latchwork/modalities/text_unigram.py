"""The pieces of a unigram model: Kudo 2018, https://arxiv.org/abs/1804.10959, section 3.2.

The library has a trainer for it, which adds up in the order of a hash table: pieces of the same worth come and go from
run to run. Here the counts are whole numbers, so that the same texts give the same pieces. The start are the pieces
that BPE finds, which the paper names as a way; the segmentation is the library's, the best one of each word (Viterbi)
in place of the expectation over all.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork.optional import load

SEEDS = 4
"""Pieces at the start, in times of those at the end."""
_SHRINK = 0.75
_PASSES = 2


def unigram_pieces(
    words: Sequence[str], counts: NDArray[np.int64], seeds: Sequence[str], size: int
) -> dict[str, float]:
    """At most ``size`` pieces with the logarithm of their probability, all characters of the words among them.

    words, counts  the distinct words of the texts, and how often each stands there
    seeds          pieces to start from
    """
    if not words:
        return {}
    letters = sorted(set(chain.from_iterable(words)))
    pieces = list(dict.fromkeys([*letters, *sorted(seed for seed in seeds if len(seed) > 1)]))
    scores = dict.fromkeys(pieces, -10.0)  # all alike: the fewest pieces win
    while True:
        found: dict[str, int] = {}
        for _ in range(_PASSES):
            found = _count(words, counts, scores)
            scores = _scored({piece: found[piece] for piece in scores if len(piece) == 1 or found[piece]})
        if len(scores) <= size:
            return scores
        many = max(size, int(_SHRINK * len(scores)))
        worth = {piece: _loss(piece, found[piece], scores) for piece in scores}
        best = sorted(scores, key=lambda piece: (len(piece) > 1, -worth[piece], piece))[:many]
        scores = {piece: scores[piece] for piece in best}


def _count(words: Sequence[str], counts: NDArray[np.int64], scores: Mapping[str, float]) -> dict[str, int]:
    """How often each piece stands in the best segmentations of the words."""
    library = load("tokenizers")
    pieces = sorted(scores)
    model: Any = library.models.Unigram([("", 0.0), *((piece, scores[piece]) for piece in pieces)], 0)
    cut = library.Tokenizer(model).encode_batch_fast(list(words), add_special_tokens=False)
    ids = [np.array(own.ids, np.int64) for own in cut]
    weights = np.repeat(counts, [len(own) for own in ids])
    total = np.bincount(np.concatenate(ids), weights, minlength=len(pieces) + 1)[1:]
    return {piece: int(count) for piece, count in zip(pieces, total, strict=True)}


def _scored(found: Mapping[str, int]) -> dict[str, float]:
    """log(count / all); a character that stands nowhere alone counts as half of one."""
    whole = math.log(sum(found.values()) or 1)
    return {piece: round(math.log(count or 0.5) - whole, 6) for piece, count in found.items()}


def _loss(piece: str, count: int, scores: Mapping[str, float]) -> float:
    """What the log-likelihood loses without the piece: its places would take its two best parts, or its characters."""
    parts = [
        scores[piece[:at]] + scores[piece[at:]]
        for at in range(1, len(piece))
        if piece[:at] in scores and piece[at:] in scores
    ]
    instead = max(parts, default=sum(scores[letter] for letter in piece))
    return count * (scores[piece] - instead)
