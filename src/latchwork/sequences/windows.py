"""Forecast windows: which forecasts are asked for, and what came true. Every method in a leaderboard answers the
same ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import DataError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Windows:
    """One row for each (series, target, origin).

    series  [n]           index of the series: what an interval over many series resamples
    target  [n]           index of the target column
    origin  [n]           rows of the series known to the forecaster: it sees rows [0, origin), it is asked for
                          rows [origin, origin + horizon)
    actual  [n, horizon]  what came true; NaN where the row is missing: not scored
    scale   [n]           mean absolute seasonal-naive error over the *training* rows of that series and target
                          (the denominator of MASE); NaN where it can't be had
    """

    series: NDArray[np.int64]
    target: NDArray[np.int64]
    origin: NDArray[np.int64]
    actual: Array
    scale: Array

    def __post_init__(self) -> None:
        for name in ("series", "target", "origin", "actual", "scale"):
            if len(getattr(self, name)) != len(self.actual):
                raise DataError(f"windows: {name} has {len(getattr(self, name))} rows, actual has {len(self.actual)}")

    def __len__(self) -> int:
        return len(self.actual)

    @property
    def horizon(self) -> int:
        """Steps ahead."""
        return self.actual.shape[1]

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Windows":
        """Some of the windows, in the order given."""
        return Windows(self.series[rows], self.target[rows], self.origin[rows], self.actual[rows], self.scale[rows])


@dataclass(frozen=True)
class Forecasts:
    """The answers of one method to some :class:`Windows`, in the same order.

    point      [n, horizon]
    quantiles  [n, horizon, levels] or None, not decreasing along levels
    levels     the probabilities the quantiles stand for, increasing, inside (0, 1)
    """

    name: str
    point: Array
    quantiles: Array | None = None
    levels: tuple[float, ...] = ()
    note: str = ""

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Forecasts":
        """The answers to some of the windows."""
        quantiles = None if self.quantiles is None else self.quantiles[rows]
        return Forecasts(self.name, self.point[rows], quantiles, self.levels, self.note)
