"""A leaderboard: the model beside the baselines, with intervals, and one plain sentence of verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from latchwork.errors import ConfigError, did_you_mean
from latchwork.evaluation.printed import Printed

THIN = 5
"""Below so many independent units the verdict says that the evidence is thin."""

WIDE = 92
"""Columns of the terminal from which on the intervals are shown."""

TITLES = {
    "mae": "MAE",
    "mse": "MSE",
    "rmse": "RMSE",
    "smape": "sMAPE 0-200",
    "mase": "MASE",
    "owa": "OWA",
    "scrps": "sCRPS",
    "coverage": "coverage",
    "width": "width",
}


@dataclass(frozen=True)
class Row:
    """One method.

    values        metric -> figure, over the windows that it answered; NaN where it can't be had
    lower, upper  95% bootstrap interval of the main metric
    relative      main metric over the best baseline's, less 1, on the windows that both answered
    windows       how many it answered
    """

    name: str
    model: bool
    values: dict[str, float]
    lower: float
    upper: float
    relative: float
    windows: int
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """A model against another method, paired: on the windows that both answered.

    difference    the model's main metric over the rival's, less 1: negative is better
    lower, upper  its 95% block-bootstrap interval; NaN where there are fewer than two independent units
    unit          what was resampled: 'series' or 'origin'
    independent   about how many independent ones there are
    p             two-sided, Diebold and Mariano's test over the origins of one series; NaN with several series
    """

    model: str
    rival: str
    difference: float
    lower: float
    upper: float
    windows: int
    unit: str
    independent: float
    p: float

    def sentence(self, metric: str, windows: int) -> str:
        """The verdict in words."""
        if math.isnan(self.difference):
            return f"{self.model} can't be compared with {self.rival}: no window answered by both has a usable error"
        shown = self.model, self.rival
        if math.isnan(self.lower):
            better = "lower" if self.difference < 0 else "higher"
            text = f"{shown[0]} has a {_percent(abs(self.difference))[0]} {better} {metric} than {shown[1]}"
        elif self.upper < 0:
            gain = _range(-self.difference, -self.upper, -self.lower)
            text = f"{shown[0]} beats {shown[1]} by {gain} in {metric}"
        elif self.lower > 0:
            loss = _range(self.difference, self.lower, self.upper)
            text = f"{shown[0]} is worse than {shown[1]} by {loss} in {metric}: use {shown[1]}"
        else:
            change = _range(self.difference, self.lower, self.upper)
            text = f"{shown[0]} adds nothing here: it is within the interval of {shown[1]} ({change} in {metric})"
        if not math.isnan(self.p):
            text += f", Diebold-Mariano p = {self.p:.2g}" if self.p >= 0.001 else ", Diebold-Mariano p < 0.001"
        if self.windows < windows:
            text += f", on the {self.windows:,} of {windows:,} windows that both answered"
        if math.isnan(self.lower):
            text += "; too little to tell: fewer than two independent origins"
        elif self.independent < THIN:
            text += f"; the evidence is thin: about {self.independent:.0f} independent {_plural(self.unit)}"
        return text


@dataclass(frozen=True)
class Leaderboard(Printed):
    """Rows sorted by the main metric relative to the best baseline; made by :func:`latchwork.evaluation.score`.

    main      the metric that decides: 'mae' or 'mase'
    metrics   the columns
    best      the baseline with the lowest main metric; '' where no baseline was run
    interval  the share that the interval of the coverage column should cover; NaN where there are no quantiles
    levels    the levels that sCRPS is averaged over
    """

    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    main: str
    metrics: tuple[str, ...]
    best: str
    windows: int
    series: int
    horizon: int
    season: int
    interval: float
    levels: tuple[float, ...]

    def row(self, name: str) -> Row:
        """The row of one method."""
        for row in self.rows:
            if row.name == name:
                return row
        names = [row.name for row in self.rows]
        raise ConfigError(f'no row "{name}" in the leaderboard, which has {names}{did_you_mean(name, names)}')

    def comparison(self, model: str, rival: str) -> Comparison:
        """The paired comparison of a model with another method."""
        for found in self.comparisons:
            if (found.model, found.rival) == (model, rival):
                return found
        raise ConfigError(f'no comparison of "{model}" with "{rival}"; models are {self.models}')

    @property
    def models(self) -> list[str]:
        """The names of the rows that are models."""
        return [row.name for row in self.rows if row.model]

    def verdict(self, model: str | None = None) -> str:
        """One plain sentence: whether the model is better than the best baseline. Default: the first model."""
        if model is None:
            if not self.models:
                return (
                    f"{self.best} is the best of the baselines; no model was scored"
                    if self.best
                    else "nothing to score"
                )
            model = self.models[0]
        row = self.row(model)
        if not self.best:
            return f"{row.name} stands alone: no baseline was run, so nothing says how hard the data is"
        return self.comparison(row.name, self.best).sentence(TITLES[self.main], self.windows)

    def table(self) -> list[dict[str, Any]]:
        """One dictionary for each row, in order, with plain numbers."""
        return [
            {
                "method": row.name,
                "model": row.model,
                **{name: row.values[name] for name in self.metrics},
                "lower": row.lower,
                "upper": row.upper,
                "relative": row.relative,
                "windows": row.windows,
                "note": row.note,
            }
            for row in self.rows
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file; NaN and infinity become None."""
        return _finite(asdict(self))

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Leaderboard":
        """The inverse of :meth:`to_dict`."""
        rows = tuple(
            Row(**{**row, "values": {name: _number(value) for name, value in row["values"].items()}, **_numbers(row)})
            for row in saved["rows"]
        )
        comparisons = tuple(Comparison(**{**found, **_numbers(found)}) for found in saved["comparisons"])
        rest = {name: saved[name] for name in ("main", "best", "windows", "series", "horizon", "season")}
        return cls(
            rows=rows,
            comparisons=comparisons,
            metrics=tuple(saved["metrics"]),
            interval=_number(saved["interval"]),
            levels=tuple(saved["levels"]),
            **rest,
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, the notes and the verdict. A narrow terminal gets the table without intervals."""
        yield self._rich_table(intervals=options.max_width >= WIDE)
        for row in self.rows:
            if row.note:
                yield Text(f"  {row.name}: {row.note}", style="dim")
        yield Text(self.verdict(), style="bold")

    def _rich_table(self, *, intervals: bool) -> Table:
        table = Table(
            title=f"{self.windows:,} windows of {self.series:,} series, {self.horizon} steps ahead",
            caption=self._caption(),
            box=SIMPLE_HEAD,
            title_justify="left",
            caption_justify="left",
            padding=(0, 1, 0, 0),
        )
        table.add_column("method")
        shown = [name for name in self.metrics if any(not math.isnan(row.values[name]) for row in self.rows)]
        for name in shown:
            head = TITLES[name]
            if name == self.main and intervals:
                head += " [95%]"
            if name == "coverage":
                head = f"covers\n{self.interval:.0%}"
            table.add_column(head.replace(" 0-200", "\n0-200"), justify="right", no_wrap=True)
        if self.best:
            table.add_column(f"to\n{escape(self.best)}", justify="right", no_wrap=True)
        for row in self.rows:
            cells = [_figure(row.values[name]) for name in shown]
            if intervals and self.main in shown and not math.isnan(row.lower):
                cells[shown.index(self.main)] += f" [{_figure(row.lower)}, {_figure(row.upper)}]"
            if self.best:
                cells.append("" if math.isnan(row.relative) else f"{row.relative:+.0%}")
            table.add_row(escape(row.name), *cells, style="bold green" if row.model else None)
        return table

    def _caption(self) -> str:
        parts = [f"Sorted by {TITLES[self.main]}"]
        if any(0 < row.windows < self.windows for row in self.rows):
            parts[0] += " against the best baseline on the windows that both answered"
        if "mase" in self.metrics:
            parts.append(f"MASE over the error of the last season's value, {self.season} rows back, in training")
        if self.levels and "scrps" in self.metrics:
            levels = ", ".join(f"{level:g}" for level in self.levels)
            parts.append(f"sCRPS over levels {levels}")
        return "; ".join(parts) + "."


def _percent(*values: float) -> list[str]:
    """Percentages with as few decimals as keep them apart, and each from reading 0; two at most."""

    def clear(decimals: int) -> bool:
        rounded = {round(100 * value, decimals) for value in values}
        return len(rounded) == len(values) and 0 not in rounded

    decimals = next((d for d in range(2) if clear(d)), 2)
    shown = [f"{100 * value:.{decimals}f}" for value in values]
    return [f"{shown[0]}%", *shown[1:]]


def _range(value: float, lower: float, upper: float) -> str:
    value_text, lower_text, upper_text = _percent(value, lower, upper)
    return f"{value_text} [{lower_text}, {upper_text}]"


def _plural(unit: str) -> str:
    return "origins" if unit == "origin" else unit


def _figure(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(part) for part in value]
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _numbers(saved: Mapping[str, Any]) -> dict[str, float]:
    names = ("lower", "upper", "relative", "difference", "independent", "p")
    return {name: _number(saved[name]) for name in names if name in saved}
