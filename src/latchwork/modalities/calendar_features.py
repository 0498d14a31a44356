"""Calendar features of time stamps: where in the hour, day, week and year they lie, as sine and cosine."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latchwork.modalities.frequency import DAY, HOUR


def calendar_names(features: Sequence[str]) -> tuple[str, ...]:
    """The columns that :func:`calendar_matrix` makes.

    >>> calendar_names(["hour", "year"])
    ('hour:sin', 'hour:cos', 'year')
    """
    return tuple(
        column for name in features for column in ([name] if name == "year" else [f"{name}:sin", f"{name}:cos"])
    )


def calendar_matrix(
    times: NDArray[np.int64], features: Sequence[str], year: tuple[float, float] = (0.0, 1.0)
) -> NDArray[np.float64]:
    """[rows, columns]: sin 2πp and cos 2πp of the phase p in [0, 1); the year as (year - mean) / sd.

    times  [rows] nanoseconds since 1970
    year   mean and standard deviation of the years of the training rows
    """
    columns = []
    for name in features:
        if name == "year":
            columns.append((years(times) - year[0]) / year[1])
        else:
            angle = 2 * np.pi * _phase(times, name)
            columns += [np.sin(angle), np.cos(angle)]
    return np.stack(columns, axis=1) if columns else np.zeros((len(times), 0))


def years(times: NDArray[np.int64]) -> NDArray[np.float64]:
    """The calendar year of each stamp."""
    return ((times // DAY).astype("M8[D]").astype("M8[Y]").astype(np.int64) + 1970).astype(np.float64)


def _phase(times: NDArray[np.int64], name: str) -> NDArray[np.float64]:
    if name == "minute":
        return times % HOUR / HOUR
    if name == "hour":
        return times % DAY / DAY
    days = times // DAY
    if name == "weekday":
        return (days + 3) % 7 / 7  # 1970-01-01 was a Thursday; Monday is 0
    dates = days.astype("M8[D]")
    months = dates.astype("M8[M]")
    month = months.astype(np.int64) % 12
    if name == "month":
        return month / 12
    if name == "quarter":
        return month // 3 / 4
    if name == "monthday":
        first, after = months.astype("M8[D]"), (months + 1).astype("M8[D]")
        return (dates - first).astype(np.int64) / (after - first).astype(np.int64)
    year = dates.astype("M8[Y]")
    first, after = year.astype("M8[D]"), (year + 1).astype("M8[D]")
    day = (dates - first).astype(np.int64)
    if name == "week":
        return day // 7 / 53
    return day / (after - first).astype(np.int64)
