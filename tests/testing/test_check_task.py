"""Every task over whole sequences keeps the contract, on every kind of them; what breaks it is refused."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latchwork.layers import Network
from latchwork.sequences import Labelled
from latchwork.tasks import Classify, Label, SequencePipeline, SequenceTask, read_examples
from latchwork.tasks.reader import Reader
from latchwork.testing import check_task

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny


def graded(path: Path, values: int) -> Path:
    """Texts with a grade that grows with the share of good words."""
    rows = tiny.texts(36)
    return tiny.table(path, [{"text": text, "label": place % values * 1.5} for place, (text, _) in enumerate(rows)])


KINDS: dict[str, Any] = {
    "two classes of texts": (Classify(), lambda p: tiny.write_texts(p / "a.csv")),
    "an aim, weights, focal loss, letters": (
        Classify(aim="recall>=0.9", class_weight="balanced", focal=1.0, label_smoothing=0.1, tokenizer="char"),
        lambda p: tiny.write_texts(p / "a.csv"),
    ),
    "three classes, attention, words cut at both ends": (
        Classify(pooling="attention", max_length=4, keep="both", sampling="balanced"),
        lambda p: tiny.write_texts(p / "a.csv", classes=3),
    ),
    "several labels": (Classify(), lambda p: tiny.write_several(p / "a.csv")),
    "grades": (Classify(target="ordinal"), lambda p: graded(p / "a.csv", 3)),
    "a number": (Classify(target="number"), lambda p: graded(p / "a.csv", 12)),
    "records": (Classify(id="id", time="time", static=("age",)), lambda p: tiny.write_records(p / "a.csv")),
    "records with convolutions": (
        Classify(id="id", ignore=("time", "age"), convolutions=("4x3/2",), pooling="mean"),
        lambda p: tiny.write_records(p / "a.csv"),
    ),
    "images": (Classify(), lambda p: tiny.write_images(p / "images")),
    "spans": (Label(), lambda p: tiny.write_words(p / "a.conll")),
    "spans cut at the start": (Label(max_length=3, keep="end"), lambda p: tiny.write_words(p / "a.conll")),
    "parts of speech": (
        Label(class_weight="balanced", characters=False),
        lambda p: tiny.write_words(p / "a.conll", spans=False),
    ),
    "parts of speech with a crf": (Label(crf=True), lambda p: tiny.write_words(p / "a.conll", spans=False)),
    "states": (Label(id="id"), lambda p: tiny.write_states(p / "a.csv")),
}


def prepared(name: str, folder: Path) -> tuple[SequenceTask, str, Labelled]:
    task, write = KINDS[name]
    return (task, *read_examples(task, write(folder)))


SLOW = {
    "an aim, weights, focal loss, letters", "three classes, attention, words cut at both ends",
    "records with convolutions", "spans cut at the start", "parts of speech with a crf", "parts of speech",
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(one, marks=pytest.mark.slow if one in SLOW else ()) for one in KINDS])
def test_every_task_keeps_the_contract(name: str, tmp_path: Path) -> None:
    check_task(*prepared(name, tmp_path))


def test_a_cell_with_decay_keeps_the_contract(tmp_path: Path) -> None:
    check_task(*prepared("records", tmp_path), network=Network(cell="gru_d", hidden_size=5, bidirectional=False))


# What the contract must refuse


def reads_padding(self: Reader, inputs: Any) -> Any:
    values, lengths = self.encoder(inputs)
    outputs, _ = self.body(values, lengths=torch.full_like(lengths, values.shape[1]))
    assert self.pooling is not None
    return self.head(self.pooling(outputs, lengths)), lengths


def mixes_rows(self: Reader, inputs: Any) -> Any:
    scores, lengths = FORWARD(self, inputs)
    return scores - 0.01 * scores.mean(0, keepdim=True), lengths


def ignores_the_head(self: Reader, inputs: Any) -> Any:
    scores, lengths = FORWARD(self, inputs)
    return scores - self.head.bias, lengths


FORWARD = Reader.forward


@pytest.mark.parametrize(
    ("forward", "said"),
    [(reads_padding, "padded"), (mixes_rows, "padded"), (ignores_the_head, "head.bias does not")],
)
def test_a_broken_network_is_refused(forward: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "forward", forward)
    with pytest.raises(AssertionError, match=said):
        check_task(*prepared("two classes of texts", tmp_path))


def test_answers_that_are_not_those_scored_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = SequencePipeline.predict

    def other(self: SequencePipeline, labelled: Labelled) -> Any:
        answers = kept(self, labelled)
        return answers._replace(probabilities=np.asarray(answers.probabilities)[:, ::-1])

    monkeypatch.setattr(SequencePipeline, "predict", other)
    with pytest.raises(AssertionError, match="probabilities"):
        check_task(*prepared("two classes of texts", tmp_path))


def test_a_vocabulary_of_everything_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from latchwork.tasks.sequence_pipeline import MODALITIES

    class Peeks(MODALITIES["text"]):
        @classmethod
        def fit(cls, labelled: Labelled, rows: Any, options: Any = None) -> Any:
            return super().fit(labelled, np.arange(len(labelled)), options)

    monkeypatch.setitem(MODALITIES, "text", Peeks)
    with pytest.raises(AssertionError, match="the test part changes nothing"):
        check_task(*prepared("two classes of texts", tmp_path))
