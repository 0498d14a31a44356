"""ROC and precision-recall curves as arrays, for one class against the rest."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latchwork import optional
from latchwork.errors import DataError
from latchwork.metrics.scores import Array, checked_classes, checked_numbers


class Curve(NamedTuple):
    """Points ``x [points]``, ``y [points]`` and the threshold from which on an example counts as positive there."""

    x: Array
    y: Array
    threshold: Array

    def thinned(self, points: int = 400) -> "Curve":
        """At most so many of the points, the first and the last among them."""
        if len(self.x) <= points:
            return self
        kept = np.linspace(0, len(self.x) - 1, points).round().astype(int)
        return Curve(self.x[kept], self.y[kept], self.threshold[kept])


NOTHING = Curve(np.empty(0), np.empty(0), np.empty(0))


def roc_curve(truth: NDArray[Any], scores: NDArray[Any]) -> Curve:
    """False positive rate against recall; truth ``[n]`` 0 or 1, scores ``[n]`` higher for 1; empty for one class."""
    true, sure = _checked(truth, scores)
    if len(np.unique(true)) < 2:
        return NOTHING
    return Curve(*optional.load("sklearn.metrics").roc_curve(true, sure))


def precision_recall_curve(truth: NDArray[Any], scores: NDArray[Any]) -> Curve:
    """Recall against precision, recall rising; no points where nothing is positive."""
    true, sure = _checked(truth, scores)
    if not true.any():
        return NOTHING
    precision, recall, threshold = optional.load("sklearn.metrics").precision_recall_curve(
        true, sure, drop_intermediate=True
    )
    return Curve(recall[::-1], precision[::-1], np.append(threshold, np.inf)[::-1])


def _checked(truth: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[np.int64], Array]:
    truth = np.asarray(truth)
    true = checked_classes(truth.astype(np.int64) if truth.dtype == np.bool_ else truth, 2)
    if not len(true):
        raise DataError("no example to draw a curve of")
    return true, checked_numbers(scores, (len(true),), "scores")
