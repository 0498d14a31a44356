"""Runs of steps that sequences of two sides have in common: windows that overlap, passages that were copied."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latchwork.baselines import Side
from latchwork.sequences import Encoded, Labelled

STEPS, WORDS = 10, 20
"""So many steps in a row are a run: of numbers, of words."""

SPARE_BITS = 20.0
"""A run must be so many bits rarer than what would be met once by chance among all pairs of runs."""

MOST_SCORED = 5_000
"""Sequences that are looked at of the part that is scored."""

MOST_STEPS = 8_000_000
"""Steps of the other side that are looked at."""

Hashes = NDArray[np.uint64]


class Shared(NamedTuple):
    """pairs of rows (scored, known), one for each scored row that shares a run.

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
    that differ from the one before, exceed those of all pairs of runs by :data:`SPARE_BITS`. So flat signals, a few
    categories and stock phrases don't count.
    """
    words = Side(labelled).texts
    if not words and (not encoded or encoded[0].numbers is None):
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
    if min(map(len, flat)) < steps:
        return Shared([], len(sides[0]), len(sides[1]), steps, words)
    bits = _bits(flat, lengths)
    runs = [_runs(one, cost, length, steps) for one, cost, length in zip(flat, bits, lengths, strict=True)]
    least = SPARE_BITS + np.log2(len(flat[0])) + np.log2(len(flat[1]))
    mine, theirs = ((hashes[rare >= least], owner[rare >= least]) for hashes, owner, rare in runs)
    if not len(mine[0]) or not len(theirs[0]):
        return Shared([], len(sides[0]), len(sides[1]), steps, words)
    order = np.argsort(theirs[0], kind="stable")
    at = np.minimum(np.searchsorted(theirs[0][order], mine[0]), len(order) - 1)
    hits = np.flatnonzero(theirs[0][order][at] == mine[0])
    owners, first = np.unique(mine[1][hits], return_index=True)
    partners = theirs[1][order[at[hits[first]]]]
    pairs = [(scored[one], known[other]) for one, other in zip(owners.tolist(), partners.tolist(), strict=True)]
    return Shared(pairs, len(sides[0]), len(sides[1]), steps, words)


class _Words:
    """Words as numbers, the same for the same word."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def read(self, content: Any) -> Hashes:
        words = content.casefold().split() if isinstance(content, str) else [one.casefold() for one in content]
        codes = [self.known.setdefault(word, len(self.known)) for word in words]
        return _mixed(np.array(codes, np.uint64))


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


def _bits(flat: Sequence[Hashes], lengths: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float64]]:
    """[steps] of each side: how surprising each is; 0 where it repeats the one before."""
    every = np.concatenate(flat)
    _, code, counts = np.unique(every, return_inverse=True, return_counts=True)
    cost = np.log2(len(every) / counts)[code]
    repeats = np.zeros(len(every), bool)
    repeats[1:] = every[1:] == every[:-1]
    starts = np.cumsum(np.concatenate(lengths)) - np.concatenate(lengths)
    repeats[starts[starts < len(every)]] = False
    cost[repeats] = 0.0
    return [cost[: len(flat[0])], cost[len(flat[0]) :]]


def _runs(
    flat: Hashes, cost: NDArray[np.float64], lengths: NDArray[np.int64], steps: int
) -> tuple[Hashes, NDArray[np.int64], NDArray[np.float64]]:
    """Hash, owner and bits of every run that lies in one sequence."""
    count = len(flat) - steps + 1
    hashes = np.zeros(count, np.uint64)
    for shift in range(steps):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + flat[shift : shift + count]
    owner = np.repeat(np.arange(len(lengths)), lengths)
    inside = owner[:count] == owner[steps - 1 :]
    sums = np.concatenate([[0.0], np.cumsum(cost)])
    return hashes[inside], owner[:count][inside], (sums[steps:] - sums[:count])[inside]


def _evenly(rows: Sequence[int], most: int) -> list[int]:
    """As many of them as allowed, from all over."""
    if len(rows) <= most:
        return list(rows)
    return [rows[int(at)] for at in np.linspace(0, len(rows) - 1, most)]
