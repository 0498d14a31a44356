"""A trained classifier or labeller: what the front door gives for these tasks. It holds no logic of its own."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from latchwork import storage, toml
from latchwork.cells import Cell
from latchwork.errors import ConfigError, LatchworkError
from latchwork.evaluation import (
    Finding,
    Scoreboard,
    SequenceEvaluation,
    audit,
    score_labelled,
    score_sequences,
)
from latchwork.layers import Network
from latchwork.tasks import (
    SequencePipeline,
    SequenceSetup,
    SequenceTask,
    load_sequences,
    read_examples,
    save_sequences,
)
from latchwork.tasks.sequence_file import plain
from latchwork.training import Callback, Outcome, Training, fit_sequences
from latchwork.version import __version__

Progress = Callable[[str, float], None]


def fit_labelled(
    task: SequenceTask,
    data: Any,
    *,
    network: Network | None = None,
    training: Training | None = None,
    run: Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
) -> "SequenceModel":
    """Train, score on the sequences held back, audit the split, and write the run folder."""
    kind, labelled = read_examples(task, data)
    began = run is not None and not run.exists()
    try:
        fitted = fit_sequences(
            task,
            kind,
            labelled,
            network,
            training,
            folder=run,
            resume=resume,
            callbacks=callbacks,
            resume_hint="" if run is None else "the same command with --resume (or fit(…, resume=True))",
        )
    except LatchworkError:
        if began and run is not None and not any(run.glob("checkpoints/step-*")):
            shutil.rmtree(run, ignore_errors=True)
        raise
    setup = fitted.setup
    finished = fitted.outcome.stopped != "interrupted"
    evaluation, findings = None, []
    if finished:
        if progress is not None:
            progress("leak audit", 0.0)
        findings = audit(labelled, setup.split, setup.encoded, fitted=setup.pipeline.modality, options=task.source)
        if progress is not None:
            progress("leak audit", 1.0)
        if len(setup.split.test):
            evaluation = score_sequences(setup, progress=progress)
    model = SequenceModel(
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


def load_labelled(folder: Path, cells: Mapping[str, type[Cell]] | None = None) -> "SequenceModel":
    """The model of a run folder."""
    scores = folder / "leaderboard.json"
    board = Scoreboard.from_dict(storage.read_json(scores)) if scores.is_file() else None
    return SequenceModel(load_sequences(folder / "model", cells), scoreboard=board)


class SequenceModel:
    """A trained classifier or labeller: predict, evaluate, save.

    setup, training, outcome, evaluation, findings: of a model that was trained here; None for a loaded one.
    """

    def __init__(
        self,
        pipeline: SequencePipeline,
        *,
        setup: SequenceSetup | None = None,
        training: Training | None = None,
        outcome: Outcome | None = None,
        evaluation: SequenceEvaluation | None = None,
        findings: Sequence[Finding] = (),
        scoreboard: Scoreboard | None = None,
    ) -> None:
        self.pipeline, self.setup, self.training, self.outcome = pipeline, setup, training, outcome
        self.evaluation, self.findings = evaluation, list(findings)
        self._scoreboard = scoreboard if evaluation is None else evaluation.scoreboard

    def leaderboard(self) -> Scoreboard:
        """The model beside the baselines, on sequences that no method had seen, with intervals and a verdict."""
        if self._scoreboard is None:
            raise ConfigError("no sequences were held back for a test; train with a test file or test_size above 0")
        return self._scoreboard

    def evaluate(self, data: Any) -> SequenceEvaluation:
        """The figures of the model on other labelled data."""
        return score_labelled(self.pipeline, self.pipeline.read(data, labelled=True))

    def predict(self, data: Any) -> pl.DataFrame:
        """What is said of each sequence: its id, its label, and how probable each class is.

        Of steps: id, step (from 1), the word where there is one, label and its probability.
        """
        labelled = self.pipeline.read(data)
        answers = self.pipeline.predict(labelled)
        names, kind = self.pipeline.targets.classes, self.pipeline.targets.kind
        if kind == "steps":
            return self._steps(labelled, answers)
        if kind == "number":
            return pl.DataFrame({"id": list(labelled.ids), "value": answers.labels})
        labels = ["|".join(one) for one in answers.labels] if kind == "labels" else answers.labels
        columns: dict[str, Any] = {"id": list(labelled.ids), "label": labels}
        for index, name in enumerate(names):
            columns[f"p_{name}"] = np.asarray(answers.probabilities)[:, index]
        return pl.DataFrame(columns)

    def _steps(self, labelled: Any, answers: Any) -> pl.DataFrame:
        lengths = [len(one) for one in answers.labels]
        columns: dict[str, Any] = {
            "id": np.repeat(np.array(labelled.ids, dtype=object), lengths).tolist(),
            "step": np.concatenate([np.arange(1, n + 1) for n in lengths]) if lengths else [],
        }
        if self.pipeline.modality.kind == "text":
            words = [tuple(c)[:n] for c, n in zip(labelled.content, lengths, strict=True)]
            columns["word"] = [word for one in words for word in one]
        columns["label"] = [label for one in answers.labels for label in one]
        code = {name: index for index, name in enumerate(self.pipeline.targets.classes)}
        columns["probability"] = [
            float(row[code[label]])
            for one, sure in zip(answers.labels, answers.probabilities, strict=True)
            for label, row in zip(one, sure, strict=True)
        ]
        return pl.DataFrame(columns)

    def stream(self) -> Any:
        """Not there yet for these tasks."""
        raise ConfigError("a live stream of a classifier or labeller is not there yet; use predict")

    def save(self, run: str | Path) -> None:
        """Write the run folder: model/ (all that loading needs), leaderboard.json, findings.json, config.toml."""
        folder = Path(run)
        with storage.new_folder(folder / "model") as inner:
            save_sequences(self.pipeline, inner, __version__)
        if self._scoreboard is not None:
            storage.write_json(folder / "leaderboard.json", self._scoreboard.to_dict())
        if self.setup is not None:
            storage.write_json(folder / "findings.json", [one.to_dict() for one in self.findings])
            storage.write_text(folder / "config.toml", self.config())

    def config(self) -> str:
        """The complete options as TOML, as ``--config`` reads them."""
        parts = {self.pipeline.name: plain(self.pipeline.task), "network": self.pipeline.network.to_dict()}
        if self.training is not None:
            parts["training"] = self.training.to_mapping()
        return toml.dumps(parts)
