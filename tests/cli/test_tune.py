"""latchwork tune: a search, the last training, the scores; and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from latchwork.cli import main
from latchwork.model import load
from latchwork.storage import read_json


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Short texts of two classes that a word tells apart."""
    random = np.random.default_rng(0)
    fill = ["the", "a", "film", "was", "and", "it"]
    lines = ["text,label"]
    for number in range(60):
        words = [*random.choice(fill, 3), ("fine", "grim")[number % 2], f"n{number}x{'yz'[number % 2] * number}"]
        lines.append(f"{' '.join(words)},{('pos', 'neg')[number % 2]}")
    path = tmp_path / "texts.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """Two options."""
    path = tmp_path / "space.toml"
    path.write_text('[space]\n"network.hidden_size" = [3, 4]\n"training.learning_rate" = {low = 1e-3, high = 1e-2}\n')
    return path


def tune(*words: object, task: str = "classify") -> None:
    main(["tune", task, *map(str, words), "--folds", "2", "--steps", "3", "--batch-size", "8", "--embedding", "4"])


def refused(capsys: pytest.CaptureFixture[str], *words: object, task: str = "classify") -> str:
    """What is said in the one line of a refusal."""
    with pytest.raises(SystemExit) as ended:
        tune(*words, task=task)
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert "Traceback" not in err
    (line,) = [one for one in err.splitlines() if one.startswith("latchwork:")]
    return line


def test_from_a_file_to_the_next_command(
    texts: Path, space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    tune(texts, "--trials", 3, "--space", space, "--run", run)
    told = capsys.readouterr()
    shown = " ".join(told.out.split())
    assert "Search for classify:" in shown
    assert "the test part was not looked at" in shown
    assert "held-back sequences" in shown
    assert "latchwork predict" in shown
    assert "trial 0  choice" in told.err
    saved, model = read_json(run / "tuning.json"), load(run)
    best = next(one for one in saved["trials"] if one["number"] == saved["best"])
    assert model.pipeline.network.hidden_size == best["values"]["network.hidden_size"]
    assert (run / "tuning.svg").read_text().startswith("<svg")
    config = (run / "config.toml").read_text()
    assert f"learning_rate = {best['values']['training.learning_rate']}" in config
    assert "scored on the test part, which is done once" in refused(capsys, texts, "--run", run, "--resume")


def test_what_is_refused(texts: Path, space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, wrong = tmp_path / "run", tmp_path / "wrong.toml"
    wrong.write_text('[space]\n"network.hiden_size" = [3]\n')
    assert 'did you mean "network.hidden_size"?' in refused(capsys, texts, "--space", wrong, "--run", run)
    assert "trials is 0" in refused(capsys, texts, "--trials", 0, "--run", run)
    assert not run.exists()
    assert "can't read" in refused(capsys, texts, "--space", tmp_path / "none.toml", "--run", run)


def test_options_may_come_from_a_file(texts: Path, space: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[network]\nlayers = 2\n")
    run = tmp_path / "run"
    tune(texts, "--trials", 1, "--space", space, "--run", run, "--config", config)
    assert load(run).pipeline.network.layers == 2
