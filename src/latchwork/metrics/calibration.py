"""Whether a probability means what it says: calibration error by bins, and a temperature fitted on validation."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError
from latchwork.metrics.scores import Array, checked_classes, checked_numbers

Binning = Literal["mass", "width"]
HOTTEST = 100.0
"""Temperatures are looked for between 1 / 100 and 100."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of examples by how sure the model was; all arrays [bins], empty bins left out.

    confidence  mean confidence of the bin
    share       how many of it came true
    count       examples in it
    """

    confidence: Array
    share: Array
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: Σ count |share - confidence| / n, 0 (best) to 1 (Guo et al. 2017)."""
        return float(np.average(np.abs(self.share - self.confidence), weights=self.count))

    @property
    def worst(self) -> float:
        """Largest |share - confidence| of any bin."""
        return float(np.abs(self.share - self.confidence).max())


def reliability(
    confidence: NDArray[Any], came_true: NDArray[Any], *, bins: int = 15, binning: Binning = "mass"
) -> Reliability:
    """How often what was given a probability came true; confidence ``[n]`` in 0 .. 1, came_true ``[n]`` 0 or 1.

    ``binning="mass"``: bins hold about equally many examples (equal confidences share one, so the order of the examples
    does not matter); ``"width"``: bins are equally wide.
    """
    confidence = np.asarray(confidence)
    sure = checked_numbers(confidence, (confidence.size,), "confidences")
    true = checked_numbers(came_true, sure.shape, "outcomes")
    if bins < 1 or binning not in ("mass", "width"):
        raise ConfigError(f'bins {bins}, binning "{binning}"; expected at least 1 and "mass" or "width"')
    if not len(sure) or sure.min() < 0 or sure.max() > 1 or not np.isin(true, (0, 1)).all():
        raise DataError("expected at least one confidence, all within 0 .. 1, and outcomes that are 0 or 1")
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    if binning == "mass":
        last = -(-np.arange(1, bins) * len(sure) // bins) - 1  # of the examples in order, the last one of each bin
        inner = np.unique(np.sort(sure)[last])
    _, place = np.unique(np.searchsorted(inner, sure, side="left"), return_inverse=True)
    count = np.bincount(place)
    return Reliability(np.bincount(place, sure) / count, np.bincount(place, true) / count, count)


def calibration_error(
    truth: NDArray[Any], probabilities: NDArray[Any], *, bins: int = 15, binning: Binning = "mass"
) -> float:
    """Expected calibration error of the most probable class; truth ``[n]``, probabilities ``[n, classes]``."""
    probabilities = np.asarray(probabilities)
    classes = checked_classes(truth, probabilities.shape[-1])
    sure = checked_numbers(probabilities, (len(classes), probabilities.shape[-1]), "probabilities")
    said = sure.argmax(axis=1)
    return reliability(sure[np.arange(len(said)), said], said == classes, bins=bins, binning=binning).error


@dataclass(frozen=True)
class Temperature:
    """Logits divided by ``value`` before they become probabilities; the order of the classes stays as it is.

    before, after  mean negative log-likelihood on the rows it was fitted to
    note           a sentence where it could not be fitted, else empty
    """

    value: float
    before: float
    after: float
    note: str = ""

    def softmax(self, logits: NDArray[Any]) -> Array:
        """Probabilities of one of several classes, ``[n, classes]``."""
        return np.exp(_log_softmax(np.asarray(logits, np.float64) / self.value))

    def sigmoid(self, logits: NDArray[Any]) -> Array:
        """Probabilities of labels that do not exclude each other, any shape."""
        return np.exp(-np.logaddexp(0.0, -np.asarray(logits, np.float64) / self.value))


def fit_temperature(logits: NDArray[Any], truth: NDArray[Any]) -> Temperature:
    """The temperature with the smallest negative log-likelihood on validation rows (Guo et al. 2017), in float64.

    logits ``[n, classes]``; truth ``[n]`` class numbers (softmax), or ``[n, classes]`` of 0 and 1 (a sigmoid for each).
    The loss is convex in β = 1 / T, so its slope is followed to 0 by halving. Where it has no minimum (every row is
    right, or the logits say nothing) T is left at 1 or put at the limit, and the note says so.
    """
    logits, truth = np.asarray(logits), np.asarray(truth)
    if logits.ndim != 2 or not len(logits):
        raise DataError(f"logits have shape {logits.shape}, expected [n, classes] with n >= 1")
    scores = checked_numbers(logits, logits.shape, "logits")
    several = truth.ndim == 2
    if several:
        marks = checked_numbers(truth, logits.shape, "truth")
        if not np.isin(marks, (0, 1)).all():
            raise DataError("truth of several labels holds more than 0 and 1")
    else:
        classes = checked_classes(truth, logits.shape[1])
        if len(classes) != len(scores):
            raise DataError(f"truth has {len(classes)} examples, logits {len(scores)}; expected as many")
        marks = np.eye(logits.shape[1])[classes]

    def loss(beta: float) -> float:
        if several:
            return float(np.logaddexp(0.0, (1 - 2 * marks) * beta * scores).sum(axis=1).mean())
        return float(-(_log_softmax(beta * scores) * marks).sum(axis=1).mean())

    def slope(beta: float) -> float:
        logs = -np.logaddexp(0.0, -beta * scores) if several else _log_softmax(beta * scores)
        return float(((np.exp(logs) - marks) * scores).sum(axis=1).mean())

    before = loss(1.0)
    if slope(HOTTEST) <= 0:
        note = "every validation row is told apart without a doubt (or there is only one class): temperature left at 1"
        return Temperature(1.0, before, before, note)
    if slope(1 / HOTTEST) >= 0:
        note = f"the logits say nothing about the validation labels: temperature at its limit, {HOTTEST:g}"
        return Temperature(HOTTEST, before, loss(1 / HOTTEST), note)
    low, high = -math.log(HOTTEST), math.log(HOTTEST)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(math.exp(middle)) < 0 else (low, middle)
    beta = math.exp((low + high) / 2)
    return Temperature(1 / beta, before, loss(beta))


def _log_softmax(scores: Array) -> Array:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
