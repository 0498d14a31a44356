"""latchwork tune: search for the options of a task on a file, then train and score the best ones once."""

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from latchwork import storage
from latchwork.cli.base import Options, app, err, out
from latchwork.cli.training import end_if_interrupted, print_scores, trained
from latchwork.errors import ModelFileError
from latchwork.layers import Network
from latchwork.sequence_model import SequenceModel
from latchwork.tasks import Classify, Label
from latchwork.training import Training
from latchwork.tuning import tune as search
from latchwork.tuning import tuning_section
from latchwork.tuning.report import settings
from latchwork.view import print_examples

tune = App(name="tune", help="Search for the options of a task on a file, then train with the best ones.")
app.command(tune)


@tune.command(name="classify")
def tune_classify(
    data: Path,
    /,
    *,
    task: Annotated[Classify, Options] = Classify(),  # noqa: B008 a frozen value
    network: Annotated[Network, Options] = Network(),  # noqa: B008 a frozen value
    training: Annotated[Training, Options] = Training(),  # noqa: B008 a frozen value
    trials: int = 40,
    minutes: float | None = None,
    workers: int = 1,
    folds: int = 3,
    space: Path | None = None,
    run: Path | None = None,
    resume: bool = False,
) -> None:
    """Search for the best options of a classifier; options that are set are not searched.

    Args:
        data: What train classify reads.
        trials: Trials in all, those of an interrupted search included.
        minutes: Time for the search, without the last training. Default: no limit.
        workers: Processes that search at once; they share the processor's threads.
        folds: Cross-validation over so many folds of what is not the test part. 1: on the validation part.
        space: TOML file with a table [space]: "network.hidden_size" = [64, 128]. Default: by the task and the data.
        run: Folder for the search, and then the model. Default: runs/<name of the file>-tuned.
        resume: Go on with an interrupted search in that folder.
    """
    _tune(task, data, network, training, trials, minutes, workers, folds, space, run, resume)


@tune.command(name="label")
def tune_label(
    data: Path,
    /,
    *,
    task: Annotated[Label, Options] = Label(),  # noqa: B008 a frozen value
    network: Annotated[Network, Options] = Network(),  # noqa: B008 a frozen value
    training: Annotated[Training, Options] = Training(),  # noqa: B008 a frozen value
    trials: int = 40,
    minutes: float | None = None,
    workers: int = 1,
    folds: int = 3,
    space: Path | None = None,
    run: Path | None = None,
    resume: bool = False,
) -> None:
    """Search for the best options of a labeller; options that are set are not searched.

    Args:
        data: What train label reads.
        trials: Trials in all, those of an interrupted search included.
        minutes: Time for the search, without the last training. Default: no limit.
        workers: Processes that search at once; they share the processor's threads.
        folds: Cross-validation over so many folds of what is not the test part. 1: on the validation part.
        space: TOML file with a table [space]: "network.hidden_size" = [64, 128]. Default: by the task and the data.
        run: Folder for the search, and then the model. Default: runs/<name of the file>-tuned.
        resume: Go on with an interrupted search in that folder.
    """
    _tune(task, data, network, training, trials, minutes, workers, folds, space, run, resume)


def _tune(
    task: Classify | Label,
    data: Path,
    network: Network,
    training: Training,
    trials: int,
    minutes: float | None,
    workers: int,
    folds: int,
    space: Path | None,
    run: Path | None,
    resume: bool,
) -> None:
    folder = run or Path("runs") / f"{data.name.split('.')[0]}-tuned"
    with _watching() as told:
        tuned = search(
            task, data, run=folder, network=network, training=training, space=space, trials=trials, minutes=minutes,
            workers=workers, folds=folds, resume=resume, told=told,
        )  # fmt: skip
    tuned.print(out)
    again = "the same command and --resume"
    if tuned.stopped == "interrupted":
        err.print(
            f"interrupted; what is finished is kept in {folder}; go on with {again}", highlight=False, soft_wrap=True
        )
        sys.exit(130)
    best = tuned.chosen()
    assert tuned.best is not None
    _make_way(folder, tuned.best.number)
    err.print(f"the last training, with the options of trial {tuned.best.number}", highlight=False)
    resumed = (folder / "checkpoints").exists()
    model: SequenceModel = trained(best.task, data, best.network, best.training, folder, resumed)
    end_if_interrupted(model)
    assert model.setup is not None
    model.report(folder / "report.html", more=[tuning_section(tuned)])
    print_examples(model.setup, model.findings, out)
    print_scores(model)
    out.print(f"[dim]search[/]  {folder / 'tuning.json'}, {folder / 'tuning.svg'}", highlight=False, soft_wrap=True)
    if (folder / "report.html").exists():
        out.print(f"[dim]report[/]  {folder / 'report.html'}", highlight=False)
    out.print(f"[dim]next[/]    latchwork predict {folder} new-data", highlight=False)


def _make_way(folder: Path, best: int) -> None:
    """Remove what a last training with the options of another trial has left; remember whose there will be."""
    noted = folder / "tuning" / "last.json"
    try:
        known = storage.read_json(noted).get("trial")
    except (ModelFileError, AttributeError):
        known = None
    if known == best:
        return
    noted.unlink(missing_ok=True)  # first: who is killed below begins anew
    for path in (folder / "checkpoints", folder / "refit", *folder.glob("fold-*")):
        if path.exists():
            shutil.rmtree(path)
    storage.write_json(noted, {"trial": best})


@contextlib.contextmanager
def _watching() -> Iterator[Callable[[Any, int], None]]:
    """A bar with the best so far on a terminal; a line for each trial elsewhere."""
    known: set[int] | None = None

    def lines(study: Any, wanted: int) -> None:
        nonlocal known
        ended = [one for one in study.get_trials(deepcopy=False) if one.state.is_finished()]
        if known is None:  # before the first trial of this call: those of earlier calls were told then
            known = {one.number for one in ended}
        for one in ended:
            if one.number not in known:
                known.add(one.number)
                err.print(_line(one, study), markup=False, highlight=False, soft_wrap=True)

    if not err.is_terminal:
        yield lines
        return
    columns = (
        TextColumn("trials"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[figures]}"),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True) as bars:
        bar = bars.add_task("trials", total=None, figures="")

        def shown(study: Any, wanted: int) -> None:
            trials = study.get_trials(deepcopy=False)
            again = {one.user_attrs.get("again") for one in trials}
            ended = [one for one in trials if one.state.is_finished() and one.number not in again]
            finished = [one for one in ended if one.state.name == "COMPLETE"]
            best = min(finished, key=lambda one: one.value, default=None)
            figures = "" if best is None else f"best {best.value:.4g} (trial {best.number}: {settings(best.params)})"
            bars.update(bar, total=wanted, completed=len(ended), figures=figures)

        yield shown


def _line(trial: Any, study: Any) -> str:
    """A trial that has ended, in one line."""
    values = settings(trial.params)
    if "error" in trial.user_attrs:
        return f"trial {trial.number} failed: {trial.user_attrs['error']} ({values})"
    if trial.value is None:
        return f"trial {trial.number} given back, to be begun anew"
    if trial.state.name == "PRUNED":
        return f"trial {trial.number} stopped early at {trial.value:.4g} ({values})"
    figure = f"{study.user_attrs['objective']['metric']} {trial.user_attrs['figure']:.4g}"
    return f"trial {trial.number}  choice {trial.value:.4g}  {figure}  ({values})"


__all__ = ["tune", "tune_classify", "tune_label"]
