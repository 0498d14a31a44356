import gzip
import io

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from latchwork.modalities import TableOptions, read

CSV = "unique_id,ds,y,note\nb,2020-01-02,2.5,x\na,2020-01-01,1,y\nb,2020-01-01,,z\na,2020-01-03,3,\n"


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def same(raw):
    assert raw.ids == ("b", "a")
    assert [raw.stamp(int(time)) for time in raw.times] == ["2020-01-01", "2020-01-02", "2020-01-01", "2020-01-03"]
    assert np.array_equal(raw.numbers["y"], [np.nan, 2.5, 1, 3], equal_nan=True)
    assert raw.lengths == {"b": 2, "a": 3}
    assert raw.frequency.name == "daily"


def test_a_csv_is_sorted_and_says_so(tmp_path):
    raw = read(write(tmp_path / "sales.csv", CSV))
    same(raw)
    assert "the rows were not in order of time and were sorted" in raw.lint()
    assert raw.place(0) == "sales.csv: row 3 (line 4)"
    assert len(raw.sha256) == 64


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", "\ufeff" + CSV),
        ("x.csv", CSV.replace("\n", "\r\n")),
        ("x.csv", CSV.replace(",", ";")),
        ("x.csv", CSV.replace("\n", "\n\n")),
        ("x.csv", CSV.encode("utf-16")),
        ("x.csv", CSV.replace("y,note", "y , note")),
        ("x.csv", CSV.replace(",z", ',"a ""quoted"", cell\nof two lines"')),
        ("x.csv", CSV.replace("2020-01-01,,", "2020-01-01,NA,")),
        ("x.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("x.tsv", CSV.replace(",", "\t")),
        ("X.CSV", CSV),
    ],
)
def test_forms_of_csv(tmp_path, name, content):
    same(read(write(tmp_path / name, content)))


def test_json_lines_and_parquet(tmp_path):
    frame = pl.read_csv(CSV.encode())
    frame.write_parquet(tmp_path / "x.parquet")
    same(read(tmp_path / "x.parquet"))
    lines = io.BytesIO()
    frame.write_ndjson(lines)
    same(read(write(tmp_path / "x.jsonl", lines.getvalue())))
    same(read(str(write(tmp_path / "x.ndjson.gz", gzip.compress(lines.getvalue(), mtime=0)))))


def test_frames():
    frame = pl.read_csv(CSV.encode(), try_parse_dates=True)
    same(read(frame))
    same(read(frame.lazy()))
    same(read(frame.to_pandas()))
    same(read(frame.to_arrow()))
    assert isinstance(frame.to_arrow(), pa.Table)
    assert read(frame).sha256 == read(frame.lazy()).sha256 != read(frame[:3]).sha256


def test_standard_input(monkeypatch):
    class Standard:
        buffer = io.BytesIO(CSV.encode())

    monkeypatch.setattr("sys.stdin", Standard)
    same(read("-"))


def test_decimal_comma_and_other_names(tmp_path):
    path = write(tmp_path / "x.csv", "shop;day;units\n007;1.12.2020;1,5\n007;2.12.2020;2,5\n")
    raw = read(path, TableOptions(id="shop", time="day", target="units", decimal=","))
    assert raw.ids == ("007",)
    assert raw.numbers["units"].tolist() == [1.5, 2.5]
    assert raw.date_format == "%d.%m.%Y"


def test_latin_1(tmp_path):
    path = write(tmp_path / "x.csv", "ds,temp °C\n1,2\n2,3\n".encode("latin-1"))
    raw = read(path, TableOptions(target="temp °C", encoding="latin-1"))
    assert raw.targets == ("temp °C",)


def test_one_series_without_id_or_time(tmp_path):
    raw = read(write(tmp_path / "x.csv", "y\n3\n\n5\n"))
    assert raw.ids == ("series",)
    assert raw.times.tolist() == [0, 1, 2]
    assert np.isnan(raw.numbers["y"][1])
    assert any('no column "ds"' in line for line in raw.lint())


def test_steps_without_time_count_in_each_series():
    raw = read(pl.DataFrame({"unique_id": ["a", "b", "a", "b", "a"], "y": [1.0, 10, 2, 20, 3]}))
    assert raw.times.tolist() == [0, 1, 2, 0, 1]
    assert raw.numbers["y"].tolist() == [1, 2, 3, 10, 20]


def test_wide_files(tmp_path):
    path = write(tmp_path / "x.csv", "ds,A,B\n2020-01-01,1,10\n2020-01-03,3,\n2020-01-02,2,20\n")
    raw = read(path, TableOptions(wide=True))
    assert raw.ids == ("A", "B")
    assert raw.targets == ("y",)
    assert np.array_equal(raw.numbers["y"], [1, 2, 3, 10, 20, np.nan], equal_nan=True)
    assert raw.place(4) == "x.csv: row 3 (line 4)"
    assert read(path, TableOptions(wide=True, target=("B",))).ids == ("B",)
    assert [(column.name, column.role) for column in raw.describe()] == [
        ("ds", "time"),
        ("A", "target"),
        ("B", "target"),
    ]


def test_kinds_are_inferred_and_shown(tmp_path):
    text = "ds,y,price,promo,shop,free\n" + "".join(
        f"2020-01-{day:02},{day},{'' if day == 3 else day * 1.5},{'yes' if day % 2 else 'no'},4,x\n"
        for day in range(1, 21)
    )
    options = TableOptions(future=("price", "promo"), static=("shop",), categorical=("shop",))
    raw = read(write(tmp_path / "x.csv", text), options)
    rows = {row.name: row for row in raw.describe()}
    assert [(row.role, row.kind) for row in rows.values()] == [
        ("time", "date"), ("target", "number"), ("future", "number"), ("future", "category"), ("static", "category"),
        ("unused", "category"),
    ]  # fmt: skip
    assert rows["price"].missing == pytest.approx(0.05)
    assert (rows["ds"].low, rows["ds"].high) == ("2020-01-01", "2020-01-20")
    assert (rows["y"].low, rows["y"].high, rows["y"].examples) == ("1", "20", "1, 2, 3")
    assert rows["promo"].examples == "yes, no"


def test_pandas_categories_and_zones():
    frame = pd.DataFrame(
        {
            "ds": pd.date_range("2020-01-01", periods=4, freq="h", tz="Europe/Paris"),
            "y": [1, 2, None, 4],
            "kind": pd.Categorical(["a", "b", "a", None]),
            "open": [True, False, True, True],
        }
    )
    raw = read(frame, TableOptions(past=("kind", "open")))
    assert raw.frequency.name == "hourly"
    assert raw.stamp(int(raw.times[0])) == "2019-12-31T23:00:00"
    assert raw.texts["kind"].to_list() == ["a", "b", "a", None]
    assert raw.numbers["open"].tolist() == [1, 0, 1, 1]


def test_lint_finds_what_is_odd():
    days = [f"2020-01-{day:02}" for day in (1, 2, 3, 7, 8, 9)]
    values = [1.0, 2.0, None, 4.0, 5.0, 6.0]
    frame = pl.DataFrame(
        {
            "unique_id": ["a"] * 6 + ["b"] * 6 + ["c"] * 6,
            "ds": days * 3,
            "y": values * 2 + [None] * 6,
            "same": values * 2 + [None] * 6,
            "flat": [3] * 18,
            "text": ["x"] * 17 + [None],
        }
    )
    lines = "\n".join(read(frame, TableOptions(past=("flat", "text"), future=("same",))).lint())
    for finding in (
        "3 of 3 series are shorter than 20 rows",
        "9 rows (33.3%) missing from the grid (daily); the longest gap has 3 rows",
        'some series repeat another one value for value (1), first "b" that of "a"',
        "column y: 44.4% missing",
        "column flat: always 3",
        "column text: always the same",
        "column same (future): equals the target y and would give it away",
        'some series hold no target at all (1), first "c"',
    ):
        assert finding in lines, f"{finding} not in:\n{lines}"


def test_lint_tells_irregular_from_nearly_regular():
    times = np.arange(100) * 3600
    frame = pl.DataFrame({"ds": times, "y": np.arange(100.0)})
    assert read(frame).lint() == []
    odd = times.copy()
    odd[50] += 7
    assert "but for 2 of 99 steps, first at the frame: row 51" in read(frame.with_columns(ds=pl.Series(odd))).lint()[0]
    wild = np.random.default_rng(0).integers(1, 10_000, 100).cumsum()
    assert "irregular" in read(frame.with_columns(ds=pl.Series(wild))).lint()[0]


def test_lint_points_at_a_slip_in_one_date():
    days = [f"2020-01-{day:02}" for day in range(1, 30)] + ["2202-01-30"]
    finding = read(pl.DataFrame({"ds": days, "y": np.arange(30.0)})).lint()[0]
    assert "irregular" in finding
    assert "goes on at the frame: row 30" in finding


def test_unix_seconds_are_pointed_at():
    frame = pl.DataFrame({"ds": 1_600_000_000 + 3600 * np.arange(30), "y": np.arange(30.0)})
    assert "Unix seconds" in read(frame).lint()[0]


def test_a_frequency_by_name_makes_the_grid():
    frame = pl.DataFrame({"ds": ["2020-01-01", "2020-01-31"], "y": [1.0, 2.0]})
    assert read(frame, TableOptions(frequency="D")).lengths == {"series": 31}
    assert read(frame, TableOptions(frequency="irregular")).lengths == {"series": 2}
