"""What the report of a classifier or labeller is made from, and the numbers that its pictures show."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from latchwork import metrics as numbers
from latchwork.evaluation.leaks import Finding
from latchwork.evaluation.report_view import Trained
from latchwork.evaluation.scoreboard import Scoreboard
from latchwork.evaluation.sequence_figures import Method, Truth, said_of, tags_of
from latchwork.evaluation.sequence_score import SequenceEvaluation
from latchwork.evaluation.svg_ticks import number
from latchwork.metrics import Interval, Reliability
from latchwork.tasks import SequenceSetup
from latchwork.tasks.targets import UNKNOWN
from latchwork.training import Outcome, Training

Array = NDArray[np.float64]
PARTS = ("training", "validation", "test")
MOST_MISTAKES = 12
MOST_CURVES = 6
EXAMPLES = 6
WINDOW = 40
"""Steps of an example that are shown, from a little before the first mistake."""

FIGURES = ("recall", "precision", "specificity")
WHOLE = ("class", "several", "ordinal", "labels")
"""Kinds of truth that stand for whole sequences and have classes."""


@dataclass(frozen=True)
class SequenceReport:
    """All that a report of a classifier or labeller tells of.

    config   the run's options as TOML
    command  what to type next
    more     sections that others have made
    """

    setup: SequenceSetup
    training: Training
    outcome: Outcome
    evaluation: SequenceEvaluation | None
    findings: Sequence[Finding]
    config: str
    command: str = ""
    more: Sequence[Element] = ()


class Mistake(NamedTuple):
    """A sequence that the model gets wrong. sure: how probable it held what it said; of a number: how far it is off."""

    row: int
    true: str
    said: str
    sure: float


class Example(NamedTuple):
    """Some steps of a labelled sequence: the first of them, what is true, what was said, and why it is shown."""

    row: int
    start: int
    true: tuple[str, ...]
    said: tuple[str, ...]
    why: str


class Kind(NamedTuple):
    """Spans of one kind: how many are true, said and right."""

    name: str
    true: int
    said: int
    right: int


class SequenceView(Trained):
    """A report's numbers, each made once when first asked for."""

    def __init__(self, report: SequenceReport) -> None:
        super().__init__(report.outcome, report.training)
        self.report, self.setup = report, report.setup
        self.pipeline, self.labelled = report.setup.pipeline, report.setup.labelled
        self.targets, self.task, self.kind = self.pipeline.targets, report.setup.task, self.pipeline.modality.kind

    @property
    def source(self) -> str:
        """What a figure is traced by."""
        config = hashlib.sha256(self.report.config.encode()).hexdigest()
        return f"data {self.labelled.sha256[:8]} · config {config[:8]} · seed {self.options.seed}"

    @property
    def refitted(self) -> bool:
        """Whether the weights come from a second training, on the validation sequences too."""
        return self.setup.refits and bool(self.outcome.best_step) and self.outcome.stopped != "interrupted"

    @cached_property
    def name(self) -> str:
        """The files that the sequences come from."""
        names = list(dict.fromkeys(place.partition(":")[0] for place in self.labelled.places))
        return ", ".join(names) if len(names) <= 3 else f"{len(names):,} files"

    @property
    def evaluation(self) -> SequenceEvaluation:
        """Only to be asked for where there is one."""
        assert self.report.evaluation is not None
        return self.report.evaluation

    @property
    def board(self) -> Scoreboard:
        return self.evaluation.scoreboard

    @property
    def truth(self) -> Truth:
        return self.evaluation.truth

    @property
    def title(self) -> str:
        """How the figure that decides is called."""
        return self.board.titles[self.board.main]

    @cached_property
    def model(self) -> Method:
        """The model's answers."""
        return next(one for one in self.evaluation.methods if one.model)

    @cached_property
    def rival(self) -> Method | None:
        """The answers of the best of the others."""
        best = self.board.best
        return None if best is None else next(one for one in self.evaluation.methods if one.name == best.name)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.truth.classes

    # Parts

    def part(self, name: str) -> NDArray[np.int64]:
        """The rows of a part."""
        split = self.setup.split
        return {"training": split.train, "validation": split.validation, "test": split.test}[name]

    def lengths(self, name: str) -> NDArray[np.int64]:
        """Steps of each sequence of a part, as the network reads them."""
        return np.array([len(self.setup.encoded[row]) for row in self.part(name)], np.int64)

    def counts(self, name: str) -> tuple[NDArray[np.int64], int]:
        """(how often each label stands in a part, labels there that training never saw)."""
        truth = [self.setup.truth[row] for row in self.part(name) if self.setup.truth[row] is not None]
        size = len(self.targets.classes)
        if not truth or not size:
            return np.zeros(size, np.int64), 0
        if self.targets.kind == "labels":
            return np.stack(truth).sum(0).astype(np.int64), 0
        codes = np.concatenate(truth) if self.targets.kind == "steps" else np.array(truth, np.int64)
        return np.bincount(codes[codes != UNKNOWN], minlength=size), int((codes == UNKNOWN).sum())

    # Classes

    @cached_property
    def confusion(self) -> NDArray[np.int64] | None:
        """[true, said] counts; None where there are no classes, or too many to read."""
        if self.board.confusion:
            return np.array(self.board.confusion, np.int64)
        if self.truth.kind != "ordinal":
            return None
        size = len(self.classes)
        pairs = size * self.truth.values + said_of(self.truth, self.model)
        return np.bincount(pairs, minlength=size * size).reshape(size, size)

    @cached_property
    def kinds(self) -> list[Kind]:
        """Spans by their kind, the most frequent first."""
        if self.truth.kind != "spans":
            return []
        scores = numbers.span_scores(self.truth.names, tags_of(self.truth, self.model))
        right, said, true = scores.counts.sum(0).T
        found = [
            Kind(name, int(t), int(s), int(r)) for name, t, s, r in zip(scores.kinds, true, said, right, strict=True)
        ]
        return sorted(found, key=lambda kind: -kind.true)

    # Curves

    @cached_property
    def curve_classes(self) -> list[int]:
        """The classes that curves are drawn of: the one asked about, else the most frequent that can be ranked."""
        truth = self.truth
        if truth.kind not in ("class", "several", "labels", "steps") or self.model.sure is None:
            return []
        if truth.kind == "class":
            positive = truth.classes.index(truth.positive or truth.classes[1])
            return [positive] if 0 < self.marks(positive)[0].mean() < 1 else []
        counts = [int(self.marks(one)[0].sum()) for one in range(len(truth.classes))]
        some = [one for one in np.argsort(counts, kind="stable")[::-1].tolist() if counts[one]]
        some = [one for one in some if counts[one] < len(self.marks(one)[0])]
        return some[1:2] if len(truth.classes) == 2 and truth.kind != "labels" else some[:MOST_CURVES]

    def marks(self, one: int, method: Method | None = None) -> tuple[NDArray[np.int64], Array]:
        """([n] whether it is this class, [n] how probable a method holds that), of all that have a known label."""
        truth, sure = self.truth, (method or self.model).sure
        assert sure is not None
        if truth.kind == "labels":
            return truth.values[:, one].astype(np.int64), sure[:, one]
        known = truth.values != UNKNOWN
        return (truth.values[known] == one).astype(np.int64), sure[known, one]

    # Calibration

    @cached_property
    def reliability(self) -> list[tuple[str, Reliability]]:
        """(before and after, or alone; how often what was held so probable came true), on the test part."""
        truth, sure, heat = self.truth, self.model.sure, self.pipeline.temperature
        if sure is None or truth.kind not in (*WHOLE, "steps") or not len(self.promised(sure)[0]):
            return []
        if heat == 1:
            return [("alone", self._reliability(sure))]
        # Dividing logits by T takes probabilities to the power 1 / T: so back, no network needs to run again.
        if truth.kind == "labels":
            odds = np.log(np.clip(sure, 1e-300, None)) - np.log(np.clip(1 - sure, 1e-300, None))
            before = np.exp(-np.logaddexp(0.0, -heat * odds))
        else:
            logs = heat * np.log(np.clip(sure, 1e-300, None))
            before = np.exp(logs - logs.max(1, keepdims=True))
            before /= before.sum(1, keepdims=True)
        return [("before", self._reliability(before)), ("after", self._reliability(sure))]

    def _reliability(self, sure: Array) -> Reliability:
        return numbers.reliability(*self.promised(sure), bins=10, binning="width")

    def promised(self, sure: Array | None) -> tuple[Array, NDArray[np.int64]]:
        """(probabilities given, whether each came true): of the class asked about, else of the most probable one, else
        of every label; steps whose label training never saw are left out."""
        truth = self.truth
        assert sure is not None
        if truth.kind == "labels":
            return sure.ravel(), truth.values.ravel().astype(np.int64)
        known = truth.values != UNKNOWN
        values, sure = truth.values[known], sure[known]
        if truth.kind == "class" and truth.positive is not None:
            positive = truth.classes.index(truth.positive)
            return sure[:, positive], (values == positive).astype(np.int64)
        top = sure.argmax(1)
        return sure[np.arange(len(top)), top], (top == values).astype(np.int64)

    # Threshold

    @cached_property
    def reached(self) -> dict[str, Interval]:
        """Recall, precision, specificity, and the cost where that is the aim, on the test part; empty but for two."""
        truth = self.truth
        if truth.kind != "class" or truth.positive is None:
            return {}
        true = truth.values == truth.classes.index(truth.positive)
        said = said_of(truth, self.model) == truth.classes.index(truth.positive)
        pairs = {
            "recall": (said & true, true),
            "precision": (said & true, said),
            "specificity": (~said & ~true, ~true),
        }
        found = {name: numbers.share(right, of, truth.groups) for name, (right, of) in pairs.items()}
        chosen = self.pipeline.chosen
        if chosen is not None and chosen.aim.figure is None:
            cost = chosen.aim.miss * (~said & true) + chosen.aim.alarm * (said & ~true)
            found["cost"] = numbers.bootstrap_sums(
                np.stack([cost, np.ones_like(cost)], 1), lambda sums: sums[..., 0] / sums[..., 1], truth.groups
            )
        return found

    # Sequences to show

    def mistakes(self) -> tuple[list[Mistake], int]:
        """(those that the model was surest of, the surest first; how many there are)."""
        truth, rows = self.truth, self.evaluation.rows
        if truth.kind == "number":
            assert self.model.sure is not None
            wrong = np.abs(self.model.sure - truth.values)
            order = np.argsort(-wrong, kind="stable")[:MOST_MISTAKES]
            pairs = [(number(float(truth.values[at])), number(float(self.model.sure[at])), at) for at in order]
            return [Mistake(int(rows[at]), true, said, float(wrong[at])) for true, said, at in pairs], len(wrong)
        if truth.kind not in WHOLE or self.model.sure is None:
            return [], 0
        sure = self.model.sure
        if truth.kind == "labels":
            said = sure >= 0.5
            off = said != (truth.values > 0)
            doubt = np.where(off, np.abs(sure - 0.5) + 0.5, 0.0).max(1, initial=0.0)
            names = [(self._several(truth.values[at] > 0), self._several(said[at])) for at in range(len(said))]
        else:
            codes = said_of(truth, self.model)
            off = (codes != truth.values)[:, None]
            doubt = sure[np.arange(len(codes)), codes]
            names = [(self.classes[t], self.classes[s]) for t, s in zip(truth.values, codes, strict=True)]
        wrong = np.flatnonzero(off.any(1))
        order = wrong[np.argsort(-doubt[wrong], kind="stable")][:MOST_MISTAKES]
        return [Mistake(int(rows[at]), names[at][0], names[at][1], float(doubt[at])) for at in order], len(wrong)

    def _several(self, marks: Any) -> str:
        return ", ".join(name for name, mark in zip(self.classes, marks, strict=True) if mark) or "none"

    def examples(self) -> list[Example]:
        """Labelled sequences from the one with most mistakes to one with few, and one that is all right."""
        truth = self.truth
        if truth.kind not in ("spans", "steps"):
            return []
        said = tags_of(truth, self.model)
        wrong = np.array(
            [sum(a != b for a, b in zip(t, s, strict=True)) for t, s in zip(truth.names, said, strict=True)]
        )
        steps = np.array([len(one) for one in truth.names])
        bad = np.flatnonzero(wrong)
        bad = bad[np.argsort(-wrong[bad] / steps[bad], kind="stable")]
        chosen = [
            (int(bad[at]), "") for at in np.unique(np.linspace(0, len(bad) - 1, EXAMPLES - 1).astype(int)) if len(bad)
        ]
        right = np.flatnonzero((wrong == 0) & (steps > 0))
        if len(right):  # the longest of the right ones that fits
            chosen.append((int(right[np.argmax(np.minimum(steps[right], WINDOW // 2))]), "all right"))
        found = []
        for at, why in chosen:
            first = next((i for i, (a, b) in enumerate(zip(truth.names[at], said[at], strict=True)) if a != b), 0)
            start = 0 if self.kind != "text" or steps[at] <= WINDOW else max(0, min(first - 8, steps[at] - WINDOW))
            stop = start + WINDOW if self.kind == "text" else int(steps[at])
            row = int(self.evaluation.rows[at])
            why = why or f"{wrong[at]:,} of {steps[at]:,} steps wrong"
            found.append(Example(row, int(start), truth.names[at][start:stop], tuple(said[at][start:stop]), why))
        return found
