"""Runs of steps that sequences of two sides have in common: windows that overlap, passages that were copied."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latchwork.baselines import Side
from latchwork.sequences import Encoded, Labelled

STEPS, WORDS = 10, 20
"""So many steps in a row are a run: of numbers, of words."""

LONGEST = 16
"""Runs are looked for of these lengths, of twice as many steps, and so on up to so many times as many."""

SPARE_BITS = 20.0
"""A run must be so many bits rarer than what would be met once by chance among all pairs of runs."""

MOST_SCORED = 5_000
"""Sequences that are looked at of the part that is scored."""

MOST_STEPS = 8_000_000
"""Steps of the other side that are looked at."""

ALIKE = 0.8
"""From this share on of the words and pairs of words that two texts have, those of both are nearly all."""

FEWEST_ALIKE, MOST_ALIKE = 8, 60
"""Texts of fewer different words are alike by chance; longer ones share a run of words where they are copies."""

MOST_TRIED = 200
"""Texts that one is compared with, word by word."""

Hashes = NDArray[np.uint64]


class Shared(NamedTuple):
    """pairs of rows (scored, known), one for each scored row that shares a run, or all of a shorter sequence.

    looked_at, compared  so many of the scored and of the known were looked at
    words                the steps are words
    """

    pairs: list[tuple[int, int]]
    looked_at: int
    compared: int
    steps: int
    words: bool


def shared_runs(
    labelled: Labelled, encoded: Sequence[Encoded] | None, scored: Sequence[int], known: Sequence[int]
) -> Shared | None:
    """Which of the scored sequences have a run of equal steps in one of the known; None where there are no steps.

    A run counts if it is too rare to be met by chance: its bits, -Σ log₂ (how frequent each step is) over the steps
    that don't repeat what the run already had (a step after the same one), exceed those of all pairs of runs by
    :data:`SPARE_BITS`. So flat signals, patterns that come again, a few categories and stock phrases don't count. A run
    that is too common is looked at again with twice the length: with more sequences more bits are asked for, and a
    longer run has them, so that a coarse signal is found as well. A sequence shorter than a run counts as a whole.
    """
    words = Side(labelled).texts
    first = next((one for one in encoded or () if one is not None), None)
    if not words and (first is None or first.numbers is None):
        return None
    scored = _evenly(scored, MOST_SCORED)
    reader = _Words() if words else None
    steps = WORDS if words else STEPS
    sides = []
    for rows in (scored, known):
        hashes: list[Hashes] = []
        total = 0
        for row in rows:
            one = reader.read(labelled.content[row]) if reader else _steps(encoded, row)
            total += len(one)
            if total > MOST_STEPS:
                break
            hashes.append(one)
        sides.append(hashes)
    lengths = [np.array([len(one) for one in hashes], np.int64) for hashes in sides]
    flat = [np.concatenate([*hashes, np.zeros(0, np.uint64)]) for hashes in sides]
    found: dict[int, int] = {}
    if min(map(len, flat)):
        bits, again = _bits(flat, lengths)
        least = SPARE_BITS + np.log2(len(flat[0])) + np.log2(len(flat[1]))
        wholes = [_wholes(*one, steps) for one in zip(flat, bits, lengths, strict=True)]
        found = _met(wholes, least)
        run, size = [one.copy() for one in flat], 1
        for longer in (steps * 2**at for at in range(LONGEST.bit_length())):
            if longer > min(int(one.max()) for one in lengths):
                break
            while size < longer:
                run, size = _extended(run, flat, size, longer)
            runs = [_runs(*one, longer) for one in zip(run, bits, again, lengths, strict=True)]
            found = _met(runs, least) | found
    pairs = [(scored[one], known[other]) for one, other in sorted(found.items())]
    return Shared(pairs, len(sides[0]), len(sides[1]), steps, words)


def near_copies(labelled: Labelled, scored: Sequence[int], known: Sequence[int]) -> dict[int, int]:
    """Scored texts -> a known one with nearly the same words: :data:`ALIKE` of the words and pairs of neighbouring
    words that either has are in both. One word changed in fifteen is found, two in ten are not.

    Two sets that have a share t of their union in common share one of the n - ⌈t n⌉ + 1 rarest parts of each, n the
    parts of a set (prefix filter: Chaudhuri, Ganti and Kaushik 2006): only such pairs are compared.
    """
    if not Side(labelled).texts:
        return {}
    reader = _Words()
    parts = {row: one for row in (*scored, *known) if (one := _parts(reader, labelled.content[row])) is not None}
    if not parts:
        return {}
    often = Counter(part for one in parts.values() for part in one)
    rarest = {
        row: sorted(one, key=lambda part: (often[part], part))[: len(one) - math.ceil(ALIKE * len(one)) + 1]
        for row, one in parts.items()
    }
    places: dict[int, list[int]] = {}
    for row in known:
        for part in rarest.get(row, ()):
            places.setdefault(part, []).append(row)
    found = {}
    for row in scored:
        near = islice(
            dict.fromkeys(other for part in rarest.get(row, ()) for other in places.get(part, ())), MOST_TRIED
        )
        for other in near:
            both = len(parts[row] & parts[other])
            if both >= ALIKE * (len(parts[row]) + len(parts[other]) - both):
                found[row] = other
                break
    return found


def _parts(reader: "_Words", content: Any) -> set[int] | None:
    """The words of a text and its pairs of neighbouring words, as numbers; None where it is too short or too long."""
    text = content if isinstance(content, str) else " ".join(content)
    codes = reader.codes(_WORD.findall(text.casefold()))
    if len(set(codes)) < FEWEST_ALIKE or len(codes) > MOST_ALIKE:
        return None
    return {*codes, *((one + 1) << 32 | other for one, other in pairwise(codes))}


_WORD = re.compile(r"\w+")


class _Words:
    """Words as numbers, the same for the same word."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def read(self, content: Any) -> Hashes:
        words = content.casefold().split() if isinstance(content, str) else [one.casefold() for one in content]
        return _mixed(np.array(self.codes(words), np.uint64))

    def codes(self, words: Sequence[str]) -> list[int]:
        """A number for each, the same for the same."""
        return [self.known.setdefault(word, len(self.known)) for word in words]


def _steps(encoded: Sequence[Encoded] | None, row: int) -> Hashes:
    """A hash of the numbers of each step, and of which were seen."""
    one = encoded[row] if encoded is not None else None
    if one is None or one.numbers is None:
        return np.zeros(0, np.uint64)
    bits = np.ascontiguousarray(one.numbers + np.float32(0)).view(np.uint32).astype(np.uint64)  # + 0: no -0
    if one.mask is not None:
        bits = np.concatenate([bits, one.mask.astype(np.uint64)], axis=1)
    keys = _mixed(np.arange(1, bits.shape[1] + 1, dtype=np.uint64)) | np.uint64(1)
    return _mixed((_mixed(bits) * keys).sum(axis=1, dtype=np.uint64))


def _mixed(values: Hashes) -> Hashes:
    """The finaliser of splitmix64: every bit depends on every bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _bits(
    flat: Sequence[Hashes], lengths: Sequence[NDArray[np.int64]]
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.int64]]]:
    """[steps] of each side: how surprising each is, 0 where it repeats the one before; and how many steps ago the same
    step came after the same one in this sequence (very many: never).
    """
    every = np.concatenate(flat)
    _, code, counts = np.unique(every, return_inverse=True, return_counts=True)
    cost = np.log2(len(every) / counts)[code]
    sizes = np.concatenate(lengths)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    begins = np.append(True, owner[1:] != owner[:-1])
    before = np.where(begins, -1, np.append(-1, code[:-1]))
    cost[before == code] = 0.0
    order = np.lexsort((np.arange(len(every)), code, before, owner))
    same = np.zeros(len(every), bool)
    for column in (owner, before, code):
        there = column[order]
        same[1:] = (same[1:] if column is not owner else True) & (there[1:] == there[:-1])
    again = np.full(len(every), np.iinfo(np.int64).max)
    again[order[1:]] = np.where(same[1:], order[1:] - order[:-1], again[order[1:]])
    cut = len(flat[0])
    return [cost[:cut], cost[cut:]], [again[:cut], again[cut:]]


_FACTOR = 0x9E3779B97F4A7C15


def _extended(run: list[Hashes], flat: Sequence[Hashes], size: int, wanted: int) -> tuple[list[Hashes], int]:
    """Hashes of runs of ``size`` steps, made those of twice as many, or of one more where that is too many."""
    tails, more = (run, size) if 2 * size <= wanted else (flat, 1)
    factor = np.uint64(pow(_FACTOR, more, 2**64))
    made = []
    for one, tail in zip(run, tails, strict=True):
        count = max(0, len(one) - more)
        made.append(one[:count] * factor + tail[size : size + count])
    return made, size + more


def _runs(
    run: Hashes, cost: NDArray[np.float64], again: NDArray[np.int64], lengths: NDArray[np.int64], steps: int
) -> tuple[Hashes, NDArray[np.int64], NDArray[np.float64]]:
    """Hash, owner and bits of every run that lies in one sequence."""
    count = len(run)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    inside = owner[:count] == owner[steps - 1 :]
    sums = np.concatenate([[0.0], np.cumsum(np.where(again < steps, 0.0, cost))])
    return run[inside], owner[:count][inside], (sums[steps:] - sums[:count])[inside]


def _wholes(
    flat: Hashes, cost: NDArray[np.float64], lengths: NDArray[np.int64], steps: int
) -> tuple[Hashes, NDArray[np.int64], NDArray[np.float64]]:
    """The same of sequences that are shorter than a run, as a whole."""
    ends = np.cumsum(lengths)
    short = np.flatnonzero((lengths > 0) & (lengths < steps))
    hashes = np.zeros(len(short), np.uint64)
    rare = np.zeros(len(short))
    for shift in range(steps):
        there = lengths[short] > shift
        at = (ends - lengths)[short[there]] + shift
        hashes[there] = hashes[there] * np.uint64(_FACTOR) + flat[at]
        rare[there] += cost[at]
    return _mixed(hashes + lengths[short].astype(np.uint64)), short, rare


def _met(runs: Sequence[tuple[Hashes, NDArray[np.int64], NDArray[np.float64]]], least: float) -> dict[int, int]:
    """Owners of the first side -> an owner of the second that has one of its rare runs."""
    mine, theirs = ((hashes[rare >= least], owner[rare >= least]) for hashes, owner, rare in runs)
    if not len(mine[0]) or not len(theirs[0]):
        return {}
    order = np.argsort(theirs[0], kind="stable")
    at = np.minimum(np.searchsorted(theirs[0][order], mine[0]), len(order) - 1)
    hits = np.flatnonzero(theirs[0][order][at] == mine[0])
    owners, first = np.unique(mine[1][hits], return_index=True)
    return dict(zip(owners.tolist(), theirs[1][order[at[hits[first]]]].tolist(), strict=True))


def _evenly(rows: Sequence[int], most: int) -> list[int]:
    """As many of them as allowed, from all over."""
    if len(rows) <= most:
        return list(rows)
    return [rows[int(at)] for at in np.linspace(0, len(rows) - 1, most)]
