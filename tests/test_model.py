"""The front door: fit, save, load, predict, evaluate, cross-validate; and what a run folder holds."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.torch import load_file, save_file

import latchwork as lw
from latchwork.cells import LSTM
from latchwork.errors import ConfigError, DataError, LatchworkError, ModelFileError

sys.path.insert(0, str(Path(__file__).parent))
from small import shop, write

QUICK = lw.Training(steps=6, evaluate_every=3)
SMALL = lw.Network(hidden_size=8)
TASK = lw.Forecast(target="units", horizon=7, test_size=14, validation_size=14)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "shop"
    data = write(shop(), folder.parent / "shop.csv")
    lw.fit(TASK, data, network=SMALL, training=QUICK, run=folder)
    return folder


def test_a_run_folder_holds_all_that_is_promised(run: Path) -> None:
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert {
        "model/config.json", "model/model.safetensors", "model/state.safetensors", "metrics.jsonl", "leaderboard.json",
        "report.html", "config.toml", "card.md",
    } <= names  # fmt: skip
    page = (run / "report.html").read_text()
    assert "shop.csv" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_loaded_equals_saved(run: Path, tmp_path: Path) -> None:
    one, other = lw.load(run), lw.load(run)
    assert one.predict().equals(other.predict())
    one.save(tmp_path / "copy")
    assert lw.load(tmp_path / "copy").predict().equals(other.predict())
    assert str(one.leaderboard()) == str(other.leaderboard())


def test_predict_forecasts_from_the_end_of_what_is_known(run: Path) -> None:
    answer = lw.load(run).predict()
    assert answer.columns[:3] == ["unique_id", "ds", "units"]
    assert len(answer) == 14
    assert str(answer["ds"].min())[:10] == "2024-06-09"
    quantiles = answer.select([name for name in answer.columns if "_q" in name]).to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    np.testing.assert_array_equal(answer["units"], answer["units_q50"])


def test_a_series_never_seen_is_forecast(run: Path) -> None:
    other = shop(rows=40, stores=("west",), seed=9)
    assert lw.load(run).predict(other)["units"].is_finite().all()


def test_pandas_polars_parquet_and_jsonl_give_the_same(run: Path, tmp_path: Path) -> None:
    model, frame = lw.load(run), shop(rows=50)
    expected = model.predict(frame)
    frame.write_parquet(tmp_path / "a.parquet")
    frame.with_columns(pl.col("ds").cast(pl.String)).write_ndjson(tmp_path / "a.jsonl")
    for source in (
        frame.to_pandas(),
        frame.to_arrow(),
        tmp_path / "a.parquet",
        tmp_path / "a.jsonl",
        write(frame, tmp_path / "a.csv"),
    ):
        found = model.predict(source)
        np.testing.assert_allclose(found["units"], expected["units"])


def test_evaluate_scores_other_data_and_leaves_the_model(run: Path) -> None:
    model = lw.load(run)
    before = model.predict()
    board = model.evaluate(shop(seed=4)).leaderboard
    assert {"naive", "seasonal naive", "ridge"} <= {row["method"] for row in board.table()}
    assert model.predict().equals(before)


def test_the_same_seed_gives_the_same_numbers_and_another_does_not() -> None:
    def forecast(seed: int) -> pl.DataFrame:
        training = lw.Training(steps=6, evaluate_every=3, seed=seed)
        return lw.fit(
            lw.Forecast(target="units", horizon=7, test_size=0), shop(), network=SMALL, training=training
        ).predict()

    one = forecast(1)
    assert one.equals(forecast(1))
    assert not one.equals(forecast(2))


def test_the_leaderboard_never_sees_the_test_rows_in_training() -> None:
    frame = shop()
    changed = frame.with_columns(
        pl.when(pl.col("ds") >= pl.date(2024, 5, 26))
        .then(pl.col("units") * 100)
        .otherwise(pl.col("units"))
        .alias("units")
    )
    one, other = (lw.fit(TASK, data, network=SMALL, training=QUICK) for data in (frame, changed))
    for name, weight in one.pipeline.forecaster.state_dict().items():
        assert weight.equal(other.pipeline.forecaster.state_dict()[name]), name
    assert one.pipeline.modality == other.pipeline.modality
    assert one.pipeline.conformal.to_dict() == other.pipeline.conformal.to_dict()


def test_cross_validate_with_and_without_refit() -> None:
    for refit in (True, False):
        found = lw.cross_validate(
            TASK, shop(), n_windows=3, step_size=5, refit=refit, network=SMALL, training=QUICK, seconds=5
        )
        assert sorted(set(found.windows.origin.tolist())) == [143, 148, 153]
        assert np.isfinite(found.forecasts[0].point).all()


def test_several_targets_wide_files_and_a_cell_of_ones_own(tmp_path: Path) -> None:
    two = lw.fit(
        lw.Forecast(target=("units", "visits"), horizon=3, test_size=3, validation_size=6),
        shop(),
        network=SMALL,
        training=QUICK,
    )
    assert {"units", "visits"} <= set(two.predict().columns)
    wide = shop().pivot("unique_id", index="ds", values="units")
    task = lw.Forecast(horizon=3, wide=True, test_size=3, validation_size=6)
    assert set(lw.fit(task, wide, network=SMALL, training=QUICK).predict()["unique_id"]) == {"north", "south"}

    class Mine(LSTM):
        """A cell of one's own."""

    mine = lw.fit(task, wide, network=lw.Network(cell=Mine, hidden_size=8), training=QUICK, run=tmp_path / "mine")
    with pytest.raises(ConfigError, match="Mine"):
        lw.load(tmp_path / "mine")
    assert lw.load(tmp_path / "mine", cells={"Mine": Mine}).predict().equals(mine.predict())


def broken(run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "broken"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(run, folder)
    return folder


def test_damaged_model_folders_are_refused_in_one_line(run: Path, tmp_path: Path) -> None:
    def config(change: dict[str, object]) -> Path:
        folder = broken(run, tmp_path)
        path = folder / "model" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        return folder

    def weights(folder: Path, data: bytes) -> Path:
        (folder / "model" / "model.safetensors").write_bytes(data)
        return folder

    whole = (run / "model" / "model.safetensors").read_bytes()
    with pytest.raises(ModelFileError, match="no such run folder"):
        lw.load(tmp_path / "nowhere")
    with pytest.raises(ModelFileError, match="holds no model"):
        lw.load(tmp_path)
    with pytest.raises(ModelFileError, match="format 99"):
        lw.load(config({"format": 99}))
    with pytest.raises(ModelFileError, match="damaged or cut off"):
        lw.load(weights(broken(run, tmp_path), whole[: len(whole) // 2]))
    with pytest.raises(ModelFileError, match="expected"):
        lw.load(config({"plan": {**json.loads((run / "model" / "config.json").read_text())["plan"], "hidden_size": 9}}))
    folder = broken(run, tmp_path)
    (folder / "model" / "config.json").write_text("{")
    with pytest.raises(ModelFileError, match=r"config\.json is damaged"):
        lw.load(folder)
    folder = broken(run, tmp_path)
    tensors = load_file(folder / "model" / "model.safetensors")
    name = next(name for name, value in tensors.items() if value.is_floating_point())
    tensors[name] = tensors[name] + 1
    save_file(tensors, folder / "model" / "model.safetensors")
    with pytest.raises(ModelFileError, match="not the file that"):
        lw.load(folder)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"horizon": 0}, "horizon is 0, expected at least 1"),
        ({"horizon": 3, "levels": (0.1, 0.9)}, "0.5"),
        ({"horizon": 3, "memory": "both"}, "window, carried"),
        ({"horizon": 3, "lookback": 0}, "lookback is 0"),
        ({"horizon": 3, "test_size": 2}, "test_size is 2 rows, expected at least the horizon"),
        ({"horizon": 100}, "are needed for a horizon of 100"),
        ({"horizon": 3, "target": "unit"}, 'did you mean "units"'),
    ],
)
def test_bad_options_say_what_was_expected(options: dict[str, object], said: str) -> None:
    with pytest.raises(LatchworkError, match=said):
        lw.fit(lw.Forecast(**{"target": "units", **options}), shop(rows=60), network=SMALL, training=QUICK)  # type: ignore[arg-type]


def test_names_that_would_collide_are_refused() -> None:
    frame = shop().rename({"visits": "units_q05"})
    with pytest.raises(ConfigError, match='two columns "units_q05"'):
        lw.fit(lw.Forecast(target=("units", "units_q05"), horizon=3), frame)


def test_a_lookback_is_taken_as_it_is_given() -> None:
    task = lw.Forecast(target="units", horizon=3, test_size=3, validation_size=6, lookback=30)
    plan = lw.fit(task, shop(), network=SMALL, training=QUICK).pipeline.plan
    assert (plan.lookback, plan.segment) == (30, 6)
    with pytest.raises(ConfigError, match="whole segments of 7"):
        lw.fit(lw.Forecast(target="units", horizon=3, lookback=30, segment=7), shop(), network=SMALL, training=QUICK)


def test_a_high_level_with_little_variation_keeps_its_scale() -> None:
    random = np.random.default_rng(0)
    y = 1e12 + random.random(120)
    frame = pl.DataFrame({"ds": np.arange(120), "y": y})
    for memory in ("window", "carried"):
        task = lw.Forecast(horizon=3, memory=memory, test_size=3, validation_size=9, season=1)
        answer = lw.fit(task, frame, network=SMALL, training=QUICK).predict()["y"].to_numpy()
        assert (np.abs(answer - 1e12) < 10).all()


def test_a_constant_series_has_no_mase_and_says_so() -> None:
    frame = pl.DataFrame({"ds": np.arange(80), "y": np.full(80, 7.0)})
    model = lw.fit(lw.Forecast(horizon=3, test_size=6, validation_size=6), frame, network=SMALL, training=QUICK)
    assert not np.isfinite(model.evaluation.windows.scale).any() or (model.evaluation.windows.scale == 0).all()
    np.testing.assert_allclose(model.predict()["y"], 7.0, atol=1e-3)


def test_a_fold_without_values_is_left_out() -> None:
    frame = shop(stores=("north",)).with_columns(
        pl.when(pl.col("ds").is_between(pl.date(2024, 5, 26), pl.date(2024, 6, 1)))
        .then(None)
        .otherwise("units")
        .alias("units")
    )
    found = lw.cross_validate(lw.Forecast(target="units", horizon=7), frame, n_windows=3, network=SMALL, training=QUICK)
    assert len(found.windows) == 2


def test_rows_behind_the_last_target_are_known_future_in_an_update() -> None:
    task = lw.Forecast(target="units", horizon=7, future=("price",), test_size=14, validation_size=14)
    frame = shop(missing=0.0)
    early = frame.filter(pl.col("ds") < pl.date(2024, 5, 20))
    newer = frame.filter(pl.col("ds").is_between(pl.date(2024, 5, 20), pl.date(2024, 6, 5))).with_columns(
        pl.when(pl.col("ds") < pl.date(2024, 5, 28)).then("units").alias("units")
    )
    model = lw.fit(task, early, network=SMALL, training=QUICK)
    model.update(newer)
    answer = model.predict()
    assert str(answer["ds"][0]) == "2024-05-28"
    known = pl.concat([early, newer])
    np.testing.assert_allclose(model.predict(known)["units"], answer["units"], rtol=1e-5)


def test_a_finished_run_is_never_overwritten(run: Path) -> None:
    before = (run / "model" / "config.json").read_bytes()
    with pytest.raises(ConfigError, match="already holds a finished run"):
        lw.fit(TASK, shop(), network=SMALL, training=QUICK, run=run)
    assert (run / "model" / "config.json").read_bytes() == before


def test_bad_data_leaves_no_folder_behind(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("ds,units\n2024-01-01,1\n2024-01-02,many\n")
    with pytest.raises(DataError, match=r"bad\.csv.*row 2.*many"):
        lw.fit(TASK, path, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
