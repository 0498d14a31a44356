"""The options of classifying: what is refused, and that each one that stays changes something."""

import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latchwork.errors import ConfigError, LatchworkError
from latchwork.layers import Augment, Network
from latchwork.modalities import SourceOptions
from latchwork.sequences import Labelled
from latchwork.tasks import Classify, SequenceSetup, SequenceTask, read_examples
from latchwork.tasks.sequence_pipeline import kind_of_source
from latchwork.tasks.supervised import Supervised, convolution
from latchwork.training import Training, fit_sequences

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny

QUICK = Training(steps=4, batch_size=8, evaluate_every=2, device="cpu")
SMALL = Network(hidden_size=4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": "classes"}, 'target is "classes", expected one of auto, class, labels, ordinal, number'),
        ({"pooling": "lats"}, 'pooling is "lats".*last'),
        ({"class_weight": "yes"}, "class_weight"),
        ({"sampling": "even"}, "sampling"),
        ({"focal": -1.0}, "focal is -1"),
        ({"focal": float("nan")}, "focal is nan"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"aim": "recal>=0.9"}, 'did you mean "recall"'),
        ({"aim": "recall>=2"}, '"2" is no share'),
        ({"cost": "fn=1"}, "expected such as"),
        ({"aim": "recall>=0.9", "cost": "fn=1,fp=1"}, "both choose the threshold"),
        ({"aim": "recall>=0.9", "target": "number"}, "for two classes, and target is number"),
        ({"bound": "exact"}, "there is no aim to hold for it"),
        ({"aim_folds": 5}, "there is no aim to choose for"),
        ({"aim_folds": 1, "aim": "recall>=0.9"}, "aim_folds is 1, expected 2 or more"),
        ({"bound": "exact", "cost": "fn=1,fp=1"}, "there is no aim to hold for it"),
        ({"bound": "sure", "aim": "recall>=0.9"}, "bound"),
        ({"freeze": True}, "freeze is for pre-trained vectors"),
        ({"keep": "end"}, "nothing is cut"),
        ({"keep": "middle", "max_length": 3}, "keep"),
        ({"embedding": 0}, "embedding is 0"),
        ({"input_dropout": 1.0}, "input_dropout"),
        ({"embedding_dropout": -0.1}, "embedding_dropout"),
        ({"test_size": -1}, "test_size is -1"),
        ({"convolutions": ("32y",)}, 'convolution "32y" is not known'),
        ({"convolutions": ("0x3",)}, "channels"),
        ({"convolutions": ("8x4",)}, "odd"),
        ({"variable": "v"}, "belong together"),
        ({"max_length": 0}, "max_length is 0"),
        ({"vocabulary_size": 2}, "vocabulary_size is 2"),
    ],
)
def test_what_can_not_be_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Classify(**options)


def test_convolutions_are_read() -> None:
    one = convolution("32x5/2")
    assert (one.channels, one.kernel, one.stride, one.pool) == (32, 5, 1, 2)
    assert convolution("16").kernel == 3
    for text in ("", "x5", "32x", "32x5/", "32*5", "-3"):
        with pytest.raises(ConfigError, match="is not known"):
            convolution(text)


# Options that fit no sequence of that kind


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return tiny.write_texts(tmp_path / "texts.csv")


def prepared(task: SequenceTask, source: Path, seed: int = 0) -> SequenceSetup:
    kind, labelled = read_examples(task, source)
    return SequenceSetup.of(task, kind, labelled, SMALL, seed=seed)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"period": 1.0}, "period is for records, and this is text"),
        ({"missing": -1.0}, "missing is for records"),
        ({"image_size": 8}, "image_size is for image"),
        ({"causal": True}, "causal is for convolutions"),
        ({"positive": "fine"}, 'positive is "fine", expected one of the classes bad, good'),
        ({"augment": Augment(jitter=0.1)}, "jitter is for numbers"),
        ({"metric": "rmse"}, 'metric is "rmse"'),
        ({"metric": "acuracy"}, 'did you mean "accuracy"'),
        ({"metric": "span_f1"}, 'metric is "span_f1"'),
        ({"aim": "recall>=0.9", "validation_size": 0}, "an aim wants validation sequences"),
    ],
)
def test_options_without_a_use_are_refused(options: dict[str, Any], said: str, words: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        prepared(Classify(**options), words)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("records", {"embedding": 7}, "embedding is for text, and this is records"),
        ("records", {"tokenizer": "char"}, "tokenizer is for text"),
        ("image", {"max_length": 7}, "max_length is for text or records, and this is image"),
        ("image", {"vocabulary_size": 70}, "vocabulary_size is for text"),
        ("labels", {"focal": 1.0}, "focal is for one class of several, and the labels are of the kind labels"),
        ("labels", {"class_weight": "balanced"}, "class_weight is for one class"),
        ("labels", {"positive": "new"}, "positive is for classes"),
        ("labels", {"metric": "f1"}, "expected one of log_loss, accuracy"),
        ("number", {"label_smoothing": 0.1}, "label_smoothing is for one class"),
        ("number", {"metric": "accuracy"}, "expected one of rmse"),
        ("number", {"sampling": "balanced"}, "one class each"),
        ("three", {"aim": "recall>=0.9"}, "for two classes, and there are 3"),
        ("three", {"aim": "recall>=0.9", "positive": "bad"}, "for two classes, and there are 3"),
        ("three", {"cost": "fn=1,fp=2"}, "for two classes, and there are 3"),
    ],
)
def test_options_of_other_sequences_or_labels_are_refused(
    kind: str, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    source, base = {
        "records": lambda: (tiny.write_records(tmp_path / "r.csv"), {"id": "id"}),
        "image": lambda: (tiny.write_images(tmp_path / "i"), {}),
        "labels": lambda: (tiny.write_several(tmp_path / "s.csv"), {}),
        "number": lambda: (graded(tmp_path / "n.csv"), {"target": "number"}),
        "three": lambda: (tiny.write_texts(tmp_path / "t.csv", classes=3), {}),
    }[kind]()
    with pytest.raises(LatchworkError, match=said):
        prepared(Classify(**base, **options), source)


def graded(path: Path) -> Path:
    rows = tiny.texts(36)
    return tiny.table(path, [{"text": text, "label": place % 12 * 1.5} for place, (text, _) in enumerate(rows)])


# Options that must change something

CHANGES: dict[str, Any] = {
    "tokenizer": "char",
    "vocabulary_size": 10,
    "max_length": 2,
    "characters": True,
    "embedding": 7,
    "embedding_dropout": 0.5,
    "input_dropout": 0.1,
    "convolutions": ("4x3",),
    "augment": Augment(word_dropout=0.5),
    "pooling": "mean",
    "class_weight": "balanced",
    "sampling": "balanced",
    "focal": 2.0,
    "label_smoothing": 0.3,
    "target": "labels",
    "calibrate": False,
    "aim": "recall>=0.9",
    "cost": "fn=1,fp=10",
    "positive": "bad",
    "metric": "log_loss",
    "test_size": 3,
    "validation_size": 3,
    "lowercase": False,
    "refit": False,
}
ELSEWHERE = {
    "keep", "bound", "aim_folds", "causal", "freeze", "vectors", "by_time", "validation", "test", "split",
    "group", "time", "label", "labels", "text", "id", "columns", "static", "ignore", "variable", "value",
    "missing", "period", "image_size",
}  # fmt: skip
"""Options that need others, or another kind of file: tested below, and where they are read."""


def test_every_option_is_looked_at() -> None:
    assert set(CHANGES) | ELSEWHERE == {one.name for one in fields(Classify)}
    assert {one.name for one in fields(SourceOptions)} < {one.name for one in fields(Supervised)}


def fingerprint(task: SequenceTask, kind: str, labelled: Labelled) -> tuple[Any, ...]:
    """All that training leaves behind."""
    fitted = fit_sequences(task, kind, labelled, SMALL, QUICK)
    made, validated = fitted.setup.pipeline, fitted.outcome.best
    split = fitted.setup.split
    return (
        made.fingerprint(), made.temperature, made.threshold, made.positive, tuple(validated), split.test.tolist(),
        split.validation.tolist(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [(text.title() if row % 5 == 0 else text, label) for row, (text, label) in enumerate(tiny.texts(60))]
    kept = [{"text": text, "label": label} for row, (text, label) in enumerate(rows) if label == "bad" or row % 3]
    return tiny.table(tmp_path_factory.mktemp("uneven") / "a.csv", kept)


@pytest.fixture(scope="module")
def usual(uneven: Path) -> tuple[Any, ...]:
    return fingerprint(Classify(), *read_examples(Classify(), uneven))


@pytest.mark.parametrize("name", CHANGES)
def test_every_option_changes_something(name: str, uneven: Path, usual: tuple[Any, ...]) -> None:
    task = Classify(**{name: CHANGES[name]})
    assert fingerprint(task, *read_examples(task, uneven)) != usual


def test_the_end_that_is_kept_changes_what_is_read(words: Path) -> None:
    made = {keep: prepared(Classify(max_length=4, keep=keep), words) for keep in ("start", "end", "both")}
    tokens = {keep: [one.tokens.tolist() for one in setup.encoded] for keep, setup in made.items()}
    assert tokens["start"] != tokens["end"]
    assert tokens["both"] not in (tokens["start"], tokens["end"])


def test_causal_and_frozen_vectors_change_the_network(tmp_path: Path) -> None:
    source = tiny.write_records(tmp_path / "r.csv", missing=0.0)
    options: dict[str, Any] = {"id": "id", "columns": ("pulse",), "convolutions": ("4x3",)}
    both = [fingerprint(one, *read_examples(one, source)) for one in (
        Classify(**options), Classify(**options, causal=True))]  # fmt: skip
    assert both[0] != both[1]
    texts = tiny.write_texts(tmp_path / "t.csv")
    lines = [f"{word} {' '.join(['0.5'] * 3)}" for word in (*tiny.GOOD, *tiny.BAD)]
    (tmp_path / "vectors.txt").write_text("\n".join(lines) + "\n")
    made = [prepared(Classify(vectors=tmp_path / "vectors.txt", freeze=freeze), texts) for freeze in (False, True)]
    weights: list[Any] = [setup.pipeline.module.encoder.embedding.weight for setup in made]
    assert [one.requires_grad for one in weights] == [True, False]
    assert weights[0].shape[1] == 3
    assert not torch.equal(weights[0], prepared(Classify(embedding=3), texts).pipeline.module.encoder.embedding.weight)


def test_a_bound_is_stricter_than_none(uneven: Path) -> None:
    thresholds = []
    for bound in ("none", "exact", "bootstrap"):
        task = Classify(aim="precision>=0.6", bound=bound, positive="bad", validation_size=20)
        fitted = fit_sequences(task, *read_examples(task, uneven), SMALL, replace(QUICK, steps=60))
        assert fitted.setup.pipeline.chosen is not None
        thresholds.append(fitted.setup.pipeline.threshold)
    assert thresholds[1] >= thresholds[0]
    assert thresholds[2] >= thresholds[0]


# What a file is taken for


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.csv", "text,label\nx y,1\n", "text"),
        ("a.jsonl", '{"tokens": ["a"], "tags": ["O"]}\n', "text"),
        ("a.csv", "id,pulse,label\n1,2.0,a\n", "records"),
        ("a.tsv", "1\t0.5\t0.6\n2\t0.1\t0.2\n", "records"),
        ("a.txt", "some words\nothers\n", "text"),
        ("a.conllu", "1\ta\t_\n", "text"),
        ("a.ts", "@problemName x\n", "records"),
        ("none.csv", None, "records"),
        ("a.npz", "", "image"),
    ],
)
def test_what_a_file_is_taken_for(name: str, text: str | None, kind: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    assert kind_of_source(tmp_path / name, Classify()) == kind


def test_what_a_frame_or_a_parquet_file_is_taken_for(tmp_path: Path) -> None:
    import polars as pl

    texts = pl.DataFrame({"text": ["a b", "c"], "label": [0, 1]})
    numbers = pl.DataFrame({"id": [1, 1], "pulse": [2.0, 3.0], "label": [0, 0]})
    for frame, kind in ((texts, "text"), (numbers, "records")):
        frame.write_parquet(tmp_path / "a.parquet")
        assert kind_of_source(frame, Classify()) == kind
        assert kind_of_source(frame.to_arrow(), Classify()) == kind
        assert kind_of_source(tmp_path / "a.parquet", Classify()) == kind
    (tmp_path / "b.parquet").write_bytes(b"PAR1 not really")
    assert kind_of_source(tmp_path / "b.parquet", Classify()) == "records"
    (tmp_path / "c.csv.gz").write_bytes(b"\x1f\x8b\x08\x00cut short")
    assert kind_of_source(tmp_path / "c.csv.gz", Classify()) == "records"
    assert kind_of_source(["a text"], Classify()) == "text"


def test_two_classes_and_the_one_that_figures_are_about(words: Path) -> None:
    assert prepared(Classify(), words).pipeline.positive == 1
    assert prepared(Classify(positive="bad"), words).pipeline.positive == 0
    rows = [{"text": f"{text} {row}", "label": label} for row, (text, label) in enumerate(tiny.texts(40))]
    rare = [one for row, one in enumerate(rows) if one["label"] == "good" or row % 4 == 1]
    setup = prepared(Classify(), tiny.table(words.parent / "rare.csv", rare))
    names, counts = setup.pipeline.targets.classes, np.array(setup.pipeline.targets.counts)
    assert names[int(np.argmin(counts))] == names[setup.pipeline.positive or 0] == "bad"
