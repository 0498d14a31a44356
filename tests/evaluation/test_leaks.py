"""The leak audit finds what was planted, with its place, and is silent where nothing is."""

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.evaluation import Finding, audit
from latchwork.evaluation.leak_content import near_copies
from latchwork.evaluation.leak_features import telling_features
from latchwork.sequences import Encoded, Labelled, Split, hold_out
from latchwork.sequences.dealing import plain_text

ROWS = 300


def clean(seed: int = 0, rows: int = ROWS, steps: int = 30) -> tuple[Labelled, Split, list[Encoded]]:
    """Series that share nothing, labels that no single number gives away."""
    random = np.random.default_rng(seed)
    labels = tuple(random.choice(["a", "b"], rows).tolist())
    encoded = [Encoded(numbers=random.normal(size=(steps, 2)).astype(np.float32)) for _ in range(rows)]
    content = tuple(one.numbers for one in encoded)
    ids = tuple(map(str, range(rows)))
    labelled = Labelled(content, labels, ids, tuple(f"x.csv: row {name}" for name in ids), groups=ids)
    return labelled, hold_out(labels, groups=ids, seed=seed), encoded


def messages(seed: int = 0) -> tuple[Labelled, Split]:
    random = np.random.default_rng(seed)
    words = [f"word{number}" for number in range(400)]  # alike but for digits
    content = tuple(" ".join(random.choice(words, 30)) for _ in range(ROWS))
    labels = tuple(random.choice(["a", "b"], ROWS).tolist())
    ids = tuple(map(str, range(ROWS)))
    return Labelled(content, labels, ids, tuple(f"m.csv: row {one}" for one in ids)), hold_out(labels, seed=seed)


def put(values: tuple[Any, ...], at: int, value: Any) -> tuple[Any, ...]:
    return (*values[:at], value, *values[at + 1 :])


def only(found: list[Finding], check: str) -> Finding:
    (one,) = [finding for finding in found if finding.check == check]
    return one


@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_nothing_is_found_where_nothing_is(seed: int) -> None:
    labelled, split, encoded = clean(seed)
    assert audit(labelled, split, encoded) == []
    texts, split = messages(seed)
    assert audit(texts, split) == []


def test_an_entity_on_both_sides() -> None:
    labelled, split, encoded = clean()
    assert labelled.groups is not None
    test, train = int(split.test[0]), int(split.train[0])
    shared = replace(labelled, groups=put(labelled.groups, test, labelled.groups[train]))
    one = only(audit(shared, split, encoded), "entity")
    assert one.severity == "leak"
    assert (
        one.sentence
        == "1 of 60 entities of the test part are in training or validation too, with 1 of its 60 sequences"
    )
    assert one.examples == (f'"{train}" in x.csv: row {test} and x.csv: row {train}',)


def test_a_content_on_both_sides_and_one_that_differs_in_digits() -> None:
    labelled, split = messages()
    test, train = split.test.tolist(), split.train.tolist()
    content = put(labelled.content, train[0], "Call 0800 123 now, or never at all!")
    content = put(content, test[0], "Call 0800 123 now, or never at all!")
    content = put(content, test[1], "call 0900 777  NOW or never at all")
    found = audit(replace(labelled, content=content), split)
    assert [one.check for one in found] == ["duplicate", "near-duplicate"]
    exact, near = found
    assert exact.severity == "leak"
    assert exact.examples == (f"m.csv: row {test[0]} and m.csv: row {train[0]}",)
    assert near.severity == "suspect"
    assert near.sentence.startswith("1 of 60 test sequences differ from one only in case")
    assert near.examples == (f"m.csv: row {test[1]} and m.csv: row {train[0]}",)


def test_equal_contents_with_different_labels() -> None:
    labelled, split = messages()
    one, other = split.train.tolist()[:2]
    content = put(labelled.content, other, labelled.content[one])
    labels = put(put(labelled.labels, one, "a"), other, "b")
    found = only(audit(replace(labelled, content=content, labels=labels), split), "contradiction")
    assert found.severity == "note"
    assert found.examples == (f"m.csv: row {one} and m.csv: row {other}",)


def test_windows_that_overlap() -> None:
    labelled, split, encoded = clean()
    test, train = int(split.test[3]), int(split.train[7])
    ours, theirs = encoded[test].numbers, encoded[train].numbers
    assert ours is not None
    assert theirs is not None
    encoded[test] = Encoded(numbers=np.concatenate([theirs[-12:], ours[12:]]))
    found = audit(labelled, split, encoded)
    assert [one.check for one in found] == ["overlap"]
    assert found[0].severity == "leak"
    assert found[0].sentence.startswith("1 of 60 test sequences share a run of 10 steps or more")
    assert found[0].examples == (f"x.csv: row {test} and x.csv: row {train}",)
    encoded[test] = Encoded(numbers=np.concatenate([theirs[-8:], ours[8:]]))
    assert audit(labelled, split, encoded) == []


def test_flat_signals_and_few_values_are_no_overlap() -> None:
    labelled, split, encoded = clean()
    random = np.random.default_rng(0)
    flat = [Encoded(numbers=np.repeat(random.normal(size=(3, 2)), 10, 0).astype(np.float32)) for _ in encoded]
    flat[5] = flat[6] = Encoded(numbers=np.zeros((30, 2), np.float32))
    coarse = [Encoded(numbers=random.integers(0, 3, (30, 1)).astype(np.float32)) for _ in encoded]
    assert not [one for one in audit(labelled, split, flat) if one.check == "overlap"]
    assert not [one for one in audit(labelled, split, coarse) if one.check == "overlap"]


def test_a_passage_that_was_copied() -> None:
    labelled, split = messages()
    test, train = int(split.test[0]), int(split.train[0])
    passage = " ".join(labelled.content[train].split()[:25])
    found = audit(replace(labelled, content=put(labelled.content, test, f"{passage} and more")), split)
    assert [(one.check, one.severity) for one in found] == [("overlap", "suspect")]


@dataclass(frozen=True)
class Mean:
    """A modality of one number."""

    mean: float

    @classmethod
    def fit(cls, labelled: Labelled, rows: Any, options: Any = None) -> "Mean":
        return cls(float(np.mean([labelled.content[row] for row in rows])))

    def to_dict(self) -> dict[str, Any]:
        return {"scales": [{"mean": self.mean}]}


@pytest.mark.parametrize(
    ("parts", "severity", "words"),
    [
        (("train",), None, ""),
        (("train", "validation"), "suspect", "fitted on training and validation"),
        (("train", "validation", "test"), "leak", "fitted on all sequences, the test among them"),
        (("train", "test"), "leak", "fitted on other sequences than the training part"),
    ],
)
def test_what_was_fitted_on_more_than_training(parts: Any, severity: str | None, words: str) -> None:
    labelled, split, encoded = clean()
    rows = np.sort(np.concatenate([split.part(part) for part in parts]))
    found = audit(labelled, split, encoded, fitted=Mean.fit(labelled, rows))
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert not found or (words in found[0].sentence and found[0].examples[0].startswith("scales.0.mean: "))


def test_a_column_that_is_the_label() -> None:
    labelled, split, encoded = clean()
    code = [1.0 if label == "a" else 0.0 for label in labelled.labels]
    static = [Encoded(numbers=one.numbers, static=np.array([0.5, told], np.float32))
              for one, told in zip(encoded, code, strict=True)]  # fmt: skip
    fitted = type("Fitted", (Mean,), {"names": ("x", "y"), "static_names": ("age", "outcome")})
    found = audit(labelled, split, static, fitted=fitted.fit(labelled, split.train))
    assert [one.check for one in found] == ["feature"]
    assert 'the feature "outcome" predicts the label alone in 100.0% of held-back' in found[0].sentence
    assert found[0].share == 1


def test_a_number_that_is_the_number_asked_for() -> None:
    labelled, split, encoded = clean()
    targets = tuple(float(one.numbers[-1, 1]) * 100 for one in encoded if one.numbers is not None)
    found = audit(replace(labelled, labels=targets), split, encoded)
    assert 'the feature "last of number 2" predicts the label alone with R²' in only(found, "feature").sentence


def test_a_column_that_is_the_label_of_each_step() -> None:
    labelled, split, encoded = clean()
    labels = tuple(tuple("on" if x > 0.3 else "off" for x in one.numbers[:, 0]) for one in encoded
                   if one.numbers is not None)  # fmt: skip
    found = audit(replace(labelled, labels=labels), split, encoded)
    telling = [one for one in found if one.check == "feature"]
    assert {one.sentence.partition(" predicts")[0] for one in telling} == {'the feature "number 1"'}
    assert "held-back training steps" in telling[0].sentence


def test_a_word_that_is_the_label() -> None:
    labelled, split = messages()
    content = tuple(f"{text} Kategorie{'X' if label == 'a' else 'Y'}"
                    for text, label in zip(labelled.content, labelled.labels, strict=True))  # fmt: skip
    found = audit(replace(labelled, content=content), split)
    assert {one.sentence.partition(" with")[0] for one in found} == {
        'the word "kategoriex" alone tells the label "a"',
        'the word "kategoriey" alone tells the label "b"',
    }


def test_training_that_is_later_than_the_test() -> None:
    labelled, split, encoded = clean()
    timed = replace(labelled, order=np.arange(float(ROWS)))
    one = only(audit(timed, split, encoded), "order")
    assert "training sequences are later than the first test sequence" in one.sentence
    by_time = hold_out(timed.labels, order=timed.order, by_time=True)
    assert not [found for found in audit(timed, by_time, encoded) if found.check == "order"]


def test_labels_that_shift_or_were_never_seen() -> None:
    labelled, split, encoded = clean()
    labels = labelled.labels
    for row in split.test.tolist():
        labels = put(labels, row, "a")
    labels = put(labels, int(split.test[0]), "new")
    found = audit(replace(labelled, labels=labels), split, encoded)
    assert [one.check for one in found] == ["unseen label", "shift"]
    assert '1 labels of the test part were never seen in training: "new"' in found[0].sentence
    assert found[1].share > 0.4
    numbers = tuple(float(row in set(split.test.tolist())) + row % 7 / 100 for row in range(ROWS))
    assert only(audit(replace(labelled, labels=numbers), split, encoded), "shift").share == 1


def test_the_worst_comes_first_and_is_written_as_json() -> None:
    labelled, split, encoded = clean()
    found = audit(
        replace(labelled, groups=("same",) * ROWS, order=np.arange(float(ROWS))), split, encoded, fitted=Mean(0.0)
    )
    assert [one.severity for one in found] == sorted(
        (one.severity for one in found), key=["leak", "suspect", "note"].index
    )
    assert str(found[0]).startswith("leak: 1 of 1 entities")
    saved = json.loads(json.dumps([one.to_dict() for one in found], allow_nan=False))
    assert saved[0]["check"] == "entity"


@pytest.mark.parametrize(
    ("content", "plain"),
    [
        ("  Win £1000 NOW!! ", "win 0 now"),
        (("Hi", ",", "you"), "hi you"),
        (np.zeros(2), ""),
        ("!!", ""),
        ((1, "a"), ""),
    ],
)
def test_texts_without_what_does_not_matter(content: Any, plain: str) -> None:
    assert plain_text(content) == plain


def test_sequences_in_no_part_may_be_missing() -> None:
    labelled, split, encoded = clean()
    absent: list[Any] = [*encoded]
    rows = split.train[split.train != 0]
    absent[0] = None
    parts = Split(rows, split.validation[split.validation != 0], split.test[split.test != 0])
    assert audit(replace(labelled, labels=put(labelled.labels, 0, None)), parts, absent) == []


def rare(share: float, seed: int, rows: int = 2800) -> tuple[Labelled, Split]:
    """A number that a rare class has far above all others."""
    random = np.random.default_rng(seed)
    sick = random.random(rows) < share
    values = random.normal(size=rows) + 20 * sick
    ids = tuple(map(str, range(rows)))
    content = tuple(float(one) for one in values)
    return Labelled(content, tuple("sick" if one else "well" for one in sick), ids, ids), Split(
        np.arange(rows), np.zeros(0, np.int64), np.zeros(0, np.int64)
    )


@pytest.mark.parametrize("share", [0.005, 0.01, 0.02, 0.05])
@pytest.mark.parametrize("seed", range(4))
def test_a_number_that_tells_a_rare_class(share: float, seed: int) -> None:
    labelled, split = rare(share, seed)
    encoded = [Encoded(numbers=np.zeros((1, 1), np.float32), static=np.array([one], np.float32))
               for one in labelled.content]  # fmt: skip
    found = telling_features(labelled, encoded, split.train.tolist(), static=("score",))
    assert [one.sentence.partition(" predicts")[0] for one in found] == ['the feature "score"']


def test_a_number_beside_a_rare_class_tells_nothing() -> None:
    labelled, split = rare(0.01, 0)
    random = np.random.default_rng(7)
    encoded = [Encoded(numbers=random.normal(size=(3, 4)).astype(np.float32)) for _ in labelled.content]
    assert telling_features(labelled, encoded, split.train.tolist()) == []


@pytest.mark.parametrize("classes", [20, 50])
def test_a_code_of_many_classes(classes: int) -> None:
    random = np.random.default_rng(1)
    code = random.integers(0, classes, 1400)
    ids = tuple(map(str, range(1400)))
    labelled = Labelled(ids, tuple(f"c{one}" for one in code), ids, ids)
    encoded = [
        Encoded(numbers=random.normal(size=(3, 1)).astype(np.float32), static=np.array([one], np.float32))
        for one in code
    ]
    found = telling_features(labelled, encoded, list(range(1400)), static=("code",))
    assert [one.sentence.partition(" predicts")[0] for one in found] == ['the feature "code"']


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        (lambda text, a: f"★ {text}" if a else text, '"★"'),
        (lambda text, a: text + (" !!" if a else " ."), '"!!"'),
        (lambda text, a: " ".join(text.split()[: 30 if a else 20]), '"number of words"'),
        (lambda text, a: text if a else f"{text[:-1]}{'x' * 400}", '"number of letters"'),
    ],
)
def test_what_is_no_word_can_tell_the_label(mark: Any, told: str) -> None:
    labelled, split = messages()
    content = tuple(mark(text, label == "a") for text, label in zip(labelled.content, labelled.labels, strict=True))
    found = [one for one in audit(replace(labelled, content=content), split) if one.check == "feature"]
    assert told in " ".join(one.sentence for one in found)


@pytest.mark.parametrize("size", [15, 19, 25])
@pytest.mark.parametrize("change", ["append", "replace", "prefix"])
def test_texts_that_differ_in_a_word(size: int, change: str) -> None:
    random = np.random.default_rng(3)
    labelled, split = messages()
    vocabulary = [f"w{number}" for number in range(3000)]
    content = tuple(" ".join(random.choice(vocabulary, size)) for _ in range(ROWS))
    for test, train in zip(split.test[:9].tolist(), split.train[:9].tolist(), strict=True):
        words = content[train].split()
        words = {
            "append": [*words, f"new{test}"],
            "replace": [*words[: size // 2], "new", *words[size // 2 + 1 :]],
            "prefix": ["rt", *words],
        }[change]
        content = put(content, test, " ".join(words))
    found = only(audit(replace(labelled, content=content), split), "near-duplicate")
    assert found.sentence.startswith("9 of 60 test sequences")
    assert found.examples[0] == f"m.csv: row {split.test[0]} and m.csv: row {split.train[0]}"


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_near_copies_are_those_of_every_pair(seed: int) -> None:
    random = np.random.default_rng(seed)
    base = [" ".join(random.choice([f"w{at}" for at in range(60)], 12)) for _ in range(8)]
    content = []
    for _ in range(60):
        words = base[int(random.integers(8))].split()
        for _ in range(int(random.integers(0, 4))):
            words[int(random.integers(12))] = f"x{random.integers(20)}"
        content.append(" ".join(words))
    ids = tuple(map(str, range(60)))
    found = near_copies(Labelled(tuple(content), ("a",) * 60, ids, ids), range(30), range(30, 60))

    def parts(text: str) -> set[Any]:
        words = text.split()
        return {*words, *pairwise(words)}

    def alike(one: str, other: str) -> bool:
        both = len(parts(one) & parts(other))
        return both >= 0.8 * len(parts(one) | parts(other)) and min(len(set(one.split())), len(set(other.split()))) >= 8

    near = {one: [other for other in range(30, 60) if alike(content[one], content[other])] for one in range(30)}
    assert sorted(found) == [one for one in range(30) if near[one]]
    assert all(other in near[one] for one, other in found.items())


def windows(values: Any, count: int, length: int, step: int) -> tuple[Labelled, list[Encoded]]:
    encoded = [Encoded(numbers=values[at * step : at * step + length].astype(np.float32)) for at in range(count)]
    random = np.random.default_rng(0)
    ids = tuple(map(str, range(count)))
    content = tuple(one.numbers for one in encoded)
    return Labelled(content, tuple(random.choice(["a", "b"], count).tolist()), ids, ids), encoded


@pytest.mark.parametrize("count", [300, 2000])
def test_windows_of_a_coarse_signal_that_overlap(count: int) -> None:
    random = np.random.default_rng(4)
    steps = np.arange(50 * (count + 1))
    signal = np.round(8 * np.sin(steps / 7) + random.normal(size=len(steps)) * 4)[:, None]
    labelled, encoded = windows(signal, count, 100, 50)
    found = only(
        [one for one in audit(labelled, hold_out(labelled.labels), encoded) if "test" in one.sentence], "overlap"
    )
    assert found.severity == "leak"
    assert found.share > 0.9
    labelled, encoded = windows(signal, count // 2, 100, 100)  # apart
    assert not [one for one in audit(labelled, hold_out(labelled.labels), encoded) if one.check == "overlap"]


def test_a_pattern_that_comes_again_and_again_is_no_copy() -> None:
    random = np.random.default_rng(5)
    turns = np.concatenate([np.tile(random.permutation(5), 30) for _ in range(300)])[:, None]
    labelled, encoded = windows(turns, 300, 150, 150)
    assert not [one for one in audit(labelled, hold_out(labelled.labels), encoded) if one.check == "overlap"]


def test_short_series_that_are_the_same() -> None:
    labelled, split, encoded = clean(steps=8)
    test, train = int(split.test[3]), int(split.train[7])
    encoded[test] = encoded[train]
    found = only(audit(labelled, split, encoded), "overlap")
    assert found.examples == (f"x.csv: row {test} and x.csv: row {train}",)
    assert "share a run of 10 steps or more, or all their steps" in found.sentence
