"""A trained classifier or labeller: what the front door gives for these tasks. It holds no logic of its own."""

import dataclasses
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import polars as pl

from latchwork import storage
from latchwork.cells import Cell
from latchwork.errors import ConfigError
from latchwork.evaluation import (
    Finding,
    SequenceEvaluation,
    SequenceReport,
    audit,
    score_labelled,
    score_sequences,
    sequence_card,
    write_sequence_report,
)
from latchwork.evaluation.sequence_score import Method, model_method, truth_of
from latchwork.layers import Network
from latchwork.tasks import (
    LanguagePipeline,
    SequencePipeline,
    SequenceSetup,
    SequenceTask,
    load_sequences,
    read_examples,
    save_sequences,
)
from latchwork.trained import Progress, Trained, board_of, finished, resuming
from latchwork.training import (
    Callback,
    FittedSequences,
    Foreign,
    Takeover,
    Training,
    Transfer,
    finetune_sequences,
    fit_sequences,
    nothing_left,
)
from latchwork.version import __version__


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
    with nothing_left(run):
        fitted = fit_sequences(
            task,
            kind,
            labelled,
            network,
            training,
            folder=run,
            resume=resume,
            callbacks=callbacks,
            resume_hint=resuming(run, "fit"),
        )
    return _finished(fitted, run, progress)


def finetune_labelled(
    start: SequencePipeline | LanguagePipeline | Foreign,
    data: Any,
    *,
    source: str,
    task: SequenceTask,
    network: Network | None = None,
    training: Training | None = None,
    transfer: Transfer | None = None,
    run: Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
    show: Callable[[Takeover], None] | None = None,
) -> "SequenceModel":
    """As :func:`fit_labelled`, from a trained model or other layers on; the model as it was is one of the rivals."""
    own = None if isinstance(start, Foreign) else "text" if isinstance(start, LanguagePipeline) else start.modality.kind
    kind, labelled = read_examples(task, data, kind=own)
    with nothing_left(run):
        tuned = finetune_sequences(
            start,
            task,
            kind,
            labelled,
            network,
            training,
            transfer,
            source=source,
            folder=run,
            show=show,
            resume=resume,
            callbacks=callbacks,
            resume_hint=resuming(run, "finetune"),
        )
    model = _finished(tuned.fitted, run, progress, before=tuned.before, refitted=own is None)
    model.takeover = tuned.takeover
    if run is not None:
        storage.write_json(run / "transfer.json", tuned.takeover.to_dict())
    return model


def _finished(
    fitted: FittedSequences,
    run: Path | None,
    progress: Progress | None,
    *,
    before: SequencePipeline | None = None,
    refitted: bool = True,
) -> "SequenceModel":
    """Audit, score and save what was trained. before: the model as it was before. refitted: the modality is new."""
    setup = fitted.setup

    def score(model: SequenceModel) -> None:
        if progress is not None:
            progress("leak audit", 0.0)
        pipeline = setup.pipeline
        known = {"fitted": pipeline.modality, "options": pipeline.task.source} if refitted else {}
        model.findings = audit(setup.labelled, setup.split, setup.encoded, **known)
        if progress is not None:
            progress("leak audit", 1.0)
        if len(setup.split.test):
            rivals = [] if before is None else [_rival(setup, before)]
            model.evaluation = score_sequences(setup, progress=progress, rivals=rivals)

    model = SequenceModel(setup.pipeline, setup=setup, training=fitted.training, outcome=fitted.outcome)
    return finished(model, run, score)


def _rival(setup: SequenceSetup, before: SequencePipeline) -> Method:
    """The answers of the model as it was. (It may have been trained on some of these sequences; nobody kept them.)"""
    rows = np.array([row for row in setup.split.test if setup.truth[row] is not None], np.int64)
    chosen = setup.labelled.select(rows)
    truth = truth_of(setup.pipeline, chosen, [setup.truth[row] for row in rows])
    return dataclasses.replace(model_method(before, before.encode(chosen), truth, "before fine-tuning"), model=False)


def load_labelled(folder: Path, cells: Mapping[str, type[Cell]] | None = None) -> "SequenceModel":
    """The model of a run folder."""
    return SequenceModel(load_sequences(folder / "model", cells), scoreboard=board_of(folder))


class SequenceModel(Trained[SequencePipeline, SequenceSetup, SequenceEvaluation, Finding]):
    """A trained classifier or labeller: predict, evaluate, save.

    setup, training, outcome, evaluation, findings: of a model that was trained here; None for a loaded one. takeover:
    what a fine-tuned one took over.
    """

    _held_back = "sequences were"
    takeover: Takeover | None = None

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
        kept = [self.pipeline.kept(len(one)) for one in _steps_of(labelled)]
        lengths = [len(one) for one in answers.labels]
        columns: dict[str, Any] = {
            "id": np.repeat(np.array(labelled.ids, dtype=object), lengths).tolist(),
            "step": np.concatenate([one + 1 for one in kept]) if lengths else [],
        }
        if self.pipeline.modality.kind == "text":
            columns["word"] = [word for one in self.pipeline.cut(labelled).content for word in one]
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

    def _save_pipeline(self, folder: Path) -> None:
        save_sequences(self.pipeline, folder, __version__)

    def report(self, path: str | Path, *, more: Sequence[Element] = ()) -> None:
        """Write report.html: one file, readable offline. more: further sections, such as what a search came to."""
        write_sequence_report(Path(path), dataclasses.replace(self._reported(Path(path).parent), more=more))

    def card(self, run: str | Path = "run") -> str:
        """What the model is, in a page of Markdown. run: the folder that it tells to use."""
        return sequence_card(self._reported(Path(run)))

    def _reported(self, run: Path) -> SequenceReport:
        setup, training, outcome = self._trained_here()
        command = f"latchwork predict {shlex.quote(str(run))} new-data"
        return SequenceReport(setup, training, outcome, self.evaluation, self.findings, self.config(), command)


def _steps_of(labelled: Any) -> list[Any]:
    """Of each sequence something as long as it is: its words, or its numbers."""
    return [getattr(one, "numbers", one) for one in labelled.content]
