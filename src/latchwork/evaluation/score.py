"""Scores: every method on the same windows, each difference with its interval."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from latchwork import metrics as numbers
from latchwork.errors import ConfigError, DataError, did_you_mean
from latchwork.evaluation.leaderboard import TITLES, Comparison, Leaderboard, Row
from latchwork.sequences import Forecasts, Windows

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Main = Literal["mae", "mase"]

FEWEST_WINDOWS = 30
"""A baseline that stopped at its cap before so many windows is not taken for the best one."""

DEFAULT_METRICS = ("mae", "rmse", "smape", "mase", "owa", "scrps", "coverage")


def score(
    windows: Windows,
    forecasts: Sequence[Forecasts],
    *,
    season: int,
    metrics: Sequence[str] = DEFAULT_METRICS,
    main: Main | None = None,
    models: Sequence[str] | None = None,
    seed: int = 0,
    samples: int = 2000,
) -> Leaderboard:
    """Score every method on the same windows.

    season   what ``windows.scale`` was made with; shown beside MASE
    metrics  of mae, mse, rmse, smape, mase, owa, scrps, coverage, width; OWA needs a row named 'naive2'
    main     the metric that decides; default: MASE where every window has a scale and there is more than one series (or
             target, whose units differ), MAE otherwise; always among the columns
    models   names of the rows to be judged; default: the first. All others are baselines
    seed     of the bootstrap; ``samples`` is its number of draws

    A window with no actual value is left out. A method that did not answer a window (its point is NaN where the actual
    is there) is scored on the others; its row says on how many, and it is compared with each other method on the
    windows that both answered. Intervals resample whole series, or blocks of origins: see
    :class:`latchwork.metrics.Resampling`.
    """
    _check(windows, forecasts, metrics, main)
    kept = np.flatnonzero((~np.isnan(windows.actual)).any(axis=1))
    if not len(kept):
        raise DataError("no window has an actual value to score against; hold back rows that have a target")
    windows = windows.select(kept)
    methods = [forecast.select(kept) for forecast in forecasts]
    judged = [methods[0].name] if models is None else list(models)
    for name in judged:
        if name not in (names := [method.name for method in methods]):
            raise ConfigError(f'no forecasts are named "{name}"; there are {names}{did_you_mean(name, names)}')
    board = _Board(windows, methods, _main(windows, main), seed, samples)
    best = board.best(judged)
    shown = tuple(metrics) if board.main in metrics else (board.main, *metrics)
    rows = [board.row(method, shown, method.name in judged, best) for method in methods]
    rows.sort(key=lambda row: (row.windows == 0, _last(row.relative), _last(row.values[board.main])))
    others = [(model, rival.name) for model in judged for rival in methods if rival.name != model]
    return Leaderboard(
        rows=tuple(rows),
        comparisons=tuple(board.compare(model, rival) for model, rival in others),
        main=board.main,
        metrics=shown,
        best=best,
        windows=len(windows),
        series=len(np.unique(windows.series)),
        horizon=windows.horizon,
        season=season,
        interval=board.share,
        levels=board.levels,
    )


class _Board:
    """The losses of every method, window by window."""

    def __init__(self, windows: Windows, methods: list[Forecasts], main: Main, seed: int, samples: int) -> None:
        self.windows, self.main, self.seed, self.samples = windows, main, seed, samples
        self.methods = {method.name: method for method in methods}
        self.losses: dict[str, Array] = {}
        self.answered: dict[str, Mask] = {}
        for method in methods:
            errors = numbers.absolute_errors(windows.actual, method.point)
            self.answered[method.name] = ~np.isnan(errors)
            usable = np.where(windows.scale > 0, windows.scale, np.nan)
            self.losses[method.name] = errors / usable if main == "mase" else errors
        self.levels = _common_levels(methods)
        pairs = [(self.levels[low], self.levels[high]) for low, high in numbers.mirrored(self.levels)]
        self.pair = min(pairs, key=lambda pair: abs(pair[1] - pair[0] - 0.8)) if pairs else None
        self.share = self.pair[1] - self.pair[0] if self.pair else math.nan

    def best(self, judged: Sequence[str]) -> str:
        """The baseline of lowest main metric, as a ratio to a row that answered most, on the windows of both."""
        baselines = [name for name in self.methods if name not in judged and self.answered[name].any()]
        if not baselines:
            return ""
        enough = min(FEWEST_WINDOWS, max(int(self.answered[name].sum()) for name in baselines))
        baselines = [name for name in baselines if self.answered[name].sum() >= enough]
        footing = max([*judged, *baselines], key=lambda name: int(self.answered[name].sum()))
        ratios = {name: self._ratio(name, footing) for name in baselines}
        return min(baselines, key=lambda name: _last(ratios[name]))

    def row(self, method: Forecasts, metrics: tuple[str, ...], model: bool, best: str) -> Row:
        answered = self.answered[method.name]
        count = int(answered.sum())
        values = {name: self._value(name, method, answered) if count else math.nan for name in metrics}
        plan = numbers.Resampling.choose(
            self.windows.series[answered], self.windows.origin[answered], self.windows.horizon
        )
        interval = numbers.bootstrap_mean(
            self.losses[method.name][answered], plan.groups, block=plan.block, samples=self.samples, seed=self.seed
        )
        relative = self._ratio(method.name, best) - 1 if best and count else math.nan
        note = method.note
        if 0 < count < len(self.windows) and "windows" not in note:
            note = "; ".join(filter(None, [f"on {count:,} of {len(self.windows):,} windows", note]))
        return Row(method.name, model, values, interval.lower, interval.upper, relative, count, note)

    def compare(self, model: str, rival: str) -> Comparison:
        windows = self.windows
        both = self.answered[model] & self.answered[rival]
        ours, theirs = self.losses[model], self.losses[rival]
        both &= ~np.isnan(ours) & ~np.isnan(theirs)
        if not both.any():
            return Comparison(model, rival, math.nan, math.nan, math.nan, 0, "series", 0.0, math.nan)
        plan = numbers.Resampling.choose(windows.series[both], windows.origin[both], windows.horizon)
        interval = numbers.bootstrap_ratio(
            ours[both], theirs[both], plan.groups, block=plan.block, samples=self.samples, seed=self.seed
        )
        p = math.nan
        if len(np.unique(windows.series[both])) == 1 and plan.step:
            origins, place = np.unique(windows.origin[both], return_inverse=True)
            count = np.bincount(place, minlength=len(origins))
            means = [np.bincount(place, loss[both], minlength=len(origins)) / count for loss in (ours, theirs)]
            p = numbers.diebold_mariano(means[0], means[1], math.ceil(windows.horizon / plan.step)).p
        bounds = (interval.value - 1, interval.lower - 1, interval.upper - 1)
        return Comparison(model, rival, *bounds, int(both.sum()), plan.unit, plan.independent, p)

    def _ratio(self, name: str, other: str) -> float:
        both = ~np.isnan(self.losses[name]) & ~np.isnan(self.losses[other])
        total = self.losses[other][both].sum()
        return float(self.losses[name][both].sum() / total) if total > 0 else math.nan

    def _value(self, metric: str, method: Forecasts, rows: Mask) -> float:
        windows, point = self.windows.select(rows), method.point[rows]
        match metric:
            case "mae":
                return numbers.mae(windows.actual, point)
            case "mse":
                return numbers.mse(windows.actual, point)
            case "rmse":
                return numbers.rmse(windows.actual, point)
            case "smape":
                return numbers.smape(windows.actual, point)
            case "mase":
                return numbers.mase(windows.actual, point, windows.scale)
            case "owa":
                return self._owa(method, rows)
        if method.quantiles is None or not self.levels:
            return math.nan
        places = [method.levels.index(level) for level in self.levels]
        quantiles = method.quantiles[rows][..., places]
        if metric == "scrps":
            return numbers.scaled_crps(windows.actual, quantiles, self.levels)
        if self.pair is None:
            return math.nan
        lower, upper = (quantiles[..., self.levels.index(level)] for level in self.pair)
        function = numbers.coverage if metric == "coverage" else numbers.interval_width
        return function(windows.actual, lower, upper)

    def _owa(self, method: Forecasts, rows: Mask) -> float:
        reference = self.methods.get("naive2")
        if reference is None:
            return math.nan
        rows = rows & self.answered["naive2"]
        if not rows.any():
            return math.nan
        windows = self.windows.select(rows)
        figures = [
            figure
            for point in (method.point[rows], reference.point[rows])
            for figure in (
                numbers.smape(windows.actual, point),
                numbers.mase(windows.actual, point, windows.scale),
            )
        ]
        usable = figures[2] > 0 and figures[3] > 0
        return numbers.owa(*figures) if usable else math.nan


def _check(windows: Windows, forecasts: Sequence[Forecasts], metrics: Sequence[str], main: str | None) -> None:
    if not forecasts:
        raise ConfigError("no forecasts to score; give at least one method's")
    names = [forecast.name for forecast in forecasts]
    if len(set(names)) < len(names):
        raise ConfigError(f"each method needs a name of its own, got {names}")
    for metric in metrics:
        if metric not in TITLES:
            raise ConfigError(f'unknown metric "{metric}"; known are {list(TITLES)}{did_you_mean(metric, TITLES)}')
    if main is not None and main not in ("mae", "mase"):
        raise ConfigError(f'main is "{main}", expected "mae" or "mase"')
    for forecast in forecasts:
        if forecast.point.shape != windows.actual.shape:
            raise DataError(
                f"{forecast.name}: forecasts have shape {forecast.point.shape}, windows ask for {windows.actual.shape}"
            )


def _main(windows: Windows, main: Main | None) -> Main:
    if main is not None:
        return main
    several = len(np.unique(np.stack([windows.series, windows.target], axis=1), axis=0)) > 1
    return "mase" if several and bool((windows.scale > 0).all()) else "mae"


def _common_levels(methods: Sequence[Forecasts]) -> tuple[float, ...]:
    """The levels that every method with quantiles has: sCRPS over different levels does not compare."""
    offered = [set(method.levels) for method in methods if method.quantiles is not None]
    return tuple(sorted(set.intersection(*offered))) if offered else ()


def _last(value: float) -> float:
    """NaN sorts last."""
    return math.inf if math.isnan(value) else value
