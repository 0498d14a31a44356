"""Bad input: one line that says what came, where, and what to do."""

import gzip

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from latchwork.errors import ConfigError, DataError
from latchwork.modalities import TableOptions, read

OK = "unique_id,ds,y\na,2020-01-01,1\na,2020-01-02,2\n"


def refuse(source, options=None, error=DataError):
    with pytest.raises(error) as caught:
        read(source, options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def csv(tmp_path, text, name="sales.csv"):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path / name


def test_files_that_are_not_there(tmp_path):
    csv(tmp_path, OK)
    assert 'did you mean "sales.csv"?' in refuse(tmp_path / "sale.csv")
    assert "there is no folder" in refuse(tmp_path / "no" / "sales.csv")
    assert "is a folder" in refuse(tmp_path)
    assert 'ends in ".md" is not known' in refuse(csv(tmp_path, "x", "notes.md"))
    assert 'ends in ".txt.gz"' in refuse(csv(tmp_path, "x", "notes.txt.gz"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("  \n\n", "is empty"),
        ("\ufeff", "is empty"),
        ("\n" + OK, "line 1 is blank"),
        ("ds,y\n1,1\n2,2\n3\n", "line 4 has 1 cells, expected 2"),
        ("ds,y\r\n1,1\r\n3\r\n", "line 3 has 1 cells, expected 2"),
        ("unique_id,ds,y\n", "no row below"),
        ("unique_id,ds,y", "no row below"),
        ("unique_id,ds,y\n\n\n", "no row below"),
        ("1,2,3\n4,5,6\n", "line 1 holds numbers"),
        ("ds,y,y\n1,2,3\n", 'names the column "y" twice'),
        (OK + "a,2020-01-03\n", "line 4 has 2 cells, expected 3"),
        (OK + "a,2020-01-03,1,000\n", "line 4 has 4 cells, expected 3"),
        (OK + 'a,2020-01-03,"1,000"\n', 'row 3 (line 4): column "y" holds "1,000", expected a number; it looks like'),
        (OK + 'a,2020-01-03,"1,000"\n', "a number with thousands separators: write 1000"),
        (OK + 'a,2020-01-03,"3,5"\n', 'give decimal=","'),
        (OK + "a,2020-01-03,12 units\n", 'row 3 (line 4): column "y" holds "12 units", expected a number'),
        (OK + "a,2020-01-03,inf\n", 'row 3 (line 4): column "y" holds inf, expected a finite number'),
        (OK + "a,2020-01-03,1e999\n", "expected a finite number"),
        (OK + "a,soon,3\n", 'row 3 (line 4): column "ds" holds "soon"; expected a date like 2024-12-31'),
        (OK + "a,,3\n", 'row 3 (line 4): column "ds" is empty'),
        (OK + ",2020-01-03,3\n", 'row 3 (line 4): the id (column "unique_id") is empty'),
        (OK + "a,2020-01-02,3\n", 'first in series "a" at 2020-01-02 (rows 2 and 3); keep one row'),
        (OK + 'a,"2020-01-03,3\n', "line 4"),
        ("unique_id,ds,y\na,1,\na,2,NA\n", 'column "y" (target) holds no number at all'),
        (OK.encode() + b"\xff,2020-01-03,3\n", 'line 4: byte 0xff is not utf-8 text; save the file as UTF-8, or give'),
        ("unique_id,ds,units\na,1,2\n", 'there is no column "y" (target); name the right one with target= (columns: '),
        ("Month,y\n2020-01,2\n2020-02,3\n", 'no column "ds" (time), but "Month" looks like dates; give time="Month"'),
        ("ds,y\n1/2/2020,1\n1/3/2020,2\n", 'give date_format="%d/%m/%Y" or date_format="%m/%d/%Y"'),
        ("ds,y\n1,1\n1,2\n1,3\n2,5\n", "name the column that tells them apart with id="),
    ],
)  # fmt: skip
def test_bad_csv(tmp_path, text, message):
    found = refuse(csv(tmp_path, text))
    assert message in found
    assert "sales.csv" in found


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv.gz", gzip.compress(OK.encode() * 50, mtime=0)[:40], "damaged or cut short"),
        ("x.parquet", b"PAR1 nonsense", "not a readable Parquet file"),
        ("x.jsonl", b'{"y": 1}\n{"y": \n', "line 2 is not a JSON object"),
        ("x.jsonl", b'{"y": 1}\n[2]\n', "line 2 is not a JSON object"),
        ("x.jsonl", b'{"ds": 1, "y": "four"}\n', 'row 1: column "y" holds "four"'),
        ("x.jsonl", b'{"ds": 1, "y": {"a": 1}}\n', "expected numbers"),
    ],
)
def test_other_bad_files(tmp_path, name, content, message):
    assert message in refuse(csv(tmp_path, content, name))


def test_columns_by_option(tmp_path):
    path = csv(tmp_path, "shop,ds,units,price\na,2020-01-01,1,2\na,2020-01-02,2,3\n")
    assert 'did you mean "units"?' in refuse(path, TableOptions(id="shop", target="unts"))
    assert 'no column "shp" (id); did you mean "shop"?' in refuse(path, TableOptions(id="shp", target="units"))
    assert 'no column "day" (time)' in refuse(path, TableOptions(id="shop", time="day", target="units"))
    assert 'no column "prise" (future)' in refuse(path, TableOptions(id="shop", target="units", future=("prise",)))


def test_covariates(tmp_path):
    rows = "".join(f"a,2020-01-{day:02},{day},{'n/k' if day == 9 else day},{day % 3}\n" for day in range(1, 21))
    path = csv(tmp_path, "unique_id,ds,y,price,zone\n" + rows)
    message = refuse(path, TableOptions(past=("price",)))
    assert 'row 9 (line 10): column "price" holds "n/k"' in message
    assert "categorical=" in message
    message = refuse(path, TableOptions(static=("zone",)))
    assert 'row 2 (line 3): static column "zone" changes within series "a"' in message
    assert "static column" in refuse(path, TableOptions(static=("zone",), categorical=("zone",)))


def test_stamps_off_the_named_grid(tmp_path):
    path = csv(tmp_path, "ds,y\n2020-01-01 00:00,1\n2020-01-01 01:30,2\n2020-01-01 02:00,2\n")
    message = refuse(path, TableOptions(frequency="h"))
    assert "row 2 (line 3): 2020-01-01T01:30:00 is not on the grid of its series (hourly" in message
    path = csv(tmp_path, "ds,y\n2010-01-01,1\n2020-01-02,2\n")
    assert "give the frequency that the rows have" in refuse(path, TableOptions(frequency="s"))
    assert '"step"' in refuse(path, TableOptions(frequency="step"), ConfigError)


def test_wide(tmp_path):
    path = csv(tmp_path, "ds,A,B,wind\n2020-01-01,1,2,NW\n2020-01-02,1,2,N\n")
    assert "name the series to take with target=" in refuse(path, TableOptions(wide=True))
    assert 'no column "winds" (target); did you mean "wind"?' in refuse(
        path, TableOptions(wide=True, target=("winds",))
    )
    assert "wide=true" in refuse(path)


def test_frames():
    assert "path or a pandas, polars or pyarrow frame, got int" in refuse(3)
    assert ".to_frame()" in refuse(pd.Series([1, 2]))
    indexed = pd.DataFrame({"y": [1.0, 2.0]}, index=pd.date_range("2020", periods=2))
    assert "reset_index" in refuse(indexed)
    assert "no row below" in refuse(pl.DataFrame({"y": []}))
    months = pd.DataFrame({"ds": pd.period_range("2020", periods=3, freq="M"), "y": [1, 2, 3]})
    assert "unknown type" in refuse(months)
    twice = pd.DataFrame([[1, 2, 3]], columns=["ds", "y", "y"])
    assert "same name" in refuse(twice)
    assert "same name" in refuse(pa.table([[1], [2], [3]], names=["ds", "y", "y"]))
    mixed = pd.DataFrame({"ds": [1, 2], "y": pd.Series([1, "a"], dtype=object)})
    assert "mixed or unknown types" in refuse(mixed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"past": ("y",)}, 'column "y" is used as target and as past'),
        ({"past": ("a", "a")}, 'column "a" is used twice'),
        ({"time": "unique_id"}, "as id and as time"),
        ({"target": ()}, "target names no column"),
        ({"calendar": ("wekday",)}, 'did you mean "weekday"?'),
        ({"season": 0}, "season is 0"),
        ({"frequency": "hurly"}, 'did you mean "hourly"?'),
        ({"wide": True, "past": ("a",)}, "wide"),
        ({"categorical": ("a",)}, "not among past, future or static"),
        ({"decimal": ";"}, "decimal"),
        ({"separator": "ab"}, "separator"),
    ],
)
def test_options(options, message):
    with pytest.raises(ConfigError) as caught:
        TableOptions(**options)
    assert message in str(caught.value)
