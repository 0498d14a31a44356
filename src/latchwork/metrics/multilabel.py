"""Figures of several labels that do not exclude each other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork import optional
from latchwork.errors import ConfigError, DataError
from latchwork.metrics.scores import Array, Scores, checked_names, checked_numbers, checked_probabilities


@dataclass(frozen=True, eq=False)
class MultiLabel(Scores):
    """Figures of several labels, and those of each: precision, recall, F1, ROC-AUC, support, ``[labels]`` each."""

    names: tuple[str, ...]
    table: dict[str, Array]


def multi_label(
    truth: NDArray[Any], probabilities: NDArray[Any], names: Sequence[str], *, threshold: float | NDArray[Any] = 0.5
) -> MultiLabel:
    """Figures of labels that do not exclude each other; truth ``[n, labels]`` 0 or 1, probabilities alike.

    f1_macro                 mean of the labels' F1; NaN where one neither occurs nor is predicted
    f1_micro                 2 TP / (2 TP + FP + FN) over all labels together
    precision, recall_micro  likewise
    subset_accuracy          share of examples with every label right
    hamming                  share of labels that are wrong
    roc_auc_macro            mean of the labels' ROC-AUC
    average_precision_macro  mean of the labels' average precision

    threshold: from which probability on a label is given, one number or one for each label.
    """
    names = checked_names(names, 1, "labels")
    marks = np.asarray(truth)
    if marks.ndim != 2 or marks.shape[1] != len(names) or not len(marks):
        raise DataError(f"truth has shape {marks.shape}, expected [n, {len(names)}]: a column for each label, n >= 1")
    if not np.isin(checked_numbers(marks, marks.shape, "truth"), (0, 1)).all():
        raise DataError("truth of several labels holds more than 0 and 1")
    true = marks.astype(np.int64)
    sure = checked_probabilities(probabilities, true.shape, rows_sum=False)
    limits = np.asarray(threshold, np.float64)
    if limits.shape not in ((), (len(names),)) or np.isnan(limits).any():
        raise ConfigError(
            f"threshold has shape {limits.shape}, expected one number, or {len(names)}: one for each label"
        )
    said = (sure >= limits).astype(np.int64)
    metrics = optional.load("sklearn.metrics")
    asked: dict[str, Any] = {"zero_division": np.nan}
    alone = [
        metrics.precision_recall_fscore_support(*pair, labels=[1], **asked) for pair in zip(true.T, said.T, strict=True)
    ]
    precision, recall, f1, support = (np.array([float(one[column][0]) for one in alone]) for column in range(4))
    area, average = np.full((2, len(names)), np.nan)
    for one in np.flatnonzero((support > 0) & (support < len(true))):
        area[one] = metrics.roc_auc_score(true[:, one], sure[:, one])
        average[one] = metrics.average_precision_score(true[:, one], sure[:, one])
    together = metrics.precision_recall_fscore_support(true.ravel(), said.ravel(), labels=[1], **asked)
    values = {
        "f1_macro": float(f1.mean()),
        "f1_micro": float(together[2][0]),
        "precision_micro": float(together[0][0]),
        "recall_micro": float(together[1][0]),
        "subset_accuracy": float((true == said).all(axis=1).mean()),
        "hamming": float((true != said).mean()),
        "roc_auc_macro": float(area.mean()),
        "average_precision_macro": float(average.mean()),
    }
    reasons = {
        "f1_micro": "no label occurs, and none is predicted",
        "precision_micro": "no label is predicted",
        "recall_micro": "no label occurs",
        "f1_macro": f"{_missing(names, f1)} neither occurs nor is predicted",
        "roc_auc_macro": f"{_missing(names, area)} occurs in no example, or in all",
        "average_precision_macro": f"{_missing(names, area)} occurs in no example, or in all",
    }
    return MultiLabel(
        count=len(true),
        values=values,
        labels={
            "f1_macro": "F1 (macro)",
            "f1_micro": "F1 (micro)",
            "precision_micro": "precision (micro)",
            "recall_micro": "recall (micro)",
            "subset_accuracy": "subset accuracy",
            "hamming": "Hamming loss",
            "roc_auc_macro": "ROC-AUC (macro)",
            "average_precision_macro": "average precision (macro)",
        },
        notes={name: f"undefined: {reasons[name]}" for name, value in values.items() if math.isnan(value)},
        names=names,
        table={
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "roc_auc": area,
            "average_precision": average,
            "support": support,
        },
    )


def _missing(names: Sequence[str], figures: Array) -> str:
    """The first label without a figure, and how many more there are."""
    gone = [name for name, figure in zip(names, figures, strict=True) if math.isnan(figure)]
    more = f" (and {len(gone) - 1} more)" if len(gone) > 1 else ""
    return f'"{gone[0]}"{more}' if gone else ""
