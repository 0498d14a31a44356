import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError
from latchwork.modalities.frequency import DAY, HOUR, MINUTE, WEEK, Frequency, infer, named


def ns(*dates):
    return np.array(dates, "M8[ns]").astype(np.int64)


def span(start, unit, count, step=1):
    return (np.datetime64(start, unit) + np.arange(count) * step).astype("M8[ns]").astype(np.int64)


@pytest.mark.parametrize(
    ("times", "name", "season"),
    [
        (span("2020-01-01T00:00", "m", 50, 15), "every 15 minutes", 96),
        (span("2020-01-01T00:10", "m", 50, 10), "every 10 minutes", 144),
        (span("2020-01-01T05", "h", 50), "hourly", 24),
        (span("2020-01-01", "D", 50), "daily", 7),
        (span("2020-01-03", "D", 50, 7), "weekly", 52),
        (span("2020-01", "M", 50), "monthly", 12),
        (span("2020-01", "M", 50, 3), "quarterly", 4),
        (span("1990", "Y", 30), "yearly", 1),
        (ns("2020-01-31", "2020-02-29", "2020-03-31", "2020-04-30"), "monthly", 12),
        (ns("2020-01-15T06", "2020-02-15T06", "2020-04-15T06"), "monthly", 12),
        (span("2020-01-01T00:00:00", "s", 30), "every second", 60),
        (span("2020-01-01T00:00", "m", 90), "every minute", 1440),
        (ns("2020-01-01", "2020-01-05", "2020-03-01", "2020-03-02T05:00:01"), "irregular", 1),
    ],
)
def test_the_grid_of_usual_stamps(times, name, season):
    frequency = infer(times)
    assert (frequency.name, frequency.season) == (name, season)


def test_month_ends_stay_month_ends():
    frequency = infer(ns("2019-11-30", "2019-12-31", "2020-01-31"))
    assert frequency == Frequency("month", 1, 31)
    assert frequency.ahead(ns("2020-01-31")[0], 3).tolist() == ns("2020-02-29", "2020-03-31", "2020-04-30").tolist()


def test_business_days_skip_weekends_and_keep_holidays_as_gaps():
    days = np.arange(np.datetime64("2021-01-04"), np.datetime64("2021-03-01"))
    days = days[np.is_busday(days)]
    times = np.delete(days, 10).astype("M8[ns]").astype(np.int64)
    frequency = infer(times)
    assert (frequency.name, frequency.season) == ("business days", 5)
    friday = ns("2021-02-26T16:00")[0]
    assert frequency.ahead(friday, 2).tolist() == ns("2021-03-01T16:00", "2021-03-02T16:00").tolist()
    index, on_grid = frequency.position(ns("2021-03-01", "2021-02-27"), ns("2021-02-26")[0])
    assert index.tolist() == [1, 1]
    assert on_grid.tolist() == [True, False]


def test_five_days_in_a_row_are_daily():
    assert infer(span("2021-01-04", "D", 5)).name == "daily"


def test_whole_numbers():
    assert infer([1880, 1881, 1883], dates=False) == Frequency("step", 1)
    assert infer([0, 5, 10, 20], dates=False) == Frequency("step", 5)
    assert infer([1, 100, 1001, 1002], dates=False).unit == "row"
    assert infer([7], dates=False) == Frequency("step")


def test_every_series_begins_its_own_grid():
    times = np.r_[span("2020-01-01T00:30", "h", 9), span("2019-01-01T00:00", "h", 9)]
    assert infer(times, starts=[0, 9]) == Frequency("ns", HOUR)


def test_a_grid_that_would_be_mostly_empty_is_none():
    times = ns("2020-01-01", "2020-01-02", "2020-02-01T00:00")
    assert infer(times) == Frequency("row", int(np.median(np.diff(times))))


def test_one_odd_stamp_makes_rows_irregular():
    times = span("2020-01-01T00", "h", 500)
    times[250] += MINUTE
    assert infer(times).unit == "row"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h", Frequency("ns", HOUR)), ("15min", Frequency("ns", 15 * MINUTE)), ("D", Frequency("ns", DAY)),
        ("W-SUN", Frequency("ns", WEEK)), ("2W", Frequency("ns", 2 * WEEK)), ("QS", Frequency("month", 3)),
        ("daily", Frequency("ns", DAY)), ("B", Frequency("business")), ("irregular", Frequency("row")),
    ],
)  # fmt: skip
def test_frequencies_by_name(text, expected):
    assert named(text, np.zeros(0, np.int64)) == expected


@pytest.mark.parametrize("text", ["", "hurly", "0h", "2B", "1.5h", "-1h"])
def test_unknown_names_are_refused(text):
    with pytest.raises(ConfigError, match="frequency"):
        named(text, np.zeros(0, np.int64))


def test_did_you_mean():
    with pytest.raises(ConfigError, match='did you mean "hourly"'):
        named("hurly", np.zeros(0, np.int64))


def test_beyond_the_calendar():
    with pytest.raises(DataError, match="2262"):
        Frequency("month", 12).ahead(0, 500)
    with pytest.raises(DataError, match="2262"):
        Frequency("ns", WEEK).ahead(0, 50_000)


GRIDS = st.one_of(
    st.builds(Frequency, st.just("step"), st.integers(1, 50)),
    st.builds(Frequency, st.just("ns"), st.sampled_from([1, 10**9, MINUTE, HOUR, DAY, WEEK])),
    st.builds(Frequency, st.just("month"), st.sampled_from([1, 2, 3, 12]), st.integers(1, 31)),
    st.just(Frequency("business")),
)


@given(GRIDS, st.integers(0, 30_000), st.integers(0, DAY - 1), st.lists(st.integers(0, 150), min_size=1, unique=True))
def test_position_undoes_at(frequency, day, clock, steps):
    base = int(np.busday_offset(np.datetime64(day, "D"), 0, roll="forward").astype(np.int64)) * DAY + clock
    start = int(frequency.at(base, 0)) if frequency.unit == "month" else base
    index, on_grid = frequency.position(frequency.at(start, sorted(steps)), start)
    assert index.tolist() == sorted(steps)
    assert on_grid.all()


@given(GRIDS, st.integers(0, 30_000), st.integers(1, 40), st.integers(1, 40))
def test_ahead_goes_on_where_it_stopped(frequency, day, first, second):
    base = int(np.busday_offset(np.datetime64(day, "D"), 0, roll="forward").astype(np.int64)) * DAY
    start = int(frequency.at(base, 0))
    whole = frequency.ahead(start, first + second)
    assert whole[first:].tolist() == frequency.ahead(int(whole[first - 1]), second).tolist()
    assert (np.diff(whole) > 0).all()


@given(GRIDS, st.integers(0, 30_000), st.integers(25, 60))
def test_infer_finds_a_grid_that_holds_every_row(frequency, day, count):
    base = int(np.busday_offset(np.datetime64(day, "D"), 0, roll="forward").astype(np.int64)) * DAY
    times = frequency.at(int(frequency.at(base, 0)), np.arange(count))
    found = infer(times, dates=frequency.unit != "step")
    index, on_grid = found.position(times, times[0])
    assert on_grid.all()
    assert index.tolist() == list(range(count))
