"""What a trial is worth: trained on inner folds of what is not the test part, judged as training judges."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from latchwork.errors import ConfigError, TrainingError
from latchwork.sequences import Labelled, Split, split_examples
from latchwork.tasks import Classify, SequenceTask, split_of
from latchwork.training import Callback, fit_sequences
from latchwork.tuning.options import Options

UNITS = 9
"""A trial's whole work, in the units that pruning counts: a third of it is 3, a ninth is 1."""


class OutOfTimeError(Exception):
    """The time of the search is over; the trial is given back."""


@dataclass(frozen=True)
class Worth:
    """value: mean over folds of what is minimised. figure: of the metric that people read. folds: value of each."""

    value: float
    figure: float
    folds: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Objective:
    """The sequences that a search may see, and its folds; the test part is not among them."""

    kind: str
    labelled: Labelled
    splits: tuple[Split, ...]

    @classmethod
    def of(cls, task: SequenceTask, kind: str, labelled: Labelled, *, folds: int, seed: int) -> "Objective":
        """Take the test part away, and cut the rest: into folds, or as it is trained on where there is one."""
        outer = split_of(task, labelled, seed=seed)
        rows = np.sort(np.concatenate([outer.train, outer.validation]))
        seen, nothing = labelled.select(rows), np.array([], np.int64)
        if folds == 1:
            if not len(outer.validation):
                raise ConfigError(
                    "a search chooses by validation: give validation_size above 0, or folds of at least 2"
                )
            train, validation = (np.searchsorted(rows, np.sort(part)) for part in (outer.train, outer.validation))
            return cls(kind, seen, (Split(train, validation, nothing, outer.name, outer.notes),))
        cut = split_examples(seen, folds=folds, validation=0, by_time=task.by_time, seed=seed)
        inner = [Split(one.train, one.test, nothing, one.name, one.notes) for one in cut]
        return cls(kind, seen, tuple(inner))

    def worth(
        self,
        options: Options,
        *,
        report: Callable[[int, float], None] = lambda unit, value: None,
        deadline: float = math.inf,
    ) -> Worth:
        """Train on every fold. ``report`` is told the units of work done and the value so far, and may raise.

        Raises KeyboardInterrupt where training was interrupted, :class:`OutOfTimeError` at the deadline (of
        ``time.time``), and :class:`TrainingError` where the figure is undefined.
        """
        task = replace(options.task, refit=False)
        if isinstance(task, Classify):
            # All of these come after training.
            task = replace(task, calibrate=False, aim=None, cost=None, bound="none", aim_folds=0)
        values: list[float] = []
        figures: list[float] = []
        for split in self.splits:
            watch = _Watch(values, len(self.splits), report, deadline)
            watch.on_time()
            fitted = fit_sequences(
                task, self.kind, self.labelled, options.network, options.training, split=split, callbacks=[watch]
            )
            if fitted.outcome.stopped == "interrupted":
                raise KeyboardInterrupt
            found = _finite(fitted.outcome.best)
            values.append(found["choice"])
            figures.append(found.get(fitted.setup.metric, math.nan))
        return Worth(float(np.mean(values)), float(np.mean(figures)), tuple(values))


class _Watch(Callback):
    """Tells how far a trial is, at every unit of its work."""

    def __init__(self, before: list[float], folds: int, report: Callable[[int, float], None], deadline: float) -> None:
        self.before, self.folds, self.report, self.deadline = before, folds, report, deadline
        self.best, self.unit, self.steps = math.inf, len(before) * UNITS // folds, 1

    def begin(self, step: int, steps: int) -> None:
        self.steps = steps

    def on_time(self) -> None:
        if time.time() >= self.deadline:
            raise OutOfTimeError

    def step(self, record: Mapping[str, Any]) -> None:
        self.on_time()
        value = next(iter(record.get("validation", {}).values()), None)
        if value is None:
            return
        self.best = min(self.best, value)
        share = (len(self.before) + record["step"] / self.steps) / self.folds
        unit = math.floor(UNITS * share + 1e-9)
        if self.unit < unit < UNITS:
            self.unit = unit
            self.report(unit, float(np.mean([*self.before, self.best])))


def _finite(best: Mapping[str, float | None]) -> dict[str, float]:
    known = {name: value for name, value in best.items() if value is not None}
    if "choice" not in known:
        raise TrainingError("no validation gave a figure")
    return known
