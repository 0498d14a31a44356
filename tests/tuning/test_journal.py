"""The file that a study is kept in."""

import json
from pathlib import Path
from typing import Any

import pytest

from latchwork.errors import ConfigError, ModelFileError
from latchwork.tuning import journal

ABOUT = {
    "format": 1,
    "task": "classify",
    "data": "abc",
    "objective": {"metric": "accuracy", "folds": 3},
    "space": {"network.layers": [1, 2]},
    "options": {"training": {"steps": 10, "seed": 0}},
}


def study(folder: Path) -> Any:
    return journal.open_study(folder, seed=0, new=True)


def states(one: Any) -> list[str]:
    return [trial.state.name for trial in one.get_trials()]


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    first, second = journal.FileLock(tmp_path / "lock"), journal.FileLock(tmp_path / "lock")
    with first:
        assert not second.acquire(wait=False)
    assert second.acquire(wait=False)
    second.release()


def test_one_search_at_a_time(tmp_path: Path) -> None:
    with (
        journal.alone(tmp_path),
        pytest.raises(ConfigError, match="another search is at work"),
        journal.alone(tmp_path),
    ):
        pass


def test_the_file_is_lines_of_json(tmp_path: Path) -> None:
    one = study(tmp_path)
    for _ in range(120):  # Optuna's storages that take snapshots take one every 100 trials
        trial = one.ask()
        one.tell(trial, trial.suggest_float("x", 0, 1))
    lines = (tmp_path / journal.JOURNAL).read_bytes().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == [journal.JOURNAL, "journal.lock"]


@pytest.mark.parametrize("torn", [b'{"op_code":4,"worker', b"\x80\x04"])
def test_a_torn_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    one = study(tmp_path)
    one.tell(one.ask(), 1.0)
    with (tmp_path / journal.JOURNAL).open("ab") as file:
        file.write(torn)
    again = journal.open_study(tmp_path, seed=0)
    again.tell(again.ask(), 2.0)
    assert [trial.value for trial in study(tmp_path).get_trials()] == [1.0, 2.0]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / journal.JOURNAL).write_text("no JSON\nat all\n")
    with pytest.raises(ModelFileError, match="is damaged"):
        study(tmp_path)
    with pytest.raises(ModelFileError, match="no search has been begun"):
        journal.open_study(tmp_path / "elsewhere", seed=0)


def test_a_trial_that_was_given_back_is_begun_anew(tmp_path: Path) -> None:
    one = study(tmp_path)
    one.tell(one.ask(), 1.0)
    trial = one.ask()
    value = trial.suggest_float("x", 0, 1)
    assert journal.counted(one) == 2
    assert journal.give_back_running(one) == 1
    assert journal.give_back_running(one) == 0
    assert (journal.counted(one), states(one)) == (1, ["COMPLETE", "FAIL", "WAITING"])
    again = one.ask()
    assert again.suggest_float("x", 0, 1) == value
    assert journal.counted(one) == 2


def test_a_trial_that_kills_its_process_is_given_up(tmp_path: Path) -> None:
    one = study(tmp_path)
    for _ in range(journal.ATTEMPTS):
        one.ask()
        journal.give_back_running(one)
    assert states(one) == ["FAIL"] * journal.ATTEMPTS
    assert journal.counted(one) == 1


def test_only_the_dead_workers_trials_are_given_back(tmp_path: Path) -> None:
    one = study(tmp_path)
    for name in ("a", "b"):
        one.ask().set_user_attr("worker", name)
    assert journal.give_back_running(one, "a") == 1
    assert states(one) == ["FAIL", "RUNNING", "WAITING"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "label"}, "a search for classify, and this is one for label"),
        ({"data": "abd"}, "on other data"),
        ({"objective": {"metric": "log_loss", "folds": 3}}, "judged by metric = 'accuracy', and now it is 'log_loss'"),
        ({"space": {"network.layers": [1, 3]}}, r"searched network.layers = \[1, 2\]"),
        ({"options": {"training": {"steps": 10, "seed": 1}}}, "training.seed = 0, and now it is 1"),
        ({"options": {"training": {"steps": 10}}}, "training.seed = 0, and now it is None"),
    ],
)
def test_a_study_of_something_else_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    one = study(tmp_path)
    journal.sign(one, ABOUT)
    journal.check_signature(one, ABOUT, tmp_path)
    with pytest.raises(ConfigError, match=said):
        journal.check_signature(one, ABOUT | change, tmp_path)


def test_a_study_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no search that this latchwork can go on with"):
        journal.check_signature(study(tmp_path), ABOUT, tmp_path)
