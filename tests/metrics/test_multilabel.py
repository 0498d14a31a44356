"""Several labels: against scikit-learn, and a label that never occurs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from latchwork.errors import ConfigError, DataError
from latchwork.metrics import multi_label

NAMES = ("calm", "sad", "angry")


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 40))
def test_figures_are_scikit_learn_s(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    truth = np.concatenate([[[1, 0, 1], [0, 1, 0]], generator.integers(0, 2, size=(count, 3))])
    sure = np.concatenate([[[0.9, 0.8, 0.9], [0.1, 0.7, 0.3]], generator.uniform(size=(count, 3))])
    limits = np.array([0.5, 0.3, 0.7])
    found = multi_label(truth, sure, NAMES, threshold=limits)
    said = (sure >= limits).astype(int)
    assert found.notes == {}
    assert found["f1_macro"] == pytest.approx(metrics.f1_score(truth, said, average="macro"))
    assert found["f1_micro"] == pytest.approx(metrics.f1_score(truth, said, average="micro"))
    assert found["precision_micro"] == pytest.approx(metrics.precision_score(truth, said, average="micro"))
    assert found["recall_micro"] == pytest.approx(metrics.recall_score(truth, said, average="micro"))
    assert found["subset_accuracy"] == pytest.approx(metrics.accuracy_score(truth, said))
    assert found["hamming"] == pytest.approx(metrics.hamming_loss(truth, said))
    assert found["roc_auc_macro"] == pytest.approx(metrics.roc_auc_score(truth, sure))
    assert found["average_precision_macro"] == pytest.approx(metrics.average_precision_score(truth, sure))
    assert found.table["f1"] == pytest.approx(metrics.f1_score(truth, said, average=None))
    assert found.table["support"].tolist() == truth.sum(axis=0).tolist()
    assert set(found.values) == set(found.labels)


def test_a_label_that_never_occurs_is_said() -> None:
    truth, sure = np.array([[1, 0, 0], [0, 1, 0]]), np.array([[0.9, 0.1, 0.1], [0.1, 0.9, 0.2]])
    found = multi_label(truth, sure, NAMES)
    assert math.isnan(found["f1_macro"])
    assert found.notes["f1_macro"] == 'undefined: "angry" neither occurs nor is predicted'
    assert found.notes["roc_auc_macro"] == 'undefined: "angry" occurs in no example, or in all'
    assert found["f1_micro"] == 1.0
    assert found.table["f1"].tolist()[:2] == [1.0, 1.0]
    nothing = multi_label(np.zeros((2, 3), int), np.zeros((2, 3)), NAMES)
    assert nothing.notes["f1_micro"] == "undefined: no label occurs, and none is predicted"
    assert nothing.notes["precision_micro"] == "undefined: no label is predicted"
    assert '"calm" (and 2 more)' in nothing.notes["f1_macro"]
    assert nothing["subset_accuracy"] == 1.0


@pytest.mark.parametrize(
    ("truth", "sure", "options", "error", "message"),
    [
        (np.ones((2, 2)), np.ones((2, 3)), {}, DataError, r"shape \(2, 2\), expected \[n, 3\]"),
        (np.empty((0, 3)), np.empty((0, 3)), {}, DataError, "n >= 1"),
        (2 * np.ones((2, 3)), np.ones((2, 3)), {}, DataError, "more than 0 and 1"),
        (np.ones((2, 3)), np.full((2, 3), np.nan), {}, DataError, "example 0 hold nan"),
        (np.ones((2, 3)), 3 * np.ones((2, 3)), {}, DataError, "are they logits"),
        (np.ones((2, 3)), np.ones((2, 3)), {"threshold": np.ones(2)}, ConfigError, "one for each label"),
    ],
)
def test_what_is_no_answer_is_refused(truth, sure, options, error, message) -> None:
    with pytest.raises(error, match=message):
        multi_label(truth, sure, NAMES, **options)
