"""Exponential smoothing by statsmodels: ETS on the series, and on the series adjusted by STL."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latchwork import optional
from latchwork.baselines.column import Answer, Array, Column, NoFit, Rows
from latchwork.baselines.naive import naive, seasonal_naive

FORMS: tuple[dict[str, Any], ...] = ({}, {"trend": "add", "damped_trend": True}, {"trend": "add"})
"""No trend, a damped one, a straight one: the lowest AIC is taken."""

STARTS = (None, {"level": 0.1, "trend": 0.005, "seasonal": 0.1})
"""Where the search for the parameters starts: statsmodels' own place, and slow ones. The higher likelihood is taken."""

FEWEST_ROWS = 10
"""Below this the forecast is the last value."""


@dataclass(frozen=True)
class ETS:
    """Exponential smoothing with additive errors, season and the trend of lowest AIC (Hyndman et al. 2008).

    The parameters are fitted once for each series, on its training rows; at each origin the states are those that
    follow from the rows before it. A series without training rows is fitted on what it has before its first origin.
    """

    name: str = "ETS"
    slow: bool = False

    def fit(self, training: Sequence[Column], horizon: int, season: int) -> "FittedETS":
        """Nothing yet: each series is fitted when its first forecast is asked for."""
        return FittedETS(optional.load("statsmodels.tsa.exponential_smoothing.ets"), training, season)


@dataclass(eq=False)
class FittedETS(NoFit):
    """Parameters of the series asked for so far."""

    library: Any
    training: Sequence[Column]
    season: int
    models: "dict[int, Smoother | None]" = field(default_factory=dict)
    warned: int = 0

    def forecast(self, column: int, values: Array, ends: Rows, steps: int) -> Answer:
        """States after row end - 1, carried forward."""
        if column not in self.models:
            self.models[column], failed = Smoother.fit(self.library, self.training[column].values, self.season)
            self.warned += failed
        model = self.models[column]
        if model is None:
            return Answer(naive(values, ends, steps, self.season))
        return Answer(model.forecast(values[: ends.max()], ends, steps))

    @property
    def note(self) -> str:
        """How many fits did not converge, and how many series were too short."""
        short = sum(model is None for model in self.models.values())
        notes = [f"{self.warned} of {len(self.models)} fits did not converge"] if self.warned else []
        return "; ".join(notes + ([f"last value for {short} series too short or constant"] if short else []))


@dataclass(frozen=True)
class STLETS:
    """STL (Cleveland et al. 1990) takes the season out, ETS forecasts the rest, the last season is put back.

    Fitted anew at each origin on its last ``seasons`` seasons. STL's seasonal window is the one of ``windows`` with the
    lower error on the last part of the training rows.
    """

    name: str = "STL+ETS"
    slow: bool = True
    seasons: int = 40
    windows: tuple[int, ...] = (13, 25)

    def fit(self, training: Sequence[Column], horizon: int, season: int) -> "FittedSTLETS":
        """Choose the seasonal window: up to 3 origins in each of up to 8 series."""
        library = optional.load("statsmodels.tsa.exponential_smoothing.ets")
        stl = optional.load("statsmodels.tsa.seasonal").STL
        candidates = [FittedSTLETS(library, stl, season, self.seasons * season, window) for window in self.windows]
        trained = np.flatnonzero([column.trained for column in training])
        chosen = trained[np.linspace(0, len(trained) - 1, min(8, len(trained))).astype(int)]
        losses = [self._tail_error(candidate, training, chosen, horizon) for candidate in candidates]
        best = candidates[int(np.argmin(losses))]
        return FittedSTLETS(library, stl, season, best.rows, best.window)

    def _tail_error(self, fitted: "FittedSTLETS", training: Sequence[Column], chosen: Rows, horizon: int) -> float:
        total = 0.0
        for index in chosen:
            column = training[index]
            last = len(column.values) - horizon
            ends = np.unique(last - np.arange(3) * max(horizon // 2, 1))
            ends = ends[ends > 2 * fitted.season]
            for end in ends:
                forecast = fitted.forecast(int(index), column.values, np.array([end]), horizon).point[0]
                error = np.abs(column.values[end : end + horizon] - forecast)
                total += float(error.mean()) / column.scale / len(ends)
        return total


@dataclass(eq=False)
class FittedSTLETS(NoFit):
    """STL+ETS with its seasonal window chosen."""

    library: Any
    stl: Any
    season: int
    rows: int
    window: int
    fits: int = 0
    warned: int = 0
    short: int = 0

    def forecast(self, column: int, values: Array, ends: Rows, steps: int) -> Answer:
        """One fit for each end; the deviations are those of the adjusted series, the season taken as known."""
        points, deviations = zip(*(self._at(values[max(end - self.rows, 0) : end], steps) for end in ends), strict=True)
        return Answer(np.concatenate(points), np.concatenate(deviations))

    def _at(self, history: Array, steps: int) -> tuple[Array, Array]:
        """One history: [1, steps] forecast and its standard deviations."""
        end = np.array([len(history)])
        self.fits += 1
        if self.season < 2 or len(history) <= 2 * self.season:
            seasonal, adjusted = np.zeros((1, steps)), history
        else:
            parts = self.stl(history, period=self.season, seasonal=self.window).fit()
            seasonal, adjusted = seasonal_naive(parts.seasonal, end, steps, self.season), parts.trend + parts.resid
        model, failed = Smoother.fit(self.library, adjusted, 1)
        self.warned += failed
        if model is None:
            self.short += 1
            return seasonal + naive(adjusted, end, steps, 1), np.full((1, steps), np.nan)
        return seasonal + model.forecast(adjusted, end, steps), model.deviations(steps)[None]

    @property
    def note(self) -> str:
        """How many fits did not converge, and how many windows were too short."""
        notes = [f"{self.warned} of {self.fits} fits did not converge"] if self.warned else []
        return "; ".join(notes + ([f"last value on {self.short} windows too short or constant"] if self.short else []))


@dataclass(frozen=True, eq=False)
class Smoother:
    """One fitted ETS model with additive parts, on standardised values."""

    library: Any
    options: dict[str, Any]
    parameters: Array
    named: dict[str, float]
    center: float
    size: float
    noise: float

    @classmethod
    def fit(cls, library: Any, values: Array, season: int) -> "tuple[Smoother | None, int]":
        """The form of lowest AIC, and 1 where its fit did not converge. None: too few rows, or all the same."""
        center, size = (float(values.mean()), float(values.std())) if len(values) else (0.0, 0.0)
        if len(values) < FEWEST_ROWS or size <= 1e-12 * abs(center):
            return None, 0
        scaled = (values - center) / size
        seasonal: dict[str, Any] = {}
        if season > 1 and len(values) >= max(2 * season + 1, FEWEST_ROWS + 2 * (season // 2)):
            seasonal = {"seasonal": "add", "seasonal_periods": season}
        best: Any = None
        for form in FORMS:
            fits = [_fit(library, scaled, form | seasonal, start) for start in STARTS]
            fitted = max(fits, key=lambda result: result.llf)
            if best is None or fitted.aic < best[0].aic:
                best = (fitted, form | seasonal)
        result, options = best
        known = {"initial_level": result.initial_level}
        if "trend" in options:
            known["initial_trend"] = result.initial_trend
        if seasonal:
            known["initial_seasonal"] = result.initial_seasonal
        named = dict(zip(result.param_names, map(float, result.params), strict=True))
        options = {**options, **known, "initialization_method": "known"}
        noise = float(np.sqrt(np.mean(np.square(result.resid)))) * size
        converged = result.mle_retvals is None or result.mle_retvals["converged"]
        return cls(library, options, result.params, named, center, size, noise), int(not converged)

    def forecast(self, values: Array, ends: Rows, steps: int) -> Array:
        """[windows, steps] from the states after row end - 1; the filter goes forward only."""
        model = self.library.ETSModel((values - self.center) / self.size, error="add", **self.options)
        states = model.smooth(self.parameters)
        forecast = np.repeat(states.level[ends - 1][:, None], steps, axis=1)
        if "trend" in self.options:
            damping = self.named.get("damping_trend", 1.0)
            forecast = forecast + states.slope[ends - 1][:, None] * np.cumsum(damping ** np.arange(1, steps + 1))
        if "seasonal" in self.options:
            period = self.options["seasonal_periods"]
            before = np.asarray(self.options["initial_seasonal"])[:period]
            seasonal = np.concatenate([before, states.season])
            forecast = forecast + seasonal_naive(seasonal, ends + period, steps, period)
        return forecast * self.size + self.center

    def deviations(self, steps: int) -> Array:
        """[steps]: σ √(1 + Σ_{j<k} c_j²), c_j = α + β (φ + … + φ^j) (Hyndman et al. 2008, chapter 6; no season)."""
        damping = self.named.get("damping_trend", 1.0)
        reach = np.cumsum(damping ** np.arange(1, steps))
        carried = self.named["smoothing_level"] + self.named.get("smoothing_trend", 0.0) * reach
        return self.noise * np.sqrt(np.concatenate([[1.0], 1 + np.cumsum(carried**2)]))


def _fit(library: Any, values: Array, options: dict[str, Any], start: dict[str, float] | None) -> Any:
    """One fit; whether it converged is read from the result, so statsmodels' warning of it is not shown."""
    model = library.ETSModel(values, error="add", initialization_method="heuristic", **options)
    first = None
    if start is not None:
        places = {f"smoothing_{name}": value for name, value in start.items()} | {"damping_trend": 0.97}
        first = np.array([places[name] for name in model.param_names])
    convergence = optional.load("statsmodels.tools.sm_exceptions").ConvergenceWarning
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", convergence)
        return model.fit(disp=False, start_params=first)
