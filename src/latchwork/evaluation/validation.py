"""Validation over folds and seeds: every figure of every fold, their mean and spread, as a table and as JSON."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from latchwork.errors import ConfigError, DataError, ModelFileError, did_you_mean
from latchwork.evaluation.printed import Printed
from latchwork.metrics.scores import LOWER_IS_BETTER
from latchwork.sequences import Split

Progress = Callable[[str, float], None]

MOST_FOLDS = 10
"""Up to so many figures of folds are shown beside the mean."""


@dataclass(frozen=True)
class Scored:
    """What one method was worth on one split: metric -> figure, NaN where it is undefined."""

    name: str
    values: Mapping[str, float]
    model: bool = False
    note: str = ""


@dataclass(frozen=True)
class FoldScore:
    """One method on one fold with one seed; ``fold`` counts from 0."""

    name: str
    fold: int
    seed: int
    values: dict[str, float]
    model: bool = False
    note: str = ""


@dataclass(frozen=True)
class Spread:
    """A metric over folds and seeds.

    mean    over the folds where it is defined, each the mean over its seeds
    folds   standard deviation over these folds (n - 1); NaN with one. Folds share training sequences, so it is no
            standard error
    seeds   standard deviation over seeds within a fold, pooled over folds; NaN with one seed
    count   folds where it is defined
    """

    mean: float
    folds: float
    seeds: float
    count: int


@dataclass(frozen=True)
class Difference:
    """A method less another, fold by fold: mean and deviation, and in how many of ``count`` folds it was better."""

    method: str
    rival: str
    metric: str
    mean: float
    spread: float
    better: int
    count: int

    def __str__(self) -> str:
        spread = "" if math.isnan(self.spread) else f" ± {_figure(self.spread)}"
        if not self.count:
            return f"{self.method} can't be compared with {self.rival}: no fold has {self.metric} of both"
        return (
            f"{self.method} less {self.rival}: {self.mean:+.3g}{spread} in {self.metric}, "
            f"better in {self.better} of {self.count} folds"
        )


@dataclass(frozen=True)
class Folds(Printed):
    """Every figure, in the order of methods; made by :func:`validate`.

    main    the metric that decides
    names   of the folds: "fold 1 of 5"
    sizes   of their training, validation and test parts
    notes   what was said about the splits
    titles  metric -> what people read
    """

    scores: tuple[FoldScore, ...]
    metrics: tuple[str, ...]
    main: str
    names: tuple[str, ...]
    sizes: tuple[tuple[int, int, int], ...]
    notes: tuple[str, ...]
    titles: dict[str, str]

    @property
    def methods(self) -> list[str]:
        """The best in the main metric first, those without one last."""
        names = list(dict.fromkeys(one.name for one in self.scores))
        sign = 1 if self.main in LOWER_IS_BETTER else -1
        means = {name: self.spread(name).mean for name in names}
        return sorted(names, key=lambda name: (math.isnan(means[name]), sign * means[name]))

    @property
    def seeds(self) -> list[int]:
        """Those that any method was run with."""
        return sorted({one.seed for one in self.scores})

    def figures(self, name: str, metric: str | None = None) -> np.ndarray[Any, np.dtype[np.float64]]:
        """[folds, seeds] of one method, NaN where there is none."""
        metric = metric or self.main
        if metric not in self.metrics:
            raise ConfigError(f'no metric "{metric}"{did_you_mean(metric, self.metrics)}; there are {self.metrics}')
        known = {one.name for one in self.scores}
        if name not in known:
            raise ConfigError(f'no method "{name}"{did_you_mean(name, known)}; there are {sorted(known)}')
        seeds = self.seeds
        found = np.full((len(self.names), len(seeds)), np.nan)
        for one in self.scores:
            if one.name == name:
                found[one.fold, seeds.index(one.seed)] = one.values.get(metric, math.nan)
        return found

    def spread(self, name: str, metric: str | None = None) -> Spread:
        """Mean, spread over folds and spread over seeds of one method."""
        found = self.figures(name, metric)
        folds = _row_means(found)
        some = folds[~np.isnan(folds)]
        count = (~np.isnan(found)).sum(1)
        squares = np.nansum(np.square(found - folds[:, None]), axis=1)
        free = int(np.maximum(count - 1, 0).sum())
        return Spread(
            mean=float(some.mean()) if len(some) else math.nan,
            folds=float(some.std(ddof=1)) if len(some) > 1 else math.nan,
            seeds=math.sqrt(float(squares[count > 1].sum()) / free) if free else math.nan,
            count=len(some),
        )

    def difference(self, method: str, rival: str, metric: str | None = None) -> Difference:
        """Paired: over the folds where both have the metric."""
        metric = metric or self.main
        one, other = (_row_means(self.figures(name, metric)) for name in (method, rival))
        both = (one - other)[~np.isnan(one - other)]
        better = both < 0 if metric in LOWER_IS_BETTER else both > 0
        return Difference(
            method,
            rival,
            metric,
            float(both.mean()) if len(both) else math.nan,
            float(both.std(ddof=1)) if len(both) > 1 else math.nan,
            int(better.sum()),
            len(both),
        )

    def table(self) -> list[dict[str, Any]]:
        """One dictionary for each method and metric, in order: mean, spread, and each fold's figure."""
        rows = []
        for name in self.methods:
            for metric in self.metrics:
                per_fold = _row_means(self.figures(name, metric)).tolist()
                rows.append({"method": name, "metric": metric, **asdict(self.spread(name, metric)), "each": per_fold})
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file; NaN becomes None. ``summary`` is for readers, the rest is everything."""
        return _plain({**asdict(self), "summary": self.table()})

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Folds":
        """The inverse of :meth:`to_dict`; raises :class:`ModelFileError` where something is missing."""
        try:
            scores = tuple(
                FoldScore(
                    **{
                        **one,
                        "values": {k: math.nan if v is None else float(v) for k, v in one["values"].items()},
                    }
                )
                for one in saved["scores"]
            )
            sizes = tuple((int(a), int(b), int(c)) for a, b, c in saved["sizes"])
            metrics, names, notes = (tuple(map(str, saved[key])) for key in ("metrics", "names", "notes"))
            return cls(scores, metrics, str(saved["main"]), names, sizes, notes, dict(saved["titles"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelFileError(f"the file of validation scores is damaged: {error!r}") from error

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Means and spreads, then the main metric of every fold, then the notes."""
        yield self._rich_table(options.max_width)
        if len(self.names) > 1:
            yield self._rich_folds()
        for note in self._method_notes():
            yield Text(f"  {note}", style="dim")
        for note in self.notes:
            yield Text(f"  {note}", style="dim")

    def _title(self, metric: str) -> str:
        return self.titles.get(metric, metric)

    def _is_model(self, name: str) -> bool:
        return any(one.model for one in self.scores if one.name == name)

    def _rich_table(self, width: int) -> Table:
        seeds, several = len(self.seeds), len(self.names) > 1
        spread = "mean ± standard deviation over folds" if several else "one split"
        if seeds > 1:
            spread += f", in brackets over {seeds} seeds"
        columns, left_out = self._columns(width - max(len(name) for name in ("method", *self.methods)) - 2)
        caption = f"Sorted by {self._title(self.main)}; {spread}."
        if left_out:
            caption += f" Not shown here: {', '.join(left_out)}."
        table = Table(
            title=f"{len(self.names)} folds" if several else self.names[0],
            caption=Text(caption),
            box=SIMPLE_HEAD,
            title_justify="left",
            caption_justify="left",
            padding=(0, 1, 0, 0),
        )
        table.add_column("method", no_wrap=True)
        for title, _ in columns:
            table.add_column(Text(title), justify="right")
        for name, cells in zip(self.methods, zip(*(cells for _, cells in columns), strict=True), strict=True):
            row = [Text(cell) for cell in cells]
            table.add_row(Text(name), *row, style="bold green" if self._is_model(name) else None)
        return table

    def _columns(self, room: int) -> tuple[list[tuple[str, list[str]]], list[str]]:
        """(heading, cells) of the metrics that fit, the main one first; the names of the others. Headings may wrap."""
        columns: list[tuple[str, list[str]]] = []
        left_out: list[str] = []
        for metric in (self.main, *(one for one in self.metrics if one != self.main)):
            title, cells = self._title(metric), [self._cell(name, metric) for name in self.methods]
            room -= max(len(part) for part in (*title.split(), *cells)) + 1
            if columns and room < 0:
                left_out.append(title)
            else:
                columns.append((title, cells))
        return columns, left_out

    def _cell(self, name: str, metric: str) -> str:
        one = self.spread(name, metric)
        cell = _figure(one.mean)
        cell += "" if math.isnan(one.folds) else f" ± {_figure(one.folds)}"
        cell += "" if math.isnan(one.seeds) else f" [{_figure(one.seeds)}]"
        return cell + (f" ({one.count} folds)" if 0 < one.count < len(self.names) else "")

    def _rich_folds(self) -> Table:
        shown = range(min(len(self.names), MOST_FOLDS))
        table = Table(
            title=f"{self._title(self.main)}, every fold" + (f" ({MOST_FOLDS} shown)" if len(self.names) > 10 else ""),
            box=SIMPLE_HEAD,
            title_justify="left",
            padding=(0, 1, 0, 0),
        )
        table.add_column("method", no_wrap=True)
        for fold in shown:
            table.add_column(f"{fold + 1}\n{self.sizes[fold][0]:,}/{self.sizes[fold][2]:,}", justify="right")
        for name in self.methods:
            figures = _row_means(self.figures(name))
            cells = [_figure(float(figures[fold])) or "undefined" for fold in shown]
            table.add_row(escape(name), *cells, style="bold green" if self._is_model(name) else None)
        return table

    def _method_notes(self) -> list[str]:
        notes = dict.fromkeys((one.name, one.note) for one in self.scores if one.note)
        return [f"{name}: {note}" for name, note in notes if len([1 for other, _ in notes if other == name]) == 1]


def validate(
    splits: Sequence[Split],
    run: Callable[[Split, int], Sequence[Scored]],
    *,
    main: str,
    seeds: Sequence[int] = (0,),
    titles: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Folds:
    """Run everything on every split with every seed, and keep every figure.

    ``run`` trains on a split's training part, chooses by its validation, and gives the scores of its test part: of the
    model and of whatever stands beside it. Splits come from :func:`latchwork.sequences.split_examples`; folds drawn
    anew for each seed are simply more splits. A method that does not depend on the seed may be given for the first seed
    alone.

    Raises :class:`ConfigError` for no splits, no seeds, or a main metric that nobody has.
    """
    if not splits:
        raise ConfigError("no split to validate on, expected at least one")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds are {list(seeds)}, expected at least one, all different")
    scores: list[FoldScore] = []
    done = 0
    for fold, split in enumerate(splits):
        for seed in seeds:
            if progress is not None:
                progress(f"{split.name}, seed {seed}", done / (len(splits) * len(seeds)))
            found = run(split, seed)
            if len({one.name for one in found}) < len(found):
                raise DataError(f"{split.name}: two methods have the same name: {[one.name for one in found]}")
            scores += [FoldScore(one.name, fold, seed, dict(one.values), one.model, one.note) for one in found]
            done += 1
    if progress is not None:
        progress("validation", 1.0)
    metrics = tuple(dict.fromkeys(metric for one in scores for metric in one.values))
    if main not in metrics:
        raise ConfigError(f'the main metric is "{main}"{did_you_mean(main, metrics)}; there are {", ".join(metrics)}')
    notes = list(dict.fromkeys(note for split in splits for note in split.notes))
    undefined = sum(math.isnan(one.values.get(main, math.nan)) for one in scores)
    if undefined:
        notes.append(f"{undefined} of {len(scores)} runs have no {main}: the means are over the others")
    return Folds(
        tuple(scores),
        metrics,
        main,
        tuple(split.name for split in splits),
        tuple((len(split.train), len(split.validation), len(split.test)) for split in splits),
        tuple(notes),
        dict(titles or {}),
    )


def _row_means(found: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[folds] means of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(found)
    with np.errstate(invalid="ignore"):
        return np.where(known, found, 0.0).sum(1) / np.where(known.any(1), known.sum(1), np.nan)


def _figure(value: float) -> str:
    if math.isnan(value):
        return ""
    if abs(value) < 1e-9:
        return "0.00"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
