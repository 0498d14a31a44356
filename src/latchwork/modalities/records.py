"""Sequences of measurements: how they are read, what is fitted to the training ones, and what a network gets of them.

Numbers are brought to a common scale, texts become categories. What is missing stays visible: beside the numbers stand
a mask and the time since each was seen last.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import polars as pl
import pydantic
from numpy.typing import NDArray

from latchwork import storage
from latchwork.errors import DataError, ModelFileError, did_you_mean
from latchwork.modalities.source import SourceOptions
from latchwork.modalities.values import to_numbers, to_text, why_no_number
from latchwork.sequences.examples import Encoded, Features, Labelled

KNEE = 5.0
"""Robust deviations from the median up to which a number is taken as it is; beyond, it counts by its logarithm."""

MAX_LEVELS = 64
"""Categories of a column that are told apart; the rarer ones are one unknown category."""

MAX_GAP = 1e6
"""Steps since a number was seen last that are told apart."""

Array = NDArray[np.float64]


Time = Literal["dates", "clock", "numbers", "none"]


class Columns(NamedTuple):
    """The names of what a :class:`Record` holds.

    open   from a table of events, where a variable may be absent
    steps  of a table with a row for each sequence: the columns that its steps are
    time   what tells the time of a step
    """

    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    static_numbers: tuple[str, ...] = ()
    static_texts: tuple[str, ...] = ()
    open: bool = False
    steps: tuple[str, ...] = ()
    time: Time = "none"


class Record(NamedTuple):
    """One sequence as it was read. (A tuple, so that two of them can be compared by a hash of all they hold.)

    times           [steps] since its first step, never decreasing; hours where the file has dates or a clock; None:
                    one step apart
    numbers         [steps, columns.numbers] float64, NaN where missing
    texts           [steps, columns.texts], "" where missing
    static_numbers  [columns.static_numbers], NaN where missing
    static_texts    as columns.static_texts, "" where missing
    """

    columns: Columns
    times: Array | None
    numbers: Array
    texts: NDArray[np.str_]
    static_numbers: Array
    static_texts: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """How long it is."""
        return len(self.numbers)

    def cut(self, start: int, stop: int) -> "Record":
        """Some of its steps, as a sequence of their own."""
        times = None if self.times is None else self.times[start:stop] - self.times[start]
        texts = self.texts[start:stop]
        own = np.array(texts.tolist(), str).reshape(texts.shape)
        return self._replace(times=times, numbers=self.numbers[start:stop], texts=own)


@dataclass(frozen=True)
class Scale:
    """A column of numbers x, fitted: z = (x − centre) / width, y = z up to KNEE and KNEE + log(1 + z − KNEE) beyond it
    (below −KNEE alike), and (y − mean) / deviation is what a network gets.

    centre, width  the median of the training values, and the deviation of a normal distribution with their quartiles
    mean, deviation  of y over the training values: what a network gets has mean 0 and deviation 1 there
    missing        whether training values were missing
    """

    name: str
    centre: float = 0.0
    width: float = 1.0
    mean: float = 0.0
    deviation: float = 1.0
    missing: bool = False

    @classmethod
    def fit(cls, name: str, values: Array) -> "Scale":
        """To [values], NaN where missing; at least one is not. A column without spread gets the width 1."""
        seen = np.sort(np.clip(values[~np.isnan(values)], -1e150, 1e150))  # sorted: the order of rows changes nothing
        centre = float(np.median(seen))
        low, high = np.quantile(seen, (0.25, 0.75))
        least = max(1e-12 * abs(centre), 1e-100)
        missing = len(seen) < len(values)
        wide = ((high - low) / 1.349, float(np.abs(seen - centre).mean()))
        width = next((float(one) for one in wide if one > least), None)
        if width is None:
            return cls(name, centre, missing=missing)
        bent = _bend((seen - centre) / width)
        return cls(name, centre, width, float(bent.mean()), float(bent.std()), missing)


def _bend(z: Array) -> Array:
    """Straight up to the knee, a logarithm beyond it, with the same slope where they meet."""
    far = np.maximum(np.abs(z) - KNEE, 0)
    return np.clip(z, -KNEE, KNEE) + np.sign(z) * np.minimum(np.log1p(far), 1000)


@dataclass(frozen=True)
class Levels:
    """A column of categories, fitted: one flag for each, and one for a category that training never had."""

    name: str
    levels: tuple[str, ...]

    @classmethod
    def fit(cls, name: str, texts: Iterable[str]) -> "Levels":
        """The categories of the training rows, the most frequent ones if there are very many."""
        levels, counts = np.unique([text for text in texts if text], return_counts=True)
        common = np.sort(levels[np.lexsort((levels, -counts))][:MAX_LEVELS])
        return cls(name, tuple(common.tolist()))

    @property
    def names(self) -> tuple[str, ...]:
        """What the flags are called."""
        return (*(f"{self.name}={level}" for level in self.levels), f"{self.name}=?")

    def flags(self, texts: Sequence[str] | NDArray[np.str_]) -> Array:
        """[texts, levels + 1]: zeros where missing."""
        index = {level: place for place, level in enumerate(self.levels)}
        flags = np.zeros((len(texts), len(self.levels) + 1))
        for row, text in enumerate(texts):
            if text:
                flags[row, index.get(str(text), len(self.levels))] = 1
        return flags


@dataclass(frozen=True)
class Records:
    """Sequences of measurements as fitted on training sequences.

    A number becomes what :class:`Scale` says: 0 is the mean of training, and stands where one is missing; a spike of
    any height stays finite and keeps its rank. A category becomes flags.

    Where training values are missing, or the steps are not evenly apart, the mask and the gaps come too:
    δ_0 = 0, δ_t = s_t − s_{t−1} + (0 if seen at t−1 else δ_{t−1}), in units of the median time between two training
    steps (Che et al. 2018, "Recurrent neural networks for multivariate time series with missing values"). What a step
    becomes depends on the steps before it only.

    numbers, categories                the columns of a step
    static_numbers, static_categories  what holds for the whole sequence; a number that was missing in training has a
                                       flag beside it
    masked                             whether mask and gaps are given
    step                               the median time between two training steps
    max_length, keep                   how a longer sequence is cut
    steps                              where a row was a sequence: its columns, in order
    time                               what told the time of a step: other files must have it in the same unit
    """

    __pydantic_config__ = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    kind: ClassVar[str] = "records"

    numbers: tuple[Scale, ...]
    categories: tuple[Levels, ...] = ()
    static_numbers: tuple[Scale, ...] = ()
    static_categories: tuple[Levels, ...] = ()
    masked: bool = False
    step: float = 1.0
    max_length: int | None = None
    keep: Literal["start", "end", "both"] = "start"
    steps: tuple[str, ...] = ()
    time: Time = "none"

    def __post_init__(self) -> None:
        scales = (*self.numbers, *self.static_numbers)
        if not self.numbers and not self.categories:
            raise DataError("no column of numbers or categories is left for a step")
        if self.step <= 0 or any(scale.width <= 0 or scale.deviation <= 0 for scale in scales):
            raise DataError("a scale is not positive")

    @classmethod
    def fit(
        cls, labelled: Labelled, rows: Sequence[int] | NDArray[np.int64], options: SourceOptions | None = None
    ) -> "Records":
        """Fit scales, categories and the median step to the training sequences ``rows``; the others are not looked at.

        A column that has no value in them is left out. Raises :class:`DataError` where none is left.
        """
        options = options or SourceOptions()
        if not len(rows):
            raise DataError("no sequence is left to train on")
        chosen = labelled.select(rows)
        records = _records(chosen)
        numbers, categories = _fit_columns(chosen, "numbers", "texts")
        static_numbers, static_categories = _fit_columns(chosen, "static_numbers", "static_texts")
        if not numbers and not categories:
            raise DataError(f"{chosen.places[0]}: no column has a value in the training sequences")
        found = {one.name for one in (*static_numbers, *static_categories)}
        known = {name for record in records for name in (*record.columns.numbers, *record.columns.texts)}
        for name in options.static:
            if name not in found:
                raise DataError(
                    f'static column "{name}" has no value in the training sequences{did_you_mean(name, known)}'
                )
        first = records[0].columns
        for record, place in zip(records, chosen.places, strict=True):
            if record.columns.time != first.time:
                raise DataError(
                    f"{place}: {_said(record.columns.time)}, and {_hours(first.time)} in other training sequences; "
                    "write all of them alike"
                )
        step, uneven = _median_step(records)
        absent = any(scale.missing for scale in numbers) or any(
            "" in _gather(chosen, levels.name, "numbers", "texts")[1] for levels in categories
        )
        return cls(numbers, categories, static_numbers, static_categories, uneven or absent, step,
                   options.max_length, options.keep, first.steps, first.time)  # fmt: skip

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What the numbers of a step are called, flags included."""
        return (*(scale.name for scale in self.numbers), *(name for levels in self.categories for name in levels.names))

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns of the file that are read."""
        held = (*self.numbers, *self.categories, *self.static_numbers, *self.static_categories)
        return frozenset((*(one.name for one in held), *self.steps))

    @cached_property
    def static_names(self) -> tuple[str, ...]:
        """What the numbers of a whole sequence are called."""
        numbers = [name for one in self.static_numbers for name in (one.name, f"{one.name}=missing")[: 1 + one.missing]]
        return (*numbers, *(name for levels in self.static_categories for name in levels.names))

    @property
    def features(self) -> Features:
        """What :meth:`encode` gives."""
        return Features(numbers=len(self.names), masked=self.masked, static=len(self.static_names))

    def encode(self, labelled: Labelled) -> list[Encoded]:
        """Each sequence in numbers. Raises :class:`DataError` where a column is absent or holds texts for numbers."""
        plans: dict[Columns, tuple[_Plan, _Plan]] = {}
        encoded = []
        for record, place in zip(_records(labelled), labelled.places, strict=True):
            columns = record.columns
            if columns not in plans:
                plans[columns] = (
                    _Plan(columns.numbers, columns.texts, self.numbers, self.categories, columns.open, place),
                    _Plan(columns.static_numbers, columns.static_texts, self.static_numbers, self.static_categories,
                          columns.open, place),
                )  # fmt: skip
                self._check(columns, place)
            if self.steps and columns.steps and columns.steps != self.steps:
                record = _aligned(record, self.steps)
            encoded.append(self._encode(record, place, *plans[columns]))
        return encoded

    def _check(self, columns: Columns, place: str) -> None:
        """Refuse steps, or times, that are others than those of training."""
        if _UNITS[columns.time] != _UNITS[self.time]:
            raise DataError(
                f"{place}: {_said(columns.time)}, and {_were(self.time)} in training; write times as they were there"
            )
        steps = columns.steps
        if not self.steps or not steps or set(steps) == set(self.steps):
            return
        shown = ", ".join(self.steps[:6]) + (", …" if len(self.steps) > 6 else "")
        known = set(self.steps)
        extra = next((name for name in steps if name not in known), None)
        if extra is not None:
            raise DataError(
                f'{place}: the column "{extra}" is no step of the training file ({shown}); take it out of the table'
            )
        bare = all(name.isdigit() for name in self.steps)  # without names the label may be what is lacking
        if bare or steps != self.steps[: len(steps)]:
            lacking = next(name for name in self.steps if name not in steps)
            raise DataError(f'{place}: there is no column "{lacking}", a step of the training file ({shown})')

    def kept(self, length: int) -> NDArray[np.int64]:
        """The steps that are left of a sequence of so many: also those whose labels are left."""
        return np.arange(length)[_kept(length, self.max_length, self.keep)]

    def _encode(self, record: Record, place: str, plan: "_Plan", static_plan: "_Plan") -> Encoded:
        kept = _kept(record.steps, self.max_length, self.keep)
        numbers, seen = plan.encode(record.numbers[kept], record.texts[kept], place)
        mask = gaps = static = None
        if self.masked:
            times = np.arange(record.steps, dtype=np.float64) if record.times is None else record.times
            gaps = np.minimum(elapsed(times[kept], seen) / self.step, MAX_GAP).astype(np.float32)
            mask = seen.astype(np.float32)
        if self.static_names:
            texts = np.array([record.static_texts], str).reshape(1, -1)
            values, there = static_plan.encode(record.static_numbers[None], texts, place)
            parts = []
            for index, scale in enumerate(self.static_numbers):
                parts += [values[0, index], float(not there[0, index])][: 1 + scale.missing]
            static = np.array([*parts, *values[0, len(self.static_numbers) :]], np.float32)
        return Encoded(numbers=numbers.astype(np.float32), mask=mask, gaps=gaps, static=static)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return _ADAPTER.dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> "Records":
        """The inverse of :meth:`to_dict`; raises :class:`ModelFileError` naming the field that is wrong."""
        try:
            return _ADAPTER.validate_json(json.dumps(dict(data)))
        except pydantic.ValidationError as error:
            raise storage.wrong_field(error, "the records part of the model file") from error
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"the records part of the model file is damaged: {error}") from error

    def files(self) -> dict[str, bytes]:
        """No files beside the JSON."""
        return {}


_ADAPTER = pydantic.TypeAdapter(Records)


_UNITS = {"dates": "hours", "clock": "hours", "numbers": "numbers", "none": "none"}


def _said(time: Time) -> str:
    return "there are no times of steps" if time == "none" else f"the times are {_hours(time)}"


def _were(time: Time) -> str:
    return "there were none" if time == "none" else f"they were {_hours(time)}"


def _hours(time: Time) -> str:
    return {"dates": "dates", "clock": "hours and minutes"}.get(time, time)


def _aligned(record: Record, steps: tuple[str, ...]) -> Record:
    """The steps of a row in another order of columns; without the empty ones at the end."""
    held = np.full((len(record.columns.steps), record.numbers.shape[1]), np.nan)
    held[: record.steps] = record.numbers
    at = {name: place for place, name in enumerate(record.columns.steps)}
    moved = held[[at[name] for name in steps if name in at]]
    length = int(np.flatnonzero(~np.isnan(moved).all(axis=1))[-1]) + 1
    return record._replace(numbers=moved[:length], texts=np.zeros((length, 0), str))


def elapsed(times: Array, seen: NDArray[np.bool_]) -> Array:
    """[steps, features] time since each feature was seen last, before this step; since the first step if never."""
    if not len(times):
        return np.zeros(seen.shape)
    last = np.where(seen, times[:, None], -np.inf)
    last = np.maximum.accumulate(last, axis=0)
    before = np.concatenate([np.full((1, seen.shape[1]), -np.inf), last[:-1]])
    return times[:, None] - np.where(np.isinf(before), times[0], before)


class _Plan:
    """Where the fitted columns are found in records with the same columns."""

    def __init__(self, numbers: tuple[str, ...], texts: tuple[str, ...], scales: tuple[Scale, ...],
                 categories: tuple[Levels, ...], is_open: bool, place: str) -> None:  # fmt: skip
        held = (*numbers, *texts)
        lacking = [one.name for one in (*scales, *categories) if one.name not in held]
        if lacking and not is_open:
            raise DataError(
                f'{place}: there is no column "{lacking[0]}", which the training file had'
                f"{did_you_mean(lacking[0], held)}"
            )
        self.scales, self.categories = scales, categories
        self.number_at = {name: place for place, name in enumerate(numbers)}
        self.text_at = {name: place for place, name in enumerate(texts)}
        self.source = np.array([self.number_at.get(scale.name, -1) for scale in scales], np.int64)
        self.parsed = [(at, self.text_at[one.name]) for at, one in enumerate(scales) if one.name in self.text_at]
        self.centre, self.width, self.mean, self.deviation = (
            np.array([getattr(scale, name) for scale in scales]) for name in ("centre", "width", "mean", "deviation")
        )

    def encode(self, numbers: Array, texts: NDArray[np.str_], place: str) -> tuple[Array, NDArray[np.bool_]]:
        """[steps, features] numbers, 0 where missing, and whether each was seen."""
        raw = np.full((len(numbers), len(self.scales)), np.nan)
        have = self.source >= 0
        raw[:, have] = numbers[:, self.source[have]]
        for at, column in self.parsed:
            raw[:, at] = _parse(texts[:, column], self.scales[at].name, place)
        seen = ~np.isnan(raw)
        with np.errstate(over="ignore"):
            bent = _bend((np.clip(raw, -1e150, 1e150) - self.centre) / self.width)
        parts, masks = [np.where(seen, (bent - self.mean) / self.deviation, 0.0)], [seen]
        for levels in self.categories:
            if levels.name in self.text_at:
                own = texts[:, self.text_at[levels.name]].tolist()
            elif levels.name in self.number_at:
                own = [to_text(float(value)) or "" for value in numbers[:, self.number_at[levels.name]]]
            else:
                own = [""] * len(numbers)
            parts.append(levels.flags(own))
            masks.append(np.repeat(np.array([text != "" for text in own], bool)[:, None], len(levels.names), axis=1))
        return np.concatenate(parts, axis=1), np.concatenate(masks, axis=1)


def _records(labelled: Labelled) -> tuple[Record, ...]:
    for content, place in zip(labelled.content, labelled.places, strict=True):
        if not isinstance(content, Record):
            raise DataError(f"{place}: expected a sequence of measurements, got {type(content).__name__}")
    return labelled.content


def _parse(texts: NDArray[np.str_], name: str, place: str) -> Array:
    values, bad = to_numbers(pl.Series(texts.tolist(), dtype=pl.String))
    if bad.any():
        text = str(texts[int(np.flatnonzero(bad)[0])])
        raise DataError(
            f'{place}: column "{name}" holds "{text}", where the training sequences had numbers; {why_no_number(text)}'
        )
    return values


def _fit_columns(
    chosen: Labelled, numbers: Literal["numbers", "static_numbers"], texts: Literal["texts", "static_texts"]
) -> tuple[tuple[Scale, ...], tuple[Levels, ...]]:
    """Every column that has a training value. One that only other sequences have texts in is a column of numbers."""
    names: list[str] = []
    for record in chosen.content:
        columns: Columns = record.columns
        names += [name for name in (*getattr(columns, numbers), *getattr(columns, texts)) if name not in names]
    if any(record.columns.open for record in chosen.content):
        names.sort()  # where a variable first turns up would depend on rows that are not for training
    scales, categories = [], []
    for name in names:
        values, words = _gather(chosen, name, numbers, texts)
        if any(words):
            parsed, bad = to_numbers(pl.Series(words, dtype=pl.String))
            if bad.any():
                words += [to_text(value) or "" for value in values.tolist()]
                categories.append(Levels.fit(name, words))
                continue
            values = np.concatenate([values, parsed])
        if not np.isnan(values).all():
            scales.append(Scale.fit(name, values))
    return tuple(scales), tuple(categories)


def _gather(chosen: Labelled, name: str, numbers: str, texts: str) -> tuple[Array, list[str]]:
    """Every value of one column: numbers, and texts where it holds texts."""
    values, words = [np.zeros(0)], []
    for record, place in zip(chosen.content, chosen.places, strict=True):
        columns: Columns = record.columns
        if name in getattr(columns, numbers):
            values.append(np.atleast_2d(getattr(record, numbers))[:, getattr(columns, numbers).index(name)])
        elif name in getattr(columns, texts):
            held = getattr(record, texts)
            at = getattr(columns, texts).index(name)
            words += [held[at]] if isinstance(held, tuple) else held[:, at].tolist()
        elif columns.open:
            values.append(np.array([np.nan]))
        else:
            raise DataError(f'{place}: there is no column "{name}", which other training sequences have')
    return np.concatenate(values), words


def _median_step(records: Sequence[Record]) -> tuple[float, bool]:
    """The median time between two steps (of those that are not at once), and whether they are not evenly apart."""
    gaps = np.concatenate(
        [np.zeros(0)] + [np.ones(max(one.steps - 1, 0)) if one.times is None else np.diff(one.times) for one in records]
    )
    if not len(gaps) or not (gaps > 0).any():
        return 1.0, False
    step = float(np.median(gaps[gaps > 0]))
    return step, bool(np.ptp(gaps) > 1e-6 * step)


def _kept(steps: int, limit: int | None, keep: str) -> slice | NDArray[np.int64]:
    """Which steps of a long sequence are kept."""
    if limit is None or steps <= limit:
        return slice(None)
    if keep == "both":
        first = limit // 4
        return np.concatenate([np.arange(first), np.arange(steps - limit + first, steps)])
    return slice(0, limit) if keep == "start" else slice(steps - limit, None)
