"""A series: what a table becomes, and what forecasting, labelling and streams share."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import DataError

Array = NDArray[np.float64]
Role = Literal["target", "past", "future", "static"]
Kind = Literal["number", "category"]


@dataclass(frozen=True)
class Column:
    """A column of the table: what it holds and what part it plays. ``categories`` are fixed by the training rows."""

    name: str
    role: Role
    kind: Kind = "number"
    categories: tuple[str, ...] = ()


def _nothing() -> Array:
    return np.zeros((0, 0))


@dataclass(frozen=True)
class Series:
    """One series, in the units of the file. Missing numbers are NaN; they are inputs, not errors.

    id      the value of the id column
    times   [rows] strictly increasing: nanoseconds since 1970 (int64) for dates, the numbers themselves for
    whole-number steps
    target  [rows, targets]
    past    [rows, past]      known up to the present only (after encoding: scaled, categories one-hot, missing flags)
    future  [rows, future]    known ahead of time, calendar features among them
    static  [static]          the same at every row
    observed                  rows up to the last one with any target: forecasts start here, rows after it carry known
                              future covariates only
    """

    id: str
    times: NDArray[np.int64]
    target: Array
    past: Array = field(default_factory=_nothing)
    future: Array = field(default_factory=_nothing)
    static: Array = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        rows = len(self.times)
        for name in ("past", "future"):
            if getattr(self, name).size == 0 and len(getattr(self, name)) != rows:
                object.__setattr__(self, name, np.zeros((rows, 0)))
        for name in ("target", "past", "future"):
            matrix = getattr(self, name)
            if matrix.ndim != 2 or len(matrix) != rows:
                raise DataError(f"series {self.id}: {name} has shape {matrix.shape}, expected ({rows}, columns)")
        if rows > 1 and not (np.diff(self.times) > 0).all():
            raise DataError(f"series {self.id}: the time stamps must increase from row to row")

    def __len__(self) -> int:
        return len(self.times)

    @property
    def observed(self) -> int:
        """One past the last row that has a target."""
        rows = np.flatnonzero(~np.isnan(self.target).all(axis=1))
        return int(rows[-1]) + 1 if len(rows) else 0

    def until(self, row: int) -> "Series":
        """The first ``row`` rows: what was known at that origin."""
        return Series(self.id, self.times[:row], self.target[:row], self.past[:row], self.future[:row], self.static)
