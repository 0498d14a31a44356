"""Scores of whole sequences and of steps: the figures are those worked out by hand."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from latchwork import metrics
from latchwork.evaluation import Method, Scoreboard
from latchwork.evaluation.sequence_figures import Truth, _area, main_of
from latchwork.evaluation.sequence_score import scoreboard

IDS = np.array([f"s{at}" for at in range(40)])


def scored(truth: Truth, *methods: Method, notes: tuple[str, ...] = ()) -> Scoreboard:
    count = len(truth.names) or len(truth.values)
    return scoreboard(truth, methods, count, notes)


def model(sure: Any, **more: Any) -> Method:
    return Method("latchwork", np.array(sure, np.float64), model=True, **more)


def rival(sure: Any, name: str = "other") -> Method:
    return Method(name, np.array(sure, np.float64))


def two(positive: list[float]) -> Any:
    return [[1 - p, p] for p in positive]


def test_two_classes() -> None:
    truth = Truth("class", np.array([1, 1, 1, 0, 0, 0, 0, 0]), IDS[:8], ("ham", "spam"), positive="spam")
    found = scored(truth, model(two([0.9, 0.8, 0.4, 0.6, 0.1, 0.2, 0.3, 0.1])), rival(two([0.3] * 8)))
    values = found.model.values
    assert found.main == "accuracy"
    assert values["accuracy"] == pytest.approx(6 / 8)
    assert values["balanced_accuracy"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert values["f1"] == pytest.approx(2 / 3)
    assert values["roc_auc"] == pytest.approx(14 / 15)  # of 15 pairs only (0.4, 0.6) is the wrong way round
    assert found.titles["f1"] == "F1 (spam)"
    assert found.confusion == ((4, 1), (1, 2))
    assert [row["support"] for row in found.table] == [5, 3]
    assert found.table[1]["precision"] == pytest.approx(2 / 3)
    assert [row.name for row in found.rows] == ["latchwork", "other"]
    assert found.versus[0].difference == pytest.approx(6 / 8 - 5 / 8)
    assert found.model.lower <= values["accuracy"] <= found.model.upper


def test_a_threshold_decides_what_is_said() -> None:
    truth = Truth("class", np.array([1, 1, 0, 0]), IDS[:4], ("a", "b"), positive="b")
    sure = two([0.95, 0.7, 0.8, 0.1])
    said = np.array([1, 0, 0, 0])
    found = scored(truth, model(sure, said=said, threshold=0.9))
    assert found.confusion == ((2, 0), (1, 1))
    assert found.model.values["accuracy"] == 0.75
    assert "stands alone" in found.verdict()


def test_a_rare_class_is_judged_by_ranking() -> None:
    truth = Truth("class", np.array([1, 0, 0, 0]), IDS[:4], ("a", "b"), positive="b", rare=True)
    assert main_of([truth]) == "roc_auc"
    found = scored(truth, model(two([0.4, 0.1, 0.2, 0.3])), rival(two([0.1, 0.2, 0.1, 0.0])))
    assert found.model.values["roc_auc"] == 1.0
    assert found.row("other").values["roc_auc"] == pytest.approx(1.5 / 3)
    assert found.versus[0].difference == pytest.approx(0.5)


def test_one_class_alone_is_said_and_not_papered_over() -> None:
    truth = Truth("class", np.array([1, 1, 1]), IDS[:3], ("a", "b"), positive="b", rare=True)
    found = scored(truth, model(two([0.9, 0.8, 0.1])))
    assert math.isnan(found.model.values["roc_auc"])
    assert found.verdict() == "ROC-AUC (b) is undefined on these sequences: only one class occurs here"
    assert "only one class" in found.model.note


def test_several_classes() -> None:
    truth = Truth("several", np.array([0, 1, 2, 2]), IDS[:4], ("a", "b", "c"))
    sure = np.eye(3)[[0, 1, 2, 0]] * 0.7 + 0.1
    found = scored(truth, model(sure), rival(np.full((4, 3), 1 / 3)))
    assert found.model.values["accuracy"] == 0.75
    assert found.model.values["balanced_accuracy"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert found.model.values["log_loss"] == pytest.approx(-(3 * math.log(0.8) + math.log(0.1)) / 4)
    assert found.confusion == ((1, 0, 0), (0, 1, 0), (1, 0, 1))
    assert found.rows[0].model


def test_any_of_several_labels() -> None:
    marks = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    sure = np.array([[0.9, 0.6], [0.8, 0.2], [0.1, 0.9], [0.6, 0.1]])
    found = scored(Truth("labels", marks, IDS[:4], ("x", "y")), model(sure), rival(np.full((4, 2), 0.9)))
    assert found.model.values["f1_micro"] == pytest.approx(2 * 3 / (5 + 4))
    assert found.row("other").values["f1_micro"] == pytest.approx(2 * 4 / (8 + 4))
    assert found.model.values["subset_accuracy"] == 0.25
    assert found.model.values["hamming"] == pytest.approx(3 / 8)
    assert found.versus[0].difference == pytest.approx(2 * 3 / 9 - 2 * 4 / 12, abs=1e-12)


def test_labels_are_resampled_as_the_plain_way_does() -> None:
    random = np.random.default_rng(1)
    marks, sure = random.integers(0, 2, (40, 3)), random.random((40, 3))
    found = scored(Truth("labels", marks, IDS, ("x", "y", "z")), model(sure))
    plain = metrics.score_intervals(
        lambda rows: metrics.multi_label(marks[rows], sure[rows], ("x", "y", "z")), IDS, names=["f1_micro"], samples=60
    )["f1_micro"]
    assert found.model.values["f1_micro"] == pytest.approx(plain.value)
    assert found.model.upper - found.model.lower == pytest.approx(plain.upper - plain.lower, rel=0.4)


def test_numbers_and_grades() -> None:
    truth = Truth("number", np.array([1.0, 2.0, 3.0, 6.0]), IDS[:4], ())
    found = scored(truth, model([1.0, 2.0, 3.0, 4.0]), rival([3.0] * 4, "mean"))
    assert found.model.values["rmse"] == pytest.approx(1.0)
    assert found.model.values["mae"] == pytest.approx(0.5)
    assert found.rows[0].model  # the lowest error first
    assert found.confusion == ()
    grades = Truth("ordinal", np.array([0, 1, 2, 2]), IDS[:4], ("1", "2", "3"))
    sure = np.eye(3)[[0, 1, 2, 0]]
    found = scored(grades, model(sure))
    assert found.model.values["mae_steps"] == pytest.approx(0.5)
    assert found.model.values["accuracy"] == 0.75


def test_spans_are_right_as_a_whole() -> None:
    true = (("B-P", "I-P", "O", "B-Q"), ("O", "B-P"))
    said = [("B-P", "I-P", "O", "O"), ("B-P", "B-P")]
    classes = ("B-P", "B-Q", "I-P", "O")
    code = {name: at for at, name in enumerate(classes)}
    values = np.array([code[tag] for one in true for tag in one])
    found = scored(Truth("spans", values, IDS[:2], classes, true), model(np.eye(4)[[0] * 6], said=said))
    assert found.model.values["span_precision"] == pytest.approx(2 / 3)
    assert found.model.values["span_recall"] == pytest.approx(2 / 3)
    assert found.model.values["span_f1"] == pytest.approx(2 / 3)
    assert found.model.values["step_accuracy"] == pytest.approx(4 / 6)
    assert [row["class"] for row in found.table] == ["P", "Q"]
    assert found.count == 2


def test_a_label_of_a_step_that_training_never_saw_is_wrong() -> None:
    true = (("a", "b", "new"), ("a",))
    truth = Truth("steps", np.array([0, 1, -1, 0]), np.repeat(IDS[:2], (3, 1)), ("a", "b"), true)
    found = scored(truth, model(np.eye(2)[[0, 1, 0, 0]]), rival(np.eye(2)[[0, 0, 0, 0]]))
    assert found.model.values["accuracy"] == pytest.approx(3 / 4)
    assert any('"new"' in note for note in found.notes)
    assert found.versus[0].difference == pytest.approx(1 / 4)


def test_entities_are_drawn_whole() -> None:
    values = np.tile([0, 1], 20)
    sure = two([0.9 if at % 4 == 1 else 0.2 for at in range(40)])
    alone = scored(Truth("class", values, IDS, ("a", "b"), positive="b"), model(sure))
    groups = np.repeat(IDS[:5], 8)
    together = scored(Truth("class", values, groups, ("a", "b"), positive="b"), model(sure))
    assert (alone.unit, together.unit) == ("sequence", "entity")
    assert alone.model.values == together.model.values


def test_a_method_that_was_not_run_stands_last_with_its_reason() -> None:
    truth = Truth("several", np.array([0, 1, 2, 2]), IDS[:4], ("a", "b", "c"))
    found = scored(truth, Method("gone", None, None, "not installed"), model(np.eye(3)[[0, 1, 2, 0]]), notes=("so",))
    assert found.rows[-1].name == "gone"
    assert found.rows[-1].note == "not installed"
    assert found.notes[0] == "so"
    again = Scoreboard.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert str(again) == str(found)


@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(2, 12))
@settings(max_examples=60)
def test_the_area_by_ranks_is_that_of_the_library(seed: int, count: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    marks, scores = random.random(count) < 0.5, random.integers(0, levels, count) / levels
    if marks.all() or not marks.any():
        assert math.isnan(_area(marks, scores)(np.ones(count)))
        return
    assert _area(marks, scores)(np.ones(count)) == pytest.approx(roc_auc_score(marks, scores))
    weights = random.integers(0, 3, count).astype(float)
    if weights[marks].any() and weights[~marks].any():
        expected = roc_auc_score(marks, scores, sample_weight=weights)
        assert _area(marks, scores)(weights) == pytest.approx(expected)


@given(st.integers(0, 10**6), st.sampled_from(["class", "several"]))
@settings(max_examples=10)
def test_a_difference_is_that_of_the_figures_and_a_twin_is_no_better(seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    classes = ("a", "b") if kind == "class" else ("a", "b", "c")
    values = np.concatenate([np.arange(len(classes)), random.integers(0, len(classes), 20)])
    truth = Truth(kind, values, IDS[: len(values)], classes, positive="b" if kind == "class" else None)
    sure = random.dirichlet(np.ones(len(classes)), (2, len(values)))
    found = scored(truth, model(sure[0]), rival(sure[1]), rival(sure[0], "twin"))
    for one in found.versus:
        both = found.model.values[found.main] - found.row(one.rival).values[found.main]
        assert one.difference == pytest.approx(both, abs=1e-12)
    twin = next(one for one in found.versus if one.rival == "twin")
    assert twin.lower == twin.upper == 0


def test_where_all_is_right_the_interval_is_that_of_a_share() -> None:
    truth = Truth("several", np.arange(30) % 3, IDS[:30], ("a", "b", "c"))
    found = scored(truth, model(np.eye(3)[np.arange(30) % 3]), rival(np.full((30, 3), 1 / 3)))
    assert (found.model.lower, found.model.upper) == metrics.proportion(30, 30)[1:]
    assert found.row("other").lower == metrics.proportion(10, 30).lower


@pytest.mark.parametrize("kind", ["spans", "steps", "labels", "ordinal", "number", "class"])
def test_an_interval_without_width_is_none_and_says_why(kind: str) -> None:
    classes, groups = ("B-P", "O", "B-Q"), IDS[:6]
    values, said = np.array([0, 1, 0, 1, 2, 0]), None
    names = tuple((classes[one],) for one in values) if kind in ("spans", "steps") else ()
    sure: Any = np.eye(3)[values]
    if kind == "steps":
        groups, names = np.repeat(IDS[:3], 2), tuple(tuple(classes[at] for at in values[i : i + 2]) for i in (0, 2, 4))
    if kind == "labels":
        values = sure.astype(np.int64)
    if kind == "number":
        values = sure = np.arange(6.0)
    if kind == "class":
        classes, values, groups = ("a", "b"), np.array([0, 1, 0, 1, 1, 0]), np.repeat(IDS[:3], 2)
        sure = np.eye(2)[values]
    found = scored(Truth(kind, values, groups, classes, names), model(sure, said=said))
    assert found.model.values[found.main] == (0 if kind == "number" else 1)
    assert math.isnan(found.model.lower)
    assert math.isnan(found.model.upper)
    assert "no interval: everything is right" in found.model.note


def test_what_is_constant_by_its_nature_keeps_its_interval() -> None:
    truth = Truth("class", np.array([1, 0, 0, 0] * 5), IDS[:20], ("a", "b"), positive="b", rare=True)
    found = scored(truth, model(two([0.4, 0.1, 0.6, 0.3] * 5)), rival(two([0.3] * 20)))
    assert (found.row("other").lower, found.row("other").upper) == (0.5, 0.5)
    assert found.row("other").note == ""


def test_grades_are_resampled_as_the_plain_way_does() -> None:
    random = np.random.default_rng(2)
    values = random.integers(0, 4, 40)
    sure = np.eye(4)[np.clip(values + random.integers(-1, 2, 40), 0, 3)]
    found = scored(Truth("ordinal", values, IDS, ("1", "2", "3", "4")), model(sure))
    said = sure.argmax(1)
    plain = metrics.score_intervals(
        lambda rows: metrics.ordinal(values[rows], said[rows], ("1", "2", "3", "4")),
        IDS,
        names=["quadratic_kappa"],
        samples=1000,
    )["quadratic_kappa"]
    assert (found.model.lower, found.model.upper) == pytest.approx(plain[1:])


def test_a_moved_threshold_is_judged_by_ranking() -> None:
    truth = Truth("class", np.array([1, 1, 0, 0]), IDS[:4], ("a", "b"), positive="b", aimed=True)
    assert main_of([truth]) == "roc_auc"


def test_one_that_is_told_the_truth_is_no_rival() -> None:
    true = (("a", "b"), ("a", "a"))
    truth = Truth("steps", np.array([0, 1, 0, 0]), np.repeat(IDS[:2], 2), ("a", "b"), true)
    told = Method("last label", np.eye(2)[[0, 1, 0, 0]], note="is told the true label of the step before")
    found = scored(truth, model(np.eye(2)[[0, 0, 0, 0]]), told, rival(np.eye(2)[[1, 1, 0, 0]]))
    assert told.oracle
    assert found.row("last label").oracle
    assert found.best is not None
    assert found.best.name == "other"
    assert [one.rival for one in found.versus] == ["other"]
    assert not Method("last label", None, model=True).oracle
