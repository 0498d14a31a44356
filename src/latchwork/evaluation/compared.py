"""What a comparison found: the table, and what it says in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from latchwork.evaluation.contest import Trial
from latchwork.evaluation.leaks import Finding
from latchwork.evaluation.printed import Printed
from latchwork.evaluation.scoreboard import figure
from latchwork.evaluation.validation import Folds
from latchwork.metrics import LOWER_IS_BETTER

WIDE = 100
"""From so many columns of a terminal on, parameters and seconds are shown."""

_STYLES = {"cell": "bold green", "rival": "cyan", "twin": "yellow", "baseline": None, "oracle": None}


@dataclass(frozen=True)
class Against:
    """The main figure of a method less that of another, on the same sequences, each the mean over its seeds.

    lower, upper  95% interval: over folds, or over the sequences of the one test part and over seeds; NaN: not known
    error         of the difference, from seeds alone: its standard error; NaN over folds, or with one seed
    """

    method: str
    rival: str
    value: float
    lower: float
    upper: float
    error: float = math.nan

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.lower > 0 or self.upper < 0


@dataclass(frozen=True)
class Compared(Printed):
    """Cells, rivals, twins and baselines side by side; made by :func:`latchwork.evaluation.compare`.

    folds     every figure of every method, fold and seed
    trials    what each training came to
    kinds     method -> cell, rival, twin, baseline, or oracle: that is told true labels, and no rival
    against   every method but an oracle less the first cell
    chosen    the cell that validation would choose; None without validation sequences
    beside    it less the best baseline; None where there is none
    twins     a sentence for each
    findings  of the leak audit of the first split
    stopped   whether it was interrupted, and trainings are missing
    """

    folds: Folds
    trials: tuple[Trial, ...]
    kinds: dict[str, str]
    first: str
    against: tuple[Against, ...]
    chosen: str | None
    beside: Against | None
    twins: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    stopped: bool = False

    @property
    def main(self) -> str:
        """The figure that decides."""
        return self.folds.main

    @property
    def title(self) -> str:
        """How it is called."""
        return self.folds.titles.get(self.main, self.main)

    def difference(self, method: str) -> Against:
        """A method less the first cell."""
        return next(one for one in self.against if one.method == method)

    def verdict(self) -> list[str]:
        """Plain sentences: which cell validation would choose, what it is worth beside the baselines, the twins."""
        found = []
        cells = [name for name, kind in self.kinds.items() if kind == "cell" and name in self.folds.methods]
        if len(cells) > 1:
            found.append(self._cells(cells))
        if self.beside is not None:
            found.append(f"beside the best baseline: {words(self.beside, self.title, self.main)}")
        return [*found, *self.twins]

    def _cells(self, cells: Sequence[str]) -> str:
        apart = [one for one in self.against if one.method in cells and one.sure]
        others = [name for name in cells if name != self.first]
        if self.chosen is None:
            said = "no validation sequences, so nothing to choose a cell by"
        else:
            said = f"validation would choose {self.chosen}: {self.title} {self._spread(self.chosen)} in the test"
        if not apart:
            return f"{said}; {_listed(others)} can't be told from {self.first}"
        sign = -1 if self.main in LOWER_IS_BETTER else 1
        parts = [f"{one.method} is {'better' if sign * one.value > 0 else 'worse'}" for one in apart]
        rest = [name for name in others if name not in {one.method for one in apart}]
        more = f", {_listed(rest)} can't be told from it" if rest else ""
        return f"{said}; than {self.first} {_listed(parts)}{more}"

    def _spread(self, name: str) -> str:
        """Mean ± standard deviation: over folds, or over the seeds of the one split."""
        one = self.folds.spread(name)
        deviation = one.folds if len(self.folds.names) > 1 else one.seeds
        return figure(one.mean) + ("" if math.isnan(deviation) else f" ± {figure(deviation)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file; NaN becomes None."""
        return {
            "main": self.main,
            "first": self.first,
            "chosen": self.chosen,
            "verdict": self.verdict(),
            "kinds": self.kinds,
            "against": [_plain(asdict(one)) for one in self.against],
            "trials": [_plain(asdict(one)) for one in self.trials],
            "findings": [one.to_dict() for one in self.findings],
            "folds": self.folds.to_dict(),
            "stopped": self.stopped,
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, then what it says in words."""
        folds, tested = self.folds, sum(test for _, _, test in self.folds.sizes)
        several, seeds = len(folds.names) > 1, len(folds.seeds)
        where = f"{tested:,} sequences in {len(folds.names)} folds" if several else f"{tested:,} held-back sequences"
        over = "over folds" if several else f"over {seeds} seeds" if seeds > 1 else ""
        over = f"; mean ± standard deviation {over}" if over else ""
        of = "folds" if several else "sequences and seeds" if seeds > 1 else "sequences"
        table = Table(
            title=f"{self.title} on {where}, {seeds} {'seed' if seeds == 1 else 'seeds'}, {self._budget()}",
            caption=f"Sorted by {self.title}{over}. Less {self.first}: with its 95% interval, over {of}.",
            box=SIMPLE_HEAD,
            title_justify="left",
            caption_justify="left",
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        table.add_column("method", no_wrap=True)
        for title in (self.title, f"less {self.first}", "95% interval"):
            table.add_column(title, justify="right", no_wrap=True)
        validated = next((one.metric for one in self.trials if not math.isnan(one.validation)), None)
        more = [] if validated is None else [f"validation {validated}"]
        more += ["parameters", "seconds each"] if options.max_width >= WIDE else []
        for title in more:
            table.add_column(title, justify="right")
        differences = {one.method: one for one in self.against}
        for name in folds.methods:
            cells = [self._spread(name), *_difference(differences.get(name)), *self._trained(name)]
            table.add_row(Text(name), *cells[: 3 + len(more)], style=_STYLES[self.kinds[name]])
        yield table
        for sentence in self.verdict():
            yield Text(f"  {sentence[:1].upper()}{sentence[1:]}.", style="bold")
        shown = [one for one in folds.scores if one.note and (not one.values or self.kinds[one.name] == "oracle")]
        notes = dict.fromkeys(f"{one.name}: {one.note}" for one in shown)
        for note in (*notes, *folds.notes):
            yield Text(f"  {note}", style="dim")

    def _trained(self, name: str) -> list[str]:
        """Validation, parameters and seconds; nothing for what was not trained here."""
        own = [one for one in self.trials if one.name == name]
        if not own:
            return ["", "", ""]
        known = [one.validation for one in own if not math.isnan(one.validation)]
        shown = [figure(float(np.mean(known)))] if any(not math.isnan(one.validation) for one in self.trials) else []
        return [*shown, f"{own[0].parameters:,}", f"{np.mean([one.seconds for one in own]):.1f}"]

    def _budget(self) -> str:
        most = max(one.steps for one in self.trials)
        return f"{most:,} steps each" if all(one.steps == most for one in self.trials) else f"up to {most:,} steps each"


def words(one: Against, title: str, main: str) -> str:
    """Whether a method beats another, as a sentence."""
    size = f"{abs(one.value):.3g} in {title}"
    if math.isnan(one.lower):
        return f"{one.method} differs from {one.rival} by {one.value:+.3g} in {title}; too little to tell"
    bounds = f"95% interval {one.lower:+.3g} to {one.upper:+.3g}"
    if not one.sure:
        return f"{one.method} and {one.rival} can't be told apart: {one.value:+.3g} in {title}, {bounds}"
    better = (one.value < 0) == (main in LOWER_IS_BETTER)
    return f"{one.method} {'beats' if better else 'is worse than'} {one.rival} by {size}, {bounds}"


def _difference(one: Against | None) -> list[str]:
    """The cells of a difference and of its interval."""
    if one is None or math.isnan(one.value):
        return ["", ""]
    bounds = "" if math.isnan(one.lower) else f"{one.lower:+.3f} to {one.upper:+.3f}"
    return [f"{round(one.value, 6) + 0.0:+.3f}", bounds]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }
