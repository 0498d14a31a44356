"""One target of one series as the baselines see it: gaps filled from what is already known, rows in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Column:
    """Values that may be looked at before the first forecast.

    values    [rows] from the first observed row to the last one, gaps inside filled by straight lines
    observed  [rows] False where filled
    scale     mean |y_t - y_{t-season}|, the size of what is hard to foretell; 1 where it is 0 or can't be had
    trained   False: a series that was not trained on; its values are those before its first origin, good for its own
              scale and parameters, not for what all series share
    """

    values: Array
    observed: NDArray[np.bool_]
    scale: float
    trained: bool = True

    @classmethod
    def nothing(cls, scale: float = 1.0) -> "Column":
        """A column with no known row."""
        return cls(np.zeros(0), np.zeros(0, dtype=bool), scale)

    @classmethod
    def of(cls, values: Array, season: int, *, trained: bool = True) -> "Column":
        """From raw values with NaN; rows before the first observed one and after the last one are dropped."""
        known = np.flatnonzero(~np.isnan(values))
        if not len(known):
            return cls.nothing()
        part = values[known[0] : known[-1] + 1]
        observed = ~np.isnan(part)
        filled = np.interp(np.arange(len(part)), known - known[0], values[known])
        lag = season if len(filled) > season else 1
        scale = float(np.abs(filled[lag:] - filled[:-lag]).mean()) if len(filled) > lag else 0.0
        return cls(filled, observed, scale if scale > 0 else 1.0, trained)


class Answer(NamedTuple):
    """point [windows, steps]; deviation: standard deviations of its error by the method's own theory, or None."""

    point: Array
    deviation: Array | None = None


class Fitted(Protocol):
    """A baseline that has seen the training rows."""

    def forecast(self, column: int, values: Array, ends: Rows, steps: int) -> Answer:
        """At each of ``ends``, from ``values[:end]`` alone, the rows end, end + 1, … of a column.

        column  which of the training columns this is, for methods with parameters of their own for each
        values  [rows] without NaN, observed at every row end - 1; rows at and after ``max(ends)`` are not read
        """
        ...

    def residuals(self, column: int) -> Array | None:
        """[origins, horizon] errors on rows it was not fitted on; None: they are measured by :meth:`forecast`."""
        ...

    @property
    def note(self) -> str:
        """What a reader of the table must know; '' where nothing."""
        ...


class Baseline(Protocol):
    """A forecaster without a neural network."""

    @property
    def name(self) -> str:
        """Its name in the table."""
        ...

    @property
    def slow(self) -> bool:
        """True: each window costs a fit, so windows are answered one by one until the time is up."""
        ...

    def fit(self, training: Sequence[Column], horizon: int, season: int) -> Fitted:
        """Look at the training rows. Raises MissingExtra where a package is missing."""
        ...


class NoFit:
    """What :class:`Fitted` asks for beyond `forecast`, for methods that have nothing to say there."""

    note = ""

    def residuals(self, column: int) -> Array | None:
        """None: errors on the training rows are measured by `forecast`."""
        return None
