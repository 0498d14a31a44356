"""One worker of a search: takes trials until there are enough, or the time is over; :func:`main` is one as a process.

A process is told what to do in a line of JSON on its standard input, which stays open: when its other end is gone, so
is the search, and the worker ends at once.
"""

import _thread
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from latchwork.errors import ConfigError, LatchworkError, out_of_memory
from latchwork.optional import load
from latchwork.tasks import read_examples
from latchwork.tuning import journal
from latchwork.tuning.objective import Objective, OutOfTimeError
from latchwork.tuning.options import Options
from latchwork.tuning.space import Space

HOPELESS = 3
"""Failures, and nothing but failures, after which no further trial is begun."""

INTERRUPTED = 130


def work(
    study: Any,
    folder: Path,
    options: Options,
    space: Space,
    objective: Objective,
    *,
    trials: int,
    deadline: float,
    name: str = "",
    told: Callable[[Any], None] = lambda study: None,
) -> None:
    """Begin trials until the study has ``trials`` of them. ``told`` is called after each.

    KeyboardInterrupt comes through, after the trial was given back.
    """
    gate, state = journal.gate(folder), load("optuna").trial.TrialState
    while time.time() < deadline and not hopeless(study):
        with gate:
            if journal.counted(study) >= trials:
                return
            trial = study.ask()
        trial.set_user_attr("worker", name)
        began = time.monotonic()
        try:
            found = objective.worth(options.having(space.suggest(trial)), report=_report(trial), deadline=deadline)
        except load("optuna").TrialPruned:
            _note(trial, began)
            study.tell(trial, state=state.PRUNED)
        except OutOfTimeError:
            journal.give_back(study, _frozen(study, trial))
        except KeyboardInterrupt:
            journal.give_back(study, _frozen(study, trial))
            raise
        except (LatchworkError, MemoryError, RuntimeError, TypeError) as error:
            full = out_of_memory(error)
            if not full and not isinstance(error, LatchworkError):
                raise
            _note(trial, began, error="too little memory for this network" if full else " ".join(str(error).split()))
            study.tell(trial, state=state.FAIL)
        else:
            _note(trial, began, figure=found.figure, folds=list(found.folds))
            study.tell(trial, found.value)
        told(study)


def hopeless(study: Any) -> bool:
    """Whether all that was tried has failed, several times."""
    trials = study.get_trials(deepcopy=False)
    failed = sum("error" in one.user_attrs for one in trials)
    return failed >= HOPELESS and not any(one.state.name in ("COMPLETE", "PRUNED") for one in trials)


def _report(trial: Any) -> Callable[[int, float], None]:
    def report(unit: int, value: float) -> None:
        trial.report(value, unit)
        if not trial.user_attrs.get("given") and trial.should_prune():  # what all others are held against is finished
            raise load("optuna").TrialPruned

    return report


def _note(trial: Any, began: float, **about: Any) -> None:
    for name, value in {"seconds": round(time.monotonic() - began, 3), **about}.items():
        trial.set_user_attr(name, value)


def _frozen(study: Any, trial: Any) -> Any:
    return next(one for one in study.get_trials(deepcopy=False) if one.number == trial.number)


def run(given: Mapping[str, Any]) -> None:
    """What a process does: read the data anew, and work on the study of a folder."""
    torch.set_num_threads(given["threads"])
    folder, options = Path(given["folder"]), Options.from_dict(given["options"])
    study = journal.open_study(folder, seed=given["seed"])
    kind, labelled = read_examples(options.task, given["data"])
    if labelled.sha256 != study.user_attrs["data"]:
        raise ConfigError(f"{given['data']} has changed since the search was begun; take the old file, or a new folder")
    objective = Objective.of(options.task, kind, labelled, folds=given["folds"], seed=options.training.seed)
    space = Space.of(given["space"], options, kind)
    work(
        study, folder, options, space, objective,
        trials=given["trials"], deadline=given["deadline"] or float("inf"), name=given["name"],
    )  # fmt: skip


def _live_with(stream: Any) -> None:
    """A line is a wish to stop, as Ctrl-C is; where the other end is closed, or its process gone, all ends at once."""

    def watch() -> None:
        while stream.readline():
            _thread.interrupt_main()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """The entry point of a process."""
    given = json.loads(sys.stdin.readline())
    _live_with(sys.stdin)
    try:
        run(given)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    except LatchworkError as error:
        sys.stderr.write(f"latchwork: {' '.join(str(error).split())}\n")
        sys.stderr.flush()
        os._exit(2)
    # Not sys.exit: the thread that reads standard input would hold its lock while the interpreter is taken down.
    sys.stderr.flush()
    os._exit(0)
