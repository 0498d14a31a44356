"""The command line: one line and exit status 2 for bad input, nothing half-written; the verbs do what they say."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from latchwork import storage
from latchwork.cli import main
from latchwork.cli.config import read_config
from latchwork.errors import ModelFileError

sys.path.insert(0, str(Path(__file__).parent))
from small import shop, write
from terminal import command, refused

QUICK = ["--steps", "6", "--evaluate-every", "3", "--hidden-size", "8", "--target", "units", "--horizon", "7"]
SPLIT = ["--test-size", "14", "--validation-size", "14"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    data = write(shop(), folder / "shop.csv")
    main(["train", "forecast", str(data), *QUICK, *SPLIT, "--run", str(folder / "run")])
    return folder / "run"


BAD_FILES = {
    "no such file": (None, r"no such file"),
    "empty": ("", "empty"),
    "header only": ("ds,units\n", "no row"),
    "text in a number": ("ds,units\n2024-01-01,1\n2024-01-02,many\n", "row 2"),
    "all missing": ("ds,units\n" + "".join(f"2024-01-{day:02},\n" for day in range(1, 29)), "units"),
    "duplicate stamps": ("ds,units\n2024-01-01,1\n2024-01-01,2\n", "2024-01-01"),
    "too few rows": ("ds,units\n" + "".join(f"2024-01-{day:02},{day}\n" for day in range(1, 15)), "are needed"),
    "infinite": ("ds,units\n2024-01-01,1\n2024-01-02,inf\n", "row 2"),
    "unknown column": ("ds,unit\n2024-01-01,1\n", 'did you mean "unit"'),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_are_refused_in_one_line_and_leave_nothing(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, said = BAD_FILES[kind]
    path = tmp_path / "data.csv"
    if text is not None:
        path.write_text(text)
    err = refused(capsys, "train", "forecast", path, *QUICK, "--run", tmp_path / "run")
    assert said in err
    assert "data.csv" in err or kind == "too few rows"
    assert not (tmp_path / "run").exists()


def test_bad_options_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(shop(rows=60), tmp_path / "shop.csv")
    base = ["train", "forecast", data, "--target", "units"]
    assert "horizon is 0" in refused(capsys, *base, "--horizon", "0")
    assert "horizont" in refused(capsys, *base, "--horizont", "7")
    assert "cell" in refused(capsys, *base, "--horizon", "7", "--cell", "grru")
    assert "memory" in refused(capsys, *base, "--horizon", "7", "--memory", "both")
    assert "horizon" in refused(capsys, *base, "--horizon", "soon")
    assert "horizon" in refused(capsys, *base)


def test_unknown_names_in_a_config_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, config = write(shop(rows=60), tmp_path / "shop.csv"), tmp_path / "run.toml"
    for text, said in (
        ("[forecast]\nhorizont = 3\n", 'did you mean "horizon"'),
        ("[forcast]\nhorizon = 3\n", 'did you mean "forecast"'),
        ("[training]\nlearning_rat = 3\n", 'did you mean "learning_rate"'),
        ("horizon = \n", "not TOML"),
    ):
        config.write_text(text)
        assert said in refused(capsys, "train", "forecast", data, "--config", config)
    assert "can't read" in refused(capsys, "train", "forecast", data, "--config", tmp_path / "none.toml")


def test_the_written_config_gives_the_same_model(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = run.parent / "shop.csv"
    code, _, err = command(capsys, "train", "forecast", data, "--config", run / "config.toml", "--run", tmp_path / "b")
    assert code == 0, err
    names = ("model/model.safetensors", "model/state.safetensors", "leaderboard.json", "config.toml")
    for name in names:
        assert (tmp_path / "b" / name).read_bytes() == (run / name).read_bytes(), name
    assert set(read_config(run / "config.toml")) >= {"horizon", "target", "cell", "learning-rate", "seed"}


def test_words_on_the_command_line_win_over_the_config(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = run.parent / "shop.csv"
    words = ["--config", run / "config.toml", "--run", tmp_path / "c", "--horizon", "3"]
    assert command(capsys, "train", "forecast", data, *words)[0] == 0
    assert "horizon = 3" in (tmp_path / "c" / "config.toml").read_text()


def test_evaluate_prints_the_leaderboard(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "evaluate", run)
    assert code == 0
    assert "seasonal naive" in out
    assert "gru" in out


def test_predict_writes_every_format(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "predict", run)
    assert code == 0
    frame = pl.read_csv(io.StringIO(out))
    assert len(frame) == 14
    for name in ("a.csv", "a.parquet", "a.jsonl"):
        assert command(capsys, "predict", run, "--output", tmp_path / name)[0] == 0
    assert pl.read_parquet(tmp_path / "a.parquet")["units"].to_list() == pytest.approx(frame["units"].to_list())
    assert pl.read_ndjson(tmp_path / "a.jsonl")["units"].to_list() == pytest.approx(frame["units"].to_list())
    assert "use .csv, .parquet or .jsonl" in refused(capsys, "predict", run, "--output", tmp_path / "a.xlsx")
    assert not (tmp_path / "a.xlsx").exists()


def test_stream_answers_each_line_and_counts_the_bad_ones(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(day: int, units: object) -> str:
        return json.dumps({"unique_id": "north", "ds": f"2024-06-{day:02}", "units": units})

    lines = [row(9, 21.0), row(10, "many"), "not json", row(9, 20.0), row(11, None)]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
    code, out, err = command(capsys, "stream", run, "--snapshot", tmp_path / "state")
    assert code == 2
    answers = [json.loads(line) for line in out.splitlines()]
    assert ["error" in answer for answer in answers] == [False, True, True, True, False]
    assert answers[0]["times"][0] == "2024-06-10"
    assert answers[4]["after"] == "2024-06-11"
    assert "3 of the rows were refused" in err
    monkeypatch.setattr("sys.stdin", io.StringIO(row(12, 22.0) + "\n"))
    code, out, _ = command(capsys, "stream", run, "--snapshot", tmp_path / "state")
    assert code == 0
    assert json.loads(out)["after"] == "2024-06-12"


def test_update_takes_rows_in_once(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(run, folder)
    newer = shop(rows=165).filter(pl.col("ds") > pl.date(2024, 6, 8))
    data = write(newer, tmp_path / "newer.csv")
    assert command(capsys, "update", folder, data)[0] == 0
    _, out, _ = command(capsys, "predict", folder)
    assert "2024-06-14" in out.splitlines()[1]
    before = (folder / "model" / "state.safetensors").read_bytes()
    assert "out of order" in refused(capsys, "update", folder, data)
    assert (folder / "model" / "state.safetensors").read_bytes() == before
    assert (folder / "leaderboard.json").read_bytes() == (run / "leaderboard.json").read_bytes()


def test_a_finished_run_and_a_missing_one_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = run.parent / "shop.csv"
    assert "already holds a finished run" in refused(capsys, "train", "forecast", data, *QUICK, "--run", run)
    assert "no such run folder" in refused(capsys, "predict", tmp_path / "none")


def test_a_full_disk_leaves_no_half_written_model(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    data = run.parent / "shop.csv"
    monkeypatch.setattr(storage.os, "write", full)
    err = refused(capsys, "train", "forecast", data, *QUICK, "--run", tmp_path / "full")
    assert "disk is full" in err or "no space left" in err.lower()
    assert not (tmp_path / "full" / "model").exists()
    with pytest.raises(ModelFileError):
        storage.write_text(tmp_path / "x", "y")


def test_doctor_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "doctor")
    assert code == 0
    assert "lstm" in out
    assert "torch" in out
    assert command(capsys, "--version")[0] == 0
    assert command(capsys, "train", "classify", "--version", "x")[0] == 0


def test_odd_lines_never_end_a_stream(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {"unique_id": "north", "ds": "2024-06-09", "units": 20.0}
    odd = [{**good, "units": 1e308}, {**good, "units": 10**400}, {**good, "unique_id": ["a"]}, {"units": {}}]
    lines = [*map(json.dumps, odd), "[" * 100_000, json.dumps(good)]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
    code, out, _ = command(capsys, "stream", run)
    assert code == 2
    assert ["error" in json.loads(line) for line in out.splitlines()] == [True] * 5 + [False]


def test_files_that_cannot_be_read_or_written_are_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "none.jsonl" in refused(capsys, "stream", run, "--rows", tmp_path / "none.jsonl")
    assert str(tmp_path) in refused(capsys, "stream", run, "--snapshot", tmp_path)
    assert "--config" in refused(capsys, "predict", run, "--config", run / "config.toml")
    assert "--config wants a file" in refused(capsys, "train", "forecast", "--config")


def test_update_of_the_model_folder_updates_its_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(run, folder)
    newer = shop(rows=165).filter(pl.col("ds") > pl.date(2024, 6, 8))
    assert command(capsys, "update", folder / "model", write(newer, tmp_path / "newer.csv"))[0] == 0
    assert not (folder / "model" / "model").exists()
    assert "2024-06-14" in command(capsys, "predict", folder)[1].splitlines()[1]
    assert (folder / "config.toml").read_bytes() == (run / "config.toml").read_bytes()


def test_sizes_that_hold_nothing_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(shop(rows=60), tmp_path / "shop.csv")
    for size in ("nan", "inf", "0.001", "10.5", "-1"):
        assert "test_size" in refused(capsys, "train", "forecast", data, *QUICK, "--test-size", size)
    for words in (["--season", "50"], ["--memory", "carried", "--lookback", "9"], ["--scale", "fixed"]):
        assert words[0].strip("-") in refused(capsys, "train", "forecast", data, *QUICK, *words)
    assert "step_size is 0" in refused(capsys, "backtest", "forecast", data, *QUICK, "--step", "0")


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_resumed_equals_uninterrupted(kill: signal.Signals, tmp_path: Path) -> None:
    data = write(shop(), tmp_path / "shop.csv")
    words = [sys.executable, "-m", "latchwork", "train", "forecast", str(data), "--target", "units", "--horizon", "7"]
    words += [*SPLIT, "--steps", "60", "--evaluate-every", "5", "--hidden-size", "16"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = subprocess.run(
        [*words, "--run", str(tmp_path / "whole")], env=environment, capture_output=True, check=False
    )
    assert whole.returncode == 0, whole.stderr
    broken = tmp_path / "broken"
    for wanted in (12, 40):
        process = subprocess.Popen(
            [*words, "--run", str(broken), "--resume"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        log = broken / "metrics.jsonl"
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if log.exists() and log.read_text().count("\n") >= wanted:
                process.send_signal(kill)
                break
            time.sleep(0.01)
        process.communicate(timeout=120)
    last = subprocess.run([*words, "--run", str(broken), "--resume"], env=environment, capture_output=True, check=False)
    assert last.returncode == 0, last.stderr
    for name in ("model/model.safetensors", "model/state.safetensors", "leaderboard.json"):
        assert (broken / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
