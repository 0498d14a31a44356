"""How sure a difference is: block bootstrap intervals, and Diebold and Mariano's test."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import DataError

Array = NDArray[np.float64]
Groups = NDArray[np.int64]

SERIES_ENOUGH = 10
"""From so many series on, whole series are resampled rather than stretches of time."""


class Interval(NamedTuple):
    """An estimate with its bootstrap interval; the bounds are NaN where fewer than two units are independent."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class Resampling:
    """What is drawn together when windows are resampled.

    groups  [n]    unit of each window: its series, or its origin
    block          neighbouring units drawn together: 1 for series, the reach of the overlap for origins
    unit           'series' or 'origin'
    step           rows from one origin to the next (the median); 0 where there is one origin only
    """

    groups: Groups
    block: int
    unit: str
    step: int

    @classmethod
    def choose(cls, series: Groups, origin: Groups, horizon: int) -> "Resampling":
        """Whole series when there are at least ten, or more of them than independent origins; else blocks of origins.

        A block of origins reaches over the horizon, so that windows which share rows stay together, and grows as the
        cube root of their number (Künsch 1989). All series and targets of an origin stay together.
        """
        many_series = len(np.unique(series))
        origins = np.unique(origin)
        step = int(np.median(np.diff(origins))) if len(origins) > 1 else 0
        block = max(math.ceil(horizon / step) if step else 1, math.ceil(len(origins) ** (1 / 3)))
        if many_series >= SERIES_ENOUGH or many_series > len(origins) / block:
            return cls(series, 1, "series", step)
        return cls(origin, block, "origin", step)

    @property
    def independent(self) -> float:
        """About how many independent units there are."""
        return len(np.unique(self.groups)) / self.block


def bootstrap_mean(
    values: Array, groups: Groups, *, block: int = 1, samples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile interval of the mean of ``values [n]``, drawing whole groups (or runs of ``block`` neighbouring ones).

    See :func:`bootstrap_ratio`; values that are NaN are left out.
    """
    return bootstrap_ratio(values, np.ones_like(values), groups, block=block, samples=samples, level=level, seed=seed)


def bootstrap_ratio(
    numerator: Array,
    denominator: Array,
    groups: Groups,
    *,
    block: int = 1,
    samples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of Σ numerator / Σ denominator, both [n], drawn together: a paired comparison.

    groups [n]: values of one group are drawn together. With ``block`` > 1 groups are taken in increasing order (time)
    and runs of them are drawn, wrapped round at the end so that each is drawn equally often (circular block bootstrap,
    Politis & Romano 1992). Rows with a NaN are left out. The same seed gives the same interval.

    Few units make a percentile interval too narrow, so both bounds are moved out by t / z √(G / (G - 1)), t and z the
    quantiles of Student's t with G - 1 degrees and of the normal, G = independent units: groups / block (as Hesterberg
    2015 does with the percentiles). The lower bound of what can't be negative stays at 0 or above.
    """
    if block < 1 or samples < 1 or not 0 < level < 1:
        raise DataError(f"bootstrap: block {block}, samples {samples}, level {level}; expected >= 1, >= 1, in (0, 1)")
    keep = ~(np.isnan(numerator) | np.isnan(denominator))
    names, unit = np.unique(groups[keep], return_inverse=True)
    columns = np.stack([numerator[keep], denominator[keep]], axis=1)
    if not len(names):
        return Interval(math.nan, math.nan, math.nan)
    sums = np.stack([np.bincount(unit, column, minlength=len(names)) for column in columns.T], axis=1)
    total = sums.sum(axis=0)
    value = float(total[0] / total[1]) if total[1] else math.nan
    if len(names) < 2 * block or not total[1]:
        return Interval(value, math.nan, math.nan)
    wrapped = np.concatenate([np.zeros((1, 2)), np.cumsum(np.concatenate([sums, sums[: block - 1]]), axis=0)])
    runs = wrapped[block:] - wrapped[:-block]
    generator = np.random.default_rng(seed)
    drawn = math.ceil(len(names) / block)
    at_once = max(1, 2_000_000 // drawn)  # bounds the memory of the draws
    ratios = []
    for start in range(0, samples, at_once):
        picks = generator.integers(len(runs), size=(min(at_once, samples - start), drawn))
        resampled = runs[picks].sum(axis=1)
        ratios.append(resampled[:, 0] / np.where(resampled[:, 1] == 0, np.nan, resampled[:, 1]))
    low, high = np.nanquantile(np.concatenate(ratios), [(1 - level) / 2, (1 + level) / 2])
    wider = small_sample(len(names) // block, level)
    floor = 0.0 if (columns >= 0).all() else -math.inf
    return Interval(value, max(floor, value - wider * (value - float(low))), value + wider * (float(high) - value))


def small_sample(units: int, level: float) -> float:
    """t / z √(G / (G - 1)); above 200 units those of 200, which is 1% more than 1."""
    units = min(units, 200)
    low, high = 0.0, 1e6
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _two_sided(middle, units - 1) > 1 - level else (low, middle)
    return high / NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(units / (units - 1))


class DieboldMariano(NamedTuple):
    """statistic: negative where the first forecast has the lower loss; p: two-sided; NaN where it can't be had."""

    statistic: float
    p: float


def diebold_mariano(loss_a: Array, loss_b: Array, horizon: int) -> DieboldMariano:
    """Test that two forecasts have the same expected loss; losses [origins] in time order, one for each origin.

    d = a - b; statistic = mean(d) / √(V / T), V the long-run variance with the autocovariances up to horizon - 1
    (Diebold & Mariano 1995), Newey and West's weights where that is not positive; times the small-sample correction
    √((T + 1 - 2h + h(h-1)/T) / T), against Student's t with T - 1 degrees (Harvey, Leybourne, Newbold 1997).
    ``horizon`` counts origins: ⌈steps ahead / rows between origins⌉. Origins with a NaN are left out.
    """
    if loss_a.shape != loss_b.shape or loss_a.ndim != 1:
        raise DataError(f"losses have shapes {loss_a.shape} and {loss_b.shape}, expected the same [origins]")
    difference = (loss_a - loss_b)[~np.isnan(loss_a - loss_b)]
    count = len(difference)
    if horizon < 1 or count <= horizon + 1:
        return DieboldMariano(math.nan, math.nan)
    centred = difference - difference.mean()
    covariances = np.array([centred[lag:] @ centred[: count - lag] / count for lag in range(horizon)])
    variance = covariances[0] + 2 * covariances[1:].sum()
    if variance <= 0:
        variance = covariances[0] + 2 * ((1 - np.arange(1, horizon) / horizon) * covariances[1:]).sum()
    if variance <= 0:
        return DieboldMariano(math.nan, math.nan)
    correction = (count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count
    statistic = float(difference.mean() / math.sqrt(variance / count) * math.sqrt(correction))
    return DieboldMariano(statistic, _two_sided(statistic, count - 1))


def _two_sided(statistic: float, degrees: int) -> float:
    """P(|t| > statistic) for Student's t with whole degrees of freedom (Abramowitz & Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(abs(statistic) / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2 == 1
    term = cosine if odd else 1.0
    series = 0.0
    for power in range(2 if odd else 1, degrees, 2):
        series += term
        term *= cosine * cosine * power / (power + 1)
    inside = 2 / math.pi * (angle + sine * series) if odd else sine * series
    return min(1.0, max(0.0, 1 - inside))
