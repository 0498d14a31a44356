"""Rivals of whole sequences: they learn what is there, from the training side alone, and say what they left out."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork import optional
from latchwork.baselines import CLASSIFY_BASELINES, Side, run_sequence_baselines, summaries
from latchwork.baselines import learners as rules
from latchwork.baselines.features import pixels
from latchwork.errors import DataError, MissingExtra
from latchwork.sequences import Encoded, Labelled

CLASSES = ("bad", "good")


def side(content: list[Any], labels: list[Any], encoded: list[Encoded] | None = None) -> Side:
    names = tuple(map(str, range(len(content))))
    return Side(Labelled(tuple(content), tuple(labels), names, names), encoded)


def texts(count: int, seed: int) -> Side:
    random = np.random.default_rng(seed)
    labels = random.choice(CLASSES, count).tolist()
    words = {"bad": ["awful", "dull", "not nice"], "good": ["lovely", "bright", "nice"]}
    content = [f"the film was {random.choice(words[one])} , said no. {random.integers(99)}" for one in labels]
    return side(content, labels)


def waves(count: int, seed: int, *, images: bool = False, masked: bool = False) -> Side:
    """ "good" rises, "bad" falls; of different lengths."""
    random = np.random.default_rng(seed)
    labels = random.choice(CLASSES, count).tolist()
    encoded = []
    for one in labels:
        steps = int(random.integers(8, 14))
        sign = 1 if one == "good" else -1
        numbers = np.stack(
            [sign * np.linspace(-1, 1, steps) + random.normal(0, 0.3, steps), random.normal(size=steps)], 1
        )
        mask = (random.random(numbers.shape) < 0.8).astype(np.float32) if masked else None
        numbers = (numbers if mask is None else numbers * mask).astype(np.float32)
        image = (np.full((1, 4, steps), sign) + random.normal(0, 0.5, (1, 4, steps))).astype(np.float32)
        encoded.append(Encoded(image=image) if images else Encoded(numbers=numbers, mask=mask))
    return side(list(range(count)), labels, encoded)


def parts(make: Any, **options: Any) -> tuple[Side, Side, Side]:
    return make(200, 0, **options), make(60, 1, **options), make(80, 2, **options)


def accuracy(probabilities: Any, asked: Side, classes: tuple[str, ...] = CLASSES) -> float:
    return float(
        np.mean([classes[at] == one for at, one in zip(probabilities.argmax(1), asked.labelled.labels, strict=True)])
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"make": texts}, ["majority", "TF-IDF + linear", "letters + linear"]),
        ({"make": waves}, ["majority", "bag of steps + linear", "boosting on summaries"]),
        ({"make": waves, "masked": True}, ["majority", "bag of steps + linear", "boosting on summaries"]),
        ({"make": waves, "images": True}, ["majority", "linear on pixels"]),
    ],
)
def test_each_kind_of_data_has_its_rivals(options: dict[str, Any], expected: list[str]) -> None:
    train, validation, test = parts(**options)
    answers = run_sequence_baselines(train, validation, test, CLASSES)
    assert [one.name for one in answers] == expected
    for one in answers:
        assert one.probabilities is not None
        assert one.probabilities.shape == (80, 2)
        np.testing.assert_allclose(one.probabilities.sum(1), 1, atol=1e-6)
    best = max(accuracy(one.probabilities, test) for one in answers)
    assert best > 0.9


def test_the_majority_is_the_share_in_training() -> None:
    train = side(["x"] * 10, ["good"] * 7 + ["bad"] * 3)
    (answer,) = run_sequence_baselines(train, train, train, CLASSES, baselines=CLASSIFY_BASELINES[:1])
    assert answer.probabilities is not None
    np.testing.assert_allclose(answer.probabilities, [[0.3, 0.7]] * 10)


def test_the_labels_of_the_test_are_never_read() -> None:
    for make in (texts, waves):
        train, validation, test = parts(make)
        blind = Side(replace(test.labelled, labels=(None,) * len(test)), test.encoded)
        seen, unseen = (run_sequence_baselines(train, validation, one, CLASSES) for one in (test, blind))
        for one, other in zip(seen, unseen, strict=True):
            np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_the_same_seed_gives_the_same_answers() -> None:
    train, validation, test = parts(waves, masked=True)
    first, again = (run_sequence_baselines(train, validation, test, CLASSES, seed=3) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_a_label_without_a_place_in_training_is_left_out() -> None:
    train, validation, test = parts(texts)
    odd = Side(replace(validation.labelled, labels=("new", None, *validation.labelled.labels[2:])))
    for one in run_sequence_baselines(train, odd, test, (*CLASSES, "never")):
        assert one.probabilities is not None
        assert one.probabilities[:, 2].max() == 0


def test_the_penalty_is_chosen_on_validation() -> None:
    """Weighted words have small gradients: a loose tolerance would stop at the first penalties and keep them."""
    weight = np.random.default_rng(0).normal(size=3000)

    def made(count: int, seed: int) -> Side:
        words = np.random.default_rng(seed).integers(0, 3000, (count, 25))
        labels = np.where(weight[words].sum(1) > 0, "good", "bad").tolist()
        return side([" ".join(f"w{word}" for word in one) for one in words], labels)

    train, validation, test = made(3000, 1), made(500, 2), made(500, 3)
    tfidf = run_sequence_baselines(train, validation, test, CLASSES, baselines=CLASSIFY_BASELINES[1:2])[0]
    assert tfidf.note in ("C 10 by validation", "C 30 by validation", "C 100 by validation")
    assert accuracy(tfidf.probabilities, test) > 0.7
    bare = run_sequence_baselines(train, side([], []), test, CLASSES, baselines=CLASSIFY_BASELINES[1:2])[0]
    assert bare.note == "C 1"


def test_one_class_in_training_is_answered_with_it() -> None:
    train, validation, test = parts(waves)
    rows = [row for row, one in enumerate(train.labelled.labels) if one == "good"]
    assert train.encoded is not None
    one_class = Side(train.labelled.select(rows), [train.encoded[row] for row in rows])
    for one in run_sequence_baselines(one_class, validation, test, CLASSES):
        assert one.probabilities is not None
        np.testing.assert_array_equal(one.probabilities, [[0, 1]] * len(test))


def test_texts_without_a_word_and_no_test_at_all() -> None:
    blank = side(["", " ", "", " "] * 5, list(CLASSES) * 10)
    for one in run_sequence_baselines(blank, blank, blank, CLASSES):
        np.testing.assert_allclose(one.probabilities, 0.5)
    train, validation, _ = parts(texts)
    for one in run_sequence_baselines(train, validation, side([], []), CLASSES):
        assert one.probabilities is not None
        assert one.probabilities.shape == (0, 2)


def test_no_label_is_refused() -> None:
    with pytest.raises(DataError, match="no training sequence has a label"):
        run_sequence_baselines(side(["a"], [None]), side([], []), side(["a"], [None]), CLASSES)
    with pytest.raises(DataError, match="1 encoded of 2 sequences"):
        side(["a", "b"], CLASSES, [Encoded()])


def test_a_missing_package_is_said_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> Any:
        raise MissingExtra(f"{module}: pip install")

    monkeypatch.setattr(optional, "load", missing)
    majority, *others = run_sequence_baselines(*parts(texts), CLASSES)
    assert majority.probabilities is not None
    assert all(one.probabilities is None and "pip install" in one.note for one in others)


def test_too_much_to_fit_is_thinned_with_every_class_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_WORK", 10.0)
    train = side(
        [f"word{row % 7} {row}" for row in range(2000)], ["rare" if row == 5 else "ab"[row % 2] for row in range(2000)]
    )
    answers = run_sequence_baselines(train, side([], []), train, ("a", "b", "rare"))
    tfidf = next(one for one in answers if one.name == "TF-IDF + linear")
    assert "fitted on 200 of 2,000 training rows" in tfidf.note
    assert tfidf.probabilities is not None
    assert tfidf.probabilities[:, 2].min() > 0


# ---- numbers and several labels


def test_a_number_is_answered_with_a_number() -> None:
    train, validation, test = parts(waves)
    slopes = [summaries(one.encoded or (), ("mean",)).values[:, 0] for one in (train, validation, test)]
    asked = [
        Side(replace(one.labelled, labels=tuple((3 * slope + 1).tolist())), one.encoded)
        for one, slope in zip((train, validation, test), slopes, strict=True)
    ]
    answers = {one.name: one for one in run_sequence_baselines(*asked, ())}
    truth = 3 * slopes[2] + 1
    bag = answers["bag of steps + linear"]
    assert bag.probabilities is not None
    assert bag.probabilities.shape == (80,)
    assert np.abs(bag.probabilities - truth).mean() < 0.05
    assert "alpha" in bag.note
    np.testing.assert_allclose(answers["majority"].probabilities, 3 * slopes[0].mean() + 1)


def test_several_labels_have_a_probability_each() -> None:
    train, validation, test = parts(texts)

    def several(one: Side) -> Side:
        labels = tuple(tuple(name for name in (own, "number") if name == own or "9" in text)
                       for own, text in zip(one.labelled.labels, one.labelled.content, strict=True))  # fmt: skip
        return Side(replace(one.labelled, labels=labels))

    train, validation, test = map(several, (train, validation, test))
    for one in run_sequence_baselines(train, validation, test, (*CLASSES, "number")):
        assert one.probabilities is not None
        assert one.probabilities.shape == (80, 3)
        if one.name != "majority":
            told = one.probabilities[:, 1] > 0.5
            assert np.mean(told == np.array(["good" in label for label in test.labelled.labels])) > 0.9


# ---- features


@settings(max_examples=50)
@given(data=st.data())
def test_summaries_are_those_of_numpy_over_what_was_seen(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 1000))
    lengths = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=6))
    random = np.random.default_rng(seed)
    encoded = []
    for steps in lengths:
        mask = (random.random((steps, 2)) < 0.6).astype(np.float32)
        encoded.append(Encoded(numbers=(random.normal(size=(steps, 2)) * mask).astype(np.float32), mask=mask))
    found = summaries(encoded, columns=("a",))
    assert found.names[:2] == ("mean of a", "mean of number 2")
    assert found.names[-1] == "steps"
    for row, one in enumerate(encoded):
        assert one.numbers is not None
        assert one.mask is not None
        values = dict(zip(found.names, found.values[row], strict=True))
        assert values["steps"] == len(one.numbers)
        x = one.numbers[one.mask[:, 0] > 0, 0].astype(np.float64)
        when = np.flatnonzero(one.mask[:, 0] > 0)
        if not len(x):
            assert np.isnan(values["mean of a"])
            assert np.isnan(values["last of a"])
            continue
        expected = {
            "mean": x.mean(),
            "deviation": x.std(),
            "min": x.min(),
            "max": x.max(),
            "first": x[0],
            "last": x[-1],
        }
        expected["slope"] = np.polyfit(when, x, 1)[0] if len(x) > 1 else 0.0
        expected["missing"] = 1 - len(x) / len(one.numbers)
        for kind, value in expected.items():
            assert values[f"{kind} of a"] == pytest.approx(value, abs=1e-6)


def test_images_of_another_width_are_brought_to_the_same() -> None:
    encoded = [Encoded(image=np.arange(2.0 * width, dtype=np.float32).reshape(1, 2, width)) for width in (4, 8)]
    found = pixels(encoded, 4)
    assert found.shape == (2, 8)
    np.testing.assert_array_equal(found[1], [0, 2, 4, 6, 8, 10, 12, 14])


def test_sequences_of_one_length_are_read_step_by_step() -> None:
    def made(count: int, seed: int) -> Side:
        random = np.random.default_rng(seed)
        labels = random.choice(CLASSES, count).tolist()
        numbers = random.normal(size=(count, 6, 1)).astype(np.float32)
        numbers[:, 3, 0] += [2 if one == "good" else -2 for one in labels]
        numbers[:, 4, 0] -= [2 if one == "good" else -2 for one in labels]
        return side(labels, labels, [Encoded(numbers=one) for one in numbers])

    answers = {one.name: one for one in run_sequence_baselines(*parts(made), CLASSES)}
    assert accuracy(answers["linear on all steps"].probabilities, made(80, 2)) > 0.95
    assert accuracy(answers["bag of steps + linear"].probabilities, made(80, 2)) < 0.75


@pytest.mark.parametrize(("make", "name"), [(texts, "TF-IDF + linear"), (waves, "boosting on summaries")])
def test_what_the_model_learned_from_in_the_end_the_rivals_do_too(make: Any, name: str) -> None:
    """With what was chosen on the validation side as it was; a side that says nothing of its own changes nothing."""
    train, validation, test = parts(make)
    rival = [one for one in CLASSIFY_BASELINES if one.name == name]

    def asked(held: Side) -> Any:
        return run_sequence_baselines(train, held, test, CLASSES, baselines=rival)[0]

    alone, both = asked(validation), asked(replace(validation, learned=True))
    assert "fitted on both" in both.note
    assert "fitted on both" not in alone.note
    assert not np.array_equal(alone.probabilities, both.probabilities)
    nothing = replace(make(0, 3), learned=True)
    assert np.array_equal(asked(nothing).probabilities, asked(replace(nothing, learned=False)).probabilities)


@pytest.mark.parametrize("learner", [rules.linear, rules.stochastic, rules.boosted])
def test_fitted_again_is_fitted_on_both(learner: Any) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(90, 3))
    labels = np.array(CLASSES)[(x[:, 0] + random.normal(0, 0.5, 90) > 0).astype(int)].tolist()
    y, v = (rules.Targets.of(part, CLASSES, "class") for part in (labels[:60], labels[60:]))
    found = learner(x[:60], y, x[60:], v, x, 0, again=True)
    whole = rules.Targets.of(labels, CLASSES, "class")
    fit, asked = rules._together(x[:60], y, x[60:], v)
    assert np.array_equal(fit, x)
    assert np.array_equal(asked, whole.values)
    assert rules._loss(found.probabilities[60:], v) < rules._loss(learner(x[:60], y, x[60:], v, x[60:], 0)[0], v)
