"""latchwork compare, and backtest of a classifier or labeller: several trainings on one file, side by side."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import App

from latchwork import storage
from latchwork.cli.base import Options, app, backtest, err, out
from latchwork.errors import ConfigError
from latchwork.evaluation import Compared, CrossValidated, Finding, Trial, cross_validate_sequences
from latchwork.evaluation import compare as compare_cells
from latchwork.layers import Network
from latchwork.tasks import Classify, Label, SequenceSetup
from latchwork.training import Training
from latchwork.view import print_examples, telling

compare = App(name="compare", help="Train several cells alike on a file, with several seeds, and say which is better.")
app.command(compare)


@compare.command(name="classify")
def compare_classify(
    data: Path,
    /,
    *,
    task: Annotated[Classify, Options] = Classify(),  # noqa: B008 a frozen value
    network: Annotated[Network, Options] = Network(),  # noqa: B008 a frozen value
    training: Annotated[Training, Options] = Training(),  # noqa: B008 a frozen value
    cells: str = "lstm,gru,rnn,mingru",
    rivals: str = "",
    twins: str = "",
    seeds: int = 3,
    folds: int | None = None,
    baselines: bool = True,
    output: Path | None = None,
) -> None:
    """Train classifiers of several cells on the same sequences and score each beside the others and baselines.

    Args:
        data: A table, a text file, a .ts or .arff file, an archive or folder of tables, a folder of images, or .npz.
        cells: Their names; the others are compared with the first.
        rivals: What else takes the cells' place: feedforward, transformer.
        twins: Of the first cell: shuffled (was order needed?), truncated or truncated=20 (was memory needed?).
        seeds: Trainings of each, from --seed on.
        folds: Cross-validation over so many folds. Default: the one split that train makes.
        baselines: Score those without a network too.
        output: A .json file for every figure.
    """
    _compare(task, data, network, training, cells, rivals, twins, seeds, folds, baselines, output)


@compare.command(name="label")
def compare_label(
    data: Path,
    /,
    *,
    task: Annotated[Label, Options] = Label(),  # noqa: B008 a frozen value
    network: Annotated[Network, Options] = Network(),  # noqa: B008 a frozen value
    training: Annotated[Training, Options] = Training(),  # noqa: B008 a frozen value
    cells: str = "lstm,gru,rnn,mingru",
    rivals: str = "",
    twins: str = "",
    seeds: int = 3,
    folds: int | None = None,
    baselines: bool = True,
    output: Path | None = None,
) -> None:
    """Train labellers of several cells on the same sequences and score each beside the others and baselines.

    Args:
        data: A file of columns (.conll, .conllu), a table with a label for each row, json lines of tokens and tags.
        cells: Their names; the others are compared with the first.
        rivals: What else takes the cells' place: feedforward, transformer.
        twins: Of the first cell: truncated or truncated=20 (was memory needed?).
        seeds: Trainings of each, from --seed on.
        folds: Cross-validation over so many folds. Default: the one split that train makes.
        baselines: Score those without a network too.
        output: A .json file for every figure.
    """
    _compare(task, data, network, training, cells, rivals, twins, seeds, folds, baselines, output)


@backtest.command(name="classify")
def backtest_classify(
    data: Path,
    /,
    *,
    task: Annotated[Classify, Options] = Classify(),  # noqa: B008 a frozen value
    network: Annotated[Network, Options] = Network(),  # noqa: B008 a frozen value
    training: Annotated[Training, Options] = Training(),  # noqa: B008 a frozen value
    folds: int = 5,
    seeds: int = 1,
    baselines: bool = True,
    output: Path | None = None,
) -> None:
    """Cross-validate a classifier: folds of whole entities, trained anew for each; mean, spread and every fold.

    Args:
        data: A table, a text file, a .ts or .arff file, an archive or folder of tables, a folder of images, or .npz.
        folds: How many; with --by-time they expand.
        seeds: Trainings for each fold, from --seed on.
        baselines: Score those without a network too.
        output: A .json file for every figure.
    """
    _backtest(task, data, network, training, folds, seeds, baselines, output)


@backtest.command(name="label")
def backtest_label(
    data: Path,
    /,
    *,
    task: Annotated[Label, Options] = Label(),  # noqa: B008 a frozen value
    network: Annotated[Network, Options] = Network(),  # noqa: B008 a frozen value
    training: Annotated[Training, Options] = Training(),  # noqa: B008 a frozen value
    folds: int = 5,
    seeds: int = 1,
    baselines: bool = True,
    output: Path | None = None,
) -> None:
    """Cross-validate a labeller of steps or words: folds of whole sequences, trained anew for each.

    Args:
        data: A file of columns (.conll, .conllu), a table with a label for each row, json lines of tokens and tags.
        folds: How many; with --by-time they expand.
        seeds: Trainings for each fold, from --seed on.
        baselines: Score those without a network too.
        output: A .json file for every figure.
    """
    _backtest(task, data, network, training, folds, seeds, baselines, output)


def _compare(
    task: Classify | Label,
    data: Path,
    network: Network,
    training: Training,
    cells: str,
    rivals: str,
    twins: str,
    seeds: int,
    folds: int | None,
    baselines: bool,
    output: Path | None,
) -> None:
    if network.cell is not None:
        raise ConfigError(f"--cell {network.cell} names one cell, and compare takes several: --cells {network.cell},…")
    _writable(output)
    with telling(err) as tell:
        found = compare_cells(
            task,
            data,
            cells=_names(cells),
            rivals=_names(rivals),
            twins=_names(twins),
            seeds=seeds,
            folds=folds,
            network=network,
            training=training,
            baselines=baselines,
            progress=tell,
            ready=_ready,
            each=_teller(folds is not None),
        )
    _finish(found, output)
    if found.chosen is not None:
        name = "classify" if isinstance(task, Classify) else "label"
        hint = f"latchwork train {name} {data} --cell {found.chosen}    with the options given here"
        out.print(f"[dim]next[/]    {hint}", highlight=False, soft_wrap=True)


def _backtest(
    task: Classify | Label,
    data: Path,
    network: Network,
    training: Training,
    folds: int,
    seeds: int,
    baselines: bool,
    output: Path | None,
) -> None:
    _writable(output)
    with telling(err) as tell:
        found = cross_validate_sequences(
            task,
            data,
            folds=folds,
            seeds=seeds,
            network=network,
            training=training,
            baselines=baselines,
            progress=tell,
            ready=_ready,
            each=_teller(True),
        )
    _finish(found, output)


def _names(text: str) -> list[str]:
    return [name for one in text.split(",") if (name := one.strip())]


def _writable(output: Path | None) -> None:
    """Said before an hour of training, not after it."""
    if output is not None and (output.suffix != ".json" or not output.parent.is_dir()):
        raise ConfigError(f"output is {output}, expected a .json file in a folder that exists")


def _ready(setup: SequenceSetup, findings: list[Finding]) -> None:
    print_examples(setup, findings, out)


def _teller(several: bool) -> Callable[[Trial, int], None]:
    """A line after each training, with the time that the rest will take about."""
    taken: list[float] = []

    def tell(trial: Trial, left: int) -> None:
        taken.append(trial.seconds)
        rest = left * sum(taken) / len(taken)
        after = "" if not left else f", {left} to go" + (f", about {_time(rest)}" if rest >= 1 else "")
        fold = f", fold {trial.fold + 1}" if several else ""
        figure = "" if math.isnan(trial.validation) else f": {trial.metric} {trial.validation:.3f} in validation"
        err.print(
            f"{trial.name}{fold}, seed {trial.seed}{figure}, {_time(trial.seconds)}{after}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    return tell


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _finish(found: Compared | CrossValidated, output: Path | None) -> None:
    found.print(out)
    if output is not None:
        storage.write_json(output, found.to_dict())
        err.print(f"every figure is in {output}", markup=False, highlight=False)
    if found.stopped:
        sys.exit(130)
