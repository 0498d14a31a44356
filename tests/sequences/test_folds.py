"""Splits of whole sequences: nothing is on two sides, each class has its share, and too little is said or refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError
from latchwork.sequences import Labelled, Split, hold_out, k_fold, split_examples

LAWS = settings(max_examples=60)
classes = st.lists(st.sampled_from("aabbbccd"), min_size=12, max_size=80).filter(lambda one: min_count(one) > 1)


def min_count(labels: list[str]) -> int:
    return 0 if len(set(labels)) < 2 else min(labels.count(one) for one in set(labels))


def covers(split: Split, rows: int) -> bool:
    every = np.concatenate([split.train, split.validation, split.test])
    return len(every) == len(set(every.tolist())) == rows


def sides(split: Split, keys: list[str]) -> list[set[str]]:
    return [{keys[row] for row in part} for part in (split.train, split.validation, split.test)]


def apart(split: Split, keys: list[str]) -> bool:
    train, validation, test = sides(split, keys)
    return not (train & validation or train & test or validation & test)


# ---- laws


@LAWS
@given(labels=classes, folds=st.integers(2, 5), seed=st.integers(0, 5))
def test_folds_partition_and_every_class_is_spread_to_within_one(labels: list[str], folds: int, seed: int) -> None:
    try:
        splits = k_fold(labels, folds=folds, seed=seed)
    except DataError as error:
        assert "one class only" in str(error)  # noqa: PT017 the only refusal that such labels may meet
        return
    assert sorted(np.concatenate([split.test for split in splits]).tolist()) == list(range(len(labels)))
    assert all(covers(split, len(labels)) for split in splits)
    for one in set(labels):
        counts = [sum(labels[row] == one for row in split.test) for split in splits]
        assert max(counts) - min(counts) <= 1


@LAWS
@given(data=st.data(), folds=st.integers(2, 4), seed=st.integers(0, 5))
def test_no_group_or_content_is_on_both_sides(data: st.DataObject, folds: int, seed: int) -> None:
    rows = data.draw(st.integers(20, 60))
    labels = ["ab"[row % 2] for row in range(rows)]
    groups = data.draw(st.lists(st.sampled_from("pqrstuvwxyz"), min_size=rows, max_size=rows))
    same = data.draw(st.lists(st.integers(0, 200).map(str), min_size=rows, max_size=rows))
    for keys in ({"groups": groups}, {"same": same}, {"groups": groups, "same": same}):
        try:
            splits = [*k_fold(labels, folds=folds, seed=seed, **keys), hold_out(labels, seed=seed, **keys)]
        except DataError:
            continue
        assert all(covers(split, rows) for split in splits)
        kept = not any("too many to keep together" in note for note in splits[0].notes)
        for name, values in keys.items():
            assert all(apart(split, values) for split in splits if kept or name == "groups")


@LAWS
@given(labels=classes, seed=st.integers(0, 9), by_time=st.booleans())
def test_the_same_seed_gives_the_same_split(labels: list[str], seed: int, by_time: bool) -> None:
    order = np.arange(len(labels), dtype=np.float64)

    def made() -> Any:
        try:
            splits = [hold_out(labels, seed=seed, order=order, by_time=by_time), *k_fold(labels, folds=2, seed=seed)]
        except DataError as error:
            return str(error)
        return [[part.tolist() for part in (one.train, one.validation, one.test)] for one in splits]

    assert made() == made()


@LAWS
@given(times=st.lists(st.integers(0, 40), min_size=15, max_size=60), folds=st.integers(2, 4))
def test_by_time_nothing_learned_is_later_than_what_is_scored(times: list[int], folds: int) -> None:
    labels = [float(row) for row in range(len(times))]
    order = np.array(times, np.float64)
    try:
        splits = [*k_fold(labels, folds=folds, order=order, by_time=True), hold_out(labels, order=order, by_time=True)]
    except DataError as error:
        assert "different times" in str(error)  # noqa: PT017
        return
    for split in splits:
        assert order[split.train].max() < order[split.test].min()
        if len(split.validation):
            assert order[split.train].max() < order[split.validation].min()
            assert order[split.validation].max() < order[split.test].min()


def test_another_seed_gives_another_split() -> None:
    labels = ["a", "b"] * 50
    assert hold_out(labels, seed=0).test.tolist() != hold_out(labels, seed=1).test.tolist()


def test_shares_are_kept_in_each_class() -> None:
    labels = ["a"] * 800 + ["b"] * 200
    split = hold_out(labels, test=0.2, validation=0.1)
    for part, size in ((split.train, 700), (split.validation, 100), (split.test, 200)):
        assert len(part) == size
        assert sum(labels[row] == "b" for row in part) == size // 5


def test_sizes_may_be_numbers_of_sequences() -> None:
    split = hold_out(["a", "b"] * 50, test=10, validation=6)
    assert (len(split.test), len(split.validation)) == (10, 6)


def test_a_number_of_sequences_is_that_number_beside_parts_of_the_files_own() -> None:
    parts: list[Any] = ["test"] * 100 + ["train"] * 100
    assert len(hold_out(["a", "b"] * 100, parts=parts, validation=40).validation) == 40
    assert {len(one.validation) for one in k_fold(["a", "b"] * 100, folds=5, validation=40)} == {40}


def test_whole_groups_keep_the_share_of_each_class_as_well_as_it_goes() -> None:
    random = np.random.default_rng(0)
    groups = [f"patient {random.integers(200)}" for _ in range(2000)]
    sick = {group: random.random() < 0.14 for group in set(groups)}
    labels = ["sick" if sick[group] else "well" for group in groups]
    shares = [np.mean([labels[row] == "sick" for row in split.test]) for split in k_fold(labels, groups=groups)]
    whole = np.mean([label == "sick" for label in labels])
    assert np.abs(np.array(shares) - whole).max() < 0.02


def test_numbers_and_several_labels_are_spread_too() -> None:
    numbers = [float(row) ** 2 for row in range(100)]
    for split in k_fold(numbers, folds=5):
        assert abs(np.median(split.test) - 49.5) < 8
    several = [("x", "rare") if row < 10 else ("x",) for row in range(100)]
    assert [sum(row < 10 for row in split.test) for split in k_fold(several, folds=5)] == [2] * 5


# ---- the file's own parts


def test_the_files_own_parts_are_kept_and_what_is_missing_is_cut_from_training() -> None:
    parts: list[Any] = ["train"] * 80 + ["test"] * 20
    split = hold_out(["a", "b"] * 50, parts=parts, validation=0.1)
    assert split.test.tolist() == list(range(80, 100))
    assert len(split.validation) == 8
    assert any("no validation part" in note for note in split.notes)
    whole: list[Any] = ["train"] * 70 + ["validation"] * 10 + ["test"] * 20
    assert hold_out(["a", "b"] * 50, parts=whole).validation.tolist() == list(range(70, 80))


def test_folds_leave_the_files_test_part_alone() -> None:
    parts: list[Any] = ["train"] * 80 + ["test"] * 20
    splits = k_fold(["a", "b"] * 50, parts=parts)
    assert sorted(np.concatenate([split.test for split in splits]).tolist()) == list(range(80))
    assert any("own test part (20 sequences)" in note for note in splits[0].notes)


def test_an_entity_on_both_sides_of_the_files_own_split_is_said() -> None:
    parts: list[Any] = ["train"] * 8 + ["test"] * 4
    groups = [*"abcdefgh", "a", "x", "y", "z"]
    split = hold_out(["p", "q"] * 6, parts=parts, groups=groups)
    assert any(note.startswith("1 set of the same entity") for note in split.notes)


# ---- what is said, and what is refused


def test_a_class_with_one_example_is_learned_and_said() -> None:
    split = hold_out(["a", "b"] * 20 + ["once"])
    assert 40 in split.train
    assert any('one example, which is learned from or scored, never both: "once"' in note for note in split.notes)


def test_a_class_with_fewer_examples_than_folds_is_said() -> None:
    splits = k_fold(["a", "b"] * 20 + ["few"] * 3, folds=5)
    assert any('"few" (3)' in note for note in splits[0].notes)


def test_a_fold_with_one_class_is_said() -> None:
    groups = [str(row // 10) for row in range(60)]
    labels = ["a" if row < 30 else "b" for row in range(60)]
    splits = k_fold(labels, groups=groups, folds=6, validation=0)
    assert all(any("one class only" in note for note in split.notes) for split in splits)


def test_labels_that_are_missing_are_in_no_part() -> None:
    split = hold_out(["a", "b"] * 20 + [None] * 3)
    assert split.left_out == 3
    assert covers(split, 40)
    assert any(note.startswith("3 sequences without a label") for note in split.notes)


def test_duplicates_are_counted_and_said() -> None:
    content = tuple(f"text {row % 30}" for row in range(40))
    labelled = Labelled(content, ("a", "b") * 20, tuple(map(str, range(40))), ("",) * 40)
    (split,) = split_examples(labelled)
    assert split.duplicates == 10
    assert apart(split, list(content))
    assert split_examples(labelled, duplicates=False)[0].duplicates == 0


def test_texts_that_differ_in_digits_alone_are_kept_together() -> None:
    letters = "abcdefghijklmno"
    content = tuple(f"{'CALL' if row % 2 else 'call'} 0{row} {letters[row % 15]} or me!" for row in range(60))
    labelled = Labelled(content, ("a", "b") * 30, tuple(map(str, range(60))), ("",) * 60)
    (split,) = split_examples(labelled)
    assert split.duplicates == 45
    assert apart(split, [letters[row % 15] for row in range(60)])


def test_entities_after_the_cut_in_time_are_left_out_before_it() -> None:
    groups = ["stays" if row % 10 == 0 else str(row) for row in range(50)]
    labels = ["a", "b"] * 25
    split = hold_out(labels, groups=groups, order=np.arange(50.0), by_time=True)
    assert apart(split, groups)
    assert split.left_out == 4
    assert any("left out before the cut in time" in note for note in split.notes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: k_fold(["a", "b"] * 10, groups=["p"] * 10 + ["q"] * 10, folds=3), "2 groups for 3 folds"),
        (lambda: k_fold(["a"] * 20), 'every label is "a"'),
        (lambda: k_fold(["a"] * 10 + ["b"] * 10, groups=["p"] * 10 + ["q"] * 10, folds=2), "one class only"),
        (lambda: hold_out([None] * 5), "no sequence has a label"),
        (lambda: hold_out(["a", 1.0]), "labels are numbers and texts"),
        (lambda: hold_out(["a", "b"] * 9, by_time=True), "needs a column of time"),
        (lambda: hold_out(["a", "b"], order=np.array([1.0, np.nan]), by_time=True), "1 of 2 have none"),
        (lambda: hold_out(["a", "b"] * 9, order=np.zeros(18), by_time=True), "1 different times for 3 parts"),
        (lambda: hold_out(["a", "b"], groups=["p"]), "groups has 1 entries for 2"),
        (lambda: hold_out(["a", "b"], parts=["test", "test"]), "no sequence with a label is in the training part"),
    ],
)
def test_where_nothing_sensible_is_left_it_is_refused(call: Any, message: str) -> None:
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        call()


@pytest.mark.parametrize("size", [-0.1, 1.5, float("nan")])
def test_sizes_are_checked(size: float) -> None:
    with pytest.raises(ConfigError, match="test is"):
        hold_out(["a", "b"] * 9, test=size)
    with pytest.raises(ConfigError, match="leave nothing to learn from"):
        hold_out(["a", "b"] * 9, test=0.6, validation=0.5)
    with pytest.raises(ConfigError, match="expected at least 2"):
        k_fold(["a", "b"] * 9, folds=1)
