"""Scores of a translator beside baselines, on sources that no method had seen, and what it loses by hearing itself."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork import metrics
from latchwork.baselines import Side, run_text_baselines
from latchwork.errors import DataError
from latchwork.evaluation.scoreboard import Scoreboard, ScoreRow, Versus
from latchwork.metrics import TextScore
from latchwork.sequences import Labelled
from latchwork.tasks import Translate, TranslatePipeline, TranslateSetup, Translation
from latchwork.tasks.translate_exposure import Exposure, exposure
from latchwork.tasks.translate_setup import judge

Progress = Callable[[str, float], None]
TITLES = {
    "bleu": "BLEU",
    "chrf": "chrF2",
    "rouge_l": "ROUGE-L",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "repeated": "repeated 4-grams, %",
    "copied": "copied words, %",
}
EXPOSED = 300
"""Pairs of the test part by which is told what the model loses by hearing itself."""


@dataclass(frozen=True, eq=False)
class Said:
    """One method's texts; None where it gave none."""

    name: str
    texts: Sequence[str] | None
    note: str = ""
    model: bool = False
    oracle: bool = False


@dataclass(frozen=True, eq=False)
class TranslationEvaluation:
    """The scoreboard and what it was made from.

    task      what was asked
    labelled  what was answered, with its references
    answers   the model's best answer to each
    exposure  None where nothing was told of it
    """

    task: Translate
    scoreboard: Scoreboard
    methods: tuple[Said, ...]
    labelled: Labelled
    answers: tuple[Translation, ...]
    exposure: Exposure | None


def score_translations(
    setup: TranslateSetup, *, baselines: bool = True, progress: Progress | None = None
) -> TranslationEvaluation:
    """The model and its baselines on the test part, once."""
    rows = _known(setup.labelled, setup.split.test)
    if not len(rows):
        raise DataError("no held-back source has a target, so there is nothing to score on")
    test = setup.labelled.select(rows)
    model, answers = _model(setup.pipeline, test, progress)
    methods = [model]
    if baselines:
        train = setup.labelled.select(_known(setup.labelled, setup.split.train))
        found = run_text_baselines(Side(train), Side(test), metrics.closeness, progress=progress)
        methods += [Said(one.name, one.texts, one.note, oracle=one.oracle) for one in found]
    return _evaluation(setup.pipeline, methods, test, answers, setup.notes, progress)


def score_translated(pipeline: TranslatePipeline, labelled: Labelled) -> TranslationEvaluation:
    """The model alone on other pairs."""
    labelled = labelled.select(_known(labelled, np.arange(len(labelled))))
    if not len(labelled):
        raise DataError("no source has a target, so there is nothing to score on")
    model, answers = _model(pipeline, labelled, None)
    return _evaluation(pipeline, [model], labelled, answers, [], None)


def _known(labelled: Labelled, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.array([row for row in rows.tolist() if labelled.labels[row] is not None], np.int64)


def _model(
    pipeline: TranslatePipeline, labelled: Labelled, progress: Progress | None
) -> tuple[Said, tuple[Translation, ...]]:
    if progress is not None:
        progress("translating", 0.0)
    answers = tuple(several[0] for several in pipeline.translate(labelled))
    if progress is not None:
        progress("translating", 1.0)
    return Said("latchwork", [one.text for one in answers], model=True), answers


def figures_of(task: Translate, texts: Sequence[str], labelled: Labelled) -> dict[str, TextScore]:
    """The figures of some texts by their names, the main one first."""
    references, main = labelled.labels, task.metric
    assert main is not None
    if main == "rouge_l":
        found = metrics.rouge(texts, references)
        figures = {"rouge_l": found["rougeL"], "rouge1": found["rouge1"], "rouge2": found["rouge2"]}
    else:
        other = "chrf" if main == "bleu" else "bleu"
        figures = {name: judge(task, texts, references, name) for name in (main, other)}
    figures["repeated"] = metrics.repeated(texts)
    if all(isinstance(one, str) for one in labelled.content):
        figures["copied"] = metrics.copied(texts, labelled.content)
    return figures


def _evaluation(
    pipeline: TranslatePipeline,
    methods: Sequence[Said],
    labelled: Labelled,
    answers: tuple[Translation, ...],
    notes: Sequence[str],
    progress: Progress | None,
) -> TranslationEvaluation:
    main = pipeline.task.metric
    assert main is not None
    groups = None if labelled.groups is None else np.unique(labelled.groups, return_inverse=True)[1]
    scored = [(one, None if one.texts is None else figures_of(pipeline.task, one.texts, labelled)) for one in methods]
    own = scored[0][1]
    assert own is not None
    rows, versus = [], []
    for method, figures in scored:
        if figures is None:
            rows.append(ScoreRow(method.name, False, {}, note=method.note, oracle=method.oracle))
            continue
        between = figures[main].interval(groups)
        values = {name: one.value for name, one in figures.items()}
        rows.append(
            ScoreRow(method.name, method.model, values, between.lower, between.upper, method.note, oracle=method.oracle)
        )
        if not method.model and not method.oracle:
            found = own[main].minus(figures[main], groups)
            versus.append(Versus(method.name, found.value, found.lower, found.upper, found.p))
    rows.sort(key=lambda row: -row.values.get(main, -math.inf))
    signed = {one.signature: one.name for name, one in reversed(own.items()) if name not in ("repeated", "copied")}
    told = [f"{name}: {signature}" for signature, name in reversed(signed.items())]
    loops = _loops(own, labelled)
    extra = [own[main].note] if own[main].note else []
    cut = sum(one.cut for one in answers)
    if cut:
        extra.append(f"{cut:,} of {len(answers):,} answers stood at their longest and were cut (max_length)")
    some = labelled.select(np.linspace(0, len(labelled) - 1, min(EXPOSED, len(labelled))).astype(np.int64))
    if progress is not None:
        progress("its own words", 0.0)

    def judged(texts: Sequence[str], references: Sequence[Any]) -> float:
        return float(judge(pipeline.task, texts, references).value)

    heard = exposure(pipeline, some, judged, metric=TITLES[main])
    board = Scoreboard(
        tuple(rows),
        main,
        tuple(own),
        {name: TITLES[name] for name in own},
        tuple(versus),
        len(labelled),
        "source",
        (*notes, *told, *extra, *loops, heard.told()),
        what="source",
    )
    return TranslationEvaluation(pipeline.task, board, tuple(methods), labelled, answers, heard)


def _loops(own: dict[str, TextScore], labelled: Labelled) -> list[str]:
    """Whether the model repeats itself more than people do."""
    first = [one if isinstance(one, str) else one[0] for one in labelled.labels]
    usual = metrics.repeated(first).value
    said = own["repeated"].value
    if said <= usual + 1.0:
        return []
    return [f"{said:.1f}% of its 4-grams stood before in the same answer, {usual:.1f}% in the references: it loops"]


def by_length(evaluation: TranslationEvaluation, bins: int = 4) -> list[tuple[int, int, float]]:
    """(shortest, longest source in characters or steps, the main figure) for sources of similar length, as many each;
    nothing where there are too few.
    """
    labelled = evaluation.labelled
    lengths = np.array([_length(one) for one in labelled.content])
    if len(lengths) < 25 * bins:
        return []
    found: list[Any] = []
    for rows in np.array_split(np.argsort(lengths, kind="stable"), bins):
        texts = [evaluation.answers[row].text for row in rows]
        value = float(judge(evaluation.task, texts, [labelled.labels[row] for row in rows]).value)
        found.append((int(lengths[rows].min()), int(lengths[rows].max()), value))
    return found


def _length(content: Any) -> int:
    return len(content) if isinstance(content, str) else int(getattr(content, "steps", 0) or np.shape(content)[-1])
