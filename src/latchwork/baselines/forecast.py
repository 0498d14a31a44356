"""Every baseline forecast, asked the same questions as the model."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from latchwork.baselines.column import Array, Baseline, Column, Fitted, Rows
from latchwork.baselines.naive import Formula, drift, moving_average, naive, naive2, seasonal_drift, seasonal_naive
from latchwork.baselines.ridge import Ridge
from latchwork.baselines.smoothing import ETS, STLETS
from latchwork.errors import ConfigError, DataError, MissingExtra
from latchwork.sequences import Forecasts, Series, Windows

Progress = Callable[[str, float], None]
"""Called with the baseline's name and the share of its windows that are answered."""

FORECAST_BASELINES: tuple[Baseline, ...] = (
    Formula("naive", naive),
    Formula("drift", drift),
    Formula("seasonal naive", seasonal_naive),
    Formula("seasonal drift", seasonal_drift),
    Formula("moving average", moving_average),
    Formula("naive2", naive2),
    ETS(),
    STLETS(),
    Ridge(),
)

SEASONAL = ("seasonal naive", "seasonal drift", "naive2", "STL+ETS")
"""Without a season these are the same as others, or make no sense, and are left out."""

TRAINING_ORIGINS = 64
"""Origins in the training rows of a series where errors are measured, for the spread."""

ENOUGH_ERRORS = 20
"""With fewer errors a step, a series takes its spread from all series, in units of their scales."""


def run_baselines(
    series: Sequence[Series],
    windows: Windows,
    train_rows: Sequence[int],
    season: int,
    levels: Sequence[float] = (),
    *,
    seconds_cap: float = 60.0,
    progress: Progress | None = None,
    baselines: Sequence[Baseline] = FORECAST_BASELINES,
) -> list[Forecasts]:
    """Point forecasts, and quantiles at ``levels``, of each baseline for each window.

    A baseline is fitted on the first ``train_rows[i]`` rows of series i (0: a series it has never seen), and forecasts
    from an origin see the rows before it, no other. Gaps inside what is known are filled by straight lines; where the
    rows just before the origin are missing, the forecast starts at the last known one and reaches so much further. A
    window with nothing known is NaN.

    Quantiles: the empirical ones of the errors at each step, over origins in the training rows (ridge: over its
    held-back part; STL+ETS: normal, by its theory); for short series from the errors of all series, scaled.

    Each baseline may take ``seconds_cap`` seconds. When they are over, the windows not yet answered stay NaN and the
    note says how many were; the order is spread evenly over series and time. How much is done in that time depends on
    the machine. A baseline whose package is missing is all NaN and its note names the extra to install.
    """
    if season < 1:
        raise ConfigError(f"season is {season}, expected at least 1 (1: no season)")
    if len(train_rows) != len(series):
        raise ConfigError(f"train_rows has {len(train_rows)} numbers for {len(series)} series, expected one for each")
    questions = _Questions.of(series, windows, train_rows, season)
    chosen = [baseline for baseline in baselines if season > 1 or baseline.name not in SEASONAL]
    return [_run(baseline, questions, season, tuple(levels), seconds_cap, progress) for baseline in chosen]


@dataclass(frozen=True, eq=False)
class _Questions:
    """The windows, column by column: a column is one target of one series.

    training  what may be fitted on
    values    each column filled, from its first known row to the last one known at its last origin
    column    [n] index into the two above
    ends      [n] rows of ``values`` known at the window's origin, up to the last observed; 0: nothing is known
    gaps      [n] missing rows between that and the origin
    """

    training: list[Column]
    values: list[Array]
    column: Rows
    ends: Rows
    gaps: Rows
    horizon: int

    @classmethod
    def of(cls, series: Sequence[Series], windows: Windows, train_rows: Sequence[int], season: int) -> "_Questions":
        pairs, column = np.unique(np.stack([windows.series, windows.target], axis=1), axis=0, return_inverse=True)
        column = column.reshape(-1)
        members = np.split(np.argsort(column, kind="stable"), np.cumsum(np.bincount(column, minlength=len(pairs)))[:-1])
        training: list[Column] = []
        values: list[Array] = []
        ends = np.zeros(len(windows), dtype=np.int64)
        gaps = np.zeros(len(windows), dtype=np.int64)
        for (which, target), mine in zip(pairs, members, strict=False):
            origins = windows.origin[mine]
            raw = series[which].target[: origins.max(), target]
            filled = Column.of(raw, season)
            seen = int(train_rows[which])
            training.append(Column.of(raw[: seen or origins.min()], season, trained=seen > 0))
            values.append(filled.values)
            if not len(filled.values):
                continue
            known_from = int(np.flatnonzero(~np.isnan(raw))[0])
            last_known = np.maximum.accumulate(np.where(filled.observed, np.arange(len(filled.values)), 0))
            before = origins - known_from
            known = last_known[np.clip(before - 1, 0, len(last_known) - 1)] + 1
            ends[mine] = np.where(before > 0, known, 0)
            gaps[mine] = np.where(before > 0, before - known, 0)
        return cls(training, values, column, ends, gaps, windows.horizon)

    def units(self, one_by_one: bool) -> list[Rows]:
        """Windows answered together (same column and gap), in an order whose every beginning is spread evenly."""
        answerable = np.flatnonzero(self.ends > 0)
        if one_by_one:
            return [answerable[i : i + 1] for i in _spread_over(self.column[answerable])]
        keys = np.stack([self.column, self.gaps], axis=1)[answerable]
        _, group = np.unique(keys, axis=0, return_inverse=True)
        order = np.argsort(group.reshape(-1), kind="stable")
        cuts = np.flatnonzero(np.diff(group.reshape(-1)[order])) + 1
        groups = [answerable[part] for part in np.split(order, cuts)] if len(order) else []
        return [groups[i] for i in _spread_order(len(groups))]


@dataclass
class _Spread:
    """Errors in the training rows of each column, measured when first needed."""

    fitted: Fitted
    questions: _Questions
    season: int
    errors: dict[int, Array] = field(default_factory=dict)
    own: dict[int, Array] = field(default_factory=dict)

    def measure(self, column: int) -> None:
        if column in self.errors:
            return
        horizon, known = self.questions.horizon, self.questions.training[column]
        errors = self.fitted.residuals(column)
        if errors is None:
            rows = len(known.values)
            first = min(max(2 * self.season, 10), rows // 2)
            ends = np.unique(np.linspace(first, rows - horizon, TRAINING_ORIGINS).astype(np.int64))
            ends = ends[(ends >= max(first, 1)) & (ends <= rows - horizon)]
            ends = ends[known.observed[ends - 1]] if len(ends) else ends
            if len(ends):
                ahead = ends[:, None] + np.arange(horizon)
                point = self.fitted.forecast(column, known.values, ends, horizon).point
                errors = np.where(known.observed[ahead], known.values[ahead] - point, np.nan)
        self.errors[column] = np.zeros((0, horizon)) if errors is None else errors

    def offsets(self, column: int, levels: tuple[float, ...], pooled: Array) -> Array:
        """[horizon, levels] to add to the point forecast."""
        if column not in self.own:
            errors = self.errors[column]
            enough = len(errors) and (~np.isnan(errors)).sum(axis=0).min() >= ENOUGH_ERRORS
            scale = self.questions.training[column].scale
            self.own[column] = np.nanquantile(errors, levels, axis=0).T if enough else pooled * scale
        return self.own[column]

    def pooled(self, levels: tuple[float, ...]) -> Array:
        """[horizon, levels] in units of the scale; where no series is long enough, normal with √steps growth."""
        columns = self.questions.training
        trained = [column for column in self.errors if columns[column].trained] or list(self.errors)
        scaled = [self.errors[column] / columns[column].scale for column in trained]
        every = np.concatenate(scaled) if scaled else np.zeros((0, self.questions.horizon))
        if len(every) and (~np.isnan(every)).sum(axis=0).min() >= ENOUGH_ERRORS:
            return np.nanquantile(every, levels, axis=0).T
        growth = np.sqrt(1 + np.arange(self.questions.horizon) // self.season)
        return growth[:, None] * _normal(levels)


def _run(
    baseline: Baseline,
    questions: _Questions,
    season: int,
    levels: tuple[float, ...],
    seconds_cap: float,
    progress: Progress | None,
) -> Forecasts:
    windows, horizon = len(questions.column), questions.horizon
    point = np.full((windows, horizon), np.nan)
    quantiles = np.full((windows, horizon, len(levels)), np.nan) if levels else None
    started = time.monotonic()
    try:
        fitted = baseline.fit(questions.training, horizon, season)
    except MissingExtra:
        return Forecasts(baseline.name, point, None, (), 'not run, install "latchwork[forecast]"')
    except DataError as error:
        return Forecasts(baseline.name, point, None, (), f"not run: {error}")
    spread = _Spread(fitted, questions, season)
    units = questions.units(baseline.slow)
    answered: list[Rows] = []
    done = 0
    for rows in units:
        if answered and time.monotonic() - started > seconds_cap:
            break
        column, gap = int(questions.column[rows[0]]), int(questions.gaps[rows[0]])
        answer = fitted.forecast(column, questions.values[column], questions.ends[rows], gap + horizon)
        point[rows] = answer.point[:, gap:]
        if quantiles is not None and answer.deviation is not None:
            deviation = answer.deviation[:, gap:]
            usable = np.where(np.isnan(deviation), questions.training[column].scale, deviation)
            quantiles[rows] = point[rows][..., None] + usable[..., None] * _normal(levels)
        elif quantiles is not None:
            spread.measure(column)
        answered.append(rows)
        done += len(rows)
        if progress is not None:
            progress(baseline.name, done / windows)
    if quantiles is not None and spread.errors:
        pooled = spread.pooled(levels)
        for rows in answered:
            offsets = spread.offsets(int(questions.column[rows[0]]), levels, pooled)
            # Past the horizon of the errors, the last step's spread is the best there is.
            steps = np.minimum(np.arange(horizon) + questions.gaps[rows[0]], horizon - 1)
            quantiles[rows] = np.sort(point[rows][..., None] + offsets[steps], axis=-1)
    stopped = len(answered) < len(units)
    notes = [f"on {done:,} of {windows:,} windows, stopped at the cap of {seconds_cap:g} s"] if stopped else []
    return Forecasts(
        baseline.name, point, quantiles, levels, "; ".join([*notes, *([fitted.note] if fitted.note else [])])
    )


def _normal(levels: tuple[float, ...]) -> Array:
    return np.array([NormalDist().inv_cdf(level) for level in levels])


def _golden(places: Rows) -> Array:
    """Multiples of the golden ratio, less their whole part: the first n of them are spread evenly over [0, 1)."""
    return np.asarray(places * 0.6180339887498949 % 1, dtype=np.float64)


def _spread_order(count: int) -> Rows:
    """0 … count - 1 so that every beginning of the order is spread evenly."""
    return np.argsort(np.argsort(_golden(np.arange(count))))


def _spread_over(columns: Rows) -> Rows:
    """The windows of these columns, column by column in turn, and within each so that every beginning is even."""
    keys = np.empty(len(columns))
    order = np.argsort(columns, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(columns[order])) + 1)
    for start, mine in zip(_golden(np.arange(len(members))), members, strict=True):
        keys[mine[_spread_order(len(mine))]] = (np.arange(len(mine)) + start) / max(len(mine), 1)
    return np.argsort(keys, kind="stable")
