"""Fit a task to data: prepare, train, calibrate. The front door (model.py) and backtests go through here."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from latchwork.layers import Network
from latchwork.modalities import RawTable
from latchwork.sequences import Labelled, Split
from latchwork.tasks import Forecast, ForecastSetup, SequenceSetup, SequenceTask
from latchwork.tasks.sequence_file import plain
from latchwork.training.job import Callback, Job, Outcome
from latchwork.training.loop import train
from latchwork.training.options import Training


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
class FittedSequences:
    """What fitting a classifier or labeller leaves."""

    setup: SequenceSetup
    training: Training
    outcome: Outcome


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
    assert options.batch_size is not None
    identity = {"task": plain(setup.task), "network": setup.pipeline.network.to_dict(), "data": labelled.sha256}
    outcome = train(
        setup.job(batch_size=options.batch_size, seed=options.seed),
        options,
        folder=folder,
        resume=resume,
        callbacks=callbacks,
        config=identity,
        resume_hint=resume_hint,
    )
    if outcome.stopped != "interrupted":
        setup.calibrate()
    return FittedSequences(setup, options, outcome)


def _job(setup: ForecastSetup, options: Training) -> Job:
    assert options.batch_size is not None
    assert options.truncate is not None
    return setup.job(batch_size=options.batch_size, truncate=options.truncate, seed=options.seed)
