"""The study of a search: one file of JSON lines that several processes add to, and what is done with killed trials.

Optuna's journal storage writes JSON alone with a file (its snapshots, which are pickled, belong to other storages).
"""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from latchwork.errors import ConfigError, ModelFileError
from latchwork.optional import load

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NAME = "latchwork"
JOURNAL = "journal.jsonl"
FORMAT = 1
ATTEMPTS = 3
"""So often is a trial begun whose process died; then it counts as failed."""


class FileLock:
    """A lock between processes that the system gives back when its holder dies, however that was."""

    def __init__(self, path: Path, journal: Path | None = None) -> None:
        self.path, self.journal = path, journal
        self.handle: int | None = None

    def acquire(self, *, wait: bool = True) -> bool:
        """Take it; False where another has it and ``wait`` is False."""
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(handle, wait):
                os.close(handle)
                return False
        except BaseException:
            os.close(handle)
            raise
        self.handle = handle
        if self.journal is not None:
            _mend(self.journal)
        return True

    def release(self) -> None:
        """Give it back."""
        if self.handle is not None:
            os.close(self.handle)  # which unlocks
            self.handle = None

    def __enter__(self) -> "FileLock":
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _lock(handle: int, wait: bool) -> bool:
    if sys.platform == "win32":
        while True:
            try:
                msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError:
                if not wait:
                    return False
                continue
            return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _mend(path: Path) -> None:
    """Cut off the torn line that a killed writer left: the next one would be added to it."""
    with contextlib.suppress(FileNotFoundError), path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        if not end:
            return
        file.seek(end - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One search at a time works in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "search.lock")
    if not lock.acquire(wait=False):
        raise ConfigError(f"another search is at work in {folder}; wait for it, or give another run folder")
    try:
        yield
    finally:
        lock.release()


def gate(folder: Path) -> FileLock:
    """Held while a worker counts the trials and begins one, so that no more are begun than asked for."""
    return FileLock(folder / "trials.lock")


def open_study(folder: Path, *, seed: int, brackets: int | None = None, new: bool = False) -> Any:
    """The study of a folder. brackets: of Hyperband; None: as the study was made with.

    Raises :class:`ModelFileError` where there is none, or its journal can't be read.
    """
    optuna = load("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / JOURNAL
    if not new and not path.is_file():
        raise ModelFileError(f"no search has been begun in {folder.parent}; give the run folder of one")
    lock = FileLock(folder / "journal.lock", path)
    with lock:
        pass  # mends what a killed writer left
    journal = optuna.storages.journal
    try:
        storage = optuna.storages.JournalStorage(journal.JournalFileBackend(str(path), lock_obj=lock))
        make = optuna.load_study if begun(folder) else optuna.create_study
        study = make(storage=storage, study_name=NAME, sampler=_sampler(optuna, seed))
        count = brackets or int(study.user_attrs.get("brackets", 1))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{path} is damaged: {error}; take it from a backup, or begin in a new folder") from error
    # Optuna has as many brackets as 3 goes into max/min. Of one alone the mildest that ends trials at all is taken.
    least = 3 if count == 1 else 1
    study.pruner = optuna.pruners.HyperbandPruner(least, least * 3 ** (count - 1), reduction_factor=3)
    return study


def _sampler(optuna: Any, seed: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # constant_liar, before Optuna 5
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)


def begun(folder: Path) -> bool:
    """Whether a search has been begun there."""
    path = folder / JOURNAL
    return path.is_file() and path.stat().st_size > 0


def sign(study: Any, about: Mapping[str, Any]) -> None:
    """Write down what the study is about."""
    for key, value in about.items():
        study.set_user_attr(key, value)


def check_signature(study: Any, about: Mapping[str, Any], run: Path) -> None:
    """Raise :class:`ConfigError` where the study is of another task, other data, another aim, space or options."""
    signed = study.user_attrs
    if signed.get("format") != FORMAT:
        raise ModelFileError(f"{run} holds no search that this latchwork can go on with; begin in a new folder")
    told = "go on with the same command, or give another run folder"
    if signed["task"] != about["task"]:
        raise ConfigError(f"{run} holds a search for {signed['task']}, and this is one for {about['task']}; {told}")
    if signed["data"] != about["data"]:
        raise ConfigError(
            f"{run} holds a search on other data than these (the file has changed, or is another); {told}"
        )
    for key, what in (("objective", "judged by"), ("space", "searched"), ("options", "trained with")):
        before, now = _leaves(signed[key]), _leaves(about[key])
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                raise ConfigError(
                    f"{run} holds a search that is {what} {name} = {before.get(name)!r}, and now it is "
                    f"{now.get(name)!r}; {told}"
                )


def _leaves(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {prefix.removesuffix("."): tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _leaves(value, f"{prefix}{key}.")
    return flat


# Trials


def counted(study: Any) -> int:
    """Trials that were begun and not given back."""
    trials = study.get_trials(deepcopy=False)
    again = {one.user_attrs.get("again") for one in trials}
    return sum(one.state.name != "WAITING" and one.number not in again for one in trials)


def give_back(study: Any, trial: Any, *, died: bool = False) -> None:
    """End a trial that was not finished, and put it back in the line: it is begun anew, with the same options.

    died: with its process, which is not forgiven for ever.
    """
    optuna = load("optuna")
    failed = optuna.trial.TrialState.FAIL
    attempt = trial.user_attrs.get("attempt", 1) + died
    again = {one.user_attrs.get("again") for one in study.get_trials(deepcopy=False)}
    if attempt <= ATTEMPTS and trial.number not in again:
        kept = {"given": True} if trial.user_attrs.get("given") else {}
        study.enqueue_trial(trial.params, user_attrs={"again": trial.number, "attempt": attempt, **kept})
    study.tell(trial.number, state=failed, skip_if_finished=True)


def give_back_running(study: Any, worker: str | None = None) -> int:
    """The same for every running trial (of one worker), whose process is known to be gone; returns how many."""
    trials = [one for one in study.get_trials(deepcopy=False) if one.state.name == "RUNNING"]
    mine = [one for one in trials if worker is None or one.user_attrs.get("worker") == worker]
    for one in mine:
        give_back(study, one, died=True)
    return len(mine)
