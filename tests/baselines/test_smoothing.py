"""ETS and STL+ETS, against statsmodels' own forecasts and the CO2 series that comes with it."""

import numpy as np
import pytest

from latchwork.baselines import ETS, STLETS, Column

ets = pytest.importorskip("statsmodels.tsa.exponential_smoothing.ets")


def wave(rows: int, season: int, slope: float = 0.05) -> np.ndarray:
    generator = np.random.default_rng(rows)
    return 50 + slope * np.arange(rows) + 5 * np.sin(2 * np.pi * np.arange(rows) / season) + generator.normal(size=rows)


@pytest.mark.parametrize("season", [1, 4, 7])
def test_states_at_each_origin_give_statsmodels_forecast_from_there(season: int) -> None:
    values = wave(120, 7)
    fitted = ETS().fit([Column.of(values[:80], season)], 10, season)
    answer = fitted.forecast(0, values, np.array([90, 120]), 10).point
    model = fitted.models[0]
    assert model is not None
    for row, end in zip(answer, (90, 120), strict=True):
        scaled = (values[:end] - model.center) / model.size
        library = ets.ETSModel(scaled, error="add", **model.options).smooth(model.parameters)
        np.testing.assert_allclose(row, library.forecast(10) * model.size + model.center, rtol=1e-9)


def test_deviations_are_those_of_simulated_paths() -> None:
    values = np.cumsum(np.random.default_rng(0).normal(size=200)) + 0.1 * np.arange(200)
    fitted = ETS().fit([Column.of(values, 1)], 12, 1)
    fitted.forecast(0, values, np.array([200]), 12)
    model = fitted.models[0]
    assert model is not None
    level, trend = np.zeros(40_000), np.zeros(40_000)
    damping = model.named.get("damping_trend", 1.0)
    noise = np.random.default_rng(1).normal(scale=model.noise, size=(12, 40_000))
    simulated = []
    for shock in noise:
        simulated.append((level + damping * trend + shock).std())
        level = level + damping * trend + model.named["smoothing_level"] * shock
        trend = damping * trend + model.named.get("smoothing_trend", 0.0) * shock
    np.testing.assert_allclose(model.deviations(12), simulated, rtol=0.02)


def test_stl_ets_beats_the_last_season_on_a_seasonal_trend() -> None:
    values = wave(240, 12, slope=0.2)
    fitted = STLETS().fit([Column.of(values[:200], 12)], 12, 12)
    answer = fitted.forecast(0, values, np.array([216, 228]), 12)
    truth = np.stack([values[216:228], values[228:240]])
    assert (
        np.abs(answer.point - truth).mean() < 1.5 < np.abs(truth - np.stack([values[204:216], values[216:228]])).mean()
    )
    assert answer.deviation is not None
    assert (np.diff(answer.deviation, axis=1) >= 0).all()
    assert fitted.window in STLETS().windows


def test_too_short_or_constant_falls_back_on_the_last_value_and_says_so() -> None:
    fitted = ETS().fit([Column.of(np.array([1.0, 2.0, 4.0]), 4), Column.of(np.full(50, 3.0), 4)], 2, 4)
    assert fitted.forecast(0, np.array([1.0, 2.0, 4.0]), np.array([3]), 2).point == pytest.approx(np.full((1, 2), 4.0))
    assert fitted.forecast(1, np.full(60, 3.0), np.array([55]), 2).point == pytest.approx(np.full((1, 2), 3.0))
    assert fitted.note == "last value for 2 series too short or constant"
    stl = STLETS().fit([Column.of(np.full(50, 3.0), 4)], 2, 4)
    assert stl.forecast(0, np.full(60, 3.0), np.array([55]), 2).point == pytest.approx(np.full((1, 2), 3.0))
    assert "last value on" in stl.note
