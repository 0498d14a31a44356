"""Public files as they are: they give sense, or an error that says what to do."""

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from latchwork.errors import DataError
from latchwork.modalities import Table, TableOptions, detect_season, read
from latchwork.testing.check_modality import check_modality

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("LATCHWORK_DATA" not in os.environ, reason="LATCHWORK_DATA names no folder of public data"),
]
DATA = Path(os.environ.get("LATCHWORK_DATA", "."))
CLASSIC = DATA / "classic_series"


@pytest.fixture(scope="module")
def m4():
    with gzip.open(DATA / "m4" / "Hourly-train.csv.gz", "rt") as file:
        rows = list(csv.reader(file))[1:]
    return {row[0]: [float(value) for value in row[1:] if value] for row in rows}


def test_m4_hourly(m4, tmp_path):
    path = tmp_path / "hourly.csv"
    with path.open("w") as file:
        file.write("unique_id,ds,y\n")
        file.writelines(
            f"{name},{step},{value}\n" for name, values in m4.items() for step, value in enumerate(values, 1)
        )
    raw = read(path)
    assert len(raw) == 353_500
    assert raw.lengths == {name: len(values) for name, values in m4.items()}
    table = Table.fit(raw, until={name: length - 48 for name, length in raw.lengths.items()})
    assert table.season == 24
    series = table.series(raw)
    assert len(series) == 414
    assert np.array_equal(series[7].target[:, 0], m4[series[7].id])


def test_seasons(m4):
    assert detect_season([np.array(values) for values in m4.values()]) == 24
    one_by_one = [detect_season([np.array(values)], (24, 168)) for values in m4.values()]
    assert np.mean(np.array(one_by_one) == 24) > 0.95
    statsmodels = pytest.importorskip("statsmodels.api")
    assert detect_season([statsmodels.datasets.co2.load_pandas().data["co2"].to_numpy()]) == 52
    for name, target in (
        ("airline-passengers", "Passengers"),
        ("monthly-car-sales", "Sales"),
        ("monthly_champagne_sales", "Sales"),
    ):
        table = Table.fit(read(CLASSIC / f"{name}.csv", TableOptions(time="Month", target=target)))
        assert (table.season, table.frequency.name) == (12, "monthly")


def test_daily_temperatures_lack_two_leap_days():
    raw = read(CLASSIC / "daily-min-temperatures.csv", TableOptions(time="Date", target="Temp"))
    assert raw.lengths == {"series": 3652}
    assert "after 1984-12-30" in raw.lint()[0]
    assert Table.fit(raw).season == 365


def test_pollution():
    path = CLASSIC / "pollution.csv.gz"
    options = TableOptions(time="No", target="pm2.5", past=("cbwd", "TEMP", "Iws"), frequency="h")
    table = Table.fit(read(path, options))
    assert table.season == 24
    assert table.columns[1].categories == ("NE", "NW", "SE", "cv")
    kinds = {row.name: (row.role, row.kind, round(row.missing, 3)) for row in read(path, options).describe()}
    assert kinds["pm2.5"] == ("target", "number", 0.047)
    assert kinds["hour"] == ("unused", "number", 0.0)
    with pytest.raises(DataError, match='column "cbwd" holds "NW"'):
        read(path, TableOptions(time="No", target="cbwd"))


def test_weather_has_a_stamp_twice():
    with pytest.raises(
        DataError, match=r"1 row repeats .* at 2020-05-12T06:00:00 \(rows 19044 and 19045\); keep one row"
    ):
        read(DATA / "ltsf" / "weather.csv.gz", TableOptions(time="date", target="OT"))


def test_errors_of_real_files():
    with pytest.raises(DataError, match=r'row 1 \(line 2\): column "Month" holds "1-01"'):
        read(CLASSIC / "shampoo.csv", TableOptions(time="Month", target="Sales"))
    with pytest.raises(DataError, match=r'ends in ".txt.gz"'):
        read(DATA / "ltsf" / "exchange_rate.txt.gz")
    with pytest.raises(DataError, match="id="):
        read(CLASSIC / "vega_weather.csv", TableOptions(time="date", target="wind"))


def test_contract_on_real_files():
    weather = TableOptions(
        id="location", time="date", target=("temp_max", "temp_min"), past=("wind", "weather"), calendar=("yearday",)
    )
    check_modality(CLASSIC / "vega_weather.csv", weather, cuts=(0.9,))
    check_modality(CLASSIC / "vega_co2-concentration.csv", TableOptions(time="Date", target="CO2", calendar=("month",)))
    stocks = TableOptions(time="Date", wide=True)
    assert read(CLASSIC / "plotly_stockdata.csv.gz", stocks).frequency.name == "business days"
    check_modality(CLASSIC / "plotly_stockdata.csv.gz", stocks, cuts=(0.95,))
