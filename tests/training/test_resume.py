"""Killed and resumed is uninterrupted, bit for bit; what is damaged or does not fit is named."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from latchwork.errors import ConfigError, ModelFileError, StateError
from latchwork.storage import read_json, read_jsonl, write_json
from latchwork.training import Callback, Checkpoints, train

SCRIPT = Path(__file__).with_name("toy.py")


class At(Callback):
    """Does something after a step, and keeps what it is told."""

    def __init__(self, step: int, action: Callable[[], Any]) -> None:
        self.at = step
        self.action = action
        self.events: list[str] = []

    def step(self, record: Any) -> None:
        if record["step"] == self.at:
            self.action()

    def event(self, step: int, message: str) -> None:
        self.events.append(message)


def crash() -> None:
    raise RuntimeError("crash")


def steps_of(folder: Path) -> list[int]:
    return [record["step"] for record in read_jsonl(folder / "metrics.jsonl") if "event" not in record]


def entries(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def without_events(folder: Path) -> list[dict[str, Any]]:
    return [record for record in read_jsonl(folder / "metrics.jsonl") if "event" not in record]


@pytest.mark.parametrize(
    ("job", "at", "precision"),
    [
        ("Adding", 1, "float32"),
        ("Adding", 22, "float32"),
        ("Walks", 10, "float32"),
        ("Walks", 22, "bfloat16"),
        ("Walks", 39, "float32"),
    ],
)
def test_a_crashed_run_resumes_exactly(toy: ModuleType, tmp_path: Path, job: str, at: int, precision: str) -> None:
    options = replace(toy.OPTIONS, precision=precision)
    whole, broken, again = (getattr(toy, job)() for _ in range(3))
    expected = train(whole, options, folder=tmp_path / "whole")
    with pytest.raises(RuntimeError, match="crash"):
        train(broken, options, folder=tmp_path / "run", callbacks=[At(at, crash)])
    outcome = train(again, options, folder=tmp_path / "run", resume=True)
    assert toy.fingerprint(again.module) == toy.fingerprint(whole.module)
    assert (outcome.best, outcome.best_step, outcome.steps) == (expected.best, expected.best_step, 40)
    assert without_events(tmp_path / "run") == without_events(tmp_path / "whole")
    assert steps_of(tmp_path / "run") == list(range(1, 41))
    assert sorted(entries(tmp_path / "run" / "checkpoints")) == ["step-0000000035", "step-0000000040"]


@pytest.fixture
def run() -> Iterator[Callable[[Path, float], "subprocess.Popen[str]"]]:
    """Starts the script toy.py; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path, pause: float) -> "subprocess.Popen[str]":
        command = [sys.executable, os.fspath(SCRIPT), os.fspath(folder), str(pause)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def when(process: "subprocess.Popen[str]", ready: Callable[[], bool], number: int) -> str:
    """Send a signal as soon as ``ready``; returns what the run printed."""
    while not ready():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(number)
    return process.communicate()[0]


def test_killed_runs_resume_exactly(tmp_path: Path, run: Callable[[Path, float], "subprocess.Popen[str]"]) -> None:
    """SIGKILL in the middle of steps, SIGKILL while a checkpoint is written; then to the end."""
    reference = run(tmp_path / "whole", 0.0)
    folder = tmp_path / "run"
    log, checkpoints = folder / "metrics.jsonl", folder / "checkpoints"

    def lines() -> int:
        return len(log.read_bytes().splitlines()) if log.exists() else 0

    process = run(folder, 0.01)
    when(process, lambda: lines() >= 8, signal.SIGKILL)
    process = run(folder, 0.01)
    later = {f"step-{step:010d}" for step in range(15, 40)}
    half = re.compile(r"\.(step-\d+)\.\w+\.partial")

    def writing() -> bool:
        found = (half.fullmatch(name) for name in entries(checkpoints))
        return any(match and match[1] in later for match in found)

    when(process, writing, signal.SIGKILL)
    assert any(name.endswith(".partial") for name in entries(checkpoints))
    process = run(folder, 0.0)
    output, _ = process.communicate()
    expected, _ = reference.communicate()
    assert output == expected
    assert output.startswith("budget 40 ")
    assert without_events(folder) == without_events(tmp_path / "whole")
    assert not any(name.endswith(".partial") for name in entries(checkpoints))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_tells_how_to_resume(toy: ModuleType, tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    whole, job, again = toy.Walks(), toy.Walks(), toy.Walks()
    train(whole, toy.OPTIONS)
    stop = At(12, lambda: signal.raise_signal(number))
    outcome = train(job, toy.OPTIONS, folder=tmp_path, callbacks=[stop], resume_hint="latchwork train --resume run")
    assert (outcome.stopped, outcome.steps) == ("interrupted", 12)
    assert outcome.checkpoint == tmp_path / "checkpoints" / "step-0000000012"
    assert stop.events == [
        f"interrupted after step 12 of 40; saved in {tmp_path}; resume with: latchwork train --resume run"
    ]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    train(again, toy.OPTIONS, folder=tmp_path, resume=True)
    assert toy.fingerprint(again.module) == toy.fingerprint(whole.module)


def test_ctrl_c_without_a_folder(toy: ModuleType) -> None:
    stop = At(3, lambda: signal.raise_signal(signal.SIGINT))
    assert train(toy.Walks(), toy.OPTIONS, callbacks=[stop]).stopped == "interrupted"
    assert stop.events == ["interrupted after step 3 of 40; nothing is saved, since training was given no folder"]


def test_a_second_ctrl_c_stops_at_once(toy: ModuleType, tmp_path: Path) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(toy.Walks(), toy.OPTIONS, folder=tmp_path, callbacks=[At(12, twice)])
    whole, again = toy.Walks(), toy.Walks()
    train(whole, toy.OPTIONS)
    train(again, toy.OPTIONS, folder=tmp_path, resume=True)
    assert toy.fingerprint(again.module) == toy.fingerprint(whole.module)


def test_a_roll_back_after_an_interruption_returns_where_it_would_have(toy: ModuleType, tmp_path: Path) -> None:
    class Poisoned(toy.Walks):
        now, left = -1, 1

        def batch(self, step: int) -> Any:
            self.now = step
            return super().batch(step)

        def loss(self, batch: Any, carried: Any) -> Any:
            loss, after = super().loss(batch, carried)
            if self.now == 13 and self.left:
                self.left -= 1
                return loss * float("nan"), after
            return loss, after

    whole, again = Poisoned(), Poisoned()
    train(whole, toy.OPTIONS)
    for at in (11, 12):
        stop = At(at, lambda: signal.raise_signal(signal.SIGINT))
        train(Poisoned(), toy.OPTIONS, folder=tmp_path, resume=at == 12, callbacks=[stop])
    outcome = train(again, toy.OPTIONS, folder=tmp_path, resume=True)
    assert any("back to step 10" in record.get("event", "") for record in outcome.history)
    assert toy.fingerprint(again.module) == toy.fingerprint(whole.module)
    assert steps_of(tmp_path) == list(range(1, 41))


def test_resuming_a_finished_run_says_so(toy: ModuleType, tmp_path: Path) -> None:
    job, again = toy.Adding(), toy.Adding()
    first = train(job, toy.OPTIONS, folder=tmp_path)
    listen = At(-1, crash)
    second = train(again, toy.OPTIONS, folder=tmp_path, resume=True, callbacks=[listen])
    assert listen.events == ["training was already finished after step 40; nothing is left to resume"]
    assert toy.fingerprint(again.module) == toy.fingerprint(job.module)
    assert (second.best, second.steps, second.stopped) == (first.best, first.steps, first.stopped)
    assert steps_of(tmp_path) == list(range(1, 41))


def test_nothing_to_resume(toy: ModuleType, tmp_path: Path) -> None:
    job, listen = toy.Adding(), At(-1, crash)
    assert train(job, toy.OPTIONS, folder=tmp_path / "new", resume=True, callbacks=[listen]).steps == 40
    assert listen.events == [f"there is no checkpoint in {tmp_path / 'new'} yet; training starts at the beginning"]
    with pytest.raises(ConfigError, match="there is no folder to resume from"):
        train(job, toy.OPTIONS, resume=True)


def test_a_folder_with_a_run_is_not_overwritten(toy: ModuleType, tmp_path: Path) -> None:
    train(toy.Adding(), toy.OPTIONS, folder=tmp_path)
    with pytest.raises(ConfigError, match=r"holds a run that has made 40 steps; resume it \(resume=True\), remove"):
        train(toy.Adding(), toy.OPTIONS, folder=tmp_path)
    Checkpoints(tmp_path / "checkpoints", 1).clear()
    assert train(toy.Adding(), toy.OPTIONS, folder=tmp_path).steps == 40
    assert steps_of(tmp_path) == list(range(1, 41))


def test_other_options_are_refused(toy: ModuleType, tmp_path: Path) -> None:
    config = {"task": {"horizon": 28}, "levels": (0.1, 0.5)}
    train(toy.Adding(), toy.OPTIONS, folder=tmp_path, config=config)

    def again(options: Any = toy.OPTIONS, config: Any = config, job: Any = None) -> None:
        train(job or toy.Adding(), options, folder=tmp_path, config=config, resume=True)

    again()
    with pytest.raises(ConfigError, match=r"learning_rate is 0\.5, but the run in .* was started with 0\.01; resume"):
        again(replace(toy.OPTIONS, learning_rate=0.5))
    with pytest.raises(ConfigError, match=r"config\.task\.horizon is 7, but the run in .* was started with 28"):
        again(config={"task": {"horizon": 7}, "levels": (0.1, 0.5)})
    with pytest.raises(ConfigError, match=r"config\.data is abc, but the run in .* was started with none"):
        again(config={**config, "data": "abc"})
    other = toy.Adding()
    other.module.head = toy.nn.Linear(8, 2)
    with pytest.raises(ModelFileError, match=r"head\.bias is \(1,\), expected \(2,\): another network"):
        again(job=other)


def test_a_carried_state_of_another_shape_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    class Wider(toy.Walks):
        def loss(self, batch: Any, carried: Any) -> Any:
            loss, after = super().loss(batch, carried)
            return loss, (after, after.h)

    with pytest.raises(RuntimeError, match="crash"):
        train(toy.Walks(), toy.OPTIONS, folder=tmp_path, callbacks=[At(7, crash)])
    with pytest.raises(StateError, match="does not fit this model"):
        train(Wider(), toy.OPTIONS, folder=tmp_path, resume=True)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "manifest", "gone"])
def test_a_damaged_checkpoint_falls_back(toy: ModuleType, tmp_path: Path, damage: str) -> None:
    whole, again = toy.Walks(), toy.Walks()
    train(whole, toy.OPTIONS)
    with pytest.raises(RuntimeError, match="crash"):
        train(toy.Walks(), toy.OPTIONS, folder=tmp_path, callbacks=[At(23, crash)])
    newest = tmp_path / "checkpoints" / "step-0000000020"
    tensors, manifest = newest / "state.safetensors", newest / "checkpoint.json"
    data = tensors.read_bytes()
    if damage == "truncated":
        tensors.write_bytes(data[:-100])
    elif damage == "flipped":
        tensors.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
    elif damage == "manifest":
        manifest.write_text(manifest.read_text()[:-30])
    else:
        manifest.unlink()
    listen = At(-1, crash)
    train(again, toy.OPTIONS, folder=tmp_path, resume=True, callbacks=[listen])
    assert "step-0000000020" in listen.events[0]
    assert listen.events[0].endswith("; the checkpoint before it is used")
    assert listen.events[1:] == ["resumed after step 15"]
    assert toy.fingerprint(again.module) == toy.fingerprint(whole.module)
    assert steps_of(tmp_path) == list(range(1, 41))


def test_when_no_checkpoint_can_be_read(toy: ModuleType, tmp_path: Path) -> None:
    train(toy.Adding(), toy.OPTIONS, folder=tmp_path)
    for path in (tmp_path / "checkpoints").iterdir():
        (path / "state.safetensors").write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"no checkpoint in .* can be read \(.*damaged.*\); train in a new folder"):
        train(toy.Adding(), toy.OPTIONS, folder=tmp_path, resume=True)


def test_a_checkpoint_of_a_newer_latchwork_is_not_skipped(toy: ModuleType, tmp_path: Path) -> None:
    train(toy.Adding(), toy.OPTIONS, folder=tmp_path)
    manifest = tmp_path / "checkpoints" / "step-0000000040" / "checkpoint.json"
    write_json(manifest, {**read_json(manifest), "format": 3, "unheard_of": 1})
    with pytest.raises(ModelFileError, match=r"written by latchwork format 3.*install a newer latchwork"):
        train(toy.Adding(), toy.OPTIONS, folder=tmp_path, resume=True)


@pytest.mark.parametrize("damage", ["gone", "garbage", "short"])
def test_a_damaged_log_does_not_stop_training(toy: ModuleType, tmp_path: Path, damage: str) -> None:
    whole, again, log = toy.Walks(), toy.Walks(), tmp_path / "metrics.jsonl"
    train(whole, toy.OPTIONS)
    with pytest.raises(RuntimeError, match="crash"):
        train(toy.Walks(), toy.OPTIONS, folder=tmp_path, callbacks=[At(23, crash)])
    if damage == "gone":
        log.unlink()
    else:
        lines = log.read_text().splitlines(keepends=True)
        log.write_text("".join(lines[:8] if damage == "short" else ["rubbish\n", *lines[1:]]))
    listen = At(-1, crash)
    train(again, toy.OPTIONS, folder=tmp_path, resume=True, callbacks=[listen])
    assert "metrics.jsonl" in listen.events[0]
    assert toy.fingerprint(again.module) == toy.fingerprint(whole.module)
    assert steps_of(tmp_path)[-20:] == list(range(21, 41))


def test_another_environment_is_told(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="crash"):
        train(toy.Adding(), toy.OPTIONS, folder=tmp_path, callbacks=[At(7, crash)])
    manifest = tmp_path / "checkpoints" / "step-0000000005" / "checkpoint.json"
    value = read_json(manifest)
    write_json(manifest, {**value, "environment": {**value["environment"], "threads": "64"}})
    listen = At(-1, crash)
    train(toy.Adding(), toy.OPTIONS, folder=tmp_path, resume=True, callbacks=[listen])
    assert any("threads was 64 and is" in event for event in listen.events)


def test_a_full_disk_ends_training_and_spoils_nothing(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        stop = At(9, lambda: patch.setattr(os, "write", full))
        with pytest.raises(ModelFileError, match="the disk is full"):
            train(toy.Walks(), toy.OPTIONS, folder=tmp_path, callbacks=[stop])
    whole, again = toy.Walks(), toy.Walks()
    train(whole, toy.OPTIONS)
    train(again, toy.OPTIONS, folder=tmp_path, resume=True)
    assert toy.fingerprint(again.module) == toy.fingerprint(whole.module)


def test_no_pickle_in_a_run_folder(toy: ModuleType, tmp_path: Path) -> None:
    train(toy.Walks(), toy.OPTIONS, folder=tmp_path)
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"metrics.jsonl", "state.safetensors", "checkpoint.json"}
