"""Thresholds for an aim: against trying every one, by hand, and where the aim can't be met."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from latchwork.errors import ConfigError, DataError
from latchwork.metrics import Aim, choose_threshold

CASES = st.tuples(st.integers(0, 10**6), st.integers(2, 40), st.integers(0, 2))


def drawn(seed: int, count: int, digits: int) -> tuple[np.ndarray, np.ndarray]:
    """Both classes, and scores with few different values where digits are few."""
    generator = np.random.default_rng(seed)
    truth = np.append([0, 1], generator.integers(0, 2, size=count))
    return truth, np.round(generator.uniform(size=count + 2) * 0.7 + 0.3 * truth, digits + 1)


def figures(truth: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    said = scores >= threshold
    return {
        "recall": said[truth == 1].mean(),
        "specificity": (~said)[truth == 0].mean(),
        "precision": truth[said].mean() if said.any() else math.nan,
        "fn": int((~said & (truth == 1)).sum()),
        "fp": int((said & (truth == 0)).sum()),
    }


@settings(max_examples=50)
@given(CASES, st.sampled_from(["recall", "precision", "specificity"]), st.sampled_from([0.3, 0.5, 0.8, 0.95, 1.0]))
def test_no_other_threshold_is_better(case: tuple[int, int, int], name: str, least: float) -> None:
    truth, scores = drawn(*case)
    found = choose_threshold(truth, scores, f"{name}>={least}")
    every = [figures(truth, scores, value) for value in [*np.unique(scores), 2.0]]
    meeting = [one for one in every if one[name] >= least]
    here = figures(truth, scores, found.value)
    assert found.met == bool(meeting)
    for figure in ("recall", "precision", "specificity"):
        assert found.figures[figure].value == pytest.approx(here[figure], nan_ok=True)
    if meeting:
        assert here[name] >= least
        assert "holds on" in found.note
        if name == "recall":
            assert here["fp"] == min(one["fp"] for one in meeting)
        else:
            assert here["fn"] == min(one["fn"] for one in meeting)
    else:
        assert here[name] == pytest.approx(np.nanmax([one[name] for one in every]))
        assert "can't be met" in found.note


@settings(max_examples=30)
@given(CASES, st.sampled_from([(1, 1), (10, 1), (1, 10), (0, 1), (1, 0)]))
def test_no_other_threshold_is_cheaper(case: tuple[int, int, int], costs: tuple[int, int]) -> None:
    truth, scores = drawn(*case)
    found = choose_threshold(truth, scores, f"fn={costs[0]},fp={costs[1]}")
    every = [figures(truth, scores, value) for value in [*np.unique(scores), 2.0]]
    cheapest = min(costs[0] * one["fn"] + costs[1] * one["fp"] for one in every) / len(truth)
    assert found.met
    assert found.figures["cost"].value == pytest.approx(cheapest)


@settings(max_examples=25)
@given(CASES, st.sampled_from(["recall", "precision", "specificity"]), st.sampled_from([0.2, 0.4, 0.6, 0.8]))
def test_the_exact_bound_is_scipy_s(case: tuple[int, int, int], name: str, least: float) -> None:
    truth, scores = drawn(*case)

    def lower(threshold: float) -> float:
        said = scores >= threshold
        right = {"recall": said[truth == 1], "precision": truth[said] == 1, "specificity": ~said[truth == 0]}[name]
        return stats.binomtest(int(right.sum()), len(right)).proportion_ci(method="exact").low if len(right) else -1.0

    found = choose_threshold(truth, scores, f"{name}>={least}", bound="exact")
    bounds = [lower(value) for value in [*np.unique(scores), 2.0]]
    assert found.met == (max(bounds) >= least)
    assert found.figures[name].lower == pytest.approx(lower(found.value), abs=1e-9)
    if found.met:
        assert found.figures[name].lower >= least - 1e-9
    else:
        assert found.figures[name].lower == pytest.approx(max(bounds), abs=1e-9)


def test_by_hand() -> None:
    truth = np.array([1, 1, 0, 1, 0, 0])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.1])
    recall = choose_threshold(truth, scores, "recall >= 0.95")
    assert recall.value == pytest.approx(0.4)  # half way between 0.6 and 0.2
    assert recall.counts == {"tp": 3, "fp": 1, "fn": 0, "tn": 2}
    assert recall.note == ("recall>=0.95 holds on 6 validation rows (3 positive): recall 1.0000, with precision 0.7500")
    assert choose_threshold(truth == 1, scores, "precision>=0.99").value == pytest.approx(0.75)
    assert choose_threshold(truth, scores, "specificity>=0.6").value == pytest.approx(0.4)
    assert choose_threshold(truth, scores, "fn=10,fp=1").value == pytest.approx(0.4)
    assert choose_threshold(truth, scores, "fn=1,fp=10").value == pytest.approx(0.75)


def test_costs_that_want_nothing_or_everything_say_so() -> None:
    truth, scores = np.array([0, 1]), np.array([0.9, 0.1])
    assert choose_threshold(truth, scores, "fn=0,fp=1").note.endswith("by predicting nothing")
    everything = choose_threshold(truth, scores, "fn=1,fp=0")
    assert everything.note.endswith("by predicting everything")
    assert everything.value == 0.1


def test_a_bound_that_so_few_rows_can_not_reach_says_how_many_it_takes() -> None:
    truth = np.repeat([0, 1], [200, 60])
    scores = np.repeat([0.1, 0.9], [200, 60])  # not one error
    found = choose_threshold(truth, scores, "precision>=0.99", bound="exact")
    assert not found.met
    assert found.figures["precision"].value == 1.0
    assert found.figures["precision"].lower == pytest.approx(0.025 ** (1 / 60))
    assert found.note.endswith("even without an error the bound would take 368 predicted positive rows")
    assert choose_threshold(np.repeat([0, 1], [9, 368]), np.repeat([0.1, 0.9], [9, 368]), "precision>=0.99").met
    enough = choose_threshold(
        np.repeat([0, 1], [9, 368]), np.repeat([0.1, 0.9], [9, 368]), "precision>=0.99", bound="exact"
    )
    assert enough.met
    assert enough.figures["precision"].lower >= 0.99
    whole = choose_threshold(truth, scores, "recall>=1", bound="exact")
    assert whole.note.endswith("no number of rows has a lower bound of 1")


def test_the_bootstrap_does_not_trust_a_figure_without_error() -> None:
    truth = np.repeat([0, 1], [200, 60])
    scores = np.repeat([0.1, 0.9], [200, 60])
    found = choose_threshold(truth, scores, "precision>=0.99", bound="bootstrap")
    assert not found.met
    assert found.figures["precision"].lower == pytest.approx(0.025 ** (1 / 60))


def test_rows_that_agree_within_a_group_are_less_evidence() -> None:
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 20)
    truth = np.repeat(generator.permutation(np.repeat([0, 1], 15)), 20)
    scores = np.repeat(generator.normal(size=30), 20) + 1.5 * truth
    alone = choose_threshold(truth, scores, "recall>=0.7", bound="bootstrap", samples=300)
    whole = choose_threshold(truth, scores, "recall>=0.7", bound="bootstrap", samples=300, groups=groups)
    assert alone.met
    assert whole.met
    assert whole.value < alone.value
    assert whole.figures["recall"].lower >= 0.7
    plain = choose_threshold(truth, scores, "recall>=0.7", samples=300, groups=groups).figures["precision"]
    by_row = choose_threshold(truth, scores, "recall>=0.7", samples=300).figures["precision"]
    assert plain.value == by_row.value
    assert plain.upper - plain.lower > by_row.upper - by_row.lower
    with pytest.raises(ConfigError, match="share groups"):
        choose_threshold(truth, scores, "recall>=0.7", bound="exact", groups=groups)


def test_many_candidates_are_thinned() -> None:
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 2, size=3000)
    scores = generator.normal(size=3000) + 2 * truth
    exact = choose_threshold(truth, scores, "precision>=0.9", bound="exact")
    drawn_ = choose_threshold(truth, scores, "precision>=0.9", bound="bootstrap", samples=200)
    assert exact.met
    assert drawn_.met
    assert drawn_.figures["precision"].lower >= 0.9
    assert drawn_.counts["tp"] >= 0.97 * exact.counts["tp"]


@pytest.mark.parametrize(("truth", "which"), [(np.zeros(5, int), "negative"), (np.ones(5, int), "positive")])
@pytest.mark.parametrize("aim", ["recall>=0.9", "precision>=0.9", "specificity>=0.9", "fn=2,fp=1"])
def test_one_class_is_said(truth: np.ndarray, which: str, aim: str) -> None:
    found = choose_threshold(truth, np.linspace(0, 1, 5), aim)
    assert (found.value, found.met) == (0.5, False)
    assert found.note == f"every one of 5 validation rows is {which}: nothing can be chosen for {aim}, 0.5 is kept"
    assert math.isnan(found.figures["recall" if which == "negative" else "specificity"].value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("recall>=0.95", "recall>=0.95"),
        (" Sensitivity >= .9 ", "recall>=0.9"),
        ("precision≥0.99", "precision>=0.99"),
        ("specificity>=1", "specificity>=1"),
        ("fn=10,fp=1", "fn=10,fp=1"),
        ("fp = 2.5, fn = 0", "fn=0,fp=2.5"),
    ],
)
def test_aims_are_read(text: str, shown: str) -> None:
    assert str(Aim.parse(text)) == shown
    assert Aim.parse(str(Aim.parse(text))) == Aim.parse(text) or "fn" in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recal>=0.9", 'did you mean "recall"'),
        ("recall>=95", "no share above 0 and up to 1"),
        ("recall>=nan", "no share"),
        ("recall>=0", "no share"),
        ("recall=0.9", "expected such as recall>=0.95"),
        ("recall>0.9", "expected such as"),
        ("", "expected such as"),
        ("fn=10", "expected such as"),
        ("fn=10,fn=1", "expected such as"),
        ("fn=10,fp=1,tp=2", "expected such as"),
        ("fn=ten,fp=1", "expected such as"),
        ("fn=-1,fp=1", "none below 0"),
        ("fn=0,fp=0", "one above"),
        ("fn=inf,fp=1", "expected such as"),
    ],
)
def test_aims_that_are_none_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Aim.parse(text)


def test_what_is_no_score_is_refused() -> None:
    with pytest.raises(DataError, match="hold nan"):
        choose_threshold(np.array([0, 1]), np.array([0.1, np.nan]), "recall>=0.9")
    with pytest.raises(DataError, match="truth is empty"):
        choose_threshold(np.empty(0, int), np.empty(0), "recall>=0.9")
    with pytest.raises(DataError, match=r"scores have shape \(3,\)"):
        choose_threshold(np.array([0, 1]), np.ones(3), "recall>=0.9")
    with pytest.raises(DataError, match="groups have shape"):
        choose_threshold(np.array([0, 1]), np.ones(2), "recall>=0.9", groups=np.ones(3))
    with pytest.raises(ConfigError, match='bound "wilson"'):
        choose_threshold(np.array([0, 1]), np.ones(2), "recall>=0.9", bound="wilson")  # type: ignore[arg-type]
