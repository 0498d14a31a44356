"""From a task and a file to something that can be trained, and from trained to calibrated."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork import metrics
from latchwork.errors import ConfigError, DataError, did_you_mean
from latchwork.layers import Network
from latchwork.sequences import Encoded, Labelled, Part, Split, split_examples
from latchwork.tasks.classify import Classify
from latchwork.tasks.sequence_job import SequenceJob, loss_for
from latchwork.tasks.sequence_pipeline import (
    MODALITIES,
    READERS,
    SequencePipeline,
    SequenceTask,
    build,
    kind_of_source,
    resolved,
)
from latchwork.tasks.targets import UNKNOWN, Targets

Rows = NDArray[np.int64]
METRICS = ("accuracy", "balanced_accuracy", "f1", "roc_auc", "average_precision", "mcc", "log_loss", "span_f1", "rmse")
RARE = 0.2
"""Of two classes the rarer one has at most this share: then accuracy says little, and ranking is judged."""

LOSS_SHARE = 0.1
"""Of the loss in what decides: of two steps with as many right answers the surer one is kept."""


def read_examples(task: SequenceTask, source: Any, *, kind: str | None = None) -> tuple[str, Labelled]:
    """(text, records or image; all sequences of the files that the task names, each in its part)."""
    kind = kind or kind_of_source(source, task)
    name = "classify" if isinstance(task, Classify) else "label"

    def read(one: Any) -> Labelled:
        return READERS[kind](one, task.source, name)

    whole = read(source)
    given: dict[Part, Labelled] = {}
    if task.validation is not None:
        given["validation"] = read(task.validation)
    if task.test is not None:
        given["test"] = read(task.test)
    if not given:
        return kind, whole
    if whole.parts is not None and any(part not in (None, "train") for part in whole.parts):
        raise ConfigError("the training file has parts of its own, and other files were given for them; use one")
    return kind, Labelled.joined({"train": whole, **given})


@dataclass
class SequenceSetup:
    """Everything between a file and a trained pipeline. encoded, truth: in the order of ``labelled``."""

    pipeline: SequencePipeline
    labelled: Labelled
    split: Split
    encoded: list[Encoded]
    truth: list[Any]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        task: SequenceTask,
        kind: str,
        labelled: Labelled,
        network: Network,
        *,
        seed: int,
        split: Split | None = None,
        body: Any = None,
    ) -> "SequenceSetup":
        """Split, fit the modality and the labels on the training part, build the network. The seed decides its start.

        ``body``: what takes the place of the recurrent layers, see ``build``.
        """
        split = split_of(task, labelled, seed=seed) if split is None else split
        options = task.source
        if kind == "text" and options.characters is None and not isinstance(task, Classify):
            options = replace(options, characters=True)
        modality = MODALITIES[kind].fit(labelled, split.train, options)
        targets = Targets.fit(labelled, split.train, *_asked(task))
        task = resolved(task, modality.features, targets)
        task.augment.check(modality.features)
        used = np.concatenate([split.train, split.validation, split.test])
        chosen = labelled.select(used)
        encoded: list[Any] = [None] * len(labelled)
        truth: list[Any] = [None] * len(labelled)
        for row, one, label in zip(used, modality.encode(chosen), targets.encode(chosen), strict=True):
            encoded[row], truth[row] = one, label
            if targets.kind == "steps" and label is not None:
                truth[row] = label[: len(one)]
        texts = modality.features.vocabulary > 0
        network = network.resolved(dropout=0.5 if texts else 0.2, bidirectional=True)
        vectors = modality.vectors() if kind == "text" else None
        start = None
        if vectors is not None:
            start = torch.from_numpy(np.where(vectors.found[:, None], vectors.matrix, np.nan).astype(np.float32))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = build(task, modality.features, targets, network, start, body)
        pipeline = SequencePipeline(modality, task, network, targets, module)
        setup = cls(pipeline, labelled, split, encoded, truth, list(split.notes))
        check_metric(setup.metric, targets)
        return setup

    @property
    def task(self) -> SequenceTask:
        return self.pipeline.task

    @property
    def metric(self) -> str:
        """What validation is judged by."""
        targets = self.pipeline.targets
        if self.task.metric is not None:
            return self.task.metric
        if targets.kind == "steps":
            return "span_f1" if targets.spans else "accuracy"
        if targets.kind == "number":
            return "rmse"
        rare = len(targets.classes) == 2 and min(targets.counts) < RARE * sum(targets.counts)
        return "roc_auc" if targets.kind == "class" and rare else "accuracy"

    def defaults(self) -> dict[str, Any]:
        """What training does where it was not told: by the number of sequences and their steps."""
        count = len(self.split.train)
        batch = 16 if count < 1000 else 32
        epoch = -(-count // batch)
        steps = int(np.clip(10 * epoch, 1000, 8000))
        return {
            "batch_size": batch,
            "steps": steps,
            "learning_rate": 2e-3,
            "patience": 0,
            "average": 0.99,
            "evaluate_every": max(1, min(epoch, steps // 12)),
            "truncate": 0,
        }

    def job(self, *, batch_size: int, seed: int) -> SequenceJob:
        """What the training loop trains."""
        task = self.task
        balanced = getattr(task, "class_weight", "none") == "balanced"
        shape = {"focal": task.focal, "smoothing": task.label_smoothing} if isinstance(task, Classify) else {}
        sampled = isinstance(task, Classify) and task.sampling == "balanced"
        return SequenceJob(
            self.pipeline.module,
            self.part(self.split.train),
            self.part(self.split.validation),
            loss=loss_for(self.pipeline.targets, balanced=balanced, **shape),
            score=self.judged,
            batch_size=batch_size,
            seed=seed,
            augment=task.augment,
            balanced=sampled,
        )

    def part(self, rows: Rows) -> tuple[list[Encoded], list[Any]]:
        """The sequences of some rows that have a label, and their numbers."""
        rows = np.array([row for row in rows if self.truth[row] is not None], np.int64)
        return [self.encoded[row] for row in rows], [self.truth[row] for row in rows]

    def judged(self, scores: list[NDArray[np.float64]], truth: Sequence[Any]) -> dict[str, float]:
        """ "choice", which is minimised, and the figure that it is made of."""
        pipeline, name = self.pipeline, self.metric
        if pipeline.targets.kind == "number":
            wrong = np.array([one[0] for one in scores]) - np.array(truth)
            value = float(np.sqrt(np.mean(wrong**2)))
            return {"choice": value, "rmse": value * pipeline.targets.spread}
        if pipeline.targets.kind == "steps":
            value = self._steps(scores, truth, name)
            return {"choice": 1 - value, name: value}
        stacked = np.stack(scores)
        if pipeline.targets.kind == "labels":
            right = ((stacked >= 0) == (np.stack(truth) >= 0.5)).mean()
            loss = float(np.logaddexp(0, np.where(np.stack(truth) >= 0.5, -stacked, stacked)).mean())
            return {"choice": loss, "accuracy": float(right)}
        shares = pipeline.probabilities(scores)
        codes = np.array(truth)
        loss = float(-np.log(np.clip(shares[np.arange(len(codes)), codes], 1e-12, None)).mean())
        if name == "log_loss":
            return {"choice": loss, name: loss}
        if name == "accuracy":
            value = float((shares.argmax(1) == codes).mean())
        else:
            positive = pipeline.positive
            named = None if positive is None else pipeline.targets.classes[positive]
            value = metrics.classification(codes, shares, pipeline.targets.classes, positive=named)[name]
            if np.isnan(value):
                raise DataError(f"{name} is undefined on the validation part: give a larger one, or metric=log_loss")
        ranked = name in ("roc_auc", "average_precision")
        return {"choice": 1 - value + (0.0 if ranked else LOSS_SHARE * min(loss, 5.0)), name: value}

    def _steps(self, scores: list[NDArray[np.float64]], truth: Sequence[Any], name: str) -> float:
        paths = self.pipeline.paths(scores)
        if name == "accuracy":
            steps = sum(len(one) for one in truth)
            return sum(int((path == one).sum()) for path, one in zip(paths, truth, strict=True)) / max(1, steps)
        names = [*self.pipeline.targets.classes, "O"]  # UNKNOWN is the last
        assert UNKNOWN == -1

        def tags(rows: Sequence[Any]) -> list[tuple[str, ...]]:
            return [tuple(names[code] for code in one) for one in rows]

        value = metrics.span_scores(tags(truth), tags(paths))["span_f1"]
        return 0.0 if np.isnan(value) else value

    def calibrate(self) -> None:
        """Find the temperature and the threshold on the validation part, if there is one."""
        pipeline, task = self.pipeline, self.task
        encoded, truth = self.part(self.split.validation)
        if not isinstance(task, Classify) or not encoded or pipeline.targets.kind not in ("class", "labels"):
            if isinstance(task, Classify) and task.wanted is not None:
                raise ConfigError("an aim wants validation sequences; give validation_size above 0")
            return
        scores = np.stack(pipeline.scores(encoded))
        marks = np.stack(truth) if pipeline.targets.kind == "labels" else np.array(truth)
        if task.calibrate:
            found = metrics.fit_temperature(scores, marks)
            pipeline.temperature = found.value
            if found.note:
                self.notes.append(f"temperature: {found.note}")
        if task.wanted is not None and pipeline.positive is not None:
            sure = pipeline.probabilities(list(scores))[:, pipeline.positive]
            groups = None
            if self.labelled.groups is not None:
                named = [row for row in self.split.validation if self.truth[row] is not None]
                groups = np.array([self.labelled.groups[row] for row in named])
            pipeline.chosen = metrics.choose_threshold(
                (marks == pipeline.positive).astype(np.int64), sure, task.wanted, bound=task.bound, groups=groups
            )
            pipeline.threshold = pipeline.chosen.value
            self.notes.append(pipeline.chosen.note)


def split_of(task: SequenceTask, labelled: Labelled, *, seed: int) -> Split:
    """The hold-out split that the task asks for."""
    test, validation = task.test_size, task.validation_size
    return split_examples(labelled, test=test, validation=validation, by_time=task.by_time, seed=seed)[0]


def folds_of(task: SequenceTask, labelled: Labelled, folds: int, *, seed: int) -> list[Split]:
    """As many splits, whose test parts are disjoint."""
    return split_examples(labelled, folds=folds, validation=task.validation_size, by_time=task.by_time, seed=seed)


def check_metric(metric: str, targets: Targets) -> None:
    """Raise :class:`ConfigError` where the metric is not one of these labels."""
    kinds = {
        "steps": ("span_f1", "accuracy"),
        "number": ("rmse",),
        "labels": ("log_loss", "accuracy"),
        "class": tuple(name for name in METRICS if name not in ("span_f1", "rmse")),
    }
    allowed = kinds["class" if targets.kind == "ordinal" else targets.kind]
    if metric not in allowed:
        raise ConfigError(f'metric is "{metric}"{did_you_mean(metric, allowed)}; expected one of {", ".join(allowed)}')
    if metric in ("roc_auc", "average_precision") and targets.kind == "steps":
        raise ConfigError(f"{metric} is for whole sequences")


def _asked(task: SequenceTask) -> tuple[str, bool | None]:
    return (task.target, None) if isinstance(task, Classify) else ("steps", task.spans)
