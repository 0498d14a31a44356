"""Curves: their areas are the figures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from latchwork.errors import DataError
from latchwork.metrics import precision_recall_curve, roc_curve


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 80))
def test_areas(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    truth = np.append([0, 1], generator.integers(0, 2, size=count))
    scores = np.round(generator.uniform(size=count + 2), 1)
    area = roc_curve(truth, scores)
    assert np.trapezoid(area.y, area.x) == pytest.approx(metrics.roc_auc_score(truth, scores))
    curve = precision_recall_curve(truth == 1, scores)
    assert (np.diff(curve.x) >= 0).all()
    assert len(curve.x) == len(curve.y) == len(curve.threshold)
    place = len(curve.x) // 2
    said = scores >= curve.threshold[place]
    if said.any():
        assert curve.y[place] == pytest.approx(metrics.precision_score(truth, said))
        assert curve.x[place] == pytest.approx(metrics.recall_score(truth, said))


def test_one_class_has_no_curve() -> None:
    assert len(roc_curve(np.ones(3, int), np.arange(3)).x) == 0
    assert len(precision_recall_curve(np.zeros(3, int), np.arange(3)).x) == 0


def test_thinned_keeps_the_ends() -> None:
    generator = np.random.default_rng(0)
    curve = roc_curve(generator.integers(0, 2, size=5000), generator.uniform(size=5000))
    thin = curve.thinned(50)
    assert len(thin.x) == 50
    assert (thin.x[0], thin.y[0], thin.x[-1], thin.y[-1]) == (0, 0, 1, 1)
    assert thin.thinned(50) is thin


def test_what_is_no_score_is_refused() -> None:
    with pytest.raises(DataError, match="hold nan"):
        roc_curve(np.array([0, 1]), np.array([0.5, np.nan]))
    with pytest.raises(DataError, match="class 2"):
        roc_curve(np.array([0, 2]), np.array([0.5, 0.5]))
    with pytest.raises(DataError, match="truth is empty"):
        precision_recall_curve(np.empty(0, int), np.empty(0))
