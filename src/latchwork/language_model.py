"""A trained language model: what the front door gives for the task of generating text. It holds no logic of its own."""

import dataclasses
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from latchwork import storage, toml
from latchwork.cells import Cell
from latchwork.errors import ConfigError
from latchwork.evaluation import (
    LanguageEvaluation,
    Scoreboard,
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
from latchwork.tasks.saved import plain
from latchwork.training import Callback, Outcome, Training, fit_setup, nothing_left
from latchwork.version import __version__

Progress = Callable[[str, float], None]
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
            resume_hint="" if run is None else "the same command with --resume (or fit(…, resume=True))",
        )
    finished = fitted.outcome.stopped != "interrupted"
    if run is not None and finished:  # whatever happens below, what was trained is there
        with storage.new_folder(run / "model") as inner:
            save_language(setup.pipeline, inner, __version__)
    findings = lint_corpus(parted(corpus, setup.texts)) if finished else []
    scored = finished and len(setup.streams["test"]) > 1
    evaluation = score_language(setup, progress=progress) if scored else None
    model = LanguageModel(
        setup.pipeline,
        setup=setup,
        training=fitted.training,
        outcome=fitted.outcome,
        evaluation=evaluation,
        findings=findings,
    )
    if run is not None and finished:
        model.save(run)
    return model


def load_generator(folder: Path, cells: Mapping[str, type[Cell]] | None = None) -> "LanguageModel":
    """The model of a run folder."""
    scores = folder / "leaderboard.json"
    board = Scoreboard.from_dict(storage.read_json(scores)) if scores.is_file() else None
    return LanguageModel(load_language(folder / "model", cells), scoreboard=board)


class LanguageModel:
    """A trained language model: generate, complete, stream, evaluate, save.

    setup, training, outcome, evaluation, findings: of a model that was trained here; None for a loaded one.
    """

    def __init__(
        self,
        pipeline: LanguagePipeline,
        *,
        setup: GenerateSetup | None = None,
        training: Training | None = None,
        outcome: Outcome | None = None,
        evaluation: LanguageEvaluation | None = None,
        findings: Sequence[Finding] = (),
        scoreboard: Scoreboard | None = None,
    ) -> None:
        self.pipeline, self.setup, self.training, self.outcome = pipeline, setup, training, outcome
        self.evaluation, self.findings = evaluation, list(findings)
        self._scoreboard = scoreboard if evaluation is None else evaluation.scoreboard

    def leaderboard(self) -> Scoreboard:
        """The model beside the baselines, on text that no method had seen, with intervals and a verdict."""
        if self._scoreboard is None:
            raise ConfigError("no text was held back for a test; train with a test file or test_size above 0")
        return self._scoreboard

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

    def save(self, run: str | Path) -> None:
        """Write the run folder: model/ (all that loading needs) and leaderboard.json; of a model that was trained here
        also findings.json, config.toml, report.html and card.md.
        """
        folder = Path(run)
        with storage.new_folder(folder / "model") as inner:
            save_language(self.pipeline, inner, __version__)
        if self._scoreboard is not None:
            storage.write_json(folder / "leaderboard.json", self._scoreboard.to_dict())
        if self.setup is None:
            return
        storage.write_json(folder / "findings.json", [dataclasses.asdict(one) for one in self.findings])
        storage.write_text(folder / "config.toml", self.config())
        self.report(folder / "report.html")
        storage.write_text(folder / "card.md", self.card(folder))

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
        if self.setup is None or self.outcome is None or self.training is None:
            raise ConfigError("a loaded model has no training to report on; the report is written when it is trained")
        task = self.pipeline.task
        return TextReport(
            task=self.pipeline.name,
            name=self.setup.corpus.name,
            data=self.data_lines(),
            pipeline=self.pipeline,
            sha256=self.setup.sha256,
            training=self.training,
            outcome=self.outcome,
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

    def config(self) -> str:
        """The complete options as TOML, as ``--config`` reads them."""
        parts = {self.pipeline.name: plain(self.pipeline.task), "network": self.pipeline.network.to_dict()}
        if self.training is not None:
            parts["training"] = self.training.to_mapping()
        return toml.dumps(parts)


def _reading(task: Generate) -> dict[str, Any]:
    """The options that say where texts are in a file."""
    return {"text": task.text, "pattern": task.pattern}
