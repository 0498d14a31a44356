"""Searches of a few trials: what they find, how they end, and how they go on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from latchwork.errors import ConfigError, MissingExtra
from latchwork.layers import Network
from latchwork.storage import read_json
from latchwork.tasks import Classify, Label
from latchwork.training import Training
from latchwork.tuning import Tuned, journal, search

Small = Callable[..., Tuned]
TASK = Classify(embedding=4, split="part")


def test_the_best_trial_is_the_smallest(texts: Path, tmp_path: Path, small: Small) -> None:
    told: list[int] = []
    found = small(texts, tmp_path / "run", trials=4, told=lambda study, wanted: told.append(wanted))
    assert (found.stopped, len(found.trials)) == ("enough", 4)
    assert told == [4] * 5
    best = found.best
    assert best is not None
    assert best.value == min(one.value for one in found.trials if one.state == "finished")
    chosen = found.chosen()
    assert {name: chosen.get(name) for name in best.values} == best.values
    assert chosen.training.steps == 4
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["tuning", "tuning.json", "tuning.svg"]
    saved = read_json(tmp_path / "run" / "tuning.json")
    assert saved["best"] == best.number
    assert len(saved["trials"]) == 4


def test_the_first_trial_has_the_options_as_given(texts: Path, tmp_path: Path, small: Small) -> None:
    space = {"network.hidden_size": [3, 7], "classify.pooling": ["mean", "max"], "training.learning_rate": [2e-3, 0.01]}
    found = small(texts, tmp_path / "run", space=space, network=Network(hidden_size=7))
    assert found.given is not None
    expected = {"network.hidden_size": 7, "classify.pooling": "max", "training.learning_rate": 2e-3}
    assert (found.given.number, found.given.values) == (0, expected)


def test_options_that_are_lists_are_searched(texts: Path, tmp_path: Path, small: Small) -> None:
    found = small(texts, tmp_path / "run", space={"classify.convolutions": [[], ["8x3"]]}, trials=4)
    assert [one.error for one in found.trials if one.error] == []
    assert {repr(one.values) for one in found.trials} == {
        "{'classify.convolutions': []}",
        "{'classify.convolutions': ['8x3']}",
    }
    assert found.chosen().task.convolutions in ((), ("8x3",))


def test_an_aim_is_left_for_the_last_training(texts: Path, tmp_path: Path, small: Small) -> None:
    task = Classify(embedding=4, split="part", aim="recall>=0.8", aim_folds=2)
    found = small(texts, tmp_path / "run", task=task, trials=1)
    assert [one.state for one in found.trials] == ["finished"]
    chosen = found.chosen().task
    assert isinstance(chosen, Classify)
    assert (chosen.aim, chosen.aim_folds) == ("recall>=0.8", 2)


def test_a_search_is_a_function_of_the_seed(texts: Path, tmp_path: Path, small: Small) -> None:
    first, second = (small(texts, tmp_path / name) for name in ("one", "two"))
    assert [one.values for one in first.trials] == [one.values for one in second.trials]
    assert [one.value for one in first.trials] == [one.value for one in second.trials]


def test_a_search_goes_on(texts: Path, tmp_path: Path, small: Small) -> None:
    before = small(texts, tmp_path / "run", trials=2)
    with pytest.raises(ConfigError, match="already holds a search; go on with --resume"):
        small(texts, tmp_path / "run")
    after = small(texts, tmp_path / "run", trials=5, resume=True)
    assert after.trials[:2] == before.trials
    assert len(after.trials) == 5
    assert len({repr(one.values) for one in after.trials}) == 5
    again = small(texts, tmp_path / "run", trials=5, resume=True)
    assert again.trials == after.trials


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": Label(split="part", embedding=4)}, "label"),
        ({"task": Classify(embedding=4, split="part", metric="log_loss")}, "judged by metric = 'accuracy'"),
        ({"folds": 2}, "judged by folds = 1, and now it is 2"),
        ({"space": {"network.layers": [1, 2]}}, "searched"),
        ({"training": Training(steps=5, batch_size=8)}, "trained with training.steps = 4, and now it is 5"),
    ],
)
def test_a_study_of_something_else_is_refused(
    texts: Path, tmp_path: Path, small: Small, options: dict[str, Any], said: str
) -> None:
    small(texts, tmp_path / "run", trials=1)
    before = (tmp_path / "run" / "tuning" / journal.JOURNAL).read_bytes()
    with pytest.raises(Exception, match=said) as told:
        small(texts, tmp_path / "run", resume=True, **options)
    assert isinstance(told.value, ValueError)
    assert (tmp_path / "run" / "tuning" / journal.JOURNAL).read_bytes() == before


def test_other_data_are_refused(texts: Path, other_texts: Path, tmp_path: Path, small: Small) -> None:
    small(texts, tmp_path / "run", trials=1)
    with pytest.raises(ConfigError, match="a search on other data than these"):
        small(other_texts, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trials": 0}, "trials is 0"),
        ({"folds": 0}, "folds is 0"),
        ({"workers": True}, "workers is True"),
        ({"minutes": -1.0}, "minutes is -1"),
        ({"space": {"classify.augment.flip": [0.0, 0.5]}}, "gives classify.augment.flip the value 0.5: "),
        ({"space": {"network.layer": [1]}}, 'did you mean "network.layers"'),
    ],
)
def test_bad_options_leave_nothing(
    texts: Path, tmp_path: Path, small: Small, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        small(texts, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_left_alone(texts: Path, tmp_path: Path, small: Small) -> None:
    config = tmp_path / "run" / "model" / "config.json"
    config.parent.mkdir(parents=True)
    config.write_text("{}")
    with pytest.raises(ConfigError, match="scored on the test part, which is done once"):
        small(texts, tmp_path / "run", resume=True)


def test_a_training_without_a_search_is_left_alone(texts: Path, tmp_path: Path, small: Small) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(ConfigError, match="begun without a search"):
        small(texts, tmp_path / "run")


def test_a_frame_is_searched_by_one(texts: Path, tmp_path: Path, small: Small) -> None:
    frame = pl.read_csv(texts)
    with pytest.raises(ConfigError, match="give a file and a cell by its name, or workers=1"):
        small(frame, tmp_path / "run", workers=2)
    assert small(frame, tmp_path / "run", trials=1).best is not None


def test_where_nothing_can_be_trained_the_reason_is_told(texts: Path, tmp_path: Path, small: Small) -> None:
    space = {"network.activation": ["relu"], "network.cell": ["gru"]}
    with pytest.raises(ConfigError, match=r"none of 3 trials could be trained; the last one: activation is") as told:
        small(texts, tmp_path / "run", space=space, network=Network(cell="rnn"), trials=9)
    assert "\n" not in str(told.value)


def test_a_trial_that_fails_is_one_of_many(texts: Path, tmp_path: Path, small: Small) -> None:
    space = {"network.cell": ["rnn", "gru"], "network.activation": ["tanh", "relu"], "network.hidden_size": [2, 3]}
    found = small(texts, tmp_path / "run", space=space, network=Network(cell="rnn"), trials=8)
    assert {one.state for one in found.trials} >= {"finished", "failed"}
    assert all("only the rnn takes one" in one.error for one in found.trials if one.state == "failed")


def test_a_network_that_has_no_room_is_a_trial_that_failed(texts: Path, tmp_path: Path, small: Small) -> None:
    found = small(texts, tmp_path / "run", space={"network.hidden_size": [3, 10**11]}, trials=5)
    assert {one.state for one in found.trials} == {"finished", "failed"}
    assert {one.error for one in found.trials} == {"", "too little memory for this network"}


def test_an_error_that_is_a_mistake_of_ours_comes_through(
    texts: Path, tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(self: Any, options: Any, **rest: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(search.Objective, "worth", wrong)
    with pytest.raises(RuntimeError, match="shapes"):
        small(texts, tmp_path / "run")


def test_when_the_time_is_over_the_trial_is_given_back(
    texts: Path, tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, clock = time.time(), [0.0]
    monkeypatch.setattr(time, "time", lambda: begin + clock[0])

    def told(study: Any, wanted: int) -> None:
        clock[0] = 61.0 if len(study.get_trials()) == 2 else 0.0

    found = small(texts, tmp_path / "run", minutes=1.0, told=told)
    assert (found.stopped, len(found.finished)) == ("time", 2)
    clock[0] = 0.0
    after = small(texts, tmp_path / "run", resume=True)
    assert (after.stopped, after.trials[:2]) == ("enough", found.trials[:2])
    with pytest.raises(ConfigError, match="no trial was finished in 1e-09 minutes"):
        small(texts, tmp_path / "other", minutes=1e-9)


def test_an_interrupted_trial_is_begun_anew(
    texts: Path, tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    worth = search.Objective.worth

    def interrupted(self: Any, options: Any, **rest: Any) -> Any:
        raise KeyboardInterrupt

    small(texts, tmp_path / "run", trials=1)
    monkeypatch.setattr(search.Objective, "worth", interrupted)
    found = small(texts, tmp_path / "run", trials=2, resume=True)
    assert found.stopped == "interrupted"
    assert [one.state for one in found.trials] == ["finished", "given back", "waiting"]
    monkeypatch.setattr(search.Objective, "worth", worth)
    after = small(texts, tmp_path / "run", trials=2, resume=True)
    assert [one.state for one in after.trials] == ["finished", "given back", "finished"]
    assert after.trials[1].values == after.trials[2].values


def test_without_optuna_the_extra_is_named(
    texts: Path, tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"latchwork\[tune\]"):
        small(texts, tmp_path / "run")


def test_the_default_space_leaves_out_what_was_said(texts: Path, tmp_path: Path, small: Small) -> None:
    network = Network(cell="rnn", hidden_size=3, layers=2, dropout=0.1)
    found = small(texts, tmp_path / "run", space=None, network=network, trials=1, training=Training(steps=4))
    assert set(found.space) == {
        "network.bidirectional",
        "training.learning_rate",
        "training.batch_size",
        "classify.embedding_dropout",
        "classify.pooling",
    }
    assert found.given is not None
    assert found.given.values["training.batch_size"] == 16


# ---- processes


@pytest.fixture
def latchwork() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts the command; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "latchwork", *map(str, words)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def records(run: Path) -> list[dict[str, Any]]:
    """The whole lines of the journal."""
    path = run / "tuning" / journal.JOURNAL
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def ended(run: Path) -> dict[int, list[Any]]:
    """What the journal says of trials that were finished or stopped early: number -> values."""
    told = [one for one in records(run) if one["op_code"] == 6 and one["state"] in (1, 2)]
    return {one["trial_id"]: one["values"] for one in told}


def wait_for_two(run: Path, process: "subprocess.Popen[str]") -> None:
    """Until two trials have ended and another is under way."""
    limit = time.monotonic() + 120
    while True:
        begun = sum(one["op_code"] == 4 for one in records(run))
        if len(ended(run)) >= 2 and begun > len(ended(run)):
            return
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.01)


def command(texts: Path, run: Path, space: Path, *more: object) -> tuple[object, ...]:
    shared = ("--split", "part", "--embedding", 4, "--batch-size", 8, "--space", space, "--folds", 2, "--run", run)
    return ("tune", "classify", texts, *shared, *more)


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.toml"
    path.write_text('[space]\n"network.hidden_size" = [3, 4]\n"training.learning_rate" = {low = 1e-3, high = 1e-2}\n')
    return path


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_search_loses_no_finished_trial(
    texts: Path, tmp_path: Path, space: Path, latchwork: Callable[..., "subprocess.Popen[str]"], workers: int
) -> None:
    run = tmp_path / "run"
    words = command(texts, run, space, "--steps", 30, "--trials", 8, "--workers", workers)
    process = latchwork(*words)
    wait_for_two(run, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(0.5)  # the workers see that they are alone
    before = ended(run)
    size = (run / "tuning" / journal.JOURNAL).stat().st_size
    time.sleep(0.5)
    assert (run / "tuning" / journal.JOURNAL).stat().st_size == size
    resumed = latchwork(*words, "--resume")
    out, err = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, err
    after = ended(run)
    assert {number: after[number] for number in before} == before
    saved = read_json(run / "tuning.json")
    counts = [one["state"] for one in saved["trials"]]
    assert counts.count("finished") + counts.count("stopped early") == 8
    assert counts.count("given back") == len(counts) - 8 >= 1
    assert (run / "model" / "config.json").exists()
    assert "latchwork predict" in out


@pytest.mark.slow
def test_an_interrupted_search_says_how_to_go_on(
    texts: Path, tmp_path: Path, space: Path, latchwork: Callable[..., "subprocess.Popen[str]"]
) -> None:
    run = tmp_path / "run"
    process = latchwork(*command(texts, run, space, "--steps", 30, "--trials", 50, "--workers", 2))
    wait_for_two(run, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with the same command and --resume" in err
    assert "Traceback" not in err
    saved = read_json(run / "tuning.json")
    assert saved["stopped"] == "interrupted"
    assert not [one for one in saved["trials"] if one["state"] == "running"]
