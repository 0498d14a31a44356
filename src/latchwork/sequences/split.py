"""Splits by time: training rows, then validation rows, then test rows, with a gap between them if asked.

A window belongs to a part only if its whole horizon lies inside it, so nothing that is scored was ever learned from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError
from latchwork.sequences.series import Series

MOST_HORIZONS = 10
"""Without a size given, at most so many horizons are held back for test, and for validation."""


@dataclass(frozen=True)
class TimeSplit:
    """Bounds in rows of each series: training is [0, train), then [start, stop) of validation and of test.

    train       [series]
    validation  [series, 2]
    test        [series, 2]
    by_date     True: one date for all series; False: each series is cut at its own end
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    by_date: bool = False

    @property
    def known(self) -> NDArray[np.int64]:
        """[series] rows before the gap and the test: training and, where there are any, validation rows."""
        start, stop = self.validation.T
        return np.where(stop > start, stop, self.train)


def rows_of(size: float | None, typical: int, horizon: int, share: float, name: str) -> int:
    """A size as rows: given as rows, as a share below 1, or None for whole horizons up to ``share`` of the rows."""
    if size is None:
        return horizon * int(np.clip(share * typical / horizon, 1, MOST_HORIZONS))
    rows = round(size * typical) if 0 < size < 1 else int(size)
    if size > 0 and rows < horizon:
        raise ConfigError(f"{name} is {rows} rows, expected at least the horizon of {horizon} rows, or 0 for none")
    return rows


def split_by_time(
    series: Sequence[Series],
    *,
    horizon: int,
    test_size: float | None = None,
    validation_size: float | None = None,
    gap: int = 0,
    dated: bool = False,
) -> TimeSplit:
    """Hold back the last rows for test, the rows before them for validation.

    With ``dated`` and series that end together (most of them reach the test part of the longest), all are cut at the
    same dates, so that one series' future never teaches about another's. Otherwise each is cut at its own end.
    """
    ends = np.array([one.observed for one in series], dtype=np.int64)
    typical = int(np.median(ends[ends > 0])) if (ends > 0).any() else 0
    test = rows_of(test_size, typical, horizon, 0.2, "test_size")
    validation = rows_of(validation_size, typical, horizon, 0.15, "validation_size")
    held = test + validation + (gap if test else 0) + (gap if validation else 0)
    needed = held + horizon + 2
    if ends.max(initial=0) < needed:
        raise DataError(
            f"the longest series has {ends.max(initial=0)} rows, but {needed} are needed for a horizon of {horizon}: "
            f"{test} for the test, {validation} for validation, {gap} between, {horizon + 2} to learn from; "
            "give more rows, a shorter horizon, or smaller test_size and validation_size"
        )
    backs = _backs(test, validation, gap)
    dates = _cut_dates(series, ends, backs) if dated and len(series) > 1 else None
    bounds = []
    for one, end in zip(series, ends, strict=True):
        if dates is not None:
            cuts = [int(np.searchsorted(one.times[:end], date)) for date in dates]
        else:
            cuts = [max(0, int(end) - back) for back in backs]
        bounds.append(cuts)
    test_start, validation_stop, validation_start, train = np.array(bounds, dtype=np.int64).T
    return TimeSplit(
        train=train,
        validation=np.stack([validation_start, validation_stop], axis=1),
        test=np.stack([test_start, ends], axis=1),
        by_date=dates is not None,
    )


def _cut_dates(series: Sequence[Series], ends: NDArray[np.int64], backs: Sequence[int]) -> list[int] | None:
    """The first date of each part, read off the longest of the series that end last; None where most end earlier
    than the test.
    """
    lasts = np.array(
        [one.times[end - 1] if end else np.iinfo(np.int64).min for one, end in zip(series, ends, strict=True)]
    )
    reference = series[int(np.argmax(np.where(lasts == lasts.max(), ends, -1)))]
    times = reference.times[: reference.observed]
    dates = [int(times[len(times) - back]) if 0 < back <= len(times) else int(times[-1]) + 1 for back in backs]
    return dates if np.mean(lasts >= dates[0]) >= 0.5 else None


def _backs(test: int, validation: int, gap: int) -> tuple[int, int, int, int]:
    """How many rows before the end: the test begins, validation stops, validation begins, training stops."""
    validation_stop = test + (gap if test else 0)
    validation_start = validation_stop + validation
    return test, validation_stop, validation_start, validation_start + (gap if validation else 0)
