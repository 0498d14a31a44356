"""A search for options: trials of a study, one after another or in several processes, killed and gone on with."""

import contextlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latchwork import storage
from latchwork.errors import ConfigError, TrainingError
from latchwork.layers import Network
from latchwork.optional import load
from latchwork.tasks import SequenceSetup, SequenceTask, read_examples
from latchwork.training import Training
from latchwork.tuning import journal
from latchwork.tuning.objective import Objective
from latchwork.tuning.options import Options
from latchwork.tuning.report import Tuned, collect, history_svg
from latchwork.tuning.space import Space, default_space, given_values
from latchwork.tuning.worker import INTERRUPTED, hopeless, work

DEATHS = 3
"""So many workers may die before the search gives up."""

PATIENCE = 30.0
"""Seconds that workers have to give their trials back when the search is interrupted."""

Told = Callable[[Any, int], None]


def tune(
    task: SequenceTask,
    data: Any,
    *,
    run: str | Path,
    network: Network | None = None,
    training: Training | None = None,
    space: str | Path | dict[str, Any] | None = None,
    trials: int = 40,
    minutes: float | None = None,
    workers: int = 1,
    folds: int = 1,
    resume: bool = False,
    told: Told | None = None,
) -> Tuned:
    """Look for the options with the smallest validation figure; the test part is never among the sequences it sees.

    A tree-structured Parzen estimator (Bergstra et al. 2011) suggests options, Hyperband (Li et al. 2018) ends trials
    that lag behind; both are Optuna's. What training judges by (``SequenceSetup.judged``: "choice") is taken at its
    best in each of ``folds`` trainings, and their mean is the trial's value. The first trial has the options as they
    are given. A killed search goes on with ``resume``: finished trials stay, those under way are begun anew.

    Args:
        task, data, network, training: As for :func:`latchwork.fit`. training.seed also decides the split.
        run: The folder that keeps the search, in tuning/, and later the model.
        space: A TOML file with a table [space], or such a table: option -> values or range. None: by the task.
        trials: So many in all, those of earlier calls on the same folder included.
        minutes: Or so long, in this call; a trial that is not finished then is given back.
        workers: Processes, which share the threads. More than one wants a file for data, and cells that have a name.
        folds: Cross-validation over so many folds of what is not the test part; 1: the task's own validation part.
        resume: Go on with the search of that folder.
        told: Called with the study and the number of trials wanted, whenever a trial has ended.

    Raises :class:`ConfigError` for options that can't be, for a study of something else, or where no trial could be
    trained; :class:`MissingExtra` without Optuna. KeyboardInterrupt does not come through: see ``Tuned.stopped``.
    """
    load("optuna")
    folder = Path(run) / "tuning"
    for name, value, least in (("trials", trials, 1), ("workers", workers, 1), ("folds", folds, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} is {value!r}, expected a whole number, at least {least}")
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise ConfigError(f"minutes is {minutes}, expected a number above 0")
    if (Path(run) / "model" / "config.json").exists():
        raise ConfigError(
            f"{run} is finished: its model was scored on the test part, which is done once; give another folder"
        )
    if journal.begun(folder) and not resume:
        raise ConfigError(f"{run} already holds a search; go on with --resume (resume=True), or give another folder")
    if not journal.begun(folder) and (Path(run) / "checkpoints").exists():
        raise ConfigError(f"{run} holds a training that was begun without a search; give another folder")
    options = Options(task, network or Network(), training or Training())
    if workers > 1 and not (isinstance(data, (str, Path)) and not isinstance(options.network.cell, type)):
        raise ConfigError("several workers read the data themselves: give a file and a cell by its name, or workers=1")
    kind, labelled = read_examples(task, data)
    seed = options.training.seed
    objective = Objective.of(task, kind, labelled, folds=folds, seed=seed)
    first = objective.splits[0]
    setup = SequenceSetup.of(task, kind, objective.labelled, options.network, seed=seed, split=first)
    if space is None:
        asked = default_space(options, setup)
    elif isinstance(space, dict):
        asked = Space.of(space, options, kind)
    else:
        asked = Space.read(Path(space), options, kind)
    asked.check(options, setup.pipeline.modality.features)
    about = {
        "format": journal.FORMAT,
        "task": options.name,
        "data": labelled.sha256,
        "objective": {"metric": setup.metric, "folds": folds},
        "space": asked.to_dict(),
        "options": options.to_dict(),
    }
    about = json.loads(json.dumps(about))
    given = asked.labels(given_values(options, setup, asked.dimensions))
    del setup
    with journal.alone(folder):
        study = _study(folder, about, Path(run), seed, trials, given)
        searching = _Search(study, folder, options, asked, objective, trials, minutes, told)
        stopped = searching.alone() if workers == 1 else searching.together(data, workers, folds)
        if stopped == "enough" and journal.counted(study) < trials and not hopeless(study):
            stopped = "time" if minutes is not None else "interrupted"
        found = collect(study, options, asked, stopped=stopped, wanted=trials)
        if found.best is None and stopped != "interrupted":
            raise _nothing(found, minutes)
        storage.write_json(Path(run) / "tuning.json", found.to_dict())
        if found.best is not None:
            storage.write_text(Path(run) / "tuning.svg", history_svg(found))
    return found


def _study(folder: Path, about: dict[str, Any], run: Path, seed: int, trials: int, given: dict[str, Any] | None) -> Any:
    """The study, new or gone on with. What it suggests depends on the trials it has, so that none come twice."""
    new = not journal.begun(folder)
    study = journal.open_study(folder, seed=_seed(seed, 0, 0), brackets=brackets_for(trials) if new else None, new=True)
    if "format" not in study.user_attrs:  # new, or killed before it was signed
        journal.sign(study, {"brackets": brackets_for(trials), **{k: v for k, v in about.items() if k != "format"}})
        if given is not None and not study.get_trials(deepcopy=False):
            study.enqueue_trial(given, user_attrs={"given": True})
        journal.sign(study, {"format": about["format"]})
    journal.check_signature(study, about, run)
    count = len(study.get_trials(deepcopy=False))
    if not new:
        journal.give_back_running(study)
        study = journal.open_study(folder, seed=_seed(seed, 0, count))
    return study


def brackets_for(trials: int) -> int:
    """Hyperband's brackets: as many as leave each more than the 10 trials after which TPE learns from them.

    >>> [brackets_for(count) for count in (10, 40, 100)]
    [1, 2, 3]
    """
    shares = {3: 3 / 17, 2: 2 / 5}  # the smallest bracket's, as Optuna deals trials out
    return next((count for count, share in shares.items() if trials * share > 10), 1)


def _seed(seed: int, worker: int, count: int) -> int:
    return int(np.random.SeedSequence([seed, worker, count]).generate_state(1)[0])


class _Search:
    """Trials of one call, by this process or by several."""

    def __init__(
        self,
        study: Any,
        folder: Path,
        options: Options,
        space: Space,
        objective: Objective,
        trials: int,
        minutes: float | None,
        told: Told | None,
    ) -> None:
        self.study, self.folder, self.options, self.space, self.objective = study, folder, options, space, objective
        self.trials, self.told = trials, told
        self.deadline = math.inf if minutes is None else time.time() + 60 * minutes

    def tell(self, study: Any) -> None:
        if self.told is not None:
            self.told(study, self.trials)

    def alone(self) -> str:
        """In this process."""
        rest: dict[str, Any] = {"trials": self.trials, "deadline": self.deadline, "name": "here", "told": self.tell}
        self.tell(self.study)
        try:
            work(self.study, self.folder, self.options, self.space, self.objective, **rest)
        except KeyboardInterrupt:
            return "interrupted"
        return "enough"

    def together(self, data: Any, workers: int, folds: int) -> str:
        """In several processes, which this one watches over."""
        threads = max(1, torch.get_num_threads() // workers)
        count = len(self.study.get_trials(deepcopy=False))
        told: dict[str, Any] = {
            "data": str(data),
            "folder": str(self.folder),
            "options": self.options.to_dict(),
            "space": self.space.to_dict(),
            "folds": folds,
            "trials": self.trials,
            "threads": threads,
            "deadline": None if math.isinf(self.deadline) else self.deadline,
        }
        crew: dict[str, subprocess.Popen[str]] = {}
        started = deaths = 0

        def start() -> None:
            nonlocal started
            started += 1
            name, seed = f"{os.getpid()}-{started}", _seed(self.options.training.seed, started, count)
            crew[name] = _process({**told, "name": name, "seed": seed}, threads)

        ended = -1
        try:
            for _ in range(workers):
                start()
            while crew:
                time.sleep(0.1)
                finished = sum(one.state.is_finished() for one in self.study.get_trials(deepcopy=False))
                if finished != ended:
                    ended = finished
                    self.tell(self.study)
                for name, process in list(crew.items()):
                    status = process.poll()
                    if status is None:
                        continue
                    del crew[name]
                    if status == INTERRUPTED:
                        raise KeyboardInterrupt
                    if status == 2:
                        raise ConfigError("a worker of the search can't go on: its reason is on standard error")
                    if status:
                        journal.give_back_running(self.study, name)
                        deaths += 1
                        if deaths > DEATHS:
                            raise TrainingError(_died(status, deaths))
                        start()
        except KeyboardInterrupt:
            return "interrupted"
        finally:
            _stop(list(crew.values()))
            journal.give_back_running(self.study)
            self.tell(self.study)
        return "enough"


def _process(told: dict[str, Any], threads: int) -> "subprocess.Popen[str]":
    """A worker in a session of its own: Ctrl-C comes to it through the search alone."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", "from latchwork.tuning.worker import main; main()"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
    return process


def _stop(crew: list["subprocess.Popen[str]"]) -> None:
    """Ask the workers to give their trials back and end; end those that do not."""
    for process in crew:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write("stop\n")
            process.stdin.flush()
    limit = time.monotonic() + PATIENCE
    try:
        for process in crew:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, limit - time.monotonic()))
    finally:
        for process in crew:
            if process.poll() is None:
                process.kill()
            process.wait()
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


def _died(status: int, deaths: int) -> str:
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return (
        f"{deaths} workers died, the last one by {how}: is there too little memory? Go on with --resume and fewer "
        "--workers, or smaller values in the search space"
    )


def _nothing(found: Tuned, minutes: float | None) -> Exception:
    failed = [one for one in found.trials if one.error]
    if failed:
        return ConfigError(f"none of {len(failed)} trials could be trained; the last one: {failed[-1].error}")
    return ConfigError(
        f"no trial was finished in {minutes:g} minutes; go on with --resume and more --minutes"
        if minutes is not None
        else "no trial was finished; go on with --resume"
    )
