"""Scores of a classifier or labeller beside baselines, on sequences that no method had seen."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork.baselines import CLASSIFY_BASELINES, LABEL_BASELINES, Side, run_sequence_baselines
from latchwork.errors import DataError
from latchwork.evaluation.scoreboard import Scoreboard, ScoreRow, Versus
from latchwork.evaluation.sequence_figures import SHOWN, Method, Truth, figures, main_of, paired
from latchwork.metrics import LOWER_IS_BETTER
from latchwork.sequences import Labelled
from latchwork.tasks import Classify, SequencePipeline, SequenceSetup
from latchwork.tasks.sequence_setup import RARE

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Progress = Callable[[str, float], None]
MOST_CLASSES = 40
"""Of more the confusion is not kept: nobody could read it."""


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
    aimed = kind == "class" and isinstance(pipeline.task, Classify) and pipeline.task.wanted is not None
    codes = np.array(truth, np.int64)
    return Truth(kind, codes, entities, targets.classes, positive=positive, rare=rare, aimed=aimed)


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


def scoreboard(truth: Truth, methods: Sequence[Method], count: int, notes: Sequence[str]) -> Scoreboard:
    """Figures of every method, intervals of the main one, the model against each other method."""
    main, notes = main_of([truth]), [*notes, *_unknown(truth)]
    titles: dict[str, str] = {}
    rows: list[ScoreRow] = []
    model = next(one for one in methods if one.model)
    details: Any = None
    undefined = ""
    for method in methods:
        if method.sure is None:
            rows.append(ScoreRow(method.name, method.model, {}, note=method.note, oracle=method.oracle))
            continue
        scores, interval = figures(truth, method, main)
        titles.update(scores.labels)
        missing = [note for name, note in scores.notes.items() if name in SHOWN[truth.kind] and method.model]
        told = [method.note, *missing, scores.notes.get("interval", "")]
        note = "; ".join(dict.fromkeys(filter(None, told)))
        values = {name: scores.values.get(name, math.nan) for name in SHOWN[truth.kind]}
        rows.append(ScoreRow(method.name, method.model, values, interval.lower, interval.upper, note, method.oracle))
        if method is model:
            details, undefined = scores, scores.notes.get(main, "").removeprefix("undefined: ")
    sign = 1 if main in LOWER_IS_BETTER else -1
    rows.sort(key=lambda row: (math.isnan(row.values.get(main, math.nan)), sign * row.values.get(main, 0.0)))
    rivals = [one for one in methods if not one.model and not one.oracle and one.sure is not None]
    versus = [_versus(truth, model, one, main) for one in rivals]
    confusion, table = _details(details, truth)
    unit = "entity" if len(np.unique(truth.groups)) < count else "sequence"
    return Scoreboard(
        tuple(rows), main, SHOWN[truth.kind], titles, tuple(versus), count, unit, tuple(notes),
        truth.classes, table, confusion, undefined,
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


def _versus(truth: Truth, model: Method, rival: Method, main: str) -> Versus:
    found = paired(truth, [model], [rival], main)
    return Versus(rival.name, found.value, found.lower, found.upper, found.p)


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
