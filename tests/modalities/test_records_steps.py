"""Which step a number is of, and when: the same in what is asked about as in what was learnt from."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from latchwork.errors import ConfigError, DataError
from latchwork.modalities import Records, read_records
from latchwork.modalities.source import SourceOptions

WIDE = "t1,t2,t3,label\n1,2,3,a\n4,5,6,b\n7,9,8,a\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def trained(path: Path, **options: Any) -> tuple[Records, SourceOptions]:
    given = SourceOptions(**options)
    labelled = read_records(path, given)
    return Records.from_dict(Records.fit(labelled, range(len(labelled)), given).to_dict()), given


def asked(path: Path, records: Records, options: SourceOptions) -> list[list[float]]:
    encoded = records.encode(read_records(path, options, labelled=False, fitted=records))
    scale, numbers = records.numbers[0], [np.asarray(one.numbers) for one in encoded]
    return [np.round((one[:, 0] * scale.deviation + scale.mean) * scale.width + scale.centre, 4).tolist()
            for one in numbers]  # fmt: skip


def test_steps_are_found_by_their_names(tmp_path: Path) -> None:
    records, options = trained(write(tmp_path / "x.csv", WIDE))
    assert records.steps == ("t1", "t2", "t3")
    for text in ("t3,t1,t2\n3,1,2\n", "label,t2,t3,t1\n?,2,3,1\n", "t1,t2,t3\n1,2,3\n"):
        assert asked(write(tmp_path / "y.csv", text), records, options) == [[1, 2, 3]]
    assert asked(write(tmp_path / "y.csv", "t3,t1,t2\n,1,2\n3,,\n"), records, options)[0] == [1, 2]
    assert asked(write(tmp_path / "y.csv", "t1,t2\n1,2\n"), records, options) == [[1, 2]], "a file of shorter ones"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t1,t2,t3,age\n1,2,3,40\n", r'the column "age" is no step of the training file \(t1, t2, t3\)'),
        ("t1,t2,t3,t4\n1,2,3,4\n", 'the column "t4" is no step of the training file'),
        ("t2,t3\n1,2\n", 'there is no column "t1", a step of the training file'),
        ("t2,t1\n1,2\n", 'there is no column "t3"'),
        ("u1,u2,u3\n1,2,3\n", 'the column "u1" is no step of the training file'),
    ],
)
def test_steps_that_are_too_many_or_lacking(tmp_path: Path, text: str, message: str) -> None:
    records, options = trained(write(tmp_path / "x.csv", WIDE))
    with pytest.raises(DataError, match=r"y.csv: row 1 \(line 2\): " + message):
        asked(write(tmp_path / "y.csv", text), records, options)


@pytest.mark.parametrize("label", [None, "1", "2", "4"])
def test_lines_of_numbers_without_their_label(tmp_path: Path, label: str | None) -> None:
    at = int(label or 1) - 1
    lines: list[list[float]] = [[1.0, 2, 3], [4, 5, 6], [7, 9, 8]]

    def text(rows: list[list[float]], labels: bool) -> str:
        made = [[*row[:at], tag, *row[at:]] if labels else row for row, tag in zip(rows, (0, 1, 0), strict=False)]
        return "".join(" ".join(map(str, row)) + "\n" for row in made)

    records, options = trained(write(tmp_path / "x.txt", text(lines, True)), label=label)
    assert asked(write(tmp_path / "y.txt", text(lines, True)), records, options) == lines
    assert asked(write(tmp_path / "z.txt", text(lines, False)), records, options) == lines
    for wrong in ([[1.0, 2]], [[1.0, 2, 3, 4, 5]]):
        with pytest.raises(DataError, match=r"w.txt: row 1: has \d numbers, expected 4 as in training, or 3 without"):
            asked(write(tmp_path / "w.txt", text(wrong, False)), records, options)
    short = read_records(write(tmp_path / "v.txt", text(lines, False)), options, labelled=False)
    if at < 3:
        with pytest.raises(DataError, match="of the training file"):
            records.encode(short)


def test_lines_without_their_label_keep_the_columns_that_are_named(tmp_path: Path) -> None:
    records, options = trained(write(tmp_path / "x.txt", "0 40 1 2 9\n1 50 4 5 9\n"), static=("2",), ignore=("5",))
    assert records.steps == ("3", "4")
    path = write(tmp_path / "y.txt", "40 1 2 9\n")
    assert asked(path, records, options) == [[1, 2]]
    (record,) = read_records(path, options, labelled=False, fitted=records).content
    assert record.static_numbers.tolist() == [40]


def test_a_period_wants_times(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="period= wants time="):
        read_records(write(tmp_path / "x.csv", WIDE), SourceOptions(period=2))


def test_a_row_of_texts_may_want_text(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r'column "review" holds "good".*give id=, or name the column with text=, label='
    ):
        read_records(write(tmp_path / "x.csv", "review,label\ngood,1\n"), SourceOptions())


# Time


TIMES = {
    "dates": ["2024-01-01", "2024-01-02", "2024-01-04"],
    "clock": ["01:00", "02:00", "04:30"],
    "numbers": ["1", "2", "4"],
    "none": None,
}


@pytest.mark.parametrize("learnt", TIMES)
@pytest.mark.parametrize("given", TIMES)
def test_the_kind_of_time_is_kept(learnt: str, given: str) -> None:
    def read(kind: str) -> tuple[Any, SourceOptions]:
        times = TIMES[kind]
        frame = pl.DataFrame({"id": list("aaa"), "x": [1.0, 2, 4], **({} if times is None else {"t": times})})
        options = SourceOptions(id="id", time=None if times is None else "t")
        return read_records(frame, options), options

    labelled, options = read(learnt)
    records = Records.from_dict(Records.fit(labelled, [0], options).to_dict())
    assert records.time == learnt
    other, _ = read(given)
    if learnt == given or {learnt, given} == {"dates", "clock"}:  # both are hours
        records.encode(other)
        return
    with pytest.raises(DataError, match=r"(there are no times of steps|the times are .*), and .* in training"):
        records.encode(other)


def test_training_times_of_two_kinds() -> None:
    from latchwork.sequences import Labelled

    frames = [pl.DataFrame({"id": [1, 1], "t": times, "x": [1, 2]}) for times in (["2024-01-01", "2024-01-02"], [1, 2])]
    both = [read_records(frame, SourceOptions(id="id", time="t")) for frame in frames]
    joined = Labelled.joined({"train": both[0], "test": both[1]})
    with pytest.raises(DataError, match="the times are numbers, and dates in other training sequences"):
        Records.fit(joined, [0, 1])
    with pytest.raises(DataError, match="in training"):
        Records.fit(joined, [0]).encode(joined)


@pytest.mark.parametrize(
    ("times", "refused"),
    [
        (["22:00", "23:30", "00:30", "01:00"], True),
        (["18:00", "22:00", "06:30", "07:00"], True),
        (["23:59:59", "00:00:01"], True),
        (["08:00", "23:00", "07:00", "22:00", "06:00"], True),
        (["22:00", "23:30", "24:30", "25:00"], False),
        (["01:00", "00:30", "02:00"], False),
        (["25:00", "01:00"], False),
        (["03:00", "02:00", "01:00", "00:30"], False),
        (["01:00", "01:00"], False),
    ],
)
def test_a_clock_that_goes_past_midnight(times: list[str], refused: bool) -> None:
    frame = pl.DataFrame({"id": ["b", *"a" * len(times)], "t": ["23:00", *times], "x": 1.0})
    options = SourceOptions(id="id", time="t")
    if not refused:
        read_records(frame, options)
        return
    with pytest.raises(DataError, match=r'row \d: column "t" goes back from .* write dates, or 24:00, 24:30, …'):
        read_records(frame, options)


def test_pieces_under_a_split_by_time() -> None:
    frame = pl.DataFrame(
        {"id": [1] * 4 + [2] * 4, "t": range(8), "x": range(8), "g": ["p"] * 8, "label": list("ab") * 4}
    )

    def read(**options: Any) -> Any:
        return read_records(frame, SourceOptions(id="id", time="t", max_length=2, **options), "label").groups

    assert read() == ("1", "1", "2", "2")
    assert read(by_time=True) is None
    assert read(by_time=True, group="g") == ("p",) * 4


# Events


def test_variables_that_no_event_has() -> None:
    frame = pl.DataFrame({"id": [1, 1, 2], "t": [0, 1, 0], "var": ["x", "y", "x"], "val": [1, 2, 3]})

    def options(**given: Any) -> SourceOptions:
        return SourceOptions(id="id", time="t", variable="var", value="val", **given)

    for name in ("columns", "ignore"):
        given = options(**{name: ("x", "yy")})
        with pytest.raises(DataError, match=rf'no variable is called "yy" \({name}\); did you mean "y"'):
            read_records(frame, given)
        labelled = read_records(frame, given, labelled=False)
        assert read_records(frame, given, fitted=Records.fit(labelled, [0, 1])).content[0].columns.open
    read_records(frame, options(ignore=("id",)))  # a column of the table
