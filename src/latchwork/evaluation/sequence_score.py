"""Scores of a classifier or labeller beside baselines, on sequences that no method had seen."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork import metrics as numbers
from latchwork.baselines import CLASSIFY_BASELINES, LABEL_BASELINES, Side, run_sequence_baselines
from latchwork.errors import DataError
from latchwork.evaluation.scoreboard import Scoreboard, ScoreRow, Versus
from latchwork.metrics import LOWER_IS_BETTER
from latchwork.sequences import Labelled
from latchwork.tasks import SequencePipeline, SequenceSetup
from latchwork.tasks.sequence_pipeline import median_of
from latchwork.tasks.sequence_setup import RARE

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Progress = Callable[[str, float], None]
SAMPLES = 1000
SHOWN = {
    "class": ("accuracy", "balanced_accuracy", "f1", "roc_auc", "average_precision", "log_loss"),
    "several": ("accuracy", "balanced_accuracy", "f1", "mcc", "log_loss"),
    "labels": ("f1_micro", "f1_macro", "subset_accuracy", "hamming"),
    "ordinal": ("quadratic_kappa", "mae_steps", "accuracy"),
    "number": ("rmse", "mae", "r2", "spearman"),
    "spans": ("span_f1", "span_precision", "span_recall", "step_accuracy"),
    "steps": ("accuracy", "balanced_accuracy", "f1"),
}
MOST_CLASSES = 40
"""Of more the confusion is not kept: nobody could read it."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What the scored sequences are, in the form that figures take.

    kind    class, several, labels, ordinal, number, spans or steps
    values  class numbers [n], marks [n, classes], numbers [n], or for steps the class number of every step
    names   steps: the true label of each step of each sequence; one that training never saw has the number -1
    groups  [n] whom each value belongs to: entities, else sequences (of all its steps)
    rare    of two classes one was rare in training
    """

    kind: str
    values: Any
    groups: NDArray[Any]
    classes: tuple[str, ...]
    names: tuple[tuple[str, ...], ...] = ()
    positive: str | None = None
    rare: bool = False


@dataclass(frozen=True, eq=False)
class Method:
    """One method's answers. sure: probabilities [n, classes] ([steps, classes]); numbers [n]; None where it has none.
    said: what it says, where that is not the most probable class: class numbers, or for spans labels of each sequence.
    """

    name: str
    sure: Array | None
    said: Any = None
    note: str = ""
    model: bool = False
    threshold: float | None = None


@dataclass(frozen=True, eq=False)
class SequenceEvaluation:
    """The scoreboard and what it was made from, for the report."""

    scoreboard: Scoreboard
    truth: Truth
    methods: tuple[Method, ...]
    rows: Rows


def score_sequences(
    setup: SequenceSetup, *, baselines: bool = True, progress: Progress | None = None, rivals: Sequence[Method] = ()
) -> SequenceEvaluation:
    """The model and its baselines on the test part, once. rivals: other answers to the same sequences."""
    rows = np.array([row for row in setup.split.test if setup.truth[row] is not None], np.int64)
    if not len(rows):
        raise DataError("no held-back sequence has a label, so there is nothing to score on")
    truth = truth_of(setup.pipeline, setup.labelled.select(rows), [setup.truth[row] for row in rows])
    methods = [model_method(setup.pipeline, [setup.encoded[row] for row in rows], truth), *rivals]
    if baselines:
        methods += baseline_methods(setup, rows, truth, progress)
    notes = list(setup.notes)
    return SequenceEvaluation(scoreboard(truth, methods, len(rows), notes), truth, tuple(methods), rows)


def score_labelled(pipeline: SequencePipeline, labelled: Labelled) -> SequenceEvaluation:
    """The model alone on other sequences."""
    rows = np.array([row for row, label in enumerate(labelled.labels) if label is not None], np.int64)
    if not len(rows):
        raise DataError("no sequence has a label, so there is nothing to score on")
    chosen = labelled.select(rows)
    encoded = pipeline.encode(chosen)
    truth = truth_of(pipeline, chosen, pipeline.truth(chosen))
    method = model_method(pipeline, encoded, truth)
    return SequenceEvaluation(scoreboard(truth, [method], len(rows), []), truth, (method,), rows)


def truth_of(pipeline: SequencePipeline, labelled: Labelled, truth: Sequence[Any]) -> Truth:
    """The truth of labelled sequences, from what :meth:`SequencePipeline.truth` gave."""
    targets = pipeline.targets
    entities = np.array(labelled.groups if labelled.groups is not None else labelled.ids)
    positive = None if pipeline.positive is None else targets.classes[pipeline.positive]
    if targets.kind == "steps":
        names = tuple(tuple(map(str, label)) for label in pipeline.cut(labelled).labels)
        groups = np.repeat(entities, [len(one) for one in truth])
        kind = "spans" if targets.spans else "steps"
        return Truth(kind, np.concatenate(truth), entities if targets.spans else groups, targets.classes, names)
    if targets.kind == "number":
        values = np.array(truth) * targets.spread + targets.center
        return Truth("number", values, entities, ())
    if targets.kind == "labels":
        return Truth("labels", np.stack(truth), entities, targets.classes)
    kind = "ordinal" if targets.kind == "ordinal" else "class" if len(targets.classes) == 2 else "several"
    rare = kind == "class" and min(targets.counts) < RARE * sum(targets.counts)
    return Truth(kind, np.array(truth, np.int64), entities, targets.classes, positive=positive, rare=rare)


def model_method(pipeline: SequencePipeline, encoded: Sequence[Any], truth: Truth, name: str = "latchwork") -> Method:
    """A pipeline's answers."""
    scores = pipeline.scores(encoded)
    answers = pipeline.decode(scores)
    if truth.kind == "number":
        return Method(name, np.array(answers.labels), model=True)
    if truth.kind in ("spans", "steps"):
        flat = np.concatenate(answers.probabilities) if answers.probabilities else np.zeros((0, len(truth.classes)))
        return Method(name, flat, answers.labels, model=True)
    code = {one: index for index, one in enumerate(truth.classes)}
    said = None if truth.kind == "labels" else np.array([code[label] for label in answers.labels], np.int64)
    return Method(name, answers.probabilities, said, model=True, threshold=pipeline.threshold)


def baseline_methods(setup: SequenceSetup, rows: Rows, truth: Truth, progress: Progress | None = None) -> list[Method]:
    """The answers of every baseline that applies, fitted on the training part, to these rows."""
    steps = truth.kind in ("spans", "steps")
    kind = setup.pipeline.targets.kind

    def side(chosen: Rows, *, learned: bool = False) -> Side:
        part = setup.pipeline.cut(setup.labelled.select(chosen))  # as long as they were encoded
        if kind == "labels":
            marks = [setup.truth[row] for row in chosen]
            part = replace(
                part,
                labels=tuple(
                    None if one is None else tuple(n for n, m in zip(truth.classes, one, strict=True) if m)
                    for one in marks
                ),
            )
        if kind == "number":
            part = replace(part, labels=tuple(None if one is None else float(one) for one in part.labels))
        if kind == "ordinal":
            part = replace(
                part, labels=tuple(None if (c := setup.truth[row]) is None else truth.classes[c] for row in chosen)
            )
        return Side(part, [setup.encoded[row] for row in chosen], learned)

    train, test = side(setup.split.train), side(rows)
    validation = side(setup.split.validation, learned=setup.refits)
    which = LABEL_BASELINES if steps else CLASSIFY_BASELINES
    found = run_sequence_baselines(train, validation, test, truth.classes, baselines=which, progress=progress)
    return [Method(one.name, one.probabilities, None, one.note) for one in found]


# ---- figures


def scoreboard(truth: Truth, methods: Sequence[Method], count: int, notes: Sequence[str]) -> Scoreboard:
    """Figures of every method, intervals of the main one, the model against each other method."""
    main, notes = main_of([truth]), [*notes, *_unknown(truth)]
    titles: dict[str, str] = {}
    rows: list[ScoreRow] = []
    model = next(one for one in methods if one.model)
    details: Any = None
    for method in methods:
        if method.sure is None:
            rows.append(ScoreRow(method.name, method.model, {}, note=method.note))
            continue
        scores, interval = figures(truth, method, main)
        titles.update(scores.labels)
        missing = [note for name, note in scores.notes.items() if name in SHOWN[truth.kind]]
        note = "; ".join(dict.fromkeys(filter(None, [method.note, *(missing if method.model else [])])))
        values = {name: scores.values.get(name, math.nan) for name in SHOWN[truth.kind]}
        rows.append(ScoreRow(method.name, method.model, values, interval.lower, interval.upper, note))
        if method is model:
            details = scores
    sign = 1 if main in LOWER_IS_BETTER else -1
    rows.sort(key=lambda row: (math.isnan(row.values.get(main, math.nan)), sign * row.values.get(main, 0.0)))
    versus = [_versus(truth, model, one, main) for one in methods if not one.model and one.sure is not None]
    confusion, table = _details(details, truth)
    unit = "entity" if len(np.unique(truth.groups)) < count else "sequence"
    return Scoreboard(
        tuple(rows), main, SHOWN[truth.kind], titles, tuple(versus), count, unit, tuple(notes),
        truth.classes, table, confusion,
    )  # fmt: skip


def _unknown(truth: Truth) -> list[str]:
    """How many steps have a label that training never saw."""
    known = set(truth.classes)
    names = [name for one in truth.names for name in one if name not in known]
    if not names:
        return []
    shown = ", ".join(f'"{name}"' for name in dict.fromkeys(names[:3]))
    steps = "1 step has" if len(names) == 1 else f"{len(names):,} steps have"
    return [f"{steps} a label that training never saw ({shown}): no answer is right there"]


def main_of(truths: Sequence[Truth]) -> str:
    """The figure that decides; of two classes, one of them rare in training, the ROC-AUC."""
    if truths[0].kind != "class":
        return SHOWN[truths[0].kind][0]
    return "roc_auc" if any(truth.rare for truth in truths) else "accuracy"


def figures(truth: Truth, method: Method, main: str) -> tuple[numbers.Scores, numbers.Interval]:
    """All figures of one method, and the interval of the main one."""
    sure, classes = method.sure, truth.classes
    assert sure is not None
    match truth.kind:
        case "number":
            scores = numbers.number(truth.values, sure)
            found = numbers.score_intervals(
                lambda rows: numbers.number(truth.values[rows], sure[rows]), truth.groups, names=[main], samples=200
            )
            return scores, found[main]
        case "labels":
            found = numbers.bootstrap_sums(
                _parts(truth, method, main), _micro, truth.groups, samples=SAMPLES, within=(0.0, 1.0)
            )
            return numbers.multi_label(truth.values, sure, classes), found
        case "ordinal":
            said = said_of(truth, method)
            scores = numbers.ordinal(truth.values, said, classes)
            found = numbers.score_intervals(
                lambda rows: numbers.ordinal(truth.values[rows], said[rows], classes),
                truth.groups,
                names=[main],
                samples=200,
            )
            return scores, found[main]
        case "spans":
            spans = numbers.span_scores(truth.names, tags_of(truth, method))
            return spans, spans.interval(main, truth.groups)
        case "steps":
            return _figures_of_steps(truth, method, main)
    values, groups = truth.values, truth.groups
    options: dict[str, Any] = {"positive": truth.positive, "threshold": method.threshold}
    sure = sure / sure.sum(1, keepdims=True)
    scores = numbers.classification(values, sure, classes, **options)
    found = numbers.classification_intervals(values, sure, classes, groups, names=[main], samples=SAMPLES, **options)
    return scores, found[main]


def _figures_of_steps(truth: Truth, method: Method, main: str) -> tuple[numbers.Scores, numbers.Interval]:
    """Figures of what is said of each step; a step whose label training never saw is wrong, and in no class."""
    known = truth.values >= 0
    code = {one: index for index, one in enumerate(truth.classes)}
    said = np.array([code[label] for one in tags_of(truth, method) for label in one], np.int64)
    if not known.any():
        raise DataError("training saw none of these labels, so there is nothing to score on; is it another file's?")
    scores = numbers.classification(truth.values[known], np.eye(len(code))[said[known]], truth.classes)
    right = _parts(truth, method, "accuracy")
    scores.values["accuracy"] = float(right[:, 0].mean())
    return scores, numbers.bootstrap_sums(
        right, lambda sums: sums[..., 0] / sums[..., 1], truth.groups, samples=SAMPLES, within=(0.0, 1.0)
    )


def said_of(truth: Truth, method: Method) -> NDArray[np.int64]:
    """[n] the class that a method says, as a number."""
    assert method.sure is not None
    if method.said is not None:
        return method.said
    return median_of(method.sure) if truth.kind == "ordinal" else method.sure.argmax(1)


def tags_of(truth: Truth, method: Method) -> list[tuple[str, ...]]:
    """The labels that a method gives to the steps of each sequence."""
    if method.said is not None:
        return method.said
    assert method.sure is not None
    names = np.array(truth.classes)[method.sure.argmax(1)]
    ends = np.cumsum([len(one) for one in truth.names])[:-1]
    return [tuple(part.tolist()) for part in np.split(names, ends)]


def _versus(truth: Truth, model: Method, rival: Method, main: str) -> Versus:
    found = paired(truth, [model], [rival], main)
    return Versus(rival.name, found.value, found.lower, found.upper, found.p)


def paired(truth: Truth, first: Sequence[Method], second: Sequence[Method], main: str) -> numbers.Difference:
    """First less second in the main figure, on the same draws of sequences, or of entities. Of several methods each (a
    network trained with several seeds) the mean of their figures counts.
    """
    if main in _FIGURES:
        parts = [[_parts(truth, one, main) for one in side] for side in (first, second)]
        figure = _FIGURES[main]
        return numbers.paired_difference(
            lambda weights: float(np.mean([figure(weights @ one) for one in parts[0]])),
            lambda weights: float(np.mean([figure(weights @ one) for one in parts[1]])),
            truth.groups,
            samples=SAMPLES,
        )
    of_rows = [[_figure(truth, one, main) for one in side] for side in (first, second)]
    return numbers.paired_difference(
        lambda rows: float(np.mean([figure(rows) for figure in of_rows[0]])),
        lambda rows: float(np.mean([figure(rows) for figure in of_rows[1]])),
        truth.groups,
        takes="rows",
        samples=300,
    )


def _parts(truth: Truth, method: Method, main: str) -> Array:
    """[rows, parts] whose sums make the figure."""
    assert method.sure is not None
    if main == "span_f1":
        return numbers.span_scores(truth.names, tags_of(truth, method)).counts.sum(1).astype(np.float64)
    if main == "f1_micro":
        said, true = method.sure >= 0.5, truth.values > 0
        return np.stack([(said & true).sum(1), said.sum(1), true.sum(1)], 1).astype(np.float64)
    if main == "rmse":
        wrong = (truth.values - method.sure) ** 2
        return np.stack([wrong, np.ones_like(wrong)], 1)
    if truth.kind == "steps":
        said = np.concatenate([np.array(one) for one in tags_of(truth, method)])
        right = said == np.concatenate([np.array(one) for one in truth.names])
    else:
        right = said_of(truth, method) == truth.values
    return np.stack([right.astype(np.float64), np.ones(len(right))], 1)


def _micro(parts: Array) -> Array:
    """F1 of sums of (right, said, true), [..., 3]."""
    both = parts[..., 1] + parts[..., 2]
    return 2 * parts[..., 0] / np.where(both == 0, np.nan, both)


_FIGURES: dict[str, Callable[[Array], float]] = {
    "accuracy": lambda parts: float(parts[0] / parts[1]) if parts[1] else math.nan,
    "rmse": lambda parts: math.sqrt(parts[0] / parts[1]) if parts[1] else math.nan,
    "span_f1": lambda parts: float(_micro(parts)),
    "f1_micro": lambda parts: float(_micro(parts)),
}


def _figure(truth: Truth, method: Method, main: str) -> Callable[[Rows], float]:
    sure = method.sure
    assert sure is not None
    match truth.kind:
        case "ordinal":
            said = said_of(truth, method)
            return lambda rows: numbers.ordinal(truth.values[rows], said[rows], truth.classes)[main]
    positive = sure[:, truth.classes.index(truth.positive or truth.classes[1])]
    marks = truth.values == truth.classes.index(truth.positive or truth.classes[1])
    return lambda rows: _area(marks[rows], positive[rows])


def _area(marks: NDArray[np.bool_], scores: Array) -> float:
    """ROC-AUC by ranks, ties half."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positive = int(marks.sum())
    rest = len(marks) - positive
    if not positive or not rest:
        return math.nan
    return float((ranks[marks].sum() - positive * (positive + 1) / 2) / (positive * rest))


def _details(scores: Any, truth: Truth) -> tuple[tuple[tuple[int, ...], ...], tuple[dict[str, Any], ...]]:
    """Confusion and the figures of each class, where there are any."""
    confusion = getattr(scores, "confusion", None)
    kept: tuple[tuple[int, ...], ...] = ()
    if confusion is not None and len(truth.classes) <= MOST_CLASSES:
        kept = tuple(tuple(int(cell) for cell in row) for row in confusion)
    table = getattr(scores, "table", None)
    if not table:
        return kept, ()
    names = getattr(scores, "kinds", None) or truth.classes
    columns = {name: np.asarray(table[name]) for name in ("precision", "recall", "f1", "support") if name in table}
    rows = [
        {"class": name, **{column: float(values[index]) for column, values in columns.items()}}
        for index, name in enumerate(names)
    ]
    return kept, tuple(rows)
