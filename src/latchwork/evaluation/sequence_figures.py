"""What classifiers and labellers said, what is true, and the figures of it: with intervals, and one less another."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork import metrics as numbers
from latchwork.baselines.label import LAST_LABEL
from latchwork.errors import DataError
from latchwork.metrics import LOWER_IS_BETTER
from latchwork.tasks.sequence_pipeline import median_of

Array = NDArray[np.float64]
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


@dataclass(frozen=True, eq=False)
class Truth:
    """What the scored sequences are, in the form that figures take.

    kind    class, several, labels, ordinal, number, spans or steps
    values  class numbers [n], marks [n, classes], numbers [n], or for steps the class number of every step
    names   steps: the true label of each step of each sequence; one that training never saw has the number -1
    groups  [n] whom each value belongs to: entities, else sequences (of all its steps)
    rare    of two classes one was rare in training
    aimed   of two classes the threshold is moved for an aim or a cost
    """

    kind: str
    values: Any
    groups: NDArray[Any]
    classes: tuple[str, ...]
    names: tuple[tuple[str, ...], ...] = ()
    positive: str | None = None
    rare: bool = False
    aimed: bool = False


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

    @property
    def oracle(self) -> bool:
        """Whether it is told true labels that the model is not: shown as a reference, and no rival."""
        return not self.model and self.name == LAST_LABEL.name


def main_of(truths: Sequence[Truth]) -> str:
    """The figure that decides. Of two classes it is the ROC-AUC where one was rare in training, and where an aim moved
    the threshold: then accuracy would be held against a method for doing what was asked.
    """
    if truths[0].kind != "class":
        return SHOWN[truths[0].kind][0]
    return "roc_auc" if any(truth.rare or truth.aimed for truth in truths) else "accuracy"


def figures(truth: Truth, method: Method, main: str) -> tuple[numbers.Scores, numbers.Interval]:
    """All figures of one method, and the interval of the main one.

    An interval without width (everything is right, or nothing) has no bounds, and ``notes["interval"]`` says why.
    """
    scores, found = scores_of(truth, method), _interval(truth, method, main)
    if found.lower == found.upper and found.value in _ENDS[main]:
        right = (found.value == 0) == (main in LOWER_IS_BETTER)
        what = "everything is right" if right else "nothing is right"
        scores.notes["interval"] = f"no interval: {what} in every draw of these sequences"
        found = numbers.Interval(found.value, math.nan, math.nan)
    return scores, found


def scores_of(truth: Truth, method: Method) -> numbers.Scores:
    """All figures of one method."""
    sure, classes = method.sure, truth.classes
    assert sure is not None
    match truth.kind:
        case "number":
            return numbers.number(truth.values, sure)
        case "labels":
            return numbers.multi_label(truth.values, sure, classes)
        case "ordinal":
            return numbers.ordinal(truth.values, said_of(truth, method), classes)
        case "spans":
            return numbers.span_scores(truth.names, tags_of(truth, method))
        case "steps":
            return _scores_of_steps(truth, method)
    sure = sure / sure.sum(1, keepdims=True)
    return numbers.classification(truth.values, sure, classes, positive=truth.positive, threshold=method.threshold)


def _interval(truth: Truth, method: Method, main: str) -> numbers.Interval:
    if main == "roc_auc":
        assert method.sure is not None
        sure = method.sure / method.sure.sum(1, keepdims=True)
        options: dict[str, Any] = {"positive": truth.positive, "names": [main], "samples": SAMPLES}
        return numbers.classification_intervals(truth.values, sure, truth.classes, truth.groups, **options)[main]
    parts = _parts(truth, method, main)
    if main == "accuracy" and len(np.unique(truth.groups)) == len(truth.values):
        return numbers.share(parts[:, 0] > 0, parts[:, 1] > 0, truth.groups)
    least = -1.0 if main == "quadratic_kappa" else 0.0
    within = (least, math.inf if main in LOWER_IS_BETTER else 1.0)
    drawn = numbers.bootstrap_sums(parts, _FIGURES[main], truth.groups, samples=SAMPLES, within=within)
    if main != "accuracy" or truth.kind == "steps" or not drawn.lower < drawn.upper:
        return drawn
    return numbers.share(parts[:, 0] > 0, parts[:, 1] > 0, truth.groups)


def _scores_of_steps(truth: Truth, method: Method) -> numbers.Scores:
    """Figures of what is said of each step; a step whose label training never saw is wrong, and in no class."""
    known = truth.values >= 0
    code = {one: index for index, one in enumerate(truth.classes)}
    said = np.array([code[label] for one in tags_of(truth, method) for label in one], np.int64)
    if not known.any():
        raise DataError("training saw none of these labels, so there is nothing to score on; is it another file's?")
    scores = numbers.classification(truth.values[known], np.eye(len(code))[said[known]], truth.classes)
    scores.values["accuracy"] = float(_parts(truth, method, "accuracy")[:, 0].mean())
    return scores


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


def paired(truth: Truth, first: Sequence[Method], second: Sequence[Method], main: str) -> numbers.Difference:
    """First less second in the main figure, on the same draws of sequences, or of entities. Of several methods each (a
    network trained with several seeds) the mean of their figures counts.
    """
    each = [[_weighted(truth, one, main) for one in side] for side in (first, second)]
    return numbers.paired_difference(
        lambda weights: float(np.mean([figure(weights) for figure in each[0]])),
        lambda weights: float(np.mean([figure(weights) for figure in each[1]])),
        truth.groups,
        samples=SAMPLES,
    )


def _weighted(truth: Truth, method: Method, main: str) -> Callable[[Array], float]:
    """weights [rows] -> the figure under them."""
    if main in _FIGURES:
        parts, figure = _parts(truth, method, main), _FIGURES[main]
        return lambda weights: float(figure(weights @ parts))
    assert method.sure is not None
    positive = truth.classes.index(truth.positive or truth.classes[1])
    return _area(truth.values == positive, method.sure[:, positive])


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
    if main == "quadratic_kappa":
        true, told = truth.values.astype(np.float64), said_of(truth, method).astype(np.float64)
        return np.stack([(true - told) ** 2, true, told, true**2, told**2, np.ones_like(true)], 1)
    if truth.kind == "steps":
        said = np.concatenate([np.array(one) for one in tags_of(truth, method)])
        right = said == np.concatenate([np.array(one) for one in truth.names])
    else:
        right = said_of(truth, method) == truth.values
    return np.stack([right.astype(np.float64), np.ones(len(right))], 1)


def _ratio(above: Array, below: Array) -> Array:
    return above / np.where(below == 0, np.nan, below)


def _kappa(parts: Array) -> Array:
    """Quadratic kappa of sums of ((i - j)², i, j, i², j², 1): 1 - Σ w O / Σ w E. NaN where only one class is true."""
    apart, true, said, true_squares, said_squares, count = np.moveaxis(parts, -1, 0)
    by_chance = true_squares + said_squares - 2 * _ratio(true * said, count)
    return 1 - _ratio(apart, np.where(count * true_squares == true * true, np.nan, by_chance))


_FIGURES: dict[str, Callable[[Array], Array]] = {
    "accuracy": lambda parts: _ratio(parts[..., 0], parts[..., 1]),
    "rmse": lambda parts: np.sqrt(_ratio(parts[..., 0], parts[..., 1])),
    "span_f1": lambda parts: _ratio(2 * parts[..., 0], parts[..., 1] + parts[..., 2]),
    "f1_micro": lambda parts: _ratio(2 * parts[..., 0], parts[..., 1] + parts[..., 2]),
    "quadratic_kappa": _kappa,
}
_ENDS = dict.fromkeys((*_FIGURES, "roc_auc"), (0.0, 1.0)) | {"rmse": (0.0,), "quadratic_kappa": (-1.0, 1.0)}
"""What a figure is where everything is right, or nothing."""


def _area(marks: NDArray[np.bool_], scores: Array) -> Callable[[Array], float]:
    """weights -> the ROC-AUC by ranks under them, ties half; NaN for one class. Sorted once for all weights."""
    order = np.argsort(-scores, kind="stable")
    falling, first = scores[order], marks[order]
    starts = np.flatnonzero(np.append(True, falling[1:] != falling[:-1]))

    def area(weights: Array) -> float:
        sorted_weights = weights[order]
        hits = np.add.reduceat(np.where(first, sorted_weights, 0.0), starts)
        alarms = np.add.reduceat(np.where(first, 0.0, sorted_weights), starts)
        every = float(hits.sum() * alarms.sum())
        return float((hits * (alarms.sum() - alarms.cumsum() + alarms / 2)).sum()) / every if every else math.nan

    return area
