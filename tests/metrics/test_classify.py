"""Figures of classes: against scikit-learn called by itself, by hand, and where they are undefined."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from latchwork.errors import ConfigError, DataError
from latchwork.metrics import classification
from latchwork.metrics.classify import AVERAGED

KNOWN = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}
NAMES = ("red", "green", "blue", "grey", "black")


def drawn(seed: int, classes: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Every class in the truth, and probabilities that know something about it."""
    generator = np.random.default_rng(seed)
    truth = np.append(np.arange(classes), generator.integers(0, classes, size=count))
    logits = generator.normal(size=(len(truth), classes)) + 1.5 * np.eye(classes)[truth]
    logits[:classes] += 20 * np.eye(classes)  # and every class predicted
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return truth, (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(2, 60), st.sampled_from(["macro", "micro", "weighted"]))
def test_figures_are_scikit_learn_s(seed: int, classes: int, count: int, averaging: str) -> None:
    truth, sure = drawn(seed, classes, count)
    found = classification(truth, sure, NAMES[:classes], averaging=averaging)
    said = sure.argmax(axis=1)
    assert found.notes == {}
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, said))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, said))
    for name, figure in KNOWN.items():
        assert found[name] == pytest.approx(figure(truth, said, average=averaging)), name
        assert averaging in found.labels[name]
    per_class = metrics.multilabel_confusion_matrix(truth, said)
    negative, false = per_class[:, 0, 0], per_class[:, 0, 1]
    each = negative / (negative + false)
    support = np.bincount(truth)
    specificity = {
        "macro": each.mean(),
        "weighted": np.average(each, weights=support),
        "micro": negative.sum() / (negative + false).sum(),
    }[averaging]
    assert found["specificity"] == pytest.approx(specificity)
    assert found["mcc"] == pytest.approx(metrics.matthews_corrcoef(truth, said))
    double = sure.astype(np.float64) / sure.astype(np.float64).sum(axis=1, keepdims=True)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(truth, double))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(truth, double, labels=range(classes)))
    ovr = metrics.roc_auc_score(truth, double[:, 1] if classes == 2 else double, multi_class="ovr")
    assert found["roc_auc"] == pytest.approx(ovr)
    average = metrics.average_precision_score(np.eye(classes)[truth], double, average="macro")
    assert found["average_precision"] == pytest.approx(average)
    assert found.confusion.tolist() == metrics.confusion_matrix(truth, said).tolist()
    assert set(found.values) == set(found.labels)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 60), st.floats(0.05, 0.95))
def test_two_classes_are_about_the_second(seed: int, count: int, threshold: float) -> None:
    truth, sure = drawn(seed, 2, count)
    found = classification(truth, sure, ("ham", "spam"), threshold=threshold)
    double = sure.astype(np.float64) / sure.astype(np.float64).sum(axis=1, keepdims=True)
    said = (double[:, 1] >= threshold).astype(int)
    assert (found.averaging, found.positive) == ("binary", "spam")
    for name, figure in KNOWN.items():
        assert found[name] == pytest.approx(figure(truth, said, zero_division=np.nan), nan_ok=True)
        assert found.labels[name].endswith("(spam)")
    assert found["specificity"] == pytest.approx(metrics.recall_score(1 - truth, 1 - said))
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, double[:, 1]))
    assert found["average_precision"] == pytest.approx(metrics.average_precision_score(truth, double[:, 1]))
    assert found["brier"] == pytest.approx(((double[:, 1] - truth) ** 2).mean())
    other = classification(truth, sure, ("ham", "spam"), positive="ham")
    assert other["roc_auc"] == pytest.approx(found["roc_auc"])


def test_by_hand() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    spam = np.array([0.1, 0.2, 0.7, 0.9, 0.8, 0.6, 0.4, 0.3])
    found = classification(truth, np.stack([1 - spam, spam], axis=1), ("ham", "spam"))
    assert found.confusion.tolist() == [[2, 1], [2, 3]]
    assert found["accuracy"] == 5 / 8
    assert found["precision"] == 3 / 4
    assert found["recall"] == pytest.approx(3 / 5)
    assert found["specificity"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["balanced_accuracy"] == pytest.approx((3 / 5 + 2 / 3) / 2)
    assert found["mcc"] == pytest.approx((3 * 2 - 1 * 2) / math.sqrt(4 * 5 * 3 * 4))
    assert found["roc_auc"] == pytest.approx(12 / 15)
    assert found["brier"] == pytest.approx(np.mean((spam - truth) ** 2))


def test_one_of_several_classes_can_be_the_positive_one() -> None:
    truth, sure = drawn(0, 4, 80)
    found = classification(truth, sure, NAMES[:4], positive="blue", threshold=0.2)
    said = np.where(sure[:, 2] >= 0.2, 2, np.where(np.arange(4) == 2, -1, sure).argmax(axis=1))
    assert found["recall"] == pytest.approx(metrics.recall_score(truth == 2, said == 2))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, said))
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth == 2, sure[:, 2]))
    assert found.labels["roc_auc"] == "ROC-AUC (blue)"


def test_one_class_only_is_said() -> None:
    sure = np.array([[0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
    found = classification(np.zeros(3, int), sure, ("ham", "spam"))
    undefined = {"balanced_accuracy", "recall", "roc_auc", "average_precision", "mcc"}
    assert {name for name, value in found.values.items() if math.isnan(value)} == undefined == set(found.notes)
    assert found.notes["roc_auc"] == "undefined: only one class occurs here"
    assert found.notes["recall"] == 'undefined: "spam" is without an example here'
    assert found["precision"] == 0.0
    every = classification(np.ones(3, int), sure, ("ham", "spam"))
    assert math.isnan(every["average_precision"])
    assert every.notes["specificity"] == 'undefined: "spam" is the only one that occurs here'


def test_an_empty_class_is_said_and_not_left_out() -> None:
    truth = np.array([0, 0, 1, 1])
    sure = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    found = classification(truth, sure, ("a", "b", "c"))
    assert math.isnan(found["balanced_accuracy"])
    assert found.notes["balanced_accuracy"] == (
        'undefined: "c" has no example here; over the other classes it is 0.7500'
    )
    assert found.notes["precision"].startswith('undefined: "c" is never predicted; over the other classes it is 0.83')
    assert found.notes["f1"].startswith('undefined: "c" is without an example here, and never predicted; over')
    assert found.notes["roc_auc"].startswith('undefined: "c" has no example here; over the other classes')
    assert found.table["support"].tolist() == [2, 2, 0]
    weighted = classification(truth, sure, ("a", "b", "c"), averaging="weighted")
    assert weighted["recall"] == 0.75
    assert classification(truth, sure, ("a", "b", "c"), averaging="micro")["f1"] == 0.75


def test_nothing_predicted_is_no_silent_zero() -> None:
    sure = np.array([[0.8, 0.2], [0.7, 0.3], [0.9, 0.1]])
    found = classification(np.array([0, 1, 0]), sure, ("ham", "spam"))
    assert math.isnan(found["precision"])
    assert found.notes["precision"] == 'undefined: "spam" is never predicted'
    assert math.isnan(found["mcc"])
    assert found.notes["mcc"] == "undefined: only one class is predicted"
    assert found["f1"] == found["recall"] == 0.0


def test_probability_nought_for_the_truth_is_said() -> None:
    found = classification(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]), ("a", "b"))
    assert found["log_loss"] == pytest.approx(-math.log(np.finfo(float).eps) / 2)
    assert "infinite" in found.notes["log_loss"]


GOOD = np.array([[0.5, 0.5], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("truth", "sure", "message"),
    [
        (np.empty(0, int), np.empty((0, 2)), "truth is empty"),
        (np.array([0, 2]), GOOD, "class 2, expected 0 to 1"),
        (np.array([0, -1]), GOOD, "class -1"),
        (np.array([0.0, 1.0]), GOOD, "expected whole class numbers"),
        (np.array([[0], [1]]), GOOD, "expected whole class numbers"),
        (np.array([0, 1, 1]), GOOD, r"shape \(2, 2\), expected \(3, 2\)"),
        (np.array([0, 1]), np.array([[0.5, 0.5], [np.nan, 0.5]]), "probabilities of example 1 hold nan"),
        (np.array([0, 1]), np.array([[2.5, 0.5], [1, 0.5]]), "are they logits"),
        (np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.4]]), "example 1 sum to 0.9"),
        (np.array([0, 1]), np.array([["a", "b"], ["a", "b"]]), "expected numbers"),
    ],
)
def test_what_is_no_classification_is_refused(truth: np.ndarray, sure: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        classification(truth, sure, ("a", "b"))


@pytest.mark.parametrize(
    ("classes", "options", "message"),
    [
        (("a",), {}, "at least 2 different names"),
        (("a", "a"), {}, "at least 2 different names"),
        (("ham", "spam"), {"positive": "spm"}, 'did you mean "spam"'),
        (("a", "b", "c"), {"averaging": "binary"}, "which of a, b, c is the positive class"),
        (("a", "b", "c"), {"threshold": 0.3}, "which of a, b, c is the positive class"),
        (("a", "b"), {"averaging": "mean"}, "expected binary, macro"),
        (("a", "b"), {"threshold": math.nan}, "threshold is NaN"),
    ],
)
def test_options_that_contradict_are_refused(classes: tuple[str, ...], options: dict, message: str) -> None:
    sure = np.full((2, len(classes)), 1 / len(classes))
    with pytest.raises(ConfigError, match=message):
        classification(np.array([0, 0]), sure, classes, **options)


def test_every_averaged_figure_names_its_averaging() -> None:
    truth, sure = drawn(1, 3, 20)
    found = classification(truth, sure, NAMES[:3])
    assert all("(macro)" in found.labels[name] for name in AVERAGED)
    assert found.labels["roc_auc"] == "ROC-AUC (one against rest, macro)"
