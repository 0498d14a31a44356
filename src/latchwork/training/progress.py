"""Progress on the terminal: a bar with the time left and the latest figures; short lines where there is no terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from latchwork.training.job import Callback, Outcome


class Progress(Callback):
    """Shows training on ``console``, by default the standard error stream, so that standard output stays free for data.

    On a terminal: a bar, the steps, the time left, the loss, the gradient's norm, the last and the best validation.
    Elsewhere (a file, a pipe, a log): one short line for each validation and event.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = Console(stderr=True) if console is None else console
        self.bar: Bar | None = None
        self.task = TaskID(0)
        self.validation = ""
        self.best: float | None = None

    def begin(self, step: int, steps: int) -> None:
        self.steps = steps
        if not self.console.is_terminal:
            return
        self.bar = Bar(
            TextColumn("training"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self.console,
        )
        self.task = self.bar.add_task("training", total=steps, completed=step, figures="")
        self.bar.start()

    def step(self, record: Mapping[str, Any]) -> None:
        if "validation" in record:
            self._validated(record)
        if self.bar is not None:
            figures = f"loss {record['loss']:.4g}  norm {record['gradient_norm']:.3g}{self.validation}"
            self.bar.update(self.task, completed=record["step"], figures=figures)

    def _validated(self, record: Mapping[str, Any]) -> None:
        name, score = next(iter(record["validation"].items()))
        if score is not None and (self.best is None or score < self.best):
            self.best = score
        best = "none" if self.best is None else f"{self.best:.4g}"
        self.validation = f"  {name} {'none' if score is None else f'{score:.4g}'}, best {best}"
        if self.bar is None:
            self._line(f"step {record['step']} of {self.steps}  loss {record['train']:.4g}{self.validation}")

    def event(self, step: int, message: str) -> None:
        self._line(message)

    def end(self, outcome: Outcome) -> None:
        reasons = {"budget": "all steps made", "patience": "no better validation for a while"}
        if outcome.stopped in reasons:
            kept = f", the weights of step {outcome.best_step} kept" if outcome.best_step else ""
            self._line(f"trained {outcome.steps} steps: {reasons[outcome.stopped]}{kept}")

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
