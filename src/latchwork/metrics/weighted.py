"""The figures of a classification under many weightings of its rows at once: what the bootstrap resamples.

Equal to scikit-learn's with ``sample_weight`` (by test), which takes one weighting at a time and checks its input anew.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError
from latchwork.metrics.classify import AVERAGED, Asked, Averaging
from latchwork.metrics.paired import Interval
from latchwork.metrics.resample import bootstrap_each
from latchwork.metrics.scores import Array, checked_classes, checked_probabilities, within_range

INTERVALS = (
    "accuracy",
    "balanced_accuracy",
    *AVERAGED,
    "roc_auc",
    "average_precision",
    "mcc",
    "brier",
    "log_loss",
)
"""All but the calibration error, which resampling makes larger: it has no percentile interval."""


def classification_intervals(
    truth: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
    groups: NDArray[Any] | None = None,
    *,
    names: Sequence[str] = INTERVALS,
    averaging: Averaging | None = None,
    positive: str | None = None,
    threshold: float | None = None,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Bootstrap intervals of :func:`~latchwork.metrics.classification`'s figures, all from the same draws.

    groups ``[n]``: the sequence of each step, or the entity of each sequence; None: each row is its own.
    """
    asked = Asked.of(classes, averaging, positive, threshold)
    unknown = [name for name in names if name not in INTERVALS]
    if unknown:
        raise ConfigError(f'"{unknown[0]}" has no interval here, expected some of {", ".join(INTERVALS)}')
    figures = Weighted(truth, probabilities, asked)
    groups = np.arange(len(figures.truth)) if groups is None else groups
    found = bootstrap_each(lambda weights: figures(weights, names), groups, samples=samples, level=level, seed=seed)
    return {name: within_range(name, interval) for name, interval in zip(names, found, strict=True)}


class Weighted:
    """``weights [draws, n]`` -> ``[draws, figures]``; what does not depend on the weights is computed once."""

    def __init__(self, truth: NDArray[Any], probabilities: NDArray[Any], asked: Asked) -> None:
        count = len(asked.classes)
        self.asked = asked
        self.truth = checked_classes(truth, count)
        self.probabilities = checked_probabilities(probabilities, (len(self.truth), count), rows_sum=True)
        cells = self.truth * count + asked.predicted(self.probabilities)
        self.cell_order = np.argsort(cells, kind="stable")
        self.cells, self.cell_starts = np.unique(cells[self.cell_order], return_index=True)
        own = self.probabilities[np.arange(len(self.truth)), self.truth] / self.probabilities.sum(axis=1)
        self.loss = -np.log(np.maximum(own, np.finfo(np.float64).eps))
        squares = ((self.probabilities - np.eye(count)[self.truth]) ** 2).sum(axis=1)
        self.square = squares / (2 if count == 2 else 1)

    def __call__(self, weights: Array, names: Sequence[str]) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            found = self._counted(weights) if set(names) - {"roc_auc", "average_precision", "brier", "log_loss"} else {}
            total = weights.sum(axis=1)
            found["brier"] = weights @ self.square / total
            found["log_loss"] = weights @ self.loss / total
            if "roc_auc" in names or "average_precision" in names:
                found["roc_auc"], found["average_precision"] = self._ranked(weights)
        return np.stack([found[name] for name in names], axis=1)

    def _counted(self, weights: Array) -> dict[str, Array]:
        asked, count = self.asked, len(self.asked.classes)
        confusion = np.zeros((len(weights), count * count))
        confusion[:, self.cells] = np.add.reduceat(weights[:, self.cell_order], self.cell_starts, axis=1)
        confusion = confusion.reshape(-1, count, count)
        right = np.diagonal(confusion, axis1=1, axis2=2)
        true, said = confusion.sum(axis=2), confusion.sum(axis=1)
        total = true.sum(axis=1)
        negatives = total[:, None] - true
        each = {
            "precision": right / said,
            "recall": right / true,
            "specificity": (negatives - said + right) / negatives,
            "f1": 2 * right / (true + said),
        }
        accuracy = right.sum(axis=1) / total
        found = {"accuracy": accuracy, "balanced_accuracy": each["recall"].mean(axis=1)}
        for name in AVERAGED:
            if asked.averaging == "micro":
                wrong = (1 - accuracy) / (count - 1)
                found[name] = 1 - wrong if name == "specificity" else accuracy
            elif asked.binary:
                found[name] = each[name][:, asked.positive]
            elif asked.averaging == "weighted":
                found[name] = np.where(true > 0, each[name] * true, 0.0).sum(axis=1) / total
            else:
                found[name] = each[name].mean(axis=1)
        covariance = right.sum(axis=1) * total - (true * said).sum(axis=1)
        variances = (total**2 - (said**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1))
        found["mcc"] = covariance / np.sqrt(np.where(variances > 0, variances, np.nan))
        return found

    def _ranked(self, weights: Array) -> tuple[Array, Array]:
        chosen = [self.asked.positive] if self.asked.binary else range(len(self.asked.classes))
        pairs = [ranked(self.truth == one, self.probabilities[:, one], weights) for one in chosen]
        area, precision = np.mean(pairs, axis=0)
        return area, precision


def ranked(positive: NDArray[np.bool_], scores: Array, weights: Array) -> tuple[Array, Array]:
    """ROC-AUC and average precision ``[draws]`` of scores ``[n]`` under weights ``[draws, n]``; NaN for one class."""
    order = np.argsort(-scores, kind="stable")
    falling, first = scores[order], positive[order]
    starts = np.flatnonzero(np.append(True, falling[1:] != falling[:-1]))
    sorted_weights = weights[:, order]
    hits = np.add.reduceat(np.where(first, sorted_weights, 0.0), starts, axis=1)
    alarms = np.add.reduceat(np.where(first, 0.0, sorted_weights), starts, axis=1)
    recalled, false = hits.cumsum(axis=1), alarms.cumsum(axis=1)
    all_hits, all_alarms = recalled[:, -1], false[:, -1]
    beaten = all_alarms[:, None] - false + alarms / 2
    area = (hits * beaten).sum(axis=1) / (all_hits * all_alarms)
    precision = recalled / np.maximum(recalled + false, np.finfo(np.float64).tiny)
    return area, (hits * precision).sum(axis=1) / np.where(all_alarms > 0, all_hits, np.nan)
