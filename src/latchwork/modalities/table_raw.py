"""A table as it was read: columns of numbers and texts, each row with its series, time and place on the grid."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from latchwork.errors import DataError
from latchwork.modalities.dates import write_stamp
from latchwork.modalities.frequency import Frequency
from latchwork.modalities.table_files import Loaded
from latchwork.modalities.table_report import ColumnSummary, describe, lint
from latchwork.modalities.table_schema import TableOptions
from latchwork.sequences import Kind

_MOST_EMPTY = 1_000_000  # grid rows to add that are let pass however few rows there are
_SPARSE = 50  # times as many grid rows as rows: the frequency given is not that of the file


@dataclass(frozen=True)
class Known:
    """What a fitted table already knows, and later files must agree with."""

    kinds: Mapping[str, Kind]
    dates: bool
    date_format: str | None
    frequency: Frequency
    has_id: bool
    has_time: bool


@dataclass(frozen=True, eq=False)
class RawTable:
    """A table as it was read: rows sorted by series (in order of first appearance) and time, in the units of the file.

    ids        the series
    starts     [series] first row of each
    times      [rows] increasing within a series: nanoseconds since 1970, or whole numbers
    index      [rows] place on the grid of its series, which begins at 0; row after row where there is no grid
    numbers    columns of numbers, [rows] float64, NaN where missing
    texts      columns of categories, [rows], null where missing
    order      [rows] where each row stood in the file: see :meth:`place`
    notes      what reading did that a person should know
    sha256     of the file
    """

    options: TableOptions
    loaded: Loaded
    ids: tuple[str, ...]
    starts: NDArray[np.int64]
    times: NDArray[np.int64]
    index: NDArray[np.int64]
    numbers: dict[str, NDArray[np.float64]]
    texts: dict[str, pl.Series]
    order: NDArray[np.int64]
    frequency: Frequency
    dates: bool
    date_format: str | None
    has_id: bool
    has_time: bool
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.times)

    @property
    def name(self) -> str:
        """The name of the file, or "the frame"."""
        return self.loaded.name

    @property
    def sha256(self) -> str:
        """The hash of the file, by which a report says what it was made from."""
        return self.loaded.sha256

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns; in a wide file there is one, ``y``."""
        return ("y",) if self.options.wide else self.options.targets

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """[series] rows in the file."""
        return np.diff(np.append(self.starts, len(self)))

    @cached_property
    def grid_rows(self) -> NDArray[np.int64]:
        """[series] rows of each :class:`~latchwork.sequences.Series`, those that are missing in the file among them."""
        return self.index[self.starts + self.counts - 1] + 1

    @property
    def lengths(self) -> dict[str, int]:
        """Rows of each series by id, on the grid: what ``until`` in ``Table.fit`` counts."""
        return dict(zip(self.ids, self.grid_rows.tolist(), strict=True))

    def stamp(self, time: int) -> str:
        """A time as a person reads it."""
        return write_stamp(time, dates=self.dates, whole_days=self.frequency.whole_days)

    def place(self, row: int) -> str:
        """Where row ``row`` stood: file, row (the first below the header is 1) and line."""
        return self.loaded.place(int(self.order[row]))

    def describe(self) -> list[ColumnSummary]:
        """One line for each column of the file: part, kind, share missing, range, examples."""
        return describe(self)

    def lint(self) -> list[str]:
        """What a person should look at before trusting a forecast, one line each."""
        return lint(self)

    def on(self, frequency: Frequency) -> "RawTable":
        """The same rows on another grid, or :class:`DataError` naming the first row that is not on it."""
        first = np.repeat(self.times[self.starts], self.counts)
        if frequency.unit == "row":
            index = np.arange(len(self)) - np.repeat(self.starts, self.counts)
            return replace(self, frequency=frequency, index=index)
        index, on_grid = frequency.position(self.times, first)
        if not on_grid.all():
            row = int(np.flatnonzero(~on_grid)[0])
            raise DataError(
                f"{self.place(row)}: {self.stamp(int(self.times[row]))} is not on the grid of its series "
                f"({frequency.name}, from {self.stamp(int(first[row]))}); fix the stamp, or give frequency=irregular"
            )
        grid = int((index[self.starts + self.counts - 1] + 1).sum())
        if grid > _SPARSE * len(self) + _MOST_EMPTY:
            raise DataError(
                f"{self.name}: {len(self)} rows would become {grid} on the grid ({frequency.name}); "
                "give the frequency that the rows have, or frequency=irregular"
            )
        return replace(self, frequency=frequency, index=index)
