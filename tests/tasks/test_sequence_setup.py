"""From a file to what is trained: what is fitted on which part, what validation is judged by, what it chooses."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latchwork.errors import ConfigError, DataError
from latchwork.evaluation import cross_validate
from latchwork.layers import Network
from latchwork.sequences import Labelled, Split
from latchwork.tasks import Classify, Label, SequenceSetup, SequenceTask, read_examples
from latchwork.tasks.sequence_setup import check_metric, folds_of
from latchwork.tasks.targets import Targets
from latchwork.training import Training, fit_sequences

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny

QUICK = Training(steps=4, batch_size=8, evaluate_every=2, device="cpu")
SMALL = Network(hidden_size=4)


def prepared(task: SequenceTask, source: Any, split: Split | None = None) -> SequenceSetup:
    return SequenceSetup.of(task, *read_examples(task, source), SMALL, seed=0, split=split)


def split(train: Any, validation: Any, test: Any) -> Split:
    return Split(*(np.array(list(rows), np.int64) for rows in (train, validation, test)))


def texts(labels: list[Any], **more: Any) -> Labelled:
    names = tuple(str(row) for row in range(len(labels)))
    content = tuple(f"word{row} and word{row + 1}" for row in range(len(labels)))
    return Labelled(content, tuple(labels), names, tuple(f"row {name}" for name in names), **more)


def given(task: SequenceTask, labels: list[Any], parts: Split, **more: Any) -> SequenceSetup:
    return SequenceSetup.of(task, "text", texts(labels, **more), SMALL, seed=0, split=parts)


# Files


def test_files_of_their_own_are_the_parts(tmp_path: Path) -> None:
    train, dev, test = (tiny.write_texts(tmp_path / f"{name}.csv", count, seed=seed) for name, count, seed in (
        ("train", 20, 0), ("dev", 8, 1), ("test", 6, 2)))  # fmt: skip
    setup = prepared(Classify(validation=dev, test=test), train)
    assert [len(setup.split.part(part)) for part in ("train", "validation", "test")] == [20, 8, 6]
    assert setup.labelled.ids[20].startswith("validation/")
    rows = [{"text": text, "label": label, "part": "test" if row > 30 else "train"}
            for row, (text, label) in enumerate(tiny.texts(40))]  # fmt: skip
    own = tiny.table(tmp_path / "own.csv", rows)
    assert len(prepared(Classify(split="part"), own).split.test) == 9
    with pytest.raises(DataError, match="part"):
        prepared(Classify(split="part", test=test), own)
    parts = tiny.table(tmp_path / "parts.csv", [{**row, "part": "train"} for row in rows[:6]])
    with pytest.raises(ConfigError, match="has parts of its own"):
        prepared(Classify(split="part", test=parts), own)


def test_a_label_of_the_test_file_that_training_never_saw_is_named(tmp_path: Path) -> None:
    train = tiny.write_texts(tmp_path / "train.csv")
    test = tiny.table(tmp_path / "test.csv", [{"text": "a fine film", "label": "goood"}])
    with pytest.raises(DataError, match=r'test.csv: row 1 \(line 2\): the label "goood".*did you mean "good"'):
        prepared(Classify(test=test), train)


@pytest.mark.parametrize(("target", "rare"), [("class", "z"), ("labels", ("a", "z")), ("ordinal", "9")])
def test_a_class_that_a_fold_keeps_from_training_is_left_out_and_told(target: str, rare: Any) -> None:
    names: list[Any] = [("a",), ("b",)] if target == "labels" else ["1", "2"]
    labels = [*names * 6, rare]
    fold = replace(split(range(8), [8, 9], [10, 11, 12]), name="fold 2 of 3")
    setup = given(Classify(target=target), labels, fold)
    assert setup.truth[12] is None
    assert setup.truth[11] is not None
    told = next(note for note in setup.notes if "left out of fold 2 of 3" in note)
    assert str(rare) in told
    with pytest.raises(DataError, match="never seen in training"):
        given(Classify(target=target), labels, replace(fold, name="hold-out"))


def test_cross_validation_goes_on_without_a_class_of_one_example(tmp_path: Path) -> None:
    rows = [{"text": text, "label": label} for text, label in [*tiny.texts(30), ("a thing of its own", "rare")]]
    source = tiny.table(tmp_path / "a.csv", rows)
    found = cross_validate(Classify(), source, folds=3, network=SMALL, training=QUICK)
    assert len(found.folds.methods) > 1


def test_numbers_stay_numbers_in_a_part_that_holds_few_of_them(tmp_path: Path) -> None:
    rows = [{"text": text, "label": f"{row + 0.5}"} for row, (text, _) in enumerate(tiny.texts(30))]
    setup = prepared(Classify(), tiny.table(tmp_path / "a.csv", rows))
    assert len(setup.split.train) <= 20  # too few to be told from classes by themselves
    assert setup.pipeline.targets.kind == "number"
    assert any("read as numbers (target=number)" in note for note in setup.notes)


def test_labels_of_steps_that_are_cut_away_count_for_nothing(tmp_path: Path) -> None:
    source = tiny.write_words(tmp_path / "a.conll", spans=False)
    kind, labelled = read_examples(Label(), source)
    late = replace(labelled, labels=tuple((*one[:-1], "LATE") for one in labelled.labels))
    setup = SequenceSetup.of(Label(max_length=1), kind, late, SMALL, seed=0)
    assert "LATE" not in setup.pipeline.targets.classes
    assert sum(setup.pipeline.targets.counts) == len(setup.split.train)


def test_what_is_missing_in_the_test_alone_is_told(tmp_path: Path) -> None:
    def file(name: str, holes: int) -> Path:
        rows = [
            {"id": row // 3, "pulse": "" if row % 3 < holes else row, "label": "ab"[row // 3 % 2]} for row in range(60)
        ]
        return tiny.table(tmp_path / name, rows)

    train, whole, holed = file("train.csv", 0), file("whole.csv", 0), file("holed.csv", 1)
    told = "20 values are missing in validation and test, and none in training: they are read as its mean"
    assert told in prepared(Classify(id="id", test=holed), train).notes
    assert not any("missing" in note for note in prepared(Classify(id="id", test=whole), train).notes)


def test_labels_and_steps_must_be_as_many() -> None:
    whole = texts([("O", "X"), ("O",), ("X",)])
    words = replace(whole, content=(("a", "b"), ("c",), ("d", "e")))
    with pytest.raises(DataError, match="row 2: 1 labels for 2 steps"):
        SequenceSetup.of(Label(), "text", words, SMALL, seed=0, split=split([0, 1], [2], []))


def test_groups_and_time_decide_the_split() -> None:
    labels = ["a", "b"] * 10
    groups = tuple(f"g{row // 4}" for row in range(20))
    task = Classify(by_time=True)
    setup = SequenceSetup.of(
        task, "text", texts(labels, order=np.arange(20.0)[::-1]), SMALL, seed=0
    )  # fmt: skip
    assert max(setup.split.test) < min(setup.split.train)
    setup = SequenceSetup.of(Classify(), "text", texts(labels, groups=groups), SMALL, seed=0)
    sides = [{groups[row] for row in setup.split.part(part)} for part in ("train", "validation", "test")]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]


def test_folds_are_disjoint_and_keep_a_class_in_each(tmp_path: Path) -> None:
    task = Classify()
    _, labelled = read_examples(task, tiny.write_texts(tmp_path / "a.csv"))
    folds = folds_of(task, labelled, 4, seed=0)
    assert sorted(np.concatenate([one.test for one in folds]).tolist()) == list(range(40))


@pytest.mark.parametrize(
    ("target", "label", "wanted"),
    [
        ("auto", lambda row: f"{row * 0.37}", (26, 6, 8)),
        ("auto", lambda row: ("a|b", "b|c", "c", "a|b|c", "b")[row % 5], (26, 6, 8)),
        ("ordinal", lambda row: f"{row % 4}.0", (26, 6, 8)),
        ("auto", lambda row: row % 13, (26, 6, 8)),
    ],
)
def test_splits_are_stratified_by_what_labels_are(target: Any, label: Any, wanted: Any, tmp_path: Path) -> None:
    """Not by how they are written: forty different numbers are no forty classes of one."""
    rows = [{"text": f"word{row} and word{row + 1}", "label": label(row)} for row in range(40)]
    setup = prepared(Classify(target=target), tiny.table(tmp_path / "a.csv", rows))
    sizes = [len(setup.split.part(part)) for part in ("train", "validation", "test")]
    assert sizes == pytest.approx(wanted, abs=3)
    assert not any("one example" in note or "never learned" in note for note in setup.notes)


# What validation is judged by


def test_what_labels_are_judged_by() -> None:
    even = ["a", "b"] * 10
    assert given(Classify(), even, split(range(12), range(12, 16), [])).metric == "accuracy"
    rare = ["a"] * 9 + ["b"] + ["a", "b"] * 5
    assert given(Classify(), rare, split(range(10), range(10, 20), [])).metric == "roc_auc"
    assert given(Classify(metric="mcc"), rare, split(range(10), range(10, 20), [])).metric == "mcc"


def test_a_validation_part_of_one_class_is_said_and_judged_by_the_loss() -> None:
    labels = ["a"] * 9 + ["b"] + ["a"] * 4
    setup = given(Classify(), labels, split(range(10), range(10, 14), []))
    assert setup.metric == "log_loss"
    assert any("roc_auc is undefined on the validation part" in note for note in setup.notes)
    for metric in ("roc_auc", "f1", "mcc", "balanced_accuracy"):
        with pytest.raises(DataError, match=f'{metric} is undefined on the validation part.*"a".*metric=log_loss|"b"'):
            given(Classify(metric=metric), labels, split(range(10), range(10, 14), []))
    assert given(Classify(metric="mcc"), labels, split(range(10), [], range(10, 14))).metric == "mcc"


def test_figures_of_validation_by_hand() -> None:
    setup = given(Classify(), ["a", "b"] * 8, split(range(8), range(8, 12), []))
    logits = [np.array(one) for one in ([3.0, 0.0], [0.0, 1.0], [0.0, 2.0], [1.0, 0.0])]
    found = setup.judged(logits, [0, 1, 0, 1])
    losses = [np.log1p(np.exp(-3)), np.log1p(np.exp(-1)), np.log1p(np.exp(2)), np.log1p(np.exp(1))]
    assert found["accuracy"] == 0.5
    assert found["choice"] == pytest.approx(0.5 + 0.1 * np.mean(losses))
    setup = given(Classify(metric="log_loss"), ["a", "b"] * 8, split(range(8), range(8, 12), []))
    assert setup.judged(logits, [0, 1, 0, 1]) == {
        "choice": pytest.approx(np.mean(losses)), "log_loss": pytest.approx(np.mean(losses))
    }  # fmt: skip
    setup = given(Classify(metric="mcc"), ["a", "b"] * 8, split(range(8), range(8, 12), []))
    one_class = [np.array([5.0, 0.0])] * 4
    assert setup.judged(one_class, [0, 1, 0, 1])["mcc"] == 0.0


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", None])
def test_several_labels_are_judged_by_what_is_asked(metric: str | None) -> None:
    labels = ["x|y", "y", "x", "x|y"] * 3
    setup = given(Classify(metric=metric), labels, split(range(8), range(8, 12), []))
    scores = [np.array([4.0, -0.1]), np.array([-4.0, 0.1])]
    truth = [np.array([1.0, 1.0]), np.array([0.0, 1.0])]
    found = setup.judged(scores, truth)
    loss = np.mean([np.log1p(np.exp(-4)), np.log1p(np.exp(0.1)), np.log1p(np.exp(-4)), np.log1p(np.exp(-0.1))])
    assert (found["accuracy"], found["log_loss"]) == (0.75, pytest.approx(loss))
    assert found["choice"] == pytest.approx(0.25 + 0.1 * loss if metric == "accuracy" else loss)


def test_numbers_are_judged_in_their_own_units() -> None:
    setup = given(Classify(target="number"), [2.0, 4.0] * 6, split(range(8), range(8, 12), []))
    found = setup.judged([np.array([0.0])] * 2, [1.0, -1.0])
    assert (found["choice"], found["rmse"]) == (1.0, 1.0)


def test_grades_are_judged_by_what_is_said_of_them() -> None:
    setup = given(Classify(target="ordinal"), [1, 2, 3] * 4, split(range(9), range(9, 12), []))
    # the most probable grade is 1, the one in the middle is 2
    scores = [np.log([0.4, 0.3, 0.3])]
    assert setup.judged(scores, [1])["accuracy"] == 1.0
    assert setup.pipeline.decode(scores).labels == ["2"]


def test_which_metrics_there_are() -> None:
    for kind, good, bad in (
        ("class", "mcc", "rmse"), ("ordinal", "accuracy", "span_f1"), ("number", "rmse", "accuracy"),
        ("labels", "log_loss", "roc_auc"), ("steps", "accuracy", "span_f1"),
    ):  # fmt: skip
        targets = Targets(kind, ("a", "b"), (1, 1))  # type: ignore[arg-type]
        check_metric(good, targets)
        with pytest.raises(ConfigError, match=f'metric is "{bad}"'):
            check_metric(bad, targets)
    check_metric("span_f1", Targets("steps", ("B-a", "O"), (1, 1), spans=True))


# Probabilities


@pytest.mark.parametrize("count", [20, 120])
def test_a_handful_of_right_answers_makes_nothing_surer(count: int) -> None:
    """All but one are right, and not by much: the temperature that fits best is far below 1."""
    setup = given(Classify(), ["a", "b"] * count, split(range(count), range(count, 2 * count), []))
    truth = [setup.truth[row] for row in setup.split.validation]
    scores = [np.array([0.5, -0.5]) * (1 if code == 0 else -1) for code in truth]
    scores[0] = -scores[0]
    object.__setattr__(setup.pipeline, "scores", lambda encoded: scores)
    setup.calibrate()
    if count < 100:
        assert setup.pipeline.temperature == 1
        assert any("20 validation sequences are too few to make them surer" in note for note in setup.notes)
    else:
        assert setup.pipeline.temperature < 1


# Aims


def test_an_exact_bound_of_sequences_that_share_entities_is_refused_before_training() -> None:
    task = Classify(aim="recall>=0.5", bound="exact")
    groups = tuple(f"g{row // 2}" for row in range(16))
    with pytest.raises(ConfigError, match="bound=bootstrap"):
        given(task, ["a", "b"] * 8, split(range(8), range(8, 16), []), groups=groups)
    given(task, ["a", "b"] * 8, split(range(8), range(8, 16, 2), []), groups=groups)


@pytest.mark.parametrize("option", [{"aim": "recall>=0.95"}, {"cost": "fn=10,fp=1"}, {"aim": "specificity>=0.9"}])
def test_the_threshold_is_what_the_aim_asks_for(option: dict[str, str], tmp_path: Path) -> None:
    task = Classify(validation_size=30, **option)
    source = tiny.write_texts(tmp_path / "a.csv", 80)
    fitted = fit_sequences(task, *read_examples(task, source), SMALL, replace(QUICK, steps=40))
    setup, chosen = fitted.setup, fitted.setup.pipeline.chosen
    assert chosen is not None
    assert chosen.note in setup.notes
    encoded, truth = setup.part(setup.split.validation)
    sure = setup.pipeline.probabilities(setup.pipeline.scores(encoded))[:, setup.pipeline.positive]
    said, true = sure >= setup.pipeline.threshold, np.array(truth) == setup.pipeline.positive
    counts = {
        "tp": int((said & true).sum()), "fp": int((said & ~true).sum()),
        "fn": int((~said & true).sum()), "tn": int((~said & ~true).sum()),
    }  # fmt: skip
    assert counts == chosen.counts
    answers = setup.pipeline.predict(setup.labelled.select(setup.split.validation))
    names = setup.pipeline.targets.classes
    assert [label == names[setup.pipeline.positive or 0] for label in answers.labels] == said.tolist()


def test_folds_choose_the_threshold_on_every_sequence_that_is_no_test(tmp_path: Path) -> None:
    source = tiny.write_texts(tmp_path / "a.csv", 80)
    task = Classify(aim="recall>=0.8", aim_folds=3)
    fitted = fit_sequences(task, *read_examples(task, source), SMALL, replace(QUICK, steps=20), folder=tmp_path / "run")
    setup, chosen = fitted.setup, fitted.setup.pipeline.chosen
    assert chosen is not None
    assert sum(chosen.counts.values()) == 80 - len(setup.split.test) > len(setup.split.train)
    assert "trained once more" in setup.notes[-1]
    assert chosen.note in setup.notes
    assert "the threshold is by the answers of 3 networks to what they were not trained on" in setup.notes
    assert {one.name for one in (tmp_path / "run").iterdir() if one.is_dir()} >= {"fold-1", "fold-2", "fold-3", "refit"}


def test_a_fold_knows_nothing_of_what_it_answers_for(tmp_path: Path) -> None:
    source = tiny.write_texts(tmp_path / "a.csv", 60)
    task = Classify(aim="recall>=0.8", bound="exact", aim_folds=3)
    kind, labelled = read_examples(task, source)
    content = tuple(f"{text} word{row}" for row, text in enumerate(labelled.content))
    setup = SequenceSetup.of(task, kind, replace(labelled, content=content), SMALL, seed=0)
    folds = list(setup.folded(seed=0))
    asked = np.concatenate([fold.split.test for fold in folds])
    assert sorted(asked) == sorted([*setup.split.train, *setup.split.validation])
    for fold in folds:
        assert not {*fold.split.test} & {*fold.split.train}
        assert not {*setup.split.test} & {*fold.split.train, *fold.split.test}
        assert fold.task.wanted is None
        known = fold.pipeline.modality
        assert {one.tokens.tolist()[-1] for one in map(fold.encoded.__getitem__, fold.split.test)} == {1}  # unknown
        assert known is not setup.pipeline.modality
        assert fold.pipeline.targets == setup.pipeline.targets


def test_folds_that_can_not_be_made_are_refused_before_training() -> None:
    groups = tuple(f"g{row // 4}" for row in range(16))
    with pytest.raises(DataError, match="for 6 folds"):
        given(
            Classify(aim="recall>=0.5", aim_folds=6), ["a", "b"] * 8, split(range(8), range(8, 16), []), groups=groups
        )


def test_an_exact_bound_over_folds_wants_entities_of_one_sequence() -> None:
    groups = tuple(f"g{min(row, 14)}" for row in range(16))
    task = Classify(aim="recall>=0.5", bound="exact", aim_folds=2)
    with pytest.raises(ConfigError, match="bound=bootstrap"):
        given(task, ["a", "b"] * 8, split([0, 1, 2, 3, 14, 15], range(4, 14), []), groups=groups)


def test_a_wasted_training_is_not_begun(tmp_path: Path) -> None:
    source = tiny.write_texts(tmp_path / "a.csv")
    task = Classify()
    with pytest.raises(ConfigError, match="truncate is 5, and whole sequences are read"):
        fit_sequences(task, *read_examples(task, source), SMALL, replace(QUICK, truncate=5))


def test_another_network_for_the_same_sequences() -> None:
    labels = ["a"] * 9 + ["b"] + ["a"] * 4
    setup = given(Classify(), labels, split(range(10), range(10, 14), []))
    setup.notes.append("of the first network")
    other = setup.rebuilt(Network(hidden_size=6), seed=1)
    assert other.pipeline.network.hidden_size == 6
    assert other.encoded is setup.encoded
    assert other.notes == setup.notes[:-1]
