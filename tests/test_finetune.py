"""finetune from the front door and the command line: what was taken is shown, bad input gets one line."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import latchwork as lw
from latchwork.errors import ConfigError
from latchwork.storage import read_json

sys.path.insert(0, str(Path(__file__).parent))
from terminal import command

QUICK = ["--steps", "6", "--evaluate-every", "3", "--batch-size", "8"]


def texts(path: Path, labels: dict[str, str], rows: int = 60, seed: int = 0, columns: str = "text,label") -> Path:
    random = np.random.default_rng(seed)
    words = ["the", "film", "plot", "was", "long", "short", "scene"]
    lines = [columns]
    for row in range(rows):
        label = list(labels)[row % len(labels)]
        lines.append(f"{' '.join(random.permutation([*random.choice(words, 4), labels[label]]))} {row},{label}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a small classifier, which scores nothing."""
    folder = tmp_path_factory.mktemp("base")
    data = texts(folder / "base.csv", {"good": "fine", "bad": "poor"})
    task = lw.Classify(embedding=6, test_size=0, refit=False)
    network = lw.Network(hidden_size=4, dropout=0.1)
    lw.fit(task, data, network=network, training=lw.Training(steps=6, batch_size=8), run=folder / "run")
    return folder / "run"


def test_the_command_goes_on_and_shows_what_it_took(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = texts(tmp_path / "more.csv", {"good": "fine", "bad": "dull"}, seed=1, columns="words,tone")
    run = tmp_path / "run"
    code, out, err = command(
        capsys, "finetune", base, data, "--text", "words", "--label", "tone", "--test-size", "0.3", "--dropout", "0.3",
        "--freeze", "encoder", "--unfreeze", "gradual", "--layer-decay", "0.5", *QUICK, "--run", run,
    )  # fmt: skip
    assert code == 0, err
    assert out.index("Weights from") < out.index("before fine-tuning")
    assert "frozen" in out
    assert "the vocabulary is kept" in " ".join(out.split())
    assert f"latchwork predict {run}" in " ".join(out.split())
    saved = read_json(run / "transfer.json")
    assert [row["part"] for row in saved["rows"]] == ["head", "body.layers.0", "encoder"]
    assert [row["rate"] for row in saved["rows"]][:2] == [1.0, 0.5]
    model: Any = lw.load(run)
    assert (model.pipeline.task.text, model.pipeline.task.label, model.pipeline.network.dropout) == (
        "words",
        "tone",
        0.3,
    )
    before: Any = lw.load(base)
    for name, one in before.pipeline.module.encoder.state_dict().items():
        assert torch.equal(one, model.pipeline.module.encoder.state_dict()[name])
    assert len(model.predict(data)) == 60
    code, _, err = command(capsys, "finetune", base, data, "--run", run)
    assert code == 2
    assert "already holds a finished run" in err


def test_python_takes_a_model_and_new_labels(base: Path, tmp_path: Path) -> None:
    data = texts(tmp_path / "more.csv", {"a": "fine", "b": "poor", "c": "owl"}, seed=1)
    before: Any = lw.load(base)
    shown: list[Any] = []
    model = lw.finetune(
        before, data, training=lw.Training(steps=4, batch_size=8), transfer=lw.Transfer(vocabulary="extend"),
        show=shown.append,
    )  # fmt: skip
    assert model.takeover is shown[0]
    assert model.pipeline.targets.classes == ("a", "b", "c")
    assert "new words" in shown[0].notes[0]


def test_the_command_takes_layers_of_another_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({f"rnn.{name}": one for name, one in nn.GRU(6, 4).state_dict().items()}, tmp_path / "gru.safetensors")
    data = texts(tmp_path / "more.csv", {"good": "fine", "bad": "dull"})
    code, out, err = command(
        capsys, "finetune", tmp_path / "gru.safetensors", data, "--embedding", "6", "--test-size", "0", *QUICK,
        "--run", tmp_path / "run",
    )  # fmt: skip
    assert code == 0, err
    assert "Weights from gru.safetensors" in out
    model: Any = lw.load(tmp_path / "run")
    assert (model.pipeline.network.cell, model.pipeline.network.bidirectional) == ("gru", False)


BAD: dict[str, tuple[list[str], str]] = {
    "no such run": (["{tmp}/none", "{data}"], "no such run folder"),
    "no such weights": (["{tmp}/none.safetensors", "{data}"], "no such file"),
    "a pickle": (["{tmp}/none.pt", "{data}"], "weights_only=True"),
    "no such part": (["{base}", "{data}", "--freeze", "bod"], 'did you mean "body"'),
    "another embedding": (["{base}", "{data}", "--embedding", "9"], "embedding is 9, and the model"),
    "no such option": (["{base}", "{data}", "--unfreeze", "slowly"], "slowly"),
    "an option of the other task": (["{base}", "{data}", "--task", "label", "--aim", "recall>=0.9"], "is for the task"),
    "layers of a model": (["{base}", "{data}", "--recurrent", "x"], "a weights file"),
    "no such data": (["{base}", "{tmp}/none.csv"], "none.csv"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_is_refused_in_one_line(
    case: str, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, said = BAD[case]
    data = texts(tmp_path / "more.csv", {"good": "fine", "bad": "dull"})
    given = [word.format(tmp=tmp_path, data=data, base=base) for word in words]
    code, _, err = command(capsys, "finetune", *given, *QUICK, "--run", tmp_path / "run")
    assert code == 2, err
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_forecaster_is_not_fine_tuned(tmp_path: Path) -> None:
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 6, 1), eager=True)
    frame = pl.DataFrame({"ds": days, "units": np.arange(len(days)) % 7.0})
    task = lw.Forecast(target="units", horizon=3, test_size=0, validation_size=9)
    training = lw.Training(steps=2, evaluate_every=2)
    lw.fit(task, frame, network=lw.Network(hidden_size=4), training=training, run=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"holds a forecaster.*latchwork update"):
        lw.finetune(tmp_path / "run", frame)
