"""What is said of grades and steps: the grade in the middle, labels that training never saw."""

import numpy as np
import pytest

from latchwork.errors import DataError
from latchwork.evaluation.sequence_figures import Method, Truth, figures, said_of
from latchwork.evaluation.sequence_score import scoreboard


def test_grades_of_every_method_are_those_in_the_middle() -> None:
    sure = np.array([[0.4, 0.3, 0.3], [0.1, 0.2, 0.7]])
    truth = Truth("ordinal", np.array([1, 2]), np.arange(2), ("1", "2", "3"))
    assert said_of(truth, Method("rival", sure)).tolist() == [1, 2]
    assert said_of(truth, Method("model", sure, np.array([0, 0]))).tolist() == [0, 0]


def steps(names: list[tuple[str, ...]], said: list[tuple[str, ...]]) -> tuple[Truth, Method]:
    known = ("A", "B")
    values = np.array([known.index(one) if one in known else -1 for names_ in names for one in names_])
    groups = np.repeat(np.arange(len(names)), [len(one) for one in names])
    sure = np.eye(2)[[known.index(one) for said_ in said for one in said_]]
    return Truth("steps", values, groups, known, tuple(names)), Method("latchwork", sure, said, model=True)


def test_a_label_that_training_never_saw_is_wrong_whatever_is_said() -> None:
    truth, method = steps([("A", "C", "B"), ("B",)], [("A", "A", "B"), ("A",)])
    scores, interval = figures(truth, method, "accuracy")
    assert scores["accuracy"] == pytest.approx(2 / 4)
    assert interval.value == pytest.approx(2 / 4)
    assert scores["balanced_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    board = scoreboard(truth, [method, Method("other", np.asarray(method.sure))], 2, [])
    assert board.versus[0].difference == 0.0
    assert board.notes == ('1 step has a label that training never saw ("C"): no answer is right there',)
    with pytest.raises(DataError, match="training saw none of these labels"):
        figures(*steps([("C", "D")], [("A", "B")]), "accuracy")


def test_spans_that_training_never_saw_are_missed() -> None:
    truth = Truth("spans", np.array([0, 2, -1]), np.zeros(1), ("B-A", "B-B", "O"), (("B-A", "O", "B-C"),))
    method = Method("latchwork", np.eye(3)[[0, 2, 2]], [("B-A", "O", "O")], model=True)
    scores, _ = figures(truth, method, "span_f1")
    assert scores["span_precision"] == 1.0
    assert scores["span_recall"] == 0.5
