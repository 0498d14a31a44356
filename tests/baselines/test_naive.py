"""The formulas by hand, one end at a time, and Naive2 against R's steps written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.baselines.naive import drift, moving_average, naive, naive2, seasonal_drift, seasonal_naive

VALUES = np.array([1.0, 5.0, 2.0, 7.0, 4.0, 9.0, 6.0])


def at(rule, values, end, steps, season):
    return rule(values, np.array([end]), steps, season)[0]


def test_formulas_by_hand() -> None:
    assert at(naive, VALUES, 4, 3, 2) == pytest.approx([7, 7, 7])
    assert at(drift, VALUES, 4, 3, 2) == pytest.approx([9, 11, 13])
    assert at(seasonal_naive, VALUES, 4, 3, 2) == pytest.approx([2, 7, 2])
    # the first season's mean is 3, the last one's 6.5, four rows (two seasons) later: 1.75 a season
    assert at(seasonal_drift, VALUES, 6, 3, 2) == pytest.approx([4 + 1.75, 9 + 1.75, 4 + 3.5])
    assert at(moving_average, VALUES, 6, 2, 3) == pytest.approx([20 / 3] * 2)
    assert at(moving_average, VALUES, 6, 2, 1) == pytest.approx([28 / 6] * 2)


def test_short_histories() -> None:
    for rule in (naive, drift, seasonal_naive, seasonal_drift, moving_average, naive2):
        assert at(rule, VALUES, 1, 3, 4) == pytest.approx([1, 1, 1])
    assert at(seasonal_drift, VALUES, 3, 2, 2) == pytest.approx([5, 2])


def seasonal_index(values: np.ndarray, season: int) -> np.ndarray:
    """R's decompose(type = "multiplicative")$figure, row by row."""
    half = season // 2
    ratios: dict[int, list[float]] = {phase: [] for phase in range(season)}
    for row in range(half, len(values) - half):
        around = values[row - half : row + half + 1]
        trend = around.mean() if season % 2 else (around.sum() - (around[0] + around[-1]) / 2) / season
        ratios[row % season].append(values[row] / trend)
    figure = np.array([np.mean(ratios[phase]) for phase in range(season)])
    return figure / figure.mean()


def plain_naive2(values: np.ndarray, steps: int, season: int) -> np.ndarray:
    """M4's Benchmarks and Evaluation.R, Naive2, one series."""
    count = len(values)
    seasonal = False
    if season > 1 and count >= 3 * season:
        centred = values - values.mean()
        acf = np.array([centred[lag:] @ centred[: count - lag] for lag in range(season + 1)]) / (centred @ centred)
        limit = 1.645 / np.sqrt(count) * np.sqrt(np.cumsum(np.append(1.0, 2 * acf[1:] ** 2)))
        seasonal = abs(acf[season]) > limit[season - 1]
    if not seasonal:
        return np.full(steps, values[-1])
    figure = seasonal_index(values, season)
    return values[-1] / figure[(count - 1) % season] * figure[(count + np.arange(steps)) % season]


@given(st.integers(2, 9), st.integers(20, 120), st.floats(0, 2), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_naive2_at_many_ends_is_the_plain_one_at_each(season: int, rows: int, strength: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    wave = strength * np.sin(2 * np.pi * np.arange(rows) / season + 1)
    values = np.exp(wave + generator.normal(scale=0.3, size=rows))
    ends = np.arange(3 * season, rows + 1)
    found = naive2(values, ends, 2 * season, season)
    for answer, end in zip(found, ends, strict=True):
        np.testing.assert_allclose(answer, plain_naive2(values[:end], 2 * season, season), rtol=1e-8)


def test_naive2_adds_where_values_are_not_positive() -> None:
    values = np.tile([-2.0, 0.0, 2.0, 0.0], 10)
    assert at(naive2, values, 40, 4, 4) == pytest.approx([-2, 0, 2, 0])
