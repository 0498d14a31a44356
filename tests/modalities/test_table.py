import json

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError, ModelFileError
from latchwork.modalities import Table, TableOptions, read
from latchwork.modalities.frequency import DAY, HOUR
from latchwork.sequences import Column
from latchwork.testing.check_modality import check_modality

NOTHING = TableOptions()


def shop(days=30):
    rng = np.random.default_rng(5)
    return pl.DataFrame(
        {
            "unique_id": ["n"] * days + ["s"] * days,
            "ds": [f"2020-01-{day + 1:02}" for day in range(days)] * 2,
            "y": rng.normal(size=2 * days).round(3),
            "temp": rng.normal(10, 4, 2 * days).round(2),
            "price": rng.integers(1, 9, 2 * days),
            "promo": rng.choice(["none", "half", "gift"], 2 * days),
            "size": [3.0] * days + [7.0] * days,
            "town": ["Ulm"] * days + ["Bonn"] * days,
        }
    )


OPTIONS = TableOptions(past=("temp",), future=("price", "promo"), static=("size", "town"), calendar=("weekday",))


def test_columns_and_features():
    table = Table.fit(read(shop(), OPTIONS))
    assert table.columns == (
        Column("y", "target"), Column("temp", "past"), Column("price", "future"),
        Column("promo", "future", "category", ("gift", "half", "none")), Column("size", "static"),
        Column("town", "static", "category", ("Bonn", "Ulm")),
    )  # fmt: skip
    assert table.features("past") == ("temp",)
    assert table.features("future") == (
        "price", "promo=gift", "promo=half", "promo=none", "promo:unknown", "weekday:sin", "weekday:cos",
    )  # fmt: skip
    assert table.features("static") == ("size", "town=Bonn", "town=Ulm", "town:unknown")


def test_encoding_by_hand():
    frame = shop()
    table = Table.fit(read(frame, OPTIONS), until={"n": 20, "s": 10})
    north, south = table.series(read(frame, OPTIONS))
    train = pl.concat([frame[:20], frame[30:40]])
    temp = (frame["temp"][:30] - train["temp"].mean()) / train["temp"].std(ddof=0)
    assert np.allclose(north.past[:, 0], temp)
    assert np.array_equal(north.target[:, 0], frame["y"][:30])
    weekday = (np.arange(30) + 2) % 7  # the first of January 2020 was a Wednesday
    assert np.allclose(north.future[:, 5], np.sin(2 * np.pi * weekday / 7))
    assert np.array_equal(north.future[:, 3], frame["promo"][:30] == "none")
    assert np.allclose(south.static, [1.0, 1, 0, 0])  # sizes 3 and 7: mean 5, sd 2, each series once
    assert north.static.tolist() == [-1.0, 0, 1, 0]


def test_missing_and_unknown_are_inputs():
    frame = shop().with_columns(temp=pl.Series([None, *shop()["temp"][1:]]))
    table = Table.fit(read(frame, OPTIONS), until={"n": 20, "s": 20})
    assert table.features("past") == ("temp", "temp:missing")
    later = frame.with_columns(
        promo=pl.when(pl.int_range(pl.len()) == 25).then(pl.lit("new")).otherwise("promo"),
        price=pl.when(pl.int_range(pl.len()) == 26).then(None).otherwise("price"),
    )
    north = table.series(table.read(later))[0]
    assert north.past[0].tolist() == [0.0, 1.0]
    assert north.future[25, 1:5].tolist() == [0, 0, 0, 1]
    assert north.future[26, 0] == 0


def test_gaps_become_rows():
    frame = shop()[[i for i in range(60) if i not in (4, 5)]]
    table = Table.fit(read(frame, OPTIONS))
    north = table.series(read(frame, OPTIONS))[0]
    assert len(north) == 30
    assert (np.diff(north.times) == DAY).all()
    assert np.isnan(north.target[4:6]).all()
    assert north.past[4:6].tolist() == [[0.0, 1.0]] * 2
    names = table.features("future")
    assert north.future[4, names.index("promo:missing")] == 1
    assert north.future[4, names.index("weekday:sin")] != 0


def test_irregular_rows_carry_their_gap():
    times = np.array([0, 10, 30, 31, 1000]) * HOUR
    frame = pl.DataFrame({"ds": times, "y": np.arange(5.0)}).with_columns(pl.col("ds").cast(pl.Datetime("ns")))
    table = Table.fit(read(frame))
    (series,) = table.series(read(frame))
    assert table.frequency.name == "irregular"
    assert table.frequency.n == 15 * HOUR
    assert table.features("past") == ("gap",)
    assert np.allclose(series.past[:, 0], np.log1p(np.array([0, 10, 20, 1, 969]) / 15))
    assert table.times_ahead(series, 2).tolist() == [1015 * HOUR, 1030 * HOUR]


def test_the_season_comes_from_the_training_rows():
    rng = np.random.default_rng(0)
    wave = np.tile(rng.normal(size=24), 20) + 0.1 * rng.normal(size=480)
    frame = pl.DataFrame({"ds": np.arange(480), "y": wave})
    assert Table.fit(read(frame)).season == 24
    assert Table.fit(read(frame, TableOptions(frequency="h"))).season == 24
    assert Table.fit(read(frame, TableOptions(season=7))).season == 7
    assert Table.fit(read(frame), TableOptions(season=7)).season == 7
    noise = frame.with_columns(y=pl.when(pl.col("ds") < 240).then(pl.Series(rng.normal(size=480))).otherwise("y"))
    assert Table.fit(read(noise), until={"series": 240}).season == 1


def test_wide_tables():
    frame = pl.DataFrame({"ds": ["2020-01-01", "2020-01-02"], "A": [1.0, 2.0], "B": [3.0, None]})
    table = Table.fit(read(frame, TableOptions(wide=True, calendar=("month",))))
    first, second = table.series(read(frame, TableOptions(wide=True)))
    assert (first.id, second.id) == ("A", "B")
    assert np.array_equal(second.target[:, 0], [3, np.nan], equal_nan=True)
    rows = table.long_rows({"ds": "2020-01-03", "A": 5, "B": None})
    assert [(table.row_id(row), row["y"]) for row in rows] == [("A", 5), ("B", None)]


def test_several_targets():
    frame = pl.DataFrame({"ds": [1, 2, 4], "u": [1.0, 2, 3], "v": [5.0, None, 7]})
    table = Table.fit(read(frame, TableOptions(target=("v", "u"))))
    (series,) = table.series(read(frame, table.options))
    assert np.array_equal(series.target, [[5, 1], [np.nan, 2], [np.nan, np.nan], [7, 3]], equal_nan=True)


class TestAhead:
    table = Table.fit(read(shop(), OPTIONS))
    north = table.series(read(shop(), OPTIONS))[0]
    plan = pl.DataFrame(
        {
            "unique_id": ["n"] * 3,
            "ds": ["2020-02-01", "2020-01-31", "2020-02-02"],
            "price": [2, 1, 3],
            "promo": ["half"] * 3,
        }
    )

    def test_stamps(self):
        stamps = [self.table.format_time(int(time)) for time in self.table.times_ahead(self.north, 3)]
        assert stamps == ["2020-01-31", "2020-02-01", "2020-02-02"]

    def test_known_ahead(self):
        ahead = self.table.future_frame(self.north, 3, self.plan)
        price = next(encoder for encoder in self.table.encoders if encoder.column.name == "price")
        assert np.allclose(ahead[:, 0], (np.array([1, 2, 3]) - price.mean) / price.sd)
        assert ahead[:, 2].tolist() == [1, 1, 1]
        assert np.allclose(ahead[0, -2:], [np.sin(2 * np.pi * 4 / 7), np.cos(2 * np.pi * 4 / 7)])
        assert np.array_equal(ahead, self.table.future_frame(self.north, 3, self.table.read_future(self.plan)))

    @pytest.mark.parametrize(
        ("plan", "message"),
        [
            (None, 'series "n": the forecast needs price and promo at 2020-01-31, 2020-02-01, 2020-02-02; give'),
            (plan[:2], "price and promo at 2020-02-02; give"),
            (plan.with_columns(unique_id=pl.lit("s")), 'series "n": the forecast needs price and promo at 2020-01-31'),
            (plan.with_columns(price=pl.Series([2, None, 3])), "needs price at 2020-01-31; give"),
            (plan.drop("promo"), 'no column "promo" (future)'),
        ],
    )
    def test_what_is_missing_is_named(self, plan, message):
        with pytest.raises(DataError) as caught:
            self.table.future_frame(self.north, 3, plan)
        assert message in str(caught.value)

    def test_rows_after_the_last_target_come_first(self):
        frame = shop().with_columns(y=pl.when(pl.int_range(pl.len()).is_in([28, 29])).then(None).otherwise("y"))
        north = self.table.series(self.table.read(frame))[0]
        assert north.observed == 28
        assert np.array_equal(self.table.future_frame(north, 2), self.north.future[28:])
        assert self.table.times_ahead(north, 3)[:2].tolist() == self.north.times[28:].tolist()
        assert np.array_equal(
            self.table.future_frame(north, 5, self.plan)[2:], self.table.future_frame(self.north, 3, self.plan)
        )

    def test_a_table_without_future_columns_takes_none(self):
        table = Table.fit(read(shop()))
        assert table.future_frame(table.series(read(shop()))[0], 4).shape == (4, 0)
        with pytest.raises(ConfigError, match="no future columns"):
            table.read_future(self.plan)

    def test_horizon_zero(self):
        with pytest.raises(ConfigError, match="horizon is 0"):
            self.table.times_ahead(self.north, 0)


def test_another_file_must_fit():
    table = Table.fit(read(shop(), OPTIONS))
    with pytest.raises(DataError, match='holds "cold", expected a number'):
        table.read(shop().with_columns(temp=pl.lit("cold")))
    with pytest.raises(DataError, match="not on the grid"):
        table.read(shop().with_columns(ds=pl.Series([f"2020-01-01 {i % 24:02}:{i // 24:02}" for i in range(60)])))
    with pytest.raises(DataError, match="expected a date"):
        table.read(shop().with_columns(ds=pl.Series(["soon"] * 60)))
    numbers = shop().with_columns(promo=pl.lit(5))
    assert table.series(table.read(numbers))[0].future[0, 4] == 1
    with pytest.raises(DataError, match=r"table\.read"):
        table.series(read(numbers, OPTIONS))


def test_what_can_not_be_fitted():
    raw = read(shop(), OPTIONS)
    with pytest.raises(ConfigError, match='series "s"'):
        Table.fit(raw, until={"n": 3})
    with pytest.raises(DataError, match="no row is left"):
        Table.fit(raw, until={"n": 0, "s": 0})
    with pytest.raises(ConfigError, match="other options"):
        Table.fit(raw, NOTHING)
    with pytest.raises(ConfigError, match="calendar features want dates"):
        Table.fit(read(pl.DataFrame({"ds": [1, 2], "y": [1.0, 2]}), TableOptions(calendar=("hour",))))
    many = pl.DataFrame({"ds": range(2000), "y": range(2000), "note": [f"text {i}" for i in range(2000)]})
    with pytest.raises(DataError, match="2000 different texts"):
        Table.fit(read(many, TableOptions(past=("note",))))


def test_saved_and_loaded():
    table = Table.fit(read(shop(), OPTIONS))
    data = json.loads(json.dumps(table.to_dict()))
    assert Table.from_dict(data) == table
    for change, field in (
        ({"season": "x"}, "season"),
        ({"season": 0}, "season"),
        ({"nope": 1}, "nope"),
        ({"frequency": {"unit": "moon"}}, "frequency.unit"),
        ({"encoders": [{"mean": 1.0}]}, "encoders.0.column"),
        ({"options": {"calendar": ["x"]}}, "options"),
    ):
        with pytest.raises(ModelFileError, match=field):
            Table.from_dict({**data, **change})
    with pytest.raises(ModelFileError, match="sd"):
        Table.from_dict({**data, "encoders": [{**data["encoders"][0], "sd": float("inf")}]})
    with pytest.raises(ModelFileError, match="options"):
        Table.from_dict({key: value for key, value in data.items() if key != "options"})


@st.composite
def tables(draw):
    """A long table with gaps, missing cells, unsorted rows and covariates of every part and kind."""
    unit = draw(st.sampled_from(["h", "D", "MS", "B", "step", "irregular"]))
    pieces = []
    for name in draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True)):
        rows = draw(st.integers(3, 14))
        keep = draw(st.lists(st.integers(1, rows - 1), max_size=rows // 3, unique=True))
        if unit == "step":
            times = 3 + np.arange(rows)
        elif unit == "irregular":
            steps = draw(st.lists(st.integers(1, 10**6), min_size=rows, max_size=rows))
            times = (np.datetime64("2020-01-01T00:00:00") + np.cumsum(steps)).astype(str)
        else:
            month = np.datetime64("2020-02") + np.arange(rows)
            times = {
                "h": np.datetime64("2020-01-01T22") + np.arange(rows),
                "D": np.datetime64("2020-01-30") + np.arange(rows),
                "MS": month.astype("M8[D]"),
                "B": np.busday_offset("2020-01-01", np.arange(rows), roll="forward"),
            }[unit].astype(str)
        number = st.one_of(st.none(), st.floats(-1e3, 1e3))
        text = st.sampled_from(["u", "v", "w w", None])
        piece = pl.DataFrame(
            {
                "unique_id": [name] * rows,
                "ds": times,
                "y": draw(st.lists(number, min_size=rows, max_size=rows)),
                "z": draw(st.lists(number, min_size=rows, max_size=rows)),
                "p": draw(st.lists(number, min_size=rows, max_size=rows)),
                "f": draw(st.lists(text, min_size=rows, max_size=rows)),
                "s": [draw(st.sampled_from(["x", "y"]))] * rows,
                "t": [draw(st.floats(-5, 5))] * rows,
            },
            schema_overrides={"y": pl.Float64, "z": pl.Float64, "p": pl.Float64, "f": pl.String},
        )
        pieces.append(piece[[row for row in range(rows) if row not in keep]])
    frame = pl.concat(pieces)
    frame = frame.with_columns(y=pl.when(pl.int_range(pl.len()) == 0).then(1.0).otherwise("y"))
    frame = frame.with_columns(z=pl.when(pl.int_range(pl.len()) == 0).then(1.0).otherwise("z"))
    frame = frame.with_columns(f=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("u")).otherwise("f"))
    if unit == "irregular" or draw(st.booleans()):
        frame = frame[draw(st.permutations(range(len(frame))))]
    calendar = () if unit == "step" else draw(st.sampled_from([(), ("hour", "weekday", "year"), ("month", "week")]))
    options = TableOptions(
        target=draw(st.sampled_from(["y", ("z", "y")])),
        past=("p",),
        future=("f",),
        static=("s", "t"),
        calendar=calendar,
        frequency=unit,
    )
    return frame, options


@settings(max_examples=60, suppress_health_check=[HealthCheck.data_too_large])
@given(tables())
def test_the_contract_holds_for_any_table(table):
    frame, options = table
    check_modality(frame, options)


@settings(max_examples=15, suppress_health_check=[HealthCheck.data_too_large])
@given(tables())
def test_the_contract_holds_for_csv(tmp_path_factory, table):
    frame, options = table
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    frame.write_csv(path)
    check_modality(path, options)


def test_the_contract_holds_without_id_time_or_dates():
    check_modality(pl.DataFrame({"y": [1.0, None, 3.0, 4.0]}))
    wide = pl.DataFrame({"ds": ["2020-01-01", "2020-01-03", "2020-01-02"], "A": [1.0, 2, 3], "B": [4.0, 5, None]})
    check_modality(wide, TableOptions(wide=True, calendar=("weekday",)))
