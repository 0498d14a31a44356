"""Ridge on lags."""

import numpy as np
import pytest

from latchwork.baselines import Column, Ridge
from latchwork.baselines.ridge import _solve, _TrainingWindows
from latchwork.errors import DataError

GENERATOR = np.random.default_rng(0)


def walk(rows: int, season: int = 6) -> np.ndarray:
    generator = np.random.default_rng(rows)
    return 3 * np.sin(2 * np.pi * np.arange(rows) / season) + np.cumsum(generator.normal(size=rows)) * 0.1


def test_a_linear_rule_is_found() -> None:
    """y[t] = 1.6 y[t-1] - 0.9 y[t-2] has no noise but its start: the next steps are known."""
    values = np.zeros(300)
    values[:2] = 1.0, 0.5
    for row in range(2, 300):
        values[row] = 1.6 * values[row - 1] - 0.999 * values[row - 2]
    column = Column.of(values[:250], 1)
    fitted = Ridge(penalties=(1e-9,)).fit([column], 4, 1)
    answer = fitted.forecast(0, values, np.array([260, 280]), 4).point
    assert answer == pytest.approx(np.stack([values[260:264], values[280:284]]), abs=1e-3)


def test_weights_are_scikit_learn_s() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    data = _TrainingWindows.of([Column.of(walk(120), 6), Column.of(5 * walk(90), 6)], 12, 3, 10_000)
    products = data.products(data.every)
    assert products is not None
    blocks = list(data.blocks(data.every))
    features = np.concatenate([block[2] for block in blocks])[:, -6:]
    targets = np.concatenate([block[3] for block in blocks])
    weights = _solve(products, 6, 0.1)
    penalty = 0.1 * np.square(features[:, :-1]).sum() / 5
    expected = linear.Ridge(alpha=penalty).fit(features[:, :-1], targets)
    np.testing.assert_allclose(weights[:-1].T, expected.coef_, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(weights[-1], expected.intercept_, rtol=1e-4, atol=1e-6)


def test_short_series_are_padded_and_shifts_and_units_carry_through() -> None:
    long, short = walk(200), walk(25)
    plain = Ridge().fit([Column.of(long, 6), Column.of(short, 6)], 5, 6)
    moved = Ridge().fit([Column.of(7 * long + 100, 6), Column.of(7 * short + 100, 6)], 5, 6)
    for column, values in ((0, long), (1, short)):
        ends = np.array([3, 20])
        answer = plain.forecast(column, values, ends, 5).point
        np.testing.assert_allclose(moved.forecast(column, 7 * values + 100, ends, 5).point, 7 * answer + 100, rtol=1e-6)


def test_steps_beyond_the_horizon_reach_over_a_gap() -> None:
    values = walk(200)
    fitted = Ridge().fit([Column.of(values, 6)], 6, 6)
    answer = fitted.forecast(0, values, np.array([150]), 6 + 4).point
    assert answer.shape == (1, 10)
    assert answer[0, :4] == pytest.approx(values[144:148])
    assert np.abs(answer[0] - values[150:160]).mean() < 1.0


def test_residuals_are_of_rows_held_back_and_nan_where_filled() -> None:
    raw = walk(200)
    raw[185] = np.nan
    fitted = Ridge().fit([Column.of(raw, 6)], 6, 6)
    errors = fitted.residuals(0)
    assert errors is not None
    assert errors.shape == (35, 6)
    assert np.isnan(errors).sum() == 6
    assert fitted.residuals(1) is None
    assert "look-back" in fitted.note


def test_no_series_long_enough_is_said() -> None:
    with pytest.raises(DataError, match="more than 30 training rows"):
        Ridge().fit([Column.of(walk(25), 6)], 30, 6)


def test_a_constant_series_stays_constant() -> None:
    fitted = Ridge().fit([Column.of(np.full(60, 4.0), 6)], 3, 6)
    assert fitted.forecast(0, np.full(60, 4.0), np.array([50]), 3).point == pytest.approx(np.full((1, 3), 4.0))
