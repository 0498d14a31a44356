"""Labels become numbers by the training labels alone; what they are is decided by them, or as asked."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchwork.errors import DataError, ModelFileError
from latchwork.sequences import Labelled
from latchwork.tasks import Targets
from latchwork.tasks.targets import UNKNOWN


def labelled(labels: list[Any]) -> Labelled:
    names = tuple(str(row) for row in range(len(labels)))
    places = tuple(f"a.csv: row {row + 1}" for row in range(len(labels)))
    return Labelled(("x",) * len(labels), tuple(labels), names, places)


def fit(labels: list[Any], kind: str = "auto", spans: bool | None = None) -> Targets:
    return Targets.fit(labelled(labels), np.arange(len(labels)), kind, spans)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["a", "b", "a"], "class"),
        ([0, 1, 2], "class"),
        (["1", "2", "3"], "class"),
        ([f"{row}.5" for row in range(30)], "number"),
        ([row / 7 for row in range(1, 40)], "number"),
        (list(range(30)), "class"),
        ([f"{row}.5" for row in range(5)], "class"),
        (["a|b", "a", "b"], "labels"),
        ([("a",), ("a", "b")], "labels"),
        (["a", "nan", "inf"], "class"),
    ],
)
def test_what_is_asked_is_decided_by_the_labels(labels: list[Any], kind: str) -> None:
    assert fit(labels).kind == kind


def test_the_other_parts_decide_nothing() -> None:
    whole = labelled(["a", "b", "a", "c|d", "e"])
    targets = Targets.fit(whole, np.array([0, 1, 2]), "auto")
    assert (targets.kind, targets.classes, targets.counts) == ("class", ("a", "b"), (2, 1))
    with pytest.raises(DataError, match=r'row 4: the label "c\|d" was never seen in training, which has a, b'):
        targets.encode(whole)


def test_class_numbers_and_weights_by_hand() -> None:
    targets = fit(["b", "a", "b", None, "b"])
    assert targets.encode(labelled(["a", "b", None])) == [0, 1, None]
    np.testing.assert_allclose(targets.weights(), [4 / (2 * 1), 4 / (2 * 3)])
    counts = np.array(targets.counts)
    assert (targets.weights() * counts).sum() == pytest.approx(counts.sum())


def test_several_labels_are_marks() -> None:
    targets = fit(["x|y", "y", ("z", "x")], "labels")
    assert targets.classes == ("x", "y", "z")
    np.testing.assert_array_equal(targets.encode(labelled(["z | x", ()]))[0], [1, 0, 1])
    np.testing.assert_array_equal(targets.encode(labelled([("y",), ()]))[1], [0, 0, 0])
    with pytest.raises(DataError, match='the label "w"'):
        targets.encode(labelled(["x|w"]))


def test_grades_are_in_the_order_of_their_numbers_and_keep_apart() -> None:
    targets = fit(["10", "9", "2.50", 10.0], "ordinal")
    assert targets.classes == ("2.5", "9", "10")
    assert targets.encode(labelled(["2.5", 9, "10.0"])) == [0, 1, 2]
    many = fit([1000001, 1000002, 1000003], "ordinal")
    assert many.classes == ("1000001", "1000002", "1000003")
    assert many.encode(labelled([1000002])) == [1]
    assert fit([-0.0, 1], "ordinal").encode(labelled([0])) == [0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=20, unique=True))
def test_numbers_are_standardised_and_come_back(values: list[float]) -> None:
    targets = fit(values, "number")
    made = np.array(targets.encode(labelled(values)))
    np.testing.assert_allclose(made * targets.spread + targets.center, values, rtol=1e-6, atol=1e-6)
    assert abs(made.mean()) < 1e-6


def test_a_label_of_a_step_that_training_never_saw_is_unknown() -> None:
    targets = fit([("O", "B-A"), ("O", "I-A")], "steps")
    assert targets.spans
    np.testing.assert_array_equal(targets.encode(labelled([("B-A", "B-X", "O")]))[0], [0, UNKNOWN, 2])


def test_spans_are_found_asked_for_and_checked() -> None:
    assert not fit([("NOUN", "VERB")], "steps").spans
    assert not fit([("B-A", "O")], "steps", spans=False).spans
    with pytest.raises(DataError, match=r'"NOUN" marks no span, and others do.*leave spans out'):
        fit([("NOUN", "O")], "steps", spans=True)
    with pytest.raises(DataError, match=r'"X" marks no span, and others do.*spans=false'):
        fit([("B-A", "X")], "steps")


def test_whether_spans_keep_the_rules_is_seen() -> None:
    assert fit([("B-A", "I-A", "O", "B-B")], "steps").strict
    assert not fit([("I-A", "I-A", "O")], "steps").strict
    assert not fit([("B-A", "I-B", "O")], "steps").strict


@pytest.mark.parametrize(
    ("labels", "kind", "said"),
    [
        (["a", "a"], "auto", 'every training label is "a"'),
        ([3, 3.0], "number", "every training label is 3"),
        ([0.1, 0.1, 0.1], "number", "every training label is 0.1"),
        ([None, None], "auto", "no training sequence has a label"),
        (["a", "b"], "number", 'row 1: the label "a" is no number'),
        (["1", "nan"], "ordinal", 'row 2: the label "nan" is no number'),
        ([("O", "O")], "steps", 'every training label is "O"'),
        ([("a", "b"), ("a",)], "class", "row 1: there are 2 labels, expected one"),
        ([(), ()], "labels", "no training sequence has any label"),
    ],
)
def test_nothing_to_learn_from(labels: list[Any], kind: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        fit(labels, kind)


def test_saved_and_loaded() -> None:
    for targets in (
        fit(["a", "b"]), fit([1.5, 2.5], "number"), fit([3, 1], "ordinal"), fit([("I-A", "O")], "steps"),
    ):  # fmt: skip
        assert Targets.from_dict(json.loads(json.dumps(targets.to_dict()))) == targets


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "klass"},
        {"classes": ["a"]},
        {"classes": ["a", "a"]},
        {"classes": [1, 2]},
        {"counts": [1.5, 1]},
        {"counts": [-1, 1]},
        {"spread": 0.0},
        {"spread": float("nan")},
        {"center": "0"},
        {"more": 1},
        {"classes": [], "counts": []},
    ],
)
def test_damaged_labels_are_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError, match="damaged"):
        Targets.from_dict({**fit(["a", "b"]).to_dict(), **damage})
