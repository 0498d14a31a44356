"""A trained language model: what the front door gives for the task of generating text. It holds no logic of its own."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from latchwork.cells import Cell
from latchwork.errors import ConfigError
from latchwork.evaluation import (
    LanguageEvaluation,
    TextReport,
    data_lines,
    language_sections,
    score_language,
    score_texts,
    text_card,
    write_text_report,
)
from latchwork.layers import Network
from latchwork.modalities import Finding, lint_corpus
from latchwork.streaming import Completer, Completion, TextStream
from latchwork.tasks import (
    Generate,
    GenerateSetup,
    LanguagePipeline,
    Sampling,
    load_language,
    parted,
    read_texts,
    save_language,
)
from latchwork.trained import Progress, Trained, board_of, finished, resuming
from latchwork.training import Callback, Training, fit_setup, nothing_left
from latchwork.version import __version__

PROMPT, SAMPLE = 60, 300
"""Characters of a sample's prompt in the report, and tokens of the sample."""


def fit_language(
    task: Generate,
    data: Any,
    *,
    network: Network | None = None,
    training: Training | None = None,
    run: Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
) -> "LanguageModel":
    """Train on texts, score on what is held back, and write the run folder."""
    corpus = read_texts(task, data)
    options = training or Training()
    with nothing_left(run):
        setup = GenerateSetup.of(task, corpus, network or Network(), seed=options.seed)
        fitted = fit_setup(
            setup,
            options.resolved(**setup.defaults()).completed(),
            folder=run,
            resume=resume,
            callbacks=callbacks,
            resume_hint=resuming(run, "fit"),
        )

    def score(model: LanguageModel) -> None:
        model.findings = lint_corpus(parted(corpus, setup.texts))
        if len(setup.streams["test"]) > 1:
            model.evaluation = score_language(setup, progress=progress)

    model = LanguageModel(setup.pipeline, setup=setup, training=fitted.training, outcome=fitted.outcome)
    return finished(model, run, score)


def load_generator(folder: Path, cells: Mapping[str, type[Cell]] | None = None) -> "LanguageModel":
    """The model of a run folder."""
    return LanguageModel(load_language(folder / "model", cells), scoreboard=board_of(folder))


class LanguageModel(Trained[LanguagePipeline, GenerateSetup, LanguageEvaluation, Finding]):
    """A trained language model: generate, complete, stream, evaluate, save.

    setup, training, outcome, evaluation, findings: of a model that was trained here; None for a loaded one.
    """

    _held_back = "text was"

    def evaluate(self, data: Any) -> LanguageEvaluation:
        """The figures of the model on another text."""
        return score_texts(self.pipeline, read_texts(Generate(**_reading(self.pipeline.task)), data).documents)

    def generate(self, prompt: str = "", sampling: Sampling | None = None, **options: Any) -> str:
        """The prompt continued: what comes after it. options: those of :class:`Sampling`, by name.

        >>> model.generate("ROMEO:", max_new_tokens=100, temperature=0.8, seed=1)        # doctest: +SKIP
        """
        return "".join(self.pieces(prompt, sampling, **options))

    def pieces(self, prompt: str = "", sampling: Sampling | None = None, **options: Any) -> Iterator[str]:
        """The same piece by piece, as it is made."""
        return self.stream(prompt, sampling, **options).pieces()

    def stream(self, prompt: str = "", sampling: Sampling | None = None, **options: Any) -> TextStream:
        """A live text that begins with the prompt; see :class:`TextStream`."""
        if sampling is not None and options:
            raise ConfigError(f"sampling and {', '.join(options)} were given; give one of them")
        live = TextStream(self.pipeline, sampling or Sampling.from_mapping(options))
        live.push(prompt)
        return live

    def complete(self, text: str, n: int = 5) -> list[Completion]:
        """The n most probable ways to finish the last word of a text."""
        typing = Completer(self.pipeline, n)
        typing.type(text)
        return typing.offers()

    def completer(self, n: int = 5) -> Completer:
        """What is typed key by key, with offers after each; see :class:`Completer`."""
        return Completer(self.pipeline, n)

    def predict(self, data: Any) -> Any:
        """Not what a language model does."""
        raise ConfigError("a language model continues texts; use generate, or latchwork generate RUN --prompt TEXT")

    def _save_pipeline(self, folder: Path) -> None:
        save_language(self.pipeline, folder, __version__)

    def samples(self) -> list[tuple[float, str, str]]:
        """(temperature, prompt, what the model makes of it), from the beginning of the test text, or of nothing."""
        texts = () if self.setup is None else self.setup.texts["test"] or self.setup.texts["train"]
        prompt = texts[0][:PROMPT] if texts else ""
        prompt = prompt[: max(prompt.rfind(" "), prompt.rfind("\n")) + 1] or prompt
        if self.pipeline.vocabulary.unit == "char" and self.pipeline.vocabulary.unknown(prompt):
            prompt = ""
        return [
            (heat, prompt, self.generate(prompt, max_new_tokens=SAMPLE, temperature=heat, seed=1))
            for heat in (0.5, 0.8, 1.0)
        ]

    def data_lines(self) -> list[str]:
        """What each part of the text held."""
        if self.setup is None:
            raise ConfigError("a loaded model has no texts; they are told when it is trained")
        return data_lines(self.setup)

    def report(self, path: str | Path) -> None:
        """Write report.html: one file, readable offline."""
        write_text_report(Path(path), self._reported(Path(path).parent))

    def card(self, run: str | Path = "run") -> str:
        """What the model is, in a page of Markdown."""
        return text_card(self._reported(Path(run)))

    def _reported(self, run: Path) -> TextReport:
        setup, training, outcome = self._trained_here()
        task = self.pipeline.task
        return TextReport(
            task=self.pipeline.name,
            name=setup.corpus.name,
            data=self.data_lines(),
            pipeline=self.pipeline,
            sha256=setup.sha256,
            training=training,
            outcome=outcome,
            board=self._scoreboard,
            findings=self.findings,
            config=self.config(),
            command=f"latchwork generate {shlex.quote(str(run))} --prompt TEXT",
            sections=language_sections(self.pipeline, self.evaluation, self.samples()),
            known=[
                ("Tokens", str(task.tokenizer)),
                ("Embedding", f"{task.embedding}{', tied' if task.tied else ''}"),
            ],
        )


def _reading(task: Generate) -> dict[str, Any]:
    """The options that say where texts are in a file."""
    return {"text": task.text, "pattern": task.pattern}
