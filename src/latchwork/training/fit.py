"""Fit a task to data: prepare, train, calibrate. The front door (model.py) and backtests go through here."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from latchwork.layers import Network
from latchwork.modalities import RawTable
from latchwork.tasks import Forecast, ForecastSetup
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


def _job(setup: ForecastSetup, options: Training) -> Job:
    assert options.batch_size is not None
    assert options.truncate is not None
    return setup.job(batch_size=options.batch_size, truncate=options.truncate, seed=options.seed)
