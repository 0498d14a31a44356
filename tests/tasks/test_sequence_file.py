"""A model folder: what is written is what is read, and a damaged one is refused, whatever is damaged."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latchwork.errors import ConfigError, LatchworkError, ModelFileError
from latchwork.layers import Augment, Network
from latchwork.tasks import Classify, Label, SequencePipeline, load_sequences, read_examples, save_sequences, task_from
from latchwork.tasks.saved import plain
from latchwork.training import Training, fit_sequences

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny

QUICK = Training(steps=4, batch_size=8, evaluate_every=2, device="cpu")


def trained(folder: Path, task: Any = None, network: Network | None = None) -> SequencePipeline:
    task = task or Classify(aim="recall>=0.9", tokenizer="char")
    source = tiny.write_texts(folder / "a.csv")
    return fit_sequences(task, *read_examples(task, source), network or Network(hidden_size=4), QUICK).setup.pipeline


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    save_sequences(trained(folder), folder / "model", "0.0")
    return folder / "model"


def copied(saved: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for path in saved.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_all_of_it_comes_back(saved: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    loaded = load_sequences(saved)
    save_sequences(loaded, tmp_path, "0.0")
    for path in saved.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    assert loaded.threshold is not None
    assert not loaded.module.training


def test_every_flipped_bit_is_refused(saved: Path, tmp_path: Path) -> None:
    """A bit in each file that changes what it says gives one line; one that changes no value (a blank) may pass."""
    random = np.random.default_rng(0)
    before = load_sequences(saved)
    refused = 0
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        data = (saved / name).read_bytes()
        for place in random.integers(0, len(data), 40):
            folder = copied(saved, tmp_path)
            damaged = bytearray(data)
            damaged[place] ^= 1 << int(random.integers(8))
            (folder / name).write_bytes(bytes(damaged))
            try:
                loaded = load_sequences(folder)
            except LatchworkError as error:
                refused += "\n" not in str(error)
            else:
                assert name == "config.json"
                assert json.loads(bytes(damaged)) == json.loads(data)
                assert loaded.fingerprint() == before.fingerprint()
    assert refused > 100


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_file_that_is_missing_cut_short_or_of_another_model(name: str, saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path / "a")
    (folder / name).write_bytes((saved / name).read_bytes()[:-20])
    with pytest.raises(LatchworkError):
        load_sequences(folder)
    (folder / name).unlink()
    with pytest.raises(LatchworkError, match=name):
        load_sequences(folder)
    other = tmp_path / "other"
    other.mkdir()
    save_sequences(trained(other, Classify(vocabulary_size=30)), other / "model", "0.0")
    folder = copied(saved, tmp_path / "b")
    (folder / name).write_bytes((other / "model" / name).read_bytes())
    with pytest.raises(ModelFileError):
        load_sequences(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"temperature": 2.0}, "not those that were written"),
        ({"threshold": 0.9}, "not those that were written"),
        ({"format": 99}, "99"),
        ({"more": 1}, "more"),
        ({"kind": "sound"}, "not those that were written"),
        ({"files": {"../../x": "0"}}, "not those that were written"),
    ],
)
def test_a_value_that_was_changed_is_refused(change: dict[str, Any], said: str, saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **change}))
    with pytest.raises(LatchworkError, match=said):
        load_sequences(folder)


def test_something_else_in_its_place_is_refused(saved: Path, tmp_path: Path) -> None:
    for text in ("[]", "3", "null", "{}", "", '"model"'):
        folder = copied(saved, tmp_path)
        (folder / "config.json").write_text(text)
        with pytest.raises(ModelFileError):
            load_sequences(folder)


def test_options_go_out_and_come_back() -> None:
    for task in (
        Classify(),
        Classify(convolutions=("8x3/2", "16"), augment=Augment(jitter=0.5), columns=("a", "b"), labels=Path("x.csv")),
        Label(id="id", max_length=7, spans=True, validation=Path("dev.conll")),
    ):
        name = "classify" if isinstance(task, Classify) else "label"
        assert task_from({"name": name, **json.loads(json.dumps(plain(task)))}) == task


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "classify", "poling": "last"}, 'classify has no option "poling"; did you mean "pooling"'),
        ({"name": "lable"}, 'no task is called "lable"'),
        ({}, 'no task is called "None"'),
        ({"name": "classify", "embedding": "many"}, "option embedding"),
        ({"name": "classify", "augment": {"jiter": 1}}, 'augment has no option "jiter"; did you mean "jitter"'),
        ({"name": "classify", "augment": 3}, "option augment"),
        ({"name": "label", "crf": "perhaps"}, "option crf"),
    ],
)
def test_unknown_options_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        task_from(options)
