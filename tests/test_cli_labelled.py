"""train classify and train label from the command line: bad input is one line and leaves nothing, good input a run."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from latchwork.cli import main

sys.path.insert(0, str(Path(__file__).parent))
import tiny
from terminal import command, refused

QUICK = ["--steps", "4", "--evaluate-every", "2", "--batch-size", "8", "--hidden-size", "4"]


def lines(*rows: str) -> bytes:
    return ("\n".join(rows) + "\n").encode()


def rows_of(label: Any, count: int = 24) -> bytes:
    """Texts whose labels ``label`` gives by their number."""
    return lines("text,label", *(f"{text},{label(row)}" for row, (text, _) in enumerate(tiny.texts(count))))


GOOD = rows_of(lambda row: "ab"[row % 2])
RECORDS = lines("id,pulse,label", *(f"p{row // 3},{row % 7}.5,{'ab'[row // 3 % 2]}" for row in range(60)))

BAD: dict[str, tuple[str, bytes, list[str], str]] = {
    "no such file": ("none.csv", b"", [], "no such file"),
    "empty": ("a.csv", b"", [], "empty"),
    "header only": ("a.csv", lines("text,label"), [], "no row below"),
    "no label": ("a.csv", lines("text,tone", "x y,a", "z,b"), [], "label"),
    "unequal columns": ("a.csv", lines("text,label", "one,a", "two,b,c"), [], "line 3 has 3 cells, expected 2"),
    "a quote never closed": ("a.csv", lines("text,label", '"one,a', "two,b"), [], "quote"),
    "not UTF-8": ("a.csv", lines("text,label", "one,a") + b"caf\xe9,b\n", [], "line 3, byte 4: 0xe9 is not utf-8"),
    "an empty text": ("a.csv", lines("text,label", "one,a", ",b", "three,a"), [], "row 2 (line 3): the text is empty"),
    "all one label": ("a.csv", rows_of(lambda row: "a"), [], 'every label is "a"'),
    "one text": ("a.csv", lines("text,label", "one two,a"), [], "tell apart"),
    "an aim for three classes": (
        "a.csv", rows_of(lambda row: "abc"[row % 3]), ["--aim", "recall>=0.9"], "two classes, and there are 3"
    ),
    "an aim that is none": ("a.csv", GOOD, ["--aim", "recal>=0.9"], 'did you mean "recall"'),
    "a metric of another kind": ("a.csv", GOOD, ["--metric", "rmse"], 'metric is "rmse"; expected one of accuracy'),
    "an unknown option": ("a.csv", GOOD, ["--poling", "last"], "poling"),
    "an unknown cell": ("a.csv", GOOD, ["--cell", "grru"], 'did you mean "gru"'),
    "an unknown class": ("a.csv", GOOD, ["--positive", "c"], 'positive is "c", expected one of the classes a, b'),
    "an option of other sequences": ("a.csv", GOOD, ["--period", "2"], "period is for records, and this is text"),
    "a column that is not there": ("a.csv", GOOD, ["--label", "lable"], 'did you mean "label"'),
    "nothing to learn from": ("a.csv", GOOD, ["--test-size", "0.6", "--validation-size", "0.4"], "nothing to learn"),
    "a size that is none": ("a.csv", GOOD, ["--test-size", "nan"], "expected a share below 1"),
    "no time to split by": ("a.csv", GOOD, ["--by-time"], "needs a column of time"),
    "a text that asks for time": ("a.csv", GOOD, ["--truncate", "5"], "whole sequences are read"),
    "numbers that are none": ("a.csv", GOOD, ["--target", "number"], 'the label "a" is no number'),
    "text in a column of numbers": (
        "a.csv", RECORDS.replace(b"p1,3.5", b"p1,many"), ["--id", "id"], 'row 4 (line 5): column "pulse" holds "many"'
    ),
    "two labels for one sequence": (
        "a.csv", RECORDS + b"p1,2.0,a\n", ["--id", "id"], 'the label of "p1" is "a", but "b" at'
    ),
    "a static column that changes": (
        "a.csv", RECORDS.replace(b",a", b",1,a").replace(b",b", b",1,b").replace(b"pulse", b"pulse,flow"),
        ["--id", "id", "--static", "pulse"], 'the static of "p0" is',
    ),
    "an image that is none": ("images/a/1.png", b"no image", [], "is no png or jpg image"),
    "an image that is cut short": ("images/a/1.png", b"\x89PNG\r\n\x1a\n\x00\x00", [], "1.png"),
    "an empty image": ("images/a/1.png", b"", [], "the file is empty, expected a png or jpg image"),
    "a network without room": ("a.csv", GOOD, ["--embedding", "100000000000"], "too little memory for this network"),
    "a network that nobody can count": ("a.csv", GOOD, ["--embedding", "9" * 25], "too little memory"),
    "steps that are no whole number": ("a.csv", GOOD, ["--layers", "1.5"], "layers is 1.5, expected a whole number"),
    "a fraction behind a sign": ("a.csv", GOOD, ["--embedding=4.9"], "embedding is 4.9, expected a whole number"),
    "a seed that is too large": ("a.csv", GOOD, ["--seed", str(2**63)], "below 2**63"),
    "an archive that is none": ("a.npz", b"PK not really", [], "is no readable .npz file"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, data, options, said = BAD[name]
    source = tmp_path / path
    if name != "no such file":
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(data)
    given = tmp_path / "images" if path.startswith("images") else source
    err = refused(capsys, "train", "classify", given, *QUICK, *options, "--run", tmp_path / "run")
    assert said in err
    assert not (tmp_path / "run").exists()


LABEL_BAD: dict[str, tuple[str, bytes, list[str], str]] = {
    "unequal columns": ("a.conll", lines("Ann B-PER", "runs O x"), [], "line 2 has 3 columns, expected 2"),
    "all one label": ("a.conll", lines("Ann O", "", "Bob O", "", "Eve O", ""), [], "tell apart"),
    "not UTF-8": ("a.conll", lines("Ann B-PER", "") + b"caf\xe9 O\n", [], "line 3, byte 4"),
    "labels that mark no span": (
        "a.conll", lines(*(line for _ in range(9) for line in ("Ann NAME", "runs O", ""))), ["--spans"], "no span"
    ),
    "as many labels as words": (
        "a.jsonl", lines('{"tokens": ["a", "b"], "tags": ["O", "X"]}', '{"tokens": ["a"], "tags": ["O", "X"]}'), [],
        "2 labels for 1 words",
    ),
    "a step without a label": (
        "a.csv", lines("id,x,label", "1,2,a", "1,3,", "2,4,a", "2,5,b"), ["--id", "id"], "step 2",
    ),
    "a metric of whole sequences": (
        "a.conll", lines(*(line for _ in range(9) for line in ("Ann NAME", "runs O", ""))), ["--metric", "roc_auc"],
        'metric is "roc_auc"; expected one of accuracy',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LABEL_BAD)
def test_bad_input_of_labels_is_one_line_and_leaves_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, data, options, said = LABEL_BAD[name]
    (tmp_path / path).write_bytes(data)
    err = refused(capsys, "train", "label", tmp_path / path, *QUICK, *options, "--run", tmp_path / "run")
    assert said in err
    assert not (tmp_path / "run").exists()


def test_a_label_never_seen_in_training_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = tmp_path / "train.csv"
    train.write_bytes(GOOD)
    test = tmp_path / "test.csv"
    test.write_bytes(lines("text,label", "a film,a", "more,z"))
    err = refused(capsys, "train", "classify", train, "--test", test, *QUICK, "--run", tmp_path / "run")
    assert 'test.csv: row 2 (line 3): the label "z" was never seen in training, which has a, b' in err
    assert not (tmp_path / "run").exists()


def test_a_fold_with_one_class_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{text},{'ab'[row // 12]},g{row // 12}" for row, (text, _) in enumerate(tiny.texts(24))]
    path = tmp_path / "a.csv"
    path.write_bytes(lines("text,label,who", *rows))
    words = ["train", "classify", path, *QUICK, "--run", tmp_path / "run", "--group", "who"]
    assert "belong together" in refused(capsys, *words)
    assert "one class only" in refused(capsys, *words, "--validation-size", "0")
    assert not (tmp_path / "run").exists()


def test_a_class_with_one_example_is_learnt_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(rows_of(lambda row: "c" if row == 5 else "ab"[row % 2]))
    code, out, err = command(capsys, "train", "classify", path, *QUICK, "--run", tmp_path / "run")
    assert code == 0, err
    assert 'classes with one example, which is learned from or scored, never both: "c"' in " ".join(out.split())


# Runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Trained through the command line: kind -> (data, run)."""
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for name, task, data, options in (
        ("texts", "classify", tiny.write_texts(folder / "texts.csv"), []),
        ("records", "classify", tiny.write_records(folder / "records.csv"), ["--id", "id", "--time", "time"]),
        ("images", "classify", tiny.write_images(folder / "images"), []),
        ("words", "label", tiny.write_words(folder / "words.conll"), []),
        ("states", "label", tiny.write_states(folder / "states.csv"), ["--id", "id"]),
    ):
        main([str(word) for word in ("train", task, data, *QUICK, *options, "--run", folder / name)])
        made[name] = (data, folder / name)
    return made


KINDS = ("texts", "records", "images", "words", "states")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_holds_what_it_should(kind: str, runs: Any) -> None:
    _, run = runs[kind]
    for name in ("model/config.json", "model/model.safetensors", "leaderboard.json", "findings.json", "config.toml"):
        assert (run / name).is_file(), name
    assert not list(run.glob(".*"))


@pytest.mark.parametrize("kind", KINDS)
def test_predict_and_evaluate(kind: str, runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = runs[kind]
    code, out, err = command(capsys, "predict", run, data)
    assert code == 0, err
    frame = pl.read_csv(io.StringIO(out))
    assert "label" in frame.columns
    assert command(capsys, "predict", run, data, "--output", tmp_path / "a.parquet")[0] == 0
    assert pl.read_parquet(tmp_path / "a.parquet").height == frame.height
    probable = [name for name in frame.columns if name.startswith("p_")]
    if probable:
        assert frame.select(pl.sum_horizontal(probable)).to_series().to_list() == pytest.approx([1.0] * len(frame))
    else:
        assert frame["probability"].is_between(0, 1).all()
    board = command(capsys, "evaluate", run)[1]
    assert "majority" in board or "last label" in board or "frequen" in board, board
    code, out, err = command(capsys, "evaluate", run, data)
    assert code == 0, err
    assert "latchwork" in out


def test_evaluated_is_what_was_predicted(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = runs["texts"]
    frame = pl.read_csv(io.StringIO(command(capsys, "predict", run, data)[1]))
    truth = pl.read_csv(data)["label"].to_list()
    right = sum(one == other for one, other in zip(frame["label"].to_list(), truth, strict=True)) / len(truth)
    assert f"{right:.3f}" in command(capsys, "evaluate", run, data)[1]


@pytest.mark.parametrize("kind", ["texts", "records", "words"])
def test_the_written_config_gives_the_same_model(
    kind: str, runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = runs[kind]
    task = "label" if kind == "words" else "classify"
    words = ["train", task, data, "--config", run / "config.toml", "--run", tmp_path / "b"]
    code, _, err = command(capsys, *words)
    assert code == 0, err
    for name in ("model/model.safetensors", "model/config.json", "leaderboard.json", "config.toml"):
        assert (tmp_path / "b" / name).read_bytes() == (run / name).read_bytes(), name


def test_words_win_over_the_config(runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = runs["texts"]
    words = ["train", "classify", data, "--config", run / "config.toml", "--embedding", "5", "--run", tmp_path / "c"]
    assert command(capsys, *words)[0] == 0
    assert "embedding = 5" in (tmp_path / "c" / "config.toml").read_text()


def test_a_finished_run_is_not_trained_over(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = runs["texts"]
    before = (run / "model" / "config.json").read_bytes()
    assert "already holds a finished run" in refused(capsys, "train", "classify", data, *QUICK, "--run", run)
    assert (run / "model" / "config.json").read_bytes() == before


def test_resume_goes_on_with_the_same_and_refuses_another(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = runs["texts"]
    before = (run / "model" / "model.safetensors").read_bytes()
    words = ["train", "classify", data, *QUICK, "--run", run, "--resume"]
    code, _, err = command(capsys, *words)
    assert code == 0, err
    assert (run / "model" / "model.safetensors").read_bytes() == before
    assert "resume with the same options" in refused(capsys, *words, "--focal", "2")
    longer = [5 if word == "4" else word for word in words]
    assert "resume with the same options" in refused(capsys, *longer)
    other = tiny.write_texts(tmp_path / "other.csv", seed=5)
    again = ["train", "classify", other, *QUICK, "--run", run, "--resume"]
    assert "data" in refused(capsys, *again)
    states = runs["states"][0]
    task = refused(capsys, "train", "label", states, "--id", "id", *QUICK, "--run", run, "--resume")
    assert "resume with the same options" in task
    assert (run / "model" / "model.safetensors").read_bytes() == before


def test_predict_refuses_what_lacks_a_column(runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_bytes(lines("message", "a fine film"))
    assert 'there is no column "text"' in refused(capsys, "predict", runs["texts"][1], tmp_path / "a.csv")
    (tmp_path / "b.csv").write_bytes(lines("id,time,mood", "1,1,calm"))
    assert "pulse" in refused(capsys, "predict", runs["records"][1], tmp_path / "b.csv")
    (tmp_path / "c.csv").write_bytes(lines("time,pulse,mood,age", "1,60,calm,3"))
    assert '"id"' in refused(capsys, "predict", runs["records"][1], tmp_path / "c.csv")
    assert "answers a file" in refused(capsys, "predict", runs["texts"][1])
    assert "no such file" in refused(capsys, "predict", runs["texts"][1], tmp_path / "none.csv")
    (tmp_path / "d.csv").write_bytes(lines("text,label", "a fine film,splendid"))
    assert 'the label "splendid" was never seen' in refused(capsys, "evaluate", runs["texts"][1], tmp_path / "d.csv")
    (tmp_path / "e.csv").write_bytes(lines("text", "a fine film"))
    assert "label" in refused(capsys, "evaluate", runs["texts"][1], tmp_path / "e.csv")


def test_texts_without_labels_and_without_words_are_answered(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in ("a fine film", "", "äöü")))
    code, out, err = command(capsys, "predict", runs["texts"][1], tmp_path / "a.jsonl")
    assert code == 0, err
    assert pl.read_csv(io.StringIO(out)).height == 3


def test_labels_in_a_file_of_their_own_are_not_wanted_to_predict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tiny.texts(24)
    (tmp_path / "a.csv").write_bytes(lines("id,text", *(f"t{row},{text}" for row, (text, _) in enumerate(rows))))
    (tmp_path / "b.csv").write_bytes(lines("id,label", *(f"t{row},{label}" for row, (_, label) in enumerate(rows))))
    words = ["--id", "id", "--text", "text", "--labels", tmp_path / "b.csv"]
    code, _, err = command(capsys, "train", "classify", tmp_path / "a.csv", *words, *QUICK, "--run", tmp_path / "run")
    assert code == 0, err
    (tmp_path / "c.csv").write_bytes(lines("id,text", "new,a fine film"))
    code, out, err = command(capsys, "predict", tmp_path / "run", tmp_path / "c.csv")
    assert code == 0, err
    assert pl.read_csv(io.StringIO(out))["id"].to_list() == ["new"]


def test_a_damaged_run_is_one_line(runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    data, run = runs["texts"]
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        copy = tmp_path / name
        shutil.copytree(run, copy)
        path = copy / "model" / name
        whole = bytearray(path.read_bytes())
        whole[len(whole) // 2] ^= 4
        path.write_bytes(bytes(whole))
        refused(capsys, "predict", copy, data)


def test_verbs_of_forecasters_are_refused(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = runs["texts"]
    assert "forecasters" in refused(capsys, "update", run, data)
    assert "stream" in refused(capsys, "stream", run)
