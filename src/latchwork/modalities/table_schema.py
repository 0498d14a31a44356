"""What a table means: which column plays which part, and how its rows follow each other. All of it has a default."""

from dataclasses import dataclass, fields

import numpy as np

from latchwork.errors import ConfigError, did_you_mean
from latchwork.modalities.frequency import named

CALENDAR = {
    "minute": "minute of the hour",
    "hour": "time of the day",
    "weekday": "day of the week",
    "monthday": "day of the month",
    "yearday": "day of the year",
    "week": "week of the year",
    "month": "month of the year",
    "quarter": "quarter of the year",
    "year": "the year itself, a trend",
}
"""Calendar features by name: all but ``year`` turn round, and enter as sine and cosine."""


@dataclass(frozen=True)
class TableOptions:
    """How to read a table. Long format, one row for each series and time stamp, unless ``wide``.

    Args:
        id: Column that names the series a row belongs to. May be absent from the file if there is one series.
        time: Column of time stamps: dates (taken as UTC where they have no zone) or whole numbers. May be absent:
            then the rows are in order, one step apart.
        target: Column or columns to forecast. In a wide file: the series to take, all of them by default.
        past: Columns that are known up to the present only, such as a measured temperature.
        future: Columns that are known ahead of time, such as a planned price or a holiday.
        static: Columns that stay the same within a series, such as the region of a shop.
        categorical: Columns among past, future and static that hold categories although they look like numbers,
            such as a shop's number. Columns of text are categories anyway.
        wide: Each column but the time is a series of its own, named by its header.
        frequency: Distance from row to row: h, 15min, D, B (business days), W, MS (months), QS, YS …, or irregular.
            Found from the time stamps by default. With whole-number times it only says what a step is (for the
            season).
        season: Rows after which the series repeat: 24 for hours of a day. Found from the training rows by default.
        calendar: Calendar features to add to what is known ahead: minute, hour, weekday, monthday, yearday, week,
            month, quarter, year.
        date_format: How dates are written, such as %d/%m/%Y; wanted only where it can't be told from the file.
        separator: What separates the columns of a csv file: a comma, semicolon, tab or bar. Found in the first line
            by default.
        decimal: The decimal sign of numbers in text: a point or a comma.
        encoding: Encoding of a csv file, such as latin-1.
    """

    id: str = "unique_id"
    time: str = "ds"
    target: str | tuple[str, ...] = "y"
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    wide: bool = False
    frequency: str | None = None
    season: int | None = None
    calendar: tuple[str, ...] = ()
    date_format: str | None = None
    separator: str | None = None
    decimal: str = "."
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        for name in ("past", "future", "static", "categorical", "calendar"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        if not isinstance(self.target, str):
            object.__setattr__(self, "target", tuple(self.target))
        self._check_roles()
        for feature in self.calendar:
            if feature not in CALENDAR:
                raise ConfigError(
                    f'calendar feature "{feature}" is not known{did_you_mean(feature, CALENDAR)}; '
                    f"expected some of {', '.join(CALENDAR)}"
                )
        if self.season is not None and self.season < 1:
            raise ConfigError(f"season is {self.season}, expected at least 1 (1: no season)")
        if self.decimal not in (".", ","):
            raise ConfigError(f'decimal is "{self.decimal}", expected "." or ","')
        if self.separator is not None and len(self.separator) != 1:
            raise ConfigError(f'separator is "{self.separator}", expected one character such as ";"')
        if self.frequency is not None:
            named(self.frequency, np.zeros(0, np.int64))

    def _check_roles(self) -> None:
        parts: dict[str, str] = {}
        for role, columns in (("id", (self.id,)), ("time", (self.time,)), *self.roles.items()):
            for column in columns:
                if not isinstance(column, str) or not column:
                    raise ConfigError(f"{role} names the column {column!r}, expected a text")
                if column in parts:
                    first = "twice" if parts[column] == role else f"as {parts[column]} and as {role}"
                    raise ConfigError(f'column "{column}" is used {first}; a column plays one part')
                parts[column] = role
        if not self.targets:
            raise ConfigError("target names no column; name at least one")
        if self.wide and (self.past or self.future or self.static):
            raise ConfigError("a wide table has no past, future or static columns; use the long format for them")
        for column in self.categorical:
            if parts.get(column) not in ("past", "future", "static"):
                raise ConfigError(
                    f'categorical names "{column}", not among past, future or static{did_you_mean(column, parts)}'
                )

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns, one or many."""
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """The columns of each part: target, past, future, static."""
        return {"target": self.targets, "past": self.past, "future": self.future, "static": self.static}

    def is_default(self, name: str) -> bool:
        """Whether an option has its default value."""
        return getattr(self, name) == next(field.default for field in fields(self) if field.name == name)
