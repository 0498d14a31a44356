"""Reading a table: columns find their parts, texts become numbers and stamps, rows find their series and place."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError, did_you_mean
from latchwork.modalities.dates import BadStamp, to_stamps
from latchwork.modalities.frequency import DAY, Frequency, infer, median_gap, named
from latchwork.modalities.table_files import Loaded, load
from latchwork.modalities.table_raw import Known, RawTable
from latchwork.modalities.table_schema import TableOptions
from latchwork.modalities.values import to_numbers, to_texts, why_no_number
from latchwork.sequences import Kind

ROLES = ("target", "past", "future", "static")
ONE_SERIES = "series"  # the id where the file has no id column
_WIDE_ID = "\0id"  # no file has a column of this name
_UNIX = (10**9, 3 * 10**9)  # seconds since 1970, from 2001 to 2065
_FEW = 0.1  # the share of rows that repeat a stamp up to which they are slips, not other series


def read(
    source: Any, options: TableOptions | None = None, *, known: Known | None = None, roles: tuple[str, ...] = ROLES
) -> RawTable:
    """Read a table from a path (csv, tsv, Parquet, JSON lines, gzipped or not) or a pandas, polars or pyarrow frame.

    known  what a fitted table asks of the file; None: found out
    roles  the parts whose columns must be there
    """
    options = options or TableOptions()
    loaded = load(source, options)
    wanted = {role: columns if role in roles else () for role, columns in options.roles.items()}
    origin, id_column, whole = np.arange(len(loaded.frame)), options.id, loaded
    if options.wide:
        wanted = {"target": ("y",)}
        (loaded, origin), id_column = _unpivot(loaded, options), _WIDE_ID
    _expect_columns(loaded, options, id_column, wanted, known, source)
    frame = loaded.frame

    has_id = id_column in frame.columns
    codes, ids = _codes(loaded, id_column) if has_id else (np.zeros(len(frame), np.int64), (ONE_SERIES,))
    notes: list[str] = []
    has_time = options.time in frame.columns
    dates, date_format = False, options.date_format
    if has_time:
        fixed = (known.dates, known.date_format) if known else (None, options.date_format)
        try:
            stamps = to_stamps(frame[options.time], dates=fixed[0], date_format=fixed[1])
        except BadStamp as error:
            raise DataError(f'{loaded.place(error.row)}: column "{options.time}" {error.why}') from error
        times, dates, date_format = stamps.times, stamps.dates, stamps.format
        notes += [stamps.note] if stamps.note else []
        if not dates and len(times) and times.min() >= _UNIX[0] and times.max() < _UNIX[1]:
            notes.append(f'column "{options.time}" looks like Unix seconds, but is taken as whole numbers: write dates')
    else:
        times = np.arange(len(frame))
        notes.append(f'there is no column "{options.time}": rows are taken in order, one step apart')
    numbers, texts = _values(loaded, options, wanted, known.kinds if known else {})

    order = _sorted(codes, times)
    if order is not None:
        codes, times = codes[order], times[order]
        if (np.diff(order)[np.diff(codes) == 0] < 0).any():
            notes.append("the rows were not in order of time and were sorted")
        numbers = {name: column[order] for name, column in numbers.items()}
        texts = {name: column.gather(order) for name, column in texts.items()}
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    if not has_time:
        times = np.arange(len(codes)) - np.repeat(starts, np.diff(np.append(starts, len(codes))))
    raw = RawTable(
        options=options, loaded=whole, ids=ids, starts=starts, times=times, index=np.zeros(0, np.int64),
        numbers=numbers, texts=texts, order=origin if order is None else origin[order], frequency=Frequency("row", DAY),
        dates=dates, date_format=date_format, has_id=has_id, has_time=has_time, notes=tuple(notes),
    )  # fmt: skip
    _refuse_duplicates(raw)
    _refuse_varying(raw, wanted.get("static", ()))
    raw = replace(raw, frequency=known.frequency if known else _frequency(raw))
    return raw.on(raw.frequency)


def _unpivot(loaded: Loaded, options: TableOptions) -> tuple[Loaded, NDArray[np.int64]]:
    """A wide frame as a long one (id, time, ``y``), and the row of the wide one that each row came from."""
    frame = loaded.frame
    has_time = options.time in frame.columns
    others = [column for column in frame.columns if column != options.time]
    series = others if options.is_default("target") else list(options.targets)
    for column in series:
        if column not in frame.columns:
            raise DataError(_no_column(loaded, column, "target", frame.columns))
    pieces = []
    for column in series:
        values, bad = to_numbers(frame[column], options.decimal)
        _refuse_bad_numbers(loaded, column, frame[column], values, bad, "; or name the series to take with target=")
        if np.isnan(values).all():
            raise DataError(f'{loaded.name}: column "{column}" holds no number at all; leave it out with target=')
        pieces.append(values)
    if not series:
        raise DataError(f"{loaded.name}: there is no column beside the time; expected one for each series")
    count = len(frame)
    origin = np.tile(np.arange(count), len(series))
    ids = pl.Series(series).gather(np.repeat(np.arange(len(series)), count))
    long = pl.DataFrame({_WIDE_ID: ids, "y": np.concatenate(pieces)})
    if has_time:
        long = long.with_columns(frame[options.time].gather(origin).alias(options.time))
    return replace(loaded, frame=long, row=loaded.row.gather(origin)), origin


def _no_column(loaded: Loaded, column: str, role: str, present: list[str]) -> str:
    shown = ", ".join(present[:12]) + (", …" if len(present) > 12 else "")
    hint = did_you_mean(column, present)
    hint = hint or (f"; name the right one with {role}=" if column in ("unique_id", "ds", "y") else "")
    return f'{loaded.name}: there is no column "{column}" ({role}){hint} (columns: {shown})'


def _expect_columns(
    loaded: Loaded,
    options: TableOptions,
    id_column: str,
    wanted: Mapping[str, tuple[str, ...]],
    known: Known | None,
    source: Any,
) -> None:
    present = loaded.frame.columns
    for role, columns in wanted.items():
        for column in columns:
            if column not in present:
                wide = role == "target" and options.is_default("target")
                raise DataError(
                    _no_column(loaded, column, role, present)
                    + ("; a file with a column for each series is read with wide=true" if wide else "")
                )
    if id_column not in present and (known.has_id if known else not options.is_default("id")):
        raise DataError(_no_column(loaded, options.id, "id", present))
    if options.time in present:
        return
    if known.has_time if known else not options.is_default("time"):
        raise DataError(_no_column(loaded, options.time, "time", present))
    if type(getattr(source, "index", None)).__name__ in ("DatetimeIndex", "PeriodIndex"):
        raise DataError(f"{loaded.name}: the dates are in the index, which is not read; give frame.reset_index()")
    used = {id_column, *(column for columns in wanted.values() for column in columns)}
    for column in (column for column in present if column not in used):
        if _looks_like_dates(loaded.frame[column].head(20)):
            raise DataError(
                f'{loaded.name}: there is no column "{options.time}" (time), '
                f'but "{column}" looks like dates; give time="{column}"'
            )


def _looks_like_dates(column: pl.Series) -> bool:
    column = column.drop_nulls()
    if column.dtype in (pl.Date, pl.Datetime):
        return True
    if column.dtype != pl.String or not len(column):
        return False
    if column.str.contains(r"^\s*\d{1,2}[/.]\d{1,2}[/.]\d{4}").all():
        return True
    try:
        return to_stamps(column).dates
    except BadStamp:
        return False


def _codes(loaded: Loaded, column: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The series of each row as a number, and the ids in order of first appearance."""
    texts = to_texts(loaded.frame[column])
    empty = texts.is_null()
    if empty.any():
        raise DataError(
            f'{loaded.place(int(empty.arg_true()[0]))}: the id (column "{column}") is empty; name the series'
        )
    ids = texts.unique(maintain_order=True)
    return texts.cast(pl.Enum(ids)).to_physical().cast(pl.Int64).to_numpy(), tuple(ids.to_list())


def _sorted(codes: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The order by series and time (ties as in the file), or None where the rows already have it."""
    step = np.diff(codes)
    if ((step > 0) | ((step == 0) & (np.diff(times) >= 0))).all():
        return None
    return np.lexsort((times, codes))


def _values(
    loaded: Loaded, options: TableOptions, wanted: Mapping[str, tuple[str, ...]], kinds: Mapping[str, Kind]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, pl.Series]]:
    numbers: dict[str, NDArray[np.float64]] = {}
    texts: dict[str, pl.Series] = {}
    for role, columns in wanted.items():
        for name in columns:
            column = loaded.frame[name]
            if column.dtype.is_nested() or column.dtype.is_temporal() or column.dtype in (pl.Binary, pl.Object):
                raise DataError(
                    f'{loaded.name}: column "{name}" ({role}) is of type {column.dtype}; expected numbers'
                    + ("" if role == "target" else " or texts")
                )
            kind = kinds.get(name) or ("category" if name in options.categorical else None)
            if kind != "category" and (role == "target" or column.dtype not in (pl.Categorical, pl.Enum)):
                values, bad = to_numbers(column, options.decimal)
                numeric = np.count_nonzero(~np.isnan(values))
                if kind or role == "target" or not bad.any() or numeric > bad.sum():
                    hint = (
                        "" if role == "target" or kind else f"; or, if it holds categories, name {name} in categorical="
                    )
                    _refuse_bad_numbers(loaded, name, column, values, bad, hint)
                    if role == "target" and not numeric:
                        raise DataError(
                            f'{loaded.name}: column "{name}" (target) holds no number at all; nothing to learn'
                        )
                    numbers[name] = values
                    continue
            texts[name] = to_texts(column)
    return numbers, texts


def _refuse_bad_numbers(
    loaded: Loaded, name: str, column: pl.Series, values: NDArray[np.float64], bad: NDArray[np.bool_], hint: str
) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        text = str(column[row])
        raise DataError(
            f'{loaded.place(row)}: column "{name}" holds "{text}", expected a number; '
            f"{why_no_number(text.strip())}{hint}"
        )
    infinite = np.isinf(values)
    if infinite.any():
        row = int(np.flatnonzero(infinite)[0])
        raise DataError(
            f'{loaded.place(row)}: column "{name}" holds {column[row]}, expected a finite number; '
            "leave the cell empty if it is missing"
        )


def _refuse_duplicates(raw: RawTable) -> None:
    same = np.diff(raw.times) == 0
    same[raw.starts[1:] - 1] = False
    if not same.any():
        return
    row = int(np.flatnonzero(same)[0])
    series = int(np.searchsorted(raw.starts, row, side="right")) - 1
    rows = [int(raw.loaded.row[int(raw.order[r])]) for r in (row, row + 1)]
    hint = (
        "keep one row for each series and stamp"
        if raw.has_id or same.mean() < _FEW
        else "if the rows belong to several series, name the column that tells them apart with id="
    )
    count = "1 row repeats" if same.sum() == 1 else f"{int(same.sum())} rows repeat"
    raise DataError(
        f"{raw.name}: {count} the time stamp of another row of the series, first in series "
        f'"{raw.ids[series]}" at {raw.stamp(int(raw.times[row]))} (rows {rows[0]} and {rows[1]}); {hint}'
    )


def _refuse_varying(raw: RawTable, columns: tuple[str, ...]) -> None:
    """Static columns hold one value a series; missing cells don't count."""
    for name in columns:
        if name in raw.numbers:
            values = raw.numbers[name]
        else:
            texts = raw.texts[name]
            codes = texts.cast(pl.Enum(texts.drop_nulls().unique(maintain_order=True))).to_physical()
            values = codes.cast(pl.Float64).fill_null(np.nan).to_numpy()
        low, high = (extreme.reduceat(values, raw.starts) for extreme in (np.fmin, np.fmax))
        varies = low < high
        if varies.any():
            series = int(np.flatnonzero(varies)[0])
            begin = int(raw.starts[series])
            own = values[begin : begin + int(raw.counts[series])]
            seen = np.flatnonzero(~np.isnan(own))
            row = begin + int(seen[own[seen] != own[seen[0]]][0])
            raise DataError(
                f'{raw.place(row)}: static column "{name}" changes within series "{raw.ids[series]}"; '
                "a column that changes is past= or future="
            )


def _frequency(raw: RawTable) -> Frequency:
    """The frequency that the options name, or the one that the stamps have."""
    if raw.options.frequency is None:
        return infer(raw.times, dates=raw.dates, starts=raw.starts)
    frequency = named(raw.options.frequency, raw.times)
    if frequency.unit == "row":
        inside = np.ones(max(len(raw) - 1, 0), bool)
        inside[raw.starts[1:] - 1] = False
        return Frequency("row", median_gap(np.diff(raw.times)[inside]))
    if raw.dates == (frequency.unit == "step"):
        if raw.dates:
            raise ConfigError(f'frequency is "step", but column "{raw.options.time}" holds dates; name one like h or D')
        return infer(raw.times, dates=False, starts=raw.starts)  # the option only says what a step is
    return frequency
