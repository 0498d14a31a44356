"""Bootstrap by group, exact tests and shares: against scipy, and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from latchwork.errors import DataError
from latchwork.metrics import (
    Spread,
    bootstrap,
    bootstrap_each,
    bootstrap_mean,
    bootstrap_sums,
    mcnemar,
    paired_difference,
    proportion,
    share,
)
from latchwork.metrics.resample import binomial_tail


def weighted_mean(values: np.ndarray):
    return lambda weights: float(weights @ values / weights.sum())


def test_the_interval_of_a_mean_is_the_mean_s() -> None:
    values = np.random.default_rng(0).normal(3, 1, size=60)
    found = bootstrap(weighted_mean(values), np.arange(60), samples=8000)
    known = bootstrap_mean(values, np.arange(60), samples=8000)
    assert found.value == pytest.approx(known.value)
    assert (found.lower, found.upper) == pytest.approx((known.lower, known.upper), abs=0.03)


@given(st.integers(0, 10**6), st.integers(2, 40))
def test_weights_rows_and_sums_are_the_same_draws(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    values, groups = generator.normal(size=count), generator.integers(0, 6, size=count).astype(str)
    by_weight = bootstrap(weighted_mean(values), groups, samples=30)
    by_row = bootstrap(lambda rows: float(values[rows].mean()), groups, takes="rows", samples=30)
    both = np.stack([values, np.ones(count)], axis=1)
    by_sum = bootstrap_sums(both, lambda sums: sums[..., 0] / sums[..., 1], groups, samples=30)
    assert by_weight == pytest.approx(by_row, nan_ok=True)
    assert by_weight == pytest.approx(by_sum, nan_ok=True)


def test_groups_are_drawn_whole() -> None:
    groups = np.repeat(np.arange(4), 10)
    values = np.array([1.0, 2.0, 3.0, 4.0])[groups]
    whole = bootstrap(weighted_mean(values), groups)
    alone = bootstrap(weighted_mean(values), np.arange(40))
    assert whole.value == alone.value == pytest.approx(2.5)
    assert whole.upper - whole.lower > 3 * (alone.upper - alone.lower)


def test_an_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    inside = []
    for _ in range(200):
        group = np.repeat(np.arange(30), 5)
        values = generator.normal(size=30)[group] + generator.normal(size=150)  # steps of one sequence agree
        low, high = bootstrap(weighted_mean(values), group, samples=300)[1:]
        inside.append(low <= 0 <= high)
    assert 0.90 <= np.mean(inside) <= 0.99


def test_bounds_stay_inside_and_seed_repeats() -> None:
    values = np.array([1.0] * 19 + [0.0])
    found = bootstrap(weighted_mean(values), np.arange(20), within=(0.0, 1.0))
    assert found.upper == 1.0
    values = np.random.default_rng(6).normal(size=20)
    found = bootstrap(weighted_mean(values), np.arange(20))
    assert found == bootstrap(weighted_mean(values), np.arange(20))
    assert found != bootstrap(weighted_mean(values), np.arange(20), seed=1)


def test_where_nothing_can_be_said_bounds_are_nan() -> None:
    one = bootstrap(weighted_mean(np.ones(3)), np.zeros(3))
    assert one.value == 1.0
    assert math.isnan(one.lower)

    def rare(weights: np.ndarray) -> float:
        return 1.0 if weights[0] else math.nan  # undefined in every resample without the only positive: 37%

    assert math.isnan(bootstrap(rare, np.arange(50)).upper)

    def often(weights: np.ndarray) -> float:
        return 1.0 if weights[:3].any() else math.nan

    assert bootstrap(often, np.arange(50)).upper == 1.0


def test_several_figures_from_the_same_draws() -> None:
    values = np.random.default_rng(2).normal(size=25)

    def figures(weights: np.ndarray) -> np.ndarray:
        mean = weights @ values / weights.sum(axis=1)
        return np.stack([mean, 2 * mean], axis=1)

    first, second = bootstrap_each(figures, np.arange(25), samples=100)
    assert second == pytest.approx(tuple(2 * np.array(first)))


@pytest.mark.parametrize(("groups", "counts"), [(np.empty(0), np.empty((0, 2))), (np.zeros((2, 2)), np.ones((2, 2)))])
def test_groups_of_the_wrong_shape_are_refused(groups: np.ndarray, counts: np.ndarray) -> None:
    with pytest.raises(DataError, match="groups have shape"):
        bootstrap_sums(counts, lambda sums: sums[..., 0], groups)
    with pytest.raises(DataError, match="counts have shape"):
        bootstrap_sums(np.ones(3), lambda sums: sums[..., 0], np.arange(3))
    with pytest.raises(DataError, match="samples 0"):
        bootstrap(weighted_mean(np.ones(3)), np.arange(3), samples=0)


def test_a_difference_on_the_same_rows_is_sharper_than_two_intervals() -> None:
    generator = np.random.default_rng(3)
    hard = generator.normal(size=80)
    ours, theirs = hard + 0.1, hard + 0.05 * generator.normal(size=80)
    found = paired_difference(weighted_mean(ours), weighted_mean(theirs), np.arange(80))
    assert found.value == pytest.approx(float((ours - theirs).mean()))
    assert 0 < found.lower < found.value < found.upper
    assert found.p < 0.01
    swapped = paired_difference(weighted_mean(theirs), weighted_mean(ours), np.arange(80))
    assert (swapped.lower, swapped.upper, swapped.p) == pytest.approx((-found.upper, -found.lower, found.p))


def test_a_difference_s_p_agrees_with_its_interval_and_the_t_test() -> None:
    generator = np.random.default_rng(4)
    for shift in (0.0, 0.15, 0.3, 0.5):
        ours, theirs = generator.normal(size=(2, 50))
        ours += shift
        rows = np.arange(50)
        found = paired_difference(weighted_mean(ours), weighted_mean(theirs), rows, samples=4000)
        assert (found.p < 0.05) == (found.lower > 0 or found.upper < 0)
        assert found.p == pytest.approx(stats.ttest_rel(ours, theirs).pvalue, abs=0.03)


def test_the_same_model_twice_does_not_differ() -> None:
    values = np.random.default_rng(5).normal(size=20)
    found = paired_difference(weighted_mean(values), weighted_mean(values), np.arange(20))
    assert found == (0.0, 0.0, 0.0, 1.0)
    assert math.isnan(paired_difference(weighted_mean(values), weighted_mean(values), np.zeros(20)).p)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_the_binomial_test(pairs: list[tuple[bool, bool]]) -> None:
    first, second = np.array(pairs).T
    found = mcnemar(first, second)
    differ = found.first_only + found.second_only
    assert found.first_only == sum(a and not b for a, b in pairs)
    assert found.p == pytest.approx(stats.binomtest(found.first_only, differ).pvalue if differ else 1.0)


def test_mcnemar_wants_the_same_rows() -> None:
    with pytest.raises(DataError, match="expected the same"):
        mcnemar(np.ones(3), np.ones(4))


@settings(max_examples=25)
@given(st.integers(1, 500), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_a_share_s_interval_is_scipy_s(trials: int, share: float, level: float) -> None:
    successes = round(share * trials)
    found = proportion(successes, trials, level)
    known = stats.binomtest(successes, trials).proportion_ci(level, "exact")
    assert found == pytest.approx((successes / trials, known.low, known.high), abs=1e-9)


def test_shares_without_trials_and_impossible_ones() -> None:
    assert all(math.isnan(value) for value in proportion(0, 0))
    with pytest.raises(DataError, match="3 of 2"):
        proportion(3, 2)


@given(st.integers(1, 100_000), st.integers(1, 100_000), st.floats(1e-4, 1 - 1e-4))
def test_the_binomial_tail_is_scipy_s(successes: int, trials: int, chance: float) -> None:
    known = stats.binom.sf(successes - 1, trials, chance)
    assert float(binomial_tail(successes, trials, chance)) == pytest.approx(known, rel=1e-6, abs=1e-12)


def test_spread() -> None:
    found = Spread.of([0.9, 0.8, 0.7])
    assert (found.mean, found.deviation) == pytest.approx((0.8, 0.1))
    assert found.values == (0.9, 0.8, 0.7)
    holed = Spread.of(np.array([0.9, math.nan]))
    assert (holed.mean, holed.undefined) == (0.9, 1)
    assert math.isnan(holed.deviation)
    assert "1 of 2, undefined in the rest" in str(holed)
    assert math.isnan(Spread.of([]).mean)


@pytest.mark.parametrize("samples", [200, 300, 999, 1000])
def test_p_and_interval_never_contradict_each_other(samples: int) -> None:
    generator = np.random.default_rng(3)
    nothing = np.zeros(40)
    for _ in range(60):
        values = generator.normal(0.31, 1, 40)
        found = paired_difference(weighted_mean(values), weighted_mean(nothing), np.arange(40), samples=samples)
        assert (found.p <= 0.05) == (found.lower > 0 or found.upper < 0)


def test_the_share_of_entities_has_the_wider_interval() -> None:
    right = np.repeat([True, True, True, False], 10)
    alone = share(right, np.ones(40, bool), np.arange(40))
    assert alone == proportion(30, 40)
    together = share(right, np.ones(40, bool), np.repeat(np.arange(4), 10))
    assert together.lower < alone.lower
    assert together.upper >= alone.upper
