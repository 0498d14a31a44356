"""--config: a file of another task, or with values of another type, is refused by name; fractions are not rounded."""

from pathlib import Path

import pytest

from latchwork.cli import main
from latchwork.cli.config import TASKS, read_config
from latchwork.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[label]\nembedding = 30\n", r"config.toml holds \[label\], and this is train classify; give a file with"),
        ("[network]\nlayers = 1.5\n", r"config.toml, \[network\]: layers is 1.5, expected a whole number"),
        ("[network]\nlayers = true\n", r"\[network\]: layers is true, expected a whole number"),
        ('[training]\nsteps = "5"\n', r'\[training\]: steps is "5", expected a whole number'),
        ("[training]\nlearning_rate = [1]\n", r"\[training\]: learning_rate is \[1\], expected a number"),
        ("[classify]\nembedding = 'x'\n", r'\[classify\]: embedding is "x", expected a whole number'),
        ("[classify]\nby_time = 1\n", r"\[classify\]: by_time is 1, expected true or false"),
        ("[classify]\nlabel = 1\n", r"\[classify\]: label is 1, expected text"),
        ("[classify]\nlabel = 2024-01-01\n", r'\[classify\]: label is "2024-01-01", expected a number, text'),
        ("[classify]\ntarget = 'clas'\n", r'target is "clas", expected auto, class, labels, ordinal or number'),
        ("[classify]\nembeding = 1\n", 'classify has no option "embeding"; did you mean "embedding"'),
        ("[classify.augment]\njiter = 0.1\n", 'classify.augment has no option "jiter"; did you mean "jitter"'),
        ("[classify.augment]\njitter = true\n", r"\[classify.augment\]: jitter is true, expected a number"),
    ],
)
def test_what_does_not_fit_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as told:
        read_config(path, task="classify", command="train classify")
    assert "\n" not in str(told.value)


def test_what_fits_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[label]\nembedding = 30\ntest = "t.csv"\nconvolutions = ["8x3"]\n[label.augment]\ncrop = 0\n'
        "[network]\ncell = 'gru'\n[training]\nlearning_rate = 1\n"
    )
    assert read_config(path, task="label") == read_config(path) == {
        "embedding": 30, "test": "t.csv", "convolutions": ["8x3"], "augment": {"crop": 0}, "cell": "gru",
        "learning-rate": 1,
    }  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_every_command_refuses_the_section_of_another_task(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    other = "label" if task != "label" else "classify"
    path.write_text(f"[{other}]\n")
    for command in ("train", "backtest"):
        for words in ([command, task, "a.csv", "--config", path], [command, f"--config={path}", task, "a.csv"]):
            with pytest.raises(SystemExit) as stop:
                main([str(word) for word in words])
            assert stop.value.code == 2
            assert f"holds [{other}], and this is {command} {task}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tune", "classify", "a.csv", "--trials", "2.9"], "trials is 2.9"),
        (["tune", "classify", "a.csv", "--folds=1.4"], "folds is 1.4"),
        (["compare", "label", "a.csv", "--seeds", "1.6"], "seeds is 1.6"),
        (["train", "forecast", "a.csv", "--horizon", "3.5"], "horizon is 3.5"),
        (["train", "classify", "a.csv", "--batch-size", "2.5"], "batch_size is 2.5"),
        (["finetune", "run", "a.csv", "--steps", "-3.7"], "steps is -3.7"),
        (["train", "classify", "a.csv", "--seed", "nan"], "seed is nan"),
    ],
)
def test_a_fraction_is_not_rounded(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"latchwork: {said}, expected a whole number\n"
