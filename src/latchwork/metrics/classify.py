"""Figures of answers that are one of several classes: ``truth [n]`` class numbers, ``probabilities [n, classes]``.

scikit-learn computes what it has. Where a figure is undefined (one class only, a class without examples, a class never
predicted) it is NaN and a note says why: scikit-learn would answer 0, or leave the class out of a mean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latchwork import optional
from latchwork.errors import ConfigError, did_you_mean
from latchwork.metrics.calibration import calibration_error
from latchwork.metrics.scores import Array, Numbers, Scores, checked_classes, checked_names, checked_probabilities

Averaging = Literal["binary", "macro", "micro", "weighted"]
AVERAGED = ("precision", "recall", "specificity", "f1")


@dataclass(frozen=True, eq=False)
class Classification(Scores):
    """The figures, and behind them:

    classes    names of the classes
    averaging  of precision, recall, specificity and F1
    positive   the class that "binary" figures are about, else None
    threshold  from which probability on it is predicted; None: where it is the most probable
    confusion  [true class, predicted class] counts
    table      precision, recall, specificity, F1 and support of each class, [classes] each
    """

    classes: tuple[str, ...]
    averaging: Averaging
    positive: str | None
    threshold: float | None
    confusion: Numbers
    table: dict[str, Array]


@dataclass(frozen=True)
class Asked:
    """How figures of classes are averaged, checked: what :func:`classification` was asked for."""

    classes: tuple[str, ...]
    averaging: Averaging
    positive: int | None
    threshold: float | None

    @classmethod
    def of(
        cls, classes: Sequence[str], averaging: Averaging | None, positive: str | None, threshold: float | None
    ) -> "Asked":
        """Two classes: figures of the second; more: macro, unless said otherwise. Raises :class:`ConfigError`."""
        classes = checked_names(classes, 2)
        if averaging is None:
            averaging = "binary" if len(classes) == 2 or positive is not None else "macro"
        if averaging not in ("binary", "macro", "micro", "weighted"):
            raise ConfigError(f'averaging is "{averaging}", expected binary, macro, micro or weighted')
        if positive is not None and positive not in classes:
            near = did_you_mean(positive, classes)
            raise ConfigError(f'positive is "{positive}"{near}, expected one of the classes {", ".join(classes)}')
        if positive is None and len(classes) == 2:
            positive = classes[1]
        if positive is None and (averaging == "binary" or threshold is not None):
            raise ConfigError(f"which of {', '.join(classes)} is the positive class? name it with positive=")
        if threshold is not None and math.isnan(threshold):
            raise ConfigError("threshold is NaN, expected a number")
        return cls(classes, averaging, None if positive is None else classes.index(positive), threshold)

    @property
    def binary(self) -> bool:
        return self.averaging == "binary"

    def predicted(self, probabilities: Array) -> Numbers:
        """The most probable class; with a threshold the positive one from there on, else the best of the others."""
        if self.threshold is None or self.positive is None:
            return probabilities.argmax(axis=1)
        others = probabilities.copy()
        others[:, self.positive] = -1.0
        return np.where(probabilities[:, self.positive] >= self.threshold, self.positive, others.argmax(axis=1))

    def labels(self) -> dict[str, str]:
        """What each figure is called, with its averaging."""
        named = self.classes[self.positive] if self.binary and self.positive is not None else None
        how = named or self.averaging
        ranked = named or "one against rest, macro"
        return {
            "accuracy": "accuracy",
            "balanced_accuracy": "balanced accuracy",
            "precision": f"precision ({how})",
            "recall": f"recall = sensitivity ({how})",
            "specificity": f"specificity ({how})",
            "f1": f"F1 ({how})",
            "roc_auc": f"ROC-AUC ({ranked})",
            "average_precision": f"average precision ({ranked})",
            "mcc": "MCC",
            "brier": "Brier score" if len(self.classes) == 2 else "Brier score (sum over classes)",
            "log_loss": "log loss",
        }


def classification(
    truth: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
    *,
    averaging: Averaging | None = None,
    positive: str | None = None,
    threshold: float | None = None,
    bins: int = 15,
) -> Classification:
    """Every figure of one answer.

    accuracy            share of examples that are right, 0 .. 1
    balanced_accuracy   mean recall of the classes, 0 .. 1
    precision           TP / (TP + FP), averaged as named: ``binary`` is the positive class alone
    recall              TP / (TP + FN): the sensitivity
    specificity         TN / (TN + FP)
    f1                  2 TP / (2 TP + FP + FN)
    roc_auc             P(a positive ranks above a negative), ties half; several classes: each against the rest, mean
    average_precision   Σ (R_i - R_(i-1)) P_i over thresholds, no interpolation; several classes: likewise
    mcc                 Matthews' correlation of truth and prediction, -1 .. 1 (Gorodkin 2004 for several classes)
    brier               mean (p - y)² of the positive class, 0 .. 1; several classes: summed over them, 0 .. 2
    log_loss            mean -ln p of the true class, ≥ 0
    calibration_error   of the most probable class, in bins of equal mass, 0 .. 1

    Args:
        averaging: None: ``binary`` for two classes or a named positive one, else ``macro``.
        positive: The class that is looked for. None: the second of two.
        threshold: Probability from which on the positive class is predicted. None: the most probable class is.

    Raises :class:`DataError` for arrays that are no such thing, :class:`ConfigError` for options.
    """
    asked = Asked.of(classes, averaging, positive, threshold)
    count = len(asked.classes)
    true = checked_classes(truth, count)
    sure = checked_probabilities(probabilities, (len(true), count), rows_sum=True)
    said = asked.predicted(sure)
    metrics = optional.load("sklearn.metrics")
    numbers = list(range(count))
    confusion = metrics.confusion_matrix(true, said, labels=numbers)
    table = _table(metrics, true, said, numbers)
    notes: dict[str, str] = {}
    empty = [name for name, support in zip(asked.classes, table["support"], strict=True) if not support]
    values = {"accuracy": float(metrics.accuracy_score(true, said))}
    values["balanced_accuracy"] = math.nan if empty else float(metrics.balanced_accuracy_score(true, said))
    if empty:
        rest = float(np.nanmean(table["recall"]))
        notes["balanced_accuracy"] = f"undefined: {_without(empty)}; over the other classes it is {rest:.4f}"
    for name in AVERAGED:
        values[name] = _averaged(metrics, name, true, said, table, asked, notes)
    chosen = [asked.positive] if asked.binary and asked.positive is not None else numbers
    ranked = {"roc_auc": metrics.roc_auc_score, "average_precision": metrics.average_precision_score}
    for name, score in ranked.items():
        each = []
        for one in chosen:
            both = 0 < table["support"][one] < len(true)
            each.append(float(score(true == one, sure[:, one])) if both else math.nan)
        values[name] = float(np.mean(each))
        if math.isnan(values[name]):
            notes[name] = _unranked(empty, asked, chosen, len(np.unique(true)) == 1, each)
    one_class = len(np.unique(true)) == 1 or len(np.unique(said)) == 1
    values["mcc"] = math.nan if one_class else float(metrics.matthews_corrcoef(true, said))
    if one_class:
        notes["mcc"] = f"undefined: only one class {'occurs' if len(np.unique(true)) == 1 else 'is predicted'}"
    squares = ((sure - np.eye(count)[true]) ** 2).sum(axis=1)  # scikit-learn has several classes from 1.7 on only
    values["brier"] = float(squares.mean()) / (2 if count == 2 else 1)
    values["log_loss"] = float(metrics.log_loss(true, sure / sure.sum(axis=1, keepdims=True), labels=numbers))
    if (sure[np.arange(len(true)), true] == 0).any():
        notes["log_loss"] = "infinite: a true class was given probability 0; shown with 2.2e-16 in its place"
    values["calibration_error"] = calibration_error(true, sure, bins=bins)
    return Classification(
        count=len(true),
        values=values,
        labels=asked.labels() | {"calibration_error": f"calibration error ({bins} bins of equal mass)"},
        notes=notes,
        classes=asked.classes,
        averaging=asked.averaging,
        positive=None if asked.positive is None else asked.classes[asked.positive],
        threshold=threshold,
        confusion=confusion,
        table=table,
    )


def _table(metrics: Any, true: Numbers, said: Numbers, numbers: list[int]) -> dict[str, Array]:
    """The figures of each class, NaN where there is nothing to divide by."""
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        true, said, labels=numbers, average=None, zero_division=np.nan
    )
    false_positive, true_negative = metrics.multilabel_confusion_matrix(true, said, labels=numbers)[:, 0, ::-1].T
    negatives = true_negative + false_positive
    specificity = true_negative / np.where(negatives == 0, np.nan, negatives)
    return {"precision": precision, "recall": recall, "specificity": specificity, "f1": f1, "support": support}


def _averaged(
    metrics: Any,
    name: str,
    true: Numbers,
    said: Numbers,
    table: dict[str, Array],
    asked: Asked,
    notes: dict[str, str],
) -> float:
    each, support = table[name], table["support"]
    if asked.averaging == "micro":
        if name != "specificity":  # every miss of one class is a false alarm of another: all three are the accuracy
            return float(metrics.accuracy_score(true, said))
        wrong = float((true != said).sum())
        negatives = len(true) * (len(each) - 1)
        return 1 - wrong / negatives
    if asked.binary and asked.positive is not None:
        value = float(each[asked.positive])
    elif asked.averaging == "weighted":
        value = float(np.average(each[support > 0], weights=support[support > 0]))
    else:
        value = float(each.mean())
    if math.isnan(value):
        about = np.arange(len(each)) if not asked.binary else np.array([asked.positive])
        bad = [asked.classes[one] for one in about if math.isnan(each[one])]
        reason = {
            "precision": "never predicted",
            "recall": "without an example here",
            "specificity": "the only one that occurs here",
            "f1": "without an example here, and never predicted",
        }[name]
        known = each[~np.isnan(each)]
        rest = f"; over the other classes it is {known.mean():.4f}" if asked.averaging == "macro" and len(known) else ""
        notes[name] = f"undefined: {_listed(bad)} {'is' if len(bad) == 1 else 'are'} {reason}{rest}"
    return value


def _unranked(empty: list[str], asked: Asked, chosen: list[int], one_class: bool, each: list[float]) -> str:
    if one_class:
        return "undefined: only one class occurs here"
    known = [value for value in each if not math.isnan(value)]
    rest = f"; over the other classes it is {np.mean(known):.4f}" if known else ""
    missing = [name for name in empty if asked.classes.index(name) in chosen]
    return f"undefined: {_without(missing)}{rest}"


def _without(names: list[str]) -> str:
    return f"{_listed(names)} {'has' if len(names) == 1 else 'have'} no example here"


def _listed(names: list[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")
