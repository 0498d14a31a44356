"""Formulas that need no fitting: each reads values[:end] and writes down the next rows.

All take ``(values [rows], ends [windows], steps, season)`` and return ``[windows, steps]``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from latchwork.baselines.column import Answer, Array, Column, NoFit, Rows

Rule = Callable[[Array, Rows, int, int], Array]


@dataclass(frozen=True)
class Formula:
    """A baseline that is a formula."""

    name: str
    rule: Rule
    slow: bool = False

    def fit(self, training: Sequence[Column], horizon: int, season: int) -> "FittedFormula":
        """Nothing to fit."""
        return FittedFormula(self.rule, season)


@dataclass(frozen=True)
class FittedFormula(NoFit):
    """A formula that knows its season."""

    rule: Rule
    season: int

    def forecast(self, column: int, values: Array, ends: Rows, steps: int) -> Answer:
        """The formula at each end."""
        return Answer(self.rule(values, ends, steps, self.season))


def naive(values: Array, ends: Rows, steps: int, season: int) -> Array:
    """The last value, for ever."""
    return np.repeat(values[ends - 1][:, None], steps, axis=1)


def drift(values: Array, ends: Rows, steps: int, season: int) -> Array:
    """The straight line through the first and the last value."""
    slope = (values[ends - 1] - values[0]) / np.maximum(ends - 1, 1)
    return values[ends - 1][:, None] + slope[:, None] * np.arange(1, steps + 1)


def seasonal_naive(values: Array, ends: Rows, steps: int, season: int) -> Array:
    """The last season again and again; the last value where less than a season is known."""
    back = np.where(ends[:, None] >= season, season - np.arange(steps) % season, 1)
    return values[ends[:, None] - back]


def seasonal_drift(values: Array, ends: Rows, steps: int, season: int) -> Array:
    """The last season plus, for each season ahead, the average change from one season to the next.

    The change is from the mean of the first season to the mean of the last one; 0 where two seasons are not known.
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    first, rows = sums[min(season, len(values))], ends - season
    change = np.where(rows >= season, sums[ends] - sums[np.maximum(rows, 0)] - first, 0.0) / np.maximum(rows, 1)
    return seasonal_naive(values, ends, steps, season) + change[:, None] * (1 + np.arange(steps) // season)


def moving_average(values: Array, ends: Rows, steps: int, season: int) -> Array:
    """The mean of the last season, or of the last 10 values where there is no season."""
    length = season if season > 1 else 10
    sums = np.concatenate([[0.0], np.cumsum(values)])
    starts = np.maximum(ends - length, 0)
    return np.repeat(((sums[ends] - sums[starts]) / (ends - starts))[:, None], steps, axis=1)


def naive2(values: Array, ends: Rows, steps: int, season: int) -> Array:
    """The naive forecast of the seasonally adjusted series, as in the M4 competition (Makridakis et al. 2020).

    Adjusted where at least three seasons are known and the autocorrelation at the season is significant at 90%
    (|r_m| > 1.645 √((1 + 2 Σ_{k<m} r_k²) / n)). The indices are those of classical multiplicative decomposition; where
    a value up to the end is not positive, which M4's series never are, they are added instead of multiplied.
    """
    seasonal = season > 1
    if not seasonal:
        return naive(values, ends, steps, season)
    positive = np.minimum.accumulate(values)[ends - 1] > 0
    adjusted = _is_seasonal(values, ends, season)
    last = values[ends - 1]
    ahead = (ends[:, None] + np.arange(steps)) % season
    now = (ends - 1) % season
    rows = np.arange(len(ends))
    factor = _indices(values, ends, season, multiplicative=True)
    addend = _indices(values, ends, season, multiplicative=False)
    with np.errstate(divide="ignore", invalid="ignore"):  # the factor of a series with zeros, which is not used
        multiplied = (last / factor[rows, now])[:, None] * factor[rows[:, None], ahead]
    added = (last - addend[rows, now])[:, None] + addend[rows[:, None], ahead]
    choice = np.where(positive[:, None], multiplied, added)
    return np.where(adjusted[:, None], choice, last[:, None])


def _is_seasonal(values: Array, ends: Rows, season: int) -> np.ndarray:
    """M4's test at each end, from running sums: autocovariance k of the first n values, about their own mean."""
    if len(values) < 3 * season:
        return np.zeros(len(ends), dtype=bool)
    centred = values - values[0]  # any shift leaves the answer; this one keeps the sums small and reads no later row
    total = np.concatenate([[0.0], np.cumsum(centred)])
    mean = total[ends] / ends
    covariance = np.empty((season + 1, len(ends)))
    for lag in range(season + 1):
        known = np.maximum(ends - lag, 0)
        products = np.concatenate([[0.0], np.cumsum(centred[lag:] * centred[: len(centred) - lag])])
        edges = (total[ends] - total[np.minimum(lag, ends)]) + total[known]
        covariance[lag] = products[np.minimum(known, len(products) - 1)] - mean * edges + known * mean**2
    correlation = covariance[1:] / np.where(covariance[0] > 0, covariance[0], np.inf)
    limit = 1.645 / np.sqrt(ends) * np.sqrt(1 + 2 * (correlation[:-1] ** 2).sum(axis=0))
    return (ends >= 3 * season) & (np.abs(correlation[-1]) > limit)


def _indices(values: Array, ends: Rows, season: int, *, multiplicative: bool) -> Array:
    """[windows, season]: classical seasonal indices of values[:end], by position in the column modulo the season."""
    half = season // 2
    weights = np.full(season + 1 - season % 2, 1.0 / season)
    if season % 2 == 0:
        weights[[0, -1]] /= 2
    if len(values) < len(weights) + season:
        return np.ones((len(ends), season)) if multiplicative else np.zeros((len(ends), season))
    trend = np.convolve(values, weights, mode="valid")  # trend[i] belongs to row i + half and reads up to i + 2 half
    inner = values[half : half + len(trend)]
    with np.errstate(divide="ignore", invalid="ignore"):
        detrended = inner / trend if multiplicative else inner - trend
    detrended = np.where(np.isfinite(detrended), detrended, 1.0)  # only where a value is not positive: not used then
    figures = np.zeros((len(ends), season))
    for phase in range(season):
        first = (phase - half) % season
        sums = np.concatenate([[0.0], np.cumsum(detrended[first::season])])
        rows = np.maximum(ends - 2 * half - first, 0)
        count = (rows + season - 1) // season
        figures[:, phase] = sums[np.minimum(count, len(sums) - 1)] / np.maximum(count, 1)
    level = figures.mean(axis=1, keepdims=True)
    return figures / np.where(level == 0, 1.0, level) if multiplicative else figures - level
