"""How sure a figure is that is no plain mean: whole sequences or entities are drawn again, never steps.

Rows of one group (a sequence, a patient) are drawn together. The same seed and groups give the same draws, whatever is
measured on them, so figures of two models are paired.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork.errors import DataError
from latchwork.metrics.paired import Interval, small_sample

Array = NDArray[np.float64]
Takes = Literal["weights", "rows"]

UNDEFINED_AT_MOST = 0.2
"""Above this share of resamples in which a figure is undefined (a class is missing there) it has no interval."""


def bootstrap(
    figure: Callable[[NDArray[Any]], float],
    groups: NDArray[Any],
    *,
    takes: Takes = "weights",
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Percentile interval of any figure of n rows, drawing whole groups.

    ``figure`` is given ``weights [n]`` (how often each row was drawn, float) or, with ``takes="rows"``, the row numbers
    drawn, each as often as it was drawn. ``groups [n]`` of any type. The bounds are moved out for few groups as in
    :func:`~latchwork.metrics.bootstrap_ratio` and kept inside ``within``. They are NaN for fewer than two groups, or
    where the figure is NaN in over a fifth of the resamples.

    A bootstrap can't draw an error that never happened: where nothing is wrong the interval has no width. For a share
    of independent rows :func:`proportion` knows better.
    """
    return bootstrap_each(
        lambda given: np.array([[figure(one)] for one in given]),
        groups,
        takes=takes,
        samples=samples,
        level=level,
        seed=seed,
        within=within,
    )[0]


def bootstrap_each(
    figures: Callable[[Any], Array],
    groups: NDArray[Any],
    *,
    takes: Takes = "weights",
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> list[Interval]:
    """Intervals of several figures from the same draws, many draws at a time.

    ``figures`` maps ``weights [draws, n]`` (or a list of arrays of row numbers) to ``[draws, figures]``.
    """
    unit, units = _units(groups)
    value, drawn = _resampled(figures, unit, units, takes, samples, level, seed)
    return [_interval(*pair, units, level, within) for pair in zip(value, drawn.T, strict=True)]


def bootstrap_sums(
    counts: NDArray[Any],
    figure: Callable[[Array], Array],
    groups: NDArray[Any],
    *,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Interval of a figure that depends on sums only: ``counts [n, k]`` are summed, ``figure [..., k] -> [...]``.

    F1 from (right, predicted, true), accuracy from (right, all), perplexity from (loss, tokens): the sums of the groups
    are taken once, so this costs a matrix product.
    """
    unit, units = _units(groups)
    if counts.ndim != 2 or len(counts) != len(unit):
        raise DataError(f"counts have shape {counts.shape}, expected [{len(unit)}, k]: a row for each entry of groups")
    sums = np.stack([np.bincount(unit, column, minlength=units) for column in counts.T.astype(np.float64)], axis=1)

    def figures(weights: Array) -> Array:
        return figure(weights @ sums)[:, None]

    return bootstrap_each(figures, np.arange(units), samples=samples, level=level, seed=seed, within=within)[0]


class Difference(NamedTuple):
    """First minus second, with its interval and two-sided p: how often a resample falls on the other side of 0."""

    value: float
    lower: float
    upper: float
    p: float


def paired_difference(
    first: Callable[[NDArray[Any]], float],
    second: Callable[[NDArray[Any]], float],
    groups: NDArray[Any],
    *,
    takes: Takes = "weights",
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Difference of a figure of two models on the same rows, both measured on the same draws of whole groups.

    Both come from the same widened resamples d*, of which there are B: p = 2 (min(#{d* ≤ 0}, #{d* ≥ 0}) + 1) / (B + 1),
    at most 1 (Davison & Hinkley 1997, 4.2); the bounds are the k-th smallest and the k-th largest of them, k =
    ⌊(B + 1) (1 - level) / 2⌋, at least 1. So from 39 samples on p ≤ 0.05 exactly where 0 is outside the 95% interval.
    NaN where there is no interval.
    """

    def difference(given: Any) -> Array:
        return np.array([[first(one) - second(one)] for one in given])

    unit, units = _units(groups)
    value, drawn = _resampled(difference, unit, units, takes, samples, level, seed)
    middle, known = float(value[0]), drawn[~np.isnan(drawn)]
    if _without(middle, known, len(drawn), units):
        return Difference(middle, math.nan, math.nan, math.nan)
    spread = np.sort(middle + small_sample(units, level) * (known - middle))
    place = max(1, math.floor((len(spread) + 1) * (1 - level) / 2))
    beyond = min(int((spread <= 0).sum()), int((spread >= 0).sum()))
    p = min(1.0, 2 * (beyond + 1) / (len(spread) + 1))
    return Difference(middle, float(spread[place - 1]), float(spread[-place]), p)


class McNemar(NamedTuple):
    """Rows that only the first, and only the second, has right; p of their being equally many."""

    first_only: int
    second_only: int
    p: float


def mcnemar(first: NDArray[Any], second: NDArray[Any]) -> McNemar:
    """Exact test that two models are equally often right on the same rows; ``[n]`` true or false each.

    Two-sided binomial test of the rows on which they differ (McNemar 1947, exact form). Rows must be independent: for
    rows that share an entity use :func:`paired_difference` with groups. No score of latchwork's own uses it, as tables
    tell differences with their intervals; it is there for those who report this test.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(
            f"two models' right answers have shapes {first.shape} and {second.shape}, expected the same [n]"
        )
    ours, theirs = first.astype(bool), second.astype(bool)
    only = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    few, differ = min(only), sum(only)
    p = 1.0 if 2 * few == differ else min(1.0, 2 * float(binomial_tail(differ - few, differ, 0.5)))
    return McNemar(*only, p)


@dataclass(frozen=True)
class Spread:
    """One figure over seeds or folds: mean and standard deviation (n - 1) of those that are defined, and every value.

    >>> str(Spread.of([0.5, 0.7]))
    '0.6000 ± 0.1414 (2)'
    >>> str(Spread.of([0.5, 0.7, float("nan")]))
    '0.6000 ± 0.1414 (2 of 3, undefined in the rest)'
    """

    mean: float
    deviation: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float] | Array) -> "Spread":
        """The deviation is NaN for fewer than two values, the mean for none."""
        everything = tuple(float(value) for value in values)
        known = np.array([value for value in everything if not math.isnan(value)])
        return cls(
            float(known.mean()) if len(known) else math.nan,
            float(known.std(ddof=1)) if len(known) > 1 else math.nan,
            everything,
        )

    @property
    def undefined(self) -> int:
        """How many seeds or folds have no value."""
        return sum(math.isnan(value) for value in self.values)

    def __str__(self) -> str:
        known = len(self.values) - self.undefined
        counted = f"{known} of {len(self.values)}, undefined in the rest" if self.undefined else str(known)
        return f"{self.mean:.4f} ± {self.deviation:.4f} ({counted})"


def proportion(successes: int, trials: int, level: float = 0.95) -> Interval:
    """A share with Clopper and Pearson's exact interval (1934): each bound is passed with probability (1 - level) / 2.

    Never too narrow for independent trials, and as good as it can be where there is no failure. NaN without trials.
    """
    if not 0 <= successes <= trials or not 0 < level < 1:
        raise DataError(
            f"{successes} of {trials} at level {level}: expected 0 <= successes <= trials and 0 < level < 1"
        )
    if not trials:
        return Interval(math.nan, math.nan, math.nan)
    upper = 1.0 - float(exact_lower(trials - successes, trials, level))
    return Interval(successes / trials, float(exact_lower(successes, trials, level)), upper)


def share(right: NDArray[np.bool_], of: NDArray[np.bool_], groups: NDArray[Any]) -> Interval:
    """Σ right / Σ of, all ``[n]``, with its exact interval; where rows share groups, the wider of it and the bootstrap.

    NaN bounds where the bootstrap has none.
    """
    exact = proportion(int(right.sum()), int(of.sum()))
    if math.isnan(exact.value) or len(np.unique(groups)) == len(groups):
        return exact
    drawn = bootstrap_sums(
        np.stack([right, of], 1).astype(np.float64),
        lambda sums: sums[..., 0] / np.where(sums[..., 1] == 0, np.nan, sums[..., 1]),
        groups,
    )
    if math.isnan(drawn.lower):
        return drawn
    return Interval(exact.value, min(exact.lower, drawn.lower), max(exact.upper, drawn.upper))


def exact_lower(successes: Any, trials: Any, level: float) -> Array:
    """Lower end of Clopper and Pearson's interval; arrays broadcast, trials ≥ 1.

    The p with P(X ≥ successes) = (1 - level) / 2, by halving; 0 where there is no success.
    """
    successes, trials = np.broadcast_arrays(successes, trials)
    low, high = np.zeros(successes.shape), np.ones(successes.shape)
    for _ in range(60):
        middle = (low + high) / 2
        below = binomial_tail(np.maximum(successes, 1), trials, middle) < (1 - level) / 2
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(successes > 0, (low + high) / 2, 0.0)


def binomial_tail(successes: Any, trials: Any, chance: Any) -> Array:
    """P(X ≥ successes) for X ~ Binomial(trials, chance), successes ≥ 1, 0 < chance < 1; arrays broadcast.

    = I_chance(successes, trials - successes + 1), the regularised incomplete beta function, by its continued fraction
    (DLMF 8.17.22, modified Lentz).
    """
    k, n, x = (np.asarray(value, np.float64) for value in (successes, trials, chance))
    k, n, x = np.broadcast_arrays(k, n, x)
    inside = k <= n
    a, b = np.where(inside, k, 1.0), np.where(inside, n - k + 1, 1.0)
    swap = x > (a + 1) / (a + b + 2)
    x, a, b = np.where(swap, 1 - x, x), np.where(swap, b, a), np.where(swap, a, b)
    log_front = _lgamma(a + b) - _lgamma(a) - _lgamma(b) + a * np.log(x) + b * np.log1p(-x) - np.log(a)
    c, d = np.ones_like(x), 1 / _apart(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d, c = 1 / _apart(1 + term * d), _apart(1 + term / c)
            fraction = fraction * d * c
        if (np.abs(d * c - 1) < 1e-14).all():
            break
    tail = np.exp(log_front) * fraction
    return np.where(inside, np.clip(np.where(swap, 1 - tail, tail), 0.0, 1.0), 0.0)


def _apart(value: Array) -> Array:
    return np.where(np.abs(value) < 1e-300, 1e-300, value)


def _lgamma(value: Array) -> Array:
    return torch.lgamma(torch.from_numpy(np.array(value))).numpy()


def _units(groups: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    if groups.ndim != 1 or not len(groups):
        raise DataError(f"groups have shape {groups.shape}, expected [n]: the sequence or entity of each row, n >= 1")
    names, unit = np.unique(groups, return_inverse=True)
    return unit, len(names)


def _draws(units: int, rows: int, samples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each unit is drawn, ``[some, units]`` at a time so that memory is bounded."""
    generator = np.random.default_rng(seed)
    at_once = max(1, 2_000_000 // rows)
    for start in range(0, samples, at_once):
        some = min(at_once, samples - start)
        picks = generator.integers(units, size=(some, units)) + units * np.arange(some)[:, None]
        yield np.bincount(picks.ravel(), minlength=some * units).reshape(some, units)


def _resampled(
    figures: Callable[[Any], Array],
    unit: NDArray[np.int64],
    units: int,
    takes: Takes,
    samples: int,
    level: float,
    seed: int,
) -> tuple[Array, Array]:
    """The figures ``[figures]`` of the rows as they are, and of every draw ``[samples, figures]``."""
    if samples < 1 or not 0 < level < 1 or takes not in ("weights", "rows"):
        raise DataError(
            f'bootstrap: samples {samples}, level {level}, takes "{takes}"; '
            'expected >= 1, in (0, 1), "weights" or "rows"'
        )
    rows = np.arange(len(unit))

    def measure(times: NDArray[np.int64]) -> Array:
        weights = times[:, unit]
        given = [np.repeat(rows, one) for one in weights] if takes == "rows" else weights.astype(np.float64)
        return np.asarray(figures(given), np.float64)

    value = measure(np.ones((1, units), np.int64))[0]
    if units < 2:
        return value, np.empty((0, len(value)))
    return value, np.concatenate([measure(times) for times in _draws(units, len(unit), samples, seed)])


def _interval(value: float, drawn: Array, units: int, level: float, within: tuple[float, float]) -> Interval:
    known = drawn[~np.isnan(drawn)]
    if _without(value, known, len(drawn), units):
        return Interval(float(value), math.nan, math.nan)
    wider = small_sample(units, level)
    low, high = (value + wider * (np.quantile(known, side) - value) for side in ((1 - level) / 2, (1 + level) / 2))
    return Interval(float(value), float(max(within[0], low)), float(min(within[1], high)))


def _without(value: float, known: Array, samples: int, units: int) -> bool:
    """Whether there is no interval: too few units, or undefined in too many draws."""
    return math.isnan(value) or units < 2 or len(known) < (1 - UNDEFINED_AT_MOST) * samples
