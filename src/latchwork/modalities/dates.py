"""Time stamps: dates, ISO texts or whole numbers become int64 (nanoseconds since 1970 in UTC, or the numbers)."""

import datetime
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

ACCEPTED = "2024-12-31, 2024-12-31 23:59(:59.5), 2024-12-31T23:59:59Z or +02:00, 2024/12/31, 20241231, 2024-12, 2024Q4"
DAY_FIRST, MONTH_FIRST, GERMAN = "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y"

_QUICK = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?")
_EPOCH = datetime.datetime(1970, 1, 1)
_ZONE = r"(?i)(?:z|utc|[+-]\d{2}(?::?\d{2})?)$"
_CLOCKS = ("", " %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
_FIRST_YEAR, _LAST_YEAR = 1678, 2261  # what int64 nanoseconds hold in whole years


@dataclass(frozen=True)
class Stamps:
    """A time column that was read.

    times   [rows] int64
    dates   whether they are dates; whole numbers otherwise
    format  of dates that are not written year first, None for all others
    note    what a person should know about how it was read, or ""
    """

    times: NDArray[np.int64]
    dates: bool
    format: str | None = None
    note: str = ""


class BadStamp(Exception):
    """Row ``row`` (from 0) does not hold a time stamp; ``why`` tells the rest. Caught and placed by the readers."""

    def __init__(self, row: int, why: str) -> None:
        super().__init__(why)
        self.row, self.why = row, why


def to_stamps(column: pl.Series, *, dates: bool | None = None, date_format: str | None = None) -> Stamps:
    """Read a time column. ``dates`` and ``date_format`` fix what is otherwise found out; raises :class:`BadStamp`."""
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        column = column.set(column == "", None)
    empty = column.is_null()
    if empty.any():
        raise BadStamp(int(empty.arg_true()[0]), "is empty; every row wants a time stamp")
    if column.dtype.is_temporal() and column.dtype != pl.Duration and column.dtype != pl.Time:
        if dates is False:
            raise BadStamp(0, f"holds the date {column[0]}, where the training file had whole numbers")
        return Stamps(_nanoseconds(column), True, date_format)
    if column.dtype.is_float():
        broken = ~((column == column.round()) & (column.abs() < 2**53)).fill_null(False)
        if broken.any():
            row = int(broken.arg_true()[0])
            raise BadStamp(row, f"holds {column[row]}; expected whole numbers or dates ({ACCEPTED})")
        column = column.cast(pl.Int64)
    if column.dtype.is_integer():
        column = column.cast(pl.String)
    if column.dtype != pl.String:
        raise BadStamp(0, f"is of type {column.dtype}; expected whole numbers or dates ({ACCEPTED})")
    whole = column.str.contains(r"^[+-]?[0-9]{1,18}$")
    if dates is not True and date_format is None and whole.all() and (dates is False or not _compact_dates(column)):
        return Stamps(column.cast(pl.Int64).to_numpy().copy(), False)
    if dates is False:
        row = int((~whole).arg_true()[0])
        raise BadStamp(row, f'holds "{column[row]}"; expected a whole number, as in the training file')
    return _read_dates(column, date_format)


def to_stamp(value: Any, *, dates: bool, date_format: str | None = None) -> int:
    """One live time stamp, read as :func:`to_stamps` does; raises :class:`BadStamp`."""
    if dates and isinstance(value, str) and date_format is None and _QUICK.fullmatch(value.strip().removesuffix("Z")):
        try:
            since = datetime.datetime.fromisoformat(value.strip().removesuffix("Z")) - _EPOCH
        except ValueError as error:
            raise BadStamp(0, f'holds "{value}", which is no date') from error
        if abs(since.days) < 106_000:
            return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
    if (
        isinstance(value, bool)
        or value is None
        or not isinstance(value, (str, int, float, np.integer, np.floating, np.datetime64, datetime.date))
    ):
        raise BadStamp(0, f"holds {value!r}; expected {f'a date ({ACCEPTED})' if dates else 'a whole number'}")
    if dates and isinstance(value, (int, np.integer)) and not _compact_dates(pl.Series([str(value)])):
        raise BadStamp(0, f"holds {value}; expected a date ({ACCEPTED})")
    if isinstance(value, np.datetime64):
        return int(value.astype("M8[ns]").astype(np.int64))
    return int(to_stamps(pl.Series([value]), dates=dates, date_format=date_format).times[0])


def write_stamp(time: int, *, dates: bool, whole_days: bool = False) -> str:
    """The stamp as ISO text (the date alone if ``whole_days`` and at midnight) or as the whole number.

    >>> write_stamp(1_577_836_800_000_000_000, dates=True, whole_days=True)
    '2020-01-01'
    """
    if not dates:
        return str(int(time))
    days, rest = divmod(int(time), 86_400_000_000_000)
    day = str(np.datetime64(days, "D"))
    if whole_days and rest == 0:
        return day
    seconds, fraction = divmod(rest, 1_000_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{day}T{clock}" + (f".{fraction:09}".rstrip("0") if fraction else "")


def _compact_dates(column: pl.Series) -> bool:
    """Whether whole numbers are dates written 20241231."""
    return bool(column.str.contains(r"^(?:1[6-9]|2[0-2])[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])$").all())


def _nanoseconds(column: pl.Series) -> NDArray[np.int64]:
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    years = column.dt.year()
    wrong = (years < _FIRST_YEAR) | (years > _LAST_YEAR)
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise BadStamp(row, f"holds {column[row]}; expected a year from {_FIRST_YEAR} to {_LAST_YEAR}")
    return column.cast(pl.Datetime("ns")).to_physical().to_numpy().copy()


def _read_dates(column: pl.Series, date_format: str | None) -> Stamps:
    text, note = column, ""
    if date_format is None:
        text = text.str.replace(r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})", "$1-$2-$3")
        text = text.str.replace(r"^(\d{4})(\d{2})(\d{2})($|[T ])", "$1-$2-$3$4")
        text = text.str.replace(r"^(\d{4})[-/](\d{1,2})$", "$1-$2-01")
        for quarter in "1234":
            text = text.str.replace(rf"^(\d{{4}})-?Q{quarter}$", f"$1-{3 * int(quarter) - 2:02}-01")
        text = text.str.replace(r"^(\S{8,10})T(\d)", "$1 $2")
        text = text.str.replace(r"^(\d{4}-\d{1,2}-\d{1,2}) (\d{2})$", "$1 $2:00")
    shift = np.zeros(len(text), np.int64)
    if not date_format or date_format in (DAY_FIRST, MONTH_FIRST, GERMAN):
        zoned = text.str.contains(":") & text.str.contains(_ZONE)
        if zoned.any():
            shift = _zone_shift(text, zoned)
            text = text.zip_with(~zoned, text.str.replace(_ZONE, "").str.strip_chars())
    formats = [date_format] if date_format else ["%Y-%m-%d"]
    times, found = _parse(text, formats)
    if not date_format and not found.all():
        rest = text.filter(~found)
        if rest.str.contains(r"^\d{1,2}\.\d{1,2}\.\d{4}").all() and not found.any():
            date_format = GERMAN
        elif rest.str.contains(r"^\d{1,2}/\d{1,2}/\d{4}").all() and not found.any():
            date_format, note = _which_first(text)
        if date_format:
            times, found = _parse(text, [date_format])
    if not found.all():
        row = int(np.flatnonzero(~found)[0])
        expected = f"the format {date_format}" if date_format else ACCEPTED
        raise BadStamp(row, f'holds "{column[row]}"; expected a date like {expected}, or give date_format=')
    return Stamps(times - shift, True, date_format, note)


def _which_first(text: pl.Series) -> tuple[str, str]:
    day_first, month_first = (bool(_parse(text, [form])[1].all()) for form in (DAY_FIRST, MONTH_FIRST))
    if day_first and month_first:
        raise BadStamp(
            0,
            f'holds "{text[0]}", and no row tells the day from the month; '
            f'give date_format="{DAY_FIRST}" or date_format="{MONTH_FIRST}"',
        )
    form = MONTH_FIRST if month_first else DAY_FIRST
    return form, f'dates like "{text[0]}" are read as {"month/day/year" if month_first else "day/month/year"}'


def _parse(text: pl.Series, formats: list[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Nanoseconds, and which rows were understood. A format without a clock also takes one behind the date."""
    times = np.zeros(len(text), np.int64)
    found = np.zeros(len(text), bool)
    for form in formats:
        for clock in ("",) if "%H" in form or "%I" in form else _CLOCKS:
            left = np.flatnonzero(~found)
            if not len(left):
                break
            some = text if len(left) == len(text) else text.gather(left)
            coarse = some.str.to_datetime(form + clock, strict=False, time_unit="us")
            good = coarse.is_not_null().to_numpy()
            if not good.any():
                continue
            hit = left[good]
            coarse = coarse.filter(pl.Series(good))
            try:
                values = _nanoseconds(coarse)
            except BadStamp as error:
                raise BadStamp(int(hit[error.row]), error.why) from error
            fine = some.filter(pl.Series(good)).str.extract(r"\.\d{6}(\d{1,3})\d*$") if "%.f" in clock else None
            if fine is not None and fine.is_not_null().any():
                values += fine.str.pad_end(3, "0").cast(pl.Int64).fill_null(0).to_numpy()
            times[hit] = values
            found[hit] = True
    return times, found


def _zone_shift(text: pl.Series, zoned: pl.Series) -> NDArray[np.int64]:
    """Nanoseconds to take away so that stamps with a zone become UTC."""
    zone = text.str.extract(r"([+-]\d{2}:?\d{0,2})$").str.replace(":", "")
    zone = zone.set(~zoned, None)
    hours = zone.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = zone.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    sign = zone.str.starts_with("-").fill_null(False).to_numpy()
    return np.where(sign, -1, 1) * (hours * 3600 + minutes * 60).to_numpy() * 1_000_000_000
