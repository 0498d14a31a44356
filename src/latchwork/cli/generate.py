"""latchwork train generate, generate and complete: language models."""

import codecs
import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.cells import cell_len, set_cell_size
from rich.markup import escape

from latchwork.cli.base import Options, app, err, out, train
from latchwork.cli.training import end_if_interrupted, folder_of, print_scores, trained
from latchwork.errors import ConfigError, DataError
from latchwork.language_model import LanguageModel
from latchwork.layers import Network
from latchwork.model import load
from latchwork.streaming import Completer, Completion, unknown_words
from latchwork.tasks import Generate, Sampling
from latchwork.training import Training
from latchwork.view import print_writing

BACKSPACES = ("\x7f", "\b")
TAKEN = ("\t", "\r", "\n")
ENDS = ("\x03", "\x04", "\x1b")
"""Keys that end the interactive prompt: ctrl-c, ctrl-d, escape."""

ARROWS = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]")
"""What a terminal sends for keys that are no characters."""


@train.command(name="generate")
def train_generate(
    data: Path,
    /,
    *,
    task: Annotated[Generate, Options] = Generate(),  # noqa: B008 a frozen value
    network: Annotated[Network, Options] = Network(),  # noqa: B008 a frozen value
    training: Annotated[Training, Options] = Training(),  # noqa: B008 a frozen value
    run: Path | None = None,
    resume: bool = False,
) -> None:
    """Train a language model on texts and score it beside baselines on what is held back.

    Args:
        data: A text file, packed or not; a folder of text files, or others by pattern; a table with a column of texts.
        run: Folder for checkpoints, log, model and report. Default: runs/<name of the file>.
        resume: Go on with an interrupted run in that folder.
    """
    folder = folder_of(run, data)
    model: LanguageModel = trained(task, data, network, training, folder, resume)
    assert model.setup is not None
    end_if_interrupted(model)
    print_writing(model.data_lines(), model.findings, out)
    print_scores(model)
    sample = model.generate(max_new_tokens=120, temperature=0.8, seed=1)
    out.print(f"[dim]it writes[/]  {escape(' '.join(sample.split()))}", highlight=False)
    out.print(f"[dim]report[/]  {folder / 'report.html'}")
    text = (model.setup.texts["test"] or model.setup.texts["train"])[0]
    prompt = next((line for line in text[:1000].split("\n") if line.strip()), "")[:20].strip()
    shown = f'"{prompt}"' if not set(prompt) & set('"$`\\!') else "'…'"
    out.print(
        f"[dim]next[/]    latchwork generate {folder} --prompt {escape(shown)}    or    latchwork complete {folder}",
        highlight=False,
    )


def _writer(run: Path, what: str) -> LanguageModel:
    model = load(run)
    if not isinstance(model, LanguageModel):
        raise ConfigError(f"{what} is for language models (train generate), and {run} holds a model of another task")
    return model


@app.command
def generate(
    run: Path,
    /,
    *,
    prompt: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    sampling: Annotated[Sampling, Options] = Sampling(),  # noqa: B008 a frozen value
    samples: int = 1,
) -> None:
    """Continue a prompt, printed as it is made: the prompt, and what comes after it.

    Args:
        run: Run folder of a language model.
        prompt: How the text begins; "-" reads it from standard input.
        samples: So many texts, each with a seed of its own (seed, seed + 1, …).
    """
    if samples < 1:
        raise ConfigError(f"samples is {samples}, expected at least 1")
    model = _writer(run, "generate")
    if prompt == "-":
        prompt = sys.stdin.read()
    unknown = unknown_words(model.pipeline, prompt) if model.pipeline.vocabulary.unit != "char" else []
    if unknown:
        shown = ", ".join(f'"{word}"' for word in unknown[:5])
        err.print(f"[dim]words that training never saw are read as <unk>: {escape(shown)}[/]", highlight=False)
    for number in range(samples):
        options = {**sampling.to_mapping(), "seed": sampling.seed + number}
        live = model.stream(prompt, Sampling.from_mapping(options))
        sys.stdout.write(prompt)
        for piece in live.pieces():
            sys.stdout.write(piece)
            sys.stdout.flush()
        sys.stdout.write("\n" if number == samples - 1 else "\n\n")


@app.command
def complete(run: Path, text: str | None = None, /, *, n: int = 5) -> None:
    """Say how the last word of a text may go on; without a text, after every key in a terminal.

    Tab takes the first offer, escape or ctrl-d ends. Where standard input is no terminal, each of its lines is a text,
    and its offers are printed as a line of tab-separated words.

    Args:
        run: Run folder of a language model.
        text: What was typed so far.
        n: Offers at most.
    """
    model = _writer(run, "complete")
    if text is not None:
        for one in model.complete(text, n):
            sys.stdout.write(f"{one.word}\t{one.probability:.4f}\n")
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        _type(model, n)
        return
    for line in sys.stdin:
        offers = model.complete(line.rstrip("\r\n"), n)
        sys.stdout.write("\t".join(one.word for one in offers) + "\n")
        sys.stdout.flush()


def _type(model: LanguageModel, n: int) -> None:
    """The interactive prompt: the line that is typed, the offers below it."""
    typed, typing = "", model.completer(n)
    sys.stdout.write("type; tab takes the first offer, escape ends\n")
    offers = typing.offers()
    with contextlib.suppress(KeyboardInterrupt), _keys() as keys:
        _draw(typed, offers)
        for key in keys:
            if key in ENDS:
                break
            if not key.isprintable() and key not in (*BACKSPACES, *TAKEN):
                continue
            said = ""
            try:
                typed, typing = _pressed(key, typed, typing, offers, model, n)
                offers = typing.offers()
            except DataError as error:
                said = str(error)
            _draw(typed, offers, said)
    sys.stdout.write("\n")


def _pressed(
    key: str, typed: str, typing: Completer, offers: list[Completion], model: LanguageModel, n: int
) -> tuple[str, Completer]:
    """The line and what reads it after a key."""
    if key in BACKSPACES:
        typed = typed[:-1]
        typing = model.completer(n)  # a state can't be read backwards: the line is read anew
        typing.type(typed)
        return typed, typing
    added = (offers[0].rest + " " if offers else "") if key == "\t" else " " if key in "\r\n" else key
    typing.type(added)
    return typed + added, typing


def _draw(typed: str, offers: list[Completion], said: str = "") -> None:
    shown = said or "   ".join(f"{typed_end(typed)}{one.rest}" for one in offers)
    width = max(20, os.get_terminal_size().columns - 1)
    line = typed[-width:]
    while cell_len(line) > width:
        line = line[1:]
    right = f"\x1b[{cell_len(line)}C" if line else ""
    sys.stdout.write(
        f"\r\x1b[J{line}\n\x1b[2m{set_cell_size(shown, min(cell_len(shown), width))}\x1b[0m\x1b[A\r{right}"
    )
    sys.stdout.flush()


def typed_end(typed: str) -> str:
    """What was typed of the last word."""
    return typed.rpartition(" ")[2]


@contextlib.contextmanager
def _keys() -> Iterator[Iterator[str]]:
    """Keys as they are pressed, without waiting for a line's end; the terminal is left as it was."""
    try:
        import termios
        import tty
    except ImportError:
        raise ConfigError("this terminal gives no single keys; pipe lines into latchwork complete instead") from None
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)

    def pressed() -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        with contextlib.suppress(OSError):  # or nothing is read: the terminal is gone
            while data := os.read(handle, 256):
                yield from ARROWS.sub("", decoder.decode(data))

    try:
        tty.setcbreak(handle)
        yield pressed()
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)
