"""The leak audit: what would make a score better than it is, found before it is believed.

It looks for what is on both sides of a split (an entity, a content, a run of steps), for what was fitted on more than
the training part, for a single feature that gives the label away, and for an order or a share of labels that differs.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from latchwork.evaluation.leak_content import near_copies, shared_runs
from latchwork.evaluation.leak_features import telling_features
from latchwork.modalities import SourceOptions
from latchwork.sequences import Encoded, Labelled, Split
from latchwork.sequences.dealing import FEWEST_WORDS, plain_text

Severity = Literal["leak", "suspect", "note"]
SEVERITIES: tuple[Severity, ...] = ("leak", "suspect", "note")

EXAMPLES = 3
MANY = 0.01
"""From this share of the scored sequences on, what they have in common with training is a leak and no accident."""

SHIFT = 0.1
"""Least distance between the shares of labels of two parts that is told."""


@dataclass(frozen=True)
class Finding:
    """What was found.

    severity  "leak": the score can't be believed; "suspect": look at it; "note": good to know
    check     entity, duplicate, near-duplicate, overlap, fitted, feature, order, shift, unseen label, contradiction
    sentence  what, with its figures
    advice    what to do
    examples  a few, with their places
    share     of what was looked at
    """

    severity: Severity
    check: str
    sentence: str
    advice: str
    examples: tuple[str, ...] = ()
    share: float = math.nan

    def __str__(self) -> str:
        shown = f" ({'; '.join(self.examples)})" if self.examples else ""
        return f"{self.severity}: {self.sentence}{shown}. {self.advice}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            **asdict(self),
            "examples": list(self.examples),
            "share": None if math.isnan(self.share) else self.share,
        }


def audit(
    labelled: Labelled,
    split: Split,
    encoded: Sequence[Encoded] | None = None,
    *,
    fitted: Any = None,
    options: SourceOptions | None = None,
) -> list[Finding]:
    """Everything found, the worst first. Deterministic; labels of the scored parts are read for their shares alone.

    encoded  all sequences in numbers, in the order of ``labelled``: without them steps and features are not looked at,
             beyond words
    fitted   the modality that encoded them, with ``options``: it is fitted again on the training rows to see that it
             knows no others
    """
    found = [
        *_both_sides(labelled, split),
        *_copies(labelled, split),
        *_runs(labelled, split, encoded),
        *_features(labelled, split, encoded, fitted),
        *_order(labelled, split),
        *_labels(labelled, split),
    ]
    if fitted is not None:
        found += _fitted(labelled, split, fitted, options)
    return sorted(found, key=lambda one: SEVERITIES.index(one.severity))


def _pairs(split: Split) -> list[tuple[str, list[int], list[int]]]:
    """(part that is scored, its rows, the rows that it must not have anything in common with)."""
    train, validation, test = split.train.tolist(), split.validation.tolist(), split.test.tolist()
    return [one for one in (("test", test, train + validation), ("validation", validation, train)) if one[1]]


def _against(part: str) -> str:
    return "training or validation" if part == "test" else "training"


def _both_sides(labelled: Labelled, split: Split) -> list[Finding]:
    if labelled.groups is None:
        return []
    found = []
    for part, scored, known in _pairs(split):
        first: dict[str, int] = {}
        for row in known:
            first.setdefault(labelled.groups[row], row)
        rows = [row for row in scored if labelled.groups[row] in first]
        if not rows:
            continue
        names = list(dict.fromkeys(labelled.groups[row] for row in rows))
        every = len({labelled.groups[row] for row in scored})
        examples = tuple(
            f'"{labelled.groups[row]}" in {labelled.places[row]} and {labelled.places[first[labelled.groups[row]]]}'
            for row in rows[:EXAMPLES]
        )
        sentence = (
            f"{len(names):,} of {every:,} entities of the {part} part are in {_against(part)} too, "
            f"with {len(rows):,} of its {len(scored):,} sequences"
        )
        advice = "Split by entity, so that all sequences of one are on one side."
        found.append(Finding("leak", "entity", sentence, advice, examples, len(rows) / len(scored)))
    return found


def _copies(labelled: Labelled, split: Split) -> list[Finding]:
    prints = labelled.fingerprints()
    plain = [plain_text(content) for content in labelled.content]
    found = []
    for part, scored, known in _pairs(split):
        first: dict[str, int] = {}
        alike: dict[str, int] = {}
        for row in known:
            first.setdefault(prints[row], row)
            if len(set(plain[row].split())) >= FEWEST_WORDS:
                alike.setdefault(plain[row], row)
        copies = {row: first[prints[row]] for row in scored if prints[row] in first}
        nearly = {row: alike[plain[row]] for row in scored if row not in copies and plain[row] in alike}
        others = [row for row in scored if row not in copies and row not in nearly]
        nearly = dict(sorted((nearly | near_copies(labelled, others, known)).items()))
        advice = "Remove them, or keep equal contents on one side (duplicates=True)."
        for check, rows, what in (
            ("duplicate", copies, "have the very content of one"),
            (
                "near-duplicate",
                nearly,
                "differ from one only in case, digits, spaces, signs or about one word in fifteen, found",
            ),
        ):
            if rows:
                share = len(rows) / len(scored)
                sentence = f"{len(rows):,} of {len(scored):,} {part} sequences {what} in {_against(part)}"
                examples = _two_places(labelled, list(rows.items()))
                severity = "leak" if share >= MANY and check == "duplicate" else "suspect"
                found.append(Finding(severity, check, sentence, advice, examples, share))
    by_print: dict[str, list[int]] = {}
    for row in split.train.tolist():
        by_print.setdefault(prints[row], []).append(row)
    torn = [rows for rows in by_print.values() if len({str(labelled.labels[row]) for row in rows}) > 1]
    if torn:
        pairs = [
            (rows[0], next(row for row in rows if str(labelled.labels[row]) != str(labelled.labels[rows[0]])))
            for rows in torn[:EXAMPLES]
        ]
        sentence = f"{len(torn):,} contents stand in training more than once, with different labels"
        advice = "No model can learn both: look which label is right."
        share = sum(map(len, torn)) / len(split.train)
        found.append(Finding("note", "contradiction", sentence, advice, _two_places(labelled, pairs), share))
    return found


def _two_places(labelled: Labelled, pairs: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(f"{labelled.places[one]} and {labelled.places[other]}" for one, other in pairs[:EXAMPLES])


def _runs(labelled: Labelled, split: Split, encoded: Sequence[Encoded] | None) -> list[Finding]:
    prints: list[str] | None = None
    found = []
    for part, scored, known in _pairs(split):
        shared = shared_runs(labelled, encoded, scored, known)
        if shared is None or not shared.pairs:
            continue
        prints = prints or labelled.fingerprints()
        copied = {prints[row] for row in known}
        pairs = [(row, other) for row, other in shared.pairs if prints[row] not in copied]
        if not pairs:
            continue
        share = len(pairs) / shared.looked_at
        one = "one" if shared.compared == len(known) else f"one of the first {shared.compared:,}"
        sentence = (
            f"{len(pairs):,} of {shared.looked_at:,} {part} sequences share a run of {shared.steps} steps or more, or "
            f"all their steps, with {one} in {_against(part)}"
        )
        advice = "Windows of one recording overlap: name it as the group, or cut by time before windows are made."
        if shared.words:
            advice = "A passage was copied: remove one of them, or name what they were copied from as the group."
        severity = "leak" if share >= MANY and not shared.words else "suspect"
        found.append(Finding(severity, "overlap", sentence, advice, _two_places(labelled, pairs), share))
    return found


def _features(labelled: Labelled, split: Split, encoded: Sequence[Encoded] | None, fitted: Any) -> list[Finding]:
    telling = telling_features(
        labelled,
        encoded,
        split.train.tolist(),
        columns=getattr(fitted, "names", ()),
        static=getattr(fitted, "static_names", ()),
    )
    advice = "Is it the label in another form, or known only afterwards? Then leave it out (ignore=)."
    return [
        Finding("suspect", "feature", one.sentence, advice, tuple(labelled.places[row] for row in one.rows), one.figure)
        for one in telling
    ]


def _order(labelled: Labelled, split: Split) -> list[Finding]:
    if labelled.order is None or not len(split.test) or not len(split.train):
        return []
    test, train = labelled.order[split.test], labelled.order[split.train]
    if not np.isfinite(test).any():
        return []
    begins = np.nanmin(test)
    later = np.flatnonzero(train > begins)
    if not len(later):
        return []
    share = len(later) / len(train)
    sentence = f"{len(later):,} of {len(train):,} training sequences are later than the first test sequence"
    advice = "If it is the future that is asked for, split by time (by_time=True): this score is of gaps in the past."
    first = int(split.test[int(np.nanargmin(test))])
    last = int(split.train[int(np.nanargmax(train))])
    return [Finding("suspect", "order", sentence, advice, _two_places(labelled, [(last, first)]), share)]


def _labels(labelled: Labelled, split: Split) -> list[Finding]:
    """Shares of labels, and labels of the test that training lacks."""
    if not len(split.test) or not len(split.train):
        return []
    labels = [[labelled.labels[row] for row in part.tolist()] for part in (split.train, split.test)]
    known = [[one for one in part if one is not None] for part in labels]
    if not all(known):
        return []
    if isinstance(known[0][0], (int, float, np.number)):
        return _moved(*(np.sort(np.array(part, np.float64)) for part in known))
    several = not isinstance(known[0][0], str)
    counts = [Counter(one for label in part for one in (label if several else (label,))) for part in known]
    found = []
    unseen = sorted(set(counts[1]) - set(counts[0]), key=str)
    if unseen:
        rows = [
            row
            for row in split.test.tolist()
            if labelled.labels[row] is not None
            and any(one in unseen for one in (labelled.labels[row] if several else (labelled.labels[row],)))
        ]
        named = ", ".join(f'"{one}"' for one in unseen[:EXAMPLES]) + (" …" if len(unseen) > EXAMPLES else "")
        sentence = f"{len(unseen):,} labels of the test part were never seen in training: {named}"
        advice = "They can't be answered: they count as errors. Learn from examples of them, or leave them out."
        places = tuple(labelled.places[row] for row in rows[:EXAMPLES])
        found.append(Finding("suspect", "unseen label", sentence, advice, places, len(rows) / len(split.test)))
    names = sorted(set(counts[0]) | set(counts[1]), key=str)
    table = np.array([[part[name] for name in names] for part in counts], np.float64)
    table = table[:, table.sum(0) > 0]
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    # Steps of one sequence are not independent: their count says nothing of how sure a distance is.
    if distance >= SHIFT and (several or _unlikely(table)):
        most = int(np.argmax(np.abs(shares[0] - shares[1])))
        sentence = (
            f'the shares of labels differ by {distance:.0%} between training and test, most for "{names[most]}": '
            f"{shares[0, most]:.1%} and {shares[1, most]:.1%}"
        )
        advice = "Stratify the split, or expect probabilities that are off by this shift."
        found.append(Finding("note", "shift", sentence, advice, (), distance))
    return found


def _unlikely(table: np.ndarray[Any, np.dtype[np.float64]]) -> bool:
    """Whether a table of counts [2, classes] is one in a thousand or rarer if both rows have the same shares.

    G = 2 Σ O log(O / E), its chi-squared tail by Wilson and Hilferty's cube root.
    """
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        g = 2 * float(np.where(table > 0, table * np.log(table / expected), 0.0).sum())
    freedom = table.shape[1] - 1
    if freedom < 1:
        return False
    spread = 2 / (9 * freedom)
    return ((g / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread) > 3.09


def _moved(train: np.ndarray[Any, Any], test: np.ndarray[Any, Any]) -> list[Finding]:
    """Numbers: the largest distance of the two distribution functions (Kolmogorov and Smirnov)."""
    every = np.concatenate([train, test])
    gaps = np.searchsorted(train, every, "right") / len(train) - np.searchsorted(test, every, "right") / len(test)
    distance = float(np.abs(gaps).max())
    if distance < SHIFT or distance < 1.95 * math.sqrt(1 / len(train) + 1 / len(test)):
        return []
    sentence = (
        f"the numbers to be foretold differ between training and test: their medians are {np.median(train):.4g} and "
        f"{np.median(test):.4g}, and up to {distance:.0%} lie on another side of a bound"
    )
    return [Finding("note", "shift", sentence, "Expect larger errors than on validation.", (), distance)]


def _fitted(labelled: Labelled, split: Split, fitted: Any, options: SourceOptions | None) -> list[Finding]:
    """The modality against one that has seen the training rows only."""
    have = fitted.to_dict()
    differing = _differences(have, type(fitted).fit(labelled, split.train, options).to_dict())
    if not differing:
        return []
    wider = np.sort(np.concatenate([split.train, split.validation]))
    every = np.arange(len(labelled))
    if len(split.validation) and not _differences(have, type(fitted).fit(labelled, wider, options).to_dict()):
        seen, severity = "training and validation", "suspect"
    elif not _differences(have, type(fitted).fit(labelled, every, options).to_dict()):
        seen, severity = "all sequences, the test among them", "leak"
    else:
        seen, severity = "other sequences than the training part", "leak"
    sentence = f"what was fitted to the data ({type(fitted).__name__}: scales, vocabulary) was fitted on {seen}"
    advice = "Fit it on the training part alone."
    return [Finding(severity, "fitted", sentence, advice, tuple(differing[:EXAMPLES]))]


def _differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two structures of plain values differ; numbers to rounding."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        names = list(dict.fromkeys([*one, *other]))
        return [
            found
            for name in names
            for found in (
                _differences(one[name], other[name], f"{path}.{name}" if path else str(name))
                if name in one and name in other
                else [f"{path}.{name}" if path else str(name)]
            )
        ]
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        if len(one) != len(other):
            return [f"{path}: {len(one):,} and {len(other):,} entries"]
        return [
            found
            for at, pair in enumerate(zip(one, other, strict=True))
            for found in _differences(*pair, f"{path}.{at}")
        ]
    if isinstance(one, float) and isinstance(other, (int, float)):
        close = math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12) or (math.isnan(one) and math.isnan(other))
        return [] if close else [f"{path}: {one:.6g} and {other:.6g}"]
    return [] if one == other else [f"{path}: {str(one)[:40]} and {str(other)[:40]}"]
