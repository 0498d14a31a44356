"""Splits of whole sequences: hold-out and folds, stratified, by entity, by time; functions of indices alone.

What must not be torn apart is a unit: the sequences of one entity, and those with the same content. Units are dealt to
the parts so that each part has its share of each class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError
from latchwork.sequences.dealing import Array, Rows, cut_by_time, deal, same_content, strata_of, units_of
from latchwork.sequences.examples import PARTS, Labelled, Part

TRAIN, VALIDATION, TEST = range(3)
SHOWN = 5
"""Names of classes that a note lists."""


@dataclass(frozen=True, eq=False)
class Split:
    """Which sequences are learned from, chosen by and scored on: indices in the order of the file.

    train, validation, test  disjoint; the validation may be empty, and so may the test where none was asked for
    name                     "hold-out", "fold 2 of 5"
    notes                    what a reader of the scores must know, in plain words
    duplicates               sequences whose content another one before them has too
    left_out                 sequences in no part: without a label, or on the wrong side of a cut in time
    """

    train: Rows
    validation: Rows
    test: Rows
    name: str = "hold-out"
    notes: tuple[str, ...] = ()
    duplicates: int = 0
    left_out: int = 0

    def part(self, name: Part) -> Rows:
        """The rows of a part by its name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def split_examples(
    labelled: Labelled,
    *,
    folds: int | None = None,
    test: float = 0.2,
    validation: float = 0.15,
    by_time: bool = False,
    duplicates: bool | None = None,
    own_parts: bool = True,
    seed: int = 0,
) -> list[Split]:
    """One hold-out split, or as many as there are folds, from what the file says: labels, entities, time, own parts.

    ``duplicates`` keeps equal contents on one side, and texts that differ in case, digits, signs and spaces alone;
    None: where contents are texts. ``own_parts=False`` ignores the file's own split.
    """
    if duplicates is None:
        duplicates = bool(labelled.content) and all(_is_text(content) for content in labelled.content[:100])
    same = same_content(labelled.content, labelled.fingerprints()) if duplicates else None
    parts = labelled.parts if own_parts else None
    held = {"groups": labelled.groups, "order": labelled.order, "parts": parts, "same": same}
    if folds is None:
        chosen = hold_out(labelled.labels, test=test, validation=validation, by_time=by_time, seed=seed, **held)
        return [chosen]
    return k_fold(labelled.labels, folds=folds, validation=validation, by_time=by_time, seed=seed, **held)


def hold_out(
    labels: Sequence[Any],
    *,
    groups: Sequence[str] | None = None,
    order: Array | None = None,
    parts: Sequence[Part | None] | None = None,
    same: Sequence[str] | None = None,
    test: float = 0.2,
    validation: float = 0.15,
    by_time: bool = False,
    seed: int = 0,
) -> Split:
    """Training, validation and test. Sizes are shares below 1, or numbers of sequences.

    Without ``by_time`` units are dealt at random, each class in its share. With it the earliest are for training and
    the latest for the test; what an entity of a later part has in an earlier one is left out. Parts that the file names
    are kept; what it lacks is cut from its training part.

    Raises :class:`DataError` where a part would be empty or only one class is left to learn.
    """
    facts = _Facts.of(labels, groups, order, same, by_time, seed)
    total = len(facts.rows)
    # What the file names no part of is what a number of sequences is taken from.
    free = sum(parts is None or parts[row] in (None, "train") for row in facts.rows.tolist())
    sizes = {VALIDATION: _share(validation, free, "validation"), TEST: _share(test, free, "test")}
    if sum(sizes.values()) >= 1:
        raise ConfigError(f"test {test} and validation {validation} leave nothing to learn from, of {total} sequences")
    codes = np.full(len(labels), TRAIN)
    notes = list(facts.notes)
    if parts is not None and any(part is not None for part in parts):
        codes = np.array([TRAIN if part is None else PARTS.index(part) for part in parts])
        unsaid = sum(part is None for part in parts)
        if unsaid:
            notes.append(f"{_count(unsaid, 'sequence')} of no part in the file learned from")
        notes += facts.torn(codes)
        for code in (VALIDATION, TEST):
            if (codes[facts.rows] == code).any():
                sizes[code] = 0.0
    source = facts.rows[codes[facts.rows] == TRAIN]
    shares = np.array([1 - sum(sizes.values()), sizes[VALIDATION], sizes[TEST]])
    wanted = int((shares > 0).sum())
    if not len(source):
        raise DataError("no sequence with a label is in the training part: there is nothing to learn from")
    if wanted > 1:
        codes[source] = facts.assign(source, shares, np.random.default_rng([seed, 0]), home=TRAIN)
        if parts is not None and len(source) < total:
            cut = " and ".join(PARTS[code] for code in (VALIDATION, TEST) if sizes[code])
            notes.append(f"the file has no {cut} part: it is cut from its training part")
    if by_time:
        codes, note = facts.apart(codes)
        notes += note
    chosen = [facts.rows[codes[facts.rows] == code] for code in (TRAIN, VALIDATION, TEST)]
    left = len(labels) - sum(map(len, chosen))
    split = Split(chosen[0], chosen[1], chosen[2], "hold-out", tuple(notes), facts.duplicates, left)
    return facts.checked(split)


def k_fold(
    labels: Sequence[Any],
    *,
    folds: int = 5,
    groups: Sequence[str] | None = None,
    order: Array | None = None,
    parts: Sequence[Part | None] | None = None,
    same: Sequence[str] | None = None,
    validation: float = 0.15,
    by_time: bool = False,
    seed: int = 0,
) -> list[Split]:
    """As many splits as folds; their test parts are disjoint, and together all sequences that have a label.

    Each class is spread evenly over the folds, as far as whole entities allow it; a share of the rest is the
    validation. With ``by_time`` the folds expand: time is cut into folds + 1 blocks, fold i is scored on block i + 1
    and learns from those before it, the last of them being its validation; the first block is never scored.

    A test part of the file's own stays out of every fold. Raises :class:`DataError` where there are fewer units than
    folds or only one class is left to learn.
    """
    if folds < 2:
        raise ConfigError(f"folds is {folds}, expected at least 2")
    facts = _Facts.of(labels, groups, order, same, by_time, seed, least=folds)
    notes = list(facts.notes)
    if parts is not None and any(part is not None for part in parts):
        kept = np.array([part != "test" for part in parts])
        held = len(facts.rows) - int(kept[facts.rows].sum())
        if held:
            facts.rows = facts.rows[kept[facts.rows]]
            notes.append(f"the file's own test part ({_count(held, 'sequence')}) is in no fold")
        notes += facts.torn(np.where(kept, TRAIN, TEST))
    share = _share(validation, len(facts.rows), "validation")
    if share >= 1:
        raise ConfigError(f"validation {validation} leaves nothing to learn from, of {len(facts.rows)} sequences")
    notes += [] if by_time else facts.rare(folds)
    blocks = folds + 1 if by_time else folds
    random = np.random.default_rng([seed, 1])
    part = np.full(len(labels), -1)
    part[facts.rows] = facts.assign(facts.rows, np.full(blocks, 1 / blocks), random)
    sizes = np.bincount(part[facts.rows], minlength=blocks)
    if not by_time and sizes.max() > 1.5 * len(facts.rows) / folds:
        notes.append(f"folds are uneven ({sizes.min()} to {sizes.max()} sequences): some sets belong together")
    splits = []
    for fold in range(folds):
        block = fold + 1 if by_time else fold
        rest = facts.rows[part[facts.rows] < block] if by_time else facts.rows[part[facts.rows] != block]
        codes = np.full(len(labels), -1)
        codes[facts.rows[part[facts.rows] == block]] = TEST
        codes[rest] = TRAIN
        own = list(notes)
        if share and facts.count(rest) > 1:
            size = min(validation / len(rest), 0.9) if validation >= 1 else share
            shares = np.array([1 - size, size])
            codes[rest] = facts.assign(rest, shares, np.random.default_rng([seed, 2, fold]), home=TRAIN)
        elif share:
            own.append("what is learned from belongs together: there is no validation part")
        if by_time:
            codes, note = facts.apart(codes)
            own += note
        chosen = [np.flatnonzero(codes == code) for code in (TRAIN, VALIDATION, TEST)]
        left = len(labels) - sum(map(len, chosen))
        name = f"fold {fold + 1} of {folds}"
        split = Split(chosen[0], chosen[1], chosen[2], name, tuple(own), facts.duplicates, left)
        splits.append(facts.checked(split))
    return splits


@dataclass(eq=False)
class _Facts:
    """What the functions above look at.

    rows     those with a label
    strata   [n] class, or bin of a number, or the rarest of several labels
    names    of the strata; () where labels are not classes
    units    [n] equal where sequences must not be torn apart
    order    [n] only where the split is by time
    """

    rows: Rows
    strata: Rows
    names: tuple[str, ...]
    units: Rows
    order: Array | None
    notes: list[str]
    duplicates: int

    @classmethod
    def of(
        cls,
        labels: Sequence[Any],
        groups: Sequence[str] | None,
        order: Array | None,
        same: Sequence[str] | None,
        by_time: bool,
        seed: int,
        least: int = 2,
    ) -> "_Facts":
        for name, given in (("groups", groups), ("order", order), ("same", same)):
            if given is not None and len(given) != len(labels):
                raise DataError(f"{name} has {len(given)} entries for {len(labels)} sequences, expected as many")
        strata, names = strata_of(labels)
        rows = np.flatnonzero(strata >= 0)
        notes = []
        if len(rows) < len(labels):
            notes.append(f"{_count(len(labels) - len(rows), 'sequence')} without a label in no part")
        if not len(rows):
            raise DataError("no sequence has a label: there is nothing to split")
        if len(names) == 1:
            raise DataError(f'every label is "{names[0]}": there is nothing to tell apart')
        times = None
        if by_time:
            if order is None:
                raise DataError("a split by time needs a column of time, and none is known; name one with time=")
            times = np.asarray(order, np.float64)
            unknown = int((~np.isfinite(times[rows])).sum())
            if unknown:
                raise DataError(f"a split by time needs the time of every sequence: {unknown} of {len(rows)} have none")
        units = units_of(groups, None, len(labels))
        duplicates = 0 if same is None else len(rows) - len({same[row] for row in rows.tolist()})
        if duplicates:
            joined = units_of(groups, same, len(labels))
            if by_time or len(np.unique(joined[rows])) >= least:
                units = joined
                notes.append(f"{_count(duplicates, 'sequence')} with the content of another, kept on its side")
            else:
                notes.append(f"{_count(duplicates, 'sequence')} with the content of another, too many to keep together")
        if not by_time and len(np.unique(units[rows])) < least:
            what = "groups" if groups is not None else "sequences with a label"
            found = len(np.unique(units[rows]))
            raise DataError(f"{found} {what} for {least} folds or parts, expected at least one each: ask for fewer")
        return cls(rows, strata, names, units, times, notes, duplicates)

    def count(self, rows: Rows) -> int:
        """Units, or different times."""
        return len(np.unique(self.units[rows] if self.order is None else self.order[rows]))

    def assign(self, rows: Rows, shares: Array, random: np.random.Generator, home: int | None = None) -> Rows:
        """The part of each of these rows."""
        if self.order is not None:
            return cut_by_time(self.order[rows], shares)
        wanted = int((shares > 0).sum())
        if self.count(rows) < wanted:
            raise DataError(
                f"{_count(self.count(rows), 'set')} of sequences that belong together for {wanted} parts, expected at "
                "least one each; give more data or fewer parts"
            )
        return deal(self.strata[rows], self.units[rows], shares, random, home)

    def torn(self, codes: NDArray[np.int64]) -> list[str]:
        """Units on several sides of the file's own split, which is kept as it is."""
        pairs = np.unique(np.stack([self.units[self.rows], codes[self.rows]], 1), axis=0)
        several = int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())
        text = "of the same entity or content on several sides of the file's own split, which is kept"
        return [f"{_count(several, 'set')} {text}"] if several else []

    def apart(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[str]]:
        """Without what an entity of a later part has in an earlier one."""
        codes = codes.copy()
        removed = 0
        for code in (TEST, VALIDATION):
            later = np.isin(self.units, self.units[self.rows[codes[self.rows] == code]])
            early = later & (codes >= 0) & (codes < code)
            removed += int(early[self.rows].sum())
            codes[early] = -1
        if not removed:
            return codes, []
        text = "left out before the cut in time, being of an entity or content that is after it too"
        return codes, [f"{_count(removed, 'sequence')} {text}"]

    def rare(self, folds: int) -> list[str]:
        """Classes that some folds will lack."""
        counts = np.bincount(self.strata[self.rows], minlength=len(self.names))
        few = [f'"{name}" ({count})' for name, count in zip(self.names, counts, strict=False) if 0 < count < folds]
        return [f"classes with fewer examples than the {folds} folds: {_some(few)}"] if few else []

    def checked(self, split: Split) -> Split:
        """With notes on classes that a part lacks; refused where nothing is left to learn."""
        for name in ("train", "test"):
            if not len(split.part(name)) and (name == "train" or split.name != "hold-out"):
                raise DataError(f"{split.name}: no sequence is left in the {name} part; give more data or fewer parts")
        if not self.names:
            return split
        notes = list(split.notes)
        classes = {part: np.unique(self.strata[split.part(part)]) for part in PARTS}
        if len(classes["train"]) == 1:
            only = self.names[int(classes["train"][0])]
            raise DataError(
                f'{split.name}: its training part has one class only ("{only}"), so there is nothing to tell apart; '
                "ask for fewer folds, or a split that is not by these entities or times"
            )
        single = np.flatnonzero(np.bincount(self.strata[self.rows], minlength=len(self.names)) == 1)
        if len(single):
            named = _some([f'"{self.names[one]}"' for one in single.tolist()])
            notes.append(f"classes with one example, which is learned from or scored, never both: {named}")
        for part in ("validation", "test"):
            if len(classes[part]) == 1:
                only = self.names[int(classes[part][0])]
                notes.append(f'the {part} part of {split.name} has one class only ("{only}"): some metrics are not had')
        unseen = np.setdiff1d(classes["test"], classes["train"])
        if len(unseen):
            named = _some([f'"{self.names[one]}"' for one in unseen.tolist()])
            notes.append(f"classes in the test part of {split.name} that were never learned: {named}")
        return Split(
            split.train, split.validation, split.test, split.name, tuple(notes), split.duplicates, split.left_out
        )


def _share(size: float, total: int, name: str) -> float:
    """A size as a share: given as one, or as a number of sequences."""
    if not np.isfinite(size) or size < 0 or (size >= 1 and size != int(size)):
        raise ConfigError(f"{name} is {size}, expected a share below 1, a number of sequences, or 0 for none")
    return float(size) if size < 1 else size / max(total, 1)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _is_text(content: Any) -> bool:
    return isinstance(content, str) or (
        isinstance(content, (tuple, list)) and all(isinstance(one, str) for one in content)
    )
