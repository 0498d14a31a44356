"""latchwork compare, and backtest of a classifier: the table, the file, one line for what can't be."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from terminal import command

QUICK = ["--steps", "6", "--evaluate-every", "3", "--hidden-size", "4", "--batch-size", "8"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    lines = ["text,label"]
    for _ in range(60):
        words = random.choice(["good", "bad", "film", "the", "was"], size=5)
        lines.append(f"{' '.join(words)},{'yes' if (words == 'good').sum() >= 1 else 'no'}")
    path = tmp_path / "films.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_compare_prints_a_table_and_what_to_type_next(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "found.json"
    words = ["--cells", "lstm, gru", "--rivals", "feedforward", "--twins", "shuffled,truncated=2", "--seeds", "1"]
    code, out, err = command(capsys, "compare", "classify", data, *words, *QUICK, "--output", output)
    assert code == 0, err
    assert "less lstm" in out
    assert "TF-IDF" in out
    assert "latchwork train classify" in out
    assert "lstm, seed 0: " in err
    assert "4 to go" in err
    saved = json.loads(output.read_text())
    assert [one["name"] for one in saved["trials"]] == [
        "lstm", "gru", "feedforward", "lstm, shuffled", "lstm, truncated=2",
    ]  # fmt: skip


def test_backtest_prints_every_fold(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, "backtest", "classify", data, "--folds", "2", "--no-baselines", *QUICK)
    assert code == 0, err
    assert "every fold" in out
    assert "fold 2, seed 0" in err


def test_the_options_of_a_run_are_taken_but_for_its_cell(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[network]\ncell = "lstm"\nhidden_size = 4\n[training]\nsteps = 4\n')
    words = ["--cells", "gru", "--seeds", "1", "--no-baselines", "--config", config]
    code, out, err = command(capsys, "compare", "classify", data, *words)
    assert code == 0, err
    assert "4 steps each" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cells", "lstm,gur"], 'did you mean "gru"'),
        (["--rivals", "transformers"], 'did you mean "transformer"'),
        (["--twins", "trunkated"], 'did you mean "truncated"'),
        (["--cell", "lstm"], "--cells lstm"),
        (["--seeds", "0"], "a number from 1"),
        (["--output", "nowhere/found.json"], "a folder that exists"),
    ],
)
def test_bad_options_are_refused_in_one_line(
    words: list[str], message: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = command(capsys, "compare", "classify", data, *QUICK, *words)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
