"""The table of a classifier or labeller: every method on the same held-back sequences, with intervals and a verdict."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from latchwork.errors import ConfigError, ModelFileError, did_you_mean
from latchwork.evaluation.printed import Printed
from latchwork.metrics import LOWER_IS_BETTER

GAP = 2
"""Blanks between two columns of the printed table."""


@dataclass(frozen=True)
class ScoreRow:
    """One method.

    lower, upper  the 95% interval of the main figure; NaN where there is none
    oracle        it was told true labels that the model is not: a reference, and no rival
    """

    name: str
    model: bool
    values: dict[str, float]
    lower: float = math.nan
    upper: float = math.nan
    note: str = ""
    oracle: bool = False


@dataclass(frozen=True)
class Versus:
    """The model's main figure less a rival's, on the same sequences: with its interval and p."""

    rival: str
    difference: float
    lower: float
    upper: float
    p: float


@dataclass(frozen=True)
class Scoreboard(Printed):
    """Rows sorted by the main figure, the best first; made by :func:`latchwork.evaluation.score_sequences`.

    main      the figure that decides
    metrics   the columns
    titles    column -> what people read, with the averaging
    versus    the model against every other row that is no oracle
    count     sequences scored; steps of them for a labeller
    unit      what was resampled for the intervals: "sequence" or "entity"
    notes     what a reader must know
    table     per class: name, precision, recall, F1, how many; empty for numbers
    confusion [true, said] counts; empty for numbers and labels of steps with many classes
    undefined why the model has no main figure, where it has none
    what      what was counted: sequences, or tokens of a text
    """

    rows: tuple[ScoreRow, ...]
    main: str
    metrics: tuple[str, ...]
    titles: dict[str, str]
    versus: tuple[Versus, ...]
    count: int
    unit: str
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    table: tuple[dict[str, Any], ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    undefined: str = ""
    what: str = "sequence"

    def row(self, name: str) -> ScoreRow:
        """The row of one method."""
        for row in self.rows:
            if row.name == name:
                return row
        names = [row.name for row in self.rows]
        raise ConfigError(f'no row "{name}" in the table, which has {names}{did_you_mean(name, names)}')

    @property
    def model(self) -> ScoreRow:
        """The trained model's row."""
        return next(row for row in self.rows if row.model)

    @property
    def best(self) -> ScoreRow | None:
        """The best of the others in the main figure, an oracle not among them; None where there is none with one."""
        sign = 1 if self.main in LOWER_IS_BETTER else -1
        others = [row for row in self.rows if not row.model and not row.oracle]
        others = [row for row in others if not math.isnan(row.values.get(self.main, math.nan))]
        return min(others, key=lambda row: sign * row.values[self.main]) if others else None

    def verdict(self) -> str:
        """One plain sentence: whether the model is better than the best of the others."""
        name, title, best = self.model.name, self.titles[self.main], self.best
        if math.isnan(self.model.values[self.main]):
            return f"{title} is undefined on these sequences: {self.undefined or 'too few of a class'}"
        if best is None:
            return f"{name} stands alone: no baseline was run, so nothing says how hard the data is"
        found = next(one for one in self.versus if one.rival == best.name)
        better = -found.difference if self.main in LOWER_IS_BETTER else found.difference
        size = f"{abs(found.difference):.3g} in {title}"
        if math.isnan(found.lower):
            alone = math.isnan(best.lower) and not math.isnan(self.model.lower)
            why = f"{best.name} has one figure for all, so there is no interval" if alone else "too little to tell"
            return f"{name} is {size} {'better' if better > 0 else 'worse'} than {best.name}; {why}"
        size += f" (95% interval {found.lower:+.3g} to {found.upper:+.3g}, p {_p(found.p)})"
        if found.lower <= 0 <= found.upper:
            return f"{name} and {best.name} can't be told apart: {found.difference:+.3g}{size[len(size.split()[0]) :]}"
        return f"{name} {'beats' if better > 0 else 'is worse than'} {best.name} by {size}" + (
            "" if better > 0 else f": use {best.name}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file; NaN becomes None."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Scoreboard":
        """The inverse of :meth:`to_dict`."""
        try:
            rows = tuple(
                ScoreRow(**{**_numbers(row, "lower", "upper"), "values": _numbers(row["values"], *row["values"])})
                for row in saved["rows"]
            )
            versus = tuple(Versus(**_numbers(one, "difference", "lower", "upper", "p")) for one in saved["versus"])
            table = tuple(_numbers(one, "precision", "recall", "f1") for one in saved["table"])
            lists = {name: tuple(saved[name]) for name in ("metrics", "notes", "classes")}
            confusion = tuple(tuple(row) for row in saved["confusion"])
            rest = {name: saved[name] for name in ("main", "titles", "count", "unit")}
            rest |= {"undefined": saved.get("undefined", ""), "what": saved.get("what", "sequence")}
            return cls(rows=rows, versus=versus, table=table, confusion=confusion, **lists, **rest)
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelFileError(f"the file of scores is damaged: {error!r}; train the model anew") from error

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, the verdict, the notes."""
        names = max([len("method"), *(cell_len(row.name) for row in self.rows)])
        columns, left_out = self._columns(options.max_width - names)
        caption = f"Sorted by {self.titles[self.main]}, with its 95% interval (resampled by {self.unit})."
        if left_out:
            caption += f" Not shown here: {', '.join(left_out)}."
        table = Table(
            title=f"Scores on {self.count:,} held-back {self.what}{'' if self.count == 1 else 's'}\n",
            caption=Text(f"\n{caption}"),
            box=SIMPLE_HEAD,
            title_justify="left",
            caption_justify="left",
            padding=(0, 1, 0, 0),
            pad_edge=False,
            show_edge=False,
        )
        table.add_column("method", no_wrap=True, width=min(names, options.max_width))
        for title, width, _ in columns:
            table.add_column(Text(title), justify="right", width=width)
        for place, row in enumerate(self.rows):
            cells = [column[place] for _, _, column in columns]
            table.add_row(Text(row.name), *cells, style="bold green" if row.model else None)
        yield table
        yield Text(f"  {self.verdict()[:1].upper()}{self.verdict()[1:]}.", style="bold")
        for row in self.rows:
            if row.note:
                yield Text(f"  {row.name}: {row.note}", style="dim")
        for note in self.notes:
            yield Text(f"  {note}", style="dim")

    def _columns(self, room: int) -> tuple[list[tuple[str, int, list[str]]], list[str]]:
        """(heading, width, cells) of what fits: the main figure, its interval, then the others; the names of the rest.

        A heading may wrap between words, a figure never.
        """
        columns: list[tuple[str, int, list[str]]] = []
        left_out: list[str] = []
        for metric in (self.main, "", *(name for name in self.metrics if name != self.main)):
            title = self.titles.get(metric, metric) if metric else "95% interval"
            cells = [interval(row) if not metric else figure(row.values.get(metric, math.nan)) for row in self.rows]
            if metric != self.main and not any(cells):
                continue
            width = max(cell_len(part) for part in (*title.split(), *cells))
            if left_out or width + GAP > room:
                left_out.append(title)
                continue
            columns.append((title, width, cells))
            room -= width + GAP
        for place, (title, width, cells) in enumerate(columns):
            more = max(0, cell_len(title) - width)
            if more <= room:
                columns[place] = (title, width + more, cells)
                room -= more
        return columns, left_out


def figure(value: float) -> str:
    """A figure as a table shows it."""
    if math.isnan(value):
        return ""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}"


def interval(row: ScoreRow) -> str:
    """The interval of the main figure: ``0.954–0.987``; nothing where there is none."""
    if math.isnan(row.lower + row.upper):
        return ""
    return f"{figure(row.lower)}{' to ' if row.lower < 0 else '–'}{figure(row.upper)}"


def _p(value: float) -> str:
    return "< 0.002" if value < 0.002 else f"= {value:.2g}"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _numbers(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The same with None as NaN."""
    return {name: math.nan if name in names and one is None else one for name, one in values.items()}
