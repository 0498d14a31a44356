"""Metrics against hand-computed cases, their laws, and M4's published figures."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from latchwork import metrics
from latchwork.errors import DataError

NAN = math.nan
ACTUAL = np.array([[2.0, 4.0, NAN], [10.0, NAN, NAN], [NAN, NAN, NAN]])
POINT = np.array([[3.0, 1.0, 99.0], [8.0, 99.0, 99.0], [99.0, 99.0, 99.0]])

values = st.floats(-100, 100).map(lambda value: round(value, 3))
tables = st.tuples(
    arrays(np.float64, (4, 3), elements=values),
    arrays(np.float64, (4, 3), elements=values),
    arrays(np.float64, 4, elements=st.floats(0.1, 50)),
)


def test_each_window_is_its_mean_and_the_figure_the_mean_over_windows() -> None:
    assert metrics.mae(ACTUAL, POINT) == pytest.approx(((1 + 3) / 2 + 2) / 2)
    assert metrics.mse(ACTUAL, POINT) == pytest.approx(((1 + 9) / 2 + 4) / 2)
    assert metrics.rmse(ACTUAL, POINT) == pytest.approx(math.sqrt(4.5))
    smape = ((200 * 1 / 5 + 200 * 3 / 5) / 2 + 200 * 2 / 18) / 2
    assert metrics.smape(ACTUAL, POINT) == pytest.approx(smape)
    assert metrics.mase(ACTUAL, POINT, np.array([2.0, 4.0, 1.0])) == pytest.approx((2 / 2 + 2 / 4) / 2)


def test_windows_without_a_scale_are_left_out_of_mase() -> None:
    assert metrics.mase(ACTUAL, POINT, np.array([2.0, NAN, 1.0])) == pytest.approx(1.0)
    assert metrics.mase(ACTUAL, POINT, np.array([0.0, 4.0, 1.0])) == pytest.approx(0.5)


def test_nothing_scored_gives_nan_and_a_missing_answer_is_not_forgiven() -> None:
    assert math.isnan(metrics.mae(ACTUAL[2:], POINT[2:]))
    assert math.isnan(metrics.mae(np.array([[1.0, 2.0]]), np.array([[1.0, NAN]])))
    assert math.isnan(metrics.coverage(np.array([[1.0]]), np.array([[NAN]]), np.array([[2.0]])))


def test_smape_counts_zero_against_zero_as_zero() -> None:
    assert metrics.smape(np.array([[0.0, 1.0]]), np.array([[0.0, 0.0]])) == pytest.approx(100.0)


def test_pinball_and_scaled_crps_by_hand() -> None:
    actual = np.array([[10.0, 20.0]])
    quantiles = np.array([[[8.0, 12.0], [21.0, 25.0]]])  # [1, 2, levels]
    low = (0.1 * 2 + 0.9 * 1) / 2
    high = (0.1 * 2 + 0.1 * 5) / 2
    assert metrics.pinball(actual, quantiles, (0.1, 0.9)) == pytest.approx([low, high])
    assert metrics.scaled_crps(actual, quantiles, (0.1, 0.9)) == pytest.approx(2 * (low + high) / 2 * 2 / 30)


def test_scaled_crps_of_the_median_alone_is_the_absolute_error_over_the_size() -> None:
    actual = np.array([[10.0, NAN, 20.0]])
    assert metrics.scaled_crps(actual, np.array([[[7.0], [0.0], [21.0]]]), (0.5,)) == pytest.approx(4 / 30)
    assert math.isnan(metrics.scaled_crps(np.zeros((1, 2)), np.ones((1, 2, 1)), (0.5,)))


def test_coverage_and_width_by_hand() -> None:
    lower, upper = np.full((3, 3), 2.0), np.full((3, 3), 5.0)
    assert metrics.coverage(ACTUAL, lower, upper) == pytest.approx((1.0 + 0.0) / 2)
    assert metrics.interval_width(ACTUAL, lower, upper) == pytest.approx(3.0)


def test_seasonal_naive_error_by_hand() -> None:
    assert metrics.seasonal_naive_error(np.array([1.0, 5.0, 2.0, 9.0]), 2) == pytest.approx((1 + 4) / 2)
    assert metrics.seasonal_naive_error(np.array([1.0, NAN, 2.0, 9.0]), 2) == pytest.approx(1.0)
    assert metrics.seasonal_naive_error(np.array([1.0, 5.0]), 2) == pytest.approx(4.0)
    assert math.isnan(metrics.seasonal_naive_error(np.array([1.0, 2.0, 1.0, 2.0]), 2))
    assert math.isnan(metrics.seasonal_naive_error(np.array([1.0]), 1))


def test_shapes_that_disagree_are_named() -> None:
    with pytest.raises(DataError, match=r"\(2, 3\).*\(3, 3\)"):
        metrics.mae(ACTUAL, POINT[:2])
    with pytest.raises(DataError, match="levels"):
        metrics.pinball(ACTUAL, np.zeros((3, 3, 2)), (0.1, 0.5, 0.9))


@given(tables, st.floats(0.01, 100))
def test_smape_and_mase_do_not_depend_on_the_unit(
    table: tuple[np.ndarray, np.ndarray, np.ndarray], unit: float
) -> None:
    actual, point, scale = table
    assert metrics.smape(unit * actual, unit * point) == pytest.approx(metrics.smape(actual, point), rel=1e-6)
    scaled = metrics.mase(unit * actual, unit * point, unit * scale)
    assert scaled == pytest.approx(metrics.mase(actual, point, scale), rel=1e-6)


@given(tables)
def test_bounds(table: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    actual, point, _ = table
    assert 0 <= metrics.smape(actual, point) <= 200 + 1e-9
    assert metrics.mae(actual, point) <= metrics.rmse(actual, point) + 1e-9


@given(tables, st.floats(0, 10), st.floats(0, 10))
def test_coverage_grows_with_the_interval(
    table: tuple[np.ndarray, np.ndarray, np.ndarray], narrow: float, more: float
) -> None:
    actual, point, _ = table
    small = metrics.coverage(actual, point - narrow, point + narrow)
    assert small <= metrics.coverage(actual, point - narrow - more, point + narrow + more)


@given(st.floats(0.05, 0.95), st.floats(-3, 3))
def test_pinball_is_least_at_the_quantile(level: float, elsewhere: float) -> None:
    sample = np.random.default_rng(0).normal(size=(1, 501))

    def loss(quantile: float) -> float:
        return metrics.pinball(sample, np.full((1, 501, 1), quantile), (level,))[0]

    best = float(np.quantile(sample, level, method="inverted_cdf"))
    assert loss(best) <= loss(elsewhere) + 1e-12


@given(st.floats(0.1, 100), st.floats(0.1, 100))
@settings(max_examples=20)
def test_owa_of_naive2_itself_is_1(smape: float, mase: float) -> None:
    assert metrics.owa(smape, mase, smape, mase) == pytest.approx(1.0)
