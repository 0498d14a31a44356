"""Conformal intervals: coverage by simulation, hand-computed offsets, files."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError
from latchwork.metrics import Conformal, coverage, mirrored

LEVELS = (0.1, 0.5, 0.9)


def test_offset_is_the_finite_sample_quantile_of_the_scores() -> None:
    actual = np.arange(1.0, 10.0)[:, None]  # nine windows of one step: scores 1 … 9 about a point of 0
    fitted = Conformal.fit(actual, np.zeros((9, 1)), LEVELS)
    # ceil((9 + 1) 0.8) = 8: the eighth smallest
    assert fitted.offsets == pytest.approx(np.array([[-8.0, 0.0, 8.0]]))
    assert fitted.note == ""
    assert fitted.apply(np.array([[100.0]])) == pytest.approx(np.array([[[92.0, 100.0, 108.0]]]))


def test_quantiles_too_wide_are_drawn_in_and_stay_in_order() -> None:
    generator = np.random.default_rng(0)
    actual = generator.normal(size=(500, 2))
    wide = np.broadcast_to(np.array([-9.0, 0.0, 9.0]), (500, 2, 3))
    fitted = Conformal.fit(actual, wide, LEVELS)
    assert (fitted.offsets[:, 0] > 0).all()
    answer = fitted.apply(np.broadcast_to(np.array([-1.0, 5.0, 1.0]), (3, 2, 3)))
    assert (np.diff(answer, axis=-1) >= 0).all()


def test_levels_without_a_mirror_are_corrected_alone() -> None:
    actual = np.arange(1.0, 10.0)[:, None]
    fitted = Conformal.fit(actual, np.zeros((9, 1)), (0.2, 0.9))
    # below: scores -9 … -1, ceil(10 · 0.8) = 8th smallest is -2; above: ceil(10 · 0.9) = 9th smallest of 1 … 9
    assert fitted.offsets == pytest.approx(np.array([[2.0, 9.0]]))


def test_too_few_windows_pool_the_steps_and_say_so() -> None:
    actual = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    fitted = Conformal.fit(actual, np.zeros((2, 3)), LEVELS)
    assert "2 calibration windows are too few for 80%" in fitted.note
    assert "share one offset" in fitted.note
    assert fitted.offsets[:, 2] == pytest.approx([6.0, 6.0, 6.0])  # ceil(7 · 0.8) = 6th of six
    one = Conformal.fit(actual[:1, :1], np.zeros((1, 1)), (0.005, 0.995))
    assert "largest error" in one.note
    assert "needs 99 a step" in one.note
    assert one.offsets == pytest.approx(np.array([[-1.0, 1.0]]))


def test_missing_actuals_are_left_out() -> None:
    actual = np.array([[float(i), math.nan if i % 2 else float(i)] for i in range(1, 20)])
    fitted = Conformal.fit(actual, np.zeros((19, 2)), LEVELS)
    assert fitted.offsets[:, 2] == pytest.approx([16.0, 16.0])  # 16th of 19; 8th of 2, 4, … 18
    with pytest.raises(DataError, match="keep some rows back"):
        Conformal.fit(np.full((3, 2), math.nan), np.zeros((3, 2)), LEVELS)


def test_scaled_scores_are_shared_between_windows_of_different_size() -> None:
    generator = np.random.default_rng(1)
    scale = generator.uniform(1, 100, size=4000)
    actual = scale[:, None] * generator.normal(size=(4000, 1))
    fitted = Conformal.fit(actual[:2000], np.zeros((2000, 1)), LEVELS, scale[:2000])
    answer = fitted.apply(np.zeros((2000, 1)), scale[2000:])
    small = scale[2000:] < 20
    inside = coverage(actual[2000:][small], answer[small][..., 0], answer[small][..., 2])
    assert inside == pytest.approx(0.8, abs=0.05)
    with pytest.raises(ConfigError, match="was scaled"):
        fitted.apply(np.zeros((2, 1)))
    with pytest.raises(ConfigError, match="was not scaled"):
        Conformal.fit(actual, np.zeros((4000, 1)), LEVELS).apply(np.zeros((2, 1)), scale[:2])


@pytest.mark.parametrize("windows", [19, 60])
def test_coverage_on_exchangeable_windows_is_what_was_promised(windows: int) -> None:
    generator = np.random.default_rng(2)
    covered = []
    for _ in range(400):
        # Skewed errors that grow with the step, and quantiles that are wrong on both sides.
        actual = generator.exponential(size=(windows + 20, 3)) * np.array([1.0, 2.0, 5.0])
        quantiles = np.broadcast_to(np.array([0.4, 0.5, 0.6]), (windows + 20, 3, 3))
        answer = Conformal.fit(actual[:windows], quantiles[:windows], LEVELS).apply(quantiles[windows:])
        covered.append(((actual[windows:] >= answer[..., 0]) & (actual[windows:] <= answer[..., 2])).mean(axis=0))
    promised = math.ceil((windows + 1) * 0.8) / (windows + 1)  # exact for continuous scores
    assert np.mean(covered, axis=0) == pytest.approx([promised] * 3, abs=0.02)


def test_round_trip_through_json() -> None:
    fitted = Conformal.fit(np.random.default_rng(3).normal(size=(30, 4)), np.zeros((30, 4)), LEVELS, np.ones(30))
    again = Conformal.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert (again.levels, again.scaled, again.note) == (fitted.levels, fitted.scaled, fitted.note)
    np.testing.assert_array_equal(again.offsets, fitted.offsets)
    with pytest.raises(DataError, match="finite"):
        Conformal.from_dict({**fitted.to_dict(), "offsets": [[0.0, math.nan, 0.0]]})


@given(st.lists(st.floats(-1, 2), min_size=1, max_size=4))
def test_levels_must_be_increasing_probabilities(levels: list[float]) -> None:
    good = all(0 < level < 1 for level in levels) and levels == sorted(set(levels))
    if good:
        assert Conformal.fit(np.ones((50, 1)), np.zeros((50, 1)), levels).levels == tuple(levels)
    else:
        with pytest.raises(ConfigError, match="increasing probabilities"):
            Conformal.fit(np.ones((50, 1)), np.zeros((50, 1)), levels)


def test_shapes_that_disagree_are_named() -> None:
    with pytest.raises(DataError, match=r"\(3, 2, 2\).*\(3, 2, 3\)"):
        Conformal.fit(np.zeros((3, 2)), np.zeros((3, 2, 2)), LEVELS)
    with pytest.raises(DataError, match=r"\(3, 5, 3\)"):
        Conformal.fit(np.ones((30, 2)), np.zeros((30, 2)), LEVELS).apply(np.zeros((3, 5)))


def test_mirrored_levels() -> None:
    assert mirrored((0.025, 0.1, 0.5, 0.9, 0.975)) == [(0, 4), (1, 3)]
