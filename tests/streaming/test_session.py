"""A live stream: equal to offline prediction, untouched by bad rows, saved, restored and forked."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import latchwork as lw
from latchwork.errors import DataError, StateError

sys.path.insert(0, str(Path(__file__).parents[1]))
from small import shop

QUICK = lw.Training(steps=6, evaluate_every=3)
KINDS = [
    {"memory": "window"},
    {"memory": "window", "strategy": "recursive", "loss": "mae"},
    {"memory": "carried"},
    {"memory": "carried", "scale": "fixed", "intervals": "model"},
]


def task(**options: object) -> lw.Forecast:
    return lw.Forecast(
        target="units",
        horizon=7,
        past=("visits",),
        future=("price",),
        static=("region",),
        calendar=("weekday",),
        **options,
    )  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def model(request: pytest.FixtureRequest) -> lw.Model:
    frame = shop()
    early = frame.filter(pl.col("ds") < pl.date(2024, 5, 15))
    options = {"test_size": 14, "validation_size": 14, **request.param}
    return lw.fit(task(**options), early, network=lw.Network(hidden_size=8), training=QUICK)


def later(frame: pl.DataFrame) -> list[dict[str, object]]:
    return frame.filter(pl.col("ds") >= pl.date(2024, 5, 15)).sort("ds").to_dicts()


def ahead(frame: pl.DataFrame, row: dict[str, object]) -> list[dict[str, object]]:
    mine = frame.filter((pl.col("unique_id") == row["unique_id"]) & (pl.col("ds") > row["ds"]))
    return mine.select("unique_id", "ds", "price").head(7).to_dicts()


def test_pushed_row_by_row_equals_offline(model: lw.Model) -> None:
    frame = shop()
    live = model.stream()
    for row in later(frame)[:20]:
        streamed = live.push(row, ahead(frame, row))
        known = frame.filter((pl.col("ds") <= row["ds"]) & (pl.col("unique_id") == row["unique_id"]))
        offline = model.predict(known, future=pl.DataFrame(ahead(frame, row)))
        np.testing.assert_allclose(streamed.point["units"], offline["units"].to_numpy(), rtol=1e-5)
        assert streamed.times == [str(day) for day in offline["ds"]]


def test_update_equals_a_stream_and_is_all_or_nothing(model: lw.Model) -> None:
    frame = shop()
    rows = later(frame)[:10]
    live = model.stream()
    for row in rows:
        live.observe(row)
    before = model.tracked
    assert model.update(pl.DataFrame(rows)) == 10
    future = frame.select("unique_id", "ds", "price")
    np.testing.assert_allclose(
        model.predict(future=future)["units"],
        live.tracked.frame(model.pipeline.modality.read_future(future))["units"],
        rtol=1e-6,
    )
    taken = model.tracked
    with pytest.raises(StateError, match="out of order"):
        model.update(pl.DataFrame([later(frame)[10], rows[0]]))
    assert model.tracked is taken
    model.tracked = before


def test_bad_rows_leave_the_state_untouched(model: lw.Model) -> None:
    frame = shop()
    first, second = later(frame)[0], later(frame)[2]
    live = model.stream()
    live.push(first, ahead(frame, first))
    before = live.snapshot()
    bad = [
        ({**second, "units": "many"}, DataError, "units"),
        ({**second, "ds": first["ds"]}, StateError, "2024-05-15"),
        ({**second, "ds": "2024-01-02"}, StateError, "out of order"),
        ({**second, "ds": "soon"}, DataError, "ds"),
        ({key: value for key, value in second.items() if key != "visits"}, DataError, "visits"),
        ({**second, "price": float("inf")}, DataError, "price"),
        ({**second, "unique_id": None}, DataError, "id"),
    ]
    for row, kind, said in bad:
        with pytest.raises(kind, match=said):
            live.push(row, ahead(frame, second))
        assert live.snapshot() == before
    with pytest.raises(DataError, match="the forecast needs price"):
        live.push(second)
    assert live.snapshot() == before


def test_a_new_series_opens_a_state_of_its_own(model: lw.Model) -> None:
    frame = shop(stores=("east",), seed=5)
    live = model.stream()
    known = live.tracked.held["north"]
    for row in frame.head(12).to_dicts():
        answer = live.push(row, ahead(frame, row))
    assert np.isfinite(answer.point["units"]).all()
    assert "east" in live.series
    assert live.tracked.held["north"] is known
    alone = model.predict(frame.head(12), future=frame.select("unique_id", "ds", "price"))
    np.testing.assert_allclose(answer.point["units"], alone["units"], rtol=1e-5)


def test_snapshot_restore_fork(model: lw.Model) -> None:
    frame = shop()
    rows = later(frame)
    live = model.stream()
    live.push(rows[0], ahead(frame, rows[0]))
    saved, twin = live.snapshot(), live.fork()
    one = live.push(rows[2], ahead(frame, rows[2]))
    assert twin.snapshot() == saved
    again = model.stream()
    again.restore(saved)
    assert again.push(rows[2], ahead(frame, rows[2])) == one == twin.push(rows[2], ahead(frame, rows[2]))
    with pytest.raises(Exception, match="damaged or cut off"):
        again.restore(saved[:-100])


def test_a_snapshot_of_another_model_is_refused(model: lw.Model) -> None:
    other = lw.fit(
        task(memory="window", test_size=14, validation_size=14, highway=False),
        shop(),
        training=QUICK,
        network=lw.Network(hidden_size=4),
    )
    with pytest.raises(StateError, match=r"another model|does not fit this model"):
        model.stream().restore(other.stream().snapshot())


def test_the_cost_of_a_push_is_told(model: lw.Model) -> None:
    said = model.stream().cost
    assert ("one recurrent step" in said) == (model.pipeline.task.memory == "carried")
