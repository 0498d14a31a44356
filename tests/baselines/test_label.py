"""Rivals for every step: by frequency, by word, by the step before, by a window."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from latchwork.baselines import LABEL_BASELINES, BaselineAnswer, Side, run_sequence_baselines
from latchwork.baselines.label import steps_of
from latchwork.errors import DataError
from latchwork.sequences import Encoded, Labelled

TAGS = ("D", "N", "V")


def side(content: list[Any], labels: list[Any], encoded: list[Encoded] | None = None) -> Side:
    names = tuple(map(str, range(len(content))))
    return Side(Labelled(tuple(content), tuple(labels), names, tuple(f"row {name}" for name in names)), encoded)


def sentences(count: int, seed: int) -> Side:
    """Articles before nouns; "walk" is a noun after an article and a verb elsewhere."""
    random = np.random.default_rng(seed)
    content, labels = [], []
    for _ in range(count):
        noun = random.choice(["walk", "dog", "cat", "house"])
        content.append((random.choice(["the", "The", "a"]), noun, "walk" if random.random() < 0.5 else "sees"))
        labels.append(("D", "N", "V"))
    return side(content, labels)


def signal(count: int, seed: int) -> Side:
    random = np.random.default_rng(seed)
    labels, encoded = [], []
    for _ in range(count):
        state = np.repeat(random.integers(0, 2, 6), 5)
        encoded.append(Encoded(numbers=(state[:, None] + random.normal(0, 0.4, (30, 1))).astype(np.float32)))
        labels.append(tuple("VN"[one] for one in state))
    return side(list(range(count)), labels, encoded)


def answers(make: Any, **changes: Any) -> tuple[dict[str, BaselineAnswer], list[str]]:
    train, validation, test = make(60, 0), make(20, 1), make(20, 2)
    if changes:
        test = Side(replace(test.labelled, **changes), test.encoded)
    found = run_sequence_baselines(train, validation, test, TAGS, baselines=LABEL_BASELINES)
    truth = [tag for label in make(20, 2).labelled.labels for tag in label]
    return {one.name: one for one in found}, truth


def accuracy(one: BaselineAnswer, truth: list[str]) -> float:
    assert one.probabilities is not None
    assert one.probabilities.shape == (len(truth), 3)
    np.testing.assert_allclose(one.probabilities.sum(1), 1, atol=1e-6)
    return float(np.mean([TAGS[at] == tag for at, tag in zip(one.probabilities.argmax(1), truth, strict=True)]))


def test_words_have_their_rivals() -> None:
    found, truth = answers(sentences)
    assert list(found) == ["majority", "most frequent by word", "window of words + linear"]
    assert accuracy(found["majority"], truth) < 0.5
    assert 0.7 < accuracy(found["most frequent by word"], truth) < 1
    assert accuracy(found["window of words + linear"], truth) == 1


def test_numbers_have_their_rivals() -> None:
    found, truth = answers(signal)
    assert list(found) == ["majority", "last label", "window of numbers + linear"]
    assert accuracy(found["last label"], truth) > 0.85
    assert accuracy(found["window of numbers + linear"], truth) > 0.85
    assert "is told the true label of the step before" in found["last label"].note


@pytest.mark.parametrize("make", [sentences, signal])
def test_only_the_last_label_reads_labels_of_the_test(make: Any) -> None:
    seen, _ = answers(make)
    blind, _ = answers(make, labels=(None,) * 20)
    for name, one in seen.items():
        if name != "last label":
            np.testing.assert_array_equal(one.probabilities, blind[name].probabilities)


def test_a_word_never_seen_has_the_labels_of_rare_words() -> None:
    train = side([("the", "dog", "runs"), ("the", "cat", "runs")], [("D", "N", "V")] * 2)
    asked = side([("THE", "zebra")], [("D", "N")])
    found = run_sequence_baselines(train, side([], []), asked, TAGS, baselines=LABEL_BASELINES)
    by_word = next(one for one in found if one.name == "most frequent by word")
    assert by_word.probabilities is not None
    assert by_word.probabilities.argmax(1).tolist() == [0, 1]
    assert by_word.note == "50.0% of the words never seen in training"


def test_sequences_without_steps_are_answered_with_nothing() -> None:
    train = side([("the", "dog"), ()], [("D", "N"), ()])
    found = run_sequence_baselines(train, train, side([()], [()]), TAGS, baselines=LABEL_BASELINES)
    assert {one.probabilities.shape for one in found if one.probabilities is not None} == {(0, 3)}
    assert steps_of(train).tolist() == [2, 0]


@pytest.mark.parametrize(("label", "message"), [(("D",), "row 0: 1 labels for 2 steps"), ("DN", "a text for 2 steps")])
def test_a_label_for_each_step_is_expected(label: Any, message: str) -> None:
    train = side([("the", "dog")], [label])
    with pytest.raises(DataError, match=message):
        run_sequence_baselines(train, train, train, TAGS, baselines=LABEL_BASELINES)


def test_a_word_is_looked_up_as_written_before_its_lower_case() -> None:
    train = side([("may",)] * 3 + [("May",)] * 10, [("V",)] * 3 + [("N",)] * 10)
    found = run_sequence_baselines(
        train, side([], []), side([("may",), ("May",), ("MAY",)], [None] * 3), TAGS, baselines=LABEL_BASELINES
    )
    by_word = next(one for one in found if one.name == "most frequent by word")
    assert by_word.probabilities is not None
    assert [TAGS[at] for at in by_word.probabilities.argmax(1)] == ["V", "N", "N"]
