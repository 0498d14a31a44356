"""What a report is made from, and the numbers that its figures show."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latchwork.evaluation.backtest import Evaluation
from latchwork.evaluation.leaderboard import TITLES, Leaderboard
from latchwork.metrics import coverage, interval_width, mirrored
from latchwork.modalities import RawTable
from latchwork.sequences import Forecasts, Series, Windows
from latchwork.tasks import ForecastSetup
from latchwork.training import Outcome, Training

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

PANELS = 6
PLACES = {0.0: "best", 0.25: "better quarter", 0.5: "median", 0.75: "worse quarter", 0.9: "worst tenth", 1.0: "worst"}
"""Of many series: where on the way from the lowest error to the highest one is drawn, and what it is called."""

CHAIN = 12
"""Forecasts that the long picture joins, at most."""


@dataclass(frozen=True)
class Streamed:
    """The held-back rows pushed one at a time, beside the same forecasts made offline.

    offline, streamed   the metric of both
    metric              its name
    rows                pushed
    largest_difference  between two forecasts of the same step, in the units of the file
    microseconds_a_push as measured
    note                what a push costs, and why
    """

    offline: float
    streamed: float
    metric: str
    rows: int
    largest_difference: float
    microseconds_a_push: float
    note: str = ""


@dataclass(frozen=True)
class Report:
    """All that a report tells of. ``config`` is the run's options as TOML; ``command`` what was typed, if it was."""

    setup: ForecastSetup
    raw: RawTable
    training: Training
    outcome: Outcome
    evaluation: Evaluation | None
    streamed: Streamed | None
    config: str
    command: str = ""


class Band(NamedTuple):
    """An interval: what it should cover, and its two columns among the quantiles."""

    share: float
    low: int
    high: int


class Panel(NamedTuple):
    """Forecasts of one series to draw together: rows of the windows in order of time, and what makes them worth it."""

    rows: Indices
    why: str


class Coverage(NamedTuple):
    """How often an interval held: nominal and found share, mean width in the units of the file."""

    nominal: float
    found: float
    width: float


class Trained:
    """How training went, for every kind of report."""

    def __init__(self, outcome: Outcome, options: Training) -> None:
        self.outcome, self.options = outcome, options

    @property
    def source(self) -> str:
        """What a figure is traced by."""
        return f"seed {self.options.seed}"

    @property
    def refitted(self) -> bool:
        """Whether the weights come from a second training."""
        return False

    @cached_property
    def steps(self) -> list[dict[str, Any]]:
        """The records of steps."""
        return [record for record in self.outcome.history if "loss" in record]

    @cached_property
    def validations(self) -> list[dict[str, Any]]:
        """The records that have a validation figure."""
        return [record for record in self.steps if record.get("validation")]

    @property
    def events(self) -> list[tuple[int, str]]:
        """Roll-backs, interruptions and what else happened: (after which step, what)."""
        found = [record for record in self.outcome.history if "event" in record]
        return [(int(record.get("step", 0)), str(record["event"])) for record in found]

    @property
    def validation_name(self) -> str:
        """The figure beside the training loss: "loss" where it was taken, else the one that decided what was kept."""
        names = list(self.validations[0]["validation"]) if self.validations else [""]
        return "loss" if "loss" in names else names[0]

    def validated(self) -> tuple[Array, Array, Array]:
        """(step, mean training loss since the last validation, validation figure); NaN where one was not finite."""
        rows = [
            (record["step"], record.get("train"), record["validation"].get(self.validation_name))
            for record in self.validations
        ]
        steps, train, validation = np.array(rows, dtype=np.float64).reshape(-1, 3).T
        return steps, train, validation

    def best_gap(self) -> tuple[float, float] | None:
        """(training, validation) at the best step; None where there was no validation."""
        steps, train, validation = self.validated()
        at = np.flatnonzero(steps == self.outcome.best_step)
        if not len(at) or not np.isfinite(train[at[0]] + validation[at[0]]):
            return None
        return float(train[at[0]]), float(validation[at[0]])


class View(Trained):
    """A report's numbers, each made once when first asked for."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.outcome, report.training)
        self.report, self.setup, self.raw = report, report.setup, report.raw
        self.task, self.plan = report.setup.pipeline.task, report.setup.pipeline.plan

    # What all of it comes from

    @property
    def source(self) -> str:
        """What a figure is traced by."""
        config = hashlib.sha256(self.report.config.encode()).hexdigest()
        return f"data {self.raw.sha256[:8]} · config {config[:8]} · seed {self.report.training.seed}"

    @property
    def time_kind(self) -> Literal["date", "number"]:
        """What an axis of time shows."""
        return "date" if self.raw.dates else "number"

    @property
    def series(self) -> list[Series]:
        """The series, in the order of the windows' indices."""
        return self.setup.series

    def stamp(self, series: int, row: int) -> str:
        """When a row of a series was."""
        return self.raw.stamp(int(self.series[series].times[row]))

    def name(self, series: int, target: int) -> str:
        """A series for people; the target too where there are several."""
        several = len(self.raw.targets) > 1
        only = len(self.series) == 1 and not self.raw.has_id and not self.raw.options.wide
        parts = [] if only else [self.series[series].id]
        return ", ".join(parts + ([self.raw.targets[target]] if several or only else []))

    # The score

    @property
    def evaluation(self) -> Evaluation:
        """Only to be asked for where there is one."""
        assert self.report.evaluation is not None
        return self.report.evaluation

    @property
    def windows(self) -> Windows:
        """The forecasts that were asked for."""
        return self.evaluation.windows

    @property
    def board(self) -> Leaderboard:
        """The leaderboard."""
        return self.evaluation.leaderboard

    @cached_property
    def model(self) -> Forecasts:
        """The model's answers."""
        name = self.board.models[0] if self.board.models else self.evaluation.forecasts[0].name
        return next(one for one in self.evaluation.forecasts if one.name == name)

    @cached_property
    def rival(self) -> Forecasts | None:
        """The answers of the best baseline."""
        found = (one for one in self.evaluation.forecasts if one.name == self.board.best and one is not self.model)
        return next(found, None)

    @property
    def metric(self) -> str:
        """How the deciding metric is called."""
        return TITLES[self.board.main]

    @cached_property
    def pairs(self) -> NDArray[np.int64]:
        """[windows] which (series, target) each belongs to, numbered from 0."""
        both = np.stack([self.windows.series, self.windows.target], axis=1)
        return np.unique(both, axis=0, return_inverse=True)[1].reshape(-1)

    @cached_property
    def scaled(self) -> bool:
        """Whether errors are put in units of each series: there are several, and each has a scale."""
        return self.pairs.max(initial=0) > 0 and bool((self.windows.scale > 0).all())

    @property
    def metric_name(self) -> str:
        """What :meth:`errors` are called when averaged."""
        return "MASE" if self.scaled else "MAE"

    @property
    def error_unit(self) -> str:
        """What an error is measured in."""
        return "MASE (units of each series)" if self.scaled else f"MAE ({', '.join(self.raw.targets)})"

    def errors(self, method: Forecasts) -> Array:
        """[windows, horizon] absolute errors, NaN where nothing came true or nothing was answered."""
        errors = np.abs(self.windows.actual - method.point)
        return errors / self.windows.scale[:, None] if self.scaled else errors

    @cached_property
    def losses(self) -> Array:
        """[windows] the model's mean absolute error; NaN where it can't be had."""
        return row_means(self.errors(self.model))

    def by_step(self) -> tuple[Array, Array | None]:
        """[horizon] mean errors of the model and of the best baseline, on the steps that both answered."""
        ours = self.errors(self.model)
        if self.rival is None:
            return column_means(ours), None
        theirs = self.errors(self.rival)
        both = np.isfinite(ours + theirs)
        return column_means(np.where(both, ours, np.nan)), column_means(np.where(both, theirs, np.nan))

    # Forecasts to draw

    @cached_property
    def ranked(self) -> list[int]:
        """The (series, target) pairs that could be scored, by the model's mean error, the best first."""
        count = int(self.pairs.max(initial=-1)) + 1
        means = [row_means(self.losses[self.pairs == pair][None])[0] for pair in range(count)]
        return [pair for pair in np.argsort(means, kind="stable").tolist() if math.isfinite(means[pair])]

    def of_pair(self, pair: int) -> Indices:
        """The scored windows of a pair, in order of time."""
        rows = np.flatnonzero((self.pairs == pair) & np.isfinite(self.losses))
        return rows[np.argsort(self.windows.origin[rows], kind="stable")]

    def long_panel(self) -> Panel | None:
        """The median series, forecast from origin to origin without overlap; None where nothing was scored."""
        if not self.ranked:
            return None
        rows, kept, free = self.of_pair(self.ranked[len(self.ranked) // 2]), [], -1
        for row in rows.tolist():
            if self.windows.origin[row] >= free:
                kept.append(row)
                free = int(self.windows.origin[row]) + self.windows.horizon
        return Panel(np.array(kept[-CHAIN:], dtype=np.int64), "the median series" if len(self.ranked) > 1 else "")

    def panels(self) -> list[Panel]:
        """Up to six forecasts: of many series those at the quantiles of error, of few several origins each."""
        ranked = self.ranked
        if not ranked:
            return []
        if len(ranked) < PANELS:
            each = [_spread(len(self.of_pair(pair)), PANELS // len(ranked)) for pair in ranked]
            return [
                Panel(self.of_pair(pair)[place : place + 1], "")
                for pair, places in zip(ranked, each, strict=True)
                for place in places
            ]
        found: list[Panel] = []
        for share, why in PLACES.items():
            rows = self.of_pair(ranked[round(share * (len(ranked) - 1))])
            typical = rows[np.argsort(self.losses[rows], kind="stable")[len(rows) // 2]]
            found.append(Panel(np.array([typical], dtype=np.int64), why))
        return found

    def bands(self) -> list[Band]:
        """At most three intervals of the model, the widest first."""
        levels = self.model.levels if self.model.quantiles is not None else ()
        every = [Band(levels[high] - levels[low], low, high) for low, high in mirrored(levels)]
        return every if len(every) <= 3 else [every[0], every[len(every) // 2], every[-1]]

    # Coverage

    def calibration(self, method: Forecasts) -> list[tuple[float, float]]:
        """For each level the share of actual values at or below its quantile, over the windows answered."""
        if method.quantiles is None:
            return []
        found = []
        for index, level in enumerate(method.levels):
            quantile = method.quantiles[..., index]
            known = np.isfinite(self.windows.actual + quantile)
            if known.any():
                found.append((level, float((self.windows.actual <= quantile)[known].mean())))
        return found

    def coverages(self) -> list[Coverage]:
        """Nominal share, found share and width of the model's intervals."""
        quantiles, actual = self.model.quantiles, self.windows.actual
        if quantiles is None:
            return []
        usable = np.isfinite(actual).any(axis=1)
        found = []
        for low, high in mirrored(self.model.levels):
            lower, upper = quantiles[usable, :, low], quantiles[usable, :, high]
            levels = self.model.levels
            hit = coverage(actual[usable], lower, upper)
            found.append(Coverage(levels[high] - levels[low], hit, interval_width(actual[usable], lower, upper)))
        return found

    # Training

    @property
    def refitted(self) -> bool:
        """Whether the weights come from a second training, on the validation rows too (see training.fit)."""
        asked = self.task.refit and self.task.memory == "window" and bool(len(self.setup.validation))
        return asked and bool(self.outcome.best_step) and self.outcome.stopped != "interrupted"


def row_means(values: Array) -> Array:
    """[n, m] -> [n] means without NaN; NaN where a row has no number."""
    known = np.isfinite(values)
    return np.where(known, values, 0.0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)


def column_means(values: Array) -> Array:
    """[n, m] -> [m], as :func:`row_means`."""
    return row_means(values.T)


def column(records: Sequence[dict[str, Any]], name: str) -> Array:
    """A figure of each record; NaN where it is missing or null."""
    return np.array([record.get(name) for record in records], dtype=np.float64)


def _spread(count: int, most: int) -> list[int]:
    """Up to ``most`` places among ``count``, evenly, first and last among them."""
    if count <= most:
        return list(range(count))
    return sorted(set(np.linspace(0, count - 1, most).round().astype(int).tolist())) if most > 1 else [count // 2]
