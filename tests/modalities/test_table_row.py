import datetime

import numpy as np
import polars as pl
import pytest

from latchwork.errors import DataError, StateError
from latchwork.modalities import RowState, Table, TableOptions, read

FRAME = pl.DataFrame(
    {
        "unique_id": ["a"] * 30,
        "ds": [f"2020-01-01 {hour % 24:02}:00" if hour < 24 else f"2020-01-02 {hour - 24:02}:00" for hour in range(30)],
        "y": np.arange(30.0) ** 1.5,
        "temp": np.arange(30.0) % 7,
        "kind": ["u", "v", "w"] * 10,
        "town": ["Ulm"] * 30,
    }
)
OPTIONS = TableOptions(past=("temp",), future=("kind",), static=("town",), calendar=("hour",))
TABLE = Table.fit(read(FRAME, OPTIONS))
(SERIES,) = TABLE.series(read(FRAME, OPTIONS))
STATE = TABLE.row_state(SERIES)
ROW = {"unique_id": "a", "ds": "2020-01-02 06:00", "y": 5.0, "temp": 1, "kind": "v", "town": "Ulm"}


def test_the_next_row():
    name, rows, state = TABLE.row(ROW, STATE)
    assert name == "a"
    assert len(rows) == 1
    assert rows[0].target.tolist() == [5.0]
    assert rows[0].future[:4].tolist() == [0, 1, 0, 0]
    assert state == STATE._replace(time=rows[0].time)
    assert TABLE.format_time(state.time) == "2020-01-02T06:00:00"


def test_texts_of_a_csv_line_are_the_same_row():
    texts = {key: str(value) for key, value in ROW.items()}
    stamps = (
        "2020-01-02T06:00:00Z",
        "2020-01-02 06:00",
        datetime.datetime(2020, 1, 2, 6),
        np.datetime64("2020-01-02T06"),
    )
    for stamp in stamps:
        (one,), (two,) = TABLE.row(ROW, STATE)[1], TABLE.row({**texts, "ds": stamp}, STATE)[1]
        for left, right in zip(one, two, strict=True):
            assert np.array_equal(left, right)


def test_a_gap_gives_rows_without_values():
    _, rows, state = TABLE.row({**ROW, "ds": "2020-01-02 09:00"}, STATE)
    assert [row.inserted for row in rows] == [True, True, True, False]
    assert np.isnan([row.target[0] for row in rows[:3]]).all()
    assert state.time == rows[-1].time
    assert np.allclose(rows[0].future[-2:], [np.sin(2 * np.pi * 6 / 24), np.cos(2 * np.pi * 6 / 24)])


def test_a_new_series_opens_a_new_state():
    name, rows, state = TABLE.row({**ROW, "unique_id": "new", "town": "Rom"})
    assert (name, len(rows)) == ("new", 1)
    assert state.start == state.time == rows[0].time
    assert rows[0].static.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"ds": "2020-01-02 05:00"},
            StateError,
            "a second row with this stamp; the last row was at 2020-01-02T05:00:00",
        ),
        ({"ds": "2020-01-01"}, StateError, "out of order; the last row was at 2020-01-02T05:00:00"),
        ({"ds": "2030-01-01"}, StateError, "at most 10000"),
        ({"ds": "2020-01-02 06:30"}, DataError, "not on the grid"),
        ({"ds": "soon"}, DataError, 'column "ds" of the row holds "soon"'),
        ({"ds": 5}, DataError, "expected a date"),
        ({"ds": None}, DataError, "expected a date"),
        ({"y": "1,234"}, DataError, "write 1234"),
        ({"y": "five"}, DataError, "column \"y\" holds 'five', expected a finite number"),
        ({"y": float("inf")}, DataError, "finite"),
        ({"y": [1]}, DataError, "expected a finite number"),
        ({"temp": {"c": 1}}, DataError, 'column "temp"'),
        ({"kind": ["u"]}, DataError, "expected a text"),
        ({"town": "Rom"}, DataError, "static column \"town\" changed to 'Rom'"),
        ({"unique_id": "b"}, StateError, 'belongs to series "b", the state given to series "a"'),
        ({"unique_id": ""}, DataError, "has no id"),
    ],
)
def test_bad_rows_leave_the_state_as_it_was(change, error, message):
    before = tuple(STATE)
    with pytest.raises(error) as caught:
        TABLE.row({**ROW, **change}, STATE)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert tuple(STATE) == before


def test_a_column_that_is_not_there_is_named():
    row = {("tmp" if key == "temp" else key): value for key, value in ROW.items()}
    with pytest.raises(DataError, match=r'lacks column "temp"; did you mean "tmp"\?; write null'):
        TABLE.row(row, STATE)


def test_what_need_not_be_there():
    row = {key: value for key, value in ROW.items() if key != "town"} | {"comment": "unused", "y": None}
    _, rows, _ = TABLE.row(row, STATE)
    assert np.isnan(rows[0].target[0])
    assert np.array_equal(rows[0].static, SERIES.static)


def test_states_are_plain_values():
    assert RowState.from_dict(STATE._asdict()) == STATE
    for broken in ({}, {**STATE._asdict(), "time": "x"}, {**STATE._asdict(), "static": ["x"]}):
        with pytest.raises(StateError):
            RowState.from_dict(broken)


def test_rows_without_id_and_time():
    table = Table.fit(read(pl.DataFrame({"y": [1.0, 2.0, 3.0]})))
    state = None
    for value in ("1", 2, 3.0):
        name, rows, state = table.row({"y": value}, state)
        assert name == "series"
    assert rows[0].time == 2
    assert rows[0].target.tolist() == [3.0]


def test_dates_that_are_not_year_first_are_read_as_in_the_file():
    frame = pl.DataFrame({"ds": [f"{day}/1/2020" for day in range(1, 29)], "y": np.arange(28.0)})
    table = Table.fit(read(frame))
    _, rows, _ = table.row({"ds": "2/3/2020", "y": 1})
    assert table.format_time(rows[0].time) == "2020-03-02"
