"""The bootstrap and Diebold and Mariano's test: against theory, scipy and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from latchwork.errors import DataError
from latchwork.metrics import Resampling, bootstrap_mean, bootstrap_ratio, diebold_mariano
from latchwork.metrics.paired import _two_sided


def test_interval_of_independent_groups_is_student_s() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(3, 1, size=40)
    found = bootstrap_mean(values, np.arange(40), samples=8000)
    low, high = stats.t.interval(0.95, 39, loc=values.mean(), scale=stats.sem(values))
    assert found.value == pytest.approx(values.mean())
    assert (found.lower, found.upper) == pytest.approx((low, high), abs=0.03)


def test_groups_are_drawn_whole() -> None:
    """Forty values in four groups that agree within: four pieces of evidence, not forty."""
    groups = np.repeat(np.arange(4), 10)
    values = np.array([1.0, 2.0, 3.0, 4.0])[groups]
    whole, alone = bootstrap_mean(values, groups), bootstrap_mean(values, np.arange(40))
    assert whole.value == alone.value == pytest.approx(2.5)
    assert whole.upper - whole.lower > 3 * (alone.upper - alone.lower)


def test_blocks_cover_a_series_with_memory_where_single_draws_do_not() -> None:
    generator = np.random.default_rng(1)
    noise = generator.normal(size=(200, 319))
    window = np.lib.stride_tricks.sliding_window_view(noise, 20, axis=1).mean(axis=2)  # MA(20): 300 overlapping windows
    inside = {
        block: np.mean(
            [
                low <= 0 <= high
                for _, low, high in (bootstrap_mean(row, np.arange(300), block=block, samples=300) for row in window)
            ]
        )
        for block in (1, 25)
    }
    assert inside[1] < 0.6
    assert 0.88 <= inside[25] <= 0.99


def test_fewer_than_two_blocks_have_no_interval() -> None:
    found = bootstrap_mean(np.arange(5.0), np.arange(5), block=3)
    assert found.value == 2.0
    assert math.isnan(found.lower)
    assert math.isnan(found.upper)
    assert math.isnan(bootstrap_mean(np.array([math.nan]), np.array([0])).value)


def test_seed_and_nan() -> None:
    values = np.random.default_rng(2).normal(size=30)
    groups = np.arange(30)
    assert bootstrap_mean(values, groups, seed=5) == bootstrap_mean(values, groups, seed=5)
    assert bootstrap_mean(values, groups, seed=5) != bootstrap_mean(values, groups, seed=6)
    hole = np.append(values, math.nan)
    assert bootstrap_mean(hole, np.arange(31), seed=5) == bootstrap_mean(values, groups, seed=5)
    with pytest.raises(DataError, match="block 0"):
        bootstrap_mean(values, groups, block=0)


def test_a_ratio_is_paired() -> None:
    """A common factor of both losses leaves no doubt about their ratio, however much the losses vary."""
    losses = np.random.default_rng(3).exponential(size=50) ** 2
    found = bootstrap_ratio(0.9 * losses, losses, np.arange(50))
    assert (found.value, found.lower, found.upper) == pytest.approx((0.9, 0.9, 0.9))


def test_what_can_not_be_negative_is_not() -> None:
    assert bootstrap_mean(np.array([0.1, 9.0, 0.2]), np.arange(3)).lower >= 0


@pytest.mark.parametrize(
    ("series", "origin", "unit", "block", "step"),
    [
        (np.arange(12), np.full(12, 100), "series", 1, 0),
        (np.zeros(12, int), 100 + 4 * np.arange(12), "origin", 6, 4),
        (np.zeros(12, int), 100 + 24 * np.arange(12), "origin", 3, 24),
        (np.repeat([0, 1], 30), np.tile(np.arange(30), 2), "series", 1, 1),
        (np.repeat([0, 1], 300), np.tile(np.arange(300), 2), "origin", 24, 1),
        (np.repeat([0, 1, 2], 2), np.tile([50, 51], 3), "series", 1, 1),
    ],
)
def test_what_is_drawn_together(series: np.ndarray, origin: np.ndarray, unit: str, block: int, step: int) -> None:
    plan = Resampling.choose(series, origin, horizon=24)
    assert (plan.unit, plan.block, plan.step) == (unit, block, step)
    assert plan.independent == len(np.unique(plan.groups)) / block


@given(st.floats(-30, 30), st.integers(1, 60))
def test_student_s_tail_is_scipy_s(statistic: float, degrees: int) -> None:
    assert _two_sided(statistic, degrees) == pytest.approx(2 * stats.t.sf(abs(statistic), degrees), abs=1e-12)


def test_one_step_diebold_mariano_is_the_t_test_on_the_differences() -> None:
    """With horizon 1 the correction turns the biased variance into the t test's."""
    generator = np.random.default_rng(4)
    ours, theirs = generator.exponential(size=(2, 25))
    found = diebold_mariano(ours, theirs, 1)
    expected = stats.ttest_rel(ours, theirs)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    swapped = diebold_mariano(theirs, ours, 1)
    assert (swapped.statistic, swapped.p) == pytest.approx((-found.statistic, found.p))


def test_two_step_diebold_mariano_by_hand() -> None:
    difference = np.array([1.0, 2.0, -1.0, 0.0, 3.0, 1.0])
    centred = difference - 1.0
    variance = (centred @ centred + 2 * centred[1:] @ centred[:-1]) / 6
    correction = math.sqrt((6 + 1 - 4 + 2 / 6) / 6)
    found = diebold_mariano(difference, np.zeros(6), 2)
    assert variance > 0
    assert found.statistic == pytest.approx(1.0 / math.sqrt(variance / 6) * correction)


def test_diebold_mariano_keeps_its_size_under_overlap() -> None:
    generator = np.random.default_rng(5)
    noise = generator.normal(size=(600, 123))
    differences = np.lib.stride_tricks.sliding_window_view(noise, 4, axis=1).sum(axis=2)  # MA(3): four steps ahead
    rejected = np.mean([diebold_mariano(row, np.zeros(120), 4).p < 0.05 for row in differences])
    assert 0.02 <= rejected <= 0.10
    naive = np.mean([diebold_mariano(row, np.zeros(120), 1).p < 0.05 for row in differences])
    assert naive > 0.2


def test_where_nothing_can_be_said_p_is_nan() -> None:
    assert math.isnan(diebold_mariano(np.ones(5), np.ones(5), 1).p)
    assert math.isnan(diebold_mariano(np.arange(4.0), np.zeros(4), 4).p)
    with pytest.raises(DataError, match="same"):
        diebold_mariano(np.ones(5), np.ones(4), 1)
