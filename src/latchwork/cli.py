"""The command line: thin commands over the front door. Options are the dataclass fields, the same names as in
Python.
"""

import contextlib
import json
import os
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Dict
from rich.console import Console

from latchwork import storage
from latchwork.demo import demo as run_demo
from latchwork.doctor import doctor as examine
from latchwork.errors import ConfigError, DataError, LatchworkError, did_you_mean
from latchwork.evaluation import cross_validate
from latchwork.layers import Network
from latchwork.model import Model, fit, load, run_folder, write_frame
from latchwork.sequence_model import SequenceModel
from latchwork.tasks import Classify, Forecast, Label
from latchwork.training import Progress as TrainingProgress
from latchwork.training import Training
from latchwork.version import __version__
from latchwork.view import print_data, print_examples, telling

Options = Parameter(name="*")
out, err = Console(), Console(stderr=True)

app = App(
    name="latchwork",
    help="Learn from sequences with recurrent networks: from a raw file to a trained, scored model that runs live.",
    version=__version__,
    result_action="return_value",
)
train = App(name="train", help="Train a task on a file; writes a run folder.")
backtest = App(name="backtest", help="Rolling-origin backtest of a task on a file.")
app.command(train)
app.command(backtest)


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
    folder = run or Path("runs") / data.name.split(".")[0]
    with telling(err) as tell:
        model = fit(
            task,
            data,
            network=network,
            training=training,
            run=folder,
            resume=resume,
            callbacks=[TrainingProgress(err)],
            progress=tell,
        )
    assert model.raw is not None
    print_data(model.raw, out)
    assert model.outcome is not None
    if model.outcome.stopped == "interrupted":
        sys.exit(130)
    if model.evaluation is not None:
        model.leaderboard().print(out)
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
    folder = run or Path("runs") / data.name.split(".")[0]
    with telling(err) as tell:
        model = fit(
            task,
            data,
            network=network,
            training=training,
            run=folder,
            resume=resume,
            callbacks=[TrainingProgress(err)],
            progress=tell,
        )
    assert model.setup is not None
    assert model.outcome is not None
    if model.outcome.stopped == "interrupted":
        sys.exit(130)
    print_examples(model.setup, model.findings, out)
    if model.evaluation is not None:
        model.leaderboard().print(out)
    if (folder / "report.html").exists():
        out.print(f"[dim]report[/]  {folder / 'report.html'}")
    out.print(f"[dim]next[/]    latchwork predict {folder} new-data", highlight=False)


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


@app.command
def evaluate(run: Path, data: Path | None = None, /) -> None:
    """Print the leaderboard of a run, or score it on other data.

    Args:
        run: Run folder.
        data: A file with the columns of the training file; its last rows are scored.
    """
    model = load(run)
    if data is None:
        model.leaderboard().print(out)
    elif isinstance(model, SequenceModel):
        model.evaluate(data).scoreboard.print(out)
    else:
        with telling(err) as tell:
            evaluation = model.evaluate(data, progress=tell)
        evaluation.leaderboard.print(out)


@app.command
def predict(run: Path, data: Path | None = None, /, *, future: Path | None = None, output: Path | None = None) -> None:
    """Forecast from the end of the known rows, or of a file; or say what each sequence of a file is.

    Args:
        run: Run folder.
        data: A file to forecast from, instead of the rows that the run knows; for classify and label it is needed.
        future: A file with the covariates that are known ahead.
        output: .csv, .parquet or .jsonl to write; default: csv on standard output.
    """
    model = load(run)
    if isinstance(model, SequenceModel):
        if data is None or future is not None:
            raise ConfigError(f"a model of the task {model.pipeline.name} answers a file: latchwork predict {run} file")
        frame = model.predict(data)
    else:
        frame = model.predict(data, future=future)
    if output is None:
        sys.stdout.write(frame.write_csv())
        return
    write_frame(frame, output)
    err.print(f"{len(frame)} rows written to {output}")


def _forecaster(run: Path, what: str) -> Model:
    model = load(run)
    if isinstance(model, SequenceModel):
        raise ConfigError(f"{what} is for forecasters, and {run} holds a model of the task {model.pipeline.name}")
    return model


@app.command
def update(run: Path, data: Path, /) -> None:
    """Take in new rows without a new fit; the next forecast starts after them.

    Args:
        run: Run folder.
        data: A file with rows that follow those the run knows.
    """
    model = _forecaster(run, "update")
    count = model.update(data)
    model.save(run_folder(run))
    err.print(f"{count} rows taken in; latchwork predict {run} forecasts from there", highlight=False)


@app.command
def stream(run: Path, /, *, rows: Path | None = None, output: Path | None = None, snapshot: Path | None = None) -> None:
    """Push rows one at a time, get a forecast after each. Rows are JSON lines on standard input.

    A bad row gets an answer with "error" and changes nothing; the stream goes on, and ends with exit status 2.

    Args:
        run: Run folder.
        rows: A file of JSON lines, instead of standard input.
        output: A file for the answers, instead of standard output.
        snapshot: A file for the state: restored from where it exists, written at the end.
    """
    live = _forecaster(run, "stream").stream()
    if snapshot is not None and snapshot.exists():
        live.restore(storage.read_bytes(snapshot))
    bad = 0
    with contextlib.ExitStack() as files:
        source = sys.stdin if rows is None else files.enter_context(rows.open(encoding="utf-8"))
        sink = sys.stdout if output is None else files.enter_context(output.open("w", encoding="utf-8"))
        err.print(f"[dim]{live.cost}[/]", highlight=False)
        for number, line in enumerate(source, start=1):
            if not line.strip():
                continue
            try:
                answers = [answer.to_dict() for answer in live.push_json(line)]
            except LatchworkError as error:
                bad += 1
                answers = [{"line": number, "error": str(error)}]
            sink.writelines(json.dumps(answer, allow_nan=False) + "\n" for answer in answers)
            sink.flush()
    if snapshot is not None:
        storage.write_bytes(snapshot, live.snapshot())
    if bad:
        raise DataError(f'{bad} of the rows were refused; see the answers with "error"')


@app.command
def demo(*, run: Path = Path("runs/co2")) -> None:
    """The main job on real data: 44 years of weekly CO2, trained, scored beside baselines, streamed.

    Args:
        run: Run folder; replaced if it is an earlier demo's.
    """
    run_demo(run, out, err)


@app.command
def doctor() -> None:
    """What is installed, what is missing, and which kernel runs which cell here."""
    examine(out)


def configured(tokens: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Take ``--config FILE`` out of the words: (the other words, the options of the file by name)."""
    rest, options = [], {}
    words = iter(tokens)
    for word in words:
        name, equals, value = word.partition("=")
        if name != "--config":
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if not value:
            raise ConfigError("--config wants a file; give one that a run wrote, such as runs/sales/config.toml")
        if rest[:1] not in (["train"], ["backtest"]):
            raise ConfigError("--config holds the options of train and backtest; leave it out here")
        path = Path(value)
        try:
            options = read_config(path)
        except OSError as error:
            raise ConfigError(f"can't read {path}: {(error.strerror or str(error)).lower()}") from error
    return rest, options


def read_config(path: Path) -> dict[str, Any]:
    """The options of a TOML file: a section for the task, [network], [training], every name known."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    sections = {"forecast": Forecast, "classify": Classify, "label": Label, "network": Network, "training": Training}
    options: dict[str, Any] = {}
    for section, values in tree.items():
        if section not in sections or not isinstance(values, dict):
            raise ConfigError(
                f"{path}: [{section}] is not known{did_you_mean(section, sections)}; expected {', '.join(sections)}"
            )
        known = {one.name for one in fields(sections[section])}
        for name, value in values.items():
            if name not in known:
                raise ConfigError(f'{path}: {section} has no option "{name}"{did_you_mean(name, known)}')
            options[name.replace("_", "-")] = value
    return options


def main(tokens: list[str] | None = None) -> None:
    """The entry point: one line on standard error and exit status 2 for whatever the user can mend."""
    words = list(sys.argv[1:] if tokens is None else tokens)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        words, options = configured(words)
        if options:
            tasks = {"forecast": options, "classify": options, "label": options}
            app.config = Dict({"train": tasks, "backtest": {"forecast": options}})
        app(words, exit_on_error=False, print_error=False)
    except (LatchworkError, CycloptsError) as error:
        if debug:
            raise
        message = " ".join(str(error).split())
        sys.stderr.write(f"latchwork: {message}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("latchwork: interrupted; a run in training goes on with the same command and --resume\n")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (OSError, UnicodeError) as error:
        if debug:
            raise
        sys.stderr.write(f"latchwork: {' '.join(str(error).split())}\n")
        sys.exit(2)
