"""latchwork tune: the last training, and how it goes on after an interruption."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latchwork.cli import training as command_module
from latchwork.errors import ConfigError
from latchwork.tuning import Objective

sys.path.insert(0, str(Path(__file__).parents[1]))
import terminal

WORDS = ["--split", "part", "--embedding", "4", "--batch-size", "8", "--steps", "6", "--checkpoint-every", "2",
         "--evaluate-every", "2", "--folds", "1"]  # fmt: skip


@pytest.fixture
def command(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """(exit status, standard output, standard error) of a search in the folder run."""
    space = tmp_path / "space.toml"
    space.write_text('[space]\n"network.hidden_size" = [3, 4]\n"training.learning_rate" = {low = 1e-3, high = 1e-2}\n')

    def run(*more: object) -> tuple[int, str, str]:
        words = ["tune", "classify", texts, *WORDS, "--space", space, "--run", tmp_path / "run", *more]
        return terminal.command(capsys, *words)

    return run


def test_the_last_training_starts_anew_where_another_trial_is_the_best(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the search was interrupted in between, which writes tuning.json anew."""
    run, fit, worth = tmp_path / "run", command_module.fit, Objective.worth
    values = iter([0.9, 0.8, 0.7, 0.1])

    def valued(self: Any, options: Any, **rest: Any) -> Any:
        found = worth(self, options, deadline=rest["deadline"])  # without a report, so that none is stopped early
        try:
            value = next(values)
        except StopIteration:
            raise KeyboardInterrupt from None
        return type(found)(value, found.figure, (value,))

    monkeypatch.setattr(Objective, "worth", valued)
    monkeypatch.setattr(command_module, "fit", _stopped(fit))
    assert command("--trials", 2)[0] == 2
    assert json.loads((run / "tuning" / "last.json").read_text()) == {"trial": 1}
    assert list((run / "checkpoints").glob("step-*"))
    for name in ("refit", "fold-1"):
        (run / name).mkdir(exist_ok=True)
    assert command("--trials", 9, "--resume")[0] == 130
    assert json.loads((run / "tuning.json").read_text())["best"] == 3
    monkeypatch.setattr(command_module, "fit", fit)
    code, out, err = command("--trials", 4, "--resume")
    assert code == 0, err
    assert "the last training, with the options of trial 3" in err
    assert "latchwork predict" in out
    assert not (run / "fold-1").exists()


def test_the_last_training_goes_on(command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = command_module.fit
    monkeypatch.setattr(command_module, "fit", _stopped(fit))
    assert command("--trials", 2)[0] == 2
    monkeypatch.setattr(command_module, "fit", fit)
    code, _, err = command("--trials", 2, "--resume")
    assert code == 0, err
    assert "resumed after step 4" in err
    assert "trial 0  choice" not in err
    page = (tmp_path / "run" / "report.html").read_text()
    assert 'href="#search"' in page
    for told in ("How its options were found", "Importance", "network.hidden_size", "value of each trial"):
        assert told in page, told


def _stopped(fit: Any) -> Any:
    """Training that fails after step 4."""

    class Stop(command_module.Progress):
        def step(self, record: Any) -> None:
            if record["step"] > 4:
                raise ConfigError("stopped")

    return lambda *given, **named: fit(*given, **{**named, "callbacks": [Stop(command_module.err)]})
