import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchwork.modalities.dates import BadStamp, to_stamp, to_stamps, write_stamp


def texts(*cells):
    stamps = to_stamps(pl.Series(cells))
    return [write_stamp(time, dates=stamps.dates, whole_days=True) for time in stamps.times.tolist()]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2020-01-02", "2020-01-02"),
        (" 2020-1-2 ", "2020-01-02"),
        ("2020/01/02", "2020-01-02"),
        ("20200102", "2020-01-02"),
        ("2020-01", "2020-01-01"),
        ("2020Q3", "2020-07-01"),
        ("2020-01-02 03:04", "2020-01-02T03:04:00"),
        ("2020-01-02T03:04:05", "2020-01-02T03:04:05"),
        ("2020-01-02T03:04:05Z", "2020-01-02T03:04:05"),
        ("2020-01-02T03:04:05.25+02:00", "2020-01-02T01:04:05.25"),
        ("2020-01-02 03:04:05-0530", "2020-01-02T08:34:05"),
        ("2020-01-02 03:04:05.123456789", "2020-01-02T03:04:05.123456789"),
        ("31.12.2020", "2020-12-31"),
        ("31/12/2020 05:06", "2020-12-31T05:06:00"),
        ("12/31/2020 5:06 PM", "2020-12-31T17:06:00"),
        ("1749-01", "1749-01-01"),
    ],
)
def test_forms_of_a_date(cell, expected):
    assert texts(cell) == [expected]
    form = to_stamps(pl.Series([cell])).format
    assert to_stamp(cell, dates=True, date_format=form) == to_stamps(pl.Series([cell])).times[0]


def test_forms_may_be_mixed_where_they_are_clear():
    assert texts("2020-01-02", "2020-01-03T00:00:00Z", "20200104") == ["2020-01-02", "2020-01-03", "2020-01-04"]


def test_day_or_month_first_is_told_by_any_row():
    stamps = to_stamps(pl.Series(["1/2/1948", "1/13/1948"]))
    assert stamps.format == "%m/%d/%Y"
    assert "month/day/year" in stamps.note
    assert texts("1/2/1948", "13/2/1948") == ["1948-02-01", "1948-02-13"]


def test_day_or_month_first_is_not_guessed():
    with pytest.raises(BadStamp, match="date_format"):
        to_stamps(pl.Series(["1/2/1948", "1/3/1948"]))
    assert to_stamps(pl.Series(["1/2/1948"]), date_format="%d/%m/%Y").times[0] < 0


def test_whole_numbers_stay_numbers():
    assert texts("7", "8", "-3") == ["7", "8", "-3"]
    assert texts("2019", "2020") == ["2019", "2020"]
    assert not to_stamps(pl.Series([1.0, 2.0])).dates


@pytest.mark.parametrize(
    ("cells", "row", "message"),
    [
        (["2020-01-01", "soon"], 1, '"soon"'),
        (["2020-01-01", "2020-02-30"], 1, "2020-02-30"),
        (["2020-01-01", None], 1, "empty"),
        (["2020-01-01", "  "], 1, "empty"),
        (["1600-01-01"], 0, "1678"),
        (["1-01"], 0, "expected a date like"),
        ([1.5], 0, "1.5"),
        ([True], 0, "Boolean"),
    ],
)
def test_bad_stamps_name_their_row(cells, row, message):
    with pytest.raises(BadStamp, match=message) as error:
        to_stamps(pl.Series(cells))
    assert error.value.row == row


def test_typed_columns():
    zoned = pl.Series([datetime.datetime(2020, 1, 1, 12)]).dt.replace_time_zone("Europe/Paris")
    assert write_stamp(int(to_stamps(zoned).times[0]), dates=True) == "2020-01-01T11:00:00"
    assert write_stamp(int(to_stamps(pl.Series([datetime.date(2020, 1, 1)])).times[0]), dates=True)[:10] == "2020-01-01"


@pytest.mark.parametrize(
    "value",
    [datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2), np.datetime64("2020-01-02"), 20200102, "20200102"],
)
def test_live_stamps_of_many_types(value):
    assert write_stamp(to_stamp(value, dates=True), dates=True, whole_days=True) == "2020-01-02"


@pytest.mark.parametrize("value", [None, True, 5, [1], {}, "x", "", 1.5, float("nan")])
def test_bad_live_stamps(value):
    with pytest.raises(BadStamp):
        to_stamp(value, dates=True)


def test_live_whole_numbers():
    assert to_stamp("12", dates=False) == to_stamp(12, dates=False) == to_stamp(12.0, dates=False) == 12
    for value in ("2020-01-01", 1.5, None, True, datetime.date(2020, 1, 1)):
        with pytest.raises(BadStamp):
            to_stamp(value, dates=False)


@given(st.integers(-9_000_000_000_000_000_000, 9_000_000_000_000_000_000), st.booleans())
def test_written_stamps_are_read_back(time, whole_days):
    text = write_stamp(time, dates=True, whole_days=whole_days)
    assert to_stamps(pl.Series([text])).times.tolist() == [time]
    assert to_stamp(text, dates=True) == time


@given(st.integers(-(10**17), 10**17))
def test_written_numbers_are_read_back(number):
    assert to_stamp(write_stamp(number, dates=False), dates=False) == number
