"""What the commands that train have in common: the run folder, the training, what is shown of it."""

import sys
from pathlib import Path
from typing import Any

from latchwork.cli.base import err, out
from latchwork.layers import Network
from latchwork.model import fit
from latchwork.sequence_model import SequenceModel
from latchwork.training import Progress, Training
from latchwork.view import print_examples, telling


def folder_of(run: Path | None, data: Path) -> Path:
    """The run folder: as given, or by the name of the file."""
    return run or Path("runs") / data.name.split(".")[0]


def trained(task: Any, data: Path, network: Network, training: Training, folder: Path, resume: bool) -> Any:
    """The model of a task, trained with bars where somebody looks. An interrupted one comes back too."""
    with telling(err) as tell:
        return fit(
            task,
            data,
            network=network,
            training=training,
            run=folder,
            resume=resume,
            callbacks=[Progress(err)],
            progress=tell,
        )


def end_if_interrupted(model: Any) -> None:
    """Nothing is shown of a training that goes on later."""
    if model.outcome.stopped == "interrupted":
        sys.exit(130)


def print_scores(model: Any) -> None:
    """The leaderboard, where something was held back."""
    if model.evaluation is not None:
        model.leaderboard().print(out)


def print_labelled(model: SequenceModel, folder: Path) -> None:
    """The data, the scores, and what comes next for a classifier or labeller."""
    assert model.setup is not None
    print_examples(model.setup, model.findings, out)
    print_scores(model)
    if (folder / "report.html").exists():
        out.print(f"[dim]report[/]  {folder / 'report.html'}")
    out.print(f"[dim]next[/]    latchwork predict {folder} new-data", highlight=False)
