"""Cross-validation of any task: rolling origins for a forecaster, folds of whole sequences for the others."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from latchwork.errors import ConfigError, did_you_mean
from latchwork.evaluation import backtest
from latchwork.evaluation.backtest import Evaluation
from latchwork.evaluation.compare import beside_best
from latchwork.evaluation.compared import Against, words
from latchwork.evaluation.contest import Contender, Contest, Trial, run_contest, seeds_of
from latchwork.evaluation.leaks import Finding
from latchwork.evaluation.printed import Printed
from latchwork.evaluation.scoreboard import Scoreboard, figure
from latchwork.evaluation.sequence_figures import Method
from latchwork.evaluation.sequence_score import scoreboard
from latchwork.evaluation.validation import Folds
from latchwork.layers import Network
from latchwork.tasks import Classify, Forecast, Label, SequenceSetup, SequenceTask, folds_of, read_examples
from latchwork.training import Callback, Training

Progress = Callable[[str, float], None]
MODEL = "latchwork"


@dataclass(frozen=True)
class CrossValidated(Printed):
    """Every fold's figures; made by :func:`cross_validate_sequences`.

    folds     the model and the baselines, fold by fold and seed by seed; the mean over folds is what is reported
    beside    the model less the best baseline, over folds; None where there is none
    pooled    the answers of the first seed to all sequences, each from the fold that had not learned it, as one table;
              None where folds differ in their classes, or each has a threshold of its own
    findings  of the leak audit of fold 1
    trials    what each training came to
    stopped   whether it was interrupted, and trainings are missing
    """

    folds: Folds
    beside: Against | None
    pooled: Scoreboard | None
    findings: tuple[Finding, ...]
    trials: tuple[Trial, ...]
    stopped: bool = False

    def verdict(self) -> list[str]:
        """Whether the model is better than the best baseline, and what the pooled answers give."""
        main, found = self.folds.main, []
        title = self.folds.titles.get(main, main)
        if self.beside is not None:
            found.append(f"beside the best baseline, over folds: {words(self.beside, title, main)}")
        if self.pooled is not None and self.pooled.main == main and not math.isnan(self.pooled.model.lower):
            row = self.pooled.model
            found.append(
                f"all {self.pooled.count:,} sequences as one, each answered by the fold that had not learned it: "
                f"{title} {figure(row.values[main])}, 95% interval {figure(row.lower)} to {figure(row.upper)} "
                f"(by {self.pooled.unit}" + (f"; seed {self.folds.seeds[0]})" if len(self.folds.seeds) > 1 else ")")
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file; NaN becomes None."""
        return {
            "verdict": self.verdict(),
            "folds": self.folds.to_dict(),
            "pooled": None if self.pooled is None else self.pooled.to_dict(),
            "findings": [one.to_dict() for one in self.findings],
            "stopped": self.stopped,
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The tables of :class:`Folds`, then the verdict."""
        yield self.folds
        for sentence in self.verdict():
            yield Text(f"  {sentence[:1].upper()}{sentence[1:]}.", style="bold")


def cross_validate_sequences(
    task: SequenceTask,
    data: Any,
    *,
    folds: int = 5,
    seeds: int | Sequence[int] = 1,
    network: Network | None = None,
    training: Training | None = None,
    baselines: bool = True,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
    ready: Callable[[SequenceSetup, list[Finding]], None] | None = None,
    each: Callable[[Trial, int], None] | None = None,
) -> CrossValidated:
    """Train and score a classifier or labeller on as many folds, each with every seed.

    Whole entities, and equal contents, stay in one fold; classes are spread evenly; with ``task.by_time`` the folds
    expand. In each, a share of the training part is the validation part that weights are chosen by. The split is that
    of ``training.seed``; the seeds count from it. ready, each: see :func:`latchwork.evaluation.run_contest`.
    """
    network, training = network or Network(), training or Training()
    numbers = seeds_of(seeds, training.seed)
    kind, labelled = read_examples(task, data)
    contest = run_contest(
        task,
        kind,
        labelled,
        folds_of(task, labelled, folds, seed=training.seed),
        [Contender(MODEL, "cell", network.cell)],
        seeds=numbers,
        network=network,
        training=training,
        baselines=baselines,
        callbacks=callbacks,
        progress=progress,
        ready=ready,
        each=each,
    )
    return CrossValidated(
        contest.folds,
        beside_best(contest, MODEL),
        pooled(contest, numbers[0]),
        tuple(contest.findings),
        tuple(contest.trials),
        contest.stopped,
    )


def pooled(contest: Contest, seed: int) -> Scoreboard | None:
    """All folds' answers of a seed as one table."""
    truths = contest.truths
    if contest.stopped or len({(one.kind, one.classes, one.positive) for one in truths}) > 1:
        return None
    names = dict.fromkeys(name for name, _, _ in contest.answers)
    methods = []
    for name in names:
        parts = [contest.answers.get((name, fold, seed)) for fold in range(len(truths))]
        known = [one for one in parts if one is not None]
        if any(one.threshold is not None for one in known):
            return None
        if len(known) == len(truths):
            methods.append(_joined(known))
    joined = replace(
        truths[0],
        values=np.concatenate([one.values for one in truths]),
        groups=np.concatenate([one.groups for one in truths]),
        names=tuple(labels for one in truths for labels in one.names),
    )
    return scoreboard(joined, methods, sum(map(len, contest.rows)), [])


def _joined(parts: Sequence[Method]) -> Method:
    """The answers of one method to the sequences of all folds."""
    said: Any = None
    if parts[0].said is not None:
        several = [one.said for one in parts]
        said = (
            np.concatenate(several) if isinstance(several[0], np.ndarray) else [one for part in several for one in part]
        )
    sure = np.concatenate([one.sure for one in parts if one.sure is not None])
    return Method(parts[0].name, sure, said, model=parts[0].name == MODEL)


@overload
def cross_validate(
    task: Forecast,
    data: Any,
    *,
    n_windows: int = 5,
    step_size: int | None = None,
    refit: bool = True,
    network: Network | None = None,
    training: Training | None = None,
    seconds: float = backtest.SECONDS_FOR_BASELINES,
    progress: Progress | None = None,
) -> Evaluation: ...


@overload
def cross_validate(
    task: SequenceTask,
    data: Any,
    *,
    folds: int = 5,
    seeds: int | Sequence[int] = 1,
    network: Network | None = None,
    training: Training | None = None,
    baselines: bool = True,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
    ready: Callable[[SequenceSetup, list[Finding]], None] | None = None,
    each: Callable[[Trial, int], None] | None = None,
) -> CrossValidated: ...


def cross_validate(task: Any, data: Any, **options: Any) -> Any:
    """Train anew and score several times: at rolling origins for :class:`Forecast`
    (:func:`latchwork.evaluation.backtest.cross_validate`), over folds of sequences for :class:`Classify` and
    :class:`Label` (:func:`cross_validate_sequences`).
    """
    if not isinstance(task, (Forecast, Classify, Label)):
        raise ConfigError(
            f"cross_validate is for Forecast, Classify and Label, and this is {type(task).__name__}; train it with "
            "several seeds instead"
        )
    run: Any = backtest.cross_validate if isinstance(task, Forecast) else cross_validate_sequences
    known = list(inspect.signature(run).parameters)[2:]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"cross_validate of {type(task).__name__} has no option {name}{did_you_mean(name, known)}; "
                f"there are {', '.join(known)}"
            )
    return run(task, data, **options)
