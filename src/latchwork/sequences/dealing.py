"""How sequences are dealt to the parts of a split: strata of labels, units that stay whole, cuts in time."""

import re
from collections import Counter
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import DataError

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

FEWEST_WORDS = 3
"""Texts with fewer different words are alike by chance: only when they are the same are they taken to be."""

BINS = 10
"""Numbers are spread over the parts by so many bins of equal size."""


def strata_of(labels: Sequence[Any]) -> tuple[Rows, tuple[str, ...]]:
    """[n] what is to be spread evenly (-1: no label), and the names of the classes; () where labels are not classes.

    A text is its class; a number falls into one of :data:`BINS` bins; of several labels, or a label for each step, the
    one that the fewest sequences have stands for all.
    """
    found: list[Any] = [None if _is_missing(label) else label for label in labels]
    kinds = {_kind(label) for label in found if label is not None}
    if len(kinds) > 1:
        raise DataError(f"labels are {' and '.join(sorted(kinds))}, expected all of one kind")
    if kinds == {"numbers"}:
        return _binned(found), ()
    if kinds == {"texts"}:
        names = sorted({label for label in found if label is not None})
        code = {name: index for index, name in enumerate(names)}
        return np.array([-1 if label is None else code[label] for label in found], np.int64), tuple(names)
    rows = Counter(one for label in found if label is not None for one in set(label))
    rank = {one: index for index, one in enumerate(sorted(rows, key=lambda one: (rows[one], str(one))), start=1)}
    rarest = [-1 if label is None else min((rank[one] for one in set(label)), default=0) for label in found]
    return np.array(rarest, np.int64), ()


def _kind(label: Any) -> str:
    if isinstance(label, str):
        return "texts"
    if isinstance(label, (Real, np.number)):
        return "numbers"
    if isinstance(label, (tuple, list)):
        return "several texts"
    raise DataError(f"a label is a {type(label).__name__}, expected a text, a number or several texts")


def _is_missing(label: Any) -> bool:
    return label is None or (isinstance(label, (float, np.floating)) and not np.isfinite(label))


def _binned(labels: list[Any]) -> Rows:
    known = np.array([label is not None for label in labels])
    values = np.array([0.0 if label is None else float(label) for label in labels])
    distinct = np.unique(values[known])
    if len(distinct) > BINS:
        distinct = np.unique(np.quantile(values[known], np.arange(BINS) / BINS))
    bins = np.searchsorted(distinct, values, side="right") - 1
    return np.where(known, bins, -1).astype(np.int64)


def plain_text(content: Any) -> str:
    """A text without what doesn't tell it from a copy: case, digits (all are 0), signs and spaces; "" for no text."""
    if isinstance(content, (tuple, list)):
        if not all(isinstance(one, str) for one in content):
            return ""
        content = " ".join(content)
    if not isinstance(content, str):
        return ""
    return _SIGNS.sub(" ", _DIGITS.sub("0", content.casefold())).strip()


_DIGITS = re.compile(r"\d+")
_SIGNS = re.compile(r"[\W_]+")


def same_content(contents: Sequence[Any], fingerprints: Sequence[str]) -> list[str]:
    """Keys that are equal where contents are; for texts of a few words, but for case, digits, signs and spaces."""
    keys = []
    for content, fingerprint in zip(contents, fingerprints, strict=True):
        plain = plain_text(content)
        keys.append(plain if len(set(plain.split())) >= FEWEST_WORDS else fingerprint)
    return keys


def units_of(groups: Sequence[str] | None, same: Sequence[str] | None, count: int) -> Rows:
    """[n] the unit of each: what shares an entity or a content, directly or through others."""
    parent = list(range(count))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for keys in (groups, same):
        first: dict[str, int] = {}
        for row, key in enumerate(keys or ()):
            one, other = root(first.setdefault(key, row)), root(row)
            parent[max(one, other)] = min(one, other)
    return np.array([root(row) for row in range(count)], np.int64)


def deal(strata: Rows, units: Rows, shares: Array, random: np.random.Generator, home: int | None = None) -> Rows:
    """[n] a part for each row: units whole, every stratum in its share as well as it goes.

    Units of several rows go first, the largest before the others, each to the part where the squared distance from the
    shares grows least; single rows then fill what is missing, to within one where there are no others. With ``home``
    no class is missing there for which a single row is to be had.
    """
    _, strata = np.unique(strata, return_inverse=True)
    _, units = np.unique(units, return_inverse=True)
    counts = np.bincount(strata)
    target = shares[:, None] * counts
    have = np.zeros_like(target)
    part = np.full(len(strata), -1)
    sizes = np.bincount(units)
    members = np.split(np.argsort(units, kind="stable"), np.cumsum(sizes)[:-1])
    allowed = np.where(shares > 0, 0.0, np.inf)
    several = random.permutation(np.flatnonzero(sizes > 1))
    for unit in several[np.argsort(-sizes[several], kind="stable")]:
        rows = members[unit]
        classes, held = np.unique(strata[rows], return_counts=True)
        cost = ((2 * (have - target)[:, classes] + held) * held / counts[classes]).sum(1)
        cost += (2 * (have - target).sum(1) + len(rows)) * len(rows) / len(strata)
        chosen = int(np.argmin(cost + allowed))
        part[rows] = chosen
        have[chosen, classes] += held
    _fill(part, strata, target - have, shares, random, home)
    _leave_none_empty(part, members, shares)
    return part


def _fill(
    part: Rows, strata: Rows, missing: Array, shares: Array, random: np.random.Generator, home: int | None
) -> None:
    """Single rows, class by class. What rounding gave one part too little of comes first in the next class."""
    carried = np.zeros(len(shares))
    lone = np.flatnonzero(part < 0)
    order = lone[np.argsort(strata[lone], kind="stable")]
    lone_counts = np.bincount(strata[lone], minlength=missing.shape[1])
    has_home = np.ones(missing.shape[1], bool) if home is None else np.zeros(missing.shape[1], bool)
    if home is not None:
        has_home[strata[part == home]] = True
    stop = np.cumsum(lone_counts)
    for stratum in np.argsort(-lone_counts, kind="stable"):
        count = int(lone_counts[stratum])
        if not count:
            break
        ideal = np.maximum(missing[:, stratum], 0.0) * (shares > 0)
        ideal = (ideal if ideal.sum() > 0 else shares) * count / (ideal.sum() or 1.0)
        given = np.floor(ideal + 1e-9).astype(np.int64)
        wish = np.where(shares > 0, ideal - given + carried, -np.inf)
        given[np.argsort(-wish, kind="stable")[: count - given.sum()]] += 1
        if home is not None and not has_home[stratum] and not given[home]:
            given[int(np.argmax(given))] -= 1
            given[home] += 1
        carried += ideal - given
        rows = random.permutation(order[stop[stratum] - count : stop[stratum]])
        part[rows] = np.repeat(np.arange(len(shares)), given)


def _leave_none_empty(part: Rows, members: list[Rows], shares: Array) -> None:
    """A part that got nothing takes the smallest unit of the part with the most units."""
    for empty in np.flatnonzero(shares > 0):
        if (part == empty).any():
            continue
        owner = np.array([part[rows[0]] for rows in members])
        richest = int(np.argmax(np.bincount(owner, minlength=len(shares))))
        mine = [members[unit] for unit in np.flatnonzero(owner == richest)]
        if len(mine) > 1:
            part[min(mine, key=len)] = empty


def cut_by_time(order: Array, shares: Array) -> Rows:
    """[n] a part for each row, the earliest in the first: equal times are never on two sides.

    Raises :class:`DataError` where there are fewer different times than parts.
    """
    times, counts = np.unique(order, return_counts=True)
    wanted = np.flatnonzero(shares > 0)
    if len(times) < len(wanted):
        raise DataError(
            f"{len(times)} different times for {len(wanted)} parts of a split by time, expected at least one each; "
            "give more data or fewer parts"
        )
    before = np.concatenate([[0], np.cumsum(counts)])
    share = np.cumsum(shares[wanted])[:-1] / shares.sum()
    cuts: list[int] = []
    for index, place in enumerate(share * len(order)):
        nearest = int(np.argmin(np.abs(before - place)))
        least = cuts[-1] + 1 if cuts else 1
        cuts.append(int(np.clip(nearest, least, len(times) - (len(share) - index))))
    part_of_time = np.repeat(wanted, np.diff([0, *cuts, len(times)]))
    return part_of_time[np.searchsorted(times, order)]
