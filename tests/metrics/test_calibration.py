"""Calibration error by hand and by simulation; the temperature against torch and a known truth."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from latchwork.errors import ConfigError, DataError
from latchwork.metrics import calibration_error, fit_temperature, reliability


def test_by_hand() -> None:
    confidence = np.array([0.2, 0.3, 0.9, 0.8])
    right = np.array([0, 1, 1, 1])
    for binning in ("width", "mass"):
        found = reliability(confidence, right, bins=2, binning=binning)
        assert found.count.tolist() == [2, 2]
        assert found.confidence == pytest.approx([0.25, 0.85])
        assert found.share == pytest.approx([0.5, 1.0])
        assert found.error == pytest.approx(0.5 * 0.25 + 0.5 * 0.15)
        assert found.worst == pytest.approx(0.25)


@given(st.integers(0, 10**6), st.integers(1, 100), st.integers(1, 12))
def test_bins_of_equal_width_are_scikit_learn_s(seed: int, count: int, bins: int) -> None:
    generator = np.random.default_rng(seed)
    confidence, right = generator.uniform(size=count), generator.integers(0, 2, size=count)
    right[:2] = [0, 1][:count]
    found = reliability(confidence, right, bins=bins, binning="width")
    assert found.count.sum() == count
    if count > 1:
        share, mean = calibration_curve(right, confidence, n_bins=bins)
        assert (found.share, found.confidence) == (pytest.approx(share), pytest.approx(mean))


@given(st.integers(0, 10**6), st.integers(1, 200), st.integers(1, 20))
def test_bins_of_equal_mass(seed: int, count: int, bins: int) -> None:
    generator = np.random.default_rng(seed)
    confidence, right = generator.uniform(size=count), generator.integers(0, 2, size=count)
    found = reliability(confidence, right, bins=bins)
    assert found.count.sum() == count
    assert found.count.max() - found.count.min() <= 1
    assert len(found.count) == min(bins, count)


def test_equal_confidences_share_a_bin_whatever_their_order() -> None:
    confidence = np.array([0.5] * 6 + [0.9] * 4)
    right = np.array([0, 1, 0, 1, 0, 1, 1, 1, 1, 0])
    order = np.random.default_rng(0).permutation(10)
    one, other = (reliability(confidence[rows], right[rows], bins=4) for rows in (np.arange(10), order))
    assert one.count.tolist() == other.count.tolist() == [6, 4]
    assert one.error == pytest.approx(other.error)


def test_error_of_the_most_probable_class() -> None:
    generator = np.random.default_rng(1)
    sure = generator.dirichlet(np.ones(3), size=20_000)
    truth = (sure.cumsum(axis=1) < generator.uniform(size=(20_000, 1))).sum(axis=1)
    assert calibration_error(truth, sure) < 0.02
    sharper = sure**3 / (sure**3).sum(axis=1, keepdims=True)
    assert calibration_error(truth, sharper) > 0.15
    assert calibration_error(truth, sharper, binning="width") > 0.15


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(0.3, 4.0))
def test_the_temperature_is_the_smallest_loss(seed: int, true_temperature: float) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(200, 3))
    chances = np.exp(logits / true_temperature)
    chances /= chances.sum(axis=1, keepdims=True)
    truth = (chances.cumsum(axis=1) < generator.uniform(size=(200, 1))).sum(axis=1)
    found = fit_temperature(logits.astype(np.float32), truth)
    exact = torch.from_numpy(logits.astype(np.float32)).double()

    def loss(temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(exact / temperature, torch.from_numpy(truth)))

    assert found.before == pytest.approx(loss(1.0))
    assert found.after == pytest.approx(loss(found.value))
    if not found.note:
        assert found.after <= min(loss(found.value * 1.01), loss(found.value / 1.01))
    assert found.after <= found.before


def test_a_known_temperature_is_found() -> None:
    generator = np.random.default_rng(2)
    logits = 3 * generator.normal(size=(20_000, 4))
    chances = np.exp(logits / 2.5)
    chances /= chances.sum(axis=1, keepdims=True)
    truth = (chances.cumsum(axis=1) < generator.uniform(size=(20_000, 1))).sum(axis=1)
    found = fit_temperature(logits, truth)
    assert found.value == pytest.approx(2.5, rel=0.05)
    assert found.softmax(logits) == pytest.approx(torch.from_numpy(logits / found.value).softmax(-1).numpy())
    assert calibration_error(truth, found.softmax(logits)) < 0.01


def test_several_labels_have_a_sigmoid_each() -> None:
    generator = np.random.default_rng(3)
    logits = 2 * generator.normal(size=(20_000, 2))
    truth = generator.uniform(size=logits.shape) < 1 / (1 + np.exp(-logits / 1.7))
    found = fit_temperature(logits, truth)
    assert found.value == pytest.approx(1.7, rel=0.05)
    assert found.sigmoid(logits) == pytest.approx(1 / (1 + np.exp(-logits / found.value)))
    assert found.before > found.after


def test_where_there_is_no_best_temperature_it_is_said() -> None:
    every_right = fit_temperature(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 1]))
    assert every_right.value == 1.0
    assert "temperature left at 1" in every_right.note
    assert every_right.before == every_right.after
    every_wrong = fit_temperature(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([1, 0]))
    assert every_wrong.value == 100.0
    assert "say nothing" in every_wrong.note
    assert every_wrong.after < every_wrong.before


def test_large_logits_do_not_overflow() -> None:
    found = fit_temperature(np.array([[800.0, 0.0], [0.0, 800.0], [800.0, 0.0]]), np.array([0, 1, 1]))
    assert math.isfinite(found.after)
    assert found.sigmoid(np.array([-1e5, 1e5])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("logits", "truth", "message"),
    [
        (np.ones(3), np.zeros(3, int), "expected \\[n, classes\\]"),
        (np.empty((0, 2)), np.empty(0, int), "n >= 1"),
        (np.array([[np.nan, 1.0]]), np.array([0]), "example 0 hold nan"),
        (np.ones((2, 2)), np.array([0, 2]), "class 2"),
        (np.ones((2, 2)), np.array([0, 1, 1]), "truth has 3 examples"),
        (np.ones((2, 2)), 2 * np.ones((2, 2)), "more than 0 and 1"),
    ],
)
def test_what_can_not_be_fitted_is_refused(logits: np.ndarray, truth: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit_temperature(logits, truth)


def test_bins_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="bins 0"):
        reliability(np.array([0.5]), np.array([1]), bins=0)
    with pytest.raises(DataError, match="within 0"):
        reliability(np.array([1.5]), np.array([1]))
    with pytest.raises(DataError, match="at least one confidence"):
        reliability(np.empty(0), np.empty(0))
