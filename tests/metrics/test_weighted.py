"""Figures under weights: scikit-learn's with sample_weight, and scikit-learn's on the rows drawn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from latchwork.errors import ConfigError
from latchwork.metrics import classification, classification_intervals, score_intervals
from latchwork.metrics.classify import Asked
from latchwork.metrics.weighted import INTERVALS, Weighted

NAMES = ("red", "green", "blue", "grey")


def drawn(seed: int, classes: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, size=count)
    sure = generator.dirichlet(np.ones(classes), size=count) + 0.5 * np.eye(classes)[truth]
    return truth, np.round(sure / sure.sum(axis=1, keepdims=True), 1 if seed % 2 else 6)  # half of them with ties


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 4), st.sampled_from(["macro", "micro", "weighted", "binary"]))
def test_weighted_is_the_figure_of_the_rows_as_often_as_drawn(seed: int, classes: int, averaging: str) -> None:
    truth, sure = drawn(2 * seed, classes, 40)
    positive = NAMES[1] if averaging == "binary" else None
    weights = np.random.default_rng(seed).integers(0, 4, size=(3, 40)).astype(np.float64)
    figures = Weighted(truth, sure, Asked.of(NAMES[:classes], averaging, positive, None))(weights, INTERVALS)
    for weight, found in zip(weights, figures, strict=True):
        rows = np.repeat(np.arange(40), weight.astype(int))
        known = classification(truth[rows], sure[rows], NAMES[:classes], averaging=averaging, positive=positive)
        assert found == pytest.approx([known[name] for name in INTERVALS], nan_ok=True)


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_ranks_with_ties_are_scikit_learn_s(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = np.append([0, 1], generator.integers(0, 2, size=30))
    score = np.round(generator.uniform(size=32), 1)
    weights = generator.integers(1, 4, size=(2, 32)).astype(np.float64)
    figures = Weighted(truth, np.stack([1 - score, score], axis=1), Asked.of(("a", "b"), None, None, None))
    found = figures(weights, ("roc_auc", "average_precision"))
    for weight, (area, average) in zip(weights, found, strict=True):
        assert area == pytest.approx(metrics.roc_auc_score(truth, score, sample_weight=weight))
        assert average == pytest.approx(metrics.average_precision_score(truth, score, sample_weight=weight))


def test_intervals_are_those_of_the_slow_way() -> None:
    truth, sure = drawn(4, 3, 60)
    groups = np.repeat(np.arange(20), 3)
    fast = classification_intervals(truth, sure, NAMES[:3], groups, samples=50)
    slow = score_intervals(
        lambda rows: classification(truth[rows], sure[rows], NAMES[:3]), groups, names=INTERVALS, samples=50
    )
    assert list(fast) == list(slow) == list(INTERVALS)
    for name in INTERVALS:
        assert fast[name] == pytest.approx(slow[name], nan_ok=True), name
        assert fast[name].lower < fast[name].value < fast[name].upper


def test_groups_make_intervals_wider() -> None:
    generator = np.random.default_rng(0)
    truth = np.repeat(generator.integers(0, 2, size=25), 20)  # steps of one sequence are right or wrong together
    spam = np.repeat(generator.uniform(size=25), 20)
    sure = np.stack([1 - spam, spam], axis=1)
    whole = classification_intervals(truth, sure, ("a", "b"), np.repeat(np.arange(25), 20), samples=200)["accuracy"]
    alone = classification_intervals(truth, sure, ("a", "b"), samples=200)["accuracy"]
    assert whole.upper - whole.lower > 3 * (alone.upper - alone.lower)


def test_one_class_has_no_interval_and_other_names_are_refused() -> None:
    sure = np.full((6, 2), 0.5)
    found = classification_intervals(np.zeros(6, int), sure, ("a", "b"), names=("roc_auc", "accuracy"), samples=20)
    assert math.isnan(found["roc_auc"].lower)
    assert found["accuracy"].value == 1.0
    with pytest.raises(ConfigError, match='"calibration_error" has no interval'):
        classification_intervals(np.zeros(6, int), sure, ("a", "b"), names=("calibration_error",))
