"""Numbers from forecasts: what came true ``actual [n, horizon]`` against ``point [n, horizon]`` or quantiles.

One rule for all of them. A step whose actual is NaN is not scored. Each window is the mean over its scored steps, and
the figure is the mean over the windows that have one; where nothing is missing this is the mean over all values (the
usual ETT protocol) and, with one window a series, the mean over series (M4's protocol). A forecast that is missing
where the actual is there makes the figure NaN: an answer not given is not forgiven.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import DataError

Array = NDArray[np.float64]


def window_mean(errors: Array, actual: Array) -> Array:
    """[n, horizon] -> [n]: mean of each window's errors over its scored steps; NaN where no step is scored."""
    scored = ~np.isnan(actual)
    steps = scored.sum(axis=1)
    return np.where(scored, errors, 0.0).sum(axis=1) / np.where(steps > 0, steps, np.nan)


def mean_over_windows(losses: Array, actual: Array) -> float:
    """[n] -> the mean over the windows with a scored step (NaN when there is none)."""
    scored = losses[~np.isnan(actual).all(axis=1)]
    return float(scored.mean()) if len(scored) else math.nan


def absolute_errors(actual: Array, point: Array) -> Array:
    """|y - f| per window, [n], in the units of the data."""
    return window_mean(np.abs(actual - _same_shape(actual, point)), actual)


def squared_errors(actual: Array, point: Array) -> Array:
    """(y - f)² per window, [n]."""
    return window_mean((actual - _same_shape(actual, point)) ** 2, actual)


def symmetric_errors(actual: Array, point: Array) -> Array:
    """200 |y - f| / (|y| + |f|) per window, [n], between 0 and 200; a step where both are 0 counts as 0."""
    size = np.abs(actual) + np.abs(_same_shape(actual, point))
    errors = 200 * np.abs(actual - point) / np.where(size == 0, 1.0, size)
    return window_mean(errors, actual)


def scaled_errors(actual: Array, point: Array, scale: Array) -> Array:
    """|y - f| / scale per window, [n]; NaN where the scale is NaN or not positive."""
    usable = np.where(scale > 0, scale, np.nan)
    return absolute_errors(actual, point) / usable


def mae(actual: Array, point: Array) -> float:
    """Mean absolute error, in the units of the data."""
    return mean_over_windows(absolute_errors(actual, point), actual)


def mse(actual: Array, point: Array) -> float:
    """Mean squared error."""
    return mean_over_windows(squared_errors(actual, point), actual)


def rmse(actual: Array, point: Array) -> float:
    """Square root of :func:`mse` (of the mean over all windows, not the mean of each window's root)."""
    return math.sqrt(mse(actual, point))


def smape(actual: Array, point: Array) -> float:
    """Symmetric mean absolute percentage error on M4's scale: the mean of 200 |y - f| / (|y| + |f|), from 0 to 200.

    Makridakis, Spiliotis, Assimakopoulos 2020. Where y and f are both 0 the step counts as 0.
    """
    return mean_over_windows(symmetric_errors(actual, point), actual)


def mase(actual: Array, point: Array, scale: Array) -> float:
    """Mean absolute scaled error: |y - f| over ``scale [n]``, see :func:`seasonal_naive_error`. Hyndman & Koehler 2006.

    Windows whose scale is NaN or 0 (a series that repeats itself exactly, or is too short) are left out.
    """
    usable = scale > 0
    return mean_over_windows(scaled_errors(actual, point, scale)[usable], actual[usable])


def owa(smape: float, mase: float, smape_naive2: float, mase_naive2: float) -> float:
    """Overall weighted average of M4: the mean of the two *ratios of means* to Naive2's, sMAPE's and MASE's.

    >>> owa(13.912, 1.193, 18.383, 2.395)  # seasonal naive on M4 Hourly
    0.627...
    """
    return 0.5 * (smape / smape_naive2 + mase / mase_naive2)


def seasonal_naive_error(values: Array, season: int) -> float:
    """MASE's denominator: the mean of |y_t - y_{t-season}| over the *training* rows ``values [rows]`` given.

    Pairs with a missing value are left out; with no more rows than a season, the season is 1. NaN where no pair is left
    or the error is 0, for nothing can be divided by it.
    """
    lag = season if len(values) > season else 1
    differences = np.abs(values[lag:] - values[:-lag])
    differences = differences[~np.isnan(differences)]
    error = float(differences.mean()) if len(differences) else 0.0
    return error if error > 0 else math.nan


def pinball(actual: Array, quantiles: Array, levels: Sequence[float]) -> Array:
    """Quantile loss, one number for each level: the mean of max(τ (y - q), (τ - 1)(y - q)). Koenker & Bassett 1978.

    quantiles [n, horizon, levels]
    """
    return np.array(
        [
            mean_over_windows(window_mean(_tilted(actual, quantiles[..., i], level), actual), actual)
            for i, level in enumerate(_checked(actual, quantiles, levels))
        ]
    )


def scaled_crps(actual: Array, quantiles: Array, levels: Sequence[float]) -> float:
    """Mean weighted quantile loss: 2 Σ pinball / Σ |y| over all scored values, averaged over the levels.

    This is GluonTS' and GIFT-Eval's ``mean_weighted_sum_quantile_loss``: an approximation of the CRPS over Σ |y| that
    gets better with the number of levels, so figures compare only between forecasts with the same levels.
    """
    scored = ~np.isnan(actual)
    size = float(np.abs(actual[scored]).sum())
    if size == 0:
        return math.nan
    losses = [
        float(_tilted(actual, quantiles[..., i], level)[scored].sum())
        for i, level in enumerate(_checked(actual, quantiles, levels))
    ]
    return 2 * float(np.mean(losses)) / size


def coverage(actual: Array, lower: Array, upper: Array) -> float:
    """Share of the scored values inside [lower, upper], bounds included."""
    missing = np.isnan(_same_shape(actual, lower)) | np.isnan(_same_shape(actual, upper))
    inside = np.where(missing, np.nan, (actual >= lower) & (actual <= upper))
    return mean_over_windows(window_mean(inside, actual), actual)


def interval_width(actual: Array, lower: Array, upper: Array) -> float:
    """Mean of upper - lower over the scored values, in the units of the data."""
    return mean_over_windows(window_mean(upper - lower, actual), actual)


def _tilted(actual: Array, quantile: Array, level: float) -> Array:
    error = actual - quantile
    return np.maximum(level * error, (level - 1) * error)


def _same_shape(actual: Array, forecast: Array) -> Array:
    if actual.shape != forecast.shape:
        raise DataError(f"the forecast has shape {forecast.shape}, expected the actual values' {actual.shape}")
    return forecast


def _checked(actual: Array, quantiles: Array, levels: Sequence[float]) -> Sequence[float]:
    if quantiles.shape != (*actual.shape, len(levels)):
        expected = (*actual.shape, len(levels))
        raise DataError(f"quantiles have shape {quantiles.shape}, expected {expected}: [n, horizon, levels]")
    return levels
