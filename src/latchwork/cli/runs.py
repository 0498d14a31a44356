"""Commands that take a run folder: evaluate, predict, update, stream."""

import contextlib
import json
import sys
from pathlib import Path

from latchwork import storage
from latchwork.cli.base import app, err, out
from latchwork.errors import ConfigError, DataError, LatchworkError
from latchwork.language_model import LanguageModel
from latchwork.model import Model, load, run_folder, write_frame
from latchwork.sequence_model import SequenceModel
from latchwork.translation_model import TranslationModel
from latchwork.view import telling


@app.command
def evaluate(run: Path, data: Path | None = None, /) -> None:
    """Print the leaderboard of a run, or score it on other data.

    Args:
        run: Run folder.
        data: A file with the columns of the training file, labels too. Of a forecaster its last rows are scored, of a
            classifier or labeller every sequence, of a language model the whole text,
            of a translator every pair.
    """
    model = load(run)
    if data is None:
        model.leaderboard().print(out)
    elif isinstance(model, (SequenceModel, LanguageModel, TranslationModel)):
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
    if isinstance(model, (SequenceModel, TranslationModel)):
        if data is None or future is not None:
            raise ConfigError(f"a model of the task {model.pipeline.name} answers a file: latchwork predict {run} file")
        frame = model.predict(data)
    elif isinstance(model, LanguageModel):
        raise ConfigError(f"a language model continues texts: latchwork generate {run} --prompt TEXT")
    else:
        frame = model.predict(data, future=future)
    if output is None:
        sys.stdout.write(frame.write_csv())
        return
    write_frame(frame, output)
    err.print(f"{len(frame)} rows written to {output}")


def _forecaster(run: Path, what: str) -> Model:
    model = load(run)
    if not isinstance(model, Model):
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
