import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.modalities.season import detect_season


def seasonal(period, periods=12, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    shape = rng.normal(size=period)
    return np.tile(shape, periods) + noise * rng.normal(size=period * periods) + 0.02 * np.arange(period * periods)


@pytest.mark.parametrize("period", [4, 7, 12, 24, 52])
def test_a_season_is_found_and_confirmed(period):
    values = [seasonal(period, seed=seed) for seed in range(3)]
    assert detect_season(values) == period
    assert detect_season(values, (period, 7 * period)) == period
    assert detect_season(values, (period + 3,)) == 1


def test_missing_values_are_no_matter():
    values = seasonal(12, 20)
    values[np.random.default_rng(1).random(len(values)) < 0.2] = np.nan
    assert detect_season([values]) == 12


@pytest.mark.parametrize("make", ["white", "walk", "smooth walk", "alternating"])
def test_noise_has_no_season(make):
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(40):
        noise = rng.normal(size=400)
        if make == "walk":
            noise = noise.cumsum()
        elif make == "smooth walk":
            noise = noise.cumsum().cumsum()
        elif make == "alternating":
            noise = noise * np.where(np.arange(400) % 2, 1, -1) + 3 * np.where(np.arange(400) % 2, 1, -1)
            assert detect_season([noise], (12,)) in (1, 12)
            continue
        wrong += detect_season([noise]) != 1
        wrong += detect_season([noise], (12,)) != 1
    assert wrong <= 4  # of 80


def test_nothing_to_see():
    assert detect_season([]) == 1
    assert detect_season([np.zeros(100)], (12,)) == 1
    assert detect_season([np.full(100, np.nan)]) == 1
    assert detect_season([np.arange(100.0)]) == 1
    assert detect_season([np.array([1.0, 2.0])], (12,)) == 1


def test_a_smooth_curve_is_not_taken_for_a_short_season():
    values = np.sin(2 * np.pi * np.arange(3000) / 365)
    assert detect_season([values], (7, 365)) == 365


@settings(max_examples=25)
@given(st.floats(1e-3, 1e6), st.floats(-1e4, 1e4), st.sampled_from([7, 12, 24]), st.booleans())
def test_scale_and_shift_do_not_matter(scale, shift, period, search):
    values = seasonal(period)
    assert detect_season([scale * values + scale * shift], () if search else (period,)) == period


def test_several_series_vote():
    rng = np.random.default_rng(3)
    values = [seasonal(24, 8, noise=1.5, seed=seed) for seed in range(20)] + [rng.normal(size=200)]
    assert detect_season(values) == 24
