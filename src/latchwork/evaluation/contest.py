"""Several networks on the same sequences: each trained alike on every split with every seed, and scored once."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latchwork.cells import Cell, cell_class
from latchwork.errors import ConfigError, DataError
from latchwork.evaluation.leaks import Finding, audit
from latchwork.evaluation.sequence_figures import SHOWN, Method, Truth, main_of, scores_of
from latchwork.evaluation.sequence_score import baseline_methods, model_method, truth_of
from latchwork.evaluation.twins import QUARTER, Twin, forgetful
from latchwork.evaluation.validation import Folds, Scored, validate
from latchwork.layers import Network
from latchwork.layers.rivals import RIVALS, check_rival, rival
from latchwork.sequences import Labelled, Split
from latchwork.tasks import Classify, SequenceSetup, SequenceTask
from latchwork.training import Callback, Outcome, Training
from latchwork.training.fit import fit_setup

Kind = Literal["cell", "rival", "twin", "baseline", "oracle"]
Progress = Callable[[str, float], None]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Contender:
    """A network that takes part: recurrent layers of a cell, a rival in their place, or the twin of a cell."""

    name: str
    kind: Kind
    cell: str | type[Cell] | None
    rival: str | None = None
    twin: Twin | None = None

    def network(self, resolved: Network) -> Network:
        """The options with this cell."""
        return replace(resolved, cell=self.cell)

    def body(self, network: Network, steps: int | None) -> Any:
        """What stands in the place of the recurrent layers; None: nothing does."""
        if self.rival is not None:
            return rival(self.rival, network)
        return None if steps is None else forgetful(network, steps)


@dataclass(frozen=True)
class Trial:
    """One training. choice: what validation decided by, the smaller the better; NaN without validation sequences.

    validation  the figure that it was made of, ``metric``
    best_step   whose weights were kept; 0: the last ones
    forgets     steps after which a twin forgets; 0: never
    """

    name: str
    kind: Kind
    fold: int
    seed: int
    metric: str
    validation: float
    choice: float
    steps: int
    best_step: int
    seconds: float
    parameters: int
    forgets: int = 0


@dataclass
class Contest:
    """What :func:`run_contest` leaves.

    answers  (name, fold, seed) -> what a method said of the test sequences; a baseline has the first seed
    truths   of every fold
    rows     of every fold: the sequences scored
    kinds    name -> cell, rival, twin, baseline, or oracle: a baseline that is told true labels
    stopped  whether it was interrupted: then some trainings are missing
    """

    folds: Folds
    trials: list[Trial]
    answers: dict[tuple[str, int, int], Method]
    truths: list[Truth]
    rows: list[Rows]
    splits: list[Split]
    kinds: dict[str, Kind]
    findings: list[Finding] = field(default_factory=list)
    stopped: bool = False


def contenders_of(
    cells: Sequence[str | type[Cell]], rivals: Sequence[str] = (), twins: Sequence[str] = (), *, steps: bool = False
) -> list[Contender]:
    """Those asked for, by name; twins are of the first cell. steps: a label is asked for at each step.

    Raises :class:`ConfigError` for a name that is not known, or that comes twice.
    """
    if not cells:
        raise ConfigError("no cell to compare, expected at least one: cells=lstm,gru")
    found = []
    for one in cells:
        if isinstance(one, str) and one in RIVALS:
            raise ConfigError(f"{one} is no cell, it stands in the place of one: rivals={one}")
        name = one if isinstance(one, str) else cell_class(one).__name__
        cell_class(one)
        found.append(Contender(name, "cell", one))
    for name in rivals:
        check_rival(name)
        found.append(Contender(name, "rival", "gru", rival=name))
    for text in twins:
        twin = Twin.parse(text)
        if steps and twin.kind == "shuffled":
            raise ConfigError("shuffled steps would lose the steps beside them that a label rests on; use truncated")
        found.append(Contender(f"{found[0].name}, {text}", "twin", cells[0], twin=twin))
    names = [one.name for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f'"{twice}" is asked for twice; name each once')
    return found


def seeds_of(seeds: int | Sequence[int], first: int) -> list[int]:
    """So many from the first on, or those given."""
    found = list(range(first, first + seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    if not found or len(set(found)) < len(found) or min(found) < 0:
        raise ConfigError(f"seeds is {seeds}, expected a number from 1, or different whole numbers from 0")
    return found


def run_contest(
    task: SequenceTask,
    kind: str,
    labelled: Labelled,
    splits: Sequence[Split],
    contenders: Sequence[Contender],
    *,
    seeds: Sequence[int],
    network: Network,
    training: Training,
    baselines: bool = True,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
    ready: Callable[[SequenceSetup, list[Finding]], None] | None = None,
    each: Callable[[Trial, int], None] | None = None,
) -> Contest:
    """Train every contender on the training part of every split with every seed, choose its weights by the validation
    part, and ask it for the test part, once. Baselines are fitted once for each split. A seed decides the start of the
    weights and the order of training, never the split.

    ready  told before the first training: the data as it was understood, and what the leak audit of that split found
    each   told after every training: what it came to, and how many are left
    """
    if not all(len(split.test) for split in splits):
        raise ConfigError("no sequences are held back to compare on; give test_size above 0, or folds")
    for one in contenders:  # what can't be built is refused before anything is trained
        one.network(network).resolved().build(3)
    run = _Run(
        task=task,
        kind=kind,
        labelled=labelled,
        contenders=contenders,
        seeds=seeds,
        network=network,
        training=training,
        baselines=baselines,
        callbacks=callbacks,
        progress=progress,
        ready=ready,
        each=each,
        total=len(splits) * len(seeds) * len(contenders),
    )
    run.start(splits)
    folds = validate(splits, run.scored, main=main_of(run.truths), seeds=seeds)
    notes = folds.notes
    if run.stopped:
        notes = (f"interrupted after {len(run.trials)} of {run.total} trainings: no other is in the figures", *notes)
    folds = replace(folds, titles=run.titles, notes=notes)
    kinds: dict[str, Kind] = {one.name: one.kind for one in contenders}
    kinds |= {
        one.name: "oracle" if one.name in run.oracles else "baseline" for one in folds.scores if one.name not in kinds
    }
    return Contest(
        folds, run.trials, run.answers, run.truths, run.rows, list(splits), kinds, run.findings, stopped=run.stopped
    )


@dataclass
class _Run:
    """What is under way; one fold's sequences are held at a time."""

    task: SequenceTask
    kind: str
    labelled: Labelled
    contenders: Sequence[Contender]
    seeds: Sequence[int]
    network: Network
    training: Training
    baselines: bool
    callbacks: Sequence[Callback]
    progress: Progress | None
    ready: Callable[[SequenceSetup, list[Finding]], None] | None
    each: Callable[[Trial, int], None] | None
    total: int
    trials: list[Trial] = field(default_factory=list)
    answers: dict[tuple[str, int, int], Method] = field(default_factory=dict)
    truths: list[Truth] = field(default_factory=list)
    rows: list[Rows] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    oracles: set[str] = field(default_factory=set)
    stopped: bool = False

    def start(self, splits: Sequence[Split]) -> None:
        """Look at every fold, so that what can't be scored is refused before anything is trained, and at the first for
        leaks. Of the others only what is true is kept.
        """
        self.splits = list(splits)
        self.setup, self.fold = self.made(splits[0]), 0
        self.keep(self.setup)
        self.task = _fixed(self.task, self.setup)
        for split in splits[1:]:
            self.keep(self.made(split))
        own = self.setup.pipeline
        self.findings = audit(
            self.labelled, splits[0], self.setup.encoded, fitted=own.modality, options=own.task.source
        )
        if self.ready is not None:
            self.ready(self.setup, self.findings)

    def keep(self, setup: SequenceSetup) -> None:
        """What is to be scored in a fold, and what is true there."""
        rows = np.array([row for row in setup.split.test if setup.truth[row] is not None], np.int64)
        if not len(rows):
            raise DataError(f"{setup.split.name}: no held-back sequence has a label, so there is nothing to score on")
        self.rows.append(rows)
        self.truths.append(truth_of(setup.pipeline, self.labelled.select(rows), [setup.truth[row] for row in rows]))

    def made(self, split: Split) -> SequenceSetup:
        """Read, fitted and encoded for a fold."""
        return SequenceSetup.of(self.task, self.kind, self.labelled, self.network, seed=self.seeds[0], split=split)

    def scored(self, split: Split, seed: int) -> list[Scored]:
        """All contenders with a seed, and with the first one the baselines."""
        if self.stopped:
            return []
        fold = next(at for at, one in enumerate(self.splits) if one is split)
        if fold != self.fold:
            self.setup, self.fold = self.made(split), fold
        found = [one for contender in self.contenders if (one := self.trained(contender, fold, seed)) is not None]
        if self.baselines and seed == self.seeds[0] and not self.stopped:
            for method in baseline_methods(self.setup, self.rows[fold], self.truths[fold], self.progress):
                if method.oracle:
                    self.oracles.add(method.name)
                found.append(self.judged(method, fold, seed))
        return found

    def trained(self, contender: Contender, fold: int, seed: int) -> Scored | None:
        """One training; None where it was interrupted."""
        if self.stopped:
            return None
        began = time.perf_counter()
        setup, forgets = self.seen(contender)
        network = contender.network(setup.pipeline.network)
        setup = setup.rebuilt(network, seed=seed, body=contender.body(network, forgets))
        options = replace(self.training, seed=seed).resolved(**setup.defaults()).completed()
        watch = [] if self.progress is None else [_Watch(self.progress, len(self.trials), self.total)]
        fitted = fit_setup(setup, options, callbacks=[*self.callbacks, *watch])
        setup, outcome = fitted.setup, fitted.outcome
        if outcome.stopped == "interrupted":
            if not self.trials:  # nothing to show
                raise KeyboardInterrupt
            self.stopped = True
            return None
        rows, truth = self.rows[fold], self.truths[fold]
        method = model_method(setup.pipeline, [setup.encoded[row] for row in rows], truth, contender.name)
        seconds = time.perf_counter() - began
        parameters = sum(one.numel() for one in setup.pipeline.module.parameters())
        choice, value = _validated(outcome, setup.metric)
        self.trials.append(
            Trial(
                contender.name, contender.kind, fold, seed, setup.metric, value, choice, outcome.steps,
                outcome.best_step, seconds, parameters, forgets or 0,
            )
        )  # fmt: skip
        if self.each is not None:
            self.each(self.trials[-1], self.total - len(self.trials))
        return self.judged(method, fold, seed, model=contender.kind == "cell")

    def seen(self, contender: Contender) -> tuple[SequenceSetup, int | None]:
        """The sequences as this contender sees them, and after how many steps it forgets."""
        setup, twin = self.setup, contender.twin
        if twin is None:
            return setup, None
        if setup.pipeline.targets.kind == "steps":
            lengths = [len(setup.encoded[row]) for row in setup.split.train]
            return setup, twin.keep or max(1, round(QUARTER * float(np.median(lengths))))
        taken = [
            None if one is None else twin.taken(one, name)
            for one, name in zip(setup.encoded, self.labelled.ids, strict=True)
        ]
        return replace(setup, encoded=taken), None

    def judged(self, method: Method, fold: int, seed: int, *, model: bool = False) -> Scored:
        """The figures of answers, which are kept."""
        truth = self.truths[fold]
        if method.sure is None:
            return Scored(method.name, {}, note=method.note)
        self.answers[method.name, fold, seed] = method
        scores = scores_of(truth, method)
        self.titles.update({name: title for name, title in scores.labels.items() if name in SHOWN[truth.kind]})
        values = {name: scores.values.get(name, math.nan) for name in SHOWN[truth.kind]}
        return Scored(method.name, values, model=model, note=method.note)


class _Watch(Callback):
    """How far all trainings together are."""

    def __init__(self, progress: Progress, done: int, total: int) -> None:
        self.progress, self.done, self.total, self.steps, self.share = progress, done, total, 1, 0.0

    def begin(self, step: int, steps: int) -> None:
        self.steps = max(1, steps)

    def step(self, record: Mapping[str, Any]) -> None:
        self.share = max(self.share, record["step"] / self.steps)  # a second training with more data begins anew
        self.progress(f"{self.total} trainings", (self.done + self.share) / self.total)


def _validated(outcome: Outcome, metric: str) -> tuple[float, float]:
    """(what decided, the figure shown) of the weights that were kept."""
    best = outcome.best or {}
    choice, value = best.get("choice"), best.get(metric)
    return (math.nan if choice is None else float(choice)), (math.nan if value is None else float(value))


def _fixed(task: SequenceTask, setup: SequenceSetup) -> SequenceTask:
    """The same with what the first split decided, so that figures of all folds are about the same class."""
    targets, positive = setup.pipeline.targets, setup.pipeline.positive
    if isinstance(task, Classify) and task.positive is None and positive is not None:
        return replace(task, positive=targets.classes[positive])
    return task
