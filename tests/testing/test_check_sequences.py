"""Texts, records and images keep the contract of a modality; one that peeks or depends on its neighbours does not."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latchwork.modalities import SourceOptions
from latchwork.tasks.sequence_pipeline import MODALITIES
from latchwork.testing import check_modality, check_sequences

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny

KINDS: dict[str, Any] = {
    "words": (SourceOptions(), lambda p: tiny.write_texts(p / "a.csv")),
    "words with letters, cut": (
        SourceOptions(text="text", characters=True, max_length=3, keep="both"),
        lambda p: tiny.write_texts(p / "a.csv"),
    ),
    "characters": (SourceOptions(tokenizer="char", text="text"), lambda p: tiny.write_texts(p / "a.csv")),
    "pieces": (
        SourceOptions(tokenizer="bpe", vocabulary_size=90, text="text"),
        lambda p: tiny.write_texts(p / "a.csv"),
    ),
    "unigrams": (
        SourceOptions(tokenizer="unigram", vocabulary_size=60, text="text"),
        lambda p: tiny.write_texts(p / "a.csv"),
    ),
    "json lines": (SourceOptions(), lambda p: tiny.write_texts(p / "a.jsonl")),
    "records": (SourceOptions(id="id", time="time", static=("age",)), lambda p: tiny.write_records(p / "a.csv")),
    "records, cut": (
        SourceOptions(id="id", ignore=("time",), max_length=4, keep="end"),
        lambda p: tiny.write_records(p / "a.csv"),
    ),
    "images": (SourceOptions(), lambda p: tiny.write_images(p / "images")),
    "images of one size": (SourceOptions(image_size=6), lambda p: tiny.write_images(p / "images")),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_modality_keeps_the_contract(name: str, tmp_path: Path) -> None:
    options, write = KINDS[name]
    check_modality(write(tmp_path), options)


def test_words_with_labels_keep_the_contract(tmp_path: Path) -> None:
    source = tiny.write_words(tmp_path / "a.conll")
    check_sequences(source, SourceOptions(max_length=4, keep="end", characters=True), task="label")
    check_sequences(tiny.write_states(tmp_path / "b.csv"), SourceOptions(id="id"), task="label")


class Peeks(MODALITIES["text"]):
    @classmethod
    def fit(cls, labelled: Any, rows: Any, options: Any = None) -> Any:
        return super().fit(labelled, np.arange(len(labelled)), options)


class Neighbours(MODALITIES["text"]):
    def encode(self, labelled: Any) -> Any:
        made = super().encode(labelled)
        return [replace(one, tokens=one.tokens + (len(made) > 1)) for one in made]


class Pads(MODALITIES["text"]):
    def encode(self, labelled: Any) -> Any:
        return [replace(one, tokens=np.append(one.tokens, 0)) for one in super().encode(labelled)]


class Forgets(MODALITIES["text"]):
    @classmethod
    def from_dict(cls, data: Any, files: Any) -> Any:
        made = super().from_dict(data, files)
        return cls(replace(made.settings, max_length=2), made.tokenizer)


@pytest.mark.parametrize(
    ("broken", "said"),
    [(Peeks, "something else is fitted|other files"), (Neighbours, "alone"), (Pads, "padding"), (Forgets, "saved")],
)
def test_a_broken_modality_is_refused(broken: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODALITIES, "text", broken)
    with pytest.raises(AssertionError, match=said):
        check_sequences(tiny.write_texts(tmp_path / "a.csv"))
