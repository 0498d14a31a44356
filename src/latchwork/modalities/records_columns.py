"""What the columns of a table of measurements hold: the sequence of a row, its time, numbers, categories, labels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError, did_you_mean
from latchwork.modalities.dates import BadStamp, to_stamps
from latchwork.modalities.records import Array, Columns, Record, Time
from latchwork.modalities.records_files import Rows, load_rows
from latchwork.modalities.source import SourceOptions
from latchwork.modalities.text_values import as_label, as_part, not_twice
from latchwork.modalities.values import to_numbers, to_texts, why_no_number
from latchwork.sequences.examples import Labelled, Part

FEW = 0.1
"""A column in which at most this share of the values is no number is a column of numbers with mistakes in it."""

MAX_TEXT = 200
_CLOCK = re.compile(r"[0-9]{1,5}:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?")
_HOUR = 3_600_000_000_000
_DAYS = 10_000


def need(rows: Rows, column: str, role: str) -> pl.Series:
    """A column of the table. Raises :class:`DataError` where it is absent."""
    if column not in rows.frame.columns:
        shown = ", ".join(rows.frame.columns[:12]) + (", …" if rows.frame.width > 12 else "")
        raise DataError(
            f'{rows.name}: there is no column "{column}" ({role}){did_you_mean(column, rows.frame.columns)} '
            f"(columns: {shown})"
        )
    return rows.frame[column]


def label_column(rows: Rows, options: SourceOptions, labelled: bool) -> str | None:
    """The column of the labels: the one that is named, the one that the file names, or "label"; None without one.

    Where the labels are in a file of their own, a column of that name is one like others.
    """
    if options.labels is not None:
        return None
    if options.label is not None and labelled:
        need(rows, options.label, "label")
    name = options.label or rows.label or "label"
    return name if name in rows.frame.columns else None


def numbers_or_texts(rows: Rows, column: str, role: str, options: SourceOptions) -> Array | list[str]:
    """[rows] numbers with NaN where missing, or texts with "" where missing: a column of texts holds categories.

    Raises :class:`DataError` where few values of a column of numbers are none, or one is infinite.
    """
    series = need(rows, column, role)
    if series.dtype.is_nested() or series.dtype == pl.Object:
        raise DataError(f'{rows.name}: column "{column}" holds lists; expected one value in each cell')
    if series.dtype.is_temporal():
        raise DataError(f'{rows.name}: column "{column}" holds dates; name it with time=, or leave it out with ignore=')
    values, bad = to_numbers(series)
    if not bad.any():
        return finite(values, options.missing, lambda row: f'{rows.place(row)}: column "{column}"')
    first = int(np.flatnonzero(bad)[0])
    if bad.sum() <= FEW * np.count_nonzero(bad | ~np.isnan(values)):
        text = str(series[first])
        raise DataError(
            f'{rows.place(first)}: column "{column}" holds "{text[:40]}" where others hold numbers; '
            f"{why_no_number(text)}"
        )
    return categories(series, lambda row: f'{rows.place(row)}: column "{column}"')


def finite(values: Array, missing: float | None, place: Any) -> Array:
    """The numbers, with NaN for the one that means "not measured"; infinite ones are refused."""
    infinite = np.isinf(values)
    if infinite.any():
        row = int(np.flatnonzero(infinite)[0])
        raise DataError(f"{place(row)} holds {values[row]}, expected a finite number; leave the cell empty")
    if missing is not None:
        values[values == missing] = np.nan
    return values


def categories(series: pl.Series, place: Any) -> list[str]:
    """[rows] short texts, "" where missing (the empty ones only: NA may be a country)."""
    texts = to_texts(series).str.strip_chars().fill_null("").to_list()
    long = next((row for row, text in enumerate(texts) if len(text) > MAX_TEXT), None)
    if long is not None:
        raise DataError(
            f"{place(long)} holds a text of {len(texts[long])} characters; a category has at most {MAX_TEXT}; "
            "leave the column out with ignore="
        )
    return texts


def coded(texts: pl.Series) -> tuple[list[str], NDArray[np.int64]]:
    """The texts that there are, sorted, and [rows] which of them each is."""
    values = texts.unique().sort()
    return values.to_list(), texts.cast(pl.Enum(values)).to_physical().cast(pl.Int64).to_numpy()


@dataclass(frozen=True)
class Times:
    """values: hours for dates (since 1970) and clocks, or the numbers of the file; ``absolute`` where they tell which
    of two sequences came first; ``clock`` where what follows 23:59 may be written 00:00."""

    values: Array
    absolute: bool
    kind: Time
    clock: bool = False


def read_times(rows: Rows, column: str) -> Times:
    """A column of times: all numbers, all hours and minutes, or all dates. Raises :class:`DataError`."""
    series = need(rows, column, "time")
    if series.dtype in (pl.Time, pl.Duration):
        share = _HOUR if series.dtype == pl.Time else _HOUR / 1000
        values = finite((series.cast(pl.Int64).cast(pl.Float64) / share).fill_null(np.nan).to_numpy().copy(), None, str)
        if np.isnan(values).any():
            row = int(np.flatnonzero(np.isnan(values))[0])
            raise DataError(f'{rows.place(row)}: column "{column}" is empty; every row wants a time')
        return Times(values, False, "clock", series.dtype == pl.Time)

    def where(row: int) -> str:
        return f'{rows.place(row)}: column "{column}"'

    texts = series if series.dtype.is_temporal() else to_texts(series).str.strip_chars()
    empty = texts.is_null() | (False if texts.dtype != pl.String else texts == "")
    if empty.any():
        raise DataError(f"{where(int(empty.arg_true()[0]))} is empty; every row wants a time")
    if texts.dtype == pl.String:
        clocks = texts.str.contains(rf"^{_CLOCK.pattern}$")
        if clocks.any():
            if not clocks.all():
                row = int((~clocks).arg_true()[0])
                raise DataError(
                    f'{where(row)} holds "{texts[row]}"; expected hours and minutes like 13:05, as in other rows'
                )
            return Times(_hours(texts), False, "clock", True)
        numbers, bad = to_numbers(texts)
        if not bad.any() and not np.isnan(numbers).any():
            whole = bool((numbers == np.round(numbers)).all() and (np.abs(numbers) < 2**53).all())
            if not whole:
                return Times(finite(numbers, None, where), True, "numbers")
            texts = pl.Series(numbers.astype(np.int64))  # 20241231 may be a date
    try:
        stamps = to_stamps(texts)
    except BadStamp as error:
        hint = error.why.replace(", or give date_format=", ", a number, or hours and minutes like 13:05")
        raise DataError(f"{where(error.row)} {hint}") from error
    return Times(stamps.times / (_HOUR if stamps.dates else 1.0), True, "dates" if stamps.dates else "numbers")


def _refuse_midnight(rows: Rows, column: str, times: Times, owner: NDArray[np.int64]) -> None:
    """Refuse a clock that went past midnight: sorted, the morning would stand before the evening.

    In the order of the file such times go back by more than half a day, or once, to a time before their first.
    """
    order = np.argsort(owner, kind="stable")
    values, owner = times.values[order], owner[order]
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    ends = np.append(starts[1:], len(owner)) - 1
    drop = np.append(0.0, values[:-1] - values[1:])
    drop[starts] = 0.0
    once = (np.add.reduceat((drop > 0).astype(np.int64), starts) == 1) & (values[ends] < values[starts])
    counts = np.diff(np.append(starts, len(owner)))
    one_day = np.repeat(np.maximum.reduceat(values, starts) < 24, counts)
    past = np.flatnonzero((drop > 0) & one_day & ((drop > 12) | np.repeat(once, counts)))
    if len(past):
        row, before = int(order[past[0]]), int(order[past[0] - 1])
        texts = to_texts(need(rows, column, "time"))
        raise DataError(
            f'{rows.place(row)}: column "{column}" goes back from {texts[before]} to {texts[row]}; past midnight '
            "write dates, or 24:00, 24:30, …; else sort the rows by time"
        )


def _hours(texts: pl.Series) -> Array:
    parts = texts.str.split_exact(":", 2).struct.unnest()
    hours = np.zeros(len(texts))
    for name, share in zip(parts.columns, (1, 60, 3600), strict=True):
        hours += parts[name].cast(pl.Float64).fill_null(0).to_numpy() / share
    return hours


# Rows in order


@dataclass(frozen=True)
class Ordered:
    """The rows of a table, by sequence and then by time; rows of the same time stay as in the file.

    rows      the table
    names     of the sequences
    order     [rows] the row of the table
    starts    [sequences] where each begins in ``order``
    times     [rows] in this order; None: one step apart
    absolute  whether times tell which of two sequences came first
    kind      what tells the times
    """

    rows: Rows
    names: tuple[str, ...]
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    times: Array | None
    absolute: bool
    kind: Time = "none"

    @property
    def owner(self) -> NDArray[np.int64]:
        """[rows] the sequence of each."""
        counts = np.diff(np.append(self.starts, len(self.order)))
        return np.repeat(np.arange(len(self.names)), counts)

    @property
    def places(self) -> tuple[str, ...]:
        """Where each sequence begins, for people."""
        first = np.minimum.reduceat(self.order, self.starts)
        return tuple(self.rows.place(int(row)) for row in first)

    def texts(self, column: str, role: str) -> list[str]:
        """[sequences] what a column says of the whole sequence, "" where nothing.

        Raises :class:`DataError` naming two rows of one sequence that say different things.
        """
        series = to_texts(need(self.rows, column, role)).str.strip_chars().fill_null("")
        values, codes = coded(series)
        codes = codes[self.order]
        given = np.array([value != "" for value in values])[codes]
        low = np.minimum.reduceat(np.where(given, codes, len(values)), self.starts)
        high = np.maximum.reduceat(np.where(given, codes, -1), self.starts)
        wrong = np.flatnonzero((high >= 0) & (low != high))
        if len(wrong):
            at = int(wrong[0])
            mine = np.flatnonzero(self.owner == at)
            one, two = (int(self.order[mine[codes[mine] == code][0]]) for code in (low[at], high[at]))
            raise DataError(
                f'{self.rows.place(max(one, two))}: the {role} of "{self.names[at]}" is "{series[max(one, two)]}", '
                f'but "{series[min(one, two)]}" at {self.rows.place(min(one, two))}; '
                f"expected the same in all rows of one {'id' if self.rows.files is None else 'sequence'}"
            )
        return [values[code] if code >= 0 else "" for code in high]


def in_order(rows: Rows, options: SourceOptions) -> Ordered:
    """Which sequence each row is of, and its time."""
    count = len(rows.frame)
    if options.id is not None and (options.id in rows.frame.columns or rows.files is None):
        ids = to_texts(need(rows, options.id, "id")).str.strip_chars()
        empty = ids.is_null() | (ids == "")
        if empty.any():
            row = int(empty.arg_true()[0])
            raise DataError(f'{rows.place(row)}: the id (column "{options.id}") is empty; every row wants one')
        index: dict[str, int] = {}
        owner = np.array([index.setdefault(name, len(index)) for name in ids.to_list()], np.int64)
        names = tuple(index)
    elif rows.files is not None:
        names, owner = rows.stems, rows.files
    else:
        names, owner = (Path(rows.name).name.partition(".")[0] or "1",), np.zeros(count, np.int64)
    times = read_times(rows, options.time) if options.time is not None else None
    if times is not None and times.clock:
        _refuse_midnight(rows, options.time or "", times, owner)
    keys = (owner,) if times is None else (times.values, owner)
    order = np.lexsort(keys)
    starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
    return Ordered(rows, names, order, starts, None if times is None else times.values[order],
                   times is not None and times.absolute, "none" if times is None else times.kind)  # fmt: skip


# What is said of whole sequences


@dataclass(frozen=True)
class About:
    """labels, groups and parts, one for each sequence."""

    labels: tuple[Any, ...]
    groups: tuple[str, ...] | None
    parts: tuple[Part | None, ...] | None


def about(ordered: Ordered, label: str | None, options: SourceOptions, source: Any, labelled: bool) -> About:
    """What the table, or the file of labels, says of each sequence; ``label``: the column in the table."""
    other = None if options.labels is None or not labelled else _Elsewhere.load(options, source, ordered.names)

    def read(column: str, role: str) -> list[str]:
        if column in ordered.rows.frame.columns or other is None:
            return ordered.texts(column, role)
        return other.texts(column, role, ordered.names)

    def asked(column: str | None) -> bool:
        held = column in ordered.rows.frame.columns or (other is not None and column in other.rows.frame.columns)
        return column is not None and (labelled or held)

    groups: tuple[str, ...] | None = None
    parts: tuple[Part | None, ...] | None = None
    if options.group is not None and asked(options.group):
        groups = tuple(read(options.group, "group"))
        lacking = next((name for name, group in zip(ordered.names, groups, strict=True) if not group), None)
        if lacking is not None:
            raise DataError(f'{ordered.rows.name}: "{lacking}" has no group (column "{options.group}")')
    if options.split is not None and asked(options.split):
        given = read(options.split, "split")
        parts = tuple(as_part(text, place) if text else None for text, place in zip(given, ordered.places, strict=True))
    labels: tuple[Any, ...] = (None,) * len(ordered.names)
    if other is not None:
        labels = tuple(other.texts(other.label, "label", ordered.names))
    elif label is not None:
        labels = tuple(ordered.texts(label, "label"))
    return About(tuple(as_label(text or None, "") for text in labels), groups, parts)


def labels_path(options: SourceOptions, source: Any) -> Path | None:
    """The file of labels: as it is named, or beside or inside the source."""
    if options.labels is None:
        return None
    path = Path(options.labels).expanduser()
    if not path.exists() and not path.is_absolute() and isinstance(source, (str, Path)):
        near = Path(source).expanduser()
        return next((one for one in (near / path, near.parent / path) if one.exists()), path)
    return path


@dataclass(frozen=True)
class _Elsewhere:
    """A file with the labels of the sequences, by their ids."""

    rows: Rows
    index: dict[str, int]
    label: str

    @classmethod
    def load(cls, options: SourceOptions, source: Any, names: Sequence[str]) -> "_Elsewhere":
        if options.id is None:
            raise ConfigError("a file of labels (labels=) wants id=: the column of the sequence's name in it")
        rows = load_rows(labels_path(options, source), SourceOptions(id=options.id))
        ids = to_texts(need(rows, options.id, "id")).str.strip_chars().fill_null("").to_list()
        not_twice(ids, [rows.place(row) for row in range(len(ids))])
        index = {name: row for row, name in enumerate(ids)}
        if not index.keys() & set(names):
            raise DataError(f'{rows.name}: none of its ids ("{ids[0]}", …) is one of the sequences\' ("{names[0]}", …)')
        label, others = options.label, [column for column in rows.frame.columns if column != options.id]
        if label is None:
            label = "label" if "label" in others else others[0] if len(others) == 1 else None
        if label is None:
            raise DataError(f"{rows.name}: has several columns ({', '.join(others)}); say which with label=")
        need(rows, label, "label")
        return cls(rows, index, label)

    def texts(self, column: str, role: str, names: Sequence[str]) -> list[str]:
        values = to_texts(need(self.rows, column, role)).str.strip_chars().fill_null("").to_list()
        return [values[self.index[name]] if name in self.index else "" for name in names]


# Sequences from columns


def static_of(
    ordered: Ordered, options: SourceOptions, names: Sequence[str]
) -> tuple[Columns, list[tuple[Array, tuple[str, ...]]]]:
    """What columns of the table hold for each whole sequence: the names of numbers and texts, and their values."""
    numbers: dict[str, Array] = {}
    texts: dict[str, list[str]] = {}
    for name in names:
        kind = numbers_or_texts(ordered.rows, name, "static", options)
        own = ordered.texts(name, "static")
        if isinstance(kind, list):
            texts[name] = own
        else:
            values = to_numbers(pl.Series(own, dtype=pl.String))[0]
            numbers[name] = finite(values, options.missing, lambda _: ordered.rows.name)
    columns = Columns(static_numbers=tuple(numbers), static_texts=tuple(texts), time=ordered.kind)
    each = [
        (np.array([column[at] for column in numbers.values()]), tuple(column[at] for column in texts.values()))
        for at in range(len(ordered.names))
    ]
    return columns, each


def text_matrix(columns: Sequence[Sequence[str]], steps: int) -> NDArray[np.str_]:
    """[steps, columns], as wide as its own longest text: equal sequences are equal, whatever else is in a file."""
    return np.array([list(column) for column in columns], str).reshape(len(columns), steps).T


def period_of(times: Array, period: float) -> Array:
    """Which period each time is in; a time that is a hair before the next one is in the next one."""
    return np.floor(times / period + 1e-9)


def finish(ordered: Ordered, content: Sequence[Record], said: About) -> Labelled:
    """The sequences with all that is said of them."""
    order = None
    if ordered.times is not None and ordered.absolute:
        first = ordered.times[ordered.starts]
        order = first if len(np.unique(first)) > 1 else None
    return Labelled(
        content=tuple(content), labels=said.labels, ids=ordered.names, places=ordered.places, groups=said.groups,
        parts=said.parts, order=order, sha256=ordered.rows.sha256,
    )  # fmt: skip
