"""The table of a classifier: the sentence, what fits into a terminal, the file."""

import io
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from latchwork.errors import ConfigError, ModelFileError
from latchwork.evaluation import Scoreboard, ScoreRow, Versus
from latchwork.evaluation.scoreboard import figure, interval

NAN = math.nan
TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1 (macro)",
    "mcc": "MCC",
    "log_loss": "log loss",
    "rmse": "RMSE",
}
METRICS = ("accuracy", "balanced_accuracy", "f1", "mcc", "log_loss")


def row(
    name: str, value: float, *, model: bool = False, spread: float = 0.02, note: str = "", **more: float
) -> ScoreRow:
    values = {"accuracy": value, "balanced_accuracy": value - 0.01, "f1": value, "mcc": 0.5, "log_loss": 12.5, **more}
    return ScoreRow(name, model, values, value - spread, value + spread, note)


def board(difference: float = 0.05, lower: float = 0.02, upper: float = 0.08, p: float = 0.01, **changes) -> Scoreboard:
    rows = (
        row("latchwork", 0.95, model=True),
        row("TF-IDF + linear", 0.90),
        row("majority", 0.5),
        ScoreRow("boosting on summaries", False, {}, note="not run here"),
    )
    versus = (Versus("TF-IDF + linear", difference, lower, upper, p), Versus("majority", 0.45, 0.4, 0.5, 0.001))
    made = Scoreboard(rows, "accuracy", METRICS, TITLES, versus, 300, "sequence", ("a note",))
    return replace(made, **changes)


def printed(made: Scoreboard, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(made)
    return [line.rstrip() for line in capture.get().splitlines()]


# The sentence


def test_a_model_that_is_better_beats_the_best_of_the_others() -> None:
    assert board().verdict() == (
        "latchwork beats TF-IDF + linear by 0.05 in accuracy (95% interval +0.02 to +0.08, p = 0.01)"
    )


def test_a_model_that_is_worse_is_told_so_and_the_other_recommended() -> None:
    assert board(-0.05, -0.08, -0.02, 0.0005).verdict() == (
        "latchwork is worse than TF-IDF + linear by 0.05 in accuracy (95% interval -0.08 to -0.02, p < 0.002): "
        "use TF-IDF + linear"
    )


@pytest.mark.parametrize(("difference", "shown"), [(0.01, "+0.01"), (-0.01, "-0.01"), (0.0, "+0")])
def test_an_interval_over_zero_is_no_victory(difference: float, shown: str) -> None:
    assert board(difference, -0.03, 0.04, 0.4).verdict() == (
        f"latchwork and TF-IDF + linear can't be told apart: {shown} in accuracy (95% interval -0.03 to +0.04, p = 0.4)"
    )


def test_without_an_interval_there_is_too_little_to_tell() -> None:
    assert (
        board(0.05, NAN, NAN, NAN)
        .verdict()
        .endswith("0.05 in accuracy better than TF-IDF + linear; too little to tell")
    )
    assert "worse than" in board(-0.05, NAN, NAN, NAN).verdict()


def test_of_an_error_lower_is_better() -> None:
    rows = tuple(
        ScoreRow(name, name == "latchwork", {"rmse": value}) for name, value in (("latchwork", 2.0), ("mean", 3.0))
    )
    made = Scoreboard(rows, "rmse", ("rmse",), TITLES, (Versus("mean", -1.0, -1.5, -0.5, 0.01),), 9, "sequence")
    assert made.best is not None
    assert made.verdict().startswith("latchwork beats mean by 1 in RMSE")
    worse = replace(made, versus=(Versus("mean", 1.0, 0.5, 1.5, 0.01),))
    assert worse.verdict().endswith("use mean")


def test_alone_nothing_says_how_hard_it_is() -> None:
    assert "stands alone" in board(rows=board().rows[:1], versus=()).verdict()


def test_an_undefined_figure_is_said() -> None:
    rows = (row("latchwork", NAN, model=True), row("majority", NAN))
    assert (
        board(rows=rows, notes=("something else",), undefined="one class only").verdict()
        == "accuracy is undefined on these sequences: one class only"
    )
    assert board(rows=rows).verdict().endswith("too few of a class")


def test_one_that_is_told_the_truth_is_shown_and_decides_nothing() -> None:
    told = replace(row("last label", 0.99, note="is told the true label"), oracle=True)
    made = board(rows=(told, *board().rows))
    assert made.best is not None
    assert made.best.name == "TF-IDF + linear"
    assert made.verdict() == board().verdict()
    text = "\n".join(printed(made, 120))
    assert "last label" in text
    assert "last label: is told the true label" in text
    assert Scoreboard.from_dict(json.loads(json.dumps(made.to_dict()))).rows[0].oracle
    assert "stands alone" in board(rows=(told, board().rows[0]), versus=()).verdict()


# The table


@pytest.mark.parametrize("width", [44, 60, 80, 100, 140])
def test_a_row_is_a_line_and_the_interval_stands_beside_its_figure(width: int) -> None:
    lines = printed(board(), width)
    assert all(cell_len(line) <= width for line in lines)
    for one in board().rows[:3]:
        line = next(line for line in lines if line.startswith(one.name))
        assert line.removeprefix(one.name).split()[:2] == [figure(one.values["accuracy"]), interval(one)]
    assert any(line.strip() == "boosting on summaries" for line in lines)
    assert "boosting on summaries: not run here" in "\n".join(lines)


def test_what_does_not_fit_is_named() -> None:
    wide, narrow = "\n".join(printed(board(), 140)), " ".join(" ".join(printed(board(), 52)).split())
    assert "Not shown here" not in wide
    assert "log loss" in wide
    assert "Not shown here: balanced accuracy, F1 (macro), MCC, log loss." in narrow


def test_names_with_markup_are_shown_as_they_are() -> None:
    rows = (row("[bold]latchwork", 0.9, model=True), row("[/] <script>", 0.8))
    made = board(
        rows=rows, versus=(Versus("[/] <script>", 0.1, 0.05, 0.2, 0.01),), titles={**TITLES, "f1": "F1 ([red])"}
    )
    text = "\n".join(printed(made, 120))
    assert "[bold]latchwork" in text
    assert "[/] <script>" in text
    assert "F1 ([red])" in text


@given(
    st.lists(st.text("abc xyz日本", min_size=1, max_size=40).filter(str.strip), min_size=1, max_size=5, unique=True),
    st.integers(30, 200),
)
def test_no_terminal_is_overrun(names: list[str], width: int) -> None:
    rows = tuple(row(name.strip() + str(at), 0.9 - at / 10, model=at == 0) for at, name in enumerate(names))
    versus = tuple(Versus(one.name, 0.1, 0.05, 0.2, 0.01) for one in rows[1:])
    assert all(cell_len(line) <= width for line in printed(board(rows=rows, versus=versus), width))


def test_intervals_read_as_such() -> None:
    assert interval(row("a", 0.9)) == "0.880–0.920"
    assert interval(ScoreRow("a", False, {})) == ""
    assert interval(ScoreRow("a", False, {}, -0.2, 0.1)) == "-0.200 to 0.100"


# The file


def test_it_comes_back_from_its_file() -> None:
    table = ({"class": "a", "precision": NAN, "recall": 0.5, "f1": NAN, "support": 3.0},)
    made = board(table=table, confusion=((1, 2), (3, 4)), classes=("a", "b"))
    text = json.dumps(made.to_dict(), allow_nan=False)
    again = Scoreboard.from_dict(json.loads(text))
    assert json.dumps(again.to_dict()) == text
    assert printed(again, 100) == printed(made, 100)
    assert math.isnan(again.rows[3].lower)
    assert math.isnan(again.table[0]["precision"])
    assert again.confusion == made.confusion


@pytest.mark.parametrize("missing", ["rows", "main", "versus", "table", "titles", "count"])
def test_a_damaged_file_is_refused(missing: str) -> None:
    saved = board().to_dict()
    del saved[missing]
    with pytest.raises(ModelFileError, match="damaged"):
        Scoreboard.from_dict(saved)
    with pytest.raises(ModelFileError):
        Scoreboard.from_dict(
            {**board().to_dict(), missing: 3 if missing not in ("main", "count") else None} | {"rows": [3]}
        )


def test_rows_are_found_by_name() -> None:
    assert board().row("majority").values["accuracy"] == 0.5
    with pytest.raises(ConfigError, match='did you mean "majority"'):
        board().row("majorty")
