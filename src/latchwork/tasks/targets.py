"""Labels as numbers and back, fixed by the training labels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import DataError, ModelFileError, did_you_mean
from latchwork.metrics import spans_of
from latchwork.sequences import Labelled

Kind = Literal["class", "labels", "ordinal", "number", "steps"]
KINDS: tuple[Kind, ...] = ("class", "labels", "ordinal", "number", "steps")
SEPARATOR = "|"
UNKNOWN = -1
"""Of a step whose label training never saw: it is in no loss, and always wrong."""
MANY_NUMBERS = 20
"""From so many different fractional labels on, they are taken for measurements and not for names of classes."""


@dataclass(frozen=True)
class Targets:
    """What is asked, and how labels become numbers.

    kind     class, labels (any number of several), ordinal (classes in order), number, or steps (a label each)
    classes  their names, sorted (ordinal: by value); none for a number
    counts   how often each stood in training
    center, spread  mean and deviation of a number in training
    spans    steps: labels mark spans
    strict   spans: in training I-x stood after B-x or I-x alone
    """

    kind: Kind
    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    center: float = 0.0
    spread: float = 1.0
    spans: bool = False
    strict: bool = True

    @classmethod
    def fit(cls, labelled: Labelled, rows: NDArray[np.int64], kind: str, spans: bool | None = None) -> "Targets":
        """From the training labels alone. kind: "auto" decides by them. Raises :class:`DataError`."""
        chosen = labelled.select(rows)
        labels = [label for label in chosen.labels if label is not None]
        if not labels:
            raise DataError("no training sequence has a label, so there is nothing to learn from")
        if kind == "steps":
            names, counts = np.unique(np.concatenate([np.array(one, str) for one in labels]), return_counts=True)
            marked = any(name[:2] in ("B-", "I-") for name in names.tolist()) if spans is None else spans
            if marked:
                _check_spans(names.tolist(), asked=spans is not None)
            strict = not marked or all(map(_is_strict, labels))
            return cls._several("steps", names, counts, spans=marked, strict=strict)
        kind = _kind(labels) if kind == "auto" else kind
        if kind in ("number", "ordinal"):
            values = np.array([_number(label, place) for label, place in _placed(chosen)])
            if kind == "number":
                spread = float(values.std())
                if values.min() == values.max() or not spread > 0:  # of equal numbers the deviation may be 1e-17
                    raise DataError(f"every training label is {values[0]:g}: there is nothing to tell apart")
                return cls("number", center=float(values.mean()), spread=spread)
            names, counts = np.unique(values, return_counts=True)
            return cls._several("ordinal", [name_of(value) for value in names.tolist()], counts)
        if kind == "labels":
            split = [part for label in labels for part in _parts(label)]
            if not split:
                raise DataError("no training sequence has any label, so there is nothing to learn from")
            return cls._several("labels", *np.unique(np.array(split, str), return_counts=True))
        found = [_one(label, place) for label, place in _placed(chosen)]
        return cls._several("class", *np.unique(np.array(found, str), return_counts=True))

    @classmethod
    def _several(cls, kind: Kind, names: Any, counts: Any, *, spans: bool = False, strict: bool = True) -> "Targets":
        names = tuple(str(name) for name in names)
        if len(names) < 2 and kind != "labels":
            raise DataError(f'every training label is "{names[0]}": there is nothing to tell apart')
        return cls(kind, names, tuple(int(count) for count in counts), spans=spans, strict=strict)

    @property
    def outputs(self) -> int:
        """Numbers that the network gives for each sequence, or step."""
        return 1 if self.kind in ("number", "ordinal") else len(self.classes)

    def encode(self, labelled: Labelled, *, skip: bool = False) -> list[Any]:
        """Each label as numbers: a class number, 0/1 for each class, a standardised number, or an array of class
        numbers with :data:`UNKNOWN`; None where there is no label.

        Raises :class:`DataError` for a label of a whole sequence that training never saw; ``skip``: None for it.
        """
        code = {name: index for index, name in enumerate(self.classes)}
        made: list[Any] = []
        for label, place in zip(labelled.labels, labelled.places, strict=True):
            if label is None:
                made.append(None)
            elif self.kind == "steps":
                made.append(np.array([code.get(str(one), UNKNOWN) for one in label], np.int64))
            elif self.kind == "number":
                made.append((_number(label, place) - self.center) / self.spread)
            elif skip and any(name not in code for name in self._names(label, place)):
                made.append(None)
            elif self.kind == "labels":
                marks = np.zeros(len(self.classes), np.float32)
                marks[[self._code(part, code, place) for part in self._names(label, place)]] = 1.0
                made.append(marks)
            else:
                made.append(self._code(self._names(label, place)[0], code, place))
        return made

    def _names(self, label: Any, place: str) -> list[str]:
        """The classes that a label of a whole sequence names."""
        if self.kind == "labels":
            return _parts(label)
        return [name_of(_number(label, place)) if self.kind == "ordinal" else _one(label, place)]

    def _code(self, name: str, code: Mapping[str, int], place: str) -> int:
        if name not in code:
            known = ", ".join(self.classes[:8]) + (", …" if len(self.classes) > 8 else "")
            raise DataError(
                f'{place}: the label "{name}" was never seen in training, which has {known}'
                f"{did_you_mean(name, self.classes)}; mend the label, leave the row out, or train on some"
            )
        return code[name]

    def weights(self) -> NDArray[np.float32]:
        """[classes] so that every class counts as much as any other: n / (classes · count), 1 on average over rows."""
        counts = np.maximum(np.array(self.counts, np.float64), 1)
        return (counts.sum() / (len(counts) * counts)).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Targets":
        """The inverse of :meth:`to_dict`."""
        try:
            made = cls(**{**data, "classes": tuple(data["classes"]), "counts": tuple(data["counts"])})
        except (TypeError, KeyError) as error:
            raise ModelFileError(f"the labels of the model are damaged: {error}; train the model anew") from error
        good = made.kind in KINDS and len(made.counts) == len(made.classes) == len(set(made.classes))
        good &= all(isinstance(count, int) and count >= 0 for count in made.counts)
        good &= all(isinstance(one, (int, float)) and math.isfinite(one) for one in (made.center, made.spread))
        good &= bool(made.classes) == (made.kind != "number") and isinstance(made.strict, bool)
        if not good or not made.spread > 0 or not all(isinstance(name, str) for name in made.classes):
            raise ModelFileError("the labels of the model are damaged; train the model anew or take it from a backup")
        return made


def typed(labelled: Labelled, kind: str) -> Labelled:
    """Labels in the form of their kind, so that splits are stratified by what they are and not by how they are written:
    numbers, tuples of several, names of classes. kind: "auto" decides by all of them.

    Where one is no number, all stay as they are: :meth:`Targets.fit` says which.
    """
    labels = [label for label in labelled.labels if label is not None]
    if not labels or kind == "steps":
        return labelled
    kind = _kind(labels) if kind == "auto" else kind

    def one(label: Any, place: str) -> Any:
        if label is None:
            return None
        if kind == "labels":
            return tuple(_parts(label))
        if kind == "class":
            return _one(label, place)
        return _number(label, place) if kind == "number" else name_of(_number(label, place))

    try:
        made = [one(label, place) for label, place in zip(labelled.labels, labelled.places, strict=True)]
    except DataError:
        return labelled
    return replace(labelled, labels=tuple(made))


def _check_spans(names: Sequence[str], *, asked: bool) -> None:
    """Refuse labels that mark no spans before anything is trained on them."""
    for name in names:
        try:
            spans_of([name])
        except DataError as error:
            hint = "leave spans out" if asked else "give spans=false"
            raise DataError(
                f'the label "{name}" marks no span, and others do; expected O, or B-, I- and a kind: mend it, or {hint}'
            ) from error


def _is_strict(labels: Sequence[str]) -> bool:
    """Whether I-x stands after B-x or I-x alone: in IOB1 it begins spans too."""
    pairs = pairwise(["O", *labels])
    return all(not now.startswith("I-") or before in (now, f"B-{now[2:]}") for before, now in pairs)


def _one(label: Any, place: str) -> str:
    """The name of a class."""
    if isinstance(label, (tuple, list)):
        raise DataError(f"{place}: there are {len(label)} labels, expected one (or give target=labels)")
    return str(label)


def name_of(value: float) -> str:
    """A number as the name of a class: 2 for 2.0; no two numbers have the same."""
    return repr(float(value) + 0.0).removesuffix(".0")  # + 0.0: minus zero is zero


def _placed(labelled: Labelled) -> list[tuple[Any, str]]:
    both = zip(labelled.labels, labelled.places, strict=True)
    return [(label, place) for label, place in both if label is not None]


def _parts(label: Any) -> list[str]:
    """Several labels: a tuple, or a cell with separators; an empty cell has none."""
    parts = label if isinstance(label, (tuple, list)) else str(label).split(SEPARATOR)
    return [part for one in parts if (part := str(one).strip())]


def _number(label: Any, place: str) -> float:
    try:
        value = float(label)
    except (TypeError, ValueError):
        value = np.nan
    if not np.isfinite(value):
        raise DataError(f'{place}: the label "{label}" is no number, expected one (or give target=class)')
    return value


def _kind(labels: Sequence[Any]) -> str:
    """Several where labels hold separators, a number where they are many different fractions, else a class. (Fractions
    that :func:`typed` has read as numbers stay numbers, however few are left in one part.)
    """
    if all(type(label) is float for label in labels):
        return "number"
    if any(isinstance(label, (tuple, list)) or SEPARATOR in str(label) for label in labels):
        return "labels"
    names = {str(label) for label in labels}
    try:
        values = [float(name) for name in names]
    except ValueError:
        return "class"
    fractions = sum(value != round(value) for value in values if np.isfinite(value))
    return "number" if len(names) > MANY_NUMBERS and fractions > len(names) / 2 else "class"
