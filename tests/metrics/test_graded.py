"""Ordinal classes and numbers: against scikit-learn and scipy, and where they are undefined."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from latchwork.errors import DataError
from latchwork.metrics import number, ordinal


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40))
def test_ordinal(pairs: list[tuple[int, int]]) -> None:
    truth, said = np.array(pairs).T
    found = ordinal(truth, said, ("bad", "fair", "good", "best"))
    assert found["mae_steps"] == pytest.approx(np.abs(truth - said).mean())
    assert found["accuracy"] == pytest.approx((truth == said).mean())
    if len(np.unique(truth)) == 1:
        assert math.isnan(found["quadratic_kappa"])
        assert "only one class" in found.notes["quadratic_kappa"]
    else:
        weights = np.subtract.outer(np.arange(4), np.arange(4)) ** 2
        seen = np.histogram2d(truth, said, bins=(range(5), range(5)))[0]
        chance = np.outer(seen.sum(axis=1), seen.sum(axis=0)) / len(pairs)
        assert found["quadratic_kappa"] == pytest.approx(1 - (weights * seen).sum() / (weights * chance).sum())


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=40))
def test_number(pairs: list[tuple[int, int]]) -> None:
    truth, said = np.array(pairs, float).T
    found = number(truth, said)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, said))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, said))
    if len(set(truth)) == 1:
        assert math.isnan(found["r2"])
        assert found.notes["r2"] == found.notes["spearman"] == "undefined: all true values are the same"
        return
    assert found["r2"] == pytest.approx(metrics.r2_score(truth, said))
    if len(set(said)) == 1:
        assert found.notes == {"spearman": "undefined: all predictions are the same"}
    else:
        assert found["spearman"] == pytest.approx(stats.spearmanr(truth, said).statistic)


def test_what_is_no_answer_is_refused() -> None:
    with pytest.raises(DataError, match="example 1 hold nan"):
        number(np.array([1.0, 2.0]), np.array([1.0, np.nan]))
    with pytest.raises(DataError, match=r"shape \(3,\), expected \(2,\)"):
        number(np.array([1.0, 2.0]), np.ones(3))
    with pytest.raises(DataError, match="are empty"):
        number(np.empty(0), np.empty(0))
    with pytest.raises(DataError, match="predictions has class 2"):
        ordinal(np.array([0, 1]), np.array([0, 2]), ("a", "b"))
    with pytest.raises(DataError, match="3 predictions for 2"):
        ordinal(np.array([0, 1]), np.array([0, 1, 1]), ("a", "b"))
