"""From a task and a file to something that can be trained, and from trained to calibrated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork import metrics
from latchwork.errors import ConfigError, DataError, did_you_mean
from latchwork.layers import Network
from latchwork.modalities import Records
from latchwork.sequences import Encoded, Labelled, Part, Split, split_examples
from latchwork.tasks.classify import Classify
from latchwork.tasks.label import Label
from latchwork.tasks.sequence_job import SequenceJob, loss_for
from latchwork.tasks.sequence_pipeline import (
    MODALITIES,
    READERS,
    SequencePipeline,
    SequenceTask,
    build,
    cut_steps,
    has_crf,
    kind_of_source,
    median_of,
    resolved,
)
from latchwork.tasks.targets import Targets, typed

Rows = NDArray[np.int64]
METRICS = ("accuracy", "balanced_accuracy", "f1", "roc_auc", "average_precision", "mcc", "log_loss", "span_f1", "rmse")
RARE = 0.2
"""Of two classes the rarer one has at most this share: then accuracy says little, and ranking is judged."""

FEW = 2000
"""Below so many training sequences those of the validation are worth a second training."""

SHARPENS = 100
"""Validation sequences from which on a temperature below 1 is believed: where a handful is all right, it goes to 0."""

ENOUGH = 100
"""Validation sequences from which on the step that they like best is believed."""

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
        return kind, typed(whole, _asked(task)[0])
    if whole.parts is not None and any(part not in (None, "train") for part in whole.parts):
        raise ConfigError("the training file has parts of its own, and other files were given for them; use one")
    return kind, typed(Labelled.joined({"train": whole, **given}), _asked(task)[0])


@dataclass
class SequenceSetup:
    """Everything between a file and a trained pipeline. encoded, truth: in the order of ``labelled``."""

    pipeline: SequencePipeline
    labelled: Labelled
    split: Split
    encoded: list[Encoded]
    truth: list[Any]
    notes: list[str] = field(default_factory=list)
    body: Any = None
    """What takes the place of the recurrent layers."""

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
        modality: Any = None,
        targets: Targets | None = None,
    ) -> "SequenceSetup":
        """Split, fit the modality and the labels on the training part, build the network. The seed decides its start.

        ``body``: what takes the place of the recurrent layers, see ``build``. ``modality``, ``targets``: fitted before.
        """
        split = split_of(task, labelled, seed=seed) if split is None else split
        if modality is None and kind == "text" and task.characters is None and not isinstance(task, Classify):
            task = replace(task, characters=True)
        modality = MODALITIES[kind].fit(labelled, split.train, task.source) if modality is None else modality
        if targets is None:
            # Labels of steps that are cut away count for nothing.
            learned = labelled if isinstance(task, Classify) else cut_steps(modality, labelled)
            targets = Targets.fit(learned, split.train, *_asked(task))
        task = resolved(task, modality.features, targets)
        task.augment.check(modality.features)
        if task.metric is not None:
            check_metric(task.metric, targets)
        pipeline = _built(modality, task, targets, network, seed=seed, body=body)
        used = np.concatenate([split.train, split.validation, split.test])
        chosen = labelled.select(used)
        encoded: list[Any] = [None] * len(labelled)
        truth: list[Any] = [None] * len(labelled)
        # In a file's own parts a strange label is a mistake; folds are drawn, and may keep a rare class from training.
        truths = pipeline.truth(chosen, skip=split.name != "hold-out")
        for row, one, label in zip(used, modality.encode(chosen), truths, strict=True):
            encoded[row], truth[row] = one, label
            if targets.kind == "steps" and label is not None and len(label) != len(one):
                place = labelled.places[row]
                raise DataError(f"{place}: {len(label)} labels for {len(one)} steps, expected a label for each")
        setup = cls(pipeline, labelled, split, encoded, truth, body=body)
        setup.notes = setup._told()
        setup._check_validation()
        return setup

    def rebuilt(self, network: Network, *, seed: int, body: Any = None) -> "SequenceSetup":
        """The same sequences with another network, not trained: nothing is read, fitted or encoded again."""
        own = self.pipeline
        pipeline = _built(own.modality, own.task, own.targets, network, seed=seed, body=body)
        made = replace(self, pipeline=pipeline, body=body)
        made.notes = made._told()
        return made

    def _told(self) -> list[str]:
        """What a reader of the scores must know before anything is trained."""
        notes, targets = list(self.split.notes), self.pipeline.targets
        if isinstance(self.task, Classify) and self.task.target == "auto" and targets.kind in ("labels", "number"):
            what = "several of each sequence" if targets.kind == "labels" else "numbers"
            notes.append(f"the labels are read as {what} (target={targets.kind}); for classes give target=class")
        skipped = [
            row
            for row in np.concatenate([self.split.validation, self.split.test]).tolist()
            if self.truth[row] is None and self.labelled.labels[row] is not None
        ]
        if skipped:
            names = dict.fromkeys(str(self.labelled.labels[row]) for row in skipped)
            few = "1 sequence is" if len(skipped) == 1 else f"{len(skipped)} sequences are"
            notes.append(f"{few} left out of {self.split.name}: training has no such label ({', '.join(names)})")
        if (unseen := _newly_missing(self)) > 0:
            where = "missing in validation and test, and none in training"
            notes.append(f"{unseen:,} values are {where}: they are read as its mean")
        if self.task.metric is None and (why := self._undefined(self._usual)):
            notes.append(f"{self._usual} is undefined on the validation part ({why}): log_loss chooses there")
        if has_crf(self.task, targets) and not targets.strict:
            notes.append("spans begin with I- too (IOB1): the labels are scored without the rules of B- and I-")
        return notes

    def _check_validation(self) -> None:
        """Refuse, before training, what the validation part can't tell."""
        task, rows = self.task, self._validated
        if task.metric is not None and (why := self._undefined(task.metric)):
            raise DataError(f"{task.metric} is undefined on the validation part ({why}): give a larger one, or "
                            "metric=log_loss")  # fmt: skip
        if not isinstance(task, Classify) or task.wanted is None:
            return
        if not rows:
            raise ConfigError("an aim wants validation sequences; give validation_size above 0")
        if task.aim_folds:
            self._fold_splits()
        groups = self.labelled.groups
        rows = [*rows, *self.split.train.tolist()] if task.aim_folds else rows
        if task.bound == "exact" and groups is not None and len({groups[row] for row in rows}) < len(rows):
            raise ConfigError("bound is exact, which takes every sequence for independent, and these share groups; "
                              "give bound=bootstrap")  # fmt: skip

    @property
    def _validated(self) -> list[int]:
        """The validation sequences that have a label."""
        return [row for row in self.split.validation.tolist() if self.truth[row] is not None]

    def _undefined(self, metric: str) -> str:
        """Why a metric of classes has no value on the validation part; "" where it has one, or nothing is validated."""
        targets, positive = self.pipeline.targets, self.pipeline.positive
        if targets.kind not in ("class", "ordinal") or metric in ("accuracy", "log_loss") or not self._validated:
            return ""
        there = {self.truth[row] for row in self._validated}
        one = f'every sequence there is "{targets.classes[min(there)]}"'
        if metric == "mcc" or (positive is not None and metric != "balanced_accuracy"):
            if len(there) < 2:
                return one
            alone = metric != "mcc" and positive not in there
            return f'no sequence there is "{targets.classes[positive or 0]}"' if alone else ""
        lacking = [name for code, name in enumerate(targets.classes) if code not in there]
        return f'no sequence there is "{lacking[0]}"' if lacking else ""

    def extended(self, seed: int) -> "SequenceSetup":
        """The same with a new network, to be trained on the validation sequences too."""
        own = self.pipeline
        module = self.rebuilt(own.network, seed=seed, body=self.body).pipeline.module
        rows = np.concatenate([self.split.train, self.split.validation])
        split = replace(self.split, train=rows, validation=rows[:0])
        return replace(self, pipeline=replace(own, module=module), split=split)

    @property
    def refits(self) -> bool:
        """Whether a second network is trained on the validation sequences too, for the steps that they chose."""
        if self.task.refit is not None:
            return self.task.refit and len(self.split.validation) > 0
        if isinstance(self.task, Classify) and self.task.wanted is not None:
            # Else the threshold was shown to do for the first network alone.
            return self.task.aim_folds > 0 and len(self.split.validation) > 0
        parts = self.labelled.parts
        own = parts is not None and any(part == "validation" for part in parts)
        return not own and len(self.split.validation) > 0 and len(self.split.train) < FEW

    @property
    def task(self) -> SequenceTask:
        return self.pipeline.task

    @property
    def sha256(self) -> str:
        """Of the files."""
        return self.labelled.sha256

    @property
    def enough(self) -> bool:
        """Whether the validation part can tell one step from another; else the whole schedule is run."""
        return len(self.split.validation) >= ENOUGH

    @property
    def metric(self) -> str:
        """What validation is judged by: as asked, else what these labels are usually judged by, where it is defined."""
        if self.task.metric is not None:
            return self.task.metric
        return "log_loss" if self._undefined(self._usual) else self._usual

    @property
    def _usual(self) -> str:
        targets = self.pipeline.targets
        if targets.kind == "steps":
            return "span_f1" if targets.spans else "accuracy"
        if targets.kind in ("number", "labels"):
            return "rmse" if targets.kind == "number" else "log_loss"
        rare = len(targets.classes) == 2 and min(targets.counts) < RARE * sum(targets.counts)
        return "roc_auc" if targets.kind == "class" and rare else "accuracy"

    def defaults(self) -> dict[str, Any]:
        """What training does where it was not told: by the number of sequences and their steps."""
        count = len(self.split.train)
        batch = 16 if count < 1000 or isinstance(self.task, Label) else 32
        epoch = -(-count // batch)
        # A classifier of texts knows its training part by heart after three or four epochs.
        whole_texts = self.pipeline.modality.features.vocabulary > 0 and isinstance(self.task, Classify)
        steps = int(np.clip((5 if whole_texts else 10) * epoch, 1000, 8000))
        return {
            "batch_size": batch,
            "steps": steps,
            "learning_rate": 2e-3,
            "patience": 0,
            "average": 0.99,
            "evaluate_every": max(1, min(epoch, steps // 12)),
            "truncate": 0,
        }

    def job(self, *, batch_size: int, seed: int, truncate: int = 0) -> SequenceJob:
        """What the training loop trains."""
        if truncate:
            raise ConfigError(f"truncate is {truncate}, and whole sequences are read here; leave it out")
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
            right = float(((stacked >= 0) == (np.stack(truth) >= 0.5)).mean())
            loss = float(np.logaddexp(0, np.where(np.stack(truth) >= 0.5, -stacked, stacked)).mean())
            return {"choice": _choice(right, loss) if name == "accuracy" else loss, "accuracy": right, "log_loss": loss}
        shares = pipeline.probabilities(scores)
        codes = np.array(truth)
        loss = float(-np.log(np.clip(shares[np.arange(len(codes)), codes], 1e-12, None)).mean())
        if name == "log_loss":
            return {"choice": loss, name: loss}
        if name == "accuracy":
            said = median_of(shares) if pipeline.targets.kind == "ordinal" else shares.argmax(1)
            value = float((said == codes).mean())
        else:
            positive = pipeline.positive
            named = None if positive is None else pipeline.targets.classes[positive]
            value = metrics.classification(codes, shares, pipeline.targets.classes, positive=named)[name]
            value = 0.0 if np.isnan(value) else value  # mcc where one class is said of all, as at the start of training
        ranked = name in ("roc_auc", "average_precision")
        return {"choice": 1 - value if ranked else _choice(value, loss), name: value}

    def _steps(self, scores: list[NDArray[np.float64]], truth: Sequence[Any], name: str) -> float:
        paths = self.pipeline.paths(scores)
        if name == "accuracy":
            steps = sum(len(one) for one in truth)
            return sum(int((path == one).sum()) for path, one in zip(paths, truth, strict=True)) / max(1, steps)
        names = self.pipeline.targets.classes
        held = self.pipeline.cut(self.labelled.select(self._validated))
        said = [tuple(names[code] for code in one) for one in paths]
        value = metrics.span_scores(held.labels, said)["span_f1"]  # labels that training never saw among them
        return 0.0 if np.isnan(value) else value

    def calibrate(self) -> None:
        """Find the temperature and the threshold on the validation part, if there is one."""
        pipeline, task = self.pipeline, self.task
        encoded, truth = self.part(self.split.validation)
        if not isinstance(task, Classify) or not encoded or pipeline.targets.kind not in ("class", "labels"):
            return
        scores = np.stack(pipeline.scores(encoded))
        marks = np.stack(truth) if pipeline.targets.kind == "labels" else np.array(truth)
        if task.calibrate:
            found = metrics.fit_temperature(scores, marks)
            pipeline.temperature = found.value
            if found.value < 1 and len(encoded) < SHARPENS:
                pipeline.temperature = 1.0
                few = f"{len(encoded)} validation sequences are too few to make them surer"
                self.notes.append(f"probabilities are left as they are: {few}")
            elif found.note:
                self.notes.append(f"temperature: {found.note}")
        if task.wanted is not None and not task.aim_folds:
            self.choose_threshold(self._validated, list(scores))

    def choose_threshold(self, rows: Sequence[int], scores: Sequence[NDArray[np.float64]]) -> None:
        """What the aim asks for, from the scores of these sequences, which their network did not learn from."""
        pipeline, task = self.pipeline, self.task
        if not isinstance(task, Classify) or task.wanted is None or pipeline.positive is None:
            return
        sure = pipeline.probabilities(scores)[:, pipeline.positive]
        truth = np.array([self.truth[row] == pipeline.positive for row in rows], np.int64)
        named = self.labelled.groups
        groups = None if named is None else np.array([named[row] for row in rows])
        pipeline.chosen = metrics.choose_threshold(truth, sure, task.wanted, bound=task.bound, groups=groups)
        pipeline.threshold = pipeline.chosen.value
        self.notes.append(pipeline.chosen.note)

    def _fold_splits(self) -> list[Split]:
        """``aim_folds`` of the training and validation sequences, the same at every call."""
        task = self.task
        assert isinstance(task, Classify)
        rows = np.sort(np.concatenate([self.split.train, self.split.validation]))
        found = split_examples(
            self.labelled.select(rows), folds=task.aim_folds, validation=0, by_time=task.by_time, own_parts=False
        )
        return [replace(one, train=rows[one.train], validation=rows[:0], test=rows[one.test]) for one in found]

    def folded(self, *, seed: int, modality: Any = None) -> "Iterator[SequenceSetup]":
        """Training and validation sequences in ``aim_folds`` folds: a setup each, which learns from all others and has
        its own as the test part, with a vocabulary, scales and a network of its own. This one's test part is in none.
        """
        task, own = self.task, self.pipeline
        assert isinstance(task, Classify)
        plain = replace(task, aim=None, cost=None, bound="none", aim_folds=0, metric=None)
        for split in self._fold_splits():
            yield SequenceSetup.of(
                plain, own.modality.kind, self.labelled, own.network, seed=seed, split=split, body=self.body,
                modality=modality, targets=own.targets,
            )  # fmt: skip


def _newly_missing(setup: SequenceSetup) -> int:
    """Numbers that are missing in validation and test, where none was in training and so no mask is read."""
    modality = setup.pipeline.modality
    if not isinstance(modality, Records) or modality.masked:
        return 0
    rows = np.concatenate([setup.split.validation, setup.split.test])
    return sum(int(np.isnan(setup.labelled.content[row].numbers).sum()) for row in rows)


def _choice(value: float, loss: float) -> float:
    return 1 - value + LOSS_SHARE * min(loss, 5.0)


def _built(
    modality: Any, task: SequenceTask, targets: Targets, network: Network, *, seed: int, body: Any
) -> SequencePipeline:
    """The pipeline with a network that is not trained."""
    texts = modality.features.vocabulary > 0
    decays = modality.features.masked and not task.convolutions and body is None
    dropout = 0.5 if texts and isinstance(task, Classify) else 0.3 if texts or decays else 0.2
    units = 64 if decays else 200 if texts and isinstance(task, Label) else 128
    network = network.resolved(
        cell="gru_d" if decays else "gru", hidden_size=units, dropout=dropout, bidirectional=True
    )
    vectors = modality.vectors() if modality.kind == "text" else None
    start = None
    if vectors is not None:
        start = torch.from_numpy(np.where(vectors.found[:, None], vectors.matrix, np.nan).astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build(task, modality.features, targets, network, start, body)
    return SequencePipeline(modality, task, network, targets, module)


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
        "steps": ("span_f1", "accuracy") if targets.spans else ("accuracy",),
        "number": ("rmse",),
        "labels": ("log_loss", "accuracy"),
        "class": tuple(name for name in METRICS if name not in ("span_f1", "rmse")),
    }
    allowed = kinds["class" if targets.kind == "ordinal" else targets.kind]
    if metric not in allowed:
        raise ConfigError(f'metric is "{metric}"{did_you_mean(metric, allowed)}; expected one of {", ".join(allowed)}')


def _asked(task: SequenceTask) -> tuple[str, bool | None]:
    return (task.target, None) if isinstance(task, Classify) else ("steps", task.spans)
