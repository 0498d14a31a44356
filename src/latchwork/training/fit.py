"""Fit a task to data: prepare, train, calibrate. The front door (model.py) and backtests go through here."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from torch import nn

from latchwork.errors import LatchworkError
from latchwork.layers import Network
from latchwork.modalities import RawTable
from latchwork.sequences import Labelled, Split
from latchwork.tasks import Forecast, ForecastSetup, SequenceSetup, SequenceTask
from latchwork.tasks.saved import plain
from latchwork.training.job import Callback, Job, Outcome
from latchwork.training.loop import train
from latchwork.training.options import Training
from latchwork.training.schedule import Group


class Setup(Protocol):
    """What there is between a file and something trained, of any task: what :func:`fit_setup` asks of it.

    task, sha256  what decides the run, beside network and training
    pipeline      has ``network``, its options, and ``module``, what is trained
    enough        whether the validation part can tell one step from another
    refits        whether a second network is trained with the validation part too: ``extended``
    """

    notes: list[str]

    @property
    def task(self) -> Any: ...
    @property
    def pipeline(self) -> Any: ...
    @property
    def sha256(self) -> str: ...
    @property
    def enough(self) -> bool: ...
    @property
    def refits(self) -> bool: ...
    def job(self, *, batch_size: int, seed: int, truncate: int = 0) -> Job:
        """What the training loop trains."""
        ...

    def calibrate(self) -> None:
        """What is left to be chosen on the validation part after training."""
        ...


S = TypeVar("S", bound=Setup)


@dataclass
class Fitted:
    """What fitting leaves: the setup with its trained pipeline, the options as they were used, how training went."""

    setup: ForecastSetup
    training: Training
    outcome: Outcome


def fit(
    task: Forecast,
    raw: RawTable,
    network: Network | None = None,
    training: Training | None = None,
    *,
    folder: Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    resume_hint: str = "",
) -> Fitted:
    """Train ``task`` on the training rows of ``raw``, stop by its validation rows, calibrate intervals on those.

    ``folder`` takes checkpoints and the log; with ``resume`` training goes on from the last one. The test rows are not
    looked at. An interrupted run (``outcome.stopped == "interrupted"``) leaves a network that is not calibrated.
    """
    network, options = network or Network(), training or Training()
    setup = ForecastSetup.of(task, raw, network, seed=options.seed)
    options = options.resolved(**setup.defaults()).completed()
    identity = {"task": asdict(task), "network": network.to_dict(), "data": raw.sha256}
    shared: dict[str, Any] = {
        "resume": resume,
        "callbacks": callbacks,
        "config": identity,
        "resume_hint": resume_hint,
    }
    outcome = train(_job(setup, options), options, folder=folder, **shared)
    if outcome.stopped == "interrupted":
        return Fitted(setup, options, outcome)
    setup.calibrate()
    if task.refit and task.memory == "window" and len(setup.validation) and outcome.best_step:
        again = setup.extended(options.seed)
        second = train(
            _job(again, options),
            options,
            folder=None if folder is None else folder / "refit",
            stop_after=outcome.best_step,
            **{**shared, "resume": resume and folder is not None and (folder / "refit" / "checkpoints").exists()},
        )
        if second.stopped == "interrupted":
            return Fitted(setup, options, replace(outcome, stopped="interrupted"))
        setup = replace(setup, pipeline=replace(setup.pipeline, forecaster=again.pipeline.forecaster))
    return Fitted(setup, options, outcome)


@dataclass
class FittedSetup(Generic[S]):
    """What fitting leaves: the setup with its trained pipeline, the options as they were used, how training went."""

    setup: S
    training: Training
    outcome: Outcome


FittedSequences = FittedSetup[SequenceSetup]


def fit_sequences(
    task: SequenceTask,
    kind: str,
    labelled: Labelled,
    network: Network | None = None,
    training: Training | None = None,
    *,
    split: Split | None = None,
    body: Any = None,
    folder: Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    resume_hint: str = "",
) -> FittedSequences:
    """Train ``task`` on the training part of ``labelled``, stop by its validation part, calibrate on that.

    kind: text, records or image. split: None for the one that the task asks for. body: what takes the recurrent
    layers' place in a comparison. The test part is not looked at.
    """
    network, options = network or Network(), training or Training()
    setup = SequenceSetup.of(task, kind, labelled, network, seed=options.seed, split=split, body=body)
    options = options.resolved(**setup.defaults()).completed()
    shared: dict[str, Any] = {"resume": resume, "callbacks": callbacks, "resume_hint": resume_hint}
    return fit_setup(setup, options, folder=folder, **shared)


Begin = Callable[[nn.Module], contextlib.AbstractContextManager[Sequence[Group]]]


@contextlib.contextmanager
def nothing_left(run: Path | None) -> Iterator[None]:
    """On an error before the first checkpoint, a folder that was not there before is not there afterwards."""
    began = run is not None and not run.exists()
    try:
        yield
    except LatchworkError:
        if began and run is not None and not any(run.glob("checkpoints/step-*")):
            shutil.rmtree(run, ignore_errors=True)
        raise


@contextlib.contextmanager
def as_built(module: nn.Module) -> Iterator[Sequence[Group]]:
    """A network starts as it was built, and all of it learns alike."""
    yield ()


def fit_setup(
    setup: S,
    options: Training,
    *,
    folder: Path | None = None,
    config: Mapping[str, Any] | None = None,
    begin: Begin = as_built,
    **shared: Any,
) -> FittedSetup[S]:
    """Train what is set up, and calibrate it. options: completed. config: what else decides the run, beside task,
    network and data. begin: gives a network its first weights, for as long as it is trained, and says how its parts
    learn. shared: further arguments of :func:`latchwork.training.train`.
    """
    assert options.batch_size is not None
    sizes = {"batch_size": options.batch_size, "seed": options.seed, "truncate": options.truncate or 0}
    identity = {
        "task": plain(setup.task),
        "network": setup.pipeline.network.to_dict(),
        "data": setup.sha256,
        **(config or {}),
    }
    job = setup.job(**sizes)
    with begin(setup.pipeline.module) as groups:
        outcome = train(job, options, folder=folder, config=identity, groups=groups, **shared)
    if outcome.stopped == "interrupted":
        return FittedSetup(setup, options, outcome)
    setup.calibrate()
    steps = outcome.best_step if setup.enough else outcome.steps

    def once_more(other: Any, name: str) -> bool:
        """Train another network for as long, in a folder of its own; False: interrupted."""
        own = None if folder is None else folder / name
        resume = bool(shared.get("resume")) and own is not None and (own / "checkpoints").exists()
        job = other.job(**sizes)
        with begin(other.pipeline.module) as groups:
            found = train(job, options, folder=own, config=identity, stop_after=steps, groups=groups,
                          **{**shared, "resume": resume})  # fmt: skip
        return found.stopped != "interrupted"

    cut_short = FittedSetup(setup, options, replace(outcome, stopped="interrupted"))
    if outcome.best_step and getattr(setup.task, "aim_folds", 0):
        folds: Any = setup
        rows, scores, number = [], [], 0
        modality = None if begin is as_built else setup.pipeline.modality
        for number, fold in enumerate(folds.folded(seed=options.seed, modality=modality), start=1):
            if not once_more(fold, f"fold-{number}"):
                return cut_short
            rows += fold.split.test.tolist()
            scores += fold.pipeline.scores([fold.encoded[row] for row in fold.split.test])
        folds.choose_threshold(rows, scores)
        setup.notes.append(f"the threshold is by the answers of {number} networks to what they were not trained on")
    if setup.refits and outcome.best_step:
        whole: Any = setup
        again = whole.extended(options.seed)
        if not once_more(again, "refit"):
            return cut_short
        setup.notes.append(f"trained once more with the validation sequences, for {steps} steps")
        setup = replace(whole, pipeline=again.pipeline)
    return FittedSetup(setup, options, outcome)


def _job(setup: ForecastSetup, options: Training) -> Job:
    assert options.batch_size is not None
    assert options.truncate is not None
    return setup.job(batch_size=options.batch_size, truncate=options.truncate, seed=options.seed)
