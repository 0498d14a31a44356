"""latchwork train translate and translate: sequences said in other words."""

import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

from latchwork.cli.base import Options, app, out, train
from latchwork.cli.training import end_if_interrupted, folder_of, print_scores, trained
from latchwork.errors import ConfigError, DataError
from latchwork.layers import Network
from latchwork.model import load
from latchwork.tasks import Translate
from latchwork.training import Training
from latchwork.translation_model import AT_ONCE, TranslationModel, in_a_line
from latchwork.view import print_writing


@train.command(name="translate")
def train_translate(
    data: Path,
    /,
    *,
    task: Annotated[Translate, Options] = Translate(),  # noqa: B008 a frozen value
    network: Annotated[Network, Options] = Network(),  # noqa: B008 a frozen value
    training: Annotated[Training, Options] = Training(),  # noqa: B008 a frozen value
    run: Path | None = None,
    resume: bool = False,
) -> None:
    """Train a translator, or with --copy a summariser, on pairs of texts and score it beside baselines.

    Args:
        data: A table with a column for each side (source, target); or a folder with files of which each line belongs to
            the same line of another, such as train.de and train.en, the endings named by source and target.
        run: Folder for checkpoints, log, model and report. Default: runs/<name of the file>.
        resume: Go on with an interrupted run in that folder.
    """
    folder = folder_of(run, data)
    model: TranslationModel = trained(task, data, network, training, folder, resume)
    end_if_interrupted(model)
    print_writing(model.data_lines(), model.findings, out)
    print_scores(model)
    out.print(f"[dim]report[/]  {folder / 'report.html'}")
    out.print(f"[dim]next[/]    latchwork translate {folder} < sources.txt > answers.txt", highlight=False)


@dataclass(frozen=True, kw_only=True)
class Searching:
    """How answers are searched; what is left out is as the model was trained.

    Args:
        beam: Answers that are followed side by side; 1 is greedy.
        length_penalty: α of the length penalty: above 0 longer answers are less at a disadvantage.
        max_length: Tokens of an answer at most.
        no_repeat_ngram_size: So many tokens in a row never come twice. 0: they may.
    """

    beam: int | None = None
    length_penalty: float | None = None
    max_length: int | None = None
    no_repeat_ngram_size: int | None = None

    def given(self) -> dict[str, float]:
        """Those that were said."""
        return {name: value for name, value in vars(self).items() if value is not None}


@app.command
def translate(
    run: Path, /, *, searching: Annotated[Searching, Options] = Searching(), n_best: int = 1
) -> None:  # fmt: skip
    """Translate (or summarise) standard input, a text a line; in a terminal after each line that is typed.

    Args:
        run: Run folder of a translator.
        n_best: Answers to each text, no two alike: with more than one, a line each, its score and the text,
            tab-separated, and an empty line after those of a text.
    """
    if n_best < 1:
        raise ConfigError(f"n_best is {n_best}, expected at least 1")
    model = load(run)
    if not isinstance(model, TranslationModel):
        raise ConfigError(f"translate is for translators (train translate), and {run} holds a model of another task")
    options = searching.given()
    if sys.stdin.isatty():
        _talk(model, n_best, options)
    elif n_best == 1:
        for answer in model.lines(_lines(), **options):
            sys.stdout.write(answer + "\n")
    else:
        reading = _lines()
        while some := list(islice(reading, AT_ONCE)):
            _tell(model, some, n_best, options, "\n")


def _lines() -> Iterator[str]:
    """The lines of standard input without their ends: UTF-8 whatever the locale, and ended by a newline alone, so that
    there are as many as other tools count.
    """
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"standard input: line {number}, byte {error.start + 1}: 0x{line[error.start]:02x} is not utf-8 text; "
                "save it as UTF-8"
            ) from error
        yield (text.removeprefix("\ufeff") if number == 1 else text).rstrip("\r\n")


def _talk(model: TranslationModel, n_best: int, options: dict[str, float]) -> None:
    # polars' handler lets a read go on after ctrl-c: Python's own is set again.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout.write("a text a line; ctrl-d ends\n")
    try:
        while line := _asked():
            try:
                if line.strip():
                    _tell(model, [line], n_best, options)
            except DataError as error:  # of this line; the next one may be better
                sys.stdout.write(f"{error}\n")
    except KeyboardInterrupt:
        sys.stdout.write("\n")
        sys.exit(130)
    sys.stdout.write("\n")


def _asked() -> str:
    """A line that was typed; "" at the end."""
    sys.stdout.write("> ")
    sys.stdout.flush()
    return sys.stdin.readline()


def _tell(model: TranslationModel, texts: list[str], n_best: int, options: dict[str, float], end: str = "") -> None:
    for several in model.translate(texts, n_best=n_best, attention=False, **options):
        for one in several:
            score = f"{one.score:.3f}\t" if n_best > 1 else ""
            sys.stdout.write(f"{score}{in_a_line(one.text)}\n")
        sys.stdout.write(end)
