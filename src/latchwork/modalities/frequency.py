"""The time grid of a table, if it has one. Times are int64: nanoseconds since 1970 (naive UTC), or whole numbers."""

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError, did_you_mean

Times = NDArray[np.int64]
Unit = Literal["row", "step", "ns", "business", "month"]

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
WEEK = 7 * DAY
FULL_ENOUGH = 0.5  # a grid with a smaller share of its rows filled is no grid: the rows are irregular

_ALIASES: dict[str, tuple[Unit, int]] = {
    "irregular": ("row", 1), "row": ("row", 1), "step": ("step", 1),
    "ns": ("ns", 1), "us": ("ns", 1000), "ms": ("ns", 1_000_000), "s": ("ns", SECOND), "S": ("ns", SECOND),
    "min": ("ns", MINUTE), "T": ("ns", MINUTE), "minutely": ("ns", MINUTE),
    "h": ("ns", HOUR), "H": ("ns", HOUR), "hourly": ("ns", HOUR),
    "d": ("ns", DAY), "D": ("ns", DAY), "daily": ("ns", DAY),
    "w": ("ns", WEEK), "W": ("ns", WEEK), "weekly": ("ns", WEEK),
    "b": ("business", 1), "B": ("business", 1), "business": ("business", 1),
    "M": ("month", 1), "MS": ("month", 1), "ME": ("month", 1), "monthly": ("month", 1),
    "Q": ("month", 3), "QS": ("month", 3), "QE": ("month", 3), "quarterly": ("month", 3),
    "Y": ("month", 12), "YS": ("month", 12), "YE": ("month", 12), "A": ("month", 12), "yearly": ("month", 12),
}  # fmt: skip
_MONTHS = {1: "monthly", 2: "every 2 months", 3: "quarterly", 6: "half-yearly", 12: "yearly"}


@dataclass(frozen=True)
class Frequency:
    """How the stamps of every series follow each other.

    unit  row       irregular: no grid, each row is a step; n is the median gap (nanoseconds or whole numbers)
          step      whole numbers, n apart
          ns        n nanoseconds apart: seconds, hours, days, weeks
          business  Monday to Friday; n is 1; holidays are missing rows
          month     n calendar months apart, on day ``day`` of the month or the last one where the month is shorter
                    (1: month start, 31: month end)
    """

    unit: Unit
    n: int = 1
    day: int = 1

    def __post_init__(self) -> None:
        if self.n < 1 or not 1 <= self.day <= 31:
            raise ConfigError(f"a frequency has n >= 1 and a day from 1 to 31, got n={self.n}, day={self.day}")

    def at(self, start: Any, index: Any) -> Times:
        """The stamps ``index`` grid steps after ``start``; both may be arrays. Irregular rows: median gaps apart."""
        start, index = np.asarray(start, np.int64), np.asarray(index, np.int64)
        if not start.size or not index.size:
            return np.zeros(np.broadcast_shapes(start.shape, index.shape), np.int64)
        if self.unit in ("row", "step", "ns"):
            if int(np.abs(start).max()) + int(np.abs(index).max()) * self.n >= 2**63:
                raise DataError(f"{int(index.max())} steps ahead ({self.name}) lie beyond the year 2262; ask for fewer")
            return start + index * self.n
        days, clock = np.divmod(start, DAY)
        if self.unit == "business":
            ahead = np.busday_offset(days.astype("M8[D]"), index, roll="forward").astype(np.int64)
        else:
            month = days.astype("M8[D]").astype("M8[M]") + index * self.n
            ahead = (month.astype("M8[D]") + np.minimum(self.day, _month_length(month)) - 1).astype(np.int64)
        if int(np.abs(ahead).max()) >= 2**63 // DAY:
            raise DataError(f"{int(index.max())} steps ahead ({self.name}) lie beyond the year 2262; ask for fewer")
        return ahead * DAY + clock

    def ahead(self, time: int, count: int) -> Times:
        """The ``count`` stamps that follow ``time``.

        >>> Frequency("step", 5).ahead(10, 3)
        array([15, 20, 25])
        """
        return self.at(time, np.arange(1, count + 1))

    def position(self, times: Any, start: Any) -> tuple[Times, NDArray[np.bool_]]:
        """Grid index of each stamp, counted from ``start`` (which is 0), and whether the stamp lies on the grid.

        >>> index, on_grid = Frequency("step", 5).position([10, 25, 26], 10)
        >>> index.tolist(), on_grid.tolist()
        ([0, 3, 3], [True, True, False])
        """
        if self.unit == "row":
            raise ConfigError("an irregular series has no grid: its rows are counted, not placed")
        times, start = np.asarray(times, np.int64), np.asarray(start, np.int64)
        if self.unit in ("step", "ns"):
            index, rest = np.divmod(times - start, self.n)
            return index, rest == 0
        (days, clock), (first, first_clock) = np.divmod(times, DAY), np.divmod(start, DAY)
        days, first = days.astype("M8[D]"), first.astype("M8[D]")
        if self.unit == "business":
            index = np.busday_count(first, days)
            return index, np.is_busday(days) & np.is_busday(first) & (clock == first_clock)
        month, month0 = days.astype("M8[M]"), first.astype("M8[M]")
        index, rest = np.divmod((month - month0).astype(np.int64), self.n)
        anchored = _day_of_month(days) == np.minimum(self.day, _month_length(month))
        anchored &= _day_of_month(first) == np.minimum(self.day, _month_length(month0))
        return index, anchored & (rest == 0) & (clock == first_clock)

    @property
    def name(self) -> str:
        """For people: ``hourly``, ``every 15 minutes``, ``monthly``, ``irregular``."""
        if self.unit == "row":
            return "irregular"
        if self.unit == "step":
            return "whole-number steps" if self.n == 1 else f"whole-number steps of {self.n}"
        if self.unit == "business":
            return "business days"
        if self.unit == "month":
            return _MONTHS.get(self.n) or (
                f"every {self.n // 12} years" if self.n % 12 == 0 else f"every {self.n} months"
            )
        for length, one, many in (
            (WEEK, "weekly", "weeks"), (DAY, "daily", "days"), (HOUR, "hourly", "hours"),
            (MINUTE, "every minute", "minutes"), (SECOND, "every second", "seconds"),
        ):  # fmt: skip
            if self.n % length == 0:
                return one if self.n == length else f"every {self.n // length} {many}"
        return f"every {self.n / 1e6:g} milliseconds"

    @property
    def season(self) -> int:
        """The usual season in rows: a day of hours, a week of days, a year of weeks or months; 1 if there is none."""
        return self.seasons[0] if self.seasons else 1

    @property
    def seasons(self) -> tuple[int, ...]:
        """Season lengths that the calendar suggests, shortest first: what :func:`detect_season` confirms or rejects."""
        if self.unit in ("row", "step"):
            return ()
        if self.unit == "business":
            return (5, 261)
        if self.unit == "month":
            return (12 // self.n,) if self.n < 12 and 12 % self.n == 0 else ()
        if self.n >= 7 * DAY:
            return (round(365.25 * DAY / self.n),) if self.n <= 183 * DAY else ()
        cycles = (7 * DAY, 365 * DAY) if self.n >= DAY else (DAY, 7 * DAY) if self.n >= MINUTE else (MINUTE, HOUR)
        return tuple(length // self.n for length in cycles if length % self.n == 0 and length > self.n)

    @property
    def whole_days(self) -> bool:
        """Whether every step is a whole number of days, so that stamps at midnight may be written as dates."""
        return self.unit in ("business", "month") or (self.unit in ("ns", "row") and self.n % DAY == 0)


def named(text: str, times: Times) -> Frequency:
    """The frequency that an option names: ``h``, ``15min``, ``D``, ``W``, ``MS``, ``B``, ``irregular``, ``hourly`` …

    ``times`` (sorted within each series) give a month its day and irregular rows their gap.
    """
    match = re.fullmatch(r"\s*(\d*)\s*([A-Za-z]+)(-[A-Za-z]+)?\s*", text)
    count, word = (match[1], match[2]) if match else ("", text)
    alias = _ALIASES.get(word) or _ALIASES.get(word.lower())
    if alias is None or count == "0" or (alias[0] == "business" and count not in ("", "1")):
        known = ("s", "min", "15min", "h", "D", "B", "W", "MS", "ME", "QS", "YS", "irregular")
        raise ConfigError(
            f'frequency "{text}" is not known{did_you_mean(word, _ALIASES)}; expected one like {", ".join(known)}'
        )
    unit, base = alias
    day = 1
    if unit == "month" and len(times):
        day = int(_day_of_month((times // DAY).astype("M8[D]")).max())
    return Frequency(unit, base * int(count or 1), day)


def infer(times: Any, *, dates: bool = True, starts: Any = (0,)) -> Frequency:
    """The grid that all stamps lie on, or irregular.

    times   [rows] increasing within each series; nanoseconds where ``dates``, whole numbers otherwise
    starts  [series] the first row of each series; series may start at any stamp, and share the spacing

    A grid is the coarsest that holds every stamp, if at least half of its rows are there: calendar months, business
    days (no weekend among at least two), a fixed length. One stamp between its points makes the whole table irregular.
    """
    times, starts = np.asarray(times, np.int64), np.asarray(starts, np.int64)
    first = np.zeros(len(times), bool)
    first[starts[starts < len(times)]] = True
    gaps = np.diff(times)[~first[1:]]
    if not len(gaps):
        return Frequency("row", DAY) if dates else Frequency("step")
    begin = np.repeat(times[starts], np.diff(np.append(starts, len(times))))
    last = np.append(starts[1:], len(times)) - 1

    def fits(frequency: Frequency) -> bool:
        index, on_grid = frequency.position(times, begin)
        return bool(on_grid.all()) and len(times) >= FULL_ENOUGH * float((index[last] + 1.0).sum())

    step = int(np.gcd.reduce(np.unique(gaps)))
    candidates = [Frequency("ns" if dates else "step", step)]
    if dates and step % DAY == 0:
        days = (times // DAY).astype("M8[D]")
        if step == DAY and np.is_busday(days).all():
            weekdays = np.busday_count(days[:-1], days[1:])[~first[1:]]
            over_weekend = gaps // DAY > weekdays
            if len(np.unique(times[:-1][~first[1:]][over_weekend] // WEEK)) >= 2:
                candidates.insert(0, Frequency("business"))
        months = np.diff(days.astype("M8[M]").astype(np.int64))[~first[1:]]
        if months.min() > 0:
            every = int(np.gcd.reduce(np.unique(months)))
            candidates.insert(0, Frequency("month", every, int(_day_of_month(days).max())))
    for candidate in candidates:
        if fits(candidate):
            return candidate
    return Frequency("row", median_gap(gaps))


def median_gap(gaps: Times) -> int:
    """The median of some gaps between stamps, at least 1."""
    return max(1, int(np.median(gaps))) if len(gaps) else 1


def _day_of_month(days: NDArray[np.datetime64]) -> Times:
    return (days - days.astype("M8[M]").astype("M8[D]")).astype(np.int64) + 1


def _month_length(month: NDArray[np.datetime64]) -> Times:
    return ((month + 1).astype("M8[D]") - month.astype("M8[D]")).astype(np.int64)
