"""All baselines together: nothing seen that is not known, gaps, caps, spreads, missing packages, published figures."""

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork import metrics, optional
from latchwork.baselines import ETS, FORECAST_BASELINES, STLETS, run_baselines
from latchwork.baselines.forecast import _spread_over
from latchwork.errors import ConfigError, MissingExtra
from latchwork.sequences import Forecasts, Series, Windows

LEVELS = (0.1, 0.5, 0.9)
SEASON = 6
HORIZON = 5


def table(rows: int = 150, targets: int = 2, seed: int = 0, holes: float = 0.1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    time = np.arange(rows)[:, None]
    wave = 4 * np.sin(2 * np.pi * time / SEASON + np.arange(targets))
    values = 20 + 0.05 * time + wave + generator.normal(size=(rows, targets))
    values[generator.random((rows, targets)) < holes] = np.nan
    return values


def as_series(values: np.ndarray, name: str = "a") -> Series:
    return Series(name, np.arange(len(values)), values)


def ask(tables: list[np.ndarray], origins: list[int]) -> Windows:
    rows = [(s, t, o) for s, values in enumerate(tables) for o in origins for t in range(values.shape[1])]
    series, target, origin = np.array(rows).T
    actual = np.stack([tables[s][o : o + HORIZON, t] for s, t, o in rows])
    return Windows(series, target, origin, actual, np.ones(len(rows)))


def same(ours: list[Forecasts], theirs: list[Forecasts], rows: slice | np.ndarray = slice(None)) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.point[rows], b.point[rows], err_msg=a.name)
        if a.quantiles is not None and b.quantiles is not None:
            np.testing.assert_array_equal(a.quantiles[rows], b.quantiles[rows], err_msg=a.name)


def test_every_baseline_answers_every_window_in_order() -> None:
    tables = [table(seed=1), table(rows=140, seed=2)]
    windows = ask(tables, [120, 126, 133])
    seen: list[tuple[str, float]] = []
    answers = run_baselines(
        [as_series(values) for values in tables],
        windows,
        [110, 110],
        SEASON,
        LEVELS,
        progress=lambda name, share: seen.append((name, share)),
    )
    assert [answer.name for answer in answers] == [baseline.name for baseline in FORECAST_BASELINES]
    for answer in answers:
        assert answer.point.shape == windows.actual.shape
        assert np.isfinite(answer.point).all(), answer.name
        assert answer.quantiles is not None
        assert answer.quantiles.shape == (*windows.actual.shape, 3)
        assert (np.diff(answer.quantiles, axis=-1) >= 0).all(), answer.name
        assert answer.levels == LEVELS
        assert (answer.name, 1.0) in seen


@given(st.integers(0, 2**32 - 1), st.integers(100, 130), st.floats(0, 0.5))
@settings(max_examples=4)
def test_rows_at_and_after_the_origin_change_nothing(seed: int, origin: int, holes: float) -> None:
    """Also where the rows around the origin are missing, and fits and spreads come from the training rows alone."""
    values = table(targets=1, seed=seed, holes=holes)
    windows = ask([values], [origin])
    altered = values.copy()
    altered[origin:] = np.random.default_rng(seed).normal(1000, 500, size=altered[origin:].shape)
    before = run_baselines([as_series(values)], windows, [100], SEASON, LEVELS)
    same(before, run_baselines([as_series(altered)], windows, [100], SEASON, LEVELS))


def test_an_early_window_does_not_depend_on_later_ones_or_their_rows() -> None:
    values = table(seed=3)
    values[118:121] = np.nan
    early = run_baselines([as_series(values)], ask([values], [110, 120]), [100], SEASON, LEVELS)
    altered = values.copy()
    altered[120:] = 1e6
    both = run_baselines([as_series(altered)], ask([altered], [110, 120, 140]), [100], SEASON, LEVELS)
    same(early, both, slice(0, 4))


def test_rows_after_the_training_part_are_not_fitted_on() -> None:
    """Two series: what happens in the validation rows of one leaves the forecasts of the other."""
    tables = [table(targets=1, seed=4), table(targets=1, seed=5)]
    altered = [tables[0], tables[1].copy()]
    altered[1][100:] = 1e6
    windows = ask(tables, [120])
    before = run_baselines([as_series(values) for values in tables], windows, [100, 100], SEASON, LEVELS)
    after = run_baselines([as_series(values) for values in altered], windows, [100, 100], SEASON, LEVELS)
    same(before, after, windows.series == 0)


def test_a_series_never_seen_is_forecast_and_not_learned_from() -> None:
    tables = [table(targets=1, seed=6), table(targets=1, seed=7)]
    altered = [tables[0], 100 * tables[1]]
    windows = ask(tables, [120])
    runs = [
        run_baselines([as_series(values) for values in tried], windows, [100, 0], SEASON, LEVELS)
        for tried in (tables, altered)
    ]
    same(*runs, windows.series == 0)
    assert all(np.isfinite(answer.point).all() for answer in runs[0])


def test_missing_rows_before_the_origin_keep_the_season_in_step() -> None:
    values = np.tile(np.arange(float(SEASON)), 20)[:, None]
    values[96:100] = np.nan
    windows = ask([values], [100])
    found = {answer.name: answer for answer in run_baselines([as_series(values)], windows, [90], SEASON)}
    assert found["seasonal naive"].point[0] == pytest.approx(windows.actual[0])
    assert found["ridge"].point[0] == pytest.approx(windows.actual[0], abs=0.05)
    assert found["naive"].point[0] == pytest.approx([5.0] * HORIZON)


def test_nothing_known_is_nan_and_nobody_else_is_touched() -> None:
    values = table(seed=8, holes=0.0)
    values[:130, 1] = np.nan
    answers = run_baselines([as_series(values)], ask([values], [120]), [100], SEASON, LEVELS)
    for answer in answers:
        assert np.isfinite(answer.point[0]).all()
        assert np.isnan(answer.point[1]).all()


def test_a_history_of_a_few_rows() -> None:
    values = table(rows=20, targets=1, holes=0.0)
    answers = {a.name: a for a in run_baselines([as_series(values)], ask([values], [4]), [4], SEASON, LEVELS)}
    assert np.isfinite(answers["seasonal naive"].point).all()
    assert np.isfinite(answers["ETS"].point).all()
    assert answers["ridge"].note == "not run: no series has more than 5 training rows (the horizon)"
    quantiles = answers["naive"].quantiles
    assert quantiles is not None
    assert (np.diff(quantiles[0, :, 2] - quantiles[0, :, 0]) >= 0).all()


def test_without_a_season_the_seasonal_ones_are_left_out() -> None:
    values = table(seed=9)
    names = [answer.name for answer in run_baselines([as_series(values)], ask([values], [120]), [100], 1)]
    assert names == ["naive", "drift", "moving average", "ETS", "ridge"]


def test_the_cap_stops_between_windows_and_says_so() -> None:
    values = table(seed=10, targets=1)
    windows = ask([values], list(range(100, 140)))
    answer = run_baselines([as_series(values)], windows, [100], SEASON, LEVELS, seconds_cap=0, baselines=[STLETS()])[0]
    done = ~np.isnan(answer.point).any(axis=1)
    assert done.sum() == 1
    assert answer.note.startswith("on 1 of 40 windows, stopped at the cap of 0 s")


@given(st.integers(1, 900), st.integers(1, 9))
def test_every_beginning_of_the_order_is_spread_over_columns_and_time(rows: int, columns: int) -> None:
    column = np.tile(np.arange(columns), rows)
    time = np.repeat(np.arange(rows), columns)
    order = _spread_over(column)
    assert sorted(order) == list(range(rows * columns))
    begun = order[: len(order) // 4]
    shares = np.bincount(column[begun], minlength=columns)
    assert shares.max() - shares.min() <= 1
    for which in range(columns):
        mine = np.sort(time[begun][column[begun] == which])
        assert len(mine) < 2 or np.diff(mine).max() <= 14


def test_a_missing_package_is_a_row_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> None:
        raise MissingExtra(f"no {module}")

    monkeypatch.setattr(optional, "load", absent)
    values = table(seed=11)
    answers = {a.name: a for a in run_baselines([as_series(values)], ask([values], [120]), [100], SEASON, LEVELS)}
    for name in (ETS().name, STLETS().name):
        assert answers[name].note == 'not run, install "latchwork[forecast]"'
        assert np.isnan(answers[name].point).all()
        assert answers[name].quantiles is None
    assert np.isfinite(answers["ridge"].point).all()


def test_options_are_checked() -> None:
    values = table()
    with pytest.raises(ConfigError, match="season is 0"):
        run_baselines([as_series(values)], ask([values], [120]), [100], 0)
    with pytest.raises(ConfigError, match="train_rows has 2 numbers for 1 series"):
        run_baselines([as_series(values)], ask([values], [120]), [100, 100], SEASON)


def test_intervals_cover_about_what_they_promise() -> None:
    tables = [table(rows=400, seed=seed, holes=0.05) for seed in range(3)]
    windows = ask(tables, list(range(250, 390, 21)))
    answers = run_baselines([as_series(values) for values in tables], windows, [250] * 3, SEASON, LEVELS)
    for answer in answers:
        assert answer.quantiles is not None
        inside = metrics.coverage(windows.actual, answer.quantiles[..., 0], answer.quantiles[..., 2])
        assert 0.7 <= inside <= 0.92, (answer.name, inside)


def test_co2_a_year_ahead() -> None:
    """Weekly CO2 from statsmodels, seven origins 26 weeks apart in the last four years."""
    datasets = pytest.importorskip("statsmodels.api").datasets
    weekly = datasets.co2.load_pandas().data.co2.to_numpy()
    origins = np.arange(len(weekly) - 208, len(weekly) - 51, 26)
    actual = np.stack([weekly[origin : origin + 52] for origin in origins])
    zeros = np.zeros(len(origins), dtype=np.int64)
    windows = Windows(zeros, zeros, origins, actual, np.ones(len(origins)))
    answers = run_baselines([as_series(weekly[:, None])], windows, [int(origins[0])], 52, LEVELS)
    found = {answer.name: metrics.mae(actual, answer.point) for answer in answers}
    assert found["seasonal naive"] == pytest.approx(1.76, abs=0.01)
    assert found["seasonal drift"] == pytest.approx(0.81, abs=0.01)
    assert found["STL+ETS"] == pytest.approx(0.47, abs=0.03)
    assert found["ridge"] == pytest.approx(0.46, abs=0.03)


def m4(name: str) -> list[np.ndarray]:
    with gzip.open(Path(os.environ["LATCHWORK_DATA"]) / "m4" / f"{name}.csv.gz", "rt") as file:
        return [np.array([float(cell) for cell in row[1:] if cell.strip()]) for row in list(csv.reader(file))[1:]]


@pytest.mark.data
def test_m4_hourly_is_recomputed() -> None:
    training, actual = m4("Hourly-train"), np.stack(m4("Hourly-test"))
    scale = np.array([metrics.seasonal_naive_error(values, 24) for values in training])

    def figures(point: np.ndarray) -> tuple[float, float]:
        return metrics.smape(actual, point), metrics.mase(actual, point, scale)

    naive2 = figures(np.stack(m4("forecasts/Hourly-Naive2")))
    assert naive2 == pytest.approx((18.383, 2.395), abs=5e-4)
    published = {"sNaive": 0.62745, "024": 0.59713, "SES": 0.99005, "Naive": 3.59302, "218": 3.598, "249": 3.251}
    for name, owa in published.items():
        found = metrics.owa(*figures(np.stack(m4(f"forecasts/Hourly-{name}"))), *naive2)
        assert found == pytest.approx(owa, abs=3e-4), name

    count = len(training)
    series = [as_series(values[:, None]) for values in training]
    origins = np.array([len(values) for values in training])
    windows = Windows(np.arange(count), np.zeros(count, dtype=np.int64), origins, actual, scale)
    formulas = [baseline for baseline in FORECAST_BASELINES if baseline.name in ("seasonal naive", "naive2")]
    answers = {a.name: a.point for a in run_baselines(series, windows, list(origins), 24, baselines=formulas)}
    assert figures(answers["seasonal naive"]) == pytest.approx((13.912, 1.193), abs=5e-4)
    assert figures(answers["naive2"]) == pytest.approx((18.383, 2.395), abs=5e-4)
    np.testing.assert_allclose(answers["naive2"], np.stack(m4("forecasts/Hourly-Naive2")), atol=1e-4)
