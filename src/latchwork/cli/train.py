"""latchwork train and backtest: a task on a file."""

from pathlib import Path
from typing import Annotated

from latchwork.cli.base import Options, backtest, err, out, train
from latchwork.cli.training import end_if_interrupted, folder_of, print_labelled, print_scores, trained
from latchwork.evaluation import cross_validate
from latchwork.layers import Network
from latchwork.model import Model
from latchwork.sequence_model import SequenceModel
from latchwork.tasks import Classify, Forecast, Label
from latchwork.training import Training
from latchwork.view import print_data, telling


@train.command(name="forecast")
def train_forecast(
    data: Path,
    /,
    *,
    task: Annotated[Forecast, Options],
    network: Annotated[Network, Options] = Network(),  # noqa: B008 a frozen value
    training: Annotated[Training, Options] = Training(),  # noqa: B008 a frozen value
    run: Path | None = None,
    resume: bool = False,
) -> None:
    """Train a forecaster and score it beside baselines on the rows held back.

    Args:
        data: csv, tsv, parquet or json-lines file, gzipped or not.
        run: Folder for checkpoints, log, model and report. Default: runs/<name of the file>.
        resume: Go on with an interrupted run in that folder.
    """
    folder = folder_of(run, data)
    model: Model = trained(task, data, network, training, folder, resume)
    assert model.raw is not None
    print_data(model.raw, out)
    end_if_interrupted(model)
    print_scores(model)
    out.print(f"[dim]report[/]  {folder / 'report.html'}")
    out.print(
        f"[dim]next[/]    latchwork predict {folder}    or    latchwork stream {folder} < rows.jsonl", highlight=False
    )


@train.command(name="classify")
def train_classify(
    data: Path,
    /,
    *,
    task: Annotated[Classify, Options] = Classify(),  # noqa: B008 a frozen value
    network: Annotated[Network, Options] = Network(),  # noqa: B008 a frozen value
    training: Annotated[Training, Options] = Training(),  # noqa: B008 a frozen value
    run: Path | None = None,
    resume: bool = False,
) -> None:
    """Train a classifier of texts, series or images and score it beside baselines.

    Args:
        data: A table, a text file, a .ts or .arff file, an archive or folder of tables, a folder of images, or .npz.
        run: Folder for checkpoints, log, model and report. Default: runs/<name of the file>.
        resume: Go on with an interrupted run in that folder.
    """
    _train_labelled(task, data, network, training, run, resume)


@train.command(name="label")
def train_label(
    data: Path,
    /,
    *,
    task: Annotated[Label, Options] = Label(),  # noqa: B008 a frozen value
    network: Annotated[Network, Options] = Network(),  # noqa: B008 a frozen value
    training: Annotated[Training, Options] = Training(),  # noqa: B008 a frozen value
    run: Path | None = None,
    resume: bool = False,
) -> None:
    """Train a labeller of steps or words and score it beside baselines.

    Args:
        data: A file of columns (.conll, .conllu), a table with a label for each row, json lines of tokens and tags.
        run: Folder for checkpoints, log, model and report. Default: runs/<name of the file>.
        resume: Go on with an interrupted run in that folder.
    """
    _train_labelled(task, data, network, training, run, resume)


def _train_labelled(
    task: Classify | Label, data: Path, network: Network, training: Training, run: Path | None, resume: bool
) -> None:
    folder = folder_of(run, data)
    model: SequenceModel = trained(task, data, network, training, folder, resume)
    end_if_interrupted(model)
    print_labelled(model, folder)


@backtest.command(name="forecast")
def backtest_forecast(
    data: Path,
    /,
    *,
    task: Annotated[Forecast, Options],
    network: Annotated[Network, Options] = Network(),  # noqa: B008 a frozen value
    training: Annotated[Training, Options] = Training(),  # noqa: B008 a frozen value
    n_windows: int = 5,
    step: int | None = None,
    refit: bool = True,
) -> None:
    """Score a forecaster at several origins, trained anew at each on what was known then.

    Args:
        data: csv, tsv, parquet or json-lines file, gzipped or not.
        n_windows: Origins; the last one is a horizon before the end.
        step: Rows between two origins. Default: the horizon.
        refit: Train anew at each origin, or once before the first.
    """
    with telling(err) as tell:
        evaluation = cross_validate(
            task,
            data,
            n_windows=n_windows,
            step_size=step,
            refit=refit,
            network=network,
            training=training,
            progress=tell,
        )
    evaluation.leaderboard.print(out)
