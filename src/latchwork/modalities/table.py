"""The table modality: files of rows become series on a grid, and live rows become the very same, one at a time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pydantic
from numpy.typing import NDArray

from latchwork import storage
from latchwork.errors import ConfigError, DataError, ModelFileError
from latchwork.modalities.calendar_features import calendar_matrix, calendar_names, years
from latchwork.modalities.dates import write_stamp
from latchwork.modalities.frequency import Frequency, median_gap, named
from latchwork.modalities.season import detect_season, spread
from latchwork.modalities.table_ahead import future_matrix, read_ahead, stamps_ahead
from latchwork.modalities.table_encode import Array, Encoder, fit_category, fit_number, join
from latchwork.modalities.table_raw import Known, RawTable
from latchwork.modalities.table_read import read
from latchwork.modalities.table_row import EncodedRow, RowState, encode_row, long_rows, row_id, state_after
from latchwork.modalities.table_schema import TableOptions
from latchwork.sequences import Column, Kind, Role, Series


@dataclass(frozen=True)
class Table:
    """A table as fitted on training rows: what every later file and every live row is read and encoded with.

    options      how the table is read
    encoders     the past, future and static columns, with their scale or categories
    frequency    the grid; for irregular rows ``n`` is the median gap of the training rows
    season       rows after which the training rows repeat, 1 if they don't
    dates        whether times are dates; whole numbers otherwise
    date_format  of dates that are not written year first
    year         mean and standard deviation of the training years, for the calendar feature of that name
    """

    __pydantic_config__ = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    options: TableOptions
    encoders: tuple[Encoder, ...]
    frequency: Frequency
    season: int
    dates: bool
    date_format: str | None = None
    year: tuple[float, float] = (0.0, 1.0)
    has_id: bool = True
    has_time: bool = True

    def __post_init__(self) -> None:
        if self.season < 1:
            raise ConfigError(f"season is {self.season}, expected at least 1")
        if self.year[1] <= 0 or any(encoder.sd <= 0 for encoder in self.encoders):
            raise ConfigError("a scale is not positive")

    @classmethod
    def fit(cls, raw: RawTable, options: TableOptions | None = None, until: Mapping[str, int] | None = None) -> "Table":
        """Fix scales, categories, flags and season from the training rows.

        options  those that ``raw`` was read with; only ``season`` and ``calendar`` may differ
        until    for each id, how many rows of its series train (rows of :meth:`series`: the missing ones count, see
                 ``raw.lengths``); 0 for a series held back; None: all rows train. The grid itself is that of the file.
        """
        options = options or raw.options
        if replace(options, season=raw.options.season, calendar=raw.options.calendar) != raw.options:
            raise ConfigError("the table was read with other options; read it again with these")
        if options.calendar and not raw.dates:
            raise ConfigError(
                f'calendar features want dates, but column "{options.time}" holds whole numbers; leave calendar empty'
            )
        limit = _limits(raw, until)
        train = raw.index < np.repeat(limit, raw.counts)
        if not train.any():
            raise DataError(f"{raw.name}: no row is left to train on; give until= more rows")
        gaps = bool(np.minimum(limit, raw.grid_rows).sum() > np.count_nonzero(train))
        year = (0.0, 1.0)
        if "year" in options.calendar:
            seen = years(raw.times[train])
            year = (float(seen.mean()), float(seen.std()) or 1.0)
        frequency = raw.frequency
        if frequency.unit == "row":
            inside = train[1:] & (np.diff(raw.index) == 1)
            inside[raw.starts[1:] - 1] = False
            frequency = replace(frequency, n=median_gap(np.diff(raw.times)[inside]))
        return cls(
            options=options,
            encoders=tuple(
                _fit_column(raw, name, role, limit, train, gaps)
                for role in ("past", "future", "static")
                for name in options.roles[role]
            ),
            frequency=frequency,
            season=options.season or _season(raw, limit, options),
            dates=raw.dates, date_format=raw.date_format, year=year, has_id=raw.has_id, has_time=raw.has_time,
        )  # fmt: skip

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The columns to forecast; in a wide table there is one, ``y``."""
        return ("y",) if self.options.wide else self.options.targets

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every column that is used, with its part, kind and categories."""
        return (*(Column(name, "target") for name in self.targets), *(encoder.column for encoder in self.encoders))

    def features(self, role: Role) -> tuple[str, ...]:
        """What the columns of ``Series.target``, ``.past``, ``.future`` or ``.static`` are called."""
        if role == "target":
            return self.targets
        names = tuple(name for encoder in self.of(role) for name in encoder.names)
        if role == "past" and self.frequency.unit == "row":
            names += ("gap",)
        return names + calendar_names(self.options.calendar) if role == "future" else names

    def of(self, role: Role) -> tuple[Encoder, ...]:
        """The encoders of the columns of one part."""
        return tuple(encoder for encoder in self.encoders if encoder.column.role == role)

    @property
    def known(self) -> Known:
        """What another file must agree with."""
        kinds: dict[str, Kind] = {encoder.column.name: encoder.column.kind for encoder in self.encoders}
        return Known(kinds, self.dates, self.date_format, self.frequency, self.has_id, self.has_time)

    def read(self, source: Any) -> RawTable:
        """Read another file as the training file was read. Raises :class:`DataError` where it does not fit."""
        return read(source, self.options, known=self.known)

    def series(self, raw: RawTable) -> list[Series]:
        """Every series on its grid: rows that are missing in the file are there, with NaN targets.

        ``target`` is in the units of the file; ``past``, ``future`` and ``static`` are encoded and finite.
        """
        if raw.frequency != self.frequency:
            raw = raw.on(self.frequency)
        if raw.dates != self.dates:
            kind, trained = ("dates", "whole numbers") if raw.dates else ("whole numbers", "dates")
            raise DataError(f'{raw.name}: column "{self.options.time}" holds {kind}, the training file had {trained}')
        ends = np.cumsum(raw.grid_rows)
        begins = ends - raw.grid_rows
        rows = int(ends[-1])
        place = raw.index + np.repeat(begins, raw.counts)
        step = np.arange(rows) - np.repeat(begins, raw.grid_rows)
        times = np.zeros(rows, np.int64)
        if self.frequency.unit == "row":
            times[place] = raw.times
        else:
            times = self.frequency.at(np.repeat(raw.times[raw.starts], raw.grid_rows), step)
        target = np.full((rows, len(self.targets)), np.nan)
        target[place] = np.stack([raw.numbers[name] for name in self.targets], axis=1)
        past, future = (self._on_grid(raw, role, place, rows) for role in ("past", "future"))
        if self.frequency.unit == "row":
            past = join([past, self.gap(np.where(step > 0, np.diff(times, prepend=0), 0))[:, None]], rows)
        future = join([future, self.calendar(times)], rows)
        static = join((e.encode(_first(raw, e)) for e in self.of("static")), len(raw.ids))
        return [
            Series(name, times[b:e], target[b:e], past[b:e], future[b:e], static[i])
            for i, (name, b, e) in enumerate(zip(raw.ids, begins.tolist(), ends.tolist(), strict=True))
        ]

    def _on_grid(self, raw: RawTable, role: Role, place: NDArray[np.int64], rows: int) -> Array:
        encoders = self.of(role)
        if not encoders:
            return np.zeros((rows, 0))
        matrix = np.tile(np.concatenate([encoder.missing for encoder in encoders]), (rows, 1))
        matrix[place] = join((encoder.encode(_raw_column(raw, encoder)) for encoder in encoders), len(raw))
        return matrix

    def calendar(self, times: NDArray[np.int64]) -> Array:
        """[rows, calendar columns] of some stamps."""
        return calendar_matrix(times, self.options.calendar, self.year)

    def gap(self, elapsed: NDArray[np.int64]) -> Array:
        """log(1 + time since the last row, in median gaps); 0 for the first row of a series."""
        return np.log1p(elapsed / self.frequency.n)

    def read_future(self, source: Any) -> RawTable:
        """Read a table of future covariates (id, time and the future columns; targets are not wanted)."""
        return read_ahead(self, source)

    def times_ahead(self, series: Series, horizon: int, future: RawTable | None = None) -> NDArray[np.int64]:
        """[horizon] the stamps that a forecast made after the last observed row speaks of.

        Rows of the series after ``series.observed`` come first, then the grid goes on. Irregular series take the
        stamps of ``future`` where given, or go on by the median gap.
        """
        return stamps_ahead(self, series, horizon, future)

    def future_frame(self, series: Series, horizon: int, future: Any = None) -> Array:
        """[horizon, future] what is known of the steps after the last observed row, encoded.

        Rows of the series after ``series.observed`` are used first; what lies beyond comes from the calendar and from
        ``future``: a path or frame with id, time and the future columns, or what :meth:`read_future` made of it (do
        that once for many series). Raises :class:`DataError` naming the series, stamps and columns that are missing.
        """
        return future_matrix(self, series, horizon, future)

    def long_rows(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A live row of a wide table as one row for each series; any other row as it is."""
        return long_rows(self, row)

    def row_id(self, row: Mapping[str, Any]) -> str:
        """The series that a live row belongs to: what to look its state up by."""
        return row_id(self, row)

    def row(self, row: Mapping[str, Any], state: RowState | None = None) -> tuple[str, list[EncodedRow], RowState]:
        """One live row (from JSON, or the texts of a csv line): its id, the rows to push, the state after it.

        state  of that series, None for a new one: from an earlier call, or from :meth:`row_state`. It is a value and
               stays as it is, also when this raises.

        The rows are what :meth:`series` holds for the same file: a gap in the grid gives rows without values before
        the row itself. Raises :class:`DataError` for a row that can't be used and :class:`StateError` for one that
        comes too early, twice, or more than 10,000 steps too late.
        """
        return encode_row(self, row, state)

    def row_state(self, series: Series) -> RowState:
        """The state after the rows of a series, from which live rows go on."""
        return state_after(series)

    def format_time(self, time: int) -> str:
        """A stamp as text: ISO for dates (the day alone where rows are whole days apart), or the whole number."""
        return write_stamp(time, dates=self.dates, whole_days=self.frequency.whole_days)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return _ADAPTER.dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Table":
        """The inverse of :meth:`to_dict`; raises :class:`ModelFileError` naming the field that is wrong."""
        try:
            return _ADAPTER.validate_json(json.dumps(dict(data)))
        except pydantic.ValidationError as error:
            raise storage.wrong_field(error, "the table part of the model file") from error
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"the table part of the model file is no JSON object ({error})") from error


_ADAPTER = pydantic.TypeAdapter(Table)


def _limits(raw: RawTable, until: Mapping[str, int] | None) -> NDArray[np.int64]:
    if until is None:
        return raw.grid_rows
    for name in raw.ids:
        if name not in until:
            raise ConfigError(f'until names no number of rows for series "{name}"; give 0 for one that is held back')
    return np.array([until[name] for name in raw.ids], np.int64)


def _raw_column(raw: RawTable, encoder: Encoder) -> Array:
    """A column as the encoder takes it: numbers, or codes of categories."""
    name, kind = encoder.column.name, encoder.column.kind
    if name not in (raw.numbers if kind == "number" else raw.texts):
        raise DataError(
            f'{raw.name}: column "{name}" was a {kind} in the training file; read this one with table.read()'
        )
    return raw.numbers[name] if kind == "number" else encoder.codes(raw.texts[name])


def _first(raw: RawTable, encoder: Encoder) -> Array:
    """[series] the first value of each series that is not missing."""
    values = _raw_column(raw, encoder)
    row = _first_present(raw, ~encoder.is_missing(values))
    return values[np.where(row < len(raw), row, raw.starts)]


def _first_present(raw: RawTable, present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[series] the first row where ``present``; ``len(raw)`` for a series that has none."""
    return np.minimum.reduceat(np.where(present, np.arange(len(raw)), len(raw)), raw.starts)


def _fit_column(
    raw: RawTable, name: str, role: Role, limit: NDArray[np.int64], train: NDArray[np.bool_], gaps: bool
) -> Encoder:
    category = name in raw.texts
    column = Column(name, role, "category" if category else "number")
    texts = raw.texts.get(name)
    if role == "static":
        # training series count once each, whatever their length
        rows = np.flatnonzero(limit > 0)
        first = _first_present(raw, ~(np.isnan(raw.numbers[name]) if texts is None else texts.is_null().to_numpy()))
        lacking = first >= len(raw)
        chosen = np.where(lacking, raw.starts, first)[rows]
        flag = bool(lacking[rows].any())
    else:
        chosen, flag = np.flatnonzero(train), gaps
    if texts is not None:
        some = texts.gather(chosen)
        return fit_category(column, some, flag or bool(some.is_null().any()))
    numbers = raw.numbers[name][chosen]
    return fit_number(column, numbers, flag or bool(np.isnan(numbers).any()))


def _season(raw: RawTable, limit: NDArray[np.int64], options: TableOptions) -> int:
    """The season of the targets of the training rows."""
    candidates = raw.frequency.seasons
    if raw.frequency.unit == "step" and options.frequency is not None:
        candidates = named(options.frequency, raw.times).seasons
    elif raw.frequency.unit not in ("row", "step") and not candidates:
        return 1  # years have no season
    values = []
    for series in spread(len(raw.ids)):
        begin, rows = int(raw.starts[series]), min(int(limit[series]), int(raw.grid_rows[series]))
        index = raw.index[begin : begin + int(raw.counts[series])]
        inside = index < rows
        for name in raw.targets:
            own = np.full(rows, np.nan)
            own[index[inside]] = raw.numbers[name][begin : begin + int(raw.counts[series])][inside]
            values.append(own)
    return detect_season(values, candidates)
