"""What all sets of figures share: names, composites, intervals of anything, perplexity."""

import math

import numpy as np
import pytest

from latchwork.errors import ConfigError
from latchwork.metrics import Scores, bootstrap, composite, number, perplexity, score_intervals

SCORES = Scores(
    count=10,
    values={"f1": 0.6, "roc_auc": 0.9, "recall": math.nan, "log_loss": 0.2, "r2": 0.5},
    labels={"f1": "F1 (macro)", "roc_auc": "ROC-AUC", "recall": "recall (spam)", "log_loss": "log loss", "r2": "R²"},
    notes={"recall": 'undefined: "spam" has no example here'},
)


def test_a_composite_shows_its_weights() -> None:
    found = composite(SCORES, {"f1": 1, "roc_auc": 3})
    assert found.value == pytest.approx((0.6 + 3 * 0.9) / 4)
    assert found.label == "0.25 F1 (macro) + 0.75 ROC-AUC"
    assert found.note == ""


def test_a_composite_of_something_undefined_is_undefined_and_says_so() -> None:
    found = composite(SCORES, {"f1": 0.5, "recall": 0.5})
    assert math.isnan(found.value)
    assert found.note == "undefined: so is recall (spam)"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "no figures"),
        ({"roc_au": 1}, 'no figure is called "roc_au"; did you mean "roc_auc"'),
        ({"log_loss": 1}, "the higher the better"),
        ({"r2": 1}, "figures up to 1"),
        ({"f1": 0}, 'weight of "f1" is 0'),
        ({"f1": math.nan}, 'weight of "f1" is nan'),
    ],
)
def test_composites_that_mean_nothing_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        composite(SCORES, weights)


def test_intervals_of_any_scores() -> None:
    generator = np.random.default_rng(0)
    true = generator.normal(size=40)
    said = true + generator.normal(size=40)
    found = score_intervals(lambda rows: number(true[rows], said[rows]), np.arange(40), samples=100)
    alone = bootstrap(lambda rows: float(np.abs(true - said)[rows].mean()), np.arange(40), takes="rows", samples=100)
    assert found["mae"] == pytest.approx(alone)
    assert set(found) == {"mae", "rmse", "r2", "spearman"}
    assert all(one.lower < one.value < one.upper for one in found.values())
    assert found["spearman"].upper <= 1


def test_perplexity_is_taken_once_over_everything() -> None:
    assert perplexity(3 * math.log(7), 3) == pytest.approx(7)
    assert math.isnan(perplexity(0.0, 0))
    assert perplexity(1e6, 1) == math.inf
